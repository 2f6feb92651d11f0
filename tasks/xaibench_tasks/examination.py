"""`xaibench data check`: look at files, try the task on them, compare counts, search for leaks; and say it all."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xaibench.errors import BrokenPlugin, UsageError, XaibenchError
from xaibench.loading import fetch
from xaibench.references import Reference, parse
from xaibench.registry import create, resolve
from xaibench_tasks.checking import Finding, Report
from xaibench_tasks.dataset import Dataset
from xaibench_tasks.sources import open_source, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from xaibench_tasks.checking import Inspect, Level

SHOWN = 30  # findings of one level in the text; JSON has them all
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


def examine(text: str, path: str) -> Report:
    """Everything that can be said of TASK at PATH. Never raises for what is wrong with the data."""
    reference = parse(text)
    module = module_of(reference)
    inspect = _inspector(module, reference.target)
    path = str(place_of(getattr(module, "HOME", reference.target), path))
    try:
        report = inspect(open_source(path))
    except XaibenchError as error:
        return Report(reference.target, findings=(Finding("error", path, str(error).removeprefix(f"{path} ")),))
    if report.level("error"):
        return report
    return replace(report, findings=(*report.findings, *_tried(reference, path)))


def module_of(reference: Reference) -> ModuleType:
    """The module that makes the task."""
    return sys.modules[fetch(resolve("tasks", reference.target)).__module__]


def _inspector(module: ModuleType, task: str) -> Inspect:
    inspect = getattr(module, "inspect", None)
    if inspect is None:
        raise UsageError(f"{task} has no files to check: it is drawn, or its module offers no `inspect`")
    found: Inspect = inspect
    return found


def _tried(reference: Reference, path: str) -> Iterator[Finding]:
    """Make the task, and say how it splits and what leaks."""
    given = Reference(reference.target, {**reference.params, "path": path})
    try:
        task: Any = create("tasks", str(given)).plugin
    except BrokenPlugin:
        raise
    except XaibenchError as error:
        yield Finding("error", path, str(error))
        return
    for fold in range(task.folds):
        yield Finding("note", f"fold {fold}", "; ".join(_sizes(task, fold)))
    if isinstance(task, Dataset):
        yield from task.remarks()
        yield from (Finding("warning", name, f"left out: {why}") for name, why in task.skipped.items())
        yield from task.leaks()


def _sizes(task: Any, fold: int) -> Iterator[str]:
    for split in ("train", "val", "test"):
        entries = task.entries(split, fold)
        labels = Counter(entry.label for entry in entries)
        classes = ", ".join(f"{labels[label]} {name}" for label, name in enumerate(task.classes))
        yield f"{split} {len(entries)} ({classes})"


def as_text(report: Report) -> str:
    """A table of counts, then the findings, worst first."""
    lines = [*_table(report)]
    for level in LEVELS:
        found = report.level(level)
        lines += [f"{level:8} {finding.where}: {finding.what}" for finding in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"{level:8} ... and {len(found) - SHOWN} more; --json has them all")
    return "\n".join([*lines, _verdict(report)])


def _table(report: Report) -> Iterator[str]:
    if not report.found:
        return
    width = max(map(len, (*report.found, *report.published)))
    yield f"{report.task:{width}}  {'found':>9}  {'published':>9}"
    for name in dict.fromkeys((*report.found, *report.published)):
        found, wanted = report.found.get(name, 0), report.published.get(name)
        mark = "" if wanted is None or wanted == found else "  differs"
        yield f"{name:{width}}  {found:>9}  {'' if wanted is None else wanted:>9}{mark}"


def _verdict(report: Report) -> str:
    numbers = {level: len(report.level(level)) for level in LEVELS}
    counts = ", ".join(f"{number} {level}{'' if number == 1 else 's'}" for level, number in numbers.items())
    usable = "cannot be used as it is" if report.level("error") else "can be used"
    return f"{report.task} {usable}: {counts}, {len(report.deviations())} of {len(report.published)} counts differ"
