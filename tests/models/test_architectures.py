"""What every registered network must do; a new one is tested by being registered."""

import functools
import math

import pytest
import torch
from safetensors.torch import save_model
from torch import nn
from torch.nn import functional as F

from xaibench.checkpoints import fill
from xaibench.errors import UsageError
from xaibench.isolation import isolated_randomness
from xaibench.references import Reference, parse
from xaibench.registry import Loaded, create, select
from xaibench.weights import digest_of

# Networks that are named by what they are given are tried with a small one of their kind.
EXAMPLES = ["torchvision:mobilenet_v3_small", "timm:resnet10t"]


@functools.cache
def trained():
    """References of every network that learns."""
    rows = [row for row in select("models", "all") if isinstance(row, Loaded) and row.card["trained"]]
    return [row.reference for row in rows] + EXAMPLES


class Task:
    classes = ("normal", "benign", "malignant")
    folds = 1

    def __init__(self, side=32, channels=1):
        self.shape = (channels, side, side)


def images(count, side=32, channels=1):
    """Stripes of three widths: classes that a handful of steps can tell apart."""
    noise = torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1))
    rows = torch.arange(side)
    waves = torch.stack([torch.sin(rows * math.pi / 2 ** (1 + at % 3)) for at in range(count)])
    return (0.5 + 0.35 * waves[:, None, :, None] + 0.3 * (noise - 0.5)).clamp(0, 1)


def build(reference, task):
    with isolated_randomness(0):
        return create("models", reference).plugin.build(task)


@pytest.fixture(params=trained())
def reference(request):
    return request.param


@pytest.mark.slow
def test_it_learns_a_handful_of_images_by_heart(reference):
    network, batch = build(reference, Task()).train(), images(6)
    labels = torch.arange(6) % 3
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.eval()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-4, fused=True)
    losses = []
    with isolated_randomness(0):
        for _ in range(100):
            loss = F.cross_entropy(network(batch), labels)
            losses.append(loss.item())
            if losses[-1] < 0.1 * losses[0]:
                break
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    assert losses[-1] < 0.1 * losses[0]


def test_saved_and_loaded_it_says_the_same(reference, tmp_path):
    """Images of any shape; forward and backward; a file of weights makes the same network of another one."""
    task = Task(48)
    network = build(reference, task).eval()
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():  # some heads start at zero
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=chance))
    batch = images(2, 48).requires_grad_()
    logits = network(batch)
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert batch.grad.isfinite().all()
    assert batch.grad.abs().max() > 0
    file = tmp_path / "weights.safetensors"
    save_model(network, str(file))
    given = parse(reference)
    again = create("models", str(Reference(given.target, {**given.params, "checkpoint": str(file)})))
    assert not again.card["trained"]
    with isolated_randomness(1):
        other = again.plugin.build(task).eval()
    assert digest_of(other) == digest_of(network)
    with torch.inference_mode():
        assert torch.equal(other(batch), network(batch))


def test_its_cam_layer_exists_and_is_spatial(reference):
    plugin, task = create("models", reference).plugin, Task(64)
    network, kept = build(reference, task).eval(), []
    network.get_submodule(plugin.cam_layer(task)).register_forward_hook(lambda *args: kept.append(args[2]))
    with torch.inference_mode():
        network(images(2, 64))
    tokens = 1 + 4 * 4  # patches, and the class
    assert kept[-1].ndim == 4 or kept[-1].shape[1] == tokens
    assert len(kept[-1]) == 2


def test_its_card_names_its_paper_and_what_it_makes_of_pixels(reference):
    card = create("models", reference).card
    assert "pixels" in card["summary"]
    assert card["paper"] or reference in EXAMPLES


@pytest.mark.parametrize(
    ("reference", "count"),
    [
        ("cnn-elhouby", 1_386_177),  # the paper's table
        ("hmc", 33_106_695),  # by its equations; its table says 45 million
        ("resnet50", 23_514_179),  # torchvision's 25,557,032 with 3 classes instead of 1000
        ("vgg16", 134_272_835),  # likewise 138,357,544
        ("vgg19", 139_582_531),
    ],
)
def test_parameters_at_224_and_three_classes(reference, count):
    task = Task(224, 3)
    with torch.device("meta") if reference != "cnn-elhouby" else isolated_randomness(0):
        network = create("models", reference).plugin.network(task)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("name", ["hmc-hierarchical", "hmc-multiscale"])
def test_the_ablations_have_half_of_the_attention(name):
    network = create("models", name).plugin.network(Task())
    held = {part for part in ("ha1", "ha2", "ca23", "ca34", "match23", "match34") if getattr(network, part) is not None}
    assert held == ({"ha1", "ha2"} if name == "hmc-hierarchical" else {"ca23", "ca34", "match23", "match34"})


@pytest.mark.parametrize("place", ["stage", "block"])
def test_channel_attention_weighs_channels_as_its_description_says(place):
    network = build(f"dala-resnet50(place='{place}', dropout=0.0)", Task()).eval()
    attention = network.layer4.attention if place == "stage" else network.layer4[0].attention
    maps = torch.rand(2, 2048, 3, 3, generator=torch.Generator().manual_seed(0))
    weights = torch.sigmoid(maps.mean((2, 3)) @ attention.weigh.weight.T + attention.weigh.bias)
    torch.testing.assert_close(attention(maps), maps + maps * weights[:, :, None, None])
    assert [type(layer).__name__ for layer in network.fc if "Linear" not in type(layer).__name__] == [
        "LeakyReLU", "Dropout", "ReLU",
    ]  # fmt: skip


def test_attention_at_zero_dropout_leaves_the_trunk_to_the_known_weights():
    plain = build("resnet50", Task()).state_dict()
    for place in ("stage", "block"):
        network = build(f"dala-resnet50(place='{place}')", Task())
        fill(network, plain, "resnet50", create("models", "dala-resnet50").plugin.fresh)
        assert torch.equal(network.state_dict()["layer4.2.conv3.weight"], plain["layer4.2.conv3.weight"])


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("torchvision:resnet19", "torchvision has no classifier 'resnet19'; did you mean resnet1"),
        ("timm:convnext_tin", "timm has no network 'convnext_tin'; did you mean convnext_tiny"),
        ("vit(width=100, heads=3)", "width=100 must be a multiple of heads=3"),
        ("cnn-elhouby(weights='imagenet')", "has no weights from ImageNet"),
        ("dala-resnet50(dropout=1.0)", "dropout"),
    ],
)
def test_what_cannot_be_is_refused(reference, told):
    with pytest.raises(UsageError, match=told):
        create("models", reference)


def test_images_too_small_for_four_poolings_are_refused():
    with pytest.raises(UsageError, match="need 28 at least"):
        create("models", "cnn-elhouby").plugin.build(Task(27))
