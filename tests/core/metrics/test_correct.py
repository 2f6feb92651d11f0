import dataclasses

import numpy as np
import pytest

from xaibench.errors import UsageError
from xaibench.metrics.correct import LLAccuracy, LLScore
from xaibench.metrics.overlap import IoU


def judged(make_case):
    """Four images: IoU 1, 1/2, 1/4 and 0; the second and the last are classified wrongly."""
    maps = [[[1, 0], [0, 0]], [[1, 1], [0, 0]], [[1, 1], [1, 1]], [[0, 1], [0, 0]]]
    case = make_case(maps, [[[1, 0], [0, 0]]] * 4)
    return dataclasses.replace(case, labels=np.array([1, 1, 2, 2]), predictions=np.array([1, 0, 2, 0]))


def test_ll_score_is_the_overlap_where_the_model_is_right_and_undefined_elsewhere(make_case):
    np.testing.assert_array_equal(LLScore().score(judged(make_case)), [1, np.nan, 1 / 4, np.nan])


def test_ll_accuracy_is_the_overlap_where_the_model_is_right_and_0_elsewhere(make_case):
    assert LLAccuracy().score(judged(make_case)).tolist() == [1, 0, 1 / 4, 0]


def test_the_mean_of_ll_accuracy_is_accuracy_times_ll_score(make_case):
    case = judged(make_case)
    accuracy = np.mean(case.predictions == case.labels)
    assert accuracy == 1 / 2
    assert np.mean(LLAccuracy().score(case)) == pytest.approx(accuracy * np.nanmean(LLScore().score(case)), abs=1e-12)


def test_the_class_explained_does_not_matter_only_the_class_predicted(make_case):
    case = judged(make_case)
    other = dataclasses.replace(case, targets=np.array([0, 2, 0, 1]))
    np.testing.assert_array_equal(LLScore().score(case), LLScore().score(other))


def test_of_a_model_that_is_always_right_both_are_the_iou(random_case):
    case = random_case(9)
    for threshold in (0.5, 0.2):
        expected = IoU(threshold=threshold).score(case)
        np.testing.assert_array_equal(LLScore(threshold=threshold).score(case), expected)
        np.testing.assert_array_equal(LLAccuracy(threshold=threshold).score(case), expected)


def test_a_model_that_is_always_wrong_has_no_ll_score_and_an_ll_accuracy_of_0(random_case):
    case = random_case(9)
    wrong = dataclasses.replace(case, predictions=1 - case.labels)
    assert np.isnan(LLScore().score(wrong)).all()
    assert not LLAccuracy().score(wrong).any()


@pytest.mark.parametrize("metric", [LLScore, LLAccuracy])
def test_a_threshold_that_no_map_can_meet_is_refused(metric):
    with pytest.raises(UsageError, match="threshold"):
        metric(threshold=0)


def test_what_has_no_overlap_has_none_whether_the_model_is_right_or_wrong(make_case):
    case = make_case([np.eye(2)] * 2, np.zeros((2, 2, 2)), lesions=((), ()))
    case = dataclasses.replace(case, labels=np.array([1, 0]), predictions=np.array([1, 1]))
    assert np.isnan(LLAccuracy().score(case)).all()
    assert np.isnan(LLScore().score(case)).all()
