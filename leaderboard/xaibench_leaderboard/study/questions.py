"""What a radiologist and a reviewer ask, answered from the runs of all studies by the intervals of their figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from xaibench.files import write_json
from xaibench_leaderboard.study.asking import ANSWERS
from xaibench_leaderboard.study.comparison import limits, versions
from xaibench_leaderboard.study.opening import ARCHIVE, shown_of
from xaibench_leaderboard.study.plan import find, names, reduced
from xaibench_leaderboard.study.running import done

if TYPE_CHECKING:
    from pathlib import Path

    from xaibench_leaderboard.study.answering import Answer
    from xaibench_leaderboard.study.plan import Study
    from xaibench_leaderboard.study.sources import Done

COMMAND = "xaibench reproduce --questions --docs docs/results"
INTRODUCTION = (
    "Heatmaps are drawn over mammograms in hundreds of papers, and are mostly judged by eye. Here published claims "
    "about them are measured again. Each answer is a reading of an interval: 95 %, over patients, by a BCa bootstrap. "
    "Where an interval holds zero, the answer is that the data do not tell."
)


@dataclass(frozen=True)
class Found:
    """What there is of the studies."""

    studies: dict[str, Study] = field(default_factory=dict)
    done: dict[str, dict[str, Done]] = field(default_factory=dict)


def collect(out: Path, seed: int, docs: Path | None = None) -> Found:
    """Of each study the full form if it has been run, else the quick one; and the board that was published."""
    found = Found()
    if docs is not None and (docs / ARCHIVE).is_file():
        found.done["board"] = {"board": shown_of(docs / ARCHIVE).done}
    for name in names():
        study = find(name)
        forms = [(study, out / name)] + ([(reduced(study), out / f"{name}-quick")] if study.quick else [])
        for form, folder in forms:
            parts = done(form, folder, seed) if folder.is_dir() else {}
            if any(part.predictions("") for part in parts.values()):
                found.studies[name], found.done[name] = form, parts
                break
    return found


def answers(found: Found) -> list[Answer]:
    """Everything that can be answered from what was run."""
    return [answer(found.done) for answer in ANSWERS]


def page(found: Found, told: list[Answer], docs: Path | None = None) -> str:
    """The page."""
    parts = ["# What the heatmaps are worth", INTRODUCTION, f"Made by `{COMMAND}` from the studies below."]
    parts += [_study(found, name, docs) for name in found.studies]
    for answer in told:
        parts += [
            f"## {answer.question}",
            answer.reading,
            answer.grid(),
            f"*{answer.caption}*" if answer.caption else "",
        ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _study(found: Found, name: str, docs: Path | None) -> str:
    study = found.studies[name]
    results = [one for part in found.done[name].values() for one in part.results]
    told = ". ".join(filter(None, [versions(results), *limits(study)]))
    published = docs is not None and (docs / name / "index.md").is_file()
    return f"- {f'[{study.title}]({name}/index.md)' if published else study.title}. {told}."


def write_page(docs: Path, out: Path, seed: int) -> Path:
    """The page and its figures for machines."""
    found = collect(out, seed, docs)
    told = answers(found)
    write_json(docs / "questions.json", {"command": COMMAND, "answers": [asdict(one) for one in told]})
    (docs / "index.md").write_text(page(found, told, docs), encoding="utf-8")
    return docs / "index.md"
