from types import SimpleNamespace

import pytest

from xaibench.contracts import Entry
from xaibench.errors import UsageError
from xaibench.selection import expand_target, ordered, target_of

CLASSES = ("normal", "benign", "malignant")


def task_of(ids):
    return SimpleNamespace(entries=lambda split, fold: [Entry(name, name, 0) for name in ids])


def test_the_order_of_samples_is_theirs_and_not_that_of_the_index():
    ids = [f"film-{number}" for number in range(200)]
    forward, backward = ordered(task_of(ids), "test", 0), ordered(task_of(ids[::-1]), "test", 0)
    assert forward == backward
    assert [entry.id for entry in forward] != ids


def test_removing_samples_keeps_the_order_of_the_others():
    ids = [f"film-{number}" for number in range(50)]
    some = [entry.id for entry in ordered(task_of(ids[::2]), "test", 0)]
    assert some == [entry.id for entry in ordered(task_of(ids), "test", 0) if entry.id in set(ids[::2])]


def test_target_policies():
    assert expand_target("predicted", CLASSES) == ["predicted"]
    assert expand_target("each", CLASSES) == ["class:normal", "class:benign", "class:malignant"]
    assert expand_target("benign", CLASSES) == ["class:benign"]
    assert target_of("predicted", CLASSES, label=0, predicted=2) == 2
    assert target_of("true", CLASSES, label=0, predicted=2) == 0
    assert target_of("class:benign", CLASSES, label=0, predicted=2) == 1


def test_an_unknown_target_names_what_is_allowed():
    with pytest.raises(UsageError, match="allowed are predicted, true, each, normal, benign, malignant"):
        expand_target("cancer", CLASSES)
