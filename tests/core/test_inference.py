import copy

import pytest
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.guard import Guard
from xaibench.inference import Inference, fold_batch_norms


def settled(network, seed=0):
    """Weights and statistics unlike those at the start, where folding could go wrong unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
                if "var" in name:
                    tensor.abs_().add_(0.1)
    return network.eval().requires_grad_(False)


def block(**options):
    return nn.Sequential(nn.Conv2d(4, 4, 3, **options), nn.BatchNorm2d(4))


class Net(nn.Module):
    """Grey images through a body of four channels to three logits."""

    def __init__(self, body):
        super().__init__()
        self.stem, self.body, self.head = nn.Conv2d(1, 4, 3), body, nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.body(self.stem(images)).mean(dim=(2, 3)))


class Skip(nn.Module):
    """The convolution's output goes on to the normalisation and past it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, maps):
        between = self.conv(maps)
        return self.norm(between) + between


class Twice(nn.Module):
    """One normalisation after two convolutions."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.norm = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, maps):
        return self.norm(self.two(self.norm(self.one(maps))))


class Tied(nn.Module):
    """The convolution's weights are used elsewhere too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, maps):
        return nn.functional.conv2d(self.norm(self.conv(maps)), self.conv.weight)


class Viewing(nn.Module):
    """Reshapes as only channels first allow."""

    def forward(self, maps):
        return maps.view(len(maps), -1).view(maps.shape)


class Changing(nn.Module):
    """The graph hangs on the image."""

    def forward(self, maps):
        return maps * 2 if maps.mean() > 0 else maps


IMAGE = torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(3))


def norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def probe(seed=7):
    return torch.randn(5, 1, 9, 9, generator=torch.Generator().manual_seed(seed))


def relative(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()


FOLDABLE = {
    "with bias": block(),
    "without bias": block(bias=False),
    "padded": block(padding=1, padding_mode="reflect"),
    "grouped and strided": block(groups=2, stride=2),
    "no gain": nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False)),
    "in place after it": nn.Sequential(block(), nn.ReLU(inplace=True), block()),
    "a graph that cannot be traced": nn.Sequential(block(), Changing()),
}


@pytest.mark.parametrize("name", FOLDABLE)
def test_a_folded_network_answers_the_same_with_no_normalisation_left(name):
    network = settled(Net(FOLDABLE[name]))
    folded = copy.deepcopy(network)
    assert fold_batch_norms(folded, probe()[:1]) == norms(network) > 0
    assert norms(folded) == 0
    with torch.inference_mode():
        assert relative(folded(probe()), network(probe())) < 1e-6


def test_folding_by_hand():
    # y = 3 x + 1; norm with mean 2, sd 4 (variance 16, eps 0), gain 8, shift 5: 8 (y - 2) / 4 + 5 = 6 x + 3.
    pair = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)).eval()
    values = {"0.weight": 3.0, "0.bias": 1.0, "1.running_mean": 2.0, "1.running_var": 16.0, "1.weight": 8.0}
    pair.load_state_dict({**{k: torch.full_like(v, values.get(k, 5.0)) for k, v in pair.state_dict().items()}})
    fold_batch_norms(pair, torch.ones(1, 1, 2, 2))
    assert (pair[0].weight.item(), pair[0].bias.item()) == (6.0, 3.0)


NOT_FOLDABLE = {
    "seen by others too": Skip(),
    "used twice": Twice(),
    "statistics of the batch": nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
    "a layer between": nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
    "weights worked out anew": nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), nn.BatchNorm2d(4)
    ),
}


@pytest.mark.parametrize("name", NOT_FOLDABLE)
def test_where_folding_would_change_the_answer_nothing_is_folded(name):
    network = settled(Net(NOT_FOLDABLE[name]))
    folded = copy.deepcopy(network)
    assert fold_batch_norms(folded, probe()[:1]) == 0
    assert torch.equal(folded(probe()), network(probe()))


@pytest.mark.parametrize("body", [*FOLDABLE.values(), *NOT_FOLDABLE.values(), Tied(), Viewing()])
def test_whatever_network_is_used_answers_as_the_original_does(body):
    network = settled(Net(body))
    used, layout = Inference(network, "fp32").network(IMAGE)
    images = probe().contiguous(memory_format=layout)
    assert relative(used(images), network(probe())) < 1e-4


def test_a_network_that_shares_weights_keeps_its_normalisation():
    network = settled(Net(Tied()))
    used, _ = Inference(network, "fp32").network(IMAGE)
    assert norms(used) == 1


def test_a_network_that_wants_channels_first_is_used_itself():
    network = settled(Net(Viewing()))
    assert Inference(network, "fp32").network(IMAGE) == (network, torch.contiguous_format)


def test_the_network_itself_stays_as_it_was():
    network = settled(Net(block()))
    guard = Guard(network)
    used, _ = Inference(network, "fp32").network(IMAGE)
    assert used is not network
    assert guard.changes() == ""


@pytest.fixture
def inference():
    return Inference(settled(Net(block())), "fp32")


def test_the_copy_is_kept_as_long_as_nothing_changes(inference):
    assert inference.network(IMAGE)[0] is inference.network(IMAGE)[0]


def _overwrite(network):
    network.body[0].weight.data[0, 0] += 1


def _shuffle(network):
    network.head.weight.data.copy_(network.head.weight.data.flip(1))


def _statistics(network):
    network.body[1].running_mean += 1


def _other_module(network):
    network.body[1] = nn.Tanh()


def _train(network):
    network.body[1].train()


@pytest.mark.parametrize("change", [_overwrite, _shuffle, _statistics, _other_module, _train])
def test_after_any_change_the_answer_is_that_of_the_changed_network(inference, change):
    network = inference._network
    before = inference.network(IMAGE)[0](probe())
    change(network)
    after = inference.network(IMAGE)[0](probe())
    torch.testing.assert_close(after, network(probe()), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(after, before, rtol=1e-3)


def test_hooks_on_the_network_are_seen_and_heard_in_masked_passes():
    network = settled(Net(block()))
    classifier = TorchClassifier(network, ("a", "b", "c"), None)
    masks = torch.ones(3, 9, 9)
    plain = classifier.masked(IMAGE, masks, torch.zeros(1))
    hook = network.head.register_forward_hook(lambda _module, _inputs, output: output + 1)
    hooked = classifier.masked(IMAGE, masks, torch.zeros(1))
    hook.remove()
    torch.testing.assert_close(hooked, plain + 1)
    assert torch.equal(classifier.masked(IMAGE, masks, torch.zeros(1)), plain)


def test_a_network_that_answers_nan_is_no_reason_to_fail():
    network = settled(Net(block()))
    network.head.bias.fill_(torch.nan)
    assert TorchClassifier(network, ("a", "b", "c"), None).masked(IMAGE, torch.ones(2, 9, 9), IMAGE).isnan().all()


def test_in_bf16_the_copy_holds_its_weights_in_bf16_and_answers_as_autocast_does():
    network = settled(Net(block()))
    half = TorchClassifier(network, ("a", "b", "c"), None, precision="bf16")
    used, _ = Inference(network, "bf16").network(IMAGE)
    assert used.head.weight.dtype == torch.bfloat16
    logits = half.masked(IMAGE, torch.ones(2, 9, 9), IMAGE)
    assert logits.dtype == torch.float32
    # bf16 has 8 bits of mantissa: a few roundings of 0.4 % each.
    assert 0 < relative(logits, network(IMAGE.expand(2, 1, 9, 9))) < 0.03
