"""Times an explainer, the bare passes, or a peer. A program, so that each can have a process of its own:

    python tests/benchmarks/speed.py ours "occlusion(window=32, stride=16)" resnet18 bf16
    python tests/benchmarks/speed.py peer captum-occlusion resnet18 16

prints {"seconds": ..., "forward": ..., "backward": ...}. Environment: XAIBENCH_SPEED_DEVICE (cpu), _SIZE (224), _IMAGES
(images per call, 1), _ROUNDS (3; the best one counts), _LAYER (layer4, for CAMs), _CLOCK (perf_counter; process_time
where other programs share the machine).
"""

import json
import os
import sys
import time
from collections.abc import Callable

import torch
import torchvision

from xaibench.allocator import keep_memory
from xaibench.classifier import TorchClassifier
from xaibench.contracts import Batch
from xaibench.registry import create

DEVICE = torch.device(os.environ.get("XAIBENCH_SPEED_DEVICE", "cpu"))
SIZE = int(os.environ.get("XAIBENCH_SPEED_SIZE", "224"))
IMAGES = int(os.environ.get("XAIBENCH_SPEED_IMAGES", "1"))
ROUNDS = int(os.environ.get("XAIBENCH_SPEED_ROUNDS", "3"))
LAYER = os.environ.get("XAIBENCH_SPEED_LAYER", "layer4")
CLOCK = getattr(time, os.environ.get("XAIBENCH_SPEED_CLOCK", "perf_counter"))
BATCHES = (8, 16, 32) if DEVICE.type == "cpu" else (64, 256, 512)
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return torchvision.models.get_model(name, num_classes=3).eval().requires_grad_(False).to(DEVICE)


def images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).to(DEVICE)


def seconds(work: Callable[[], object]) -> float:
    """One call, until the device has finished it."""
    _wait()
    started = CLOCK()
    work()
    _wait()
    return CLOCK() - started


def best(work: Callable[[], object]) -> float:
    """The best of several calls."""
    return min(seconds(work) for _ in range(ROUNDS))


def _wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


# ------------------------------------------------------------------------------------------------------ bare passes


def bare(model: torch.nn.Module, count: int, precision: str, backward: bool) -> Callable[[], None]:
    """The fastest way to pass so many images through a network, and back: of several batch sizes and layouts."""
    ways = [_bare(model, count, precision, backward, size, layout) for size in BATCHES for layout in LAYOUTS]
    trials = [_bare(model, 32, precision, backward, size, layout) for size in BATCHES for layout in LAYOUTS]
    for trial in trials:
        trial()  # the first pays for loading kernels
    times = [min(seconds(trial) for _ in range(2)) for trial in trials]
    return ways[times.index(min(times))]


def _bare(
    model: torch.nn.Module, count: int, precision: str, backward: bool, size: int, layout: torch.memory_format
) -> Callable[[], None]:
    batch = images(size).contiguous(memory_format=layout)

    def run() -> None:
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            for start in range(0, count, size):
                some = batch[: min(size, count - start)]
                if backward:
                    leaf = some.detach().requires_grad_()
                    torch.autograd.grad(model(leaf).float()[:, 0].sum(), leaf)
                else:
                    with torch.inference_mode():
                        model(some)

    return run


# ------------------------------------------------------------------------------------------------------------- ours


def explaining(
    explainer: str, model: torch.nn.Module, precision: str, count: int = IMAGES
) -> tuple[Callable[[], object], TorchClassifier]:
    """A call of one of our explainers, and the classifier that counts its passes."""
    plugin = create("explainers", explainer).plugin
    classifier = TorchClassifier(model, ("a", "b", "c"), LAYER, device=DEVICE, precision=precision)
    targets = torch.zeros(count, dtype=torch.long, device=DEVICE)
    batch = Batch(images(count), targets, tuple(map(str, range(count))), tuple(range(count)))
    return lambda: plugin.explain(classifier, batch), classifier


def ours(explainer: str, name: str, precision: str) -> dict[str, float]:
    """As `xaibench run` would have it, with memory kept between passes."""
    keep_memory()
    run, classifier = explaining(explainer, network(name), precision)
    run()
    passes = {"forward": classifier.counters.forward, "backward": classifier.counters.backward}
    return {"seconds": best(run), **passes}


# ------------------------------------------------------------------------------------------------------------ peers


class Counting(torch.nn.Module):
    """Counts what goes through a peer's network."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.forward_samples = inner, 0

    def forward(self, some: torch.Tensor) -> torch.Tensor:
        self.forward_samples += len(some)
        return self.inner(some)


def captum_occlusion(model: Counting, setting: int) -> Callable[[], object]:
    """Setting: perturbations_per_eval; the library's default is 1."""
    from captum.attr import Occlusion

    method = Occlusion(model)
    return lambda: method.attribute(
        images(IMAGES), (3, 32, 32), (3, 16, 16), 0.0, target=0, perturbations_per_eval=setting
    )


def _grad_cam(name: str) -> Callable[[Counting, int], Callable[[], object]]:
    """Setting: images per call, as its users give one or several."""

    def make(model: Counting, setting: int) -> Callable[[], object]:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        cam = getattr(pytorch_grad_cam, name)(model=model, target_layers=[model.inner.get_submodule(LAYER)])
        some = images(IMAGES)
        return lambda: [cam(part, [ClassifierOutputTarget(0)] * len(part)) for part in some.split(setting)]

    return make


def grad_cam_score(model: Counting, setting: int) -> Callable[[], object]:
    """Setting: batch_size; the library's default is 16."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam = pytorch_grad_cam.ScoreCAM(model=model, target_layers=[model.inner.get_submodule(LAYER)])
    cam.batch_size = setting
    return lambda: cam(images(IMAGES), [ClassifierOutputTarget(0)] * IMAGES)


# name -> (ours, the peer, its settings with the default first, images per call)
PEERS = {
    "captum-occlusion": ('occlusion(window=32, stride=16, infill="black")', captum_occlusion, (1, 8, 16, 32), 1),
    "grad-cam-scorecam": ("scorecam", grad_cam_score, (16, 8, 32), 1),
    "grad-cam-gradcam": ("gradcam", _grad_cam("GradCAM"), (1, 2, 4, 8), 8),
    "grad-cam-gradcam++": ("gradcam++", _grad_cam("GradCAMPlusPlus"), (1, 2, 4, 8), 8),
}


def peer(row: str, name: str, setting: str) -> dict[str, float]:
    """With the allocator as it finds it."""
    model = Counting(network(name)).requires_grad_()  # nobody freezes a network for them
    run = PEERS[row][1](model, int(setting))
    run()
    forward = model.forward_samples
    return {"seconds": best(run), "forward": forward}


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    print(json.dumps({"ours": ours, "peer": peer}[kind](*arguments)))
