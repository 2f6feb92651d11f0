"""Measures of faithfulness against Quantus and against the bare passes, in one run.

Run with `pytest tests/benchmarks/test_metric_speed.py --benchmark-only -s`. Every row is one call on the same images
and maps; `passes` are samples sent forward. `overhead` is its time over that of as many bare passes on ready batches:
of the network as it is for Quantus, of the folded copy that masks are run through for ours.
XAIBENCH_SPEED_IMAGES, XAIBENCH_SPEED_SIZE and XAIBENCH_SPEED_ROUNDS make it smaller.
"""

import os
import time
import warnings

import numpy as np
import pytest
import torch
import torchvision
from scipy.ndimage import gaussian_filter
from torch import nn

from xaibench.allocator import keep_memory
from xaibench.classifier import TorchClassifier
from xaibench.contracts import Case
from xaibench.inference import Inference
from xaibench.metrics import responses
from xaibench.metrics.additivity import FaithfulnessCorrelation, Infidelity, SensitivityN
from xaibench.metrics.deletion import Deletion
from xaibench.metrics.pieces import IROF
from xaibench.metrics.road import RoadMost

quantus = pytest.importorskip("quantus")

IMAGES = int(os.environ.get("XAIBENCH_SPEED_IMAGES", "8"))
SIZE = int(os.environ.get("XAIBENCH_SPEED_SIZE", "224"))
ROUNDS = int(os.environ.get("XAIBENCH_SPEED_ROUNDS", "3"))
STEPS, RUNS = 32, 32
QUIET = {"abs": False, "normalise": False, "disable_warnings": True}
STRIDE = SIZE * SIZE // STEPS

OURS = {
    "pixel-flipping": lambda: Deletion(steps=STEPS, infill="black"),
    "faithfulness-correlation": lambda: FaithfulnessCorrelation(
        runs=RUNS, cells=0, share=SIZE / SIZE**2, infill="black"
    ),
    "sensitivity-n": lambda: SensitivityN(sizes=4, runs=STEPS // 4, cells=0, infill="black"),
    "infidelity": lambda: Infidelity(runs=16, infill="black"),
    "irof": lambda: IROF(segments=STEPS, infill="mean"),
    "road": lambda: RoadMost(steps=9, output="accuracy"),
}
THEIRS = {
    "pixel-flipping": lambda: quantus.PixelFlipping(features_in_step=STRIDE, perturb_baseline=0.0, **QUIET),
    "faithfulness-correlation": lambda: quantus.FaithfulnessCorrelation(
        nr_runs=RUNS, subset_size=SIZE, perturb_baseline=0.0, **QUIET
    ),
    "sensitivity-n": lambda: quantus.SensitivityN(
        features_in_step=STRIDE, n_max_percentage=0.8, perturb_baseline=0.0, **QUIET
    ),
    "infidelity": lambda: quantus.Infidelity(
        perturb_patch_sizes=[SIZE // 4], n_perturb_samples=1, perturb_baseline=0.0, **QUIET
    ),
    "road": lambda: quantus.ROAD(percentages=list(range(10, 100, 10)), **QUIET),
}


@pytest.fixture(scope="module")
def network():
    """One channel: Quantus' ROAD takes no other."""
    keep_memory()
    torch.manual_seed(0)
    made = torchvision.models.resnet18(weights=None, num_classes=2)
    made.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    return made.eval()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((IMAGES, 1, SIZE, SIZE), dtype=np.float32)


@pytest.fixture(scope="module")
def maps(images):
    blurred = gaussian_filter(images[:, 0], (0, SIZE / 20, SIZE / 20))
    lowest, highest = (found(blurred, axis=(1, 2), keepdims=True) for found in (np.min, np.max))
    return ((blurred - lowest) / (highest - lowest)).astype(np.float32)


def case_of(classifier, images, maps):
    with torch.inference_mode():
        logits = classifier.logits(torch.from_numpy(images)).numpy()
    classifier.counters.forward = 0
    count = len(images)
    return Case(
        maps=maps, raw=maps, images=images, masks=np.zeros(maps.shape, bool), lesions=((),) * count, regions={},
        labels=np.ones(count, int), targets=np.ones(count, int), predictions=logits.argmax(axis=1), logits=logits,
        seeds=tuple(range(count)), seconds=np.ones(count), forward=np.ones(count), backward=np.ones(count),
        classifier=classifier,
    )  # fmt: skip


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(rounds, *works):
    """The best time of each, measured in turn, so that the machine's moods hit all alike; the first round warms up."""
    times = [[seconds(work) for work in works] for _ in range(rounds + 1)][1:]
    return [min(column) for column in zip(*times, strict=True)]


def bare(network, layout, precision, passes):
    """So many passes on ready batches of 16."""
    batch = torch.rand(16, 1, SIZE, SIZE).contiguous(memory_format=layout)

    @torch.inference_mode()
    def work():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            for start in range(0, passes, len(batch)):
                network(batch[: min(len(batch), passes - start)])

    return work


def compared(benchmark, name, who, passes, work, plain):
    found = benchmark.pedantic(lambda: in_turn(ROUNDS, work, plain), rounds=1)
    mine, limit = found
    benchmark.extra_info.update(who=who, seconds=mine, passes=passes, overhead=mine / limit)
    print(
        f"\n{name:26} {who:9} {mine:7.2f} s  passes {passes:5}  {1000 * mine / passes:6.1f} ms each"
        f"  overhead {mine / limit:.2f}"
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", sorted(OURS))
def test_ours(benchmark, network, images, maps, name, precision):
    benchmark.group = name
    classifier = TorchClassifier(network, ("a", "b"), None, precision=precision)
    case, metric = case_of(classifier, images, maps), OURS[name]()

    def work():
        responses.forget()
        metric.score(case)

    work()
    passes = classifier.counters.forward
    folded, layout = Inference(network, precision).network(torch.rand(1, SIZE, SIZE))
    compared(benchmark, name, f"ours {precision}", passes, work, bare(folded, layout, precision, passes))


@pytest.mark.parametrize("name", sorted(THEIRS))
@pytest.mark.filterwarnings("ignore")
def test_quantus(benchmark, network, images, maps, name):
    benchmark.group = name
    passes = 0

    def count(module, inputs):
        nonlocal passes
        passes += len(inputs[0])

    targets = np.ones(IMAGES, int)

    def work():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            THEIRS[name]()(network, images, targets, a_batch=maps[:, None], device="cpu", batch_size=IMAGES)

    hook = network.register_forward_pre_hook(count)
    work()
    hook.remove()
    compared(benchmark, name, "quantus", passes, work, bare(network, torch.contiguous_format, "fp32", passes))


def test_what_metrics_share(benchmark, network, images, maps):
    """Six measures of one map, and one of another map of the same images: the passes of each alone, and together."""
    from xaibench.metrics.deletion import Insertion
    from xaibench.metrics.rationale import Comprehensiveness, Sufficiency

    classifier = TorchClassifier(network, ("a", "b"), None)
    case, other = (case_of(classifier, images, some) for some in (maps, maps[:, ::-1].copy()))
    work = [
        *((metric, case) for metric in (Deletion(steps=20), Deletion(steps=20, output="logit"), Insertion(steps=20))),
        *((metric, case) for metric in (Comprehensiveness(), Sufficiency(), FaithfulnessCorrelation(runs=16))),
        (FaithfulnessCorrelation(runs=16), other),
    ]

    def alone():
        for metric, some in work:
            responses.forget()
            metric.score(some)

    def together():
        for metric, some in work:
            metric.score(some)

    classifier.counters.forward = 0
    alone()
    apart = classifier.counters.forward
    benchmark.pedantic(together, setup=responses.forget, rounds=1)
    print(f"\npasses apart {apart}, together {classifier.counters.forward - apart}")
    assert classifier.counters.forward - apart < 0.7 * apart
