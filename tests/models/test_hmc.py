import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from xaibench_models import hmc
from xaibench_models.hmc import HMC, Attention
from xaibench_models.resnet import ResNet50
from xaibench_models.trainer import flops


class Task:
    def __init__(self, shape=(1, 64, 64), classes=("normal", "benign", "malignant")):
        self.shape, self.classes = shape, classes


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def shaken(network):
    """Weights that are not those of the first moment: residual branches would be 0."""
    for index, (name, tensor) in enumerate(network.state_dict().items()):
        if name.endswith("bn3.weight"):
            tensor.copy_(0.5 + 0.1 * noise(*tensor.shape, seed=index))
    return network


def test_with_gamma_zero_the_logits_are_those_of_its_resnet50():
    ours, plain = shaken(HMC().build(Task()).eval()), ResNet50().build(Task()).eval()
    shared = {name: tensor for name, tensor in ours.state_dict().items() if name in plain.state_dict()}
    plain.load_state_dict(shared)  # strict: nothing of the ResNet is missing
    plain.preprocessing = ours.preprocessing
    x = torch.rand((2, 1, 96, 64), generator=torch.Generator().manual_seed(1))
    assert torch.equal(ours(x), plain(x))


def test_preprocessing_is_the_papers():
    x = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)
    assert HMC().build(Task()).preprocessing(x)[0, 2].tolist() == [[-1.0, 0.0, 1.0]]


def twin_attention(module, x, y, scaled):
    """The paper's equations, one position at a time."""
    B, C, H, W = x.shape
    weight = {name: getattr(module, name).weight[:, :, 0, 0] for name in ("query", "key", "value")}
    bias = {name: getattr(module, name).bias for name in weight}
    out = x.clone()
    for b in range(B):
        positions = [(i, j) for i in range(H) for j in range(W)]
        keys = [weight["key"] @ y[b, :, i, j] + bias["key"] for i, j in positions]
        values = [weight["value"] @ y[b, :, i, j] + bias["value"] for i, j in positions]
        for i, j in positions:
            query = weight["query"] @ x[b, :, i, j] + bias["query"]
            energy = torch.stack([query @ key for key in keys])
            energy = energy / math.sqrt(C // 8) if scaled else energy
            share = energy.exp() / energy.exp().sum()
            found = sum(s * value for s, value in zip(share, values, strict=True))
            out[b, :, i, j] = module.gamma * found + x[b, :, i, j]
    return out


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("at_once", [2**25, 40])
def test_attention_is_what_the_equations_say_in_one_piece_or_in_many(scaled, at_once, monkeypatch):
    monkeypatch.setattr(hmc, "WEIGHTS_AT_ONCE", at_once)
    torch.manual_seed(0)
    module = Attention(16, scaled)
    torch.nn.init.constant_(module.gamma, 0.7)
    x, y = noise(2, 16, 3, 4, seed=1), noise(2, 16, 3, 4, seed=2)
    with torch.no_grad():
        expected = twin_attention(module, x, y, scaled)
        assert torch.allclose(module(x, y), expected, rtol=1e-5, atol=1e-5)
        assert (expected - x).abs().max() > 0.1


def twin_network(network, images, scaled):
    """The paper's figure, line by line, with the attention of its equations as matrices."""

    def attend(module, x, y):
        B, C, H, W = x.shape
        q, k, v = (part(of).reshape(B, -1, H * W) for part, of in MODULES(module, x, y))
        energy = q.transpose(1, 2) @ k
        weights = (energy / math.sqrt(C // 8) if scaled else energy).softmax(dim=-1)
        return module.gamma * (v @ weights.transpose(1, 2)).reshape(B, C, H, W) + x

    grey = (images.repeat(1, 3, 1, 1) - 0.5) / 0.5
    x0 = network.maxpool(F.relu(network.bn1(network.conv1(grey))))
    x1 = network.layer1(x0)
    x1 = attend(network.ha1, x1, x1)
    x2 = network.layer2(x1)
    x2 = attend(network.ha2, x2, x2)
    x3 = network.layer3(x2)
    x3 = attend(network.ca23, x3, F.interpolate(network.match23(x2), scale_factor=0.5, mode="bilinear"))
    x4 = network.layer4(x3)
    x4 = attend(network.ca34, x4, F.interpolate(network.match34(x3), scale_factor=0.5, mode="bilinear"))
    return network.fc(x4.mean(dim=(2, 3)))


def MODULES(module, x, y):
    return (module.query, x), (module.key, y), (module.value, y)


@pytest.mark.parametrize("scaled", [True, False])
def test_the_network_equals_a_twin_shaped_like_the_paper(scaled):
    network = shaken(HMC(scaled=scaled).build(Task()).eval())
    gammas = [network.ha1.gamma, network.ha2.gamma, network.ca23.gamma, network.ca34.gamma]
    x = torch.rand((2, 1, 64, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        plain = network(x)
        for gamma in gammas:
            gamma.fill_(0.5)
        found = network(x)
        assert torch.allclose(found, twin_network(network, x, scaled), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, plain, atol=1e-3)


def test_gradients_in_many_pieces_are_those_in_one(monkeypatch):
    torch.manual_seed(0)
    module = Attention(16, True)
    torch.nn.init.constant_(module.gamma, 0.7)
    gradients = []
    for at_once in (2**25, 40):
        monkeypatch.setattr(hmc, "WEIGHTS_AT_ONCE", at_once)
        x, y = noise(2, 16, 3, 4, seed=1).requires_grad_(True), noise(2, 16, 3, 4, seed=2).requires_grad_(True)
        loss = (module(x, y) * noise(2, 16, 3, 4, seed=3)).sum()
        gradients.append(torch.autograd.grad(loss, [x, y, *module.parameters()]))
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*gradients, strict=True))


class Largest(TorchDispatchMode):
    """The size of the largest tensor that any operation returned."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numel = max(self.numel, out.numel())
        return out


def test_at_224_pixels_no_batch_holds_a_full_matrix_per_image():
    module = Attention(64, True)
    x = noise(8, 64, 56, 56).requires_grad_(True)
    with Largest() as largest:
        module(x, x).sum().backward()
    assert hmc.WEIGHTS_AT_ONCE / 2 < largest.numel <= hmc.WEIGHTS_AT_ONCE < 8 * (56 * 56) ** 2


def test_parameters_are_those_of_the_equations():
    """The paper's Table 2 says 45 million; its own equations come to 33.1."""
    trunk = 23_508_032  # ResNet-50 without its last layer
    head = 2048 * 3 + 3
    attention = {C: 2 * (C * C // 8 + C // 8) + (C * C + C) + 1 for C in (256, 512, 1024, 2048)}
    assert attention[256] == 2 * 8_224 + 65_792 + 1 == 82_241
    matches = (512 * 1024 + 1024) + (1024 * 2048 + 2048)
    by_hand = trunk + head + sum(attention.values()) + matches
    assert by_hand == 33_106_695
    network = HMC().build(Task())
    assert sum(parameter.numel() for parameter in network.parameters()) == by_hand


@pytest.mark.parametrize(("shape", "classes"), [((1, 33, 57), 2), ((3, 70, 40), 5)])
def test_any_size_and_any_number_of_classes(shape, classes):
    task = Task(shape, tuple("abcde"[:classes]))
    network = shaken(HMC().build(task)).eval()
    for module in (network.ha1, network.ha2, network.ca23, network.ca34):
        torch.nn.init.constant_(module.gamma, 0.5)
    x = torch.rand((2, *shape), generator=torch.Generator().manual_seed(1))
    logits = network(x)
    assert logits.shape == (2, classes)
    assert torch.isfinite(logits).all()


def test_training_starts_as_a_plain_resnet_and_gammas_learn():
    network = HMC().build(Task()).train()
    gammas = [network.ha1.gamma, network.ha2.gamma, network.ca23.gamma, network.ca34.gamma]
    assert [gamma.item() for gamma in gammas] == [0, 0, 0, 0]
    network(torch.rand((4, 1, 64, 64), generator=torch.Generator().manual_seed(1)))[:, 1].sum().backward()
    assert all(gamma.grad != 0 for gamma in gammas)


def test_the_cost_of_one_image_at_224_is_what_the_equations_come_to():
    # The paper's table says 25 G; the attention of stage one alone, 2 * 3136 * 3136 * (32 + 256), is 5.7 G.
    network = HMC().build(Task((3, 224, 224)))
    assert flops(network, (3, 224, 224)) == pytest.approx(18.3e9, rel=0.01)


def test_flops_of_a_linear_layer_by_hand():
    assert flops(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 5)), (3, 4, 4)) == 2 * 48 * 5
