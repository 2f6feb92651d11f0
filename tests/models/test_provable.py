import math

import pytest
import torch

from xaibench.errors import UsageError
from xaibench_models.provable import OracleLesion, OracleLinear, OracleMarker, OracleSaturated

GATED = [OracleLesion, OracleMarker, OracleSaturated]
SHAPES = [(1, 24, 16), (3, 16, 24)]


class Task:
    def __init__(self, shape=(1, 24, 16), classes=("normal", "benign", "malignant")):
        self.shape, self.classes = shape, classes


def image_and_gate(shape):
    generator = torch.Generator().manual_seed(3)
    gate = torch.zeros(1, *shape[1:], dtype=torch.bool)
    gate[0, 4:9, 5:12] = True
    return torch.rand((1, *shape), generator=generator), gate


def gated(oracle, shape, gate):
    network = oracle().build(Task(shape))
    network.set_gate(gate)
    return network


def gradient(network, image, k):
    image = image.clone().requires_grad_(True)
    return torch.autograd.grad(network(image)[0, k], image)[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("oracle", GATED)
def test_no_pixel_outside_the_gate_can_change_a_logit(oracle, shape):
    image, gate = image_and_gate(shape)
    network = gated(oracle, shape, gate)
    for outside in (torch.rand(image.shape), torch.zeros_like(image), torch.full_like(image, math.nan)):
        changed = torch.where(gate[:, None], image, outside)
        assert torch.equal(network(changed), network(image))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("oracle", GATED)
def test_every_pixel_inside_the_gate_changes_every_logit(oracle, shape):
    image, gate = image_and_gate(shape)
    network = gated(oracle, shape, gate)
    for k in range(3):
        inside = gradient(network, image, k)[gate[:, None].expand_as(image)]
        assert (inside != 0).all()


@pytest.mark.parametrize("oracle", GATED)
def test_all_energy_of_plain_gradients_is_inside_the_gate(oracle):
    image, gate = image_and_gate((1, 24, 16))
    network = gated(oracle, (1, 24, 16), gate)
    for k in range(3):
        energy = gradient(network, image, k).square()
        assert energy.sum() > 0
        assert energy[gate[:, None]].sum() / energy.sum() > 0.99


@pytest.mark.parametrize("oracle", GATED)
def test_many_versions_of_one_image_share_its_gate(oracle):
    image, gate = image_and_gate((1, 24, 16))
    network = gated(oracle, (1, 24, 16), gate)
    versions = torch.cat([image, image / 2, image.flip(2)])
    together = network(versions)
    assert torch.allclose(together, torch.cat([network(one[None]) for one in versions]), atol=1e-6)
    network.set_gate(gate.expand(3, -1, -1))
    assert torch.equal(network(versions), together)


@pytest.mark.parametrize("oracle", GATED)
def test_without_a_gate_the_network_says_what_to_do(oracle):
    network = oracle().build(Task())
    with pytest.raises(UsageError, match=r"classifier\.bind\(masks\)"):
        network(torch.rand(1, 1, 24, 16))
    network.set_gate(torch.ones(1, 24, 16))
    network.set_gate(None)
    with pytest.raises(UsageError, match="not told what it may see"):
        network(torch.rand(1, 1, 24, 16))


@pytest.mark.parametrize("shape", [(1, 16, 24), (2, 24, 16), (24, 16)])
def test_a_gate_of_another_shape_is_refused(shape):
    network = OracleLesion().build(Task())
    network.set_gate(torch.ones(shape))
    with pytest.raises(UsageError, match="the gate has the shape"):
        network(torch.rand(3, 1, 24, 16))


@pytest.mark.parametrize(
    ("brightness", "expected"),
    # Worked by hand. The tones are 0, .25, .5 and .75; slopes are -1 (normal), 2, 1.5, 1, .5 (benign) and
    # .75, 1.5, 2.25, 3 (malignant); the first logit has a bias of .1.
    # At .6: normal .1 - .6; benign .5 + .375 + .1; malignant .1875 + .375 + .225.
    # At .9: normal .1 - .9; benign .5 + .375 + .25 + .075; malignant .1875 + .375 + .5625 + .45.
    [(0.6, (-0.5, 0.975, 0.7875)), (0.9, (-0.8, 1.2, 1.575)), (0.0, (0.1, 0.0, 0.0))],
)
def test_an_even_lesion_gives_the_logits_worked_by_hand(brightness, expected):
    _, gate = image_and_gate((1, 24, 16))
    network = gated(OracleLesion, (1, 24, 16), gate)
    logits = network(torch.full((1, 1, 24, 16), brightness))
    assert logits[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_an_empty_gate_is_normal():
    network = gated(OracleLesion, (1, 24, 16), torch.zeros(1, 24, 16, dtype=torch.bool))
    assert network(torch.rand(1, 1, 24, 16))[0].tolist() == pytest.approx([0.1, 0, 0])


def test_saturation_hides_the_lesion_from_gradients_but_not_from_removal():
    shape = (1, 24, 16)
    _, gate = image_and_gate(shape)
    plain, saturated = gated(OracleLesion, shape, gate), gated(OracleSaturated, shape, gate)
    bright = torch.full((1, *shape), 0.9)
    assert gradient(saturated, bright, 2).abs().sum() < gradient(plain, bright, 2).abs().sum() / 1000
    assert gradient(saturated, bright, 2).abs().sum() > 0
    removed = saturated(bright)[0, 2] - saturated(torch.zeros_like(bright))[0, 2]
    assert removed > 0.99


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_the_linear_model_is_its_weights_whatever_the_image(shape):
    network = OracleLinear().build(Task(shape))
    for brightness in (0.0, 0.3, 1.0):
        for k in range(3):
            found = gradient(network, torch.full((1, *shape), brightness), k)
            assert torch.equal(found.flatten(), network.linear.weight[k])


def test_the_weights_of_the_linear_model_are_the_standing_waves_of_their_formula():
    network = OracleLinear().build(Task((1, 4, 8)))
    weight = network.linear.weight.reshape(3, 1, 4, 8)
    expected = math.cos(math.pi * 2 * 2.5 / 4) * math.cos(math.pi * 2 * 6.5 / 8) * 2.5 / 32
    assert weight[1, 0, 2, 6].item() == pytest.approx(expected)
    assert len({tuple(row.tolist()) for row in network.linear.weight}) == 3


def test_integrated_gradients_of_the_linear_model_are_pixel_times_weight():
    network = OracleLinear().build(Task())
    image = torch.rand((1, 1, 24, 16), generator=torch.Generator().manual_seed(1))
    steps = [gradient(network, image * (i + 0.5) / 10, 1) for i in range(10)]
    attribution = image * torch.stack(steps).mean(0)
    assert torch.allclose(attribution.flatten(), image.flatten() * network.linear.weight[1], atol=1e-6)
    assert attribution.sum().item() == pytest.approx((network(image) - network(0 * image))[0, 1].item(), abs=1e-6)


@pytest.mark.parametrize("oracle", [*GATED, OracleLinear])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_every_class_has_logits_of_its_own_and_building_twice_gives_the_same(oracle, classes):
    task = Task(classes=tuple("abcde"[:classes]))
    image, gate = image_and_gate(task.shape)
    networks = [oracle().build(task) for _ in range(2)]
    for network in networks:
        if oracle is not OracleLinear:
            network.set_gate(gate)
    first, second = (network(image) for network in networks)
    assert torch.equal(first, second)
    assert first.shape == (1, classes)
    assert len(set(first[0].tolist())) == classes


@pytest.mark.parametrize("oracle", GATED)
def test_the_cam_layer_is_silent_outside_the_gate(oracle):
    image, gate = image_and_gate((1, 24, 16))
    network = gated(oracle, (1, 24, 16), gate)
    kept = []
    network.get_submodule(oracle().cam_layer(Task())).register_forward_hook(lambda *args: kept.append(args[2]))
    network(image)
    assert kept[0].shape == (1, 4, 24, 16)
    assert (kept[0][:, :, ~gate[0]] == 0).all()
    assert (kept[0][:, 0][gate] > 0).all()


@pytest.mark.parametrize("oracle", [*GATED, OracleLinear])
def test_the_card_says_what_the_model_needs_and_nothing_is_trained(oracle):
    model = oracle()
    assert not model.card.trained
    assert model.prepare(model.build(Task()), Task(), 0, None) == {}
    gate_needed = hasattr(model.build(Task()), "set_gate")
    assert gate_needed == ("masks" in model.card.needs) == bool(model.card.sees)
    assert ("cam_layer" in model.card.provides) == (model.cam_layer(Task()) is not None)
