import numpy as np
import pytest
from scipy import stats

from xaibench.seeds import derive
from xaibench_leaderboard.statistics import (
    REPLICATES,
    _bias,
    balanced_accuracy,
    bca,
    coverage,
    estimates,
    mean_estimate,
    resamples,
)


def bounds(estimate):
    return estimate.low, estimate.high


def test_the_mean_is_over_images_and_leaves_undefined_values_out():
    estimate = mean_estimate((1.0, None, 3.0, 8.0), ("a", "a", "b", "c"))
    assert (estimate.mean, estimate.images, estimate.patients) == (4.0, 3, 3)


def test_without_a_defined_value_there_is_no_estimate():
    assert mean_estimate((), ()) is None
    assert mean_estimate((None, None), ("a", "b")) is None


def test_one_patient_gives_a_mean_and_no_interval():
    estimate = mean_estimate((0.0, 1.0), ("a", "a"))
    assert estimate.mean == 0.5
    assert bounds(estimate) == (None, None)


def test_a_patient_is_drawn_with_all_of_her_images():
    # Every patient's mean is 0.4: whoever is drawn, the mean stays. Drawing images would spread it from 0 to 0.8.
    values, patients = (0.0, 0.8) * 10, tuple(f"p{number // 2}" for number in range(20))
    assert bounds(mean_estimate(values, patients)) == pytest.approx((0.4, 0.4))


def test_spread_and_median_worked_by_hand():
    estimate = mean_estimate((1.0, None, 3.0, 8.0, 4.0), tuple("aabcd"))
    assert estimate.sd == pytest.approx(np.sqrt((9 + 1 + 16 + 0) / 3))
    assert estimate.median == 3.5
    assert mean_estimate((7.0,), ("a",)).sd is None


def test_interval_worked_by_hand_for_two_unequal_patients():
    # Draws AA, AB, BA, BB with 1/4 each: means 0, 3/4, 3/4, 1. One degree of freedom asks for the very ends.
    estimate = mean_estimate((0.0, 1.0, 1.0, 1.0), ("a", "b", "b", "b"))
    assert estimate.mean == 0.75
    assert bounds(estimate) == (0.0, 1.0)


def slow_interval(values, patients):
    """Efron's BCa from its definition, one pooled draw after the other."""
    images = {}
    for value, patient in zip(values, patients, strict=True):
        images.setdefault(patient, []).append(value)
    names = sorted(images)
    draws = np.random.default_rng(derive("bootstrap", *names)).integers(len(names), size=(REPLICATES, len(names)))
    means = np.array([np.nanmean([value for who in draw for value in images[names[who]]]) for draw in draws])
    mean, count = np.nanmean(values), len(names)
    bias = stats.norm.ppf(((means < mean).mean() + (means <= mean).mean()) / 2)
    left_out = np.array(
        [np.nanmean([value for name in names if name != gone for value in images[name]]) for gone in names]
    )
    apart = left_out.mean() - left_out
    acceleration = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    z = np.array([-1, 1]) * np.sqrt(count / (count - 1)) * stats.t.ppf(0.975, count - 1)
    return np.quantile(means, stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))))


def test_the_fast_bootstrap_agrees_with_the_definition_draw_by_draw():
    rng = np.random.default_rng(5)
    patients = tuple(f"p{number}" for number in rng.integers(12, size=40))
    values = rng.random((3, 40)) ** 3
    values[rng.random((3, 40)) < 0.1] = np.nan
    found = [bounds(estimate) for estimate in estimates(values, patients)]
    np.testing.assert_allclose(found, [slow_interval(row, patients) for row in values], atol=1e-12)


def test_the_interval_is_that_of_scipy_at_the_same_level():
    rng = np.random.default_rng(6)
    count, sizes = 30, rng.integers(1, 4, size=30)
    values, patients = rng.random(sizes.sum()) ** 2, np.repeat([f"p{number:02d}" for number in range(30)], sizes)
    sums = np.array([values[patients == name].sum() for name in sorted(set(patients))])
    z = np.sqrt(count / (count - 1)) * stats.t.ppf(0.975, count - 1)
    theirs = stats.bootstrap(
        (sums, sizes),
        lambda sums, sizes, axis: sums.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True,
        method="BCa",
        confidence_level=1 - 2 * stats.norm.cdf(-z),
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    ours = mean_estimate(values.tolist(), patients.tolist())
    assert bounds(ours) == pytest.approx((theirs.low, theirs.high), abs=0.1 * (theirs.high - theirs.low))


def test_rows_are_worked_out_as_if_each_were_alone():
    values = np.random.default_rng(3).random((4, 12))
    values[1, 3:5] = values[2, :] = np.nan
    patients = [f"p{number // 2}" for number in range(12)]
    assert estimates(values, patients) == [
        mean_estimate([None if np.isnan(value) else value for value in row], patients) for row in values.tolist()
    ]


def test_the_order_of_the_images_does_not_matter():
    rng = np.random.default_rng(4)
    values, patients = rng.random(30), np.array([f"p{number // 3}" for number in range(30)])
    shuffled = rng.permutation(30)
    one, other = (mean_estimate(values[at], patients[at].tolist()) for at in (np.arange(30), shuffled))
    assert (one.mean, *bounds(one)) == pytest.approx((other.mean, *bounds(other)), abs=1e-12)


def test_every_replicate_draws_as_many_patients_as_there_are_and_each_equally_often():
    counts = resamples(tuple("abcdefg"))
    assert counts.shape == (REPLICATES, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)  # standard error 0.03
    assert counts.var() == pytest.approx(7 * (1 / 7) * (6 / 7), abs=0.1)


def test_the_patients_alone_seed_the_draws():
    names = tuple(map(str, range(30)))
    first = resamples(names)
    resamples.cache_clear()
    np.testing.assert_array_equal(resamples(names), first)
    assert (resamples((*names[1:], "other")) != first).any()


POPULATIONS = {  # how the value of a film follows from a rank in [0, 1], and the true mean
    "symmetric": (lambda u: u, 0.5),
    "skewed": (lambda u: -np.log1p(-u), 1.0),
    "mostly zero, like an overlap": (lambda u: np.maximum(u - 0.6, 0) / 0.4, 0.2),
    "hit or miss": (lambda u: (u < 0.7).astype(float), 0.7),
}


def simulated(kind, patients, times=2000):
    """Values of two films per patient which share most of what decides them, and the truth."""
    rng = np.random.default_rng(2024)
    shared, own = rng.normal(size=(times, patients, 1)), rng.normal(size=(times, patients, 2))
    value, truth = POPULATIONS[kind]
    return value(stats.norm.cdf(np.sqrt(0.7) * shared + np.sqrt(0.3) * own)).reshape(times, -1), truth


def share_covered(values, truth, patients):
    return np.mean([estimate.low <= truth <= estimate.high for estimate in estimates(values, patients)])


@pytest.mark.parametrize("patients", [20, 60, 200])
@pytest.mark.parametrize("kind", POPULATIONS)
def test_the_interval_covers_the_truth_about_as_often_as_it_says(kind, patients):
    values, truth = simulated(kind, patients)
    assert 0.92 <= share_covered(values, truth, [f"p{film // 2}" for film in range(2 * patients)]) <= 0.98


def test_the_interval_would_be_too_narrow_if_films_of_one_patient_counted_as_independent():
    values, truth = simulated("symmetric", 60)
    assert share_covered(values, truth, [f"p{film}" for film in range(120)]) < 0.92


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

    names = sorted(set(made.patients))
    draws = np.random.default_rng(derive("bootstrap", *names)).integers(4, size=(REPLICATES, 4))
    # Three degrees of freedom: the ends are the extremes, short of one draw in ten thousand.
    expected = np.quantile([slow(draw) for draw in draws], [0, 1])
    estimate = balanced_accuracy(made)
    assert bounds(estimate) == pytest.approx(tuple(expected), abs=1e-12)
    assert expected[0] < expected[1]


def test_coverage_is_the_share_of_maps_that_did_not_fail():
    assert coverage((True, False, False, False)) == 0.75
    assert coverage(()) is None


def test_replicates_that_are_the_value_but_for_rounding_are_on_both_sides_of_it():
    """Sums are added in other orders elsewhere: an interval must not hang on which side a tie falls."""
    replicates = np.repeat([0.1, 0.2, 0.3, 0.4, 0.6], [100, 200, 400, 200, 100])[None]
    left_out, counts = np.array([[0.25, 0.3, 0.3, 0.4]]), np.ones((1, 4), dtype=bool)
    low, high = bca(np.array([0.3]), replicates, left_out, counts)
    for nudge in (1e-15, -1e-15):
        nudged = np.where(replicates == 0.3, 0.3 + nudge, replicates)
        found = bca(np.array([0.3]), nudged, left_out, counts)
        np.testing.assert_allclose(found, (low, high), rtol=1e-9)
    # Half of the ties count as below, so 500 of 1000 are: no bias.
    assert _bias(np.array([0.3]), replicates) == 0
