"""What a plugin does to the process it runs in: printing, global generators, global settings."""

from __future__ import annotations

import contextlib
import io
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xaibench.isolation import isolated_randomness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    Setting: TypeAlias = tuple[Callable[[], Any], Callable[[Any], Any]]

# A state that no plugin leaves the generators in by chance, as it would if it seeded them with a seed of its batch.
UNLIKELY_SEED = 20260723

SETTINGS: Mapping[str, Setting] = {
    "torch.is_grad_enabled()": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.get_default_dtype()": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.get_num_threads()": (torch.get_num_threads, torch.set_num_threads),
    "torch.are_deterministic_algorithms_enabled()": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "torch.is_anomaly_enabled()": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "torch.get_float32_matmul_precision()": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "torch.backends.cudnn.benchmark": (
        lambda: torch.backends.cudnn.benchmark,
        lambda value: setattr(torch.backends.cudnn, "benchmark", value),
    ),
    "numpy.geterr()": (np.geterr, lambda kept: np.seterr(**kept)),
}


class Watch:
    """What was seen while plugins ran inside `with watch:`."""

    def __init__(self) -> None:
        self.printed = ""
        self.generators: set[str] = set()
        self.settings: set[str] = set()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Watch a block. Whatever it changes is put back."""
        out = io.StringIO()
        with preserved_settings(), isolated_randomness(UNLIKELY_SEED), contextlib.redirect_stdout(out):
            generators, settings = _generators(), _settings()
            yield
            self.generators |= _changed(generators, _generators())
            self.settings |= _changed(settings, _settings())
            self.printed = self.printed or out.getvalue()


@contextlib.contextmanager
def preserved_settings() -> Iterator[None]:
    """Put global settings back as they were."""
    before = _settings()
    try:
        yield
    finally:
        for name, value in before.items():
            read, write = SETTINGS[name]
            if read() != value:
                write(value)


def _settings() -> dict[str, Any]:
    return {name: read() for name, (read, _) in SETTINGS.items()}


def _generators() -> dict[str, Any]:
    return {
        "random": random.getstate(),
        "numpy.random": str(np.random.get_state(legacy=False)),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    return {name for name, value in before.items() if after[name] != value}
