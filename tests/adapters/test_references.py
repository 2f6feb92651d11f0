import numpy as np
import pytest
import torch

from xaibench.contracts import Batch, Case
from xaibench.errors import UsageError
from xaibench.metrics.energy import EnergyInRoi
from xaibench.metrics.overlap import IoU, IoUMatched
from xaibench.metrics.pointing import PointingGame
from xaibench.normalise import normalise
from xaibench_adapters.references import (
    Centre,
    Constant,
    Edges,
    Intensity,
    Random,
    RandomBlurred,
    Roi,
    RoiDegraded,
    RoiGrid,
    TissuePrior,
)

NO_MODEL = None  # a reference row never looks at it
FLOORS = [Random, RandomBlurred, Constant, Centre, TissuePrior, Edges, Intensity]
CEILINGS = [Roi, RoiGrid, RoiDegraded]


def maps_of(explainer, batch):
    return np.asarray(explainer.explain(NO_MODEL, batch))


def square(images, **evidence):
    """A batch of given images [B, H, W]."""
    tensor = torch.tensor(images, dtype=torch.float32).unsqueeze(1)
    count = len(tensor)
    targets = torch.zeros(count, dtype=torch.int64)
    return Batch(tensor, targets, tuple(map(str, range(count))), tuple(range(count)), **evidence)


def scored(metric, batch, maps):
    """The mean over images with a lesion."""
    count = len(maps)
    none = np.zeros(count)
    case = Case(
        maps=normalise(maps),
        raw=maps,
        images=batch.images.numpy(),
        masks=batch.masks,
        lesions=tuple((mask,) for mask in batch.masks),
        regions={},
        labels=none.astype(np.int64),
        targets=none.astype(np.int64),
        predictions=none.astype(np.int64),
        logits=np.zeros((count, 2), dtype=np.float32),
        seeds=batch.seeds,
        seconds=none,
        forward=none,
        backward=none,
    )
    return metric.score(case)


@pytest.fixture
def lesions(make_batch, part):
    """Forty images, each with a lesion."""
    return part(make_batch(41), list(range(40)))


@pytest.mark.parametrize("explainer", FLOORS + CEILINGS)
def test_the_card_says_on_which_side_it_is(explainer):
    card = explainer.card
    assert card.reference == ("floor" if explainer in FLOORS else "ceiling")
    assert ("masks" in card.needs) == (explainer in CEILINGS)
    assert (card.family, card.class_sensitive) == ("reference", False)


def test_random_is_uniform_and_independent_between_images_and_pixels(make_batch):
    maps = maps_of(Random(), make_batch(16, size=(64, 64))).astype(np.float64)
    counts = np.histogram(maps, bins=10, range=(0, 1))[0] / maps.size
    np.testing.assert_allclose(counts, 0.1, atol=0.005)  # 65536 draws: a standard error of .0012
    images = np.corrcoef(maps.reshape(16, -1))
    assert np.abs(images - np.eye(16)).max() < 0.08  # 4096 pixels: a standard error of .016
    assert abs(np.corrcoef(maps[:, :, 1:].ravel(), maps[:, :, :-1].ravel())[0, 1]) < 0.02


def test_random_blurred_is_smooth_over_its_sigma(make_batch):
    batch = make_batch(16, size=(64, 64))
    maps = maps_of(RandomBlurred(sigma=0.05), batch).astype(np.float64)
    deviations = maps - maps.mean(axis=(1, 2), keepdims=True)

    def correlation(lag):
        return np.mean(deviations[:, :, lag:] * deviations[:, :, :-lag]) / np.mean(deviations**2)

    # Noise blurred by a Gaussian of 0.05 * 64 = 3.2 pixels has the correlation exp(-lag^2 / (4 * 3.2^2)).
    for lag in (1, 3, 6):
        assert correlation(lag) == pytest.approx(np.exp(-(lag**2) / (4 * 3.2**2)), abs=0.1)


def test_constant_is_flat(make_batch):
    assert np.unique(maps_of(Constant(), make_batch(2))).tolist() == [1]


def test_centre_is_highest_in_the_middle_and_symmetric():
    heatmap = maps_of(Centre(sigma=0.25), square(np.zeros((1, 5, 9))))[0]
    assert np.unravel_index(heatmap.argmax(), heatmap.shape) == (2, 4)
    np.testing.assert_allclose(heatmap, heatmap[::-1, ::-1], rtol=1e-6)
    # One row down is a fifth of the height: 0.2 / 0.25 = 0.8 widths. One column is 1 / 9 / .25 = 0.444 widths.
    assert heatmap[3, 4] == pytest.approx(np.exp(-(0.8**2) / 2), rel=1e-6)
    assert heatmap[2, 5] == pytest.approx(np.exp(-((1 / 9 / 0.25) ** 2) / 2), rel=1e-6)


def test_tissue_prior_is_the_prior_for_every_image(make_batch):
    batch = make_batch(3)
    np.testing.assert_array_equal(maps_of(TissuePrior(), batch), np.stack([batch.prior] * 3))


def test_edges_are_where_the_image_steps():
    images = np.zeros((2, 6, 8))
    images[0, :, 4:], images[1, 3:, :] = 1, 1
    maps = maps_of(Edges(), square(images))
    # Sobel sums 1, 2, 1 times the step of 1 over the two pixels beside it.
    assert np.unique(maps[0, :, 3:5]).tolist() == [4]
    assert np.count_nonzero(maps[0]) == 6 * 2
    assert np.unique(maps[1, 2:4, :]).tolist() == [4]
    assert np.count_nonzero(maps[1]) == 2 * 8


def test_edges_of_every_direction_count():
    image = np.add.outer(np.arange(5), np.arange(5))[None] / 10
    # A slope of .1 per pixel both ways: 8 * .1 each, and their length together.
    assert maps_of(Edges(), square(image))[0, 2, 2] == pytest.approx(np.hypot(0.8, 0.8))


def test_intensity_is_the_mean_of_the_channels(make_batch):
    batch = make_batch(2, channels=3)
    np.testing.assert_allclose(maps_of(Intensity(), batch), batch.images.numpy().mean(axis=1), rtol=1e-6)


def test_roi_is_the_mask(make_batch):
    batch = make_batch(3)
    np.testing.assert_array_equal(maps_of(Roi(), batch), batch.masks)


@pytest.mark.parametrize("metric", [IoU(), IoUMatched(), PointingGame(), EnergyInRoi()])
def test_roi_is_the_ceiling_of_every_localisation_metric(lesions, metric):
    assert scored(metric, lesions, maps_of(Roi(), lesions)).tolist() == [1] * 40


def test_roi_grid_by_hand():
    mask = np.zeros((1, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[0, 1, 1] = True
    # Of 2 x 2 cells the upper left one is half full. Its centre lies half a pixel from row 0 and row 1, and the other
    # centres two pixels on: along one side the weights of the first cell are 1, .75, .25, 0.
    weights = np.array([1, 0.75, 0.25, 0])
    expected = 0.5 * np.outer(weights, weights)
    np.testing.assert_allclose(maps_of(RoiGrid(grid=2), square(np.zeros((1, 4, 4)), masks=mask))[0], expected)


def test_roi_grid_as_fine_as_the_image_is_the_mask(make_batch):
    batch = make_batch(3, size=(16, 16))
    np.testing.assert_allclose(maps_of(RoiGrid(grid=16), batch), batch.masks, atol=1e-6)


def test_roi_grid_scores_the_less_the_coarser_it_is(lesions):
    values = [scored(IoUMatched(), lesions, maps_of(RoiGrid(grid=grid), lesions)).mean() for grid in (32, 16, 8, 4)]
    assert sorted(values, reverse=True) == values
    assert values[0] > 0.9 > 0.4 > values[-1]


def test_roi_degraded_by_no_noise_is_the_mask(make_batch):
    batch = make_batch(3)
    np.testing.assert_array_equal(maps_of(RoiDegraded(noise=0), batch), batch.masks)


def test_roi_degraded_lifts_lesions_by_the_rest_of_the_noise(make_batch):
    batch = make_batch(40)
    maps = maps_of(RoiDegraded(noise=0.4), batch).astype(np.float64)
    assert maps.min(axis=(1, 2)).tolist() == [0] * 40
    contrast = [maps[i][batch.masks[i]].mean() - maps[i][~batch.masks[i]].mean() for i in range(39)]
    assert np.mean(contrast) == pytest.approx(0.6, abs=0.03)  # over some 2000 lesion pixels: a standard error of .01
    assert maps[-1].std() == pytest.approx(0.4, abs=0.03)  # no lesion there


@pytest.mark.parametrize("metric", [IoUMatched(), PointingGame(), EnergyInRoi()])
def test_more_noise_is_never_better_on_any_image(lesions, metric):
    levels = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
    values = np.array([scored(metric, lesions, maps_of(RoiDegraded(noise=noise), lesions)) for noise in levels])
    assert np.diff(values, axis=0).max() <= 1e-6


@pytest.mark.parametrize("metric", [IoU(), IoUMatched(), PointingGame(), EnergyInRoi()])
def test_degraded_rows_lie_between_the_ceiling_and_the_floor(lesions, metric):
    rows = [Roi(), RoiDegraded(noise=0.25), RoiDegraded(noise=0.5), RoiDegraded(noise=0.75)]
    means = [scored(metric, lesions, maps_of(row, lesions)).mean() for row in rows]
    assert sorted(means, reverse=True) == means
    assert means[2] < means[0]
    assert means[2] > scored(metric, lesions, maps_of(Random(), lesions)).mean()


def test_on_a_normal_image_there_is_nothing_to_show(make_batch, part):
    normal = part(make_batch(3), [2])
    assert not maps_of(Roi(), normal).any()
    assert not maps_of(RoiGrid(), normal).any()


@pytest.mark.parametrize("explainer", [Roi, RoiGrid, RoiDegraded, TissuePrior])
def test_evidence_that_is_missing_is_named(make_batch, explainer):
    with pytest.raises(UsageError, match=explainer.card.name):
        maps_of(explainer(), make_batch(2, masks=False, prior=False))


@pytest.mark.parametrize(
    ("explainer", "parameters"),
    [
        (RandomBlurred, {"sigma": 0}),
        (Centre, {"sigma": -1}),
        (Centre, {"sigma": float("nan")}),
        (RoiGrid, {"grid": 0}),
        (RoiDegraded, {"noise": -0.1}),
        (RoiDegraded, {"noise": 1.1}),
        (RoiDegraded, {"noise": float("nan")}),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(explainer, parameters):
    (name,) = parameters
    with pytest.raises(UsageError, match=f"{explainer.card.name}: {name} is"):
        explainer(**parameters)
