import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from scipy.stats import spearmanr
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench_adapters.rise import Rise, draw


class Places(nn.Module):
    """Its logit is a sum over pixels, and over pairs of neighbouring pixels."""

    def __init__(self, single, pair):
        super().__init__()
        self.single, self.pair = single, pair

    def forward(self, images):
        seen = images[:, 0]
        total = (seen * self.single).sum(dim=(1, 2))
        together = (seen[:, 1:] * seen[:, :-1] * self.pair).sum(dim=(1, 2))
        return torch.stack([total + together, -total], dim=1)


def places(seed, strength):
    generator = torch.Generator().manual_seed(seed)
    single, pair = torch.randn(21, 21, generator=generator), torch.randn(20, 21, generator=generator)
    return Places(single, strength * pair)


def explain(explainer, network, seed=0):
    image = torch.ones(1, 1, 21, 21)
    batch = Batch(image, torch.tensor([0]), ("a",), (seed,))
    return explainer.explain(TorchClassifier(network, ("a", "b"), None), batch)[0].numpy()


def test_masks_are_grids_enlarged_bilinearly_and_cut_at_a_shift():
    """Against scipy, which enlarges with the edges going on, as the paper's code does; more than a chunk."""
    masks = draw(40, 4, 0.5, "independent", (20, 30), seed=5)
    shifts = np.random.default_rng(5)
    shifts.random((40, 4, 4))
    drawn = torch.cat(list(masks.chunks())).numpy()
    for grid, mask, (down, right) in zip(masks.grids.numpy(), drawn, shifts.random((40, 2)), strict=True):
        large = zoom(grid, (25 / 4, 40 / 4), order=1, mode="nearest", grid_mode=True)  # cells of 5 x 8, and one more
        top, left = int(down * 5), int(right * 8)
        np.testing.assert_allclose(mask, large[top : top + 20, left : left + 30], atol=1e-6)


def test_the_map_of_the_paper_against_a_slow_twin():
    """Mask by mask: score times mask, over the number of masks and the share that is seen."""
    network = places(0, 1.0)
    drawn = draw(40, 5, 0.3, "independent", (21, 21), seed=9)
    expected = np.zeros((21, 21))
    for mask in torch.cat(list(drawn.chunks())):
        probability = network(mask[None, None]).softmax(1)[0, 0].item()
        expected += probability * mask.numpy() / (40 * 0.3)
    explainer = Rise(samples=40, cells=5, share=0.3, sampling="independent", estimator="mean")
    np.testing.assert_allclose(explain(explainer, network, seed=9), expected, atol=1e-6)


def test_a_score_that_nothing_moves_gives_a_flat_map_only_if_centred():
    """The mean of the paper shows then how often each pixel happened to be seen."""
    network = places(0, 0.0)
    network.single.zero_()
    assert np.ptp(explain(Rise(samples=64), network)) < 1e-6
    assert np.ptp(explain(Rise(samples=64, sampling="independent", estimator="mean"), network)) > 0.05


def test_balanced_masks_show_every_cell_in_half_of_a_block_and_every_pair_in_a_quarter():
    grids = draw(128, 7, 0.5, "balanced", (21, 21), seed=3).grids.flatten(1).numpy()
    together = grids.T @ grids
    np.testing.assert_array_equal(np.diag(together), np.full(49, 64))
    np.testing.assert_array_equal(together[~np.eye(49, dtype=bool)], 32)
    np.testing.assert_array_equal(grids[0::2] + grids[1::2], 1)  # complements


def test_balanced_masks_differ_from_seed_to_seed_and_repeat_with_the_seed():
    one, again, other = (draw(10, 7, 0.5, "balanced", (21, 21), seed).grids for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_closed_form_of_a_linear_model():
    """Cells of one pixel have nowhere to shift, so a mask is R g C^T with g of 0 and 1 that are uncorrelated in a whole
    block of balanced grids, with variance 1/4. The map is the mean score + Cov(mask) weights / share."""
    network = places(4, 0.0)
    drawn = draw(1024, 21, 0.5, "balanced", (21, 21), seed=0)  # 441 cells: a block has 2 x 512 grids
    rows, columns = (drawn._mixing(axis, slice(0, 1))[0].double() for axis in (0, 1))
    covariance = 0.25 * rows @ rows.T @ network.single.double() @ columns @ columns.T
    expected = network.single.sum() / 2 + covariance / 0.5
    found = explain(Rise(samples=1024, cells=21, output="logit"), network)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def agreement(explainer, network, seeds=range(4)):
    """Mean rank correlation of the maps of several seeds."""
    maps = [explain(explainer, network, seed).ravel() for seed in seeds]
    return np.mean([spearmanr(*pair)[0] for pair in itertools.combinations(maps, 2)])


@pytest.mark.parametrize("strength", [0.0, 1.0, 3.0])
def test_with_500_samples_balanced_masks_agree_more_from_seed_to_seed_than_those_of_the_paper(strength):
    """For additive scores and for scores that hang on pairs of pixels."""
    ours = Rise(samples=500, output="logit")
    papers = Rise(samples=500, output="logit", sampling="independent", estimator="mean")
    networks = [places(seed, strength) for seed in range(3)]
    mine, theirs = (np.mean([agreement(one, network) for network in networks]) for one in (ours, papers))
    print(f"strength of pairs {strength}: {mine:.3f} against {theirs:.3f}")
    assert 1 - mine < 0.5 * (1 - theirs)


@pytest.mark.parametrize("profile", ["quick", "standard", "paper"])
def test_every_profile_can_be_made(profile):
    assert Rise(**Rise.card.profiles[profile]).samples >= 128


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"samples": 0}, "samples is 0; give a whole number of at least 1"),
        ({"cells": 1}, "cells is 1"),
        ({"share": 0.3}, "sampling=balanced shows one half"),
        ({"share": 1.0, "sampling": "independent"}, "between 0 and 1"),
        ({"sampling": "sobol"}, "give one of: independent, balanced"),
        ({"estimator": "median"}, "give one of: mean, centred"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        Rise(**parameters)
