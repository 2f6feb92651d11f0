"""What explainers add to the bare passes that they make: both in one process, in turn, the best round of each.

Run with `pytest tests/benchmarks/test_explainer_overhead.py --benchmark-only -s`; the environment that `speed.py` names
makes it larger, smaller, or puts it on a GPU; XAIBENCH_SPEED_SAMPLES is the number of passes per image.

Two figures per row: against the network as it is (the best of several batch sizes and layouts), and against the fused
copy that the engine makes of it, which is the strictest. Below 1: the engine is faster than the bare network.
"""

import os

import pytest

from xaibench.allocator import keep_memory

SAMPLES = int(os.environ.get("XAIBENCH_SPEED_SAMPLES", "256"))
SIDE = round(SAMPLES**0.5)

FORWARD = {
    "scorecam": f"scorecam(channels={SAMPLES})",
    "rise": f"rise(samples={SAMPLES})",
    "occlusion": f"occlusion(window={2 / (SIDE + 1)}, stride={1 / (SIDE + 1)})",
    "lime": f"lime(samples={SAMPLES})",
    "kernel-shap": f"kernel-shap(samples={SAMPLES})",
}
BACKWARD = {
    "integrated-gradients": f"integrated-gradients(steps={SAMPLES // 2})",
    "smoothgrad": f"smoothgrad(samples={SAMPLES // 2})",
}
NETWORKS = pytest.mark.parametrize("name", ["resnet18", "resnet50"])
PRECISIONS = pytest.mark.parametrize("precision", ["fp32", "bf16"])


def in_turn(rounds, *works):
    """The best time of each, measured in turn, so that the machine's moods hit all alike."""
    times = [[work() for work in works] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def report(benchmark, row, passes, **ratios):
    benchmark.extra_info.update(ratios, passes=passes)
    print(f"\n{row}: {passes} passes", *(f"{what} {value:.3f}" for what, value in ratios.items()), sep="; ")


@pytest.mark.benchmark(group="overhead, forward")
@NETWORKS
@PRECISIONS
@pytest.mark.parametrize("explainer", FORWARD)
def test_forward_only(benchmark, speed, name, precision, explainer):
    keep_memory()
    model = speed.network(name)
    run, classifier = speed.explaining(FORWARD[explainer], model, precision)
    run()
    passes = classifier.counters.forward
    fused, _ = classifier._engine._inference.network(speed.images(1)[0])
    plain_bare = speed.bare(model, passes, precision, backward=False)
    fused_bare = speed.bare(fused, passes, precision, backward=False)
    works = [lambda work=work: speed.seconds(work) for work in (run, plain_bare, fused_bare)]
    mine, plain, strict = benchmark.pedantic(lambda: in_turn(speed.ROUNDS, *works), rounds=1)
    report(benchmark, f"{explainer} {name} {precision}", passes, over_bare=mine / plain, over_fused=mine / strict)


@pytest.mark.benchmark(group="overhead, forward and backward")
@NETWORKS
@PRECISIONS
@pytest.mark.parametrize("explainer", BACKWARD)
def test_forward_and_backward(benchmark, speed, name, precision, explainer):
    keep_memory()
    model = speed.network(name)
    run, classifier = speed.explaining(BACKWARD[explainer], model, precision)
    run()
    passes = classifier.counters.backward
    bare = speed.bare(model, passes, precision, backward=True)
    works = [lambda work=work: speed.seconds(work) for work in (run, bare)]
    mine, plain = benchmark.pedantic(lambda: in_turn(speed.ROUNDS, *works), rounds=1)
    report(benchmark, f"{explainer} {name} {precision}", passes, over_bare=mine / plain)
