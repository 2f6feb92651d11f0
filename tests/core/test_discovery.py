import os
import sys

import pytest

from xaibench import discovery
from xaibench.discovery import Plugin, discover, look


def found(group="explainers"):
    return {(plugin.distribution, plugin.name) for plugin in discover() if plugin.group == group}


def plugin(value):
    return Plugin("explainers", "thing", value, "dist", "1")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that must not be imported, with a part that documents its names."""
    folder = tmp_path / "lookedat"
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "deep" / "__init__.py").write_text("from ..part import Documented as Renamed\nfrom . import part\n")
    (folder / "part.py").write_text(
        "import os\n"
        "if os:\n"
        "    class Conditional:\n"
        "        '''Under a condition.'''\n"
        "@dec(\n    1)\n"
        "class Documented(Base, metaclass=Meta(\n        a=':')):\n"
        "    # a comment\n"
        "    '''The first line.\n\n    The second.\n    '''\n"
        "class Silent:\n    card = 1\n"
        "def make(a=(1,\n  2)):\n    r'''Makes \\d one.'''\n"
        "made = Documented()\n"
        "table = {'x': Conditional}\n"
    )
    (folder / "open.py").write_text("from elsewhere import *\n")
    (folder / "dynamic.py").write_text("def __getattr__(name):\n    return 1\n")
    (folder / "torn.py").write_text("def (\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_our_own_plugins_are_found_as_any_others():
    ours = [plugin for plugin in discover() if plugin.builtin]
    assert {plugin.distribution for plugin in ours} == {"xaibench"}
    assert ("xaibench", "gradcam") in found()
    assert all(plugin.version and plugin.module and plugin.attribute for plugin in ours)


def test_a_strangers_plugin_is_found_with_its_distribution_and_version(installed):
    installed("good")
    (corner,) = [plugin for plugin in discover() if plugin.name == "corner"]
    expected = Plugin("explainers", "corner", "corner_explainer:Corner", "corner-explainer", "1.2", builtin=False)
    assert corner == expected
    assert "corner_explainer" not in sys.modules


def test_a_distribution_on_two_places_of_the_path_counts_once_and_the_first_wins(installed, tmp_path, monkeypatch):
    site = installed("good")
    other = tmp_path / "other" / "corner_explainer-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Name: Corner.Explainer\nVersion: 9.9\n")
    (other / "entry_points.txt").write_text("[xaibench.explainers]\ncorner = elsewhere:Corner\n")
    monkeypatch.syspath_prepend(other.parent)
    monkeypatch.syspath_prepend(site)
    assert [plugin.version for plugin in discover() if plugin.name == "corner"] == ["1.2"]


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, {"corner-explainer", "Corner_Namesake"}),
        ("", set()),
        ("corner-explainer", {"corner-explainer"}),
        ("corner_explainer, CORNER.namesake", {"corner-explainer", "Corner_Namesake"}),
        ("unheard-of", set()),
    ],
)
def test_the_allow_list_lets_in_what_it_names_and_what_is_built_in(installed, monkeypatch, allowed, names):
    installed("good", "namesake")
    if allowed is not None:
        monkeypatch.setenv("XAIBENCH_PLUGINS", allowed)
    assert {distribution for distribution, _ in found()} == names | {"xaibench"}


def test_damaged_metadata_become_plugins_that_point_nowhere(tmp_path, monkeypatch):
    info = tmp_path / "damaged-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_bytes(
        b"\xff\xfe[xaibench.models]\n[xaibench.explainers]\n# comment\nnovalue\nextra = m:a [torch]\n"
        b"[console_scripts]\ntool = x:y\n[xaibench.unheard]\nz = z:z\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    damaged = [plugin for plugin in discover() if plugin.distribution == "unknown"]
    assert [(plugin.name, plugin.value) for plugin in damaged] == [("extra", "m:a"), ("novalue", "")]
    assert look(damaged[1]).problem == "points nowhere: '' is not module:attribute"


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        ("lookedat.part:Documented", "The first line."),
        ("lookedat.part:Conditional", "Under a condition."),
        ("lookedat.part:Silent", ""),
        ("lookedat.part:make", r"Makes \d one."),
        ("lookedat.part:made", ""),
        ("lookedat.deep:Renamed", "The first line."),
        ("lookedat.part:Documented.nested", ""),
        ("lookedat.open:Anything", ""),
        ("lookedat.dynamic:Anything", ""),
        ("lookedat.torn:Anything", ""),
    ],
)
def test_a_summary_is_read_without_importing(package, value, summary):
    assert look(plugin(value)) == discovery.Look(summary=summary)
    assert "lookedat" not in sys.modules


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("lookedat.part:Absent", "part.py does not define Absent"),
        ("lookedat.part:dec", "part.py does not define dec"),
        ("lookedat.absent:Thing", "there is no module lookedat.absent"),
        ("absent_altogether.part:Thing", "there is no module absent_altogether.part"),
        ("lookedat.part", "'lookedat.part' is not module:attribute"),
        (":Thing", "':Thing' is not module:attribute"),
    ],
)
def test_what_points_nowhere_is_told_without_importing(package, value, problem):
    seen = look(plugin(value))
    assert seen.problem.startswith("points nowhere: ")
    assert seen.problem.endswith(problem)
    assert "lookedat" not in sys.modules


def test_an_edited_file_is_looked_at_anew(package):
    look(plugin("lookedat.part:Documented"))
    (package / "part.py").write_text("class Documented:\n    '''Edited.'''\n")
    os.utime(package / "part.py", ns=(1, 1))
    assert look(plugin("lookedat.part:Documented")).summary == "Edited."
