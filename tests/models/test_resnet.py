import pytest
import torch
import torchvision
from torch import nn

from xaibench.errors import UsageError
from xaibench_models.hmc import HMC
from xaibench_models.preprocessing import IMAGENET_MEAN, IMAGENET_SD, Preprocessing
from xaibench_models.resnet import ResNet18, ResNet50


class Task:
    def __init__(self, shape=(1, 64, 64), classes=("normal", "benign", "malignant")):
        self.shape, self.classes = shape, classes


def images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("plugin", "original"), [(ResNet18, torchvision.models.resnet18), (ResNet50, torchvision.models.resnet50)]
)
@pytest.mark.parametrize("training", [False, True])
def test_with_the_same_weights_the_logits_are_torchvisions(plugin, original, training):
    theirs, ours = original(num_classes=3), plugin().build(Task()).eval()
    # Weights that are not those of the first moment: residual branches would be 0 and statistics trivial.
    for index, tensor in enumerate(theirs.state_dict().values()):
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=torch.Generator().manual_seed(index))
            tensor.mul_(0.5 + noise).add_(0.01)
    ours.load_state_dict(theirs.state_dict())
    ours.train(training)
    theirs.train(training)
    x = images(3, 3, 64, 64)
    mean, sd = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_SD))
    assert torch.equal(ours(x), theirs((x - mean) / sd))


def test_grey_images_are_colour_images_of_equal_channels():
    network = ResNet18().build(Task()).eval()
    grey = images(2, 1, 40, 56)
    assert torch.equal(network(grey), network(grey.expand(-1, 3, -1, -1)))


def test_preprocessing_normalises_each_channel_and_lets_gradients_through():
    grey = images(1, 1, 2, 2).requires_grad_(True)
    out = Preprocessing((0.5, 0.4, 0.3), (0.1, 0.2, 0.5))(grey)
    out.sum().backward()
    assert out.shape == (1, 3, 2, 2)
    assert torch.allclose(out[0, 1], (grey[0, 0] - 0.4) / 0.2)
    assert torch.allclose(grey.grad, torch.full_like(grey, 10 + 5 + 2))


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (1, 8, 8), (1, 4, 8, 8)])
def test_images_that_are_neither_grey_nor_colour_are_refused(shape):
    with pytest.raises(UsageError, match="grey or colour images"):
        Preprocessing()(torch.zeros(shape))


@pytest.mark.parametrize("plugin", [ResNet18, ResNet50, HMC])
def test_every_relu_is_used_once_per_pass_and_never_in_place(plugin):
    network = plugin().build(Task()).eval()
    relus = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    calls = dict.fromkeys(relus, 0)

    def count(module, inputs, output):
        calls[module] += 1
        assert output.data_ptr() != inputs[0].data_ptr()

    for relu in relus:
        relu.register_forward_hook(count)
    network(images(1, 1, 64, 64))
    # The stem's, and one per convolution of a residual branch: 8 blocks of 2, or 16 of 3.
    assert list(calls.values()) == [1] * (17 if plugin is ResNet18 else 49)


@pytest.mark.parametrize(
    ("plugin", "size", "name", "grid"),
    [
        (ResNet18, 64, "layer2", 8),
        (ResNet18, 128, "layer3", 8),
        (ResNet50, 128, "layer3", 8),
        (ResNet50, 192, "layer3", 12),
        (ResNet50, 193, "layer4", 7),
        (ResNet50, 224, "layer4", 7),
        (ResNet18, 512, "layer4", 16),
        (ResNet18, 16, "layer1", 4),
        (HMC, 128, "ca23", 8),
        (HMC, 224, "ca34", 7),
        (HMC, 64, "ha2", 8),
        (HMC, 32, "ha1", 8),
    ],
)
def test_the_cam_layer_is_the_deepest_with_a_grid_of_seven(plugin, size, name, grid):
    task = Task((1, size, size))
    model = plugin()
    assert model.cam_layer(task) == name
    network, kept = model.build(task).eval(), []
    network.get_submodule(name).register_forward_hook(lambda *args: kept.append(args[2]))
    with torch.inference_mode():
        network(images(1, *task.shape))
    assert [tuple(maps.shape[2:]) for maps in kept] == [(grid, grid)]


def test_the_shorter_side_decides_on_the_cam_layer():
    assert ResNet50().cam_layer(Task((1, 128, 448))) == "layer3"


@pytest.mark.parametrize("plugin", [ResNet18, ResNet50, HMC])
def test_epochs_are_a_parameter_and_impossible_ones_are_refused(plugin):
    assert plugin(epochs=2).recipe.epochs == 2
    with pytest.raises(UsageError, match="whole number"):
        plugin(epochs=0)
