import numpy as np
import pytest

from xaibench.contracts import Case
from xaibench.normalise import normalise


def make_case(maps, masks, lesions=None, marker=None):
    """A case of maps [B, H, W] in [0, 1] and their masks, with distinguishable costs."""
    maps, masks = np.asarray(maps, dtype=np.float32), np.asarray(masks, dtype=bool)
    count = len(maps)
    return Case(
        maps=maps,
        raw=maps,
        images=np.zeros((count, 1, *maps.shape[1:]), dtype=np.float32),
        masks=masks,
        lesions=tuple((mask,) for mask in masks) if lesions is None else lesions,
        regions={} if marker is None else {"marker": np.asarray(marker, dtype=bool)},
        labels=np.ones(count, dtype=np.int64),
        targets=np.ones(count, dtype=np.int64),
        predictions=np.ones(count, dtype=np.int64),
        logits=np.tile(np.float32([0, 1]), (count, 1)),
        seeds=tuple(range(count)),
        seconds=0.5 + np.arange(count),
        forward=10.0 + np.arange(count),
        backward=20.0 + np.arange(count),
    )


def random_raw(seed, count=8, size=(12, 10)):
    """Raw maps, dark to bright, of the levels 0 to 7: many pixels tie, but none lies half way, at a threshold."""
    darkness = np.linspace(3, 0.3, count)[:, None, None]
    raw = np.floor(8 * np.random.default_rng(seed).random((count, *size)) ** darkness).astype(np.float32)
    raw[:, 0, 0], raw[:, 0, 1] = 0, 7
    return raw


def random_masks(seed, count=8, size=(12, 10)):
    """From one pixel to all of them."""
    generator = np.random.default_rng(seed)
    return generator.random((count, *size)) < np.linspace(0.01, 1, count)[:, None, None]


def random_case(seed, count=8, size=(12, 10)):
    masks = random_masks(seed + 1, count, size)
    masks[:, 5, 5] = True
    return make_case(normalise(random_raw(seed, count, size)), masks, marker=np.roll(masks, (3, 2), axis=(1, 2)))


@pytest.fixture(name="make_case")
def _make_case():
    return make_case


@pytest.fixture(name="random_case")
def _random_case():
    return random_case
