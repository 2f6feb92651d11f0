"""Weights to begin with: learned on ImageNet, and fetched once."""

from __future__ import annotations

import math
import pickle
import urllib.error
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from torchvision.models import get_weight  # type: ignore[import-untyped]

from xaibench.caching import cache_root
from xaibench.checkpoints import fill
from xaibench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    State = Mapping[str, torch.Tensor]

PLACES = "encoder.pos_embedding"  # of a vision transformer: a vector for the class token, and one for every patch


def load_imagenet(
    network: nn.Module, name: str, optional: Sequence[str], renamed: Callable[[State], State] = lambda state: state
) -> None:
    """Put torchvision's weights (`ResNet50_Weights.IMAGENET1K_V2`) into a network.

    Modules whose names begin with one of `optional` keep what they have if nothing fits: a head for other classes.
    """
    fill(network, resized(renamed(fetch(get_weight(name).url)), network), name, optional)


def resized(state: State, network: nn.Module) -> State:
    """With the places of as many patches as the network has: those published are for images of one size."""
    own = network.state_dict()
    return {
        name: _spread(value, own[name].shape[1]) if name.endswith(PLACES) and name in own else value
        for name, value in state.items()
    }


def _spread(places: torch.Tensor, count: int) -> torch.Tensor:
    """Vectors [1, 1 + N * N, C] as [1, count, C], as torchvision interpolates them."""
    if places.shape[1] == count:
        return places
    old, new = math.isqrt(places.shape[1] - 1), math.isqrt(count - 1)
    grid = places[:, 1:].transpose(1, 2).reshape(1, -1, old, old)
    grid = F.interpolate(grid, (new, new), mode="bicubic", align_corners=True)
    return torch.cat([places[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


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
