"""Several processes at one training, started as a user starts them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xaibench.errors import UsageError
from xaibench_models.command import fleet_of
from xaibench_models.fleet import Fleet, current, using
from xaibench_models.images import HeldOutBatches, Images, TaskImages, TrainBatches
from xaibench_models.recipes import parse

PLUGINS = Path(__file__).with_name("fleet_plugins.py")
RECIPE = """
name = "shared"
epochs = 6
batch_size = 10
learning_rate = 0.02
schedule = "constant"
optimiser = "adam"
"""
FROZEN = "[freezing]\nratio = 0.5\ngradual = true\ngroups = 1\nevery = 2\n"


def command(folder, *options, recipe=RECIPE):
    """`xaibench train` and its surroundings, with a log of what each of its processes writes."""
    folder.mkdir(exist_ok=True)
    (folder / "shared.toml").write_text(recipe)
    given = ["--model", f"{PLUGINS}:Tiny", "--task", f"{PLUGINS}:Stripes", "--device", "cpu", "--json"]
    environment = {
        **{name: value for name, value in os.environ.items() if "RANK" not in name},
        "XAIBENCH_CACHE": str(folder / "cache"),
        "FLEET_LOGS": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    line = [sys.executable, "-m", "xaibench", "train", "--recipe", str(folder / "shared.toml"), *given, *options]
    return {"args": [*line, "--out", str(folder / "out")], "env": environment, "text": True}


def run(folder, *options, recipe=RECIPE):
    """What it answers."""
    done = subprocess.run(**command(folder, *options, recipe=recipe), capture_output=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def losses(row):
    return [one["train_loss"] for one in row["report"]["curve"]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    (row,) = run(tmp_path_factory.mktemp("alone") / "one")
    return row


@pytest.mark.slow
def test_two_processes_learn_what_one_does_and_only_the_first_writes(alone, tmp_path):
    first, second = run(tmp_path / "two", "--devices", "2", "--repeats", "2")
    assert first["report"]["fleet"] == {"devices": 2, "nodes": 1, "compiled": False}
    assert losses(first) == pytest.approx(losses(alone), abs=0.01)  # sums are in another order, and may be in bf16
    assert losses(alone)[-1] < 0.8 * losses(alone)[0]  # there was something to learn
    held_out = [row["report"]["curve"][-1]["val_loss"] for row in (first, alone)]
    assert held_out[0] == pytest.approx(held_out[1], abs=0.02)
    assert second["seed"] == 1
    assert second["digest"] != first["digest"]
    logs = {rank: (tmp_path / "two" / f"rank{rank}.log").read_text().splitlines() for rank in (0, 1)}
    ours = {rank: [line for line in lines if str(tmp_path) in line] for rank, lines in logs.items()}
    assert ours[1] == []
    checkpoints = [line for line in ours[0] if line.startswith("os.rename") and "last-" in line]
    assert len(checkpoints) == 2 * 6  # one at the end of every epoch of both trainings
    kept = [line for line in ours[0] if line.startswith("os.rename") and line.endswith(Path(row_folder(first)).name)]
    assert len(kept) == 1
    assert sorted(load_file(first["weights"])) == sorted(load_file(alone["weights"]))


def row_folder(row):
    return str(Path(row["weights"]).parent)


@pytest.mark.slow
def test_frozen_and_late_layers_do_not_make_processes_wait_for_each_other(tmp_path):
    (row,) = run(tmp_path / "two", "--devices", "2", recipe=RECIPE + FROZEN)
    assert [one["learning"] for one in row["report"]["curve"]] == [2, 2, 4, 4, 4, 4]
    begun, ended = load_begun(row), load_file(row["weights"])
    assert torch.equal(begun["0.weight"], ended["0.weight"])
    assert not torch.equal(begun["2.weight"], ended["2.weight"])


def load_begun(row):
    from xaibench.orders import Order
    from xaibench.registry import create
    from xaibench.weights import build

    order = Order(create("models", f"{PLUGINS}:Tiny"), create("tasks", f"{PLUGINS}:Stripes"), row["fold"], row["seed"])
    return build(order).state_dict()


@pytest.mark.slow
def test_killed_and_started_again_both_processes_go_on_and_none_is_left_behind(tmp_path):
    longer = RECIPE.replace("epochs = 6", "epochs = 12")
    begun = subprocess.Popen(**command(tmp_path / "two", "--devices", "2", recipe=longer), stderr=subprocess.DEVNULL)
    waiting = (time.sleep(0.1) for _ in range(2500))
    while not list(tmp_path.glob("two/cache/weights/*.unfinished/last-*.ckpt")):
        next(waiting)
    (helper,) = map(int, Path(f"/proc/{begun.pid}/task/{begun.pid}/children").read_text().split())
    begun.kill()
    begun.wait()
    while alive(helper):
        next(waiting)
    (row,) = run(tmp_path / "two", "--devices", "2", recipe=longer)
    assert [one["epoch"] for one in row["report"]["curve"]] == list(range(1, 13))
    assert row["report"]["curve"][-1]["train_loss"] < 0.3


def alive(process):
    """Not dead, and not merely waiting to be buried."""
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_and_its_weights_keep_their_names(alone, tmp_path):
    (row,) = run(tmp_path / "compiled", "--compile")
    assert row["report"]["fleet"]["compiled"]
    assert losses(row) == pytest.approx(losses(alone), abs=0.01)
    assert sorted(load_file(row["weights"])) == sorted(load_file(alone["weights"]))


def images(count):
    return Images(torch.arange(count).half().reshape(-1, 1, 1, 1), torch.arange(count) % 3)


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_processes_share_every_batch_without_a_rest_and_take_equal_parts(processes):
    recipe = parse(RECIPE, "r")
    parts = [list(TrainBatches(images(53), recipe, 0, rank, processes)) for rank in range(processes)]
    size = 10 // processes
    assert {len(labels) for part in parts for _, labels in part} == {size}
    seen = [int(value) for part in parts for pixels, _ in part for value in pixels.flatten()]
    assert len(set(seen)) == len(seen) == 53 // (size * processes) * size * processes


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_every_held_out_image_counts_once_and_all_processes_have_as_many_batches(processes):
    parts = [list(HeldOutBatches(images(21), 10, rank, processes)) for rank in range(processes)]
    assert {len(part) for part in parts} == {3}
    assert all(len(pixels) >= 1 for part in parts for pixels, _ in part)  # a network is never given nothing
    counted = [int(one) for part in parts for pixels, labels in part for one in pixels.flatten()[: len(labels)]]
    assert sorted(counted) == list(range(21))


def test_more_devices_than_images_in_a_batch_are_refused(tiny):
    with pytest.raises(UsageError, match="batches of 10 images among 16 devices"):
        TaskImages(tiny.Stripes(), 0, parse(RECIPE, "r"), 0, 16)


@pytest.mark.parametrize("name", ["LOCAL_RANK", "RANK", "SLURM_PROCID", "NODE_RANK"])
def test_a_process_helps_if_its_launcher_says_so_and_never_alone(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    assert Fleet(devices=2).helps
    assert Fleet(nodes=2).helps
    assert not Fleet().helps  # one of many trainings that Slurm has started, each for itself
    monkeypatch.setenv(name, "0")
    assert not Fleet(devices=2).helps


def test_the_devices_asked_for_hold_inside_and_nowhere_else():
    with using(Fleet(devices=4)):
        assert current().size == 4
    assert current().size == 1
    with pytest.raises(UsageError, match="leave the number off --device"):
        fleet_of({"devices": 2, "nodes": 1, "compiled": False, "device": "cuda:1"})
