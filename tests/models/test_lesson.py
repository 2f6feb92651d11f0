"""What a training is made of: its batches, its loss, and how its learning rate goes."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from xaibench.errors import UsageError
from xaibench_models.images import TaskImages
from xaibench_models.lesson import Lesson
from xaibench_models.recipes import Augmentation


def test_an_epochs_batches_are_the_same_whenever_asked_for_and_other_epochs_differ(tiny):
    batches = TaskImages(tiny.Stripes(), 0, tiny.RECIPE, 7).train_dataloader()

    def epoch(number):
        batches.set_epoch(number)
        return list(batches)

    first, second, again = epoch(2), epoch(3), epoch(2)
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


def test_every_image_is_seen_once_in_an_epoch_with_its_own_label(tiny):
    images = TaskImages(tiny.Stripes(), 0, tiny.RECIPE, 7)
    seen = {}
    for pixels, labels in images.train_dataloader():
        seen |= {image.numpy().tobytes(): int(label) for image, label in zip(pixels, labels, strict=True)}
    known = [seen[image.float().numpy().tobytes()] for image in images.learned.pixels]
    assert known == images.learned.labels.tolist()


def test_an_epoch_that_is_gone_on_with_gives_the_batches_that_are_left_and_the_next_one_all(tiny):
    whole = TaskImages(tiny.Stripes(), 0, tiny.RECIPE, 7).train_dataloader()
    batches = TaskImages(tiny.Stripes(), 0, tiny.RECIPE, 7).train_dataloader()
    begun = iter(whole)
    for _ in range(2):
        next(begun)
    batches.load_state_dict(whole.state_dict())
    rest, expected = list(batches), list(TaskImages(tiny.Stripes(), 0, tiny.RECIPE, 7).train_dataloader())[2:]
    assert all(torch.equal(one[0], other[0]) for one, other in zip(rest, expected, strict=True))
    batches.set_epoch(1)
    assert len(list(batches)) == len(batches) == 6


def test_a_recipe_may_want_so_many_images_of_each_class_each_as_often_as_the_next(tiny):
    class Lopsided(tiny.Stripes):
        def entries(self, split, fold):
            found = super().entries(split, fold)
            return [e for e in found if e.label == 0 or int(e.id.split("-")[1]) % 2] if split == "train" else found

    images = TaskImages(Lopsided(), 0, replace(tiny.RECIPE, per_class=20, batch_size=10), 7)
    labels = torch.cat([labels for _, labels in images.train_dataloader()])
    assert torch.bincount(labels).tolist() == [20, 20, 20]
    shown = Counter(image.numpy().tobytes() for pixels, _ in images.train_dataloader() for image in pixels)
    assert set(shown.values()) == {1, 2, 3}  # 16 images of class 0 once or twice, 8 of the others twice or thrice


def test_weights_decay_biases_and_norms_do_not_and_all_are_learned(tiny):
    network = tiny.tiny_network()
    optimiser = Lesson(network, 3, replace(tiny.RECIPE, weight_decay=0.5), 6, 7).configure_optimizers()["optimizer"]
    names = {parameter: name for name, parameter in network.named_parameters()}
    decay = {names[one]: group["weight_decay"] for group in optimiser.param_groups for one in group["params"]}
    # 0 is the convolution, 1 the norm, 6 the linear layer.
    assert decay == {"0.weight": 0.5, "6.weight": 0.5, "0.bias": 0, "1.weight": 0, "1.bias": 0, "6.bias": 0}


def test_the_learning_rate_rises_falls_and_ends_with_the_last_step(tiny):
    recipe = replace(tiny.RECIPE, learning_rate=0.5, warm_up=0.25, epochs=2)
    made = Lesson(tiny.tiny_network(), 3, recipe, 10, 7).configure_optimizers()
    optimiser, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(20):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates.index(max(rates)) == 4  # a quarter of 20 steps, counted from 0
    assert max(rates) == pytest.approx(0.5)
    assert rates[0] < 0.05
    assert rates[-1] < 0.001


def test_class_weights_weigh_the_loss(tiny):
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    lesson = Lesson(network, 3, replace(tiny.RECIPE, class_weights=(1.0, 2.0, 5.0), augmentation=Augmentation()), 6, 7)
    lesson._trainer = SimpleNamespace(global_step=0, global_rank=0)
    images, labels = torch.rand(3, 1, 16, 16), torch.tensor([0, 1, 2])
    losses = -network(images).log_softmax(1)[range(3), labels]
    by_hand = (losses * torch.tensor([1.0, 2.0, 5.0])).sum() / 8
    torch.testing.assert_close(lesson.training_step((images, labels), 0), by_hand)


def test_as_many_class_weights_as_classes_are_asked_for(tiny):
    with pytest.raises(UsageError, match="2 class_weights for 3 classes"):
        Lesson(tiny.tiny_network(), 3, replace(tiny.RECIPE, class_weights=(1.0, 2.0)), 6, 7)


def test_cyclic_learning_rates_swing_between_a_tenth_and_the_whole(tiny):
    recipe = replace(tiny.RECIPE, schedule="cyclic", learning_rate=0.4, cycle=2)
    made = Lesson(tiny.tiny_network(), 3, recipe, 5, 7).configure_optimizers()
    rates = []
    for _ in range(21):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert rates[0] == rates[10] == rates[20] == pytest.approx(0.04)  # two epochs of five steps, up and down
    assert rates[5] == rates[15] == pytest.approx(0.4)
