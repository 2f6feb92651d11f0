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
    with torch.random.fork_rng(), torch.set_grad_enabled(torch.is_grad_enabled()):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
