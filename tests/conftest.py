"""Before any test: workers that share the cores do not fight for them."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes with several threads each spin against each other. Here, because torch reads it on import.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
