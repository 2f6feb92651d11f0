"""What is wrong with the bare libraries, and is right here. Each test would fail if ours were theirs."""

import copy
import warnings

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn
from torch.nn import functional as F
from torchvision.models import densenet121, resnet18, vgg11_bn

from xaibench.classifier import TorchClassifier
from xaibench.errors import UsageError
from xaibench.guard import Guard
from xaibench.isolation import isolated_randomness
from xaibench_adapters.deeplift import DeepLift, DeepLiftShap, attributions
from xaibench_adapters.noisy_gradients import SmoothGrad
from xaibench_adapters.path_gradients import GradientShap
from xaibench_adapters.pixel_gradients import Saliency
from xaibench_adapters.relu_rules import GuidedBackprop, GuidedGradCAM
from xaibench_adapters.zennit_lrp import LRP

CLASSES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def libraries_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def batch(make_batch):
    return make_batch(2, 3, (32, 32))


def lively(network):
    """With statistics that differ from those of a fresh network, which hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def residual():
    with isolated_randomness(0):
        return lively(resnet18(num_classes=3))


def change(network, batch):
    difference = network(batch.images) - network(torch.zeros_like(batch.images))
    return difference.gather(1, batch.targets[:, None]).squeeze(1)


def test_deeplift_works_on_a_plain_resnet_where_captums_fails(residual, batch):
    bare = copy.deepcopy(residual)
    with pytest.raises(RuntimeError, match="module is being used more than once"):
        attr.DeepLift(bare).attribute(batch.images.clone().requires_grad_(), target=batch.targets)
    assert hasattr(bare.layer1[0].relu, "input") or hasattr(bare.layer1[0].relu, "output")  # what captum left behind
    guard, before = Guard(residual), {name: set(vars(module)) for name, module in residual.named_modules()}
    maps = DeepLift().explain(TorchClassifier(residual, CLASSES, None), batch)
    torch.testing.assert_close(maps.sum(dim=(1, 2)), change(residual, batch), rtol=1e-3, atol=1e-4)
    assert guard.changes() == ""
    assert {name: set(vars(module)) for name, module in residual.named_modules()} == before


class Pooled(nn.Module):
    """Max pooling behind a ReLU."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.pool = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(6, 6, 3), nn.ReLU())
        self.head = nn.Linear(6, 3)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
        self.eval().requires_grad_(False)

    def forward(self, images):
        return self.head(self.pool(images).mean(dim=(2, 3)))


def test_deeplift_adds_up_behind_max_pooling_where_captums_does_not(batch):
    generator = torch.Generator().manual_seed(3)
    blanks = torch.rand(batch.images.shape, generator=generator)
    network = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3 * 16 * 16, 3)).eval()
    nn.init.normal_(network[3].weight, generator=generator)
    network.requires_grad_(False)
    shifted = batch.images - 0.5

    def difference(images):
        return (network(images) - network(blanks - 0.5)).gather(1, batch.targets[:, None]).squeeze(1)

    theirs = attr.DeepLift(network).attribute(shifted.clone().requires_grad_(), blanks - 0.5, target=batch.targets)
    off = (theirs.sum(dim=(1, 2, 3)) - difference(shifted)).abs()
    assert off.max() > 0.1 * difference(shifted).abs().max()

    ours = attributions(TorchClassifier(network, CLASSES, None), shifted, blanks - 0.5, batch.targets)
    torch.testing.assert_close(ours.sum(dim=(1, 2, 3)), difference(shifted), rtol=1e-3, atol=1e-3)


def test_deeplift_adds_up_behind_overlapping_pools(batch):
    network = Pooled()
    maps = DeepLift().explain(TorchClassifier(network, CLASSES, None), batch)
    torch.testing.assert_close(maps.sum(dim=(1, 2)), change(network, batch), rtol=1e-3, atol=1e-5)


class Functional(nn.Module):
    """ReLUs that are no modules, one of them in place."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.Linear(6, 3)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
        self.eval().requires_grad_(False)

    def forward(self, images):
        return self.head(F.relu(self.second(F.relu(self.first(images), inplace=True))).mean(dim=(2, 3)))


class Modular(Functional):
    """The same with modules."""

    def __init__(self):
        super().__init__()
        self.relu, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, images):
        return self.head(self.relu2(self.second(self.relu(self.first(images)))).mean(dim=(2, 3)))


def test_guided_backprop_sees_relus_that_are_functions_where_captums_gives_plain_gradients(batch):
    image = batch.images.clone().requires_grad_()
    bare = attr.GuidedBackprop(Functional()).attribute(image, target=batch.targets).abs().amax(dim=1)
    classifier = TorchClassifier(Functional(), CLASSES, "first")
    plain = Saliency().explain(classifier, batch)
    torch.testing.assert_close(bare.detach(), plain)
    expected = attr.GuidedBackprop(Modular()).attribute(image, target=batch.targets).abs().amax(dim=1)
    maps = GuidedBackprop().explain(classifier, batch)
    torch.testing.assert_close(maps, expected.detach())
    assert (maps - plain).abs().max() > 0.1 * plain.max()


class InPlace(Functional):
    """ReLUs of which nobody takes the answer: they change their input."""

    def forward(self, images):
        maps = self.first(images)
        F.relu(maps, inplace=True)
        maps = self.second(maps)
        torch.relu_(maps)
        return self.head(maps.mean(dim=(2, 3)))


@pytest.mark.parametrize("explainer", [GuidedBackprop(), DeepLift()])
def test_relus_whose_answer_nobody_takes_are_relus_too(explainer, batch):
    maps = [explainer.explain(TorchClassifier(net(), CLASSES, None), batch) for net in (InPlace, Functional)]
    torch.testing.assert_close(*maps)


def test_deeplift_sees_activations_that_are_functions_where_captums_does_not(batch):
    network = Functional()
    bare = attr.DeepLift(network).attribute(batch.images.clone().requires_grad_(), target=batch.targets)
    expected = change(network, batch)
    assert (bare.sum(dim=(1, 2, 3)) - expected).abs().max() > 0.05 * expected.abs().max()
    maps = DeepLift().explain(TorchClassifier(network, CLASSES, None), batch)
    torch.testing.assert_close(maps.sum(dim=(1, 2)), expected, rtol=1e-4, atol=1e-6)


class Activated(nn.Module):
    """Two convolutions with an activation between them."""

    def __init__(self, activation):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.Linear(6, 3)
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
        self.activation = activation
        self.eval().requires_grad_(False)

    def forward(self, images):
        return self.head(torch.relu(self.second(self.activation(self.first(images)))).mean(dim=(2, 3)))


ACTIVATIONS = [
    *(nn.ReLU6(inplace=True), nn.Hardswish(inplace=True), nn.LeakyReLU(0.1, inplace=True), nn.ELU(inplace=True)),
    *(nn.PReLU(), nn.RReLU(), nn.Threshold(0.1, 0.0), nn.LogSigmoid(), nn.Softsign(), nn.Tanhshrink()),
    *(nn.Hardshrink(), nn.Softshrink(), nn.GELU(), lambda x: x.clamp(min=0), torch.abs),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda one: getattr(one, "__name__", str(one)))
def test_deeplift_adds_up_behind_any_activation(activation, batch):
    network = Activated(activation)
    maps = DeepLift().explain(TorchClassifier(network, CLASSES, None), batch)
    torch.testing.assert_close(maps.sum(dim=(1, 2)), change(network, batch), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("gate", [lambda x: F.glu(x.repeat(1, 2, 1, 1), 1), torch.square, lambda x: x.clamp_(0, 1)])
def test_deeplift_refuses_what_it_has_no_rule_for(gate, batch):
    with pytest.raises(UsageError, match="DeepLift has no rule for"):
        DeepLift().explain(TorchClassifier(Activated(gate), CLASSES, None), batch)


def test_a_network_that_was_training_is_changed_by_captum_and_not_by_us(residual, batch):
    statistics = residual.bn1.running_mean.clone()
    bare, ours = copy.deepcopy(residual).train(), copy.deepcopy(residual).train()
    theirs = attr.Saliency(bare).attribute(batch.images.clone().requires_grad_(), target=batch.targets)
    assert not torch.equal(bare.bn1.running_mean, statistics)
    maps = Saliency().explain(TorchClassifier(ours, CLASSES, None), batch)
    assert torch.equal(ours.bn1.running_mean, statistics)
    assert torch.equal(maps, Saliency().explain(TorchClassifier(residual, CLASSES, None), batch))
    assert (theirs.amax(dim=1) - maps).abs().max() > 0.01 * maps.max()  # it explained another network


def test_deeplift_shap_works_on_a_plain_resnet_where_shaps_fails_and_leaves_hooks_behind(residual, batch):
    import shap  # it takes seconds

    bare, blank = copy.deepcopy(residual), torch.zeros_like(batch.images)
    with pytest.raises(RuntimeError, match="modified inplace"):
        shap.DeepExplainer(bare, blank).shap_values(batch.images)
    assert any(module._forward_hooks or module._backward_hooks for module in bare.modules())
    guard = Guard(residual)
    maps = DeepLiftShap(samples=2, baselines="black").explain(TorchClassifier(residual, CLASSES, None), batch)
    torch.testing.assert_close(maps.sum(dim=(1, 2)), change(residual, batch), rtol=1e-3, atol=1e-4)
    assert guard.changes() == ""


@pytest.mark.parametrize("explainer", [SmoothGrad(samples=3), GradientShap(samples=3)])
def test_noise_is_the_samples_own_where_captums_is_of_the_neighbours_and_of_the_global_generator(
    batch, part, explainer
):
    classifier, alone = TorchClassifier(Functional(), CLASSES, "first"), part(batch, [1])
    theirs = {
        "smoothgrad": lambda some: attr.NoiseTunnel(attr.Saliency(Functional())).attribute(
            some.images.clone().requires_grad_(), target=some.targets, nt_samples=3, stdevs=0.1
        ),
        "gradient-shap": lambda some: attr.GradientShap(Functional()).attribute(
            some.images.clone().requires_grad_(), torch.zeros_like(batch.images), target=some.targets, n_samples=3
        ),
    }[explainer.card.name]
    drawn = []
    for some in (batch, alone):
        with isolated_randomness(7):
            before = torch.get_rng_state(), np.random.get_state()[1].copy()
            drawn.append(theirs(some)[-1])
            untouched = torch.equal(torch.get_rng_state(), before[0])
            assert not (untouched and np.array_equal(np.random.get_state()[1], before[1]))
    assert (drawn[0] - drawn[1]).abs().max() > 0.01 * drawn[0].abs().max()
    ours = [explainer.explain(classifier, some)[-1] for some in (batch, alone)]
    assert (ours[0] - ours[1]).abs().max() <= 1e-5 * ours[0].abs().max()


def test_lrp_leaves_a_network_alone_that_zennit_leaves_changed(batch):
    """Batch normalisation that does not follow the convolution named before it, as in a DenseNet."""
    from zennit.composites import EpsilonPlusFlat
    from zennit.torchvision import ResNetCanonizer

    with isolated_randomness(0):
        network = lively(densenet121(num_classes=3))
    guard, bare = Guard(network), copy.deepcopy(network)
    bare_guard = Guard(bare)
    with pytest.raises(RuntimeError), EpsilonPlusFlat(canonizers=[ResNetCanonizer()]).context(bare):
        pass
    assert bare_guard.changes()
    with pytest.raises(UsageError, match="lrp: this network's batch normalisation cannot be merged"):
        LRP().explain(TorchClassifier(network, CLASSES, None), batch)
    assert guard.changes() == ""


def small_vgg(num_classes):
    """Without the two wide layers, which are most of it."""
    network = vgg11_bn(num_classes=1)
    network.classifier = nn.Linear(512 * 7 * 7, num_classes)
    return network


@pytest.mark.parametrize(("build", "layer"), [(resnet18, "layer3"), (small_vgg, "features.10")])
def test_explainers_work_on_plain_torchvision_networks_and_leave_them_alone(build, layer, batch):
    with isolated_randomness(0):
        network = lively(build(num_classes=3))
    guard = Guard(network)
    classifier = TorchClassifier(network, CLASSES, layer)
    for explainer in (DeepLift(), GuidedBackprop(), GuidedGradCAM(), LRP()):
        maps = explainer.explain(classifier, batch)
        assert maps.shape == (2, 32, 32)
        assert np.isfinite(np.asarray(maps)).all()
        assert guard.changes() == "", explainer.card.name
