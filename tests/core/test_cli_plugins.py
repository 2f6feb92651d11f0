"""The listing verbs, run as a user runs them, with strangers' distributions installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def listed(command, *arguments, **environment):
    """`xaibench list --json`: reference -> row."""
    done = command("list", "--json", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return {row["reference"]: row for row in json.loads(done.stdout)}


# ------------------------------------------------------------ list


def test_list_shows_broken_and_colliding_plugins_plainly(installed, command):
    installed("good", "namesake", "raises", "nowhere")
    rows = listed(command, "explainers")
    assert rows["gradcam"]["status"] == "ok"
    assert rows["raiser"]["status"] == "broken"
    assert rows["raiser"]["reason"] == "RuntimeError: vendorlib 9 is needed, but 3 is installed"
    assert rows["no-module"]["status"] == rows["no-attribute"]["status"] == rows["no-colon"]["status"] == "broken"
    assert "No module named 'points_nowhere.missing'" in rows["no-module"]["reason"]
    assert "has no attribute 'Missing'" in rows["no-attribute"]["reason"]
    for reference in ("corner-explainer:corner", "Corner_Namesake:corner"):
        assert rows[reference]["status"] == "collides"
        assert rows[reference]["reason"] == f"2 distributions bring this name: call it {reference}"


def test_the_listing_for_people_says_the_same(installed, command):
    installed("good", "raises")
    lines = command("list", "explainer").stdout.splitlines()
    (corner,) = [line for line in lines if line.strip().startswith("corner ")]
    assert corner.split(maxsplit=3)[1:] == [
        "corner-explainer",
        "1.2",
        "One corner of the image is the answer to everything.",
    ]
    (raiser,) = [number for number, line in enumerate(lines) if line.strip().startswith("raiser ")]
    assert lines[raiser + 1].strip() == "broken: RuntimeError: vendorlib 9 is needed, but 3 is installed"


def test_a_summary_comes_from_the_source_or_else_from_the_card(installed, command):
    installed("good", "namesake")
    rows = listed(command, "explainers")
    assert rows["corner-explainer:corner"]["summary"] == "One corner of the image is the answer to everything."
    assert rows["Corner_Namesake:corner"]["summary"] == "Make it by a function."


@pytest.mark.parametrize(("allowed", "shown"), [("", False), ("corner-explainer", True), ("another", False)])
def test_the_allow_list_decides_which_strangers_are_listed(installed, command, allowed, shown):
    installed("good")
    assert ("corner" in listed(command, XAIBENCH_PLUGINS=allowed)) is shown


def test_only_the_kinds_asked_for_are_listed_and_each_kind_has_two_names(command):
    kinds = [row["kind"] for row in listed(command, "engine", "metrics", "engines").values()]
    assert list(dict.fromkeys(kinds)) == ["engines", "metrics"]
    assert {row["kind"] for row in listed(command).values()} > {"models", "explainers", "tasks", "commands", "reports"}


def test_an_unknown_kind_is_a_usage_error_with_a_hint(command):
    done = command("list", "explaners")
    assert done.returncode == 2
    assert "did you mean explainers?" in done.stderr
    assert done.stdout == ""


def test_strangers_are_tried_once_until_something_changes(installed, command, tmp_path):
    counter, site = tmp_path / "count", installed("counts")
    listing = {"COUNTS_IMPORTS": str(counter)}

    def imports():
        assert listed(command, "reports", **listing)["counter"]["status"] == "ok"
        return len(counter.read_text().splitlines())

    assert [imports(), imports()] == [1, 1]
    (site / "counts_imports.py").write_text((site / "counts_imports.py").read_text() + "\n# edited\n")
    assert [imports(), imports()] == [2, 2]
    (site / "vendorlib-9.dist-info").mkdir()
    assert [imports(), imports()] == [3, 3]
    command("plugins", "doctor", "reports", **listing)
    assert imports() == 4


def test_a_cache_that_cannot_be_written_costs_time_but_not_the_answer(installed, command, tmp_path):
    installed("good")
    (tmp_path / "blocked").write_text("a file where a folder should be")
    assert listed(command, XAIBENCH_CACHE=str(tmp_path / "blocked"))["corner"]["status"] == "ok"


def test_no_process_is_started_where_no_stranger_is(command, tmp_path):
    listed(command)
    assert not (tmp_path / "cache").exists()


# ------------------------------------------------------------ info


def test_info_shows_card_parameters_and_origin(installed, command):
    installed("good")
    answer = json.loads(command("info", "corner(share=0.5)", "--json").stdout)
    assert (answer["kind"], answer["distribution"], answer["version"]) == ("explainers", "corner-explainer", "1.2")
    assert answer["parameters"] == {"share": 0.5, "corner": "top-left", "passes": 8}
    assert answer["card"]["profiles"] == {"quick": {"passes": 2}}
    text = command("info", "explainer", "corner").stdout
    for piece in ("corner-explainer 1.2", "One corner of the image", "gradients, prior", "share   0.25", "passes=2"):
        assert piece in text


@pytest.mark.parametrize(
    ("reference", "shown", "complaint"),
    [
        ("folder", ("Images and masks of your own", "classes", "size      224"), "a folder or archive with index.csv"),
        ("external", ("Learn from the train and val images", "train_path"), "external needs two tasks"),
        ("picture(size=64)", ("classes   must be given", "size      64"), "needs a value for classes"),
    ],
)
def test_info_on_what_cannot_be_made_yet_shows_what_it_takes_and_then_complains(command, reference, shown, complaint):
    done = command("info", "task", reference)
    assert done.returncode == 2
    for piece in ("kind", "card", "parameters", *shown):
        assert piece in done.stdout
    assert complaint in done.stderr
    assert json.loads(command("info", "task", reference, "--json").stdout)["kind"] == "tasks"


def test_info_on_an_unknown_plugin_shows_nothing_but_the_complaint(command):
    done = command("info", "task", "foldr")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean folder?" in done.stderr


def test_info_on_a_broken_plugin_ends_with_4_and_the_cause(installed, command):
    installed("raises")
    done = command("info", "explainer", "raiser")
    assert done.returncode == 4
    assert done.stderr.startswith("error: explainer 'raiser' of raises-at-import 0.3")
    assert "RuntimeError: vendorlib 9 is needed, but 3 is installed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cornr"], "there is no plugin 'cornr'; did you mean corner?"),
        (["explainer", "cornr"], "there is no explainer 'cornr'; did you mean corner?"),
        (["explaner", "corner"], "there is no kind of plugin called 'explaner'; did you mean explainer?"),
        (["corner(shre=1)"], "has no parameter shre; did you mean share?"),
        (["corner("], 'expected parameter=value or ")"'),
        (["some.py:Class"], "say what kind of plugin 'some.py:Class' is"),
        (["a", "b", "c"], "expected [KIND] REFERENCE, but got 3 words"),
    ],
)
def test_a_mistake_is_a_usage_error_with_a_hint(installed, command, arguments, message):
    installed("good")
    done = command("info", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_a_name_of_two_kinds_is_asked_back(tmp_path, monkeypatch, command):
    info = tmp_path / "site" / "twice-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: twice\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[xaibench.models]\ncorner = m:a\n[xaibench.explainers]\ncorner = m:a\n")
    done = command("info", "corner", site=info.parent)
    assert done.returncode == 2
    assert "say `xaibench info model corner` or `xaibench info explainer corner`" in done.stderr


def test_info_reads_a_class_in_a_file(command, installed, tmp_path):
    site = installed("good")
    answer = json.loads(command("info", "explainer", f"{site / 'corner_explainer.py'}:Corner", "--json").stdout)
    assert (answer["name"], answer["distribution"]) == ("corner", "")
    assert answer["source"]


def test_info_on_a_command_points_to_its_origin(installed, command):
    installed("good")
    answer = json.loads(command("info", "corners", "--json").stdout)
    assert (answer["kind"], answer["distribution"]) == ("commands", "corner-explainer")
    assert answer["card"] == {"summary": "List the corners there are."}


# ------------------------------------------------------------ doctor


def test_the_doctor_shows_the_traceback_of_what_is_broken_and_ends_with_1(installed, command):
    site = installed("good", "raises")
    done = command("plugins", "doctor", "commands")
    assert done.returncode == 1
    assert f'File "{site / "raises_at_import.py"}", line 3' in done.stdout
    assert "RuntimeError: vendorlib 9 is needed, but 3 is installed" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("plugins, 1 broken")


def test_the_doctor_answers_in_json_too(installed, command):
    installed("good", "raises")
    done = command("plugins", "doctor", "command", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout) if row["distribution"] != "xaibench"}
    assert {name: row["status"] for name, row in rows.items()} == {"corners": "ok", "raise-command": "broken"}
    assert "raises_at_import.py" in rows["raise-command"]["traceback"]


def test_the_doctor_ends_with_0_where_all_is_well(command):
    done = command("plugins", "doctor", "engines")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].endswith("plugins, 0 broken")


# ------------------------------------------------------------ really, by pip


def test_a_distribution_installed_by_pip_is_found_and_works(tmp_path, command):
    source, site = Path(__file__).parents[1] / "plugin" / "good", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", str(site), str(source)], check=True, capture_output=True, timeout=120)
    row = listed(command, "explainers", site=site)["corner"]
    assert (row["distribution"], row["version"], row["status"]) == ("corner-explainer", "1.2", "ok")
    assert command("corners", site=site).stdout == "top-left\nbottom-right\n"
    assert "corner" in command("info", "corner", site=site).stdout
