import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Masking
from xaibench.masking import preferred_size

CLASSES = ("normal", "benign", "malignant")


class Recorder(nn.Module):
    """A linear network that notes its batches, and has room for so many images."""

    def __init__(self, room=1000):
        super().__init__()
        self.batches, self.room = [], room
        self.weights = torch.linspace(-1, 1, 48).reshape(3, 16)

    def forward(self, images):
        self.batches.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return nn.functional.adaptive_avg_pool2d(images, 4).sum(1).flatten(1) @ self.weights.T


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(3))
        self.head = nn.Linear(45, 3)

    def forward(self, images):
        return self.head(self.body(images).flatten(1))


@pytest.fixture
def network():
    return Recorder()


@pytest.fixture
def classifier(network):
    return TorchClassifier(network, CLASSES, None, batch_size=4)


def drawn(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def maskings(counts, size=(4, 4)):
    return [
        Masking(drawn(1, *size, seed=i), drawn(count, *size, seed=100 + i), drawn(1, *size, seed=200 + i))
        for i, count in enumerate(counts)
    ]


def by_hand(network, masking):
    """Straight from the definition, one image at a time."""
    return torch.cat([network((m * masking.image + (1 - m) * masking.infill)[None]) for m in masking.masks])


def test_every_image_gets_its_own_logits_in_order(network, classifier):
    some = maskings([3, 9, 1, 6])
    for logits, masking in zip(classifier.masked_many(some), some, strict=True):
        torch.testing.assert_close(logits, by_hand(network, masking))


def test_each_mask_may_have_an_infill_of_its_own(network, classifier):
    """Batches of 4 cut chunks of 3 and 6 anywhere, and a masking with one infill for all stands between two others."""
    masks, infills = drawn(9, 4, 4), drawn(9, 1, 4, 4, seed=1)
    own = Masking(drawn(1, 4, 4, seed=2), (masks[:3], masks[3:]), infills)
    (shared,) = maskings([5])
    found = list(classifier.masked_many([own, shared, own]))
    expected = torch.cat(
        [
            by_hand(network, Masking(own.image, mask.unsqueeze(0), infill))
            for mask, infill in zip(masks, infills, strict=True)
        ]
    )
    for logits, wanted in zip(found, [expected, by_hand(network, shared), expected], strict=True):
        torch.testing.assert_close(logits, wanted)


def test_one_infill_in_front_serves_all_masks_and_too_few_are_refused(network, classifier):
    masks, image, infill = drawn(9, 4, 4), drawn(1, 4, 4, seed=2), drawn(1, 1, 4, 4, seed=1)
    (found,) = classifier.masked_many([Masking(image, (masks[:5], masks[5:]), infill)])
    torch.testing.assert_close(found, by_hand(network, Masking(image, masks, infill[0])))
    with pytest.raises(ValueError, match="8 infills for more masks"):
        list(classifier.masked_many([Masking(image, (masks[:5], masks[5:]), drawn(8, 1, 4, 4))]))


def test_batches_are_filled_across_images(network, classifier):
    assert [len(logits) for logits in classifier.masked_many(maskings([3, 9, 1, 6]))] == [3, 9, 1, 6]
    assert network.batches == [4, 4, 4, 4, 3]


def test_an_image_without_masks_gets_no_logits_and_holds_nobody_up(classifier):
    shapes = [tuple(logits.shape) for logits in classifier.masked_many(maskings([0, 5, 0, 0, 2, 0]))]
    assert shapes == [(0, 3), (5, 3), (0, 3), (0, 3), (2, 3), (0, 3)]


def test_no_images_give_no_logits(classifier):
    assert list(classifier.masked_many([])) == []


def test_images_of_another_size_begin_a_batch_of_their_own(network, classifier):
    some = [*maskings([3]), *maskings([2], size=(8, 8)), *maskings([2])]
    for logits, masking in zip(classifier.masked_many(some), some, strict=True):
        torch.testing.assert_close(logits, by_hand(network, masking))
    assert [n for n in network.batches if n > 1] == [3, 2, 2]


def test_images_and_masks_are_taken_only_when_their_batch_is_due(network, classifier):
    """However many there are, no more than one batch of masks waits."""
    waiting = []

    def masks() -> Iterator[torch.Tensor]:
        for mask in drawn(7, 4, 4):
            waiting.append(1)
            held.append(len(waiting) - sum(network.batches))
            yield mask

    held = []
    endless = (Masking(drawn(1, 4, 4), masks(), torch.zeros(1)) for _ in iter(int, 1))
    results = classifier.masked_many(endless)
    assert [len(next(results)) for _ in range(50)] == [7] * 50
    assert max(held) == 4


def test_a_result_comes_as_soon_as_the_next_image_is_begun(network, classifier):
    results = classifier.masked_many(maskings([4, 4, 4]))
    next(results)
    assert sum(network.batches) <= 8


def test_masks_that_do_not_fit_are_tried_again_in_smaller_batches_and_none_is_lost():
    network = Recorder(room=3)
    some = maskings([5, 9, 2])
    classifier = TorchClassifier(network, CLASSES, None, batch_size=8)
    results = list(classifier.masked_many(some))
    assert network.batches == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]  # what fitted is remembered
    for logits, masking in zip(results, some, strict=True):
        torch.testing.assert_close(logits, by_hand(network, masking))


def test_what_fitted_is_remembered_from_call_to_call():
    network = Recorder(room=3)
    classifier = TorchClassifier(network, CLASSES, None, batch_size=8)
    list(classifier.masked_many(maskings([8])))
    network.batches.clear()
    list(classifier.masked_many(maskings([5])))
    assert network.batches == [2, 2, 1]


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64, None])
def test_logits_do_not_depend_on_the_batch(batch_size):
    torch.manual_seed(1)
    network = Small()
    some = maskings([5, 9, 2], size=(12, 10))
    one = TorchClassifier(network, CLASSES, None, batch_size=batch_size)
    for logits, masking in zip(one.masked_many(some), some, strict=True):
        expected = by_hand(network, masking)
        assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_same_call_gives_the_same_bits():
    torch.manual_seed(1)
    classifier = TorchClassifier(Small(), CLASSES, None)
    one, two = (torch.cat(list(classifier.masked_many(maskings([30, 9], size=(12, 10))))) for _ in range(2))
    assert torch.equal(one, two)


def test_every_masked_image_is_counted_once():
    classifier = TorchClassifier(Small(), CLASSES, None, batch_size=4)
    list(classifier.masked_many(maskings([5, 9, 2], size=(12, 10))))
    assert (classifier.counters.forward, classifier.counters.backward) == (16, 0)


def test_a_gated_network_is_asked_itself():
    """Its gate is no weight: a copy would not see it change."""

    class Gated(Small):
        gate = None

        def set_gate(self, gate):
            self.gate = gate

        def forward(self, images):
            return super().forward(images if self.gate is None else images * self.gate[:, None])

    classifier = TorchClassifier(Gated(), CLASSES, None, needs_gate=True)
    (masking,) = maskings([3], size=(12, 10))
    open_logits = next(classifier.masked_many([masking]))
    evidence = (drawn(1, 12, 10, seed=5) > 0.5).numpy()
    with classifier.bind(evidence):
        gated = next(classifier.masked_many([masking]))
        torch.testing.assert_close(gated, by_hand(classifier.network, masking))
    assert not torch.allclose(gated, open_logits)


def test_an_error_of_the_network_reaches_the_caller(classifier):
    classifier.network.inner.weights = torch.zeros(3, 5)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(classifier.masked_many(maskings([2])))


@pytest.mark.parametrize(
    ("device", "side", "size"),
    [("cpu", 224, 32), ("cpu", 225, 16), ("cpu", 512, 4), ("cpu", 2048, 1), ("cpu", 1, 1024), ("cuda", 224, 256)],
)
def test_the_preferred_batch_depends_on_device_and_image_size_alone(device, side, size):
    assert preferred_size(torch.device(device), (3, side, side)) == size


@pytest.mark.slow
def test_the_compiler_of_torch_keeps_the_answers(monkeypatch):
    torch.manual_seed(1)
    network = Small()
    (some,) = maskings([11], size=(12, 10))
    monkeypatch.setenv("XAIBENCH_COMPILE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own parts
        logits = next(TorchClassifier(network, CLASSES, None, batch_size=4).masked_many([some]))
    expected = by_hand(network, some)
    assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()
