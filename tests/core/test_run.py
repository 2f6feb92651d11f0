"""Runs as users start them: real processes, real kills."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import product
from pathlib import Path

import pytest

from xaibench.__main__ import call
from xaibench.references import split_list
from xaibench.results import load_results
from xaibench.store import Store

TOYS = Path(__file__).with_name("toy_plugins.py")
METRICS = "iou,energy,pointing-game,forward-samples"


@dataclass
class Ended:
    """How a command ended."""

    returncode: int
    out: str
    err: str


class Bench:
    """One results folder with a cache of its own."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.folder, self.out = folder, folder / "out"
        self.environment = {"XAIBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}

    def options(self, *options, model="Trained", explainers="Gradient,Noise", metrics=METRICS, verb="run"):
        chosen = ",".join(f"{TOYS}:{name}" for name in split_list(explainers))
        return [
            verb, "--models", f"{TOYS}:{model}", "--tasks", f"{TOYS}:Blobs", "--explainers", chosen,
            "--metrics", metrics, "--no-references", "--no-audit", "--out", str(self.out), *options,
        ]  # fmt: skip

    def start(self, *options, **choice):
        """In a process of its own, to be killed or to run beside another."""
        return subprocess.Popen(
            [sys.executable, "-m", "xaibench", *self.options(*options, **choice)],
            env={**os.environ, **self.environment}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *options, **choice):
        """In this process, for speed."""
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(StringIO()) as out,
            redirect_stderr(StringIO()) as err,
        ):
            patch.setenv("XAIBENCH_CACHE", self.environment["XAIBENCH_CACHE"])
            code = call(self.options(*options, **choice))
        assert "Traceback" not in err.getvalue()
        return Ended(code, out.getvalue(), err.getvalue())

    def answer(self, *options, **choice):
        return json.loads(self.run("--json", *options, **choice).out)

    def scores(self):
        results = load_results(self.out)
        return {tuple(result.labels.items()): (result.ids, result.values) for result in results.scores}

    def shards(self):
        return {path.parent: path.stat().st_mtime_ns for path in self.out.glob("cells/*/*/*/record.json")}


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def keys(answer, kind):
    return {cell["key"] for cell in answer["cells"] if cell["kind"] == kind}


def statuses(answer):
    return {
        (cell["labels"]["explainer"].partition(":")[2], cell["kind"]): cell["status"]
        for cell in answer["cells"]
        if "explainer" in cell["labels"]
    }


def test_kill_9_at_ten_instants_ends_in_the_scores_of_an_undisturbed_run_and_does_nothing_twice(tmp_path):
    calm, rough = Bench(tmp_path / "calm"), Bench(tmp_path / "rough")
    trainings, explained = tmp_path / "trainings", tmp_path / "explained"
    choice = {
        "model": f'Trained(seconds=2,trace="{trainings}")',
        "explainers": f'Gradient(seconds=0.4,trace="{explained}"),Noise',
    }
    assert calm.run("--batch-size", "8", **choice).returncode == 0
    assert trainings.read_text().count("training") == 1
    for trace in (trainings, explained):
        trace.unlink()

    rng = random.Random(1)  # noqa: S311  # instants, not secrets
    finished, killed = {}, 0
    while killed < 10:
        process = rough.start("--batch-size", "8", **choice)
        time.sleep(rng.uniform(0.5, 6.0))
        if process.poll() is None:
            process.kill()
            killed += 1
        process.communicate()
        now = rough.shards()
        assert {folder: now[folder] for folder in finished} == finished, "finished work was done again"
        finished = now
        if process.returncode == 0:  # done before the tenth kill: what follows is killed in a run from the beginning
            shutil.rmtree(rough.out)
            finished = {}
            explained.unlink(missing_ok=True)
    assert rough.run("--batch-size", "8", **choice).returncode == 0
    now = rough.shards()
    assert {folder: now[folder] for folder in finished} == finished
    assert rough.scores() == calm.scores()
    assert len(rough.scores()) == 8
    # A kill can cost the shard it hits, and no more: 32 images, and the one that goes ahead of the timing.
    again = Counter(explained.read_text().split())
    assert sum(again.values()) <= 81 + 33 * killed


def test_kills_during_the_first_training_never_leave_half_of_it(tmp_path):
    calm, rough = Bench(tmp_path / "calm"), Bench(tmp_path / "rough")
    choice = {"model": f'Trained(seconds=3,trace="{tmp_path / "trainings"}")', "explainers": "Noise"}
    reference = calm.answer(**choice)
    for _ in range(2):
        process = rough.start(**choice)
        for line in process.stderr:
            if "[ 50 %]" in line:
                process.kill()
                break
        process.communicate()
        assert not list(rough.folder.glob("cache/weights/*/card.json"))
    answer = rough.answer(**choice)
    assert (tmp_path / "trainings").read_text().count("training") == 1 + 2 + 1
    assert keys(answer, "explain") == keys(reference, "explain"), "the weights differ"
    assert rough.scores() == calm.scores()


def test_two_runs_on_one_folder_both_end_well_and_train_once(bench):
    choice = {"model": f'Trained(seconds=1,trace="{bench.folder / "trainings"}")'}
    both = [bench.start("--json", **choice) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert (bench.folder / "trainings").read_text().count("training") == 1
    assert keys(answers[0], "score") == keys(answers[1], "score")
    assert len(bench.scores()) == 8
    assert all(None not in values[1][:1] for values in bench.scores().values())
    assert not list((bench.out / "tmp").iterdir())
    again = bench.answer(**choice)
    assert all(cell["cached"] for cell in again["cells"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_runs_exit_130_and_say_how_to_go_on(bench, number):
    process = bench.start(explainers="Gradient(seconds=0.3)")
    for line in process.stderr:
        if "predict" in line:
            break
    time.sleep(0.3)
    process.send_signal(number)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "to go on: xaibench run --models" in rest
    assert "Traceback" not in rest
    record = json.loads(next((bench.out / "runs").glob("*.json")).read_text())
    assert record["status"] == "interrupted"
    assert record["counts"]["ok"] >= 1
    assert bench.run(explainers="Gradient(seconds=0.0)").returncode == 0


def test_a_run_says_at_its_end_where_its_time_went(bench):
    phases = ["weights and plan", "predict", "explain", "score", "audit", "reports"]
    told = bench.run("--audit", metrics="iou").err.splitlines()[-1]
    pattern = "time: " + ", ".join(rf"{name} \d+\.\d s" for name in phases) + r"; \d+\.\d s in all"
    assert re.fullmatch(pattern, told), told
    answer = bench.answer(metrics="iou")
    assert list(answer["phases"]) == phases[:4]  # neither of the other two was asked for
    assert all(seconds >= 0 for seconds in answer["phases"].values())


def test_one_failing_cell_stops_no_other_and_each_says_why(bench):
    explainers = ",".join(
        f"Misbehaving(how={how})" for how in ("raise", "exit", "oom", "train", "weights", "hook", "shape")
    )
    answer = bench.answer(explainers=f"{explainers},Gradient", metrics="iou")
    assert answer["exit_code"] == 1
    found = statuses(answer)
    assert found["Gradient", "explain"] == found["Gradient", "score"] == "ok"
    assert found["Misbehaving(how=oom)", "explain"] == "oom"
    reasons = {
        cell["labels"]["explainer"].partition("how=")[2].rstrip(")"): cell["reason"]
        for cell in answer["cells"]
        if cell["kind"] == "explain"
    }
    assert "ValueError: no idea" in reasons["raise"]
    assert "SystemExit: 3" in reasons["exit"]
    assert "changed the model" in reasons["train"]
    assert "running_mean" in reasons["train"]
    assert "0.weight changed" in reasons["weights"]
    assert "5 forward hooks left on 2" in reasons["hook"]  # four batches, and the image that goes ahead
    assert "maps of shape (1, 3, 3); (1, 16, 16) is" in reasons["shape"]
    unfinished = [result for result in load_results(bench.out).scores if result.status != "ok"]
    assert len(unfinished) == 7
    assert all(result.reason for result in unfinished)


def test_what_one_explainer_does_to_the_model_does_not_reach_the_next(tmp_path):
    alone, after = Bench(tmp_path / "alone"), Bench(tmp_path / "after")
    alone.run(explainers="Gradient", metrics="iou")
    after.run(explainers="Misbehaving(how=weights),Gradient", metrics="iou")
    wanted = next(iter(alone.scores().values()))
    assert wanted in after.scores().values()


def test_maps_with_nan_count_as_failed_and_score_worst(bench):
    answer = bench.answer(explainers="Misbehaving(how=nan)", metrics="iou")
    (prediction,) = keys(answer, "predict")
    order = [name for shard in Store(bench.out).shards(prediction, 80) for name in shard.column("ids")]
    spoilt = set(order[::8])  # the first image of every batch
    (result,) = load_results(bench.out).scores
    assert {name for name, failed in zip(result.ids, result.failed, strict=True) if failed} == spoilt & set(result.ids)
    assert sum(result.failed) >= 5
    values = dict(zip(result.ids, result.values, strict=True))
    assert {values[name] for name in spoilt & set(result.ids)} == {0.0}


def test_a_failed_map_of_a_misclassified_image_is_none_of_a_metric_of_correct_ones(bench):
    """The net says `right` always, and the first map of every batch fails."""
    bench.run(model="Trained(weight=-100)", explainers="Misbehaving(how=nan)", metrics="ll-score,iou")
    results = load_results(bench.out)
    (prediction,) = results.predictions
    right = {name for name, truth in zip(prediction.ids, prediction.truth, strict=True) if truth == 1}
    scores = {one.labels["metric"].partition("(")[0]: one for one in results.scores}
    failed = {
        metric: {name for name, flaw in zip(one.ids, one.failed, strict=True) if flaw} for metric, one in scores.items()
    }
    assert set(scores["ll-score"].ids) == right & set(scores["iou"].ids)
    assert failed["iou"] - right
    assert failed["ll-score"] == failed["iou"] & right


def test_out_of_memory_halves_the_batch_and_skips_no_image(bench):
    answer = bench.answer(explainers="Misbehaving(how=small-batches)", metrics="iou")
    assert answer["exit_code"] == 0
    sizes = [json.loads(path.read_text()).get("batch_size") for path in bench.out.glob("cells/*/*/*/record.json")]
    assert set(sizes) == {None, 2}


def test_the_same_maps_for_batches_of_1_3_and_8(tmp_path):
    found = {}
    for size, again in product((1, 3, 8), (False, True)):
        bench = Bench(tmp_path / f"{size}{again}")
        bench.run("--batch-size", str(size))
        found[size, again] = bench.scores()
    for size in (1, 3, 8):
        assert found[size, False] == found[size, True], "bit for bit at the same batch shape"
        for labels, (ids, values) in found[size, True].items():
            assert ids == found[8, True][labels][0]
            assert values == pytest.approx(found[8, True][labels][1], rel=1e-5)


def test_a_smaller_limit_is_the_beginning_of_a_larger_one(bench):
    trace = bench.folder / "explained"
    choice = {"explainers": f'Gradient(trace="{trace}")', "metrics": "iou"}
    bench.run("--limit", "32", **choice)
    first = bench.scores()
    ahead = 1  # image per process, so that what is timed starts warm
    assert len(trace.read_text().split()) == 32 + ahead
    bench.run("--limit", "64", **choice)
    assert len(trace.read_text().split()) == 64 + 2 * ahead
    assert len(set(trace.read_text().split())) == 64
    ((ids, values),) = first.values()
    ((more_ids, more_values),) = bench.scores().values()
    assert more_ids[: len(ids)] == ids
    assert more_values[: len(values)] == values
    assert load_results(bench.out).scores[0].total == 80


def test_a_new_metric_computes_no_map_again(bench):
    trace = bench.folder / "explained"
    bench.run(explainers=f'Gradient(trace="{trace}")', metrics="iou")
    bench.run(explainers=f'Gradient(trace="{trace}")', metrics="iou,energy")
    assert len(trace.read_text().split()) == 80 + 1, "each image once, and the one that goes ahead of the timing"
    assert len(bench.scores()) == 2


def test_keys_change_with_what_changes_numbers_and_with_nothing_else(bench):
    plain = bench.answer(explainers="Gradient", metrics="iou")
    same = bench.answer("--batch-size", "4", explainers="Gradient", metrics="iou")
    assert all(cell["cached"] for cell in same["cells"])
    others = [
        bench.answer(explainers="Gradient(power=2.0)", metrics="iou"),
        bench.answer(explainers="Gradient", metrics="iou", model="Trained(weight=0.001)"),
        bench.answer("--tasks", f"{TOYS}:Blobs(version=2)", explainers="Gradient", metrics="iou"),
        bench.answer("--target", "true", explainers="Gradient", metrics="iou"),
        bench.answer("--precision", "bf16", explainers="Gradient", metrics="iou"),
        bench.answer("--seed", "1", explainers="Gradient", metrics="iou"),
    ]
    seen = [keys(plain, "explain"), *(keys(other, "explain") for other in others)]
    assert len(set.union(*seen)) == len(seen)


def test_metrics_get_the_variants_and_the_model_their_cards_ask_for(bench):
    metrics = f"{TOYS}:Spread,{TOYS}:Confidence"
    answer = bench.answer(explainers="Gradient,Noise", metrics=metrics)
    assert answer["exit_code"] == 0
    assert len(keys(answer, "explain")) == 3, "two explainers, and noise with another seed: a gradient has none"
    spread = {
        dict(labels)["explainer"].partition(":")[2]: values
        for labels, (_, values) in bench.scores().items()
        if dict(labels)["metric"].endswith("Spread")
    }
    assert set(spread["Gradient"]) == {0.0}
    assert min(spread["Noise"]) > 0.25, "two uniform noises differ by a third on average"
    confidence = [values for labels, (_, values) in bench.scores().items() if dict(labels)["metric"].endswith("ence")]
    assert all(0.5 <= value <= 1 for values in confidence for value in values), "the predicted class of two"


def test_plan_says_what_is_there_what_is_missing_and_why(bench):
    before = json.loads(bench.run("--json", verb="plan").out)
    assert {row["state"] for row in before} == {"missing"}
    assert "is to be trained first" in before[0]["why"]
    assert not bench.out.exists()
    bench.run(explainers="Gradient,Misbehaving")
    after = json.loads(bench.run("--json", verb="plan", explainers="Gradient,Misbehaving").out)
    states = {(row["kind"], row["labels"].get("explainer", "").rpartition(":")[2]): row for row in after}
    assert states["predict", ""]["state"] == states["explain", "Gradient"]["state"] == "cached"
    assert states["explain", "Misbehaving"]["state"] == "missing"
    assert states["explain", "Misbehaving"]["why"] == "last attempt: failed, ValueError: no idea"


def test_options_can_stand_in_a_file_and_the_command_line_wins(bench):
    config = bench.folder / "run.toml"
    config.write_text('limit = 4\nmetrics = ["iou", "energy"]\nbatch_size = 4\n')
    bench.run("--config", str(config), "--limit", "8", "--metrics", "iou")
    results = load_results(bench.out).scores
    assert {(result.labels["metric"], result.count) for result in results} == {("iou", 8)}
    sizes = [json.loads(path.read_text()).get("batch_size") for path in bench.out.glob("cells/*/*/*/record.json")]
    assert set(sizes) == {None, 4}
    config.write_text("limits = 4\n")
    process = bench.run("--config", str(config))
    assert process.returncode == 2
    assert "there is no option limits; did you mean limit?" in process.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--target", "cancer"], 2, "allowed are predicted, true, each, left, right"),
        (["--device", "cuda:7"], 2, "not usable here"),
        (["--explainers", "gradcan"], 2, "did you mean gradcam"),
        (["--explainers", "gradcam(layers=2)"], 2, "layers"),
        (["--metrics", ""], 3, "nothing is selected"),
    ],
)
def test_mistakes_are_one_message_and_a_code(bench, options, code, message):
    process = bench.run(*options)
    assert process.returncode == code
    assert message in process.err


def values_of(bench, name, metric="iou"):
    (found,) = (
        result.values
        for result in load_results(bench.out).scores
        if result.labels["explainer"].endswith(name) and result.labels["metric"].endswith(metric)
    )
    return found


def test_two_plugins_of_one_file_and_one_card_are_two_plugins(bench):
    answer = bench.answer(explainers="TwinA,TwinB", metrics="energy")
    assert len(keys(answer, "explain")) == 2
    assert values_of(bench, "TwinA", "energy") != values_of(bench, "TwinB", "energy")


def test_an_explainer_may_use_its_buffer_again(bench):
    bench.run(explainers="ReusesItsBuffer,TwinA", metrics="energy")
    assert values_of(bench, "ReusesItsBuffer", "energy") == values_of(bench, "TwinA", "energy")


@pytest.mark.parametrize("what", ["model", "prior", "grad"])
def test_damage_by_one_explainer_reaches_no_other(tmp_path, what):
    alone, after = Bench(tmp_path / "alone"), Bench(tmp_path / "after")
    alone.run(explainers="Gradient", metrics="iou")
    after.run(explainers=f"Vandal(what={what}),Gradient", metrics="iou")
    assert values_of(after, "Gradient") == values_of(alone, "Gradient")


def test_damage_by_one_metric_reaches_no_other(tmp_path):
    alone, after = Bench(tmp_path / "alone"), Bench(tmp_path / "after")
    alone.run(explainers="Gradient", metrics=f"iou,{TOYS}:Confidence")
    answer = after.answer(
        explainers="Gradient", metrics=f"{TOYS}:SpoilsTheModel,{TOYS}:SpoilsTheMasks,iou,{TOYS}:Confidence"
    )
    bad = {cell["labels"]["metric"]: cell["reason"] for cell in answer["cells"] if cell["status"] == "failed"}
    assert "changed the model: 0.weight changed" in bad["toy_plugins.py:SpoilsTheModel"]
    assert "read-only" in bad["toy_plugins.py:SpoilsTheMasks"]
    for metric in ("iou", "Confidence"):
        assert values_of(after, "Gradient", metric) == values_of(alone, "Gradient", metric)


def test_a_variant_that_nobody_makes_is_refused(bench):
    ended = bench.run(explainers="Gradient", metrics=f"{TOYS}:WantsNoise")
    assert ended.returncode == 2
    assert "there is no variant 'noise:0.1' of a map; there are seed:N, noise:uniform:RADIUS:N" in ended.err


def test_a_model_that_cannot_be_prepared_stops_no_other(bench):
    ended = bench.run("--models", f"{TOYS}:CannotPrepare,{TOYS}:Trained", explainers="Gradient", metrics="iou")
    assert ended.returncode == 1
    assert "failed toy_plugins.py:CannotPrepare on toy_plugins.py:Blobs: FileNotFoundError: weights.pt" in ended.err
    assert len(values_of(bench, "Gradient")) > 50


def test_a_training_is_not_lost_for_what_its_report_holds(bench):
    assert bench.run(model="OddReport", explainers="Gradient", metrics="iou").returncode == 0
    (prediction,) = load_results(bench.out).predictions
    assert prediction.training["accuracy"] == 0.5
    assert prediction.training["loss"] is None
    assert (prediction.training["path"], prediction.training["curve"]) == ("x", [1.0])


def test_what_plugins_print_is_not_in_the_answer(bench):
    assert bench.answer(explainers="Vandal(what=print)", metrics="iou")["exit_code"] == 0


def test_equal_names_are_refused_and_a_mistaken_target_is_told_before_any_training(bench):
    other = bench.folder / TOYS.name
    other.write_text(TOYS.read_text())
    ended = bench.run("--explainers", f"{TOYS}:Gradient,{other}:Gradient")
    assert ended.returncode == 2
    assert "two plugins are called toy_plugins.py:Gradient" in ended.err
    trace = bench.folder / "trainings"
    assert bench.run("--target", "lefd", model=f'Trained(trace="{trace}")').returncode == 2
    assert not trace.exists()


def test_after_an_interrupted_larger_run_the_finished_smaller_one_still_shows(bench):
    bench.run("--limit", "32", explainers="Gradient", metrics="iou")
    before = bench.scores()
    process = bench.start("--limit", "64", explainers="Gradient", metrics="iou")
    for line in process.stderr:
        if "cached" in line or "ok" in line:
            process.kill()
            break
    process.communicate()
    assert bench.run("--limit", "32", explainers="Gradient", metrics="iou").returncode == 0
    shown = bench.scores()
    assert shown.keys() == before.keys()
    for labels, (_, values) in before.items():
        assert shown[labels][1][: len(values)] == values


def test_nothing_left_to_do_is_not_success(bench):
    ended = bench.run("--tasks", f"{TOYS}:Blobs(count=0)")
    assert ended.returncode == 3
    assert "no model, or no test image, is left to work on" in ended.err


def test_a_metric_that_draws_a_curve_has_it_kept_with_its_value(bench):
    bench.run("--limit", "6", explainers="Gradient", metrics=f"{TOYS}:Falling")
    (result,) = load_results(bench.out).scores
    assert result.cards["metric"]["curve"] == [0.0, 1.0]
    assert len(result.curves) == 6
    assert list(result.curves) == [(value, None) for value in result.values]


def test_a_curve_that_the_card_does_not_announce_is_the_metrics_failure(bench):
    bench.run("--limit", "6", explainers="Gradient", metrics=f"{TOYS}:Falling(declared=False)")
    (result,) = load_results(bench.out).scores
    assert result.status == "failed"
    assert "returned a curve, but its card has no `curve`" in result.reason
