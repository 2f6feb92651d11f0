"""Weights to begin with: learned on ImageNet, and fetched once."""

from __future__ import annotations

import pickle
import urllib.error
from typing import TYPE_CHECKING

import torch
from torchvision.models import get_weight  # type: ignore[import-untyped]

from xaibench.caching import cache_root
from xaibench.checkpoints import fill
from xaibench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    State = Mapping[str, torch.Tensor]


def load_imagenet(network: nn.Module, name: str, optional: Sequence[str]) -> None:
    """Put torchvision's weights (`ResNet50_Weights.IMAGENET1K_V2`) into a network.

    Modules whose names begin with one of `optional` keep what they have if nothing fits: a head for other classes.
    """
    fill(network, fetch(get_weight(name).url), name, optional)


def fetch(url: str) -> State:
    """Download a file whose name holds its checksum, once, and read it."""
    folder = cache_root() / "downloads"
    try:
        state: State = torch.hub.load_state_dict_from_url(
            url, model_dir=str(folder), map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (urllib.error.URLError, OSError) as error:
        raise DataError(
            f"{url} cannot be fetched ({error}). Fetch it elsewhere and put it into {folder}, or name a file of "
            "yours: weights=FILE"
        ) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise DataError(f"{url} is not what was published ({error}); remove it from {folder} and try again") from error
    return state
