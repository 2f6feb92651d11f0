"""Weights are data: nothing in a file of weights is ever run, by whatever door it comes in."""

import pickle

import pytest
import torch

from xaibench.contracts import Workshop
from xaibench.errors import XaibenchError
from xaibench.registry import create
from xaibench.weights import build
from xaibench_models.checkpoints import WholeFiles


def harmful(folder, attack, name):
    """The attack as torch saves it, as plain pickle, or hidden among weights."""
    file = folder / name
    if name.startswith("plain"):
        file.write_bytes(pickle.dumps(attack))
    else:
        torch.save({"state_dict": {"fc.weight": torch.zeros(1), "fc.bias": attack}}, file)
    return file


NAMES = ("saved.pt", "plain.pt", "plain.pth", "plain.safetensors", "plain.ckpt", "saved.safetensors")


def test_the_attack_works_where_pickle_is_trusted(tmp_path, attack, sign):
    torch.load(harmful(tmp_path, attack, "saved.pt"), weights_only=False)
    assert sign.exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reference", ["resnet18@{}", "resnet18(checkpoint='{}')"])
def test_a_checkpoint_named_on_the_command_line_runs_nothing(tmp_path, attack, sign, name, reference):
    file = harmful(tmp_path, attack, name)
    with pytest.raises(XaibenchError, match=name):
        create("models", reference.format(file)).plugin.build(create("tasks", "phantom-tiny").plugin)
    assert not sign.exists()


@pytest.mark.parametrize("name", NAMES)
def test_weights_to_begin_with_run_nothing(tmp_path, attack, sign, name):
    from xaibench.orders import Order

    model = create("models", f"resnet18(weights='{harmful(tmp_path, attack, name)}')")
    order = Order(model, create("tasks", "phantom-tiny"), 0, 0)
    workshop = Workshop(tmp_path, "cpu", 0, lambda *_: None)
    with pytest.raises(XaibenchError, match=name):
        model.plugin.prepare(build(order), order.task.plugin, 0, workshop)
    assert not sign.exists()


def test_a_checkpoint_of_an_unfinished_training_runs_nothing(tmp_path, attack, sign):
    file = tmp_path / "last.ckpt"
    torch.save({"state_dict": {}, "callbacks": attack}, file)
    with pytest.raises(pickle.UnpicklingError):
        WholeFiles().load_checkpoint(file, weights_only=False)  # Lightning may ask for it
    assert not sign.exists()
