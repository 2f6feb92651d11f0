import sys
from pathlib import Path

import pytest

from xaibench.errors import BrokenPlugin, DataError, UsageError
from xaibench.references import Reference, parse
from xaibench.registry import Broken, Loaded, create, is_default, plugins, select, spelled_out

MINE = '''
from __future__ import annotations
from types import SimpleNamespace
from typing import Literal


class Mine:
    """Mine."""

    def __init__(self, samples: int = 5, alpha: float = 1.0, mode: Literal["fast", "slow"] = "fast",
                 path: str | None = None, verbose: bool = False, box=(1, 2)):
        if samples < 0:
            raise ValueError("samples must be positive")
        self.samples = samples
        self.card = SimpleNamespace(name="mine", summary="Mine", family="cam", tags=set("hgfedcba"),
                                    profiles={"quick": {"samples": 2}, "wrong": {"sample": 3}})

    def explain(self, classifier, batch): ...


def needy(layer: str, **rest):
    made = Mine()
    made.rest = {"layer": layer, **rest}
    return made


instance = Mine()


class Exits:
    def __init__(self):
        raise SystemExit(3)


class Bare:
    pass


class HalfCard:
    card = SimpleNamespace(name="half")


class Infinite(Mine):
    def __init__(self):
        super().__init__()
        self.card.limit = float("inf")
'''


@pytest.fixture
def mine(tmp_path):
    """Path of a file with factories, good and bad."""
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


# ------------------------------------------------------------ names and their places


def test_a_plugin_is_made_by_name_and_told_all_about(installed):
    site = installed("good")
    loaded = create("explainers", "corner(share=1)")
    assert loaded.name == "corner"
    assert (loaded.distribution, loaded.version) == ("corner-explainer", "1.2")
    assert loaded.label == "corner(share=1)"
    assert loaded.reference == "corner(corner=top-left, passes=8, share=1.0)"
    assert loaded.params == {"share": 1.0, "corner": "top-left", "passes": 8}
    assert loaded.plugin.share == 1.0
    assert Path(sys.modules["corner_explainer"].__file__).parent == site


def test_a_strangers_card_is_completed_by_the_defaults_of_the_contract(installed):
    installed("good")
    card = create("explainers", "corner").card
    assert card["needs"] == ["gradients", "prior"]
    assert (card["version"], card["sign"], card["stochastic"], card["class_sensitive"]) == (1, "positive", False, False)


def test_sets_on_a_card_become_sorted_lists(mine):
    assert create("explainers", f"{mine}:Mine").card["tags"] == list("abcdefgh")


def test_a_reference_makes_the_same_plugin_again(installed):
    installed("good")
    first = create("explainers", "corner(corner=bottom-right)", profile="quick")
    again = create("explainers", first.reference)
    assert again.params == first.params == {"share": 0.25, "corner": "bottom-right", "passes": 2}
    assert again.reference == first.reference


@pytest.mark.parametrize("group", ["metrics", "explainers"])
def test_what_is_written_down_of_a_plugin_and_read_back_has_the_same_parameters(group):
    """To the type: a tolerance of 0 that came back as 0.0 would be another key."""
    for made in select(group, "all", "quick"):
        again = create(group, made.reference, "quick")
        assert (again.reference, repr(again.params)) == (made.reference, repr(made.params))


def test_a_profile_replaces_defaults_but_nothing_that_was_given(mine):
    assert create("explainers", f"{mine}:Mine", "quick").plugin.samples == 2
    assert create("explainers", f"{mine}:Mine(samples=9)", "quick").plugin.samples == 9
    assert create("explainers", f"{mine}:Mine", "unheard").plugin.samples == 5


def test_a_profile_that_cannot_be_is_the_authors_mistake(mine):
    with pytest.raises(BrokenPlugin, match=r"profile 'wrong' of its card cannot be: .*no parameter sample"):
        create("explainers", f"{mine}:Mine", "wrong")


def test_two_plugins_of_one_name_are_told_apart_by_distribution(installed):
    installed("good", "namesake")
    with pytest.raises(UsageError, match="ambiguous: say corner-explainer:corner or Corner_Namesake:corner"):
        create("explainers", "corner")
    assert create("explainers", "corner-explainer:corner").card["summary"] == "One corner of the image"
    other = create("explainers", "corner-NAMESAKE:corner")
    assert other.card["summary"] == "Another corner"
    assert other.reference == "Corner_Namesake:corner"


def test_an_unknown_name_is_answered_with_the_nearest_and_all(installed):
    installed("good")
    with pytest.raises(
        UsageError, match=r"(?s)no explainer 'cornr'; did you mean corner\?.*There are: .*corner.*gradcam"
    ):
        create("explainers", "cornr")
    with pytest.raises(UsageError, match="no explainer 'corner-explainer:cornr'"):
        create("explainers", "corner-explainer:cornr")


def test_an_unknown_kind_is_answered_with_all_kinds():
    with pytest.raises(UsageError, match="'explainer'; there are models, explainers"):
        plugins("explainer")


# ------------------------------------------------------------ plugins of no distribution


def test_a_class_in_a_file_is_a_plugin(mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = create("explainers", "mine.py:Mine(alpha=2)")
    assert loaded.name == "mine"
    assert loaded.label == "mine.py:Mine(alpha=2)"
    assert loaded.reference == f"{mine}:Mine(alpha=2.0, mode=fast, path=none, samples=5, verbose=false)"
    assert loaded.distribution == ""
    assert "mine" not in sys.modules


def test_a_file_whose_path_has_blanks_and_parentheses_can_be_referred_to(tmp_path):
    folder = tmp_path / "my (new), plugins"
    folder.mkdir()
    (folder / "mine.py").write_text(MINE)
    loaded = create("explainers", f"'{folder}/mine.py:Mine'(samples=3)")
    assert create("explainers", loaded.reference).params == loaded.params


def test_a_factory_in_an_importable_module_is_a_plugin(mine, monkeypatch):
    monkeypatch.syspath_prepend(mine.parent)
    loaded = create("explainers", "mine:needy(layer=conv1, depth=3)")
    assert loaded.plugin.rest == {"layer": "conv1", "depth": 3}
    assert loaded.reference == "mine:needy(depth=3, layer=conv1)"


def test_an_object_with_a_card_is_a_plugin_without_parameters(mine):
    assert create("explainers", f"{mine}:instance").params == {}
    with pytest.raises(UsageError, match="takes no parameters: it is no factory, but a Mine"):
        create("explainers", f"{mine}:instance(samples=1)")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("{folder}/absent.py:Mine", "there is no file .*absent.py"),
        ("{folder}/mine.py:Absent", "mine.py does not define 'Absent'"),
        ("absent.module:Mine", "there is no explainer 'absent.module:Mine'"),
    ],
)
def test_what_is_not_there_is_the_users_mistake(mine, target, message):
    with pytest.raises(UsageError, match=message):
        create("explainers", target.format(folder=mine.parent))


def test_a_file_without_a_name_is_answered_with_the_plugins_in_it_and_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("two.py").write_text(
        "raise SystemExit('was run')\n"
        "class First:\n    card = 1\n    def explain(self): ...\n"
        "class Second:\n    def __init__(self):\n        self.card = 2\n    def explain(self): ...\n"
        "class Measure:\n    card = 3\n    def score(self): ...\n"
        "class Helper: ...\n"
        "def build(): ...\n"
    )
    for group, names in {
        "explainers": "two.py:First or two.py:Second",
        "metrics": "two.py:Measure",
        "models": "two.py:First or two.py:Second or two.py:Measure or two.py:Helper or two.py:build",
    }.items():
        with pytest.raises(UsageError) as caught:
            select(group, "two.py")
        assert str(caught.value) == f"two.py is a file: name what is in it, {names}"


def test_a_file_without_any_plugin_is_answered_with_the_way_to_name_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("none.py").write_text("this is no python")
    with pytest.raises(UsageError, match=r"none\.py is a file: name what is in it, none\.py:NAME"):
        select("explainers", "none.py")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("films", 'films is a folder: --tasks "folder(path=films)"'),
        ("my films", "my films is a folder: --tasks 'folder(path=\"my films\")'"),
    ],
)
def test_a_folder_in_the_place_of_a_task_is_answered_with_the_task_that_reads_it(tmp_path, monkeypatch, name, told):
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    with pytest.raises(UsageError) as caught:
        select("tasks", name)
    assert str(caught.value) == told
    with pytest.raises(UsageError, match="there is no explainer"):
        select("explainers", name)


# ------------------------------------------------------------ parameters


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("sample=7", r"(?s)no parameter sample; did you mean samples\?.*samples, alpha, mode, path, verbose, box"),
        ("samples=many", "parameter samples is 'many', but must be int"),
        ("samples=1.5", "parameter samples is 1.5, but must be int"),
        ("samples=true", "parameter samples is True, but must be int"),
        ("samples=none", "parameter samples is None, but must be int"),
        ("alpha=x", "parameter alpha is 'x', but must be float"),
        ("verbose=1", "parameter verbose is 1, but must be bool"),
        ("path=7", r'path is 7, but must be str \| None; to pass it as text, put it in quotes: path="7"'),
        ("mode=medium", "parameter mode is 'medium', but must be .*fast.*slow"),
        ("samples=-1", r"refuses Mine\(samples=-1\): samples must be positive"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(mine, params, message):
    with pytest.raises(UsageError, match=message):
        create("explainers", f"{mine}:Mine({params})")


def test_parameters_arrive_with_the_types_of_the_signature(mine):
    params = create("explainers", f"{mine}:Mine(alpha=2, path=none, mode=slow, verbose=true)").params
    assert params == {"samples": 5, "alpha": 2.0, "mode": "slow", "path": None, "verbose": True}
    assert type(params["alpha"]) is float


def test_a_missing_parameter_is_asked_for(mine):
    with pytest.raises(UsageError, match=r"needs a value for layer: name\(layer=...\)"):
        create("explainers", f"{mine}:needy")


# ------------------------------------------------------------ broken


def test_a_plugin_that_raises_at_import_is_broken_with_its_cause_and_place(installed):
    site = installed("raises")
    with pytest.raises(BrokenPlugin) as caught:
        create("explainers", "raiser")
    assert "raises-at-import 0.3" in str(caught.value)
    assert "RuntimeError: vendorlib 9 is needed, but 3 is installed" in str(caught.value)
    assert f"{site / 'raises_at_import.py'}:3" in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("group", "attribute", "message"),
    [
        ("explainers", "Exits", "fails while it is made: SystemExit: 3"),
        ("explainers", "Bare", "has no `card`; see xaibench.contracts.ExplainerCard"),
        ("explainers", "HalfCard", "lacks `explain`, `card.summary`, `card.family`"),
        ("metrics", "Mine", "lacks `score`, `card.higher_is_better`"),
        ("explainers", "Infinite", "card.limit is inf"),
    ],
)
def test_a_plugin_of_the_wrong_shape_is_broken(mine, group, attribute, message):
    with pytest.raises(BrokenPlugin, match=message):
        create(group, f"{mine}:{attribute}")


def test_what_a_plugin_prints_while_it_loads_is_kept_off_stdout(installed, capsys):
    installed("crashes")
    create("explainers", "a-well")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "talks while it is imported" in printed.err


# ------------------------------------------------------------ selection


def references(rows):
    return [row.reference for row in rows]


def test_broken_plugins_are_rows_where_nobody_asked_for_them_by_name(installed, monkeypatch):
    installed("good", "raises", "nowhere")
    rows = {row.reference: row for row in select("explainers", "*corner*, raise*, no-*")}
    assert isinstance(rows.pop("corner(corner=top-left, passes=8, share=0.25)"), Loaded)
    assert set(rows) == {"raiser", "no-attribute", "no-colon", "no-module"}
    assert all(isinstance(row, Broken) for row in rows.values())
    assert rows["raiser"].error == "RuntimeError: vendorlib 9 is needed, but 3 is installed"
    assert "raises_at_import.py" in rows["raiser"].traceback
    assert rows["no-module"].error.startswith("ModuleNotFoundError: No module named 'points_nowhere.missing'")
    assert "has no attribute 'Missing'" in rows["no-attribute"].error


def test_a_broken_plugin_that_was_asked_for_by_name_stops_the_selection(installed):
    installed("good", "raises")
    with pytest.raises(BrokenPlugin, match="vendorlib 9"):
        select("explainers", "corner,raiser")


def test_namesakes_are_both_taken_by_a_pattern(installed):
    installed("good", "namesake")
    rows = select("explainers", "corner*")
    assert references(rows) == [
        "corner-explainer:corner(corner=top-left, passes=8, share=0.25)",
        "Corner_Namesake:corner",
    ]


def test_all_is_every_plugin_of_the_kind_but_for_what_must_be_told_where_its_files_are(installed, monkeypatch):
    installed("good")
    expected = {plugin.name for plugin in plugins("explainers")} - {"maps"}
    assert {row.name for row in select("explainers", "all")} == expected
    assert "corner" in expected


def test_default_is_every_plugin_whose_card_does_not_decline():
    everything = {row.name for row in select("metrics", "all")}
    chosen = select("metrics", "default")
    assert {row.name for row in chosen} == {row.name for row in select("metrics", "all") if row.card["default"]}
    assert {"iou", "seconds"} <= {row.name for row in chosen} <= everything


def test_what_is_dear_is_no_default_of_a_quick_run(mine):
    reference = f"{mine}:Mine"
    assert not create("explainers", reference).card["dear"]
    assert is_default({"default": True, "dear": True}, "standard")
    assert not is_default({"default": True, "dear": True}, "quick")
    assert not is_default({"default": False, "dear": False}, "standard")
    assert is_default({"default": True, "dear": False}, "quick")


def test_what_is_named_twice_is_taken_once_and_in_the_order_of_naming(installed):
    installed("good", "crashes")
    rows = select("explainers", "corner(share=0.5), c-well, corn*, corner, corner(share=0.5)")
    assert [(row.name, row.params.get("share")) for row in rows] == [
        ("corner", 0.5),
        ("c-well", None),
        ("corner", 0.25),
    ]


def test_an_empty_list_selects_nothing():
    assert select("explainers", " ") == []


def test_a_pattern_without_a_match_is_refused():
    with pytest.raises(UsageError, match="no explainer 'zzz\\*'"):
        select("explainers", "zzz*")


# ------------------------------------------------------------ source


def test_an_edited_file_is_run_anew_and_has_another_digest(mine):
    before = create("explainers", f"{mine}:Mine")
    assert create("explainers", f"{mine}:Mine").source == before.source
    mine.write_text(MINE.replace("samples: int = 5", "samples: int = 6"))
    after = create("explainers", f"{mine}:Mine")
    assert (before.params["samples"], after.params["samples"]) == (5, 6)
    assert before.source
    assert after.source != before.source


@pytest.mark.parametrize("attribute", ["Mine", "instance", "needy", "partial"])
@pytest.mark.parametrize("edited", ["mine.py", "reexports.py"])
def test_editing_either_the_definition_or_what_names_it_changes_the_digest(mine, monkeypatch, attribute, edited):
    (mine.parent / "reexports.py").write_text(
        "from functools import partial as p\nfrom mine import Mine, instance, needy\npartial = p(Mine, samples=3)\n"
    )
    monkeypatch.syspath_prepend(mine.parent)
    given = "(layer=a)" if attribute == "needy" else ""
    before = create("explainers", f"reexports:{attribute}{given}").source
    (mine.parent / edited).write_text((mine.parent / edited).read_text() + "# edited\n")
    after = create("explainers", f"reexports:{attribute}{given}").source
    assert (after != before) is (attribute != "partial" or edited == "reexports.py")


def test_what_is_built_in_has_a_version_instead_of_a_digest():
    assert create("engines", "local").source == ""


def test_what_follows_the_name_and_a_colon_is_the_first_parameter():
    with pytest.raises(DataError, match="/nowhere at all"):
        create("tasks", "folder:/nowhere at all(size=64)")


def test_what_follows_an_at_sign_is_the_checkpoint(installed, tmp_path):
    file = tmp_path / "a:b@c.safetensors"
    with pytest.raises(UsageError, match="checkpoint"):
        create("metrics", f"iou@{file}")  # a metric has none
    installed("good")
    assert spelled_out("models", parse(f"resnet50@{file}")) == Reference("resnet50", {"checkpoint": str(file)})


def test_a_network_of_a_zoo_has_a_name_and_a_checkpoint():
    assert spelled_out("models", parse("torchvision:densenet121@a:b@c.pt(classes=2)")) == Reference(
        "torchvision", {"name": "densenet121", "checkpoint": "a:b@c.pt", "classes": 2}
    )
    assert spelled_out("tasks", parse("folder:a@b")).params == {"path": "a@b"}  # a task has no checkpoint


def test_a_short_form_yields_to_a_distribution_and_refuses_what_is_given_twice(installed):
    installed("good")
    assert create("explainers", "corner-explainer:corner").name == "corner"
    with pytest.raises(UsageError, match="size is given twice"):
        create("tasks", "phantom:96(size=64)")
    with pytest.raises(UsageError, match="takes no parameters"):
        create("metrics", "iou-matched:3")
