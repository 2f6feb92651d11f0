"""`xaibench check`: does a plugin keep the promises of its kind?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from xaibench.cli.listing import group_of
from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.testing.examination import Examination
    from xaibench.testing.verdicts import Verdict

DECLARED = "declared with --expect-fail"


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="REFERENCE...")
@click.option("--kind", default="", help="explainer, model, metric or task, where the plugin does not tell by itself.")
@click.option("--expect-fail", multiple=True, metavar="CHECK", help="A check known to fail. One that passes is told.")
@click.option("--only", multiple=True, metavar="CHECK", help="Try this check (and those it rests on) alone.")
@click.option("--skip", multiple=True, metavar="CHECK", help="Leave this check out.")
@click.option("--profile", default="quick", show_default=True, help="Which defaults of the card to try it with.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
@click.pass_context
def check(
    context: click.Context,
    references: tuple[str, ...],
    kind: str,
    expect_fail: tuple[str, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    profile: str,
    as_json: bool,
) -> None:
    """Try the promises that a plugin makes, one by one, on toy networks and planted images.

    REFERENCE is a name, name(parameter=value), module:factory or file.py:Class. Ends with exit code 1 if a promise is
    broken, if one declared as broken is kept, or if nothing could be tried.
    """
    examinations = [
        examination_of(reference, kind, dict.fromkeys(expect_fail, DECLARED), only, skip, profile)
        for reference in references
    ]
    answers = [answer_of(one, show=not as_json) for one in examinations]
    if as_json:
        click.echo(json.dumps(answers, indent=1))
    context.exit(0 if all(answer["ok"] for answer in answers) else 1)


def examination_of(
    reference: str,
    kind: str,
    expect_fail: dict[str, str],
    only: Sequence[str],
    skip: Sequence[str],
    profile: str,
) -> Examination:
    """The checks of one plugin, which must be one that can be made."""
    # torch and the toy networks would slow down `xaibench --help`, which imports every verb of the core.
    from xaibench.testing.checks import KINDS
    from xaibench.testing.examination import Examination, refused
    from xaibench.testing.subjects import named

    group = group_of(kind) if kind else ""
    if group and group not in KINDS:
        raise UsageError(f"there are no checks for {group}; there are for {', '.join(KINDS)}")
    subject = named(reference, group, profile)
    if error := refused(subject):
        raise error
    return Examination(subject, expect_fail, only, skip)


def answer_of(examination: Examination, *, show: bool) -> dict[str, Any]:
    """All verdicts on one plugin as plain values, shown while they come."""
    kind, label = examination.subject.kind.removesuffix("s"), examination.subject.label
    if show:
        click.echo(f"{kind} {label}")
    width = max(map(len, examination.names), default=0)
    verdicts = []
    for name in examination.names:
        announce(name)
        verdicts.append(examination.verdict(name))
        if show:
            click.echo(line_of(verdicts[-1], width))
    announce("")
    ran = sum(verdict.ran for verdict in verdicts)
    ok = ran > 0 and all(verdict.good for verdict in verdicts)
    if show:
        click.echo(summary_of(verdicts, ran))
    return {
        "kind": kind,
        "reference": label,
        "ok": ok,
        "ran": ran,
        "checks": [{**asdict(verdict), "seconds": round(verdict.seconds, 3)} for verdict in verdicts],
    }


def announce(name: str) -> None:
    """On a terminal, say which check is under way: some take seconds."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{f'  trying {name} ...' if name else ''}", nl=False, err=True)
        click.echo("\r\033[K" if not name else "\r", nl=False, err=True)


def line_of(verdict: Verdict, width: int) -> str:
    """One check, and below it why it did not simply pass."""
    promise = verdict.promise.replace("`", "")
    line = f"  {verdict.status:8}  {verdict.name:{width}}  {promise}"
    return f"{line}\n{'':12}{'':{width}}  -> {verdict.reason}" if verdict.reason else line


def summary_of(verdicts: Sequence[Verdict], ran: int) -> str:
    """How many of each."""
    if not ran:
        return "0 checks ran: nothing is known of this plugin"
    found = [verdict.status for verdict in verdicts]
    words = {
        "passed": "passed",
        "failed": "failed",
        "expected": "failed as declared",
        "surprise": "passed though declared to fail",
        "skipped": "skipped",
    }
    return ", ".join(f"{found.count(status)} {text}" for status, text in words.items() if status in found)
