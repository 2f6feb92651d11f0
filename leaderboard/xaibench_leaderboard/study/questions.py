"""What a radiologist and a reviewer ask, answered from the runs of all studies by the intervals of their figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from xaibench.files import write_json
from xaibench_leaderboard.study.asking import ANSWERS
from xaibench_leaderboard.study.comparison import limits, versions
from xaibench_leaderboard.study.opening import ARCHIVE, shown_of
from xaibench_leaderboard.study.plan import find, names, reduced, whole
from xaibench_leaderboard.study.running import command_of, done
from xaibench_leaderboard.study.taking import take_up

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from xaibench_leaderboard.study.answering import Answer, Grid
    from xaibench_leaderboard.study.plan import Study
    from xaibench_leaderboard.study.sources import Done

COMMAND = "xaibench reproduce --questions --docs docs/results"
INTRODUCTION = (
    "Heatmaps are drawn over mammograms in hundreds of papers, and are mostly judged by eye. Here published claims "
    "about them are measured again. Each answer begins with its finding, which is a reading of intervals: where the "
    "interval of a difference holds zero, the data do not tell. Where a sentence counts explainers above and below a "
    "floor, all of them are tested together; else no interval is corrected for how many there are: of those of "
    "differences that are nothing, one in twenty excludes zero by chance. Fewer than 20 patients give hints."
)
WORDS = """How to read the tables:

- **A network** is trained on some women and tested on others. Its **balanced accuracy** is the mean over the classes \
of how many of their images it names rightly; a guess among three classes gets 0.333. The **area under the ROC curve** \
is how often it ranks an image of a class above one of another; a coin gets 0.5.
- **Heatmaps** are of the class that the network names, right or wrong; the tables of each study say how often it is \
right on images with lesions.
- **Overlap** (`iou-matched`): of each heatmap as many of its brightest pixels are kept as the lesion has, and \
compared with the lesion; 1 is the lesion exactly, 0 not a pixel of it. `iou` keeps all above half of the maximum.
- **Pointing game** (`pointing-game`): how often the brightest pixel of all lies on the lesion.
- **Energy** (`energy`): the share of the map's sum that lies on the lesion.
- **Stability** (`stability`): how alike the maps are if an explanation is made five times; 1 is the same each time.
- **Deletion and insertion**: how fast the network changes its mind as pixels go or come, most important first.
- **The audit** puts each measure to the test on the same films: it must rank the lesions themselves above the same \
under ever more noise, and those above noise. What a measure says that fails is shown, and not read.
- **Brackets** hold the 95 % interval over patients, for the networks that were trained. How far another training \
would be from them is not in it: where there are several, their range stands beside it; most are single.
- **Floors** are maps that never look at the network, such as a blob in the centre of the image. An explainer that is \
not above them has not been shown to find lesions. **Ceilings** (`roi`) are the lesions themselves, also as coarse as \
a heatmap can be (`roi-grid`) and under noise (`roi-degraded`)."""
INTERVALS = "Brackets hold the 95 % interval over patients (BCa bootstrap, 1000 draws, Student's level)"
BOARD_LIMITS = "The default run, whose networks are those of `xaibench run`"


@dataclass(frozen=True)
class Found:
    """What there is of the studies."""

    studies: dict[str, Study] = field(default_factory=dict)
    done: dict[str, dict[str, Done]] = field(default_factory=dict)


def collect(out: Path, seed: int, docs: Path | None = None) -> Found:
    """Of each study the form of which more has been run, full or quick; and the board that was published."""
    found = Found()
    if docs is not None and (docs / ARCHIVE).is_file():
        found.done["board"] = {"board": shown_of(docs / ARCHIVE).done}
    for name in names():
        study = find(name)
        forms = [(whole(study), out / name)] + ([(reduced(study), out / f"{name}-quick")] if study.quick else [])
        if docs is not None:
            for form, folder in forms:
                take_up(form, command_of(form, name, seed), docs / name, folder, seed)
        ready = [(form, done(form, folder, seed)) for form, folder in forms if folder.is_dir()]
        form, parts = max(ready, key=lambda one: _begun(one[1]), default=(study, {}))
        if _begun(parts):
            found.studies[name], found.done[name] = form, parts
    return found


def _begun(parts: Mapping[str, Done]) -> int:
    """How many parts have anything."""
    return sum(bool(part.predictions("")) for part in parts.values())


def answers(found: Found) -> list[Answer]:
    """Everything that can be answered from what was run."""
    return [answer(found.done) for answer in ANSWERS]


def page(found: Found, told: list[Answer], docs: Path | None = None) -> str:
    """The page."""
    parts = ["# What the heatmaps are worth", INTRODUCTION, _studies(found, docs), WORDS]
    for answer in told:
        parts += [f"## {answer.question}", answer.reading]
        parts += [grid.shown(_caption(found, grid)) for grid in answer.grids]
    return "\n\n".join(filter(None, parts)) + "\n"


def _caption(found: Found, grid: Grid) -> str:
    """Beside what is particular to a table: interval, versions, and the limits of the runs."""
    results = [one for study, part in grid.sources for one in found.done[study][part].results]
    parts = {name: [part for study, part in grid.sources if study == name] for name in _named(grid) if name != "board"}
    cut = [f"{name}: {' '.join(limits(found.studies[name], some)) or 'whole'}" for name, some in parts.items()]
    cut += [BOARD_LIMITS] if "board" in _named(grid) else []
    return ". ".join(filter(None, [grid.note, INTERVALS, versions(results), *cut])) + "."


def _named(grid: Grid) -> list[str]:
    return list(dict.fromkeys(study for study, _ in grid.sources))


def _studies(found: Found, docs: Path | None) -> str:
    links = [_link(found, name, docs) for name in found.studies]
    made = f"Made by `{COMMAND}`"
    return (
        f"{made} from these studies, each with its tables and the command that repeats it: {'; '.join(links)}."
        if (links)
        else f"{made}; no study has been run."
    )


def _link(found: Found, name: str, docs: Path | None) -> str:
    title = found.studies[name].title
    return f"[{title}]({name}/index.md)" if docs is not None and (docs / name / "index.md").is_file() else title


def write_page(docs: Path, out: Path, seed: int) -> Path:
    """The page and its figures for machines."""
    found = collect(out, seed, docs)
    told = answers(found)
    write_json(docs / "questions.json", {"command": COMMAND, "answers": [_plain(found, one) for one in told]})
    (docs / "index.md").write_text(page(found, told, docs), encoding="utf-8")
    return docs / "index.md"


def _plain(found: Found, answer: Answer) -> dict[str, Any]:
    """An answer for machines, with the captions of its tables."""
    return {**asdict(answer), "captions": [_caption(found, grid) for grid in answer.grids]}
