"""`xaibench explain`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xaibench.cli.completion import names_of
from xaibench.errors import DataError, NothingSelected
from xaibench.locations import folder_or_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.explaining.session import Explained, Session
    from xaibench.progress import Progress
    from xaibench_leaderboard.explaining.report import Told

BAD = {"failed", "oom"}
EPILOG = """\b
Exit codes: 0 all is well (a map that is unsupported says why), 1 a map or a film of several failed,
2 usage or no film that can be read, 3 nothing selected, 4 a plugin asked for by name is broken."""


@click.command(epilog=EPILOG)
@click.argument("films", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    required=True,
    help="A model: name, name@weights.safetensors, file.py:build.",
    shell_complete=names_of("models"),
)
@click.option(
    "--explainers",
    default="gradcam,integrated-gradients,lime",
    show_default=True,
    help="Comma list, glob, `default` or `all`.",
    shell_complete=names_of("explainers"),
)
@click.option(
    "--task",
    default="phantom",
    show_default=True,
    help="Whose classes, preprocessing and weights; \"picture(classes='a,b',size=224)\" for a network of yours.",
    shell_complete=names_of("tasks"),
)
@click.option("--fold", type=click.IntRange(0), default=0, show_default=True, help="Of the task's weights.")
@click.option("--target", default="predicted", show_default=True, help="The class to explain: predicted, or its name.")
@click.option("--mask", type=click.Path(path_type=Path), help="White where the lesion is; a folder for several films.")
@click.option(
    "--sign",
    type=click.Choice(["positive", "absolute"]),
    default="positive",
    show_default=True,
    help="What of a signed map is shown.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps or auto.")
@click.option(
    "--profile",
    type=click.Choice(["auto", "quick", "standard", "paper"]),
    default="auto",
    show_default=True,
    help="How many passes an explanation may cost; auto: quick on a CPU, standard elsewhere.",
)
@click.option(
    "--results",
    type=folder_or_url,
    default=Path("xaibench-results"),
    show_default=True,
    help="Results folder that may know how well these weights are calibrated.",
)
@click.option("--dicom", is_flag=True, help="Write each sheet as a DICOM secondary capture too.")
@click.option("--progress", type=click.Choice(["auto", "rich", "plain", "none"]), default="auto", show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("xaibench-explained"),
    show_default=True,
    help="Folder for sheets, maps and numbers.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable answer on stdout.")
def explain(films: tuple[Path, ...], out: Path, as_json: bool, progress: Any, **options: Any) -> None:
    """Explain what a network says of FILMS: image or DICOM files, or folders of them.

    Writes for each film a sheet with a map per explainer (sheet.png), the maps (.npy) and numbers (explanation.json);
    for several films also contact-sheet.png.
    """
    from xaibench.progress import choose

    with choose(progress) as shown:
        reports, troubles = _explain_all(films, out, shown, options)
    bad = [row for report in reports for row in report["maps"] if row["status"] in BAD]
    if as_json:
        answer = {"out": str(out), "films": reports, "unreadable": troubles}
        click.echo(json.dumps(answer, indent=1, allow_nan=False))
    else:
        for line in _lines(reports):
            click.echo(line)
    click.get_current_context().exit(int(bool(bad or troubles)))


def _explain_all(
    places: Sequence[Path], out: Path, progress: Progress, options: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Reports by film, and why films could not be read."""
    # Here, not at the top: `--help` must not wait for torch and matplotlib.
    from xaibench.explaining.films import films_in, masks_for
    from xaibench_leaderboard.explaining.calibration import calibration_of
    from xaibench_leaderboard.explaining.contact import draw_contact_sheet
    from xaibench_leaderboard.explaining.report import Told

    films = films_in(places)
    masks = masks_for(films, options["mask"])
    if options["dicom"]:
        from xaibench_leaderboard.explaining.secondary import need_pydicom

        need_pydicom()
    session = _session(options)
    told = Told(session, calibration_of(session.subject, options["results"]))
    _warn(told, progress)
    every, troubles = _explained(session, films, masks, progress)
    if not every:
        raise DataError("no film could be read:\n" + "\n".join(f"  {why}" for why in troubles.values()))
    reports = [_written(told, one, out, options["dicom"]) for one in every]
    if len(every) > 1:
        draw_contact_sheet(told, every, out / "contact-sheet.png")
    return reports, troubles


def _session(options: dict[str, Any]) -> Session:
    from xaibench.cli.running import usable_device
    from xaibench.explaining.films import reader_of
    from xaibench.explaining.session import Session
    from xaibench.explaining.subject import subject_of
    from xaibench.registry import create, select

    device = usable_device(options["device"])
    profile = options["profile"]
    if profile == "auto":
        profile = "quick" if device == "cpu" else "standard"
    explainers = select("explainers", options["explainers"], profile)
    if not explainers:
        raise NothingSelected(
            f"--explainers {options['explainers']}: nothing is selected; see `xaibench list explainers`"
        )
    task = create("tasks", options["task"])
    reader_of(task)  # a task that cannot read is told before the network is made
    model = create("models", options["model"], profile)
    return Session(
        make=lambda: subject_of(model, task, options["fold"], options["seed"], device, "fp32"),
        explainers=explainers,
        target=options["target"],
        seed=options["seed"],
        sign=options["sign"],
    )


def _warn(told: Told, progress: Progress) -> None:
    """What was decided for the user, and what must not be overlooked."""
    from xaibench.explaining.subject import how_to_train

    model, task = told.subject.model, told.subject.task
    if notes := getattr(model.plugin, "notes", None):
        for note in notes(task.plugin):
            progress.say(f"{model.label} on {task.label}: {note}")
    if not told.subject.trained:
        progress.say(how_to_train(told.subject))


def _explained(
    session: Session, films: Sequence[Path], masks: dict[Path, Path], progress: Progress
) -> tuple[list[Explained], dict[str, str]]:
    """Film after film; of several, one that cannot be read stops no other."""
    from xaibench.explaining.films import reader_of

    reader, names = reader_of(session.subject.task), _names(films)
    every: list[Explained] = []
    troubles: dict[str, str] = {}
    total, done = len(films) * len(session.explainers), 0

    def tell(what: str) -> None:
        nonlocal done
        done += 1
        progress.step(f"maps: {what}", done, total)

    for path in films:
        try:
            every.append(session.explain(names[path], path, reader.read(path, masks.get(path)), tell))
        except (DataError, OSError) as error:
            troubles[str(path)] = str(error)
            progress.say(f"left out: {error}")
    return every, troubles


def _names(films: Sequence[Path]) -> dict[Path, str]:
    """What a film is called here: its stem; where that is taken, its whole name; where that is too, with a number."""
    names: dict[Path, str] = {}
    for path in films:
        free = [path.stem, path.name, *(f"{path.name}-{number}" for number in range(2, len(films) + 2))]
        names[path] = next(name for name in free if name not in names.values())
    return names


def _written(told: Told, explained: Explained, out: Path, dicom: bool) -> dict[str, Any]:
    """All files of one film; its report, with their names."""
    import numpy as np

    from xaibench.files import write_json
    from xaibench_leaderboard.explaining.report import report_of
    from xaibench_leaderboard.explaining.sheet import draw_sheet

    folder = out / safe(explained.name)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for one in explained.explanations:
        if one.raw is not None:
            files[one.explainer] = f"{safe(one.explainer)}.npy"
            np.save(folder / files[one.explainer], one.raw, allow_pickle=False)
    report = report_of(told, explained, files) | {"sheet": str(folder / "sheet.png")}
    draw_sheet(told, explained, report, folder / "sheet.png")
    if dicom:
        from xaibench_leaderboard.explaining.secondary import write_secondary

        text = f"{report['model']}: {report['predicted']}; {report['calibration_note']}. {report['caution']}"
        report["dicom"] = str(folder / "sheet.dcm")
        write_secondary(folder / "sheet.png", explained.path, text, folder / "sheet.dcm")
    write_json(folder / "explanation.json", report)
    return report


def safe(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.+=-]+", "_", name).strip("._") or "film"


def _lines(reports: Sequence[dict[str, Any]]) -> list[str]:
    """What people are told: the prediction, each map in a line, the sheet."""
    lines = []
    for report in reports:
        share = report["probabilities"][report["predicted"]]
        lines += [*report["warnings"], f"{report['film']}: {report['predicted']}, probability {100 * share:.1f} %"]
        lines.append(f"  {report['calibration_note']}")
        lines += [f"  {row['explainer']}: {_line(row)}" for row in report["maps"]]
        lines.append(f"  {report['sheet']}")
    return lines


def _line(row: dict[str, Any]) -> str:
    if row["statistics"] is None:
        return f"no map ({row['status']}): {row['reason']}"
    top = row["statistics"]["energy_in_top_10_percent"]
    inside = row["statistics"].get("mass_in_mask")
    mass = "" if inside is None else f", {100 * inside:.0f} % of it in the mask"
    return f"{row['seconds']:.2f} s, {row['forward']} forward passes; strongest 10 % hold {100 * top:.0f} %{mass}"
