from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.errors import UsageError

CLASSES = ("normal", "benign", "malignant")


class Recorder(nn.Module):
    """A linear network that notes the sizes of its batches, and a gate that it can be given."""

    def __init__(self, pixels=16):
        super().__init__()
        self.stem = nn.Sequential(nn.Identity())
        self.head = nn.Linear(pixels, len(CLASSES))
        with torch.no_grad():
            self.head.weight.copy_(torch.linspace(-1, 1, self.head.weight.numel()).reshape(len(CLASSES), pixels))
            self.head.bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
        self.batches, self.gate, self.gates = [], None, []

    def set_gate(self, masks):
        self.gate = masks
        self.gates.append(masks)

    def forward(self, images):
        self.batches.append(len(images))
        seen = images if self.gate is None else images * self.gate.unsqueeze(1)
        return self.head(self.stem(seen).flatten(1))


@pytest.fixture
def network():
    return Recorder()


@pytest.fixture
def classifier(network):
    return TorchClassifier(network, CLASSES, "stem", batch_size=4)


def images(count, seed=0):
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def masks(count, seed=1):
    return torch.rand(count, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_the_network_is_frozen_in_eval_mode():
    network = Recorder().train()
    classifier = TorchClassifier(network, CLASSES, None)
    assert not any(module.training for module in classifier.network.modules())
    assert not any(parameter.requires_grad for parameter in classifier.network.parameters())


def test_logits_are_the_networks_own_and_carry_gradients_to_the_images(network, classifier):
    batch = images(2).requires_grad_()
    logits = classifier.logits(batch)
    assert torch.equal(logits, network(batch))
    # The logit is linear in the pixels, so its gradient is the row of weights of the class.
    (gradient,) = torch.autograd.grad(logits[:, 2].sum(), batch)
    torch.testing.assert_close(gradient.flatten(1), network.head.weight[2].expand(2, -1), rtol=0, atol=0)


def test_forward_samples_are_counted_whoever_calls_the_network(classifier):
    classifier.logits(images(3))
    classifier.network(images(2))
    assert (classifier.counters.forward, classifier.counters.backward) == (5, 0)


@pytest.mark.parametrize("how", ["autograd.grad", "backward"])
def test_backward_samples_are_counted(classifier, how):
    batch = images(3).requires_grad_()
    chosen = classifier.logits(batch)[:, 0].sum()
    if how == "backward":
        chosen.backward()
    else:
        torch.autograd.grad(chosen, batch)
    assert (classifier.counters.forward, classifier.counters.backward) == (3, 3)


def test_every_backward_pass_through_one_graph_is_counted(classifier):
    batch = images(3).requires_grad_()
    logits = classifier.logits(batch)
    for k in range(len(CLASSES)):
        torch.autograd.grad(logits[:, k].sum(), batch, retain_graph=True)
    assert (classifier.counters.forward, classifier.counters.backward) == (3, 9)


def test_counting_leaves_no_module_hooks(classifier):
    classifier.logits(images(3).requires_grad_()).sum().backward()
    for module in classifier.network.modules():
        assert [module._forward_hooks, module._forward_pre_hooks, module._backward_hooks] == [{}, {}, {}]


def test_masked_is_the_composition_in_the_contract(network, classifier):
    image, infill, chosen = images(1)[0], images(1, seed=9)[0], masks(11)
    by_hand = torch.stack([network((m * image + (1 - m) * infill).unsqueeze(0))[0] for m in chosen])
    torch.testing.assert_close(classifier.masked(image, chosen, infill), by_hand)


def test_a_mask_of_ones_gives_the_image_and_one_of_zeros_the_infill_bit_for_bit(network, classifier):
    image, infill = images(1)[0], images(1, seed=9)[0] * 1e6
    logits = classifier.masked(image, torch.stack([torch.ones(4, 4), torch.zeros(4, 4)]), infill)
    with torch.inference_mode():
        assert torch.equal(logits, network(torch.stack([image, infill])))


def test_masks_may_be_boolean_and_the_infill_one_number(network, classifier):
    image, chosen = images(1)[0], masks(3) > 0.5
    by_hand = network(torch.where(chosen.unsqueeze(1), image, torch.tensor(0.25)))
    torch.testing.assert_close(classifier.masked(image, chosen, torch.tensor(0.25)), by_hand)


@pytest.mark.parametrize("cuts", [[11], [1] * 11, [2, 7, 2], [4, 4, 3], [9, 2]])
def test_single_masks_and_chunks_of_any_size_fill_whole_batches(network, classifier, cuts):
    image, infill, chosen = images(1)[0], torch.zeros(1, 1, 1), masks(11)
    expected = classifier.masked(image, chosen, infill)
    network.batches.clear()
    items = [chunk if len(chunk) > 1 else chunk[0] for chunk in chosen.split(cuts)]
    assert torch.equal(classifier.masked(image, items, infill), expected)
    assert network.batches == [4, 4, 3]


def test_masks_are_drawn_only_when_their_batch_is_due(network, classifier):
    waiting = []

    def stream() -> Iterator[torch.Tensor]:
        for drawn, mask in enumerate(masks(1001), start=1):
            waiting.append(drawn - sum(network.batches))
            yield mask

    logits = classifier.masked(images(1)[0], stream(), torch.zeros(1))
    assert logits.shape == (1001, 3)
    assert max(waiting) == 4  # the batch size: the memory of one batch, however many masks


def test_masked_counts_forward_samples_and_makes_no_graph(classifier):
    logits = classifier.masked(images(1)[0].requires_grad_(), masks(7), torch.zeros(1))
    assert (classifier.counters.forward, classifier.counters.backward) == (7, 0)
    assert not logits.requires_grad


def test_no_masks_give_no_logits(classifier):
    assert classifier.masked(images(1)[0], [], torch.zeros(1)).shape == (0, 3)


def test_a_lowered_batch_size_holds_from_the_next_call(network, classifier):
    classifier.batch_size = 2
    classifier.masked(images(1)[0], masks(5), torch.zeros(1))
    assert network.batches == [2, 2, 1]


def test_bind_gives_a_gated_network_its_masks_and_takes_them_back(network):
    classifier = TorchClassifier(network, CLASSES, None, needs_gate=True)
    evidence = np.zeros((1, 4, 4), dtype=bool)
    evidence[0, 1:3, 1:3] = True
    batch = images(1)
    with classifier.bind(evidence):
        gated = classifier.logits(batch)
    torch.testing.assert_close(gated, network(batch * torch.from_numpy(evidence).unsqueeze(1)))
    assert network.gate is None


def test_bind_takes_the_masks_back_after_an_error(network):
    classifier = TorchClassifier(network, CLASSES, None, needs_gate=True)

    evidence = np.ones((1, 4, 4), dtype=bool)
    with pytest.raises(KeyError), classifier.bind(evidence):
        raise KeyError
    assert [gate is None for gate in network.gates] == [False, True]


def test_bind_leaves_an_ungated_network_alone(network, classifier):
    with classifier.bind(np.zeros((1, 4, 4), dtype=bool)):
        classifier.logits(images(1))
    assert network.gates == []


def test_the_cam_layer_is_found_by_its_dotted_name(network):
    assert TorchClassifier(network, CLASSES, "stem.0").cam_layer is network.stem[0]
    assert TorchClassifier(network, CLASSES, None).cam_layer is None


def test_a_wrong_cam_layer_is_a_usage_error_that_names_the_layers(network):
    with pytest.raises(UsageError, match=r"'layer4' is not a module of Recorder.*stem, head"):
        TorchClassifier(network, CLASSES, "layer4")


def test_bf16_computes_in_bf16_and_answers_in_float32(network):
    batch = images(2)
    half = TorchClassifier(network, CLASSES, None, precision="bf16").logits(batch)
    full = TorchClassifier(network, CLASSES, None).logits(batch)
    assert half.dtype == torch.float32
    assert torch.equal(half, half.bfloat16().float())
    assert not torch.equal(full, full.bfloat16().float())
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)
