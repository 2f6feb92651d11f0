import copy

import pytest

from xaibench.identity import canonical, key_of, plugin_identity
from xaibench.registry import create

IDENTITY = {
    "kind": "explain",
    "task": {"name": "phantom", "version": 1, "params": {"size": 128}, "fingerprint": "a"},
    "model": {"name": "resnet50", "version": 1, "params": {}},
    "weights": "0123",
    "explainer": {"name": "lime", "version": 1, "params": {"samples": 500}},
    "target": "predicted",
    "precision": "fp32",
    "seed": 0,
    "variant": "",
}


def test_the_key_of_an_identity_never_changes():
    # Frozen: were it to change, every finished result in the world would be computed again.
    assert key_of({"kind": "explain", "seed": 0}) == "fe8c9320c0d41e62e12990cee91b0e10"


def test_the_order_of_keys_does_not_matter():
    assert key_of(dict(reversed(IDENTITY.items()))) == key_of(IDENTITY)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("weights",), "0124"),
        (("explainer", "params", "samples"), 501),
        (("explainer", "version"), 2),
        (("task", "version"), 2),
        (("task", "fingerprint"), "b"),
        (("target",), "true"),
        (("precision",), "bf16"),
        (("seed",), 1),
        (("variant",), "seed:1"),
    ],
)
def test_changing_anything_that_could_change_a_number_changes_the_key(path, value):
    changed = copy.deepcopy(IDENTITY)
    place = changed
    for name in path[:-1]:
        place = place[name]
    assert place[path[-1]] != value
    place[path[-1]] = value
    assert key_of(changed) != key_of(IDENTITY)


def test_true_and_1_and_text_have_different_spellings():
    assert len({canonical(value) for value in (True, 1, "1", 1.5, None)}) == 5


def test_nan_has_no_identity():
    with pytest.raises(ValueError, match="not JSON compliant"):
        key_of({"params": float("nan")})


def test_of_a_file_that_a_plugin_is_given_the_content_counts_and_not_the_place(tmp_path):
    def identity(file):
        return plugin_identity(create("models", f"resnet18(recipe='{file}')"))["params"]["recipe"]

    text = 'name = "x"\nepochs = 2\nbatch_size = 4\nlearning_rate = 0.1\n'
    here, there = tmp_path / "a.toml", tmp_path / "b.toml"
    here.write_text(text)
    there.write_text(text)
    assert identity(here) == identity(there)
    before = identity(here)
    here.write_text(text.replace("epochs = 2", "epochs = 33"))
    assert identity(here) != before
    assert plugin_identity(create("models", "resnet18"))["params"]["recipe"] == "quick"
