"""Lesion positions leave no room for a prior: no map made without looking for lesions comes near the ceiling."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, sobel

from xaibench_tasks.phantom import Phantom

SIZE, GRID = 128, 8
TRIVIAL = ("centre", "tissue prior", "edges", "intensity")


def iou_at_matched_area(heat, mask, rng):
    """IoU of the mask with as many of the hottest pixels as it has itself; ties fall as they may."""
    count = int(mask.sum())
    order = np.lexsort((rng.random(mask.size), -heat.ravel()))[:count]
    hit = int(mask.ravel()[order].sum())
    return hit / (2 * count - hit)


def on_a_coarse_grid(mask):
    """The mask as a CAM would show it at best: means over 8 x 8 cells, blown up bilinearly."""
    cells = mask.reshape(GRID, SIZE // GRID, GRID, SIZE // GRID).mean((1, 3))
    at = np.clip((np.arange(SIZE) + 0.5) / SIZE * GRID - 0.5, 0, GRID - 1)
    weights = np.clip(1 - np.abs(at[:, None] - np.arange(GRID)), 0, 1)
    return weights @ cells @ weights.T


def union(sample):
    return np.any(sample.lesions, axis=0)


@pytest.fixture(scope="module")
def scores():
    """IoU per row and lesion image, and the patient of each image."""
    task = Phantom(size=SIZE, test=180)
    drawn = map(task.load, task.entries("train", 0))
    prior = np.mean([union(sample) for sample in drawn if sample.lesions], axis=0)
    away = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    centre = np.exp(-(away[:, None] ** 2 + away**2) / (2 * 0.2**2))
    rng, rows, patients = np.random.default_rng(0), [], []
    for sample in map(task.load, task.entries("test", 0)):
        if sample.lesions:
            image, smooth = sample.image[0], gaussian_filter(sample.image[0], 1)
            edges = np.hypot(sobel(smooth, 0), sobel(smooth, 1))
            maps = (centre, prior, edges, image, on_a_coarse_grid(union(sample)))
            rows.append([iou_at_matched_area(heat, union(sample), rng) for heat in maps])
            patients.append(sample.entry.patient)
    return dict(zip((*TRIVIAL, "ceiling"), np.array(rows).T, strict=True)), np.array(patients)


def interval(scores, patients, statistic, draws=2000):
    """95 % interval of a statistic, resampling patients."""
    names, at = np.unique(patients, return_inverse=True)
    table = np.stack([scores[name] for name in (*TRIVIAL, "ceiling")], axis=1)
    sums = np.zeros((len(names), table.shape[1]))
    np.add.at(sums, at, table)
    rng = np.random.default_rng(0)
    picks = rng.integers(len(names), size=(draws, len(names)))
    return np.quantile([statistic(sums[pick].mean(axis=0)) for pick in picks], [0.025, 0.975])


def best_part(means):
    """The best trivial row as a part of the ceiling."""
    return max(means[:-1]) / means[-1]


def test_the_best_trivial_row_reaches_less_than_half_of_the_ceiling(scores):
    rows, patients = scores
    means = [rows[name].mean() for name in (*TRIVIAL, "ceiling")]
    low, high = interval(rows, patients, best_part)
    for name, mean in zip((*TRIVIAL, "ceiling"), means, strict=True):
        print(f"{name:14s} {mean:.3f}")  # shown by pytest -s
    print(f"best / ceiling {best_part(means):.3f} [{low:.3f}, {high:.3f}], {len(patients)} images")
    assert len(patients) == 120
    assert best_part(means) < 0.45
    assert high < 0.5


def test_places_say_next_to_nothing(scores):
    rows, _ = scores
    assert max(rows["centre"].mean(), rows["tissue prior"].mean()) < 0.1 * rows["ceiling"].mean()


def test_matched_area_by_hand():
    mask = np.array([[True, True], [False, False]])
    rng = np.random.default_rng(0)
    assert iou_at_matched_area(np.array([[4.0, 3.0], [2.0, 1.0]]), mask, rng) == 1
    assert iou_at_matched_area(np.array([[4.0, 1.0], [3.0, 2.0]]), mask, rng) == pytest.approx(1 / 3)
    assert iou_at_matched_area(np.array([[1.0, 2.0], [3.0, 4.0]]), mask, rng) == 0


def test_the_ceiling_by_hand():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[32:48, 64:80] = True  # one whole cell
    heat = on_a_coarse_grid(mask)
    assert heat[39:41, 71:73] == pytest.approx(np.full((2, 2), (31 / 32) ** 2))  # half a pixel off the cell's centre
    assert heat[40, 40] == 0
    assert heat.sum() == pytest.approx(256)
