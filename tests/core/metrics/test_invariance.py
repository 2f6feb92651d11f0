"""What must not matter to a metric that looks at maps alone: scale, shift, neighbours, order, how the image lies."""

import dataclasses
from importlib.metadata import entry_points

import numpy as np
import pytest

from xaibench.cases import taken
from xaibench.contracts import Curved
from xaibench.metrics.overlap import IoU
from xaibench.normalise import normalise


def looks_at_the_map_alone(card):
    return "model" not in card.needs and not card.variants


OURS = {
    point.name: point for point in entry_points(group="xaibench.metrics") if point.value.startswith("xaibench.metrics")
}
NAMES = sorted(name for name, point in OURS.items() if looks_at_the_map_alone(point.load().card))
LESIONS = [name for name in NAMES if "mask" in OURS[name].load().card.needs]


def made(name):
    return OURS[name].load()()


@pytest.fixture(params=NAMES)
def metric(request):
    return made(request.param)


def values_of(metric, case):
    answer = metric.score(case)
    return np.asarray(answer.values if isinstance(answer, Curved) else answer, dtype=np.float64)


def with_pixels(case, change):
    """The case with everything that has rows and columns changed alike."""
    return dataclasses.replace(
        case,
        **{name: change(getattr(case, name)) for name in ("maps", "raw", "images", "masks")},
        lesions=tuple(tuple(map(change, lesions)) for lesions in case.lesions),
        regions={name: change(region) for name, region in case.regions.items()},
    )


def with_maps(case, maps):
    return dataclasses.replace(case, maps=np.asarray(maps, dtype=np.float32))


def test_the_registered_name_is_that_of_the_card():
    assert {name: made(name).card.name for name in NAMES} == {name: name for name in NAMES}


def test_values_lie_between_the_bounds_of_the_card(metric, random_case):
    values, card = values_of(metric, random_case(11)), metric.card
    assert values.shape == (8,)
    known = values[~np.isnan(values)]
    assert (known >= (-np.inf if card.lowest is None else card.lowest)).all()
    assert (known <= (np.inf if card.highest is None else card.highest)).all()


def test_a_failed_map_is_worth_the_bad_end_of_the_range_or_nothing(metric):
    card = metric.card
    assert card.worst in (None, card.lowest if card.higher_is_better else card.highest)


def test_the_map_matters_if_and_only_if_the_card_says_so(metric, random_case):
    case = random_case(11)
    other = with_maps(case, random_case(12).maps)
    assert np.array_equal(values_of(metric, case), values_of(metric, other), equal_nan=True) != metric.card.uses_map


def test_batch_neighbours_do_not_matter(metric, random_case):
    case = random_case(11)
    alone = [values_of(metric, taken(case, [row]))[0] for row in range(8)]
    np.testing.assert_allclose(values_of(metric, case), alone, rtol=1e-12)


def test_the_order_of_a_batch_does_not_matter(metric, random_case):
    case, order = random_case(11), [3, 0, 7, 1, 6, 2, 5, 4]
    np.testing.assert_allclose(values_of(metric, taken(case, order)), values_of(metric, case)[order], rtol=1e-12)


@pytest.mark.parametrize("move", [lambda a: a[..., ::-1], lambda a: a[..., ::-1, :], lambda a: np.swapaxes(a, -1, -2)])
def test_turning_map_and_masks_together_does_not_matter(metric, random_case, move):
    case = random_case(11)
    np.testing.assert_allclose(values_of(metric, with_pixels(case, move)), values_of(metric, case), rtol=1e-12)


@pytest.mark.parametrize("scale", [0.001, 3.7, 1e6])
@pytest.mark.parametrize("shift", [0, 5])
def test_scale_and_shift_of_the_raw_map_do_not_matter(metric, random_case, scale, shift):
    case = random_case(11)
    other = with_maps(case, normalise(((np.round(case.maps * 7) + shift) * scale).astype(np.float32)))
    np.testing.assert_allclose(values_of(metric, other), values_of(metric, case), rtol=2e-6)


def test_unsound_maps_and_missing_lesions_spoil_no_neighbour_and_raise_no_warning(metric, random_case):
    case = random_case(11)
    maps, masks = case.maps.copy(), case.masks.copy()
    maps[1], maps[3], maps[5], masks[6] = 0, np.nan, 1, False
    spoilt = dataclasses.replace(
        with_maps(case, maps), masks=masks, lesions=tuple((mask,) if mask.any() else () for mask in masks)
    )
    sound = [0, 2, 4, 7]
    np.testing.assert_array_equal(values_of(metric, spoilt)[sound], values_of(metric, case)[sound])


def test_the_value_of_a_map_with_a_nan_is_undefined_and_never_a_number(metric, random_case):
    if not metric.card.uses_map:
        pytest.skip("the map is not looked at")
    case = random_case(11)
    maps = case.maps.copy()
    maps[2, 4, 4] = np.nan
    np.testing.assert_array_equal(np.isnan(values_of(metric, with_maps(case, maps)))[2], True)


@pytest.mark.parametrize("name", LESIONS)
def test_without_a_lesion_the_value_is_undefined_and_no_hit(name, make_case):
    empty = make_case([np.eye(4)], np.zeros((1, 4, 4)), lesions=((),))
    assert np.isnan(values_of(made(name), empty)).all()


@pytest.mark.parametrize("name", LESIONS)
def test_the_lesion_itself_has_the_best_value_there_is(name, make_case):
    mask = np.zeros((1, 8, 8))
    mask[0, 2:4, 3:6] = 1
    # The 64 pixels' highest 2 % is one pixel, which ties with the other five of the lesion.
    np.testing.assert_allclose(values_of(made(name), make_case(mask, mask)), [made(name).card.highest], atol=1e-12)


@pytest.mark.parametrize("name", LESIONS)
@pytest.mark.parametrize("size", [(1, 1), (8, 8)])
def test_one_pixel_and_a_full_mask_have_a_value_in_the_range(name, size, make_case):
    mask = np.zeros((1, 8, 8))
    mask[0, : size[0], : size[1]] = 1
    maps = np.arange(64, dtype=np.float32).reshape(1, 8, 8) / 63
    (value,) = values_of(made(name), make_case(maps, mask))
    if name == "auroc" and mask.all():
        assert np.isnan(value), "no pixel lies outside"
    else:
        assert 0 <= value <= 1


def test_neighbours_do_matter_to_a_metric_that_looks_at_them(random_case):
    """The checks above can fail: a metric that normalises by its batch, as some toolkits do, is caught."""

    class ByBatch(IoU):
        def score(self, case):
            return super().score(with_maps(case, case.maps * np.linspace(0.1, 1, len(case.maps))[:, None, None]))

    case = random_case(11)
    alone = [ByBatch().score(taken(case, [row]))[0] for row in range(8)]
    assert not np.allclose(ByBatch().score(case), alone)
