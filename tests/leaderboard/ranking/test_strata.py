from dataclasses import replace

import pytest

from xaibench_leaderboard.strata import strata_of


@pytest.fixture
def sized(campaign):
    """Nine films of nine patients whose lesions cover 1 to 9 %; the score is ten times that."""
    made = campaign(patients=9, films=1).metric("iou", needs=frozenset({"mask"})).metric("seconds", "cost")
    shares = tuple(number / 100 for number in range(1, 10))
    made.add("a", "iou", [10 * share for share in shares]).add("a", "seconds", 1.0)
    made.scores = [replace(one, shares=shares) for one in made.scores]
    return made


def means(made):
    return {one.stratum: one.estimate and pytest.approx(one.estimate.mean) for one in strata_of(made.results())}


def test_thirds_of_the_lesions_by_size_worked_by_hand(sized):
    assert means(sized) == {"small lesions": 0.2, "medium lesions": 0.5, "large lesions": 0.8}
    small, medium, large = strata_of(sized.results())
    assert (small.low, small.high, large.high) == pytest.approx((0.01, 0.03 + 2 / 300, 0.09))
    assert (small.estimate.images, medium.estimate.patients) == (3, 3)


def test_scores_where_the_model_was_right_and_where_it_was_wrong(sized):
    sized.prediction((1,) * 9, (1, 1, 1, 1, 0, 0, 0, 0, 0))
    found = means(sized)
    assert (found["model right"], found["model wrong"]) == (0.25, 0.7)


def test_a_stratum_without_images_has_no_number(sized):
    sized.prediction((1,) * 9, (1,) * 9)
    assert means(sized)["model wrong"] is None


def test_lesions_of_one_size_are_all_in_the_smallest_third(sized):
    sized.scores = [replace(one, shares=(0.05,) * 9) for one in sized.scores]
    found = {one.stratum: one.estimate.images if one.estimate else 0 for one in strata_of(sized.results())}
    assert found == {"small lesions": 9, "medium lesions": 0, "large lesions": 0}


def test_results_that_know_no_sizes_have_no_strata_by_size(sized):
    sized.scores = [replace(one, shares=()) for one in sized.scores]
    assert list(strata_of(sized.results())) == []
