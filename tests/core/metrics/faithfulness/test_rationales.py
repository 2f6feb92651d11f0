"""Comprehensiveness and sufficiency, average drop and increase in confidence, worked by hand."""

import numpy as np
import pytest
import torch

from xaibench.errors import UsageError
from xaibench.metrics.confidence import AverageDrop, IncreaseInConfidence
from xaibench.metrics.deletion import Deletion, Insertion
from xaibench.metrics.rationale import Comprehensiveness, Sufficiency


def linear(kit):
    return kit.case(kit.Weighed([[[8, 4, 2, 1]]]), [[[0.9, 0.5, 0.7, 0.1]]], np.ones((1, 1, 1, 4)))


def test_comprehensiveness_and_sufficiency_by_hand(kit):
    params = {"percentages": "25,50", "infill": "black", "output": "logit"}
    lost = Comprehensiveness(**params).score(linear(kit))
    np.testing.assert_allclose(lost.curves, [[8, 10]])  # without the 8; without the 8 and the 2
    np.testing.assert_allclose(lost.values, [9])
    lost = Sufficiency(**params).score(linear(kit))
    np.testing.assert_allclose(lost.curves, [[7, 5]])  # 15 - 8; 15 - (8 + 2)
    np.testing.assert_allclose(lost.values, [6])


def test_they_cost_only_the_places_which_the_curves_have_not_been_to(kit):
    case = kit.case(kit.Placed((20, 10)), kit.maps(0, 2, (20, 10)), kit.images(1, 2, (20, 10)))
    Deletion(steps=20).score(case)
    assert case.classifier.counters.forward == 2 * 20  # the untouched image is known
    Insertion(steps=20).score(case)
    assert case.classifier.counters.forward == 2 * (20 + 19)  # and now what is seen when all is hidden
    Comprehensiveness().score(case)
    Sufficiency().score(case)
    assert case.classifier.counters.forward == 2 * (20 + 19 + 2)  # 1 % each; 5, 10, 20 and 50 % are known
    Deletion(steps=20, output="logit").score(case)
    assert case.classifier.counters.forward == 2 * (20 + 19 + 2)


@pytest.mark.parametrize("percentages", ["", "0", "101", "5;10", "nan"])
def test_percentages_that_cannot_be_are_refused(percentages):
    with pytest.raises(UsageError, match="percentages"):
        Sufficiency(percentages=percentages)


def through_the_map(kit, heatmap, weights):
    return kit.case(kit.Weighed([[weights]]), [[heatmap]], np.ones((1, 1, 1, 2)))


def test_average_drop_by_hand(kit):
    # Odds 4 for the image; through the map 4^(1/2) = 2: probabilities 4/5 and 2/3, a sixth is lost.
    case = through_the_map(kit, [0.5, 1.0], [np.log(4), 0])
    np.testing.assert_allclose(AverageDrop().score(case), [(4 / 5 - 2 / 3) / (4 / 5)], rtol=1e-5)
    assert IncreaseInConfidence().score(case) == [0]
    assert case.classifier.counters.forward == 1  # the two share it


def test_a_gain_is_no_drop_by_hand(kit):
    case = through_the_map(kit, [1.0, 0.0], [np.log(4), -np.log(2)])  # what speaks against the class is hidden
    assert AverageDrop().score(case) == [0]
    assert IncreaseInConfidence().score(case) == [1]


def test_a_map_that_shows_everything_loses_and_gains_nothing(kit):
    case = through_the_map(kit, [1.0, 1.0], [1, 2])
    np.testing.assert_allclose(AverageDrop().score(case), [0], atol=1e-6)
    assert IncreaseInConfidence().score(case) == [0]


def test_the_drop_is_relative_to_the_confidence_there_was_and_that_of_pytorch_grad_cam_is_not(kit):
    drops = pytest.importorskip("pytorch_grad_cam.metrics.cam_mult_image")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    case = through_the_map(kit, [0.0, 1.0], [np.log(0.4 / 0.6) - np.log(0.2 / 0.8), np.log(0.2 / 0.8)])
    theirs = drops.DropInConfidence()(
        torch.from_numpy(case.images), case.maps, [targets.ClassifierOutputSoftmaxTarget(int(case.targets[0]))],
        case.classifier.network,
    )  # fmt: skip
    np.testing.assert_allclose(theirs, [0.4 - 0.2], rtol=1e-5)
    np.testing.assert_allclose(AverageDrop().score(case), [(0.4 - 0.2) / 0.4], rtol=1e-5)


def test_a_rationale_may_be_the_whole_image(kit):
    case = linear(kit)
    np.testing.assert_allclose(Sufficiency(percentages="100", output="logit").score(case).values, [0], atol=1e-6)
    np.testing.assert_allclose(
        Comprehensiveness(percentages="100", output="logit", infill="black").score(case).values, [8 + 4 + 2 + 1]
    )
