import gc
import json
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from xaibench.contracts import Workshop
from xaibench.errors import DataError, UsageError, XaibenchError
from xaibench.precision import has_fast_bf16
from xaibench.runner import sigterm_as_interrupt
from xaibench_models.images import TaskImages
from xaibench_models.recipes import checked, find
from xaibench_models.trainer import train

QUICK = find("quick")
PROGRAM = Path(__file__).with_name("tiny_training.py")


def start(folder, *options):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, str(PROGRAM), str(folder), *options], stdout=subprocess.PIPE, text=True)


def finish(process):
    """What the training printed at its end, and the steps it told of before."""
    lines = process.communicate(timeout=250)[0].splitlines()
    assert process.returncode == 0
    return json.loads(lines[-1]), [int(line.split()[1]) for line in lines[:-1]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return finish(start(tmp_path_factory.mktemp("undisturbed")))


def test_a_training_that_is_killed_and_started_again_ends_with_the_same_weights(undisturbed, tmp_path):
    with start(tmp_path) as process:
        for line in process.stdout:
            if line == "step 15\n":  # in the middle of the third epoch of six steps
                process.kill()
    assert process.returncode == -signal.SIGKILL
    result, steps = finish(start(tmp_path))
    assert steps[0] == 13  # the two finished epochs are not done again
    whole, all_steps = undisturbed
    assert all_steps == list(range(1, 25))
    assert result["hash"] == whole["hash"]
    assert without_times(result["report"]) == without_times(whole["report"])


def test_a_training_that_is_killed_inside_an_epoch_goes_on_inside_it_and_ends_with_the_same_weights(
    undisturbed, tmp_path
):
    with start(tmp_path, "0") as process:  # a checkpoint after every step
        for line in process.stdout:
            if line == "step 15\n":
                process.kill()
    result, steps = finish(start(tmp_path))
    assert steps[0] in (15, 16, 17)  # the step told of last may have been saved, or the one after it
    assert result["hash"] == undisturbed[0]["hash"]
    assert without_times(result["report"]) == without_times(undisturbed[0]["report"])


def without_times(report):
    curve = [{name: value for name, value in row.items() if name != "seconds"} for row in report["curve"]]
    return {**report, "curve": curve, "seconds": None}


def test_the_same_training_twice_gives_the_same_weights_and_another_seed_others(undisturbed, tiny, tmp_path):
    hashes = {}
    for seed in (7, 8):
        network = trained(tiny, tmp_path / str(seed), seed=seed)[0]
        hashes[seed] = tiny.weights_hash(network)
    assert hashes[7] == undisturbed[0]["hash"]
    assert hashes[8] != undisturbed[0]["hash"]


def trained(tiny, folder, *, seed=7, task=None, recipe=None, progress=None):
    folder.mkdir(exist_ok=True)
    network, threads = tiny.tiny_network(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        workshop = Workshop(folder, "cpu", seed, progress or tiny.quiet)
        report = train(network, task or tiny.Stripes(), 0, workshop, recipe or tiny.RECIPE, "tiny")
    finally:
        torch.set_num_threads(threads)
    return network, report


def test_what_can_be_learned_is_learned_and_the_report_says_how(tiny, tmp_path):
    network, report = trained(tiny, tmp_path, recipe=replace(tiny.RECIPE, epochs=15))
    assert report["epochs"] == len(report["curve"]) == 15
    assert report["val_balanced_accuracy"] == max(row["val_balanced_accuracy"] for row in report["curve"])
    assert report["val_balanced_accuracy"] > 0.8
    assert report["train_accuracy"] > 0.8
    assert report["recipe"]["batch_size"] == 8
    assert report["threads"] == 1
    assert report["seconds"] > 0
    assert not network.training
    task = tiny.Stripes()
    unseen = [task.load(entry) for entry in task.entries("test", 0)]
    with torch.inference_mode():
        found = network(torch.stack([torch.from_numpy(sample.image) for sample in unseen])).argmax(1)
    assert (found == torch.tensor([sample.entry.label for sample in unseen])).float().mean() > 0.8


def last_weights(folder):
    (checkpoint,) = (torch.load(file, weights_only=True) for file in folder.iterdir())
    return {name.removeprefix("network."): tensor for name, tensor in checkpoint["state_dict"].items()}


def same(network, weights):
    return all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


def test_the_weights_kept_are_those_of_the_best_epoch(tiny, tmp_path):
    class Misleading(tiny.Stripes):
        """Whoever has learned the training images is wrong about the validation images."""

        def entries(self, split, fold):
            found = super().entries(split, fold)
            return [replace(entry, label=(entry.label + 1) % 3) for entry in found] if split == "val" else found

        def load(self, entry):
            true = entry if entry.id.startswith("train") else replace(entry, label=(entry.label - 1) % 3)
            return super().load(true)

    recipe = replace(tiny.RECIPE, epochs=10)
    network, report = trained(tiny, tmp_path, task=Misleading(), recipe=recipe)
    values = [row["val_balanced_accuracy"] for row in report["curve"]]
    assert report["val_balanced_accuracy"] == max(values) > values[-1] + 0.1  # processors differ in how soon
    assert values[report["best_epoch"] - 1] == max(values)
    assert not same(network, last_weights(tmp_path))
    images = TaskImages(Misleading(), 0, recipe, 7).held_out
    with torch.inference_mode():
        found = network(images.pixels.float()).argmax(1)
    recalls = [(found[images.labels == k] == k).float().mean() for k in range(3)]
    assert float(sum(recalls) / 3) == pytest.approx(max(values), abs=0.09)  # one image: bf16 against fp32


def test_a_training_leaves_nothing_in_memory_but_its_network(tiny, tmp_path):
    """No gradients, no state of the optimiser, no best weights beside it: one tensor of each shape."""

    def tensors():
        return Counter(tuple(one.shape) for one in gc.get_objects() if type(one) in (torch.Tensor, nn.Parameter))

    gc.collect()
    before = tensors()
    gc.disable()  # what is left in circles counts
    try:
        network, _ = trained(tiny, tmp_path)
        after = tensors()
    finally:
        gc.enable()
    assert all(one.grad is None for one in network.parameters())
    weights = Counter(tuple(one.shape) for one in network.parameters() if one.ndim > 1)
    assert {shape: after[shape] - before[shape] for shape in weights} == weights


def test_of_epochs_that_are_equally_good_the_last_one_counts(tiny, tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    recipe = replace(tiny.RECIPE, learning_rate=1e-6)  # too small to change an answer
    report = train(network, tiny.Stripes(), 0, Workshop(tmp_path, "cpu", 7, tiny.quiet), recipe, "linear")
    assert len({row["val_balanced_accuracy"] for row in report["curve"]}) == 1
    assert len({row["train_loss"] for row in report["curve"]}) == 4
    assert report["best_epoch"] == 4
    assert same(network, last_weights(tmp_path))


def test_weights_lie_channels_last_and_bf16_is_used_where_it_is_fast(tiny, tmp_path):
    class Watched(nn.Conv2d):
        def forward(self, images):
            seen.append(
                (self.weight.is_contiguous(memory_format=torch.channels_last), torch.is_autocast_enabled("cpu"))
            )
            return super().forward(images)

    seen = []
    network = nn.Sequential(
        Watched(1, 4, 3), nn.Conv2d(4, 4, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    network[1] = Watched(4, 4, 3)
    recipe = replace(tiny.RECIPE, epochs=1)
    report = train(network, tiny.Stripes(), 0, Workshop(tmp_path, "cpu", 7, tiny.quiet), recipe, "watched")
    learning = seen[:-2]  # the last passes count operations, in plain fp32
    assert {layout for layout, _ in learning} == {True}
    assert {cast for _, cast in learning} == {has_fast_bf16("cpu")}
    assert report["precision"] == ("bf16-mixed" if has_fast_bf16("cpu") else "32-true")
    assert all(one.is_contiguous() for one in network.parameters())  # as it was given


def test_progress_counts_every_step_and_names_the_epoch(tiny, tmp_path):
    told = []
    trained(tiny, tmp_path, progress=lambda *args: told.append(args))
    assert [done for _, done, _ in told] == list(range(1, 25))
    assert {total for _, _, total in told} == {24}
    assert told[0][0] == "training tiny: epoch 1/4"
    assert told[-1][0] == "training tiny: epoch 4/4"


def test_nothing_is_printed_warned_of_logged_or_written_elsewhere(tiny, tmp_path, monkeypatch, capfd, caplog):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "workshop"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.INFO):
        warnings.simplefilter("always")
        trained(tiny, folder)
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert list(elsewhere.iterdir()) == []
    assert [file.suffix for file in folder.iterdir()] == [".ckpt"]


def test_the_callers_random_numbers_are_untouched(tiny, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    network = tiny.tiny_network()
    torch.set_rng_state(before)
    train(network, tiny.Stripes(), 0, Workshop(tmp_path, "cpu", 7, tiny.quiet), tiny.RECIPE, "tiny")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruptions_reach_the_caller_and_the_training_can_go_on(tiny, tmp_path, undisturbed, number):
    """SIGTERM as a run takes it: it is Lightning that keeps it from the run's own handler."""

    def interrupt(what, done, total):
        if done == 15:
            os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), sigterm_as_interrupt():
        trained(tiny, tmp_path, progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    network, _ = trained(tiny, tmp_path)
    assert tiny.weights_hash(network) == undisturbed[0]["hash"]


def test_a_checkpoint_of_another_recipe_is_not_used(tiny, tmp_path):
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    trained(tiny, shared)
    other = replace(tiny.RECIPE, epochs=5)
    expected = tiny.weights_hash(trained(tiny, alone, recipe=other)[0])
    assert tiny.weights_hash(trained(tiny, shared, recipe=other)[0]) == expected


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tiny, tmp_path, monkeypatch, undisturbed):
    save, writes = torch.save, []

    def torn(value, file):
        writes.append(file)
        save(value, file)
        if len(writes) == 3:
            file.write_bytes(file.read_bytes()[:1000])
            raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(KeyboardInterrupt):
        trained(tiny, tmp_path)
    monkeypatch.undo()
    steps = []
    network, _ = trained(tiny, tmp_path, progress=lambda what, done, total: steps.append(done))
    assert steps[0] == 13
    assert tiny.weights_hash(network) == undisturbed[0]["hash"]


def test_a_training_that_diverges_says_so(tiny, tmp_path):
    with pytest.raises(XaibenchError, match=r"diverged in epoch 1: .*learning rate of 1e\+30; lower it"):
        trained(tiny, tmp_path, recipe=replace(tiny.RECIPE, learning_rate=1e30))


def test_a_split_without_images_is_refused(tiny, tmp_path):
    with pytest.raises(DataError, match="no val images in fold 0"):
        trained(tiny, tmp_path, task=tiny.Stripes(val=0))


@pytest.mark.parametrize("epochs", [0, -1, 1.5, "3", True])
def test_impossible_numbers_of_epochs_are_refused(epochs):
    with pytest.raises(UsageError, match="whole number from 1"):
        checked(QUICK, epochs=epochs)


def test_the_epochs_asked_for_replace_those_of_the_recipe_and_nothing_else():
    assert checked(QUICK, epochs=None) == QUICK
    assert checked(QUICK, epochs=2) == replace(QUICK, epochs=2)


def stubborn(tiny, folder):
    """A linear network that learns too slowly to gain anything."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    recipe = replace(tiny.RECIPE, epochs=30, learning_rate=1e-6, patience=3, min_delta=0.01, watch="val_loss")
    return network, train(network, tiny.Stripes(), 0, Workshop(folder, "cpu", 7, tiny.quiet), recipe, "linear")


def test_training_ends_when_nothing_is_gained_any_more(tiny, tmp_path):
    _, report = stubborn(tiny, tmp_path)
    assert report["epochs"] == 4  # the first, and three without a gain
    losses = [row["val_loss"] for row in report["curve"]]
    assert report["best_epoch"] == max(row["epoch"] for row in report["curve"] if row["val_loss"] == min(losses))


def test_a_training_that_had_ended_early_is_not_gone_on_with(tiny, tmp_path):
    first, report = stubborn(tiny, tmp_path)
    again, later = stubborn(tiny, tmp_path)
    assert later["epochs"] == report["epochs"]
    assert tiny.weights_hash(first) == tiny.weights_hash(again)
