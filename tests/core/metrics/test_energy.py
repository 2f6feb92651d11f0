import math

import numpy as np

from xaibench.metrics.energy import EnergyInMarker, EnergyInRoi

HEATMAP = np.array([[1.0, 0.5], [0.25, 0.0]])


def one(make_case, heatmap, mask):
    return EnergyInRoi().score(make_case([heatmap], [mask]))[0]


def test_energy_by_hand(make_case):
    # 1 + .25 of 1.75 in all; every number is exact in binary but the quotient.
    assert one(make_case, HEATMAP, [[1, 0], [1, 0]]) == 1.25 / 1.75


def test_all_energy_inside_is_1_and_all_outside_0(make_case):
    assert one(make_case, HEATMAP, [[1, 1], [1, 0]]) == 1
    assert one(make_case, HEATMAP, [[0, 0], [0, 1]]) == 0


def test_ties_everywhere_give_the_lesions_share_of_the_image(make_case):
    assert one(make_case, np.ones((2, 2)), [[1, 0], [0, 0]]) == 1 / 4


def test_one_pixel_and_a_full_mask(make_case):
    assert one(make_case, HEATMAP, [[0, 1], [0, 0]]) == 0.5 / 1.75
    assert one(make_case, HEATMAP, [[1, 1], [1, 1]]) == 1


def test_several_lesions_count_together_and_overlaps_once(make_case):
    first, second = np.array([[[1, 1], [0, 0]], [[1, 0], [0, 0]]], dtype=bool)
    case = make_case([HEATMAP], [first | second], lesions=((first, second),))
    assert EnergyInRoi().score(case)[0] == 1.5 / 1.75


def test_energy_in_marker_looks_at_the_marker_alone(make_case):
    case = make_case([HEATMAP], [[[1, 0], [0, 0]]], marker=[[[0, 1], [1, 0]]])
    assert EnergyInMarker().score(case)[0] == 0.75 / 1.75


def test_the_marker_is_no_claim_of_quality_and_asks_for_its_region():
    assert EnergyInMarker.card.region == "marker"
    assert not EnergyInMarker.card.claims_quality
    assert EnergyInRoi.card.claims_quality


def slow(heatmap, region):
    inside = [float(value) for place, value in np.ndenumerate(heatmap) if region[place]]
    return math.fsum(inside) / math.fsum(float(value) for value in heatmap.flat)


def test_both_agree_with_their_slow_twin(random_case):
    case = random_case(7)
    for metric, regions in ((EnergyInRoi(), case.masks), (EnergyInMarker(), case.regions["marker"])):
        twin = [slow(heatmap, region) for heatmap, region in zip(case.maps, regions, strict=True)]
        np.testing.assert_allclose(metric.score(case), twin, rtol=0, atol=1e-9)


def test_sums_are_taken_in_double_precision(make_case):
    """A sum of a million float32 values in float32 is right to six digits or so."""
    heatmap = np.full((1024, 1024), 0.1)
    heatmap[0, 0] = 1
    tenth = float(np.float32(0.1))
    expected = 1 / (1 + tenth * (1024 * 1024 - 1))
    mask = np.zeros((1024, 1024), dtype=bool)
    mask[0, 0] = True
    np.testing.assert_allclose(one(make_case, heatmap, mask), expected, rtol=1e-12)
