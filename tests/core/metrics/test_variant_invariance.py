"""What must not matter to a metric that compares maps: neighbours, order, the lesions, how the image lies, its unit."""

import dataclasses
from importlib.metadata import entry_points

import numpy as np
import pytest

from xaibench.cases import taken
from xaibench.contracts import Curved
from xaibench.normalise import normalise

OURS = {
    point.name: point.load()
    for point in entry_points(group="xaibench.metrics")
    if point.value.startswith("xaibench.metrics")
}
NAMES = sorted(name for name, metric in OURS.items() if metric.card.variants)
TURNS = [lambda a: a[..., ::-1], lambda a: a[..., ::-1, :], lambda a: np.swapaxes(a, -1, -2)]


@pytest.fixture(params=NAMES)
def metric(request):
    return OURS[request.param]()


@pytest.fixture
def case(metric, random_case):
    """Eight images whose variants are as different as maps of other images."""
    found = random_case(1)
    images = np.random.default_rng(0).random((8, 1, 12, 10)).astype(np.float32)
    variants = {name: random_case(2 + place).maps for place, name in enumerate(metric.card.variants)}
    return dataclasses.replace(found, images=images, variants=variants)


def values_of(metric, case):
    answer = metric.score(case)
    return np.asarray(answer.values if isinstance(answer, Curved) else answer, dtype=np.float64)


def with_maps(case, change):
    variants = {name: change(maps) for name, maps in case.variants.items()}
    return dataclasses.replace(case, maps=change(case.maps), raw=change(case.raw), variants=variants)


def test_metrics_are_found():
    assert {"stability", "max-sensitivity", "mprt", "class-sensitivity", "reproducibility"} <= set(NAMES)


def test_the_registered_name_is_that_of_the_card():
    assert {name: OURS[name].card.name for name in NAMES} == {name: name for name in NAMES}


def test_values_lie_between_the_bounds_of_the_card(metric, case):
    values, card = values_of(metric, case), metric.card
    assert values.shape == (8,)
    assert values.min() >= (-np.inf if card.lowest is None else card.lowest)
    assert values.max() <= (np.inf if card.highest is None else card.highest)


def test_a_failed_map_is_worth_the_bad_end_of_the_range(metric):
    card = metric.card
    assert card.worst == (card.lowest if card.higher_is_better else card.highest)


def test_every_variant_matters(metric, case, random_case):
    for name in metric.card.variants:
        maps = random_case(99).maps
        other = dataclasses.replace(case, variants={**case.variants, name: maps})
        answers = [metric.score(one) for one in (case, other)]
        found = [one.curves if isinstance(one, Curved) else one for one in answers]
        if metric.card.name in ("max-sensitivity", "local-lipschitz"):  # the largest alone counts
            far = {**dict.fromkeys(case.variants, case.maps), name: maps}
            found[1] = metric.score(dataclasses.replace(case, variants=far))
            assert found[1].min() > 0
        assert not np.array_equal(*found)


def test_batch_neighbours_do_not_matter(metric, case):
    alone = [values_of(metric, taken(case, [row]))[0] for row in range(8)]
    np.testing.assert_allclose(values_of(metric, case), alone, rtol=1e-12, atol=1e-15)


def test_the_order_of_a_batch_does_not_matter(metric, case):
    order = [3, 0, 7, 1, 6, 2, 5, 4]
    values = values_of(metric, case)
    np.testing.assert_allclose(values_of(metric, taken(case, order)), values[order], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("turn", TURNS, ids=["left-right", "top-bottom", "transposed"])
def test_turning_all_maps_together_does_not_matter(metric, case, turn):
    values = values_of(metric, with_maps(case, lambda maps: np.ascontiguousarray(turn(maps))))
    if metric.card.name == "local-lipschitz":  # the image stays: how far the noise moves it is another matter
        assert case.images.shape == (8, 1, 12, 10)
    np.testing.assert_allclose(values, values_of(metric, case), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("scale", [0.001, 3.7, 1e6])
@pytest.mark.parametrize("shift", [0, 5])
def test_scale_and_shift_of_the_raw_maps_do_not_matter(metric, case, scale, shift):
    other = with_maps(case, lambda maps: normalise(((np.round(maps * 7) + shift) * scale).astype(np.float32)))
    np.testing.assert_allclose(values_of(metric, other), values_of(metric, case), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["empty", "full", "one pixel"])
def test_the_lesions_do_not_matter(metric, case, kind):
    masks = np.full(case.masks.shape, kind == "full")
    masks[:, 0, 0] |= kind == "one pixel"
    several = tuple((mask, mask) for mask in masks)
    other = dataclasses.replace(case, masks=masks, lesions=several)
    np.testing.assert_array_equal(values_of(metric, other), values_of(metric, case))


def test_maps_of_two_levels_where_every_pixel_is_tied_have_a_value(metric, case):
    values = values_of(metric, with_maps(case, lambda maps: np.round(maps)))
    assert np.isfinite(values).all()
