"""What must not matter to a metric that runs the network: neighbours, order, the map's unit, how the image lies."""

import dataclasses
from importlib.metadata import entry_points

import numpy as np
import pytest

from xaibench.cases import taken
from xaibench.contracts import Curved
from xaibench.metrics import responses
from xaibench.normalise import normalise

OURS = {
    point.name: point
    for point in entry_points(group="xaibench.metrics")
    if point.value.startswith("xaibench.metrics") and point.load().card.family == "faithfulness"
}
# Sets, noise and segments lie where they lie, whichever way the image is turned.
TURNED = {
    **{name: {} for name in ("deletion", "insertion", "comprehensiveness", "sufficiency")},
    **{name: {} for name in ("average-drop", "increase-in-confidence")},
    **{name: {"cells": 4} for name in ("pixel-flipping", "monotonicity", "faithfulness-estimate")},
    **{name: {"infill": "blur"} for name in ("road", "road-morf", "road-lerf")},
    "irof": {"method": "grid", "segments": 6},
}


@pytest.fixture(params=sorted(OURS))
def metric(request):
    return OURS[request.param].load()()


@pytest.fixture
def case(kit):
    return kit.case(kit.Placed((12, 8)), kit.maps(0), kit.images(1), targets=[0, 1, 2, 1], seeds=[11, 12, 13, 14])


def test_all_of_them_are_here():
    assert len(OURS) >= 16


def test_the_registered_name_is_that_of_the_card(metric):
    assert OURS[metric.card.name].load() is type(metric)


def test_values_lie_between_the_bounds_of_the_card(kit, metric, case):
    found, card = kit.values(metric, case), metric.card
    assert found.shape == (4,)
    assert np.isfinite(found).all()
    assert found.min() >= (-np.inf if card.lowest is None else card.lowest)
    assert found.max() <= (np.inf if card.highest is None else card.highest)


def test_curves_have_the_places_of_the_card(metric, case):
    answer = metric.score(case)
    assert isinstance(answer, Curved) == bool(metric.card.curve)
    if isinstance(answer, Curved):
        assert answer.curves.shape == (4, len(metric.card.curve))


def test_neighbours_and_their_order_do_not_matter(kit, metric, case):
    together = kit.values(metric, case)
    responses.forget()
    alone = [kit.values(metric, taken(case, [row]))[0] for row in (3, 1, 0, 2)]
    np.testing.assert_allclose(together[[3, 1, 0, 2]], alone, atol=1e-5)


def test_what_was_asked_before_does_not_matter(kit, metric, case):
    first = kit.values(metric, case)
    np.testing.assert_array_equal(kit.values(metric, case), first)
    responses.forget()
    np.testing.assert_array_equal(kit.values(metric, case), first)


@pytest.mark.parametrize(("scale", "shift"), [(0.001, 0), (3.0, 5), (1e6, 0)])
def test_scale_and_shift_of_the_raw_map_do_not_matter(kit, metric, case, scale, shift):
    raw = np.round(case.maps * 95).astype(np.float32)
    plain, other = (
        dataclasses.replace(case, maps=normalise(some)) for some in (raw, (raw + shift) * np.float32(scale))
    )
    np.testing.assert_allclose(kit.values(metric, other), kit.values(metric, plain), atol=1e-5)


@pytest.mark.parametrize("name", sorted(TURNED))
@pytest.mark.parametrize("axis", [-1, -2])
def test_a_network_that_is_blind_to_place_gives_a_flipped_image_the_same_value(kit, name, axis):
    maps, images = kit.maps(0), kit.images(1)
    made = OURS[name].load()(**TURNED[name])
    upright = kit.values(made, kit.case(kit.Toned(), maps, images, targets=2))
    flipped = kit.case(kit.Toned(), np.flip(maps, axis), np.flip(images, axis), targets=2)
    np.testing.assert_allclose(kit.values(made, flipped), upright, atol=1e-5)


def test_the_target_matters(kit, metric, case):
    other = dataclasses.replace(case, targets=(case.targets + 1) % 3)
    assert not np.array_equal(kit.values(metric, case), kit.values(metric, other))


def test_the_infill_matters(kit, metric, case):
    other = type(metric)(infill="noise")
    if metric.card.name == "increase-in-confidence":
        pytest.skip("it is 0 or 1")
    assert not np.allclose(kit.values(metric, case), kit.values(other, case))


def test_a_case_without_the_network_is_refused(metric, case):
    with pytest.raises(ValueError, match="its card must ask"):
        metric.score(dataclasses.replace(case, classifier=None))


def test_answers_are_forgotten_when_there_are_too_many_and_asked_again(kit, case, monkeypatch):
    deletion = OURS["deletion"].load()(steps=8)
    first = kit.values(deletion, case)
    monkeypatch.setattr(responses, "ROWS", 10)
    responses.forget()
    np.testing.assert_array_equal(kit.values(deletion, case), first)
    before = case.classifier.counters.forward
    np.testing.assert_array_equal(kit.values(deletion, case), first)
    assert case.classifier.counters.forward == before + 3 * 8  # the last image's answers were kept


def test_another_seed_is_another_question_to_an_infill_of_chance(kit, case):
    deletion = OURS["deletion"].load()(steps=8, infill="noise")
    first = deletion.score(case).values
    assert not np.allclose(deletion.score(dataclasses.replace(case, seeds=(21, 22, 23, 24))).values, first)


def test_another_gate_is_another_question(kit, case):
    """A network gated by the lesions answers otherwise where the lesions are others, even for the same image."""
    deletion = OURS["deletion"].load()(steps=8)
    deletion.score(case)
    before = case.classifier.counters.forward
    deletion.score(dataclasses.replace(case, masks=~case.masks))
    assert case.classifier.counters.forward == 2 * before


def test_another_region_is_another_question(kit, case):
    """Likewise for a network gated by a marker."""
    deletion, marked = OURS["deletion"].load()(steps=8), dataclasses.replace(case, regions={"marker": case.masks})
    deletion.score(marked)
    before = case.classifier.counters.forward
    deletion.score(dataclasses.replace(marked, regions={"marker": ~case.masks}))
    assert case.classifier.counters.forward == 2 * before


@pytest.mark.parametrize("kind", ["lesions", "marker"])
def test_the_gate_of_one_image_is_a_question_about_this_image_alone(kit, case, kind):
    deletion, shown = OURS["deletion"].load()(steps=8), np.zeros_like(case.masks)
    gated = {"lesions": lambda some: {"masks": some}, "marker": lambda some: {"regions": {"marker": some}}}[kind]
    deletion.score(dataclasses.replace(case, **gated(shown)))
    before = case.classifier.counters.forward
    other = shown.copy()
    other[2, 3:5] = True
    deletion.score(dataclasses.replace(case, **gated(other)))
    assert case.classifier.counters.forward == before + 8
