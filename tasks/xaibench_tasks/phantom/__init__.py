"""Phantom mammograms: data whose right answer is known."""

from xaibench_tasks.phantom.scenarios import Phantom, PhantomBlur, PhantomConfounded, PhantomShortcut, PhantomTiny

__all__ = ["Phantom", "PhantomBlur", "PhantomConfounded", "PhantomShortcut", "PhantomTiny"]
