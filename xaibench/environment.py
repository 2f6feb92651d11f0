"""The record of machine, software and settings that results were made with. Nothing heavy is imported to make it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from xaibench import __version__
from xaibench.discovery import OURSELVES, discover
from xaibench.identity import canonical

LIBRARIES = (
    "torch",
    "torchvision",
    "captum",
    "lightning",
    "torchmetrics",
    "numpy",
    "scipy",
    "scikit-image",
    "pandas",
    "pillow",
)
# What changes numbers or their cost without being an option of ours.
SETTINGS = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "KMP_AFFINITY",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "XAIBENCH_PLUGINS",
)


def record() -> dict[str, Any]:
    """The record, as JSON can hold it. The same surroundings give the same record: it holds no time and no load."""
    return {
        "xaibench": __version__,
        "distributions": {name: origin(name) for name in distributions()},
        "libraries": {name: version(name) for name in LIBRARIES},
        **here(),
    }


def here() -> dict[str, Any]:
    """The part of the record that belongs to this process on this machine."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": machine(),
        "torch": torch_state(),
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


def digest(record: dict[str, Any]) -> str:
    """A name for a record: equal records, equal digests."""
    return hashlib.blake2b(canonical(record).encode(), digest_size=16).hexdigest()


def distributions() -> list[str]:
    """The distributions that bring plugins; ours first."""
    return list(dict.fromkeys([OURSELVES, *sorted(plugin.distribution for plugin in discover())]))


def version(distribution: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def origin(distribution: str) -> dict[str, Any]:
    """Version of a distribution and, where pip noted a source folder or repository, the commit it stands at."""
    found: dict[str, Any] = {"version": version(distribution), "editable": False, "commit": None, "dirty": None}
    direct = direct_url(distribution)
    if direct.get("vcs_info"):
        found |= {"commit": direct["vcs_info"].get("commit_id"), "dirty": False}
    if direct.get("dir_info", {}).get("editable"):
        found |= {"editable": True, **checkout(Path(url2pathname(unquote(urlparse(direct["url"]).path))))}
    return found


def direct_url(distribution: str) -> dict[str, Any]:
    """What pip noted about where a distribution came from (PEP 610)."""
    try:
        text = metadata.distribution(distribution).read_text("direct_url.json")
        found = json.loads(text or "{}")
    except (metadata.PackageNotFoundError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def checkout(folder: Path) -> dict[str, Any]:
    """Commit of a distribution's own source folder, and whether files in it differ from that commit.

    A folder that merely lies somewhere inside a repository, untracked, has no commit.
    """
    if not git(folder, "ls-files", "--", "pyproject.toml", "setup.py", "setup.cfg"):
        return {"commit": None, "dirty": None}
    return {"commit": git(folder, "rev-parse", "HEAD"), "dirty": bool(git(folder, "status", "--porcelain", "--", "."))}


def git(folder: Path, *arguments: str) -> str | None:
    """What git answers about a folder; None if it has no answer. A GIT_DIR of our caller's would be another's."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=surroundings, timeout=30, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    """What it runs on. This process may be allowed fewer cores than there are."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": memory_gib(),
    }


def memory_gib() -> float | None:
    """Physical memory; None where the system does not tell."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def processor() -> str:
    """The model of the processor; platform.processor() is empty on most Linux systems."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def torch_state() -> dict[str, Any] | None:
    """Devices and settings of torch; None as long as nobody has imported it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    cuda = torch.cuda.is_available()
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if cuda else [],
    }
