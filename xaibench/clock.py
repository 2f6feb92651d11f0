"""Time, as it is once a device has done all that was asked of it."""

from __future__ import annotations

import time

import torch


def now(device: torch.device) -> float:
    """Seconds; only differences mean anything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
