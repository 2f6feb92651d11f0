"""Variants in real runs: made once, shared, kept, and what each of them shows."""

import copy
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from xaibench.__main__ import call
from xaibench.classifier import TorchClassifier
from xaibench.isolation import isolated_randomness
from xaibench.orders import Order
from xaibench.planning import Terms
from xaibench.progress import Silent
from xaibench.registry import create
from xaibench.results import load_results
from xaibench.runner import Request, choose, plan_all, run
from xaibench.seeds import derive
from xaibench.selection import ordered
from xaibench.store import Store
from xaibench.variants import PLAIN, image_of, map_seed, parse
from xaibench.weights import load

TOYS = Path(__file__).with_name("toy_plugins.py")


class Bench:
    """Runs into one folder, in this process."""

    def __init__(self, folder):
        self.out = folder / "out"
        self.trainings, self.explained = folder / "trainings", folder / "explained"

    def request(self, metrics, explainers="Gradient", model="Trained", task="Blobs", limit=8, **terms):
        gradient = f'Gradient(trace="{self.explained}")'
        names = [gradient if name == "Gradient" else name for name in explainers.split(",")]
        trained = f'Trained(trace="{self.trainings}")'
        return Request(
            models=f"{TOYS}:{trained if model == 'Trained' else model}" if "-" not in model else model,
            explainers=",".join(f"{TOYS}:{name}" for name in names),
            tasks=f"{TOYS}:{task}",
            metrics=metrics,
            terms=Terms(limit=limit, **terms),
            references=False,
            audit=False,
            out=self.out,
        )

    def run(self, names, **choice):
        """Metrics that ask for these variants, one metric per argument."""
        metrics = ",".join(f'{TOYS}:Asks(names="{name}")' for name in names.split())
        return run(self.request(metrics, **choice), Silent(), [])

    def maps(self, variant, explainer="Gradient"):
        store = Store(self.out)
        found = []
        for file in self.out.glob("cells/*/*/cell.json"):
            description = json.loads(file.read_text())
            wanted = description["identity"]["kind"] == "explain" and description["identity"]["variant"] == variant
            if wanted and explainer in description["labels"]["explainer"]:
                found.append(store.shards(file.parent.name, 8)[0])
        (shard,) = found
        return shard.maps()

    def values(self):
        found = {result.labels["metric"]: result for result in load_results(self.out).scores}
        return {label.partition("names=")[2].strip(')"'): result for label, result in found.items()}

    def shards(self):
        return {path.parent: path.stat().st_mtime_ns for path in self.out.glob("cells/*/*/*/record.json")}

    def traced(self):
        return len(self.explained.read_text().split()) if self.explained.exists() else 0


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def trained(bench):
    """The toy's network as the run has trained it, and its first images with their ids."""
    task = create("tasks", f"{TOYS}:Blobs")
    order = Order(create("models", f'{TOYS}:Trained(trace="{bench.trainings}")'), task, 0, 0)
    prepared = order.find()
    entries = ordered(task.plugin, "test", 0)[:8]
    images = torch.from_numpy(np.stack([task.plugin.load(entry).image for entry in entries]))
    return load(order, prepared.digest, prepared.file), images, [entry.id for entry in entries]


def gradient(network, images, targets):
    images = images.clone().requires_grad_()
    logits = TorchClassifier(network, ("left", "right"), None).logits(images)
    (found,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), images)
    return found.abs().sum(1).numpy()


def test_each_variant_is_the_map_that_is_made_by_hand(bench):
    names = "cascade:40 independent:100 noise:uniform:0.1:1 target:least shifted"
    assert bench.run(names).exit_code() == 0
    network, images, ids = trained(bench)
    targets = network(images).argmax(1)
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(bench.maps(""), gradient(network, images, targets), **close)
    np.testing.assert_allclose(bench.maps("target:least"), gradient(network, images, 1 - targets), **close)
    np.testing.assert_allclose(bench.maps("shifted"), gradient(network, images, targets), **close)

    noisy = [
        image_of(parse("noise:uniform:0.1:1"), image.numpy(), map_seed(PLAIN, 0, name))
        for image, name in zip(images, ids, strict=True)
    ]
    noisy_map = gradient(network, torch.from_numpy(np.stack(noisy)), targets)
    np.testing.assert_allclose(bench.maps("noise:uniform:0.1:1"), noisy_map, **close)

    # Three layers; two of them are 40 percent and more: the linear one and the normalisation.
    spoilt = copy.deepcopy(network)
    for name in ("4", "1"):
        with isolated_randomness(derive("forget", 0, name)):
            spoilt.get_submodule(name).reset_parameters()
    np.testing.assert_allclose(bench.maps("cascade:40"), gradient(spoilt, images, targets), **close)
    alone = copy.deepcopy(network)
    with isolated_randomness(derive("forget", 0, "0")):
        alone[0].reset_parameters()
    np.testing.assert_allclose(bench.maps("independent:100"), gradient(alone, images, targets), **close)
    assert len({bench.maps(name).tobytes() for name in ("", *names.split())}) >= 5, "all but the shifted one differ"


def test_variants_leave_the_plain_maps_as_they_are_bit_for_bit(tmp_path):
    alone, among = Bench(tmp_path / "alone"), Bench(tmp_path / "among")
    for bench in (alone, among):
        bench.out.parent.mkdir()
    run(alone.request("energy"), Silent(), [])
    metrics = f'{TOYS}:Asks(names="cascade:100"),{TOYS}:Asks(names="shifted"),energy'
    run(among.request(metrics), Silent(), [])
    assert np.array_equal(alone.maps(""), among.maps(""))
    energies = [
        {result.labels["metric"]: result.values for result in load_results(bench.out).scores}["energy"]
        for bench in (alone, among)
    ]
    assert energies[0] == energies[1]


def test_a_metric_added_to_a_finished_run_computes_itself_and_the_maps_it_alone_asks_for(bench):
    bench.run("seed:1+cascade:100")
    assert bench.traced() == 17, "one to warm up, eight plain, eight of the spoilt network; no second seed is needed"
    before = bench.shards()
    assert bench.run("cascade:100+seed:1").exit_code() == 0
    after = bench.shards()
    assert bench.traced() == 17, "no map was made"
    assert {folder: after[folder] for folder in before} == before, "nothing was touched"
    assert len(after) - len(before) == 1, "the scores of the new metric"
    bench.run("cascade:100+cascade:50")
    assert bench.traced() == 25, "the eight maps of the new depth"
    assert {folder: bench.shards()[folder] for folder in before} == before


def test_a_lost_variant_is_made_again_and_nothing_else(bench):
    bench.run("cascade:100")
    expected = bench.maps("cascade:100")
    before = bench.shards()
    (lost,) = (
        folder
        for folder in before
        if json.loads((folder.parent / "cell.json").read_text())["identity"].get("variant") == "cascade:100"
    )
    (lost / "maps.npy").unlink()
    bench.run("cascade:100")
    assert np.array_equal(bench.maps("cascade:100"), expected)
    after = bench.shards()
    assert {folder for folder in before if after[folder] != before[folder]} == {lost}


def test_another_seed_is_another_map_only_where_something_is_drawn(bench):
    summary = bench.run("seed:1", explainers="Gradient,Noise")
    explained = [outcome.cell for outcome in summary.outcomes if outcome.cell.kind == "explain"]
    assert Counter(cell.identity["variant"] for cell in explained) == {"": 2, "seed:1": 1}
    values = {result.labels["explainer"]: result.values for result in load_results(bench.out).scores}
    same, drawn = sorted(values.items(), key=lambda item: "Noise" in item[0])
    assert set(same[1]) == {0.0}
    assert min(drawn[1]) > 0.2


def test_another_training_is_that_of_the_run_with_the_next_seed_and_is_done_once(bench):
    bench.run("retrained:1", target="true")
    assert bench.trainings.read_text().count("training") == 2
    retrained = bench.maps("retrained:1")
    other = Bench(bench.out.parent)
    other.out = bench.out.parent / "other"
    run(other.request("energy", seed=1, target="true"), Silent(), [])
    assert bench.trainings.read_text().count("training") == 2, "the weights were there"
    assert np.array_equal(other.maps(""), retrained)
    bench.run("retrained:1+seed:1", target="true")
    assert bench.trainings.read_text().count("training") == 2
    assert not np.array_equal(bench.maps(""), retrained)


def test_shuffled_labels_are_trained_on_once_and_leave_the_plain_model_alone(bench):
    bench.run("shuffled-labels")
    assert bench.trainings.read_text().count("training") == 2
    plain, shuffled = bench.maps(""), bench.maps("shuffled-labels")
    assert not np.array_equal(plain, shuffled)
    bench.run("shuffled-labels+seed:1")
    assert bench.trainings.read_text().count("training") == 2
    assert np.array_equal(bench.maps(""), plain)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cascade:100", "the network has no parameters to forget (cascade:100)"),
        ("retrained:1", "learnless learns nothing that it could learn otherwise (retrained:1)"),
        ("shuffled-labels", "learnless learns nothing that it could learn otherwise (shuffled-labels)"),
    ],
)
def test_what_makes_no_sense_for_a_model_is_unsupported_and_nothing_fails(bench, name, why):
    summary = bench.run(f"{name} target:least", model="Learnless")
    assert summary.exit_code() == 0
    found = bench.values()
    assert (found[name].status, found[name].reason) == ("unsupported", why)
    assert found["target:least"].status == "ok"


def test_a_network_that_sees_by_permission_is_spoilt_and_shifted_like_any_other(bench):
    """The fixed weights of a provable network can be forgotten: what the map shows must then change."""
    summary = bench.run("cascade:100 shifted", model="oracle-lesion")
    assert summary.exit_code() == 0
    found = {
        name: [value for value, failed in zip(result.values, result.failed, strict=True) if not failed]
        for name, result in bench.values().items()
    }
    assert max(found["shifted"]) < 1e-5
    assert max(found["cascade:100"]) > 1e-3, "the tones that the readout tells apart are others"


def test_a_sum_is_asked_only_of_explainers_that_promise_one(bench):
    run(bench.request("completeness", explainers="Gradient,Shares", model="Learnless"), Silent(), [])
    found = {result.labels["explainer"]: result for result in load_results(bench.out).scores}
    (shares,) = (result for label, result in found.items() if "Shares" in label)
    (plain,) = (result for label, result in found.items() if "Gradient" in label)
    assert plain.status == "unsupported"
    assert plain.reason == "the maps of gradient do not promise to add up to anything"
    assert max(shares.values) < 1e-4, "the halves are linear"


@pytest.mark.parametrize(("explainer", "failed"), [("GivesUp", False), ("GivesUp(nan=true)", True)])
def test_a_spoilt_network_may_leave_nothing_to_show_but_no_nonsense(bench, explainer, failed):
    run(bench.request("mprt", explainers=explainer), Silent(), [])
    (result,) = load_results(bench.out).scores
    assert set(result.failed) == {failed}
    assert set(result.values) == {1.0 if failed else 0.0}, "no rank correlation, or the worst value"


def test_the_plan_shows_every_variant_and_what_is_there_of_it(bench):
    request = bench.request(f'{TOYS}:Asks(names="seed:1+cascade:100+retrained:1")', explainers="Gradient,Noise")
    plans = plan_all(request, choose(request), Silent(), [], train=False)
    assert "retrained:1" in plans[0].subject.others
    variants = [cell.labels.get("variant", "") for cell in plans[0].explain]
    assert Counter(variants) == {"": 2, "seed:1": 1, "cascade:100": 2, "retrained:1": 2}
    networks = [parse(name).network for name in variants]
    assert networks == sorted(networks), "cells of one network come in a row"
    assert len({cell.key for cell in plans[0].cells()}) == len(plans[0].cells())
    run(request, Silent(), [])
    again = run(request, Silent(), [])
    assert all(outcome.cached for outcome in again.outcomes)
    assert [cell.key for cell in plan_all(request, choose(request), Silent(), [], train=False)[0].explain] == [
        outcome.cell.key for outcome in again.outcomes if outcome.cell.kind == "explain"
    ]


def test_a_task_is_asked_once_what_its_data_are(bench):
    trace = bench.out.parent / "asked"
    request = bench.request("energy,iou", task=f'CountsQuestions(trace="{trace}")', explainers="Gradient,Noise")
    plan_all(request, choose(request), Silent(), [], train=False)
    assert trace.read_text().count("asked") == 1


def test_the_plan_says_which_maps_wait_for_a_training(bench, capsys):
    run(bench.request("energy"), Silent(), [])
    request = bench.request(f'{TOYS}:Asks(names="retrained:1"),energy')
    options = ["--models", request.models, "--explainers", request.explainers, "--tasks", request.tasks]
    options += ["--metrics", request.metrics, "--limit", "8", "--no-references", "--out", str(request.out), "--json"]
    capsys.readouterr()
    assert call(["plan", *options]) == 0
    rows = json.loads(capsys.readouterr().out)
    found = Counter((row["kind"], row["state"], row["key"] is None) for row in rows)
    assert found == {
        ("predict", "cached", False): 1,
        ("explain", "cached", False): 1,
        ("explain", "missing", True): 1,  # of the network that is to be trained first
        ("score", "cached", False): 1,
        ("score", "missing", True): 1,
    }
    assert bench.trainings.read_text().count("training") == 1, "a plan trains nothing"
