"""What sharpness alone can tell, on images whose answer is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from xaibench.contracts import Entry, Sample, TaskCard
from xaibench_tasks.sharpness import as_text, auc, balanced, fit, measure, predict, sharpness


class Drawn:
    """Noise, blurred by class or not at all."""

    card = TaskCard(name="drawn", summary="")
    classes = ("a", "b")
    shape = (1, 48, 48)
    folds = 2

    def __init__(self, blur):
        self.blur = blur

    def entries(self, split, fold):
        numbers = {"train": range(60), "val": range(60, 70), "test": range(70, 130)}[split]
        return [Entry(f"{fold}-{number}", f"{fold}-p{number // 2}", number % 3 > 1) for number in numbers]

    def load(self, entry):
        noise = np.random.default_rng(int(entry.id[2:])).random((48, 48))
        image = gaussian_filter(noise, 1.0 + self.blur * entry.label)
        scale = np.random.default_rng(int(entry.id[2:])).uniform(0.2, 1)
        return Sample(entry, (scale * image)[None].astype(np.float32))


def figures(task):
    return {figure.name: figure for figure in measure(task).figures}


def test_blur_that_names_the_class_is_found():
    found = figures(Drawn(blur=1.0))
    assert found["accuracy"].value > 0.95
    assert found["accuracy"].low > found["accuracy"].baseline == pytest.approx(2 / 3)
    assert found["first class against the rest: AUC"].value > 0.98


def test_blur_that_names_nothing_is_not():
    found = figures(Drawn(blur=0.0))
    auc_figure = found["first class against the rest: AUC"]
    assert auc_figure.low < 0.5 < auc_figure.high
    assert found["accuracy"].low <= found["accuracy"].baseline
    assert found["balanced accuracy"].value == pytest.approx(0.5, abs=0.06)


def test_brightness_and_contrast_are_not_sharpness():
    image = np.random.default_rng(0).random((1, 40, 40)).astype(np.float32)
    assert np.allclose(sharpness(image), sharpness(0.3 * image + 0.2), atol=1e-3)
    assert (sharpness(image) > sharpness(gaussian_filter(image, (0, 2, 2)))).all()
    assert np.isfinite(sharpness(np.zeros((1, 40, 40), np.float32))).all()


def test_measuring_twice_gives_the_same_figures():
    assert measure(Drawn(0.3)) == measure(Drawn(0.3))


def test_auc_by_hand():
    positive = np.array([True, True, False, False])
    assert auc(positive, np.array([0.9, 0.4, 0.5, 0.1])) == 0.75
    assert auc(positive, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert auc(positive, np.array([0.1, 0.2, 0.8, 0.9])) == 0.0
    assert np.isnan(auc(np.array([True, True]), np.array([0.1, 0.2])))


def test_balanced_accuracy_by_hand():
    assert balanced(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])) == pytest.approx((2 / 3 + 1) / 2)
    assert balanced(np.array([0, 0, 2]), np.array([0, 0, 0])) == 0.5


def test_the_fit_finds_a_curved_border():
    x = np.linspace(-2, 2, 200)[:, None]
    labels = (np.abs(x[:, 0]) > 1).astype(int)
    weights = fit(x, labels, 2)
    assert (predict(weights, x).argmax(axis=1) == labels).mean() > 0.97
    assert np.allclose(predict(weights, x).sum(axis=1), 1)


def test_intervals_widen_when_images_of_a_patient_stick_together():
    class Triplets(Drawn):
        """Every image three times."""

        def __init__(self, known):
            super().__init__(0.03)
            self.known = known  # that they are of one patient

        def entries(self, split, fold):
            return [
                Entry(f"{entry.id}-{copy}", entry.id if self.known else f"{entry.id}-{copy}", entry.label)
                for entry in super().entries(split, fold)
                for copy in range(3)
            ]

        def load(self, entry):
            return super().load(Entry(entry.id[:-2], "", entry.label))

    together, apart = (figures(Triplets(known))["accuracy"] for known in (True, False))
    assert together.value == apart.value
    assert together.high - together.low > 1.4 * (apart.high - apart.low)


def test_the_table_names_value_interval_and_majority():
    text = as_text(measure(Drawn(1.0)), "drawn")
    assert text.splitlines()[0] == "drawn: sharpness alone, 120 images of 60 patients, 2 fold(s)"
    assert "majority" in text.splitlines()[1]
    assert text.splitlines()[2].startswith("accuracy")
