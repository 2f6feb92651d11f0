"""Where Quantus and we differ on the same map, worked by hand; and where it is right, that we agree.

docs/quantus.md lists the differences. Each test first shows what the library answers, so that a release which mends
it is noticed.
"""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Case
from xaibench.isolation import isolated_randomness
from xaibench.metrics.complexity import EffectiveComplexity, Entropy, Sparseness
from xaibench.metrics.energy import EnergyInRoi
from xaibench.metrics.pointing import PointingGame
from xaibench.metrics.ranking import AUROC, RelevanceRank, TopK
from xaibench.normalise import normalise
from xaibench_adapters.quantus_metrics import Quantus


def theirs(name, maps, masks, model=None, targets=None, images=None, batch_size=64, state=0, **options):
    """What the library itself answers."""
    maps, masks = np.asarray(maps, dtype=np.float32)[:, None], np.asarray(masks, dtype=bool)[:, None]
    with warnings.catch_warnings(), isolated_randomness(state):
        warnings.simplefilter("ignore")
        import quantus

        metric = getattr(quantus, name)(disable_warnings=True, display_progressbar=False, **options)
        return metric(
            model=model,
            x_batch=np.zeros_like(maps) if images is None else images,
            y_batch=np.zeros(len(maps), dtype=np.int64) if targets is None else targets,
            a_batch=maps,
            s_batch=masks,
            channel_first=True,
            device="cpu",
            batch_size=batch_size,
        )


def ours(metric, maps, masks):
    """What we answer for maps as they are, between 0 and 1."""
    maps, masks = np.asarray(maps, dtype=np.float32), np.asarray(masks, dtype=bool)
    count = len(maps)
    zeros = np.zeros(count, dtype=np.int64)
    case = Case(
        maps=maps,
        raw=maps,
        images=np.zeros((count, 1, *maps.shape[1:]), dtype=np.float32),
        masks=masks,
        lesions=tuple((mask,) for mask in masks),
        regions={},
        labels=zeros,
        targets=zeros,
        predictions=zeros,
        logits=np.zeros((count, 2), dtype=np.float32),
        seeds=tuple(range(count)),
        seconds=np.ones(count),
        forward=np.ones(count),
        backward=np.ones(count),
    )
    return metric.score(case)


RAMP = np.arange(64).reshape(8, 8) / 63
SQUARE = np.zeros((8, 8))
SQUARE[1:4, 1:4] = 1
PEAK = np.zeros((8, 8))
PEAK[2, 2] = 1
NEARLY_FLAT = np.ones((8, 8))  # 63 pixels tie
NEARLY_FLAT[0, 0] = 0
FIRST_ROW, LAST_ROW = np.zeros((2, 8, 8))
FIRST_ROW[0], LAST_ROW[-1] = 1, 1

# ------------------------------------------------------------------------------------------------------- agreement


@pytest.mark.parametrize(
    ("name", "options", "metric"),
    [
        ("RelevanceRankAccuracy", {}, RelevanceRank()),
        ("TopKIntersection", {"k": 8}, TopK(share=8 / 64)),
        ("RelevanceMassAccuracy", {}, EnergyInRoi()),
        ("AttributionLocalisation", {}, EnergyInRoi()),
        ("AUC", {}, AUROC()),
        ("PointingGame", {}, PointingGame()),
        ("Sparseness", {}, Sparseness()),
        ("Complexity", {}, Entropy(unit="nats")),
    ],
)
def test_without_ties_negative_values_and_neighbours_we_agree(name, options, metric):
    rng = np.random.default_rng(1)
    for _ in range(10):
        heatmap, mask = rng.permutation(64).reshape(8, 8) / 63, rng.random((8, 8)) < 0.3
        expected = theirs(name, [heatmap], [mask], **options)
        np.testing.assert_allclose(ours(metric, [heatmap], [mask]), expected, rtol=0, atol=1e-5)


def test_effective_complexity_is_theirs_as_a_share():
    (count,) = theirs("EffectiveComplexity", [RAMP], [SQUARE])
    assert ours(EffectiveComplexity(epsilon=1e-5), [RAMP], [SQUARE])[0] == count / 64 == 63 / 64


# ------------------------------------------------------------------------------------------------------- differences


def test_a_loud_neighbour_changes_their_values_and_not_ours():
    """63 of 64 pixels of a ramp are above 0, whatever lies beside it."""
    assert theirs("EffectiveComplexity", [RAMP], [SQUARE]) == [63]
    assert theirs("EffectiveComplexity", [RAMP, 1e6 * RAMP], [SQUARE] * 2) == [0, 63]
    raw = np.stack([RAMP, 1e6 * RAMP]).astype(np.float32)
    assert ours(EffectiveComplexity(epsilon=1e-5), normalise(raw), [SQUARE] * 2).tolist() == [63 / 64] * 2


def test_a_nan_in_one_map_spoils_their_value_of_another_and_not_ours():
    """The peak lies in the square: a hit."""
    broken = np.full((8, 8), np.nan)
    assert theirs("PointingGame", [PEAK], [SQUARE]) == [True]
    assert theirs("PointingGame", [PEAK, broken], [SQUARE] * 2) == [False, False]
    values = ours(PointingGame(), [PEAK, broken], [SQUARE] * 2)
    assert values[0] == 1
    assert np.isnan(values[1])


def test_a_nan_map_has_a_number_with_them_and_none_with_us():
    broken = np.full((8, 8), np.nan)
    assert theirs("RelevanceRankAccuracy", [broken], [SQUARE]) == [0]
    assert np.isnan(ours(RelevanceRank(), [broken], [SQUARE])).all()


def test_without_a_lesion_they_count_a_hit_and_we_count_nothing():
    """Nothing can be hit where nothing is."""
    nothing = np.zeros((8, 8))
    assert theirs("PointingGame", [PEAK], [nothing]) == [True]
    assert np.isnan(ours(PointingGame(), [PEAK], [nothing])).all()


def test_of_tied_maxima_one_inside_is_a_hit_with_them_and_a_chance_with_us():
    """A map of 63 equal pixels points at the square of nine with chance 9/63."""
    assert theirs("PointingGame", [NEARLY_FLAT], [SQUARE]) == [True]
    assert ours(PointingGame(), [NEARLY_FLAT], [SQUARE])[0] == pytest.approx(9 / 63, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "metric"),
    [("TopKIntersection", {"k": 8}, TopK(share=8 / 64)), ("RelevanceRankAccuracy", {}, RelevanceRank())],
)
def test_ties_are_broken_by_position_with_them_and_by_chance_with_us(name, options, metric):
    """Eight are drawn out of 63 tied pixels: a row that has seven of them gets 7/63 of the draws, a full one 8/63."""
    assert theirs(name, [NEARLY_FLAT], [FIRST_ROW], **options) == [7 / 8]
    assert theirs(name, [NEARLY_FLAT], [LAST_ROW], **options) == [0]
    assert ours(metric, [NEARLY_FLAT], [FIRST_ROW])[0] == pytest.approx(7 / 63, abs=1e-12)
    assert ours(metric, [NEARLY_FLAT], [LAST_ROW])[0] == pytest.approx(8 / 63, abs=1e-12)


def test_with_negative_values_their_share_of_the_mass_is_no_share():
    """Inside 1; in all 1 - 1.5 + 1 - .25 = .25: their share is 4. Of the positive values half lies inside."""
    raw, mask = np.array([[[1, -1.5], [1, -0.25]]], dtype=np.float32), [[[1, 0], [0, 0]]]
    assert theirs("RelevanceMassAccuracy", raw, mask)[0] == pytest.approx(4, abs=1e-4)
    assert ours(EnergyInRoi(), normalise(raw), mask)[0] == 1 / 2


def test_their_weighted_localisation_depends_on_the_size_of_the_batch():
    """Mass on the square over the whole: 279 / 2016. Weighted by size it cannot depend on who else is in the batch."""
    values = [theirs("AttributionLocalisation", [RAMP] * n, [SQUARE] * n, weighted=True)[0] for n in (1, 3, 4)]
    assert np.isinf(values[0])
    assert values[1] == pytest.approx(2 * values[2], rel=1e-5)
    share = sum(8 * row + column for row in (1, 2, 3) for column in (1, 2, 3)) / sum(range(64))
    for count in (1, 3, 4):
        np.testing.assert_allclose(ours(EnergyInRoi(), [RAMP] * count, [SQUARE] * count), [share] * count, rtol=1e-6)


class AlwaysFirst(nn.Module):
    """Class 0, whatever is shown."""

    def forward(self, images):
        return torch.stack([images.sum((1, 2, 3)) * 0 + 1, images.sum((1, 2, 3)) * 0], dim=1)


def test_their_road_scores_the_first_batch_only_and_one_image_at_a_time_scores_all():
    """Two images of class 0 and two of class 1, by a model that always says 0: half are right at every percentage."""
    maps, targets = np.stack([RAMP] * 4), np.array([0, 0, 1, 1])
    images = np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)
    asked = {"model": AlwaysFirst().eval(), "targets": targets, "images": images, "percentages": [10, 50]}
    assert theirs("ROAD", maps, [SQUARE] * 4, batch_size=2, **asked) == {10: 1.0, 50: 1.0}
    assert theirs("ROAD", maps, [SQUARE] * 4, batch_size=4, **asked) == {10: 0.5, 50: 0.5}
    one_by_one = [
        theirs("ROAD", maps[row : row + 1], [SQUARE], **(asked | {"targets": targets[[row]], "images": images[[row]]}))
        for row in range(4)
    ]
    assert [value[10] for value in one_by_one] == [1, 1, 0, 0]


def test_their_random_metrics_differ_from_run_to_run_and_through_us_they_do_not():
    """The correlation over random subsets depends on which subsets are drawn; a seed per image settles it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    classifier = TorchClassifier(network, ("a", "b"), None)
    rng = np.random.default_rng(0)
    case = Case(
        maps=rng.random((1, 8, 8), dtype=np.float32), raw=RAMP[None].astype(np.float32),
        images=rng.random((1, 1, 8, 8), dtype=np.float32), masks=SQUARE[None].astype(bool), lesions=((),), regions={},
        labels=np.zeros(1, np.int64), targets=np.zeros(1, np.int64), predictions=np.zeros(1, np.int64),
        logits=np.zeros((1, 2), np.float32), seeds=(4,), seconds=np.ones(1), forward=np.ones(1), backward=np.ones(1),
        classifier=classifier,
    )  # fmt: skip
    metric = Quantus("FaithfulnessCorrelation", nr_runs=10, subset_size=10)
    unseeded = [
        theirs("FaithfulnessCorrelation", case.maps, [SQUARE], network.eval(), images=case.images, state=state,
               nr_runs=10, subset_size=10)
        for state in (1, 2)
    ]  # fmt: skip
    assert unseeded[0] != unseeded[1]
    seeded = []
    for state in (1, 2):
        with isolated_randomness(state):
            seeded.append(metric.score(case)[0])
    assert seeded[0] == seeded[1]
    assert metric.score(dataclasses.replace(case, seeds=(5,)))[0] != seeded[0]
