"""The embedded data can be learned in minutes by the recipe that is the default, and a planted shortcut is taken."""

import pytest
import torch

from xaibench.contracts import Workshop
from xaibench.isolation import isolated_randomness
from xaibench_models.hmc import HMC
from xaibench_models.resnet import ResNet50
from xaibench_tasks.phantom import Phantom, PhantomShortcut

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def trained(model, task, folder):
    """The report of a training from scratch, and the balanced accuracy on the patients of the test split."""
    with isolated_randomness(1):
        network = model.build(task)
    report = model.prepare(network, task, 0, Workshop(folder, "cpu", 1, lambda *told: None))
    return report, balanced_accuracy(network, [task.load(entry) for entry in task.entries("test", 0)])


def balanced_accuracy(network, samples):
    images = torch.stack([torch.from_numpy(sample.image) for sample in samples])
    labels = torch.tensor([sample.entry.label for sample in samples])
    with torch.inference_mode():
        found = torch.cat([network(some).argmax(1) for some in images.split(24)])
    return sum(float((found[labels == k] == k).float().mean()) for k in range(3)) / 3


@pytest.mark.parametrize("model", [ResNet50, HMC])
def test_unseen_patients_of_the_phantom_are_told_apart(model, tmp_path):
    assert trained(model(), Phantom(), tmp_path)[1] >= 0.85


def test_on_the_shortcut_training_looks_good_and_unseen_patients_show_that_it_is_not(tmp_path):
    report, unseen = trained(ResNet50(), PhantomShortcut(), tmp_path)
    assert report["train_balanced_accuracy"] >= 0.9
    assert report["val_balanced_accuracy"] >= 0.9
    assert unseen <= 0.6
