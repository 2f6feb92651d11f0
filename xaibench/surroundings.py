"""What a plugin may have changed for all that come after it in one process: looked at before a cell, put back after."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _set_default_device(device: torch.device) -> None:
    # None takes the mode away again that any named device, even the CPU, leaves behind.
    torch.set_default_device(None if device.type == "cpu" else device)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _backend(name: str, attribute: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    backend = getattr(torch.backends, name)
    return lambda: getattr(backend, attribute), lambda value: setattr(backend, attribute, value)


# name -> how it is read, how it is set
SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "threads of torch": (torch.get_num_threads, torch.set_num_threads),
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, _set_default_device),
    "gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "anomaly detection": (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "deterministic algorithms": (_deterministic, _set_deterministic),
    "precision of float32 products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "cudnn.benchmark": _backend("cudnn", "benchmark"),
    "cudnn.deterministic": _backend("cudnn", "deterministic"),
    "cudnn.enabled": _backend("cudnn", "enabled"),
    "numpy's handling of errors": (np.geterr, lambda value: np.seterr(**value)),
    "working folder": (os.getcwd, os.chdir),
}


def look() -> dict[str, Any]:
    """How everything stands."""
    return {name: read() for name, (read, _) in SETTINGS.items()}


def put_back(before: Mapping[str, Any]) -> list[str]:
    """Undo what has changed since, and say what that was."""
    changed = []
    for name, (read, write) in SETTINGS.items():
        if (now := read()) != before[name]:
            write(before[name])
            changed.append(f"{name} changed from {before[name]} to {now}")
    return changed
