"""Attention of transformers and of feature maps, by hand and against slow twins."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench.guard import Guard
from xaibench.isolation import isolated_randomness
from xaibench.registry import create
from xaibench_adapters.attention import AttentionGradient, AttentionRollout, _as_heatmaps
from xaibench_adapters.spatial_attention import HMCAttention, _received
from xaibench_models.hmc import Attention, HMCNet

CLASSES = ("a", "b", "c")


def batch_of(images, targets):
    count = len(images)
    return Batch(images, torch.tensor(targets), tuple(map(str, range(count))), tuple(range(count)))


@pytest.fixture(scope="module")
def transformer():
    with isolated_randomness(0):
        network = VisionTransformer(32, 16, 3, 2, 16, 32, num_classes=3)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.4)
        network.heads.head.weight.data *= 30  # or what one layer does to another would be lost in rounding
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch():
    return batch_of(torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(1)), [2, 0])


@pytest.mark.parametrize(
    ("reference", "offered"), [("torchvision:vit_b_32", True), ("torchvision:swin_t", False), ("vit", True)]
)
def test_networks_whose_attention_can_be_followed_offer_it(reference, offered):
    plugin, task = create("models", reference).plugin, SimpleNamespace(classes=CLASSES, shape=(1, 64, 64))
    assert ("attention" in plugin.card.provides) == offered
    with isolated_randomness(0):
        classifier = TorchClassifier(plugin.build(task), CLASSES, None)
    images = batch_of(torch.rand(1, 1, 64, 64), [0])
    if offered:
        assert AttentionRollout().explain(classifier, images)[0].std() > 0
    else:
        with pytest.raises(UsageError, match=r"no torch\.nn\.MultiheadAttention"):
            AttentionRollout().explain(classifier, images)


def attention_of(network, images, disturbed=None):
    """Logits and attention [heads, N, N] of every layer of one image, in double precision, step by step.

    disturbed: (layer, amount [heads, N, N]) is added to that layer's attention before it is used.
    """
    tokens = network._process_input(images[None])
    tokens = torch.cat([network.class_token, tokens], dim=1) + network.encoder.pos_embedding
    found = []
    for number, block in enumerate(network.encoder.layers):
        normal, module = block.ln_1(tokens), block.self_attention
        queries, keys, values = F.linear(normal, module.in_proj_weight, module.in_proj_bias).chunk(3, dim=2)
        heads = [part.reshape(part.shape[1], 2, 8).transpose(0, 1) for part in (queries, keys, values)]
        weights = (heads[0] @ heads[1].transpose(1, 2) / 8**0.5).softmax(dim=2)
        found.append(weights)
        if disturbed is not None and disturbed[0] == number:
            weights = weights + disturbed[1]
        mixed = (weights @ heads[2]).transpose(0, 1).reshape(1, -1, 16)
        tokens = tokens + module.out_proj(mixed)
        tokens = tokens + block.mlp(block.ln_2(tokens))
    return network.heads(network.encoder.ln(tokens)[:, 0])[0], found


def enlarged(patches):
    return F.interpolate(patches.reshape(1, 1, 2, 2).float(), (32, 32), mode="bilinear")[0, 0]


@pytest.fixture
def double(transformer):
    copied = VisionTransformer(32, 16, 3, 2, 16, 32, num_classes=3).double().eval().requires_grad_(False)
    copied.load_state_dict(transformer.state_dict())
    return copied


def test_rollout_is_the_product_of_attention_and_residuals(transformer, double, batch):
    maps = AttentionRollout().explain(TorchClassifier(transformer, CLASSES, None), batch)
    for image, heatmap in zip(batch.images.double(), maps, strict=True):
        rolled = torch.eye(5, dtype=torch.float64)
        for weights in attention_of(double, image)[1]:
            rolled = (0.5 * weights.mean(dim=0) + 0.5 * torch.eye(5)) @ rolled
        torch.testing.assert_close(heatmap, enlarged(rolled[0, 1:]), rtol=1e-4, atol=1e-6)


def test_attention_gradient_agrees_with_finite_differences(transformer, double, batch):
    maps = AttentionGradient().explain(TorchClassifier(transformer, CLASSES, None), batch)
    image, target, step = batch.images[0].double(), int(batch.targets[0]), 1e-5
    weights = attention_of(double, image)[1]
    relevance = torch.eye(5, dtype=torch.float64)
    for layer, own in enumerate(weights):
        slopes = torch.zeros_like(own)
        for place in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(5)).tolist():
            shift = torch.zeros_like(own)
            shift[tuple(place)] = step
            both = [attention_of(double, image, (layer, sign * shift))[0][target] for sign in (1, -1)]
            slopes[tuple(place)] = (both[0] - both[1]) / (2 * step)
        relevance = relevance + (own * slopes).clamp(min=0).mean(dim=0) @ relevance
    assert maps[0].max() > 1e-3
    torch.testing.assert_close(maps[0], enlarged(relevance[0, 1:]), rtol=1e-3, atol=1e-5)


def test_heads_can_be_fused_by_their_extremes_and_the_weakest_left_out(transformer, batch):
    classifier = TorchClassifier(transformer, CLASSES, None)
    mean, most, least, strong = (
        AttentionRollout(**options).explain(classifier, batch)
        for options in ({}, {"heads": "max"}, {"heads": "min"}, {"discard": 0.9})
    )
    assert not any(torch.equal(mean, other) for other in (most, least, strong))
    two = torch.tensor([[[[0.1, 0.9]], [[0.7, 0.3]]]])
    assert AttentionRollout(heads="max").fused(two).tolist() == [[[pytest.approx(0.7), pytest.approx(0.9)]]]
    assert AttentionRollout(heads="min").fused(two).tolist() == [[[pytest.approx(0.1), pytest.approx(0.3)]]]


def test_without_a_class_token_the_mean_token_is_followed():
    weights = torch.tensor([[0.4, 0.3, 0.2, 0.1], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])[None]
    maps = _as_heatmaps(weights, batch_of(torch.zeros(1, 3, 2, 2), [0]))
    torch.testing.assert_close(maps, torch.tensor([[[1.4, 0.3], [1.2, 1.1]]]) / 4)


def test_discarding_leaves_the_strongest_of_each_layer():
    weights = torch.arange(10.0).reshape(1, 1, 2, 5)
    assert AttentionRollout(discard=0.8).fused(weights).flatten().tolist() == [0] * 8 + [8, 9]
    assert torch.equal(AttentionRollout().fused(weights), weights[:, 0])


@pytest.mark.parametrize("explainer", [AttentionRollout(), AttentionGradient()])
def test_the_network_computes_the_same_logits_while_it_is_asked_for_its_attention(transformer, batch, explainer):
    guard, seen = Guard(transformer), []
    classifier = TorchClassifier(transformer, CLASSES, None)
    expected = transformer(batch.images)
    hook = transformer.register_forward_hook(lambda _module, _given, output: seen.append(output.detach()))
    explainer.explain(classifier, batch)
    hook.remove()
    torch.testing.assert_close(seen[0], expected)
    assert guard.changes() == ""
    assert (classifier.counters.forward, classifier.counters.backward) == (
        2,
        2 if "gradients" in explainer.card.needs else 0,
    )


@pytest.mark.parametrize("explainer", [AttentionRollout(), AttentionGradient()])
def test_a_network_without_multi_head_attention_is_refused(batch, explainer):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
    with pytest.raises(UsageError, match=r"no torch.nn.MultiheadAttention"):
        explainer.explain(TorchClassifier(network, CLASSES, None), batch)


@pytest.mark.parametrize("options", [{"heads": "sum"}, {"discard": 1}, {"discard": -0.1}])
def test_options_of_rollout_that_cannot_be_are_refused(options):
    with pytest.raises(UsageError, match=f"attention-rollout: {next(iter(options))} is"):
        AttentionRollout(**options)


# ------------------------------------------------------------------------------------------------ between feature maps


class HandAttention(nn.Module):
    """Queries are all 1, and a key is log 3 where the map is bright: what is bright is paid three times as much."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.scale = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1), 1.0
        with torch.no_grad():
            self.query.weight.zero_(), self.query.bias.fill_(1)
            self.key.weight.fill_(torch.log(torch.tensor(3.0))), self.key.bias.zero_()

    def forward(self, x, y):
        return x + y


class HandNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.look, self.head = HandAttention(), nn.Linear(1, 3)

    def forward(self, images):
        return self.head(self.look(images, images).mean(dim=(2, 3)))


def test_attention_paid_to_places_by_hand():
    image = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    maps = HMCAttention().explain(TorchClassifier(HandNet(), CLASSES, None), batch_of(image, [0]))
    # Of 3 + 1 + 1 + 3 = 8.
    torch.testing.assert_close(maps, torch.tensor([[[0.375, 0.125], [0.125, 0.375]]]))


class CrossNet(HandNet):
    """What asks is black; what is asked is the image."""

    def forward(self, images):
        return self.head(self.look(torch.zeros_like(images), images).mean(dim=(2, 3)))


def test_of_two_different_maps_the_one_that_is_attended_to_is_shown():
    image = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    maps = HMCAttention().explain(TorchClassifier(CrossNet(), CLASSES, None), batch_of(image, [0]))
    torch.testing.assert_close(maps, torch.tensor([[[0.375, 0.125], [0.125, 0.375]]]))


def test_attention_paid_in_a_module_of_hmc_is_what_its_equation_says_place_by_place():
    with isolated_randomness(2):
        module, x, y = Attention(16, scaled=True), torch.randn(2, 16, 3, 2), torch.randn(2, 16, 3, 2)
    received = torch.zeros(2, 3, 2)
    places = [(r, c) for r in range(3) for c in range(2)]
    with torch.no_grad():
        queries, keys = module.query(x), module.key(y)
        for film in range(2):
            for r, c in places:
                odds = [torch.exp(queries[film, :, r, c] @ keys[film, :, R, C] / 2**0.5) for R, C in places]
                for (R, C), odd in zip(places, odds, strict=True):
                    received[film, R, C] += odd / sum(odds) / len(places)
        torch.testing.assert_close(_received(module, x, y), received)


def test_the_modules_of_hmc_are_found_by_their_names(batch):
    with isolated_randomness(0):
        network = HMCNet(3, scaled=True)
    classifier = TorchClassifier(network, CLASSES, None)
    guard = Guard(network)
    for module in ("", "ha2", "ca34"):
        maps = HMCAttention(module=module).explain(classifier, batch)
        assert maps.shape == (2, 32, 32)
        assert torch.isfinite(maps).all()
    with pytest.raises(UsageError, match="no attention module 'ca45'; there are ha1, ha2, ca23, ca34"):
        HMCAttention(module="ca45").explain(classifier, batch)
    assert guard.changes() == ""


def test_a_network_without_attention_between_feature_maps_is_refused(transformer, batch):
    with pytest.raises(UsageError, match="no attention between feature maps"):
        HMCAttention().explain(TorchClassifier(transformer, CLASSES, None), batch)
