import numpy as np
import pytest

from xaibench.seeds import derive
from xaibench_leaderboard.statistics import REPLICATES, balanced_accuracy, coverage, mean_estimate, resamples


def bounds(estimate):
    return estimate.low, estimate.high


def test_the_mean_is_over_images_and_leaves_undefined_values_out():
    estimate = mean_estimate((1.0, None, 3.0, 8.0), ("a", "a", "b", "c"), "key")
    assert (estimate.mean, estimate.images, estimate.patients) == (4.0, 3, 3)


def test_without_a_defined_value_there_is_no_estimate():
    assert mean_estimate((), (), "key") is None
    assert mean_estimate((None, None), ("a", "b"), "key") is None


def test_one_patient_gives_a_mean_and_no_interval():
    estimate = mean_estimate((0.0, 1.0), ("a", "a"), "key")
    assert estimate.mean == 0.5
    assert bounds(estimate) == (None, None)


def test_a_patient_is_drawn_with_all_of_her_images():
    # Every patient's mean is 0.4: whoever is drawn, the mean stays. Drawing images would spread it from 0 to 0.8.
    values, patients = (0.0, 0.8) * 10, tuple(f"p{number // 2}" for number in range(20))
    assert bounds(mean_estimate(values, patients, "key")) == pytest.approx((0.4, 0.4))


def test_interval_worked_by_hand_for_two_unequal_patients():
    # Draws AA, AB, BA, BB with 1/4 each: means 0, 3/4, 3/4, 1. Both ends have 25 % of the weight.
    estimate = mean_estimate((0.0, 1.0, 1.0, 1.0), ("a", "b", "b", "b"), "key")
    assert estimate.mean == 0.75
    assert bounds(estimate) == (0.0, 1.0)


def test_interval_worked_by_hand_for_four_patients_of_whom_one_scores():
    # The mean of a draw is Binomial(4, 1/4) / 4: it exceeds 3/4 with 0.4 %, reaches 3/4 with 5.1 %, is 0 with 31.6 %.
    assert bounds(mean_estimate((0.0, 0.0, 0.0, 1.0), tuple("abcd"), "key")) == (0.0, 0.75)


def test_the_fast_bootstrap_agrees_with_one_that_pools_the_images_of_every_draw():
    rng = np.random.default_rng(5)
    patients = tuple(f"p{number}" for number in rng.integers(12, size=40))
    values = tuple(None if value < 0.1 else float(value) for value in rng.random(40))
    images = {}
    for value, patient in zip(values, patients, strict=True):
        if value is not None:
            images.setdefault(patient, []).append(value)
    names = sorted(images)
    draws = np.random.default_rng(derive("bootstrap", "key")).integers(len(names), size=(REPLICATES, len(names)))
    means = [np.mean([value for who in draw for value in images[names[who]]]) for draw in draws]
    estimate = mean_estimate(values, patients, "key")
    assert bounds(estimate) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=1e-12)


def test_every_replicate_draws_as_many_patients_as_there_are_and_each_equally_often():
    counts = resamples(7, "key")
    assert counts.shape == (REPLICATES, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)  # standard error 0.03
    assert counts.var() == pytest.approx(7 * (1 / 7) * (6 / 7), abs=0.1)


def test_the_key_alone_seeds_the_interval():
    values, patients = tuple(np.random.default_rng(0).random(30).tolist()), tuple(map(str, range(30)))
    mean_estimate.cache_clear()
    first = mean_estimate(values, patients, "one")
    mean_estimate.cache_clear()
    assert mean_estimate(values, patients, "one") == first
    assert mean_estimate(values, patients, "two") != first


def simulated_films(rng):
    """Sixty patients with two films that share most of what decides their value; the true mean is 0."""
    patient = np.repeat(rng.normal(size=60), 2)
    return tuple((patient + 0.5 * rng.normal(size=120)).tolist())


def coverage_of_truth(patients):
    rng = np.random.default_rng(2024)
    estimates = [mean_estimate(simulated_films(rng), patients, f"simulation {number}") for number in range(500)]
    return np.mean([estimate.low <= 0 <= estimate.high for estimate in estimates])


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    assert 0.90 <= coverage_of_truth(tuple(f"p{number // 2}" for number in range(120))) <= 0.98


def test_the_interval_would_be_too_narrow_if_films_of_one_patient_counted_as_independent():
    assert coverage_of_truth(tuple(f"p{number}" for number in range(120))) < 0.90


def test_balanced_accuracy_worked_by_hand(prediction):
    # Recalls 2/2, 1/2 and 4/4.
    estimate = balanced_accuracy(prediction((0, 0, 1, 1, 2, 2, 2, 2), (0, 0, 1, 0, 2, 2, 2, 2)))
    assert estimate.mean == pytest.approx(2.5 / 3)
    assert (estimate.images, estimate.patients) == (8, 4)


def test_always_saying_the_commonest_class_scores_chance(prediction):
    assert balanced_accuracy(prediction((0, 1, 2, 2, 2, 2, 2, 2), (2,) * 8)).mean == pytest.approx(1 / 3)


def test_a_class_without_images_does_not_count(prediction):
    assert balanced_accuracy(prediction((0, 0, 1, 1), (0, 0, 1, 0))).mean == pytest.approx(0.75)


def test_a_perfect_model_has_a_perfect_interval_though_replicates_lack_classes(prediction):
    estimate = balanced_accuracy(prediction((0, 0, 1, 1, 2, 2, 2, 2), (0, 0, 1, 1, 2, 2, 2, 2)))
    assert (estimate.mean, *bounds(estimate)) == pytest.approx((1, 1, 1))


def test_the_fast_balanced_accuracy_agrees_with_one_that_pools_the_images_of_every_draw(prediction):
    truth, said = (0, 0, 1, 1, 2, 2, 2, 1), (0, 1, 1, 0, 2, 2, 0, 1)
    made = prediction(truth, said)

    def slow(draw):
        pooled = [(truth[film], said[film]) for patient in draw for film in (2 * patient, 2 * patient + 1)]
        return np.mean([np.mean([b == a for a, b in pooled if a == true]) for true in {a for a, _ in pooled}])

    draws = np.random.default_rng(derive("bootstrap", made.key)).integers(4, size=(REPLICATES, 4))
    expected = np.percentile([slow(draw) for draw in draws], [2.5, 97.5])
    estimate = balanced_accuracy(made)
    assert bounds(estimate) == pytest.approx(tuple(expected), abs=1e-12)
    assert expected[0] < expected[1]


def test_coverage_is_the_share_of_maps_that_did_not_fail():
    assert coverage((True, False, False, False)) == 0.75
    assert coverage(()) is None
