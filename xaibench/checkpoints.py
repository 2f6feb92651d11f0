"""Weights from files: whole and fitting, or refused with the reason. Nothing in a file is ever run."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from xaibench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    State = Mapping[str, torch.Tensor]

WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training scripts save weights
PREFIXES = ("module.", "network.", "model.", "_orig_mod.")  # which their wrappers put before every name
SHOWN = 5


def load_checkpoint(network: nn.Module, file: str) -> None:
    """Put the weights of a file into a network; all of them must fit."""
    fill(network, read(Path(file).expanduser()), file, optional=())


def read(file: Path) -> State:
    """The tensors of a safetensors file or of a torch checkpoint; nothing in it is ever run."""
    if not file.is_file():
        raise DataError(f"there is no file {file}; give a .safetensors file or a torch checkpoint")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what cannot be read safely raises
            content = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(f"{file} holds no weights that can be read safely ({' '.join(str(error).split())})") from error
    return tensors(content, file)


def tensors(content: Any, file: Path) -> State:
    """Unwrap what training scripts wrap around the weights."""
    for name in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise DataError(f"{file} holds no table of tensors; save a network's state_dict()")
    for prefix in PREFIXES:
        if content and all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): value for name, value in content.items()}
    found: State = content
    return found


def fill(network: nn.Module, state: State, source: str, optional: Sequence[str]) -> None:
    """Load what fits; whatever does not, and is not optional, is named."""
    own = network.state_dict()
    wrong = [
        f"{name} is {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape and not name.startswith(tuple(optional))
    ]
    missing = [name for name in own if name not in state and not name.startswith(tuple(optional))]
    unknown = [name for name in state if name not in own and not name.startswith(tuple(optional))]
    troubles = [("of another shape", wrong), ("missing", missing), ("unknown to the network", unknown)]
    if told := [f"{len(names)} {what}: {_some(names)}" for what, names in troubles if names]:
        raise DataError(f"{source} does not fit {type(network).__name__}: {'; '.join(told)}")
    fits = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    network.load_state_dict(fits, strict=False)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
