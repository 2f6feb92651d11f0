"""Where to keep what can be made again."""

import os
from pathlib import Path

import platformdirs

CACHE = "XAIBENCH_CACHE"


def cache_root() -> Path:
    """The folder named by XAIBENCH_CACHE, else the user's cache folder for xaibench. It may not exist yet."""
    named = os.environ.get(CACHE)
    return Path(named).expanduser().absolute() if named else platformdirs.user_cache_path("xaibench")
