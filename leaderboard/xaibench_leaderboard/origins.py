"""On which weights and data a score rests: the key of the predictions it belongs to, as the records of runs tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xaibench.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from xaibench.contracts import Results

SUBJECT = ("task", "fold", "model", "precision")


@dataclass(frozen=True)
class Origins:
    """Where scores come from. Empty for results that are in no folder."""

    subjects: Mapping[str, str] = field(default_factory=dict)  # key of a score -> key of the predictions
    newest: Mapping[tuple[str, ...], str] = field(default_factory=dict)  # labels -> key of the newest predictions

    def stale(self, results: Results) -> set[str]:
        """Keys of the scores that rest on other predictions than those of the newest run."""
        return {
            result.key
            for result in results.scores
            if result.key in self.subjects and self.subjects[result.key] != self.newest[_subject(result.labels)]
        }


def origins_of(results: Results) -> Origins:
    """Read the runs of a results folder."""
    return _origins(Store(results.folder).runs()) if results.folder else Origins()


def _origins(runs: Iterable[Mapping[str, Any]]) -> Origins:
    subjects: dict[str, str] = {}
    newest: dict[tuple[str, ...], str] = {}
    for run in runs:
        own = {_subject(row["labels"]): row["key"] for row in run["subjects"]}
        newest |= own
        subjects |= {
            row["key"]: own[_subject(row["labels"])]
            for row in run["cells"]
            if row["kind"] == "score" and _subject(row["labels"]) in own
        }
    return Origins(subjects, newest)


def _subject(labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in SUBJECT)
