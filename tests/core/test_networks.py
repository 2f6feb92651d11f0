"""Networks that are spoilt on purpose, layer by layer, or given another zero."""

import pytest
import torch
from torch import nn

from xaibench.errors import Unsupported
from xaibench.guard import Guard
from xaibench.isolation import isolated_randomness
from xaibench.networks import Unshifted, forgetful, from_the_output
from xaibench.seeds import derive
from xaibench.variants import SHIFT, depth, parse


class Branches(nn.Module):
    """Registered in another order than it is used, with a parameter of its own and attention inside."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.token = nn.Parameter(torch.ones(1, 1, 4))
        self.norm = nn.BatchNorm1d(4, affine=False)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.first = nn.Conv2d(1, 4, 3)
        self.bare = nn.ReLU()

    def forward(self, images):
        tokens = self.bare(self.first(images)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], dim=1)
        tokens, _ = self.attention(tokens, tokens, tokens)
        return self.head(self.norm(tokens[:, 0]))


def probe(network):
    with torch.inference_mode():
        network(torch.zeros(1, 1, 8, 8))


def branches():
    torch.manual_seed(0)
    network = Branches().eval()
    network.norm.running_mean += 3
    return network


def changed(network, before):
    return {
        name.rpartition(".")[0]
        for name, tensor in network.state_dict().items()
        if not torch.equal(tensor, before[name])
    }


def spoilt(name, seed=0, network=None):
    network = network or branches()
    return forgetful(network, from_the_output(network, probe), parse(name), seed)


def test_layers_are_counted_from_the_output_in_the_order_they_are_used():
    found = from_the_output(branches(), probe)
    assert found == ["head", "norm", "attention.out_proj", "attention", "first", ""]


def test_in_a_resnet_the_classifier_is_last_and_the_first_convolution_first():
    from torchvision.models import resnet18

    network = resnet18(num_classes=2).eval()

    def rgb(one):
        with torch.inference_mode():
            one(torch.zeros(1, 3, 32, 32))

    found = from_the_output(network, rgb)
    assert found[:2] == ["fc", "layer4.1.bn2"]
    assert found[-2:] == ["bn1", "conv1"]
    assert len(found) == 20 + 20 + 1 + 0, "convolutions with their normalisations, and the classifier"


def test_looking_at_the_order_leaves_no_trace():
    network = branches()
    guard = Guard(network)
    from_the_output(network, probe)
    assert guard.changes() == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cascade:1", {"head"}),
        ("cascade:17", {"head", "norm"}),  # a sixth is 16.7 percent
        ("cascade:34", {"head", "norm", "attention.out_proj"}),
        ("cascade:100", {"head", "norm", "attention.out_proj", "attention", "first", ""}),
        ("independent:17", {"norm"}),
        ("independent:84", {""}),
        ("independent:80", {"first"}),
    ],
)
def test_a_cascade_forgets_all_layers_down_to_its_depth_and_an_independent_variant_the_last_of_them(name, expected):
    assert changed(spoilt(name), branches().state_dict()) == expected


def test_the_network_itself_is_left_as_it_was():
    network = branches()
    guard = Guard(network)
    spoilt("cascade:100", network=network)
    assert guard.changes() == ""


def test_statistics_are_forgotten_too():
    assert branches().norm.running_mean.all()
    assert not spoilt("cascade:17").norm.running_mean.any()


def test_a_layer_is_drawn_as_it_would_draw_itself_and_others_as_large_as_before():
    found, twin = spoilt("cascade:100", seed=5), branches()
    for name in ("head", "first"):
        with isolated_randomness(derive("forget", 5, name)):
            twin.get_submodule(name).reset_parameters()
        assert torch.equal(found.get_submodule(name).weight, twin.get_submodule(name).weight)
    with isolated_randomness(derive("forget", 5, "")):
        assert torch.equal(found.token, torch.randn(1, 1, 4)), "it was made of ones"


def test_a_deeper_cascade_holds_the_shallower_one_and_each_layer_alone():
    shallow, deep, alone = spoilt("cascade:34"), spoilt("cascade:100"), spoilt("independent:80")
    assert torch.equal(shallow.head.weight, deep.head.weight)
    assert torch.equal(alone.first.weight, deep.first.weight)


def test_the_run_decides_what_is_drawn_and_nothing_else():
    first, network = spoilt("cascade:100"), branches()
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = spoilt("cascade:100", network=network)
    assert torch.equal(before, torch.random.get_rng_state()), "no global generator has moved"
    assert not changed(again, first.state_dict())
    assert "first" in changed(spoilt("cascade:100", seed=1), first.state_dict())


def test_a_network_without_parameters_has_nothing_to_forget():
    with pytest.raises(Unsupported, match="no parameters to forget"):
        spoilt("cascade:100", network=nn.Sequential(nn.Flatten(), nn.ReLU()))


@pytest.mark.parametrize(("percent", "layers", "expected"), [(1, 6, 1), (50, 6, 3), (51, 6, 4), (100, 6, 6), (1, 1, 1)])
def test_depth_by_hand(percent, layers, expected):
    assert depth(percent, layers) == expected


def test_a_shifted_network_says_of_the_shifted_image_what_the_plain_one_says_of_the_plain_image():
    network, images = branches(), torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(Unshifted(network)(images + SHIFT), network(images), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(Unshifted(network)(images), network(images), atol=1e-3)
