"""What must not matter to a metric of one map: scale, shift, neighbours, order, and the way the image lies."""

import dataclasses
from importlib.metadata import entry_points

import numpy as np
import pytest

from xaibench.normalise import normalise

OURS = {
    point.name: point for point in entry_points(group="xaibench.metrics") if point.value.startswith("xaibench.metrics")
}
NAMES = sorted(OURS)


@pytest.fixture(params=NAMES)
def metric(request):
    return OURS[request.param].load()()


def per_image(case, change):
    """The case with every array that has one row per image changed."""
    arrays = ("maps", "raw", "images", "masks", "labels", "targets", "predictions", "seconds", "forward", "backward")
    return dataclasses.replace(
        case,
        **{name: change(getattr(case, name)) for name in arrays},
        lesions=tuple((mask,) for mask in change(case.masks)),
        regions={name: change(region) for name, region in case.regions.items()},
        seeds=tuple(change(np.array(case.seeds)).tolist()),
    )


def test_the_registered_name_is_that_of_the_card():
    assert {name: point.load().card.name for name, point in OURS.items()} == {name: name for name in NAMES}


def test_values_lie_between_the_bounds_of_the_card(metric, random_case):
    values, card = metric.score(random_case(11)), metric.card
    assert values.shape == (8,)
    assert values.min() >= (-np.inf if card.lowest is None else card.lowest)
    assert values.max() <= (np.inf if card.highest is None else card.highest)


def test_the_map_matters_if_and_only_if_the_card_says_so(metric, random_case):
    case = random_case(11)
    other = dataclasses.replace(case, maps=random_case(12).maps)
    assert np.array_equal(metric.score(case), metric.score(other)) == (not metric.card.uses_map)


def test_batch_neighbours_do_not_matter(metric, random_case):
    case = random_case(11)
    alone = [metric.score(per_image(case, lambda array, i=i: array[i : i + 1]))[0] for i in range(8)]
    np.testing.assert_allclose(metric.score(case), alone, rtol=1e-12)


def test_the_order_of_a_batch_does_not_matter(metric, random_case):
    case, order = random_case(11), np.array([3, 0, 7, 1, 6, 2, 5, 4])
    shuffled = metric.score(per_image(case, lambda array: array[order]))
    np.testing.assert_allclose(shuffled, metric.score(case)[order], rtol=1e-12)


@pytest.mark.parametrize("move", [lambda a: a[..., ::-1], lambda a: a[..., ::-1, :], lambda a: np.swapaxes(a, -1, -2)])
def test_turning_map_and_masks_together_does_not_matter(metric, random_case, move):
    case = random_case(11)
    turned = per_image(case, lambda array: move(array) if array.ndim > 1 else array)
    np.testing.assert_allclose(metric.score(turned), metric.score(case), rtol=1e-12)


@pytest.mark.parametrize("scale", [0.001, 3.7, 1e6])
@pytest.mark.parametrize("shift", [0, 5])
def test_scale_and_shift_of_the_raw_map_do_not_matter(metric, random_case, scale, shift):
    case = random_case(11)
    other = dataclasses.replace(case, maps=normalise(((np.round(case.maps * 7) + shift) * scale).astype(np.float32)))
    np.testing.assert_allclose(metric.score(other), metric.score(case), rtol=2e-6)
