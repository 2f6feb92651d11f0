import dataclasses
import math

import numpy as np
import pytest

from xaibench.errors import UsageError
from xaibench.metrics.stability import (
    Reproducibility,
    ReproducibilityIoU,
    Stability,
    StabilityIoU,
    StabilitySd,
    StabilitySSIM,
)

OVER_SEEDS = (Stability, StabilitySSIM, StabilityIoU, StabilitySd)
FIRST, SWAPPED = [[0.0, 0.2], [0.4, 1.0]], [[0.2, 0.0], [1.0, 0.4]]  # rank correlation .6, worked in test_likeness


def case_of(make_case, kind, *maps):
    """One image whose maps these are, the plain one first."""
    case = make_case([maps[0]], [[[1, 0], [0, 0]]])
    variants = {f"{kind}:{number}": np.float32([one]) for number, one in enumerate(maps) if number}
    return dataclasses.replace(case, variants=variants)


def test_stability_by_hand(make_case):
    case = case_of(make_case, "seed", FIRST, FIRST, SWAPPED)
    # Three pairs: the first two are the same, each of them correlates .6 with the third.
    assert Stability(seeds=2).score(case) == pytest.approx([(1 + 0.6 + 0.6) / 3], abs=1e-6)


def test_overlap_over_seeds_by_hand(make_case):
    case = case_of(make_case, "seed", [[1, 0.6], [0, 0]], [[1, 0.4], [0, 0]], [[0, 1], [0.5, 0]])
    # Highlighted: pixels {1, 2}, {1}, {2, 3}; overlaps 1/2, 1/3 and 0.
    assert StabilityIoU(seeds=2).score(case) == pytest.approx([(1 / 2 + 1 / 3 + 0) / 3])
    # At .3: {1, 2}, {1, 2}, {2, 3}; overlaps 1, 1/3, 1/3.
    assert StabilityIoU(seeds=2, threshold=0.3).score(case) == pytest.approx([5 / 9])


def test_standard_deviation_over_seeds_by_hand(make_case):
    case = case_of(make_case, "seed", [[0, 1], [0.5, 0]], [[1, 1], [0.5, 0.5]])
    # Of two values apart by d it is d over root 2; the differences are 1, 0, 0 and .5.
    assert StabilitySd(seeds=1).score(case) == pytest.approx([(1 + 0.5) / math.sqrt(2) / 4])


def test_the_standard_deviation_lies_at_the_end_of_its_range_for_opposite_maps(make_case):
    case = case_of(make_case, "seed", [[0, 1], [1, 0]], [[1, 0], [0, 1]])
    assert StabilitySd(seeds=1).score(case) == pytest.approx([StabilitySd.card.highest])


def test_structural_similarity_over_seeds_is_the_mean_over_pairs(make_case, random_case):
    from xaibench.metrics.likeness import ssim

    cases = [random_case(seed) for seed in (1, 2, 3)]
    case = dataclasses.replace(cases[0], variants={"seed:1": cases[1].maps, "seed:2": cases[2].maps})
    pairs = [ssim(cases[a].maps, cases[b].maps) for a, b in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(StabilitySSIM(seeds=2).score(case), np.mean(pairs, axis=0), atol=1e-12)


@pytest.mark.parametrize("metric", OVER_SEEDS)
def test_the_same_map_again_is_as_stable_as_can_be(metric, random_case):
    case = random_case(5)
    case = dataclasses.replace(case, variants={"seed:1": case.maps, "seed:2": case.maps})
    best = metric.card.highest if metric.card.higher_is_better else metric.card.lowest
    assert metric(seeds=2).score(case) == pytest.approx(best, abs=1e-7)


def test_noise_is_not_stable(make_case):
    maps = np.random.default_rng(0).random((3, 4, 64, 64)).astype(np.float32)
    case = make_case(maps[0], maps[0] > 0.5)
    case = dataclasses.replace(case, variants={"seed:1": maps[1], "seed:2": maps[2]})
    assert np.abs(Stability(seeds=2).score(case)).max() < 0.05
    assert StabilityIoU(seeds=2).score(case) == pytest.approx(1 / 3, abs=0.03)  # a quarter of three quarters
    assert StabilitySd(seeds=2).score(case) == pytest.approx(0.256, abs=0.01)  # of three uniform draws, on average


@pytest.mark.parametrize(("metric", "twin"), [(Reproducibility, Stability), (ReproducibilityIoU, StabilityIoU)])
def test_over_trainings_the_definition_is_the_same(metric, twin, make_case):
    maps = (FIRST, SWAPPED, [[1.0, 0.7], [0.0, 0.1]])
    trainings, seeds = case_of(make_case, "retrained", *maps), case_of(make_case, "seed", *maps)
    np.testing.assert_allclose(metric(retrainings=2).score(trainings), twin(seeds=2).score(seeds), atol=1e-12)


def test_the_variants_follow_from_the_parameters():
    assert Stability().card.variants == ("seed:1", "seed:2", "seed:3", "seed:4")
    assert Stability(seeds=1).card.variants == ("seed:1",)
    assert Stability.card.variants == Stability().card.variants
    assert Reproducibility(retrainings=2).card.variants == ("retrained:1", "retrained:2")
    assert {metric.card.profiles["quick"]["seeds"] for metric in OVER_SEEDS} == {2}


@pytest.mark.parametrize("metric", [*OVER_SEEDS, Reproducibility, ReproducibilityIoU])
def test_nothing_to_compare_with_is_refused(metric):
    with pytest.raises(UsageError, match="at least one more"):
        metric(0)


@pytest.mark.parametrize("metric", [StabilityIoU, ReproducibilityIoU])
@pytest.mark.parametrize("threshold", [0, 1.5, float("nan")])
def test_a_threshold_that_no_map_can_meet_is_refused(metric, threshold):
    with pytest.raises(UsageError, match="threshold"):
        metric(threshold=threshold)
