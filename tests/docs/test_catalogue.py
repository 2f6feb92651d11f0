"""The pages that are written from cards: one for everything, with what a reader must know of it."""

import re
from pathlib import Path

import pytest

from xaibench.registry import plugins
from xaibench_docs import catalogue
from xaibench_docs.commands import page as commands_page
from xaibench_docs.hooks import generated, written
from xaibench_docs.plugins import GROUPS, described

DOCS = Path(__file__).parents[2] / "docs"
WRITTEN = ("metrics", "explainers")
EVERYTHING = [pytest.param(one, id=f"{one.group}-{one.name}") for group in GROUPS for one in described(group)]


def page(one):
    return catalogue.page_of(one, written(DOCS, one.page))


def fact(text, name):
    return re.search(rf"^\| {re.escape(name)} \| (.+) \|$", text, re.MULTILINE)


@pytest.mark.parametrize("group", GROUPS)
def test_everything_registered_has_a_page(group):
    ours = {plugin.name for plugin in plugins(group) if plugin.distribution == "xaibench"}
    pages = dict(generated(DOCS))
    assert ours
    assert {one.name for one in described(group)} == ours
    assert {f"{group}/{name.replace('+', '-plus')}.md" for name in ours} <= set(pages)
    assert all(f"[{name}](" in pages[f"{group}/index.md"] for name in ours)


@pytest.mark.parametrize("one", [one for one in EVERYTHING if one.values[0].group in WRITTEN])
def test_a_page_holds_definition_formula_pitfalls_range_and_citation(one):
    text = page(one)
    for heading in ("## Definition", "## Formula", "## Pitfalls", "## Parameters"):
        assert text.count(f"\n{heading}\n") == 1, f"docs/{one.page} lacks {heading}"
    definition = text.split("## Definition")[1].split("\n##")[0]
    assert len(definition.split()) >= 4
    assert all(fact(text, name) for name in ("Range", "Citation", "Version"))


@pytest.mark.parametrize("one", [one for one in EVERYTHING if one.values[0].group not in WRITTEN])
def test_the_page_of_a_model_or_task_says_what_it_is_and_whom_to_cite(one):
    text = page(one)
    assert text.startswith(f"# {one.name}\n")
    assert str(one.card["summary"]).rstrip(".")[1:] in text
    assert fact(text, "Citation")


def test_what_is_written_belongs_to_something_that_exists():
    known = {one.values[0].page for one in EVERYTHING} | {f"{group}/index.md" for group in GROUPS}
    assert {path.relative_to(DOCS).as_posix() for group in GROUPS for path in (DOCS / group).glob("*")} <= known


def test_the_facts_are_those_of_the_card():
    (mprt,) = [one for one in described("metrics") if one.name == "mprt"]
    text = page(mprt)
    assert fact(text, "Range")[1] == "-1 to 1"
    assert fact(text, "Better")[1] == "lower"
    assert fact(text, "A failed map scores")[1] == "1"
    assert fact(text, "Sanity gate")[1] == "an explainer whose mean is worse than 0.707 fails"
    assert fact(text, "Other maps it asks for")[1] == "`cascade:100`"
    assert fact(text, "Default")[1] == "yes, but not in the profile `quick`"
    assert "| `steps` | `1` | `20` |" in text
    (seconds,) = [one for one in described("metrics") if one.name == "seconds"]
    assert fact(page(seconds), "Range")[1] == "0 to no upper bound, in s"


def test_a_verdict_of_another_version_is_not_shown(monkeypatch, tmp_path):
    record = tmp_path / "audit.json"
    monkeypatch.setattr(catalogue, "AUDIT", record)
    (iou,) = [one for one in described("metrics") if one.name == "iou"]
    verdict = '{"task": "some", "verdicts": {"iou": {"version": %d, "verdict": "pass", "least": 0.987, "reason": ""}}}'
    record.write_text(verdict % iou.card["version"])
    assert fact(page(iou), "Audit")[1] == "pass on `some`, least probability of a right order 0.987"
    record.write_text(verdict % (iou.card["version"] + 1))
    assert "not recorded" in fact(page(iou), "Audit")[1]


def test_the_reference_of_the_command_line_has_every_verb_and_its_options():
    text = commands_page()
    for heading in ("## run", "## info", "## leaderboard", "## data check", "## train"):
        assert f"\n{heading}\n" in text
    assert "--limit" in text.split("## run\n")[1].split("\n## ")[0]
    assert "Traceback" not in text
