"""Before any test: workers that share the cores do not fight for them."""

import os

from hypothesis import settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes with several threads each spin against each other. Here, because torch reads it on import.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
