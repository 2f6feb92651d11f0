"""What is on a film: lesions and their masks, texture, markers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from xaibench_tasks.phantom.film import Plan, draw_film
from xaibench_tasks.phantom.outline import draw_breast
from xaibench_tasks.phantom.parenchyma import DENSITIES, draw_tissue, power_law_fields
from xaibench_tasks.phantom.patients import BENIGN, MALIGNANT, NORMAL, Patient, patient_of

VIEWS = ("cc", "mlo")


def rng(seed):
    return np.random.default_rng(seed)


def film(seed, kind, wanted, areas=(0.03,), view="mlo", size=128, **plan):
    return draw_film(rng(seed), Plan(Patient(wanted, False, 1, kind, areas), view, **plan), size)


def slope(field):
    """Exponent of the fall of the power spectrum, fitted over radial means, away from the window's leak."""
    size = field.shape[0]
    window = np.hanning(size)[:, None] * np.hanning(size)[None, :]
    power = np.abs(np.fft.fft2((field - field.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :]) * size
    rings = np.arange(3, size // 4)
    means = [power[np.abs(radius - ring) < 0.5].mean() for ring in rings]
    return -np.polyfit(np.log(rings), np.log(means), 1)[0]


@pytest.mark.parametrize("size", [128, 256])
def test_the_texture_falls_as_the_cube_of_frequency(size):
    slopes = [slope(field) for seed in range(10) for field in power_law_fields(rng(seed), size)]
    assert np.mean(slopes) == pytest.approx(3.0, abs=0.15)


def test_the_spectral_slope_is_what_is_asked_for():
    slopes = [slope(field) for seed in range(10) for field in power_law_fields(rng(seed), 128, beta=2.0)]
    assert np.mean(slopes) == pytest.approx(2.0, abs=0.15)


def test_the_texture_has_unit_variance_and_its_two_fields_are_independent():
    fields = np.array([power_law_fields(rng(seed), 128) for seed in range(40)])
    assert fields.mean() == pytest.approx(0, abs=1e-3)
    assert (fields**2).mean() == pytest.approx(1, abs=0.2)
    assert abs((fields[:, 0] * fields[:, 1]).mean()) < 0.15


def test_drawn_breast_tissue_still_has_a_mammograms_spectrum():
    slopes = []
    for seed in range(60):
        generator = rng(seed)
        breast = draw_breast(generator, "cc", 256, 0.75)
        tissue = draw_tissue(generator, breast, seed % 4)
        patch = (slice(80, 176), slice(24, 120))
        if breast.depth[patch].min() > 0.1:
            slopes.append(slope(tissue[patch]))
    assert len(slopes) > 15
    assert np.mean(slopes) == pytest.approx(3.0, abs=0.4)


def test_denser_classes_are_brighter():
    means = []
    for density in range(len(DENSITIES)):
        breasts = [(generator := rng(seed), draw_breast(generator, "cc", 64, 0.42)) for seed in range(40)]
        means.append(np.mean([draw_tissue(g, b, density)[b.mask].mean() for g, b in breasts]))
    assert np.all(np.diff(means) > 0.015)


@pytest.mark.parametrize("wanted", [BENIGN, MALIGNANT])
@pytest.mark.parametrize("kind", ["mass", "calcifications"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_lesion_changes_its_mask_and_nothing_else(kind, wanted, view):
    for seed in range(12):
        with_it = film(seed, kind, wanted, view=view)
        without = film(seed, kind, wanted, view=view, contrast=0.0)
        changed = np.abs(with_it.image - without.image) > 1e-4
        mask = np.any(with_it.lesions, axis=0)
        assert not (changed & ~mask).any()
        assert (changed & mask).sum() > 0.2 * mask.sum()


def test_a_mass_is_brighter_than_what_it_lies_on_all_over_its_mask():
    for seed in range(12):
        gain = film(seed, "mass", BENIGN).image - film(seed, "mass", BENIGN, contrast=0.0).image
        mask = film(seed, "mass", BENIGN).lesions[0]
        assert gain[mask].mean() > 0.12
        assert (gain[mask] > 0.02).mean() > 0.85


@pytest.mark.parametrize("wanted", [BENIGN, MALIGNANT])
@pytest.mark.parametrize(("kind", "areas"), [("mass", (0.012, 0.078)), ("calcifications", (0.0013, 0.05))])
def test_the_area_of_a_mask_is_the_one_planned_wherever_it_lies(kind, areas, wanted):
    for area in areas:
        for seed in range(20):
            (mask,) = film(seed, kind, wanted, (area,)).lesions
            assert mask.mean() == pytest.approx(area, rel=0.03, abs=2 / 128**2)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_planned_areas_keep_the_bounds_of_their_kind(size):
    for index in range(300):
        patient = patient_of(0, "train", index)
        low = 0.01 if patient.kind == "mass" else 0.001
        assert (patient.label == NORMAL) == (not patient.areas)
        assert all(low < area < 0.08 for area in patient.areas)
    patients = [replace(patient_of(0, "train", i), label=MALIGNANT, areas=(0.0012,)) for i in range(6)]
    for patient in patients:
        drawn = draw_film(rng(1), Plan(patient, "cc"), size)
        assert all(mask.sum() >= 4 for mask in drawn.lesions)


def test_several_lesions_are_common_and_apart():
    many = 0
    for index in range(150):
        patient = patient_of(0, "train", index)
        drawn = draw_film(rng(index), Plan(patient, "mlo"), 64)
        many += len(drawn.lesions) > 1
        assert not drawn.lesions or np.sum(drawn.lesions, axis=0).max() == 1
    assert 10 < many < 50


def test_spicules_make_malignant_masses_less_compact_than_benign_ones():
    def compactness(mask):
        rim = binary_dilation(mask) & ~mask
        return mask.sum() / rim.sum() ** 2

    benign = [compactness(film(seed, "mass", BENIGN).lesions[0]) for seed in range(15)]
    malignant = [compactness(film(seed, "mass", MALIGNANT).lesions[0]) for seed in range(15)]
    assert min(benign) > max(malignant)


def test_malignant_clusters_have_more_and_smaller_specks_than_benign_ones():
    def specks(wanted, seed):
        gain = [film(seed, "calcifications", wanted, size=256, contrast=c).image for c in (1.0, 0.0)]
        found, count = label(gain[0] - gain[1] > 0.2)
        return count, np.median(np.bincount(found.ravel())[1:])

    benign = np.array([specks(BENIGN, seed) for seed in range(10)])
    malignant = np.array([specks(MALIGNANT, seed) for seed in range(10)])
    assert benign[:, 0].max() <= 5
    assert malignant[:, 0].min() > 6
    assert malignant[:, 1].max() < benign[:, 1].min()


def test_a_film_of_the_right_side_is_the_mirror_image_of_one_of_the_left_with_all_its_masks():
    patient = Patient(MALIGNANT, False, 1, "mass", (0.03, 0.02))
    left, right = (draw_film(rng(4), Plan(replace(patient, right=side), "mlo", 1), 64) for side in (False, True))
    assert np.array_equal(left.image[:, ::-1], right.image)
    assert len(left.lesions) == len(right.lesions) == 2
    assert all(np.array_equal(a[:, ::-1], b) for a, b in zip(left.lesions, right.lesions, strict=True))
    assert np.array_equal(left.regions["marker"][:, ::-1], right.regions["marker"])


def test_lesions_lie_in_the_breast():
    for seed in range(30):
        breast = draw_breast(rng(seed), "cc", 128, 0.42)
        assert all(breast.mask[mask].all() for mask in film(seed, "mass", MALIGNANT, view="cc").lesions)


def test_lesions_reach_every_edge_of_the_breast_and_its_middle():
    places = []
    for seed in range(200):
        breast = draw_breast(rng(seed), "cc", 64, 0.42)
        (mask,) = film(seed, "calcifications", BENIGN, (0.003,), view="cc", size=64).lesions
        places.append(breast.depth[mask].max() / breast.depth.max())
    share, _ = np.histogram(places, bins=4, range=(0, 1))
    assert share.min() > 15


def test_the_oblique_view_has_a_muscle_and_the_other_has_none():
    for seed in range(10):
        assert draw_breast(rng(seed), "mlo", 128, 0.42).muscle[:5, :5].min() > 0.9
        assert draw_breast(rng(seed), "cc", 128, 0.42).muscle.max() == 0


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_a_marker_is_bright_and_away_from_the_chest_wall(shape):
    for seed in range(20):
        drawn = film(seed, "mass", NORMAL, (), marker=shape)
        marker = drawn.regions["marker"]
        assert drawn.image[marker].min() > 0.7
        assert np.nonzero(marker)[1].min() > 128 * 0.8
        assert 0.001 < marker.mean() < 0.01


def test_markers_differ_in_shape():
    drawn = [film(5, "mass", NORMAL, (), marker=shape).regions["marker"] for shape in (0, 1, 2)]
    assert all((drawn[a] ^ drawn[b]).sum() > 0.4 * drawn[a].sum() for a, b in ((0, 1), (0, 2), (1, 2)))
