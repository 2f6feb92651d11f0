"""Layer-wise relevance propagation: by hand, against zennit as its users call it, and what it refuses."""

import pytest
import torch
import torchvision
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.errors import UsageError
from xaibench.guard import Guard
from xaibench_adapters.zennit_lrp import LRP


def batch_of(images, targets):
    count = len(images)
    return Batch(images, torch.tensor(targets), tuple(map(str, range(count))), tuple(range(count)))


class Normalised(nn.Module):
    """A network with its preprocessing inside."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner((images - 0.25) / 0.5)


def convolutional(bias=True):
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=bias), nn.ReLU(), nn.Conv2d(6, 6, 3, stride=2, bias=bias), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2, bias=bias),
    ).eval().requires_grad_(False)  # fmt: skip


def test_a_linear_layer_shares_relevance_as_its_inputs_contribute():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    with torch.no_grad():
        linear[1].weight.copy_(torch.tensor([[1.0, -2.0, 3.0, 0.0]]))
        linear[1].bias.copy_(torch.tensor([0.5]))
    classifier = TorchClassifier(linear, ("a",), None)
    maps = LRP("epsilon-plus").explain(classifier, batch_of(torch.tensor([[[[1.0, 0.25], [0.5, 1.0]]]]), [0]))
    # Contributions 1, -.5, 1.5, 0 and the bias .5 make 2.5; each takes its share of 1.
    torch.testing.assert_close(maps, torch.tensor([[[0.4, -0.2], [0.6, 0.0]]]), rtol=1e-5, atol=1e-6)


def test_a_flat_first_layer_shares_evenly():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False)).requires_grad_(False)
    maps = LRP("epsilon-plus-flat").explain(
        TorchClassifier(linear, ("a",), None), batch_of(torch.tensor([[[[1.0, 0.25], [0.5, 1.0]]]]), [0])
    )
    torch.testing.assert_close(maps, torch.full((1, 2, 2), 0.25))


@pytest.mark.parametrize("composite", ["epsilon-plus-flat", "epsilon-plus"])
def test_without_biases_no_relevance_is_lost(composite):
    images = torch.rand((3, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    maps = LRP(composite).explain(
        TorchClassifier(convolutional(bias=False), ("a", "b"), None), batch_of(images, [0, 1, 0])
    )
    # All but what the stabilisers of small divisors take.
    torch.testing.assert_close(maps.sum(dim=(1, 2)), torch.ones(3), rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("composite", "theirs"),
    [
        ("epsilon-plus-flat", "EpsilonPlusFlat"),
        ("epsilon-plus", "EpsilonPlus"),
        ("epsilon-alpha2-beta1-flat", "EpsilonAlpha2Beta1Flat"),
        ("epsilon-alpha2-beta1", "EpsilonAlpha2Beta1"),
    ],
)
def test_the_maps_are_those_of_zennit_as_its_users_call_it(composite, theirs):
    from zennit import composites
    from zennit.attribution import Gradient

    images, network = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(1)), convolutional()
    with Gradient(model=network, composite=getattr(composites, theirs)()) as attributor:
        _, expected = attributor(images.clone().requires_grad_(), torch.eye(2)[[0, 1]])
    maps = LRP(composite).explain(TorchClassifier(network, ("a", "b"), None), batch_of(images, [0, 1]))
    torch.testing.assert_close(maps, expected.sum(dim=1))


@pytest.mark.parametrize(("name", "canonizer"), [("resnet18", "ResNetCanonizer"), ("vgg11_bn", "VGGCanonizer")])
def test_the_networks_of_torchvision_get_zennits_maps_and_stay_as_they_were(name, canonizer):
    from zennit import composites
    from zennit import torchvision as canonizers
    from zennit.attribution import Gradient

    torch.manual_seed(6)
    network = torchvision.models.get_model(name, num_classes=2).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # not the ones that do nothing
            module.running_mean.uniform_(-0.1, 0.1), module.running_var.uniform_(0.5, 1.5)
    images, guard = torch.rand((2, 3, 48, 48)), Guard(network)
    maps = LRP("epsilon-plus").explain(TorchClassifier(network, ("a", "b"), None), batch_of(images, [0, 1]))
    assert guard.changes() == ""
    composite = composites.EpsilonPlus(canonizers=[getattr(canonizers, canonizer)()])
    with Gradient(model=network, composite=composite) as attributor:
        _, expected = attributor(images.clone().requires_grad_(), torch.eye(2))
    expected = expected.sum(dim=1)
    assert expected.abs().max() > 1e-6
    scale = expected.abs().amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(maps / scale, expected / scale, rtol=0, atol=1e-4)


def test_preprocessing_inside_the_network_changes_nothing():
    images = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    plain = LRP().explain(TorchClassifier(convolutional(), ("a", "b"), None), batch_of((images - 0.25) / 0.5, [0, 1]))
    inside = LRP().explain(TorchClassifier(Normalised(convolutional()), ("a", "b"), None), batch_of(images, [0, 1]))
    torch.testing.assert_close(inside, plain)


def test_passes_are_counted():
    classifier = TorchClassifier(convolutional(), ("a", "b"), None)
    LRP().explain(classifier, batch_of(torch.rand(2, 3, 16, 16), [0, 1]))
    assert (classifier.counters.forward, classifier.counters.backward) == (4, 2)


class Residual(nn.Module):
    """A sum that no module makes."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.pool = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 2)

    def forward(self, images):
        once = self.first(images)
        return self.head(self.pool(once + self.second(once)).flatten(1))


class Averaged(nn.Module):
    """An average that no module takes."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

    def forward(self, images):
        return self.head(self.first(images).mean(dim=(2, 3)))


@pytest.mark.parametrize(("network", "said"), [(Residual(), "no rule for add"), (Averaged(), "no rule for mean")])
def test_what_hooks_on_modules_cannot_share_is_refused(network, said):
    guard = Guard(network)
    with pytest.raises(UsageError, match=said):
        LRP().explain(TorchClassifier(network, ("a", "b"), None), batch_of(torch.rand(1, 3, 8, 8), [0]))
    assert "hook" not in guard.changes()


def test_rules_that_do_not_exist_are_refused():
    with pytest.raises(UsageError, match="composite is 'gamma'; there are epsilon-plus-flat"):
        LRP(composite="gamma")


class Reversed(nn.Module):
    """Batch normalisation before the convolution that is named before it: merging computes something else."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
        self.rest = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
        self.bn.running_var.fill_(0.04)
        self.eval().requires_grad_(False)

    def forward(self, images):
        return self.rest(self.conv(self.bn(images)))


def test_a_network_that_merging_would_make_another_one_is_refused():
    torch.manual_seed(3)
    classifier = TorchClassifier(Reversed(), ("a", "b"), None)
    with pytest.raises(UsageError, match="in the order they are named, and then computes other logits"):
        LRP().explain(classifier, batch_of(torch.rand(1, 3, 8, 8), [0]))
