"""Plugins may use global random generators; nothing outside may notice."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Seed the global generators of python, numpy and torch for the block, then put them back as they were.

    Whether gradients are recorded is put back too: it is as global as a generator.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    # Asking torch to look for devices, as it does by itself, takes longer than all of a small metric.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices), torch.set_grad_enabled(torch.is_grad_enabled()):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        _seed_torch(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def _seed_torch(seed: int) -> None:
    """As torch.manual_seed, which on a machine without a used GPU formats the whole stack for each call."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
