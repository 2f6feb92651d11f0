"""Recipes are typed: what is unknown or of the wrong type is named, with the nearest that exists."""

import pytest

from xaibench.errors import DataError, UsageError
from xaibench.references import Reference
from xaibench.references import parse as parse_reference
from xaibench.registry import create
from xaibench_models.recipes import Recipe, find, names, parse

PLAIN = 'name = "x"\nepochs = 2\nbatch_size = 4\nlearning_rate = 1\n'


def with_option(text, name, value):
    reference = parse_reference(text)
    return str(Reference(reference.target, {**reference.params, name: value}))


@pytest.mark.parametrize("name", names())
def test_every_recipe_is_sound_and_names_a_model_and_a_task_that_exist(name):
    recipe = find(name)
    assert recipe.name == name
    assert recipe.summary
    if name == "quick":
        return
    assert recipe.paper
    assert recipe.reported
    assert create("models", with_option(recipe.model, "recipe", name)).plugin.recipe == recipe
    for task in filter(None, (recipe.task, recipe.strict)):
        with pytest.raises(DataError, match="/nowhere"):  # the task is known; its files are not here
            create("tasks", with_option(task, "path", "/nowhere"))


def test_there_is_one_for_each_published_set_up():
    assert {"quick", "freezing", "dala", "balve-cnn", "raut-gradual", "raut-simultaneous", "hmc-net"} <= set(names())


def test_numbers_lists_and_tables_arrive_with_their_types():
    recipe = parse(PLAIN + "class_weights = [1, 2]\ngroup_rate = 1\n[freezing]\nratio = 1\n", "x.toml")
    assert isinstance(recipe, Recipe)
    assert recipe.learning_rate == 1.0
    assert isinstance(recipe.learning_rate, float)
    assert recipe.class_weights == (1.0, 2.0)
    assert recipe.freezing.ratio == 1.0
    assert recipe.freezing.groups == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epoch = 3", "'epoch' is unknown; did you mean epochs"),
        ("[freezing]\nration = 1", "x.toml: freezing: 'ration' is unknown; did you mean ratio"),
        ("optimiser = 'sgd'", "optimiser is 'sgd'; it is one of 'adam', 'adamw'"),
        ("patience = 1.5", "patience is 1.5; it is of type int"),
        ("patience = true", "patience is True; it is of type int"),
        ("warm_up = 'a'", "warm_up is 'a'; it is of type float"),
        ("class_weights = 3", "class_weights is 3; it is a list"),
        ("class_weights = ['a']", "class_weights is 'a'; it is of type float"),
        ("freezing = 0.5", "freezing is 0.5; it is a table"),
        ("[freezing]\nratio = 1.5", "freezing.ratio is 1.5; give a number from 0 to 1"),
        ("[augmentation]\nrotate = -1", "augmentation.rotate is -1"),
        ("group_rate = -1.0", "group_rate is -1.0; give a number from 1e-09 to 100"),
        ("weight_decay = -0.1", "weight_decay is -0.1; give a number from 0 to 100"),
        ("label_smoothing = 1.5", "label_smoothing is 1.5; give a number from 0 to 1"),
        ("min_delta = nan", "min_delta is nan"),
        ("class_weights = [1.0, -1.0]", "class_weights[1] is -1.0"),
        ("a b", "x.toml is not TOML"),
    ],
)
def test_mistakes_are_named(text, told):
    with pytest.raises(UsageError, match=told.replace("[", r"\[").replace("(", r"\(")):
        parse(PLAIN + text, "x.toml")


def test_what_is_missing_is_asked_for():
    with pytest.raises(UsageError, match="batch_size"):
        parse('name = "x"\nepochs = 2\nlearning_rate = 0.1\n', "x.toml")


def test_a_recipe_of_ones_own_is_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(PLAIN)
    assert find(str(file)).batch_size == 4
    with pytest.raises(UsageError, match="there is no recipe"):
        find(str(tmp_path / "other.toml"))
    with pytest.raises(UsageError, match="did you mean hmc-net"):
        find("hmcnet")
