"""A network to be timed: named as `untrained.py:ResNet18`, as a user's own file would be."""

from torch import nn
from torchvision.models import resnet18

from xaibench.contracts import ModelCard


class Grey(nn.Module):
    """Grey images in, as the tasks have them."""

    def __init__(self, classes):
        super().__init__()
        self.inner = resnet18(num_classes=classes)

    def forward(self, images):
        return self.inner(images.expand(-1, 3, -1, -1))


class ResNet18:
    card = ModelCard(name="resnet18-untrained", summary="resnet18 as it is initialised", trained=False)

    def build(self, task):
        return Grey(len(task.classes))

    def prepare(self, network, task, fold, workshop):
        return {}

    def cam_layer(self, task):
        return "inner.layer4"
