"""Let the network's idle threads sleep soon, so that other work gets their cores.

GNU's OpenMP, which PyTorch brings on Linux, lets a thread that has nothing to do spin for about 6 ms before it sleeps.
Pixels that are restored between two batches would meanwhile have to share that core.
"""

import os

SPINS, POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
FEW = "10000"  # about 0.2 ms: longer than the pauses between two operations of a network


def sleep_soon() -> None:
    """To be called before PyTorch is loaded; processes started from here do the same. What the user has set stays."""
    if POLICY not in os.environ:
        os.environ.setdefault(SPINS, FEW)
