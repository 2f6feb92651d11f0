import dataclasses
import math

import numpy as np
import pytest

from xaibench.errors import UsageError
from xaibench.metrics.robustness import AvgSensitivity, LocalLipschitz, MaxSensitivity, NoiseAgreement
from xaibench.variants import image_of, parse

ALL = (MaxSensitivity, AvgSensitivity, LocalLipschitz, NoiseAgreement)
PLAIN, NEAR, FAR = [[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.5]], [[0.0, 0.0], [0.0, 1.0]]


@pytest.fixture
def noisy(make_case):
    """One image whose map moves by .5 under the first draw of noise, and by root 2 under the second."""
    case = make_case([PLAIN], [[[1, 0], [0, 0]]])
    variants = {"noise:uniform:0.02:1": np.float32([NEAR]), "noise:uniform:0.02:2": np.float32([FAR])}
    return dataclasses.replace(case, variants=variants)


def test_max_sensitivity_by_hand(noisy):
    assert MaxSensitivity(draws=2).score(noisy) == pytest.approx([math.sqrt(2)])


def test_avg_sensitivity_by_hand(noisy):
    assert AvgSensitivity(draws=2).score(noisy) == pytest.approx([(0.5 + math.sqrt(2)) / 2])


@pytest.mark.parametrize("metric", [MaxSensitivity, AvgSensitivity])
def test_sensitivity_is_relative_to_the_norm_of_the_map(metric, make_case):
    case = make_case([np.ones((2, 2))], [np.ones((2, 2))])  # of norm 2
    case = dataclasses.replace(case, variants={"noise:uniform:0.02:1": np.float32([[[1, 1], [1, 0.5]]])})
    assert metric(draws=1).score(case) == pytest.approx([0.5 / 2])


def test_local_lipschitz_is_per_change_of_the_image(noisy):
    seed, grey = noisy.seeds[0], np.full((1, 2, 2), 0.5, dtype=np.float32)
    case = dataclasses.replace(noisy, images=grey[None])
    moved = [
        math.dist(image_of(parse(f"noise:uniform:0.02:{draw}"), grey, seed).ravel(), grey.ravel()) for draw in (1, 2)
    ]
    assert 0 < min(moved) <= max(moved) <= 0.02 * 2, "four pixels, each by .02 at most"
    expected = max(0.5 / moved[0], math.sqrt(2) / moved[1])
    assert LocalLipschitz(draws=2).score(case) == pytest.approx([expected], rel=1e-5)


def test_what_clipping_takes_from_the_noise_is_no_change_of_the_image(noisy):
    """On a white image half of the noise is cut off, so the same change of the map weighs more."""
    grey, white = (np.full((1, 1, 8, 8), tone, dtype=np.float32) for tone in (0.5, 1.0))
    metric = LocalLipschitz(draws=2)
    on_grey, on_white = (metric.score(dataclasses.replace(noisy, images=images))[0] for images in (grey, white))
    assert on_white > on_grey * 1.2


def test_noise_that_clipping_takes_away_whole_is_no_draw(noisy):
    """One white pixel: noise that would brighten it does nothing."""
    variants = [parse(f"noise:uniform:0.02:{draw}") for draw in (1, 2)]
    white = np.ones((1, 1, 1), dtype=np.float32)
    moves = {seed: [1 - image_of(one, white, seed).item() for one in variants] for seed in range(40)}
    values = {}
    for seed in moves:
        case = dataclasses.replace(noisy, images=white[None], seeds=(seed,))
        values[seed] = LocalLipschitz(draws=2).score(case)[0]
    assert {sum(move > 0 for move in pair) for pair in moves.values()} == {0, 1, 2}
    for seed, (first, second) in moves.items():
        rates = [change / move for change, move in ((0.5, first), (math.sqrt(2), second)) if move > 0]
        assert values[seed] == pytest.approx(max(rates, default=math.nan), rel=1e-4, nan_ok=True)


def test_agreement_under_noise_by_hand(make_case):
    case = make_case([[[0.0, 0.2], [0.4, 1.0]]], [[[1, 0], [0, 0]]])
    swapped = np.float32([[[0.2, 0.0], [1.0, 0.4]]])  # rank correlation .6, worked in test_likeness
    case = dataclasses.replace(case, variants={"noise:normal:0.1:1": case.maps, "noise:normal:0.1:2": swapped})
    metric = NoiseAgreement(draws=2, radius=0.1, noise="normal")
    assert metric.score(case) == pytest.approx([(1 + 0.6) / 2], abs=1e-6)


@pytest.mark.parametrize("metric", ALL)
def test_a_map_that_does_not_move_is_as_robust_as_can_be(metric, random_case):
    case, made = random_case(3), metric(draws=2)
    images = np.random.default_rng(0).random((8, 1, 12, 10)).astype(np.float32)
    case = dataclasses.replace(case, images=images, variants=dict.fromkeys(made.card.variants, case.maps))
    assert made.score(case) == pytest.approx(1 if metric is NoiseAgreement else 0, abs=1e-9)


def test_the_variants_follow_from_the_parameters():
    assert MaxSensitivity(draws=2, radius=0.1).card.variants == ("noise:uniform:0.1:1", "noise:uniform:0.1:2")
    assert AvgSensitivity(draws=1, radius=1, noise="normal").card.variants == ("noise:normal:1.0:1",)
    assert len({metric().card.variants for metric in ALL}) == 1, "one set of maps serves them all"
    assert not any(metric.card.default for metric in ALL)


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"radius": 0}, {"radius": float("nan")}, {"noise": "pink"}])
@pytest.mark.parametrize("metric", ALL)
def test_noise_that_is_none_is_refused(metric, wrong):
    with pytest.raises(UsageError, match="give at least one draw, a radius above 0"):
        metric(**wrong)
