import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import Timeout

from xaibench.cli.main import cli
from xaibench.errors import DataError, UsageError
from xaibench_leaderboard.archives import opened, unpacked
from xaibench_leaderboard.statistics import Estimate
from xaibench_leaderboard.study import publishing, running
from xaibench_leaderboard.study.answering import Line, parted
from xaibench_leaderboard.study.asking import ANSWERS, overlap, rankings
from xaibench_leaderboard.study.asking_leaks import marker
from xaibench_leaderboard.study.comparison import filled
from xaibench_leaderboard.study.packing import pack
from xaibench_leaderboard.study.places import PLACES, skill
from xaibench_leaderboard.study.plan import find, reduced
from xaibench_leaderboard.study.questions import answers, collect, page, write_page
from xaibench_leaderboard.study.rendering import markdown
from xaibench_leaderboard.study.sources import Done
from xaibench_leaderboard.study.taking import take_up

TINY = Path(__file__).with_name("tiny.toml")
CNN = "cnn-elhouby"
OPTIONS = ("--quick", "--device", "cpu")


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The tiny study, run and published."""
    folder = tmp_path_factory.mktemp("study")
    ran = invoke("reproduce", TINY, *OPTIONS, "--out", folder / "out", "--docs", folder / "docs")
    assert ran.exit_code == 0, ran.output
    return folder


def contents(folder):
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def test_every_part_runs_once_per_seed_into_a_folder_of_its_own(place):
    assert sorted(one.name for one in (place / "out" / "tiny-quick").iterdir() if one.is_dir()) == [
        "one-seed0",
        "one-seed1",
    ]


def test_table_json_csv_and_section_tell_the_same(place):
    folder = place / "docs" / "tiny"
    told = json.loads((folder / "reproduction.json").read_text())
    rows = [(table["name"], row) for table in told["tables"] for row in table["rows"]]
    with (folder / "tables.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == len(rows)
    for (name, row), line in zip(rows, lines, strict=True):
        assert (line["table"], line["row"], line["figure"]) == (name, row["row"], row["figure"])
        assert line["ours"] == (str(row["ours"]["mean"]) if row["ours"] else "")
    markdown, section = (folder / "index.md").read_text(), (folder / "section.html").read_text()
    for _, row in rows:
        assert f"| {row['row']} |" in markdown
        assert f"<td>{row['row']}</td>" in section


def test_the_command_that_made_it_stands_beside_it(place):
    folder = place / "docs" / "tiny"
    command = f"xaibench reproduce {TINY} --quick"
    assert command in (folder / "index.md").read_text()
    assert json.loads((folder / "reproduction.json").read_text())["command"] == command


def test_every_caption_says_what_was_cut(place):
    told = json.loads((place / "docs" / "tiny" / "reproduction.json").read_text())
    assert told["reduced"]
    cut = "Reduced for a test: train=8 of the task; explanations of the first 8 test images of each fold"
    assert all(cut in table["caption"] for table in told["tables"])


def test_nothing_made_of_films_is_published(place):
    """Neither images nor maps: drawings of figures, text, and archives of scores."""
    files = [one for one in (place / "docs").rglob("*") if one.is_file()]
    assert {one.suffix for one in files} <= {".md", ".json", ".csv", ".html", ".svg", ".zip"}
    for one in files:
        if one.suffix == ".svg":
            assert "<image" not in one.read_text()
        if one.suffix == ".zip":
            with opened(one) as packed:
                assert all(name.endswith(".json") for name in packed.namelist())


def test_what_is_published_can_be_verified(place):
    ran = invoke("verify", place / "docs" / "tiny" / "one-seed0.zip", "--sample", 3, "--json")
    checks = json.loads(ran.stdout)["checks"]
    assert ran.exit_code == 0
    assert sum(check["kind"] == "score" and check["verdict"] == "holds" for check in checks) == 3


def test_the_second_time_makes_the_same_files_from_what_is_there(place, tmp_path):
    before = {one.name: one.read_bytes() for one in (place / "docs" / "tiny").iterdir() if one.suffix != ".zip"}
    ran = invoke("reproduce", TINY, *OPTIONS, "--no-run", "--out", place / "out", "--docs", tmp_path)
    assert ran.exit_code == 0
    assert {one.name: one.read_bytes() for one in (tmp_path / "tiny").iterdir() if one.suffix != ".zip"} == before


def test_parts_that_are_run_apart_come_together(place, tmp_path):
    text = TINY.read_text(encoding="utf-8").replace('parts = ["one"]', 'parts = ["one", "two"]')
    one = text[text.index("[[parts]]") : text.index("[quick]")]
    study = tmp_path / "twins.toml"
    study.write_text(text.replace("[quick]", one.replace('"one"', '"two"') + "[quick]"), encoding="utf-8")
    for part in ("two", "one"):
        ran = invoke("reproduce", study, *OPTIONS, "--part", part, "--out", tmp_path / "out", "--json")
        assert ran.exit_code == 0, ran.output
        made = {one.name for one in (tmp_path / "out" / "tiny-quick").iterdir() if one.is_dir()}
        assert ("one-seed0" in made) == (part == "one")  # the first run made nothing of the other part
    told = json.loads(ran.stdout)
    assert "--part" not in told["command"]  # which makes all of it
    assert {row["part"] for table in told["tables"] for row in table["rows"]} == {"one", "two"}


def test_what_is_published_and_lies_elsewhere_keeps_its_place(place, tmp_path):
    docs = shutil.copytree(place / "docs", tmp_path / "docs")
    out = tmp_path / "out"
    shutil.copytree(place / "out" / "tiny-quick" / "one-seed1", out / "tiny-quick" / "one-seed1")
    ran = invoke("reproduce", TINY, *OPTIONS, "--no-run", "--out", out, "--docs", docs)
    assert ran.exit_code == 0
    names = {"one-seed0.zip", "one-seed1.zip"}
    assert {one.name for one in (docs / "tiny").glob("*.zip")} == names
    assert contents(docs / "tiny") == contents(place / "docs" / "tiny")  # archives as well, byte for byte


def test_what_others_publish_while_a_study_runs_keeps_its_place_and_one_publishes_at_a_time(
    place, tmp_path, monkeypatch
):
    docs, out, publish = tmp_path / "docs", tmp_path / "out" / "tiny-quick", publishing.publish

    def meanwhile(*_):
        """Here the second seed is run, elsewhere both are published."""
        shutil.copytree(place / "out" / "tiny-quick" / "one-seed1", out / "one-seed1")
        shutil.copytree(place / "docs", docs)
        return 0

    def locked(study, tables, command, folder, *others):
        with pytest.raises(Timeout):
            publishing.alone(folder).acquire(timeout=0)
        publish(study, tables, command, folder, *others)

    monkeypatch.setattr(running, "do", meanwhile)
    monkeypatch.setattr(publishing, "publish", locked)
    assert invoke("reproduce", TINY, *OPTIONS, "--out", tmp_path / "out", "--docs", docs).exit_code == 0
    assert contents(docs / "tiny") == contents(place / "docs" / "tiny")
    publishing.alone(docs / "tiny").acquire(timeout=0).lock.release()


def test_what_was_published_before_its_metrics_were_audited_is_taken_up_and_audited_when_it_is_run(place, tmp_path):
    docs, out = shutil.copytree(place / "docs", tmp_path / "docs"), tmp_path / "out"
    for archive in (docs / "tiny").glob("*.zip"):
        with unpacked(archive) as folder:
            shutil.rmtree(folder / "audits")
            for record in (folder / "runs").iterdir():
                told = json.loads(record.read_bytes())
                told["request"]["audit"] = False
                record.write_text(json.dumps(told))
            archive.unlink()
            pack(folder, archive)
    assert published_by(docs, out).exit_code == 0
    assert "the audit" not in (docs / "tiny" / "index.md").read_text()
    assert invoke("reproduce", TINY, *OPTIONS, "--out", out, "--docs", docs).exit_code == 0
    assert "the audit (is a known truth ranked above noise?) is" in (docs / "tiny" / "index.md").read_text()
    assert (docs / "tiny" / "index.md").read_text() == (place / "docs" / "tiny" / "index.md").read_text()


OTHERS = {
    "limit": {"limit": 4},
    "explainers": {"explainers": ("gradcam",)},
    "models": {"models": ("resnet18",)},
    "task": {"task": "phantom-tiny(size=64, test=10, train=8)"},
    "profile": {"profile": "paper"},
}


@pytest.mark.parametrize("other", ["command", "nothing told", *OTHERS])
def test_what_another_command_or_plan_has_published_is_not_taken_up(place, tmp_path, other):
    docs = shutil.copytree(place / "docs", tmp_path / "docs")
    study, told = reduced(find(str(TINY))), docs / "tiny" / "reproduction.json"
    command = json.loads(told.read_text())["command"]
    take_up(study, command, docs / "tiny", tmp_path / "same", 0)
    assert {one.name for one in (tmp_path / "same").iterdir()} == {"one-seed0", "one-seed1"}
    if other == "command":
        command += " --seed 1"
    elif other in OTHERS:
        study = replace(study, parts=tuple(replace(one, **OTHERS[other]) for one in study.parts))
    else:
        told.write_text("[")
    take_up(study, command, docs / "tiny", tmp_path / "other", 0)
    assert not (tmp_path / "other").exists()


def test_what_is_begun_here_is_not_replaced_by_what_is_published(place, tmp_path):
    study, command = reduced(find(str(TINY))), f"xaibench reproduce {TINY} --quick"
    mine = tmp_path / "one-seed0" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    (tmp_path / "one-seed1").mkdir()  # empty: nothing is lost
    take_up(study, command, place / "docs" / "tiny", tmp_path, 0)
    assert [one.name for one in (tmp_path / "one-seed0").iterdir()] == ["mine.txt"]
    assert (tmp_path / "one-seed1" / "xaibench.json").exists()
    assert {one.name for one in tmp_path.iterdir()} == {"one-seed0", "one-seed1"}


def test_a_broken_archive_is_named_before_anything_is_run(place, tmp_path):
    docs = shutil.copytree(place / "docs", tmp_path / "docs")
    (docs / "tiny" / "one-seed1.zip").write_bytes(b"PK torn")
    with pytest.raises(DataError, match=r"one-seed1\.zip, which is published, cannot be taken up"):
        invoke("reproduce", TINY, *OPTIONS, "--out", tmp_path / "out", "--docs", docs)
    assert not (tmp_path / "out" / "tiny-quick" / "one-seed1").exists()


def published_by(docs, out, *options):
    return invoke("reproduce", TINY, *OPTIONS, "--no-run", "--out", out, "--docs", docs, *options)


def test_nothing_that_is_published_is_lost_to_a_part_that_was_only_begun(place, tmp_path):
    docs, out = (shutil.copytree(place / name, tmp_path / name) for name in ("docs", "out"))
    begun, before = out / "tiny-quick" / "one-seed1", contents(docs / "tiny")
    for one in begun.iterdir():
        if one.name != "xaibench.json":
            shutil.rmtree(one) if one.is_dir() else one.unlink()
    with pytest.raises(UsageError, match=r"one-seed1\.zip would be lost: .* has nothing of it"):
        published_by(docs, out)
    assert contents(docs / "tiny") == before


def test_nothing_that_is_published_is_lost_to_a_part_with_fewer_cells(place, tmp_path):
    docs, out = (shutil.copytree(place / name, tmp_path / name) for name in ("docs", "out"))
    before = contents(docs / "tiny")
    shutil.rmtree(next((out / "tiny-quick" / "one-seed0" / "cells").iterdir()))
    with pytest.raises(UsageError, match=r"one-seed0\.zip would be lost: .* has only \d+ of its \d+ cells"):
        published_by(docs, out)
    assert contents(docs / "tiny") == before


def test_nothing_that_is_published_is_lost_to_another_seed(place, tmp_path):
    docs = shutil.copytree(place / "docs", tmp_path / "docs")
    before = contents(docs / "tiny")
    out = tmp_path / "out" / "tiny-quick"
    shutil.copytree(place / "out" / "tiny-quick" / "one-seed1", out / "one-seed1")
    with pytest.raises(UsageError, match=r"one-seed0\.zip would be lost"):
        published_by(docs, tmp_path / "out", "--seed", 1)
    assert contents(docs / "tiny") == before


def test_an_interrupted_study_says_how_to_go_on_with_the_same_parts_in_the_same_place(monkeypatch, tmp_path):
    monkeypatch.setattr("xaibench_leaderboard.study.running.do", lambda *given: 130)
    places = ("--out", tmp_path / "o", "--docs", tmp_path / "d")
    ran = invoke("reproduce", TINY, *OPTIONS, "--part", "one", *places)
    assert ran.exit_code == 130
    told = f"to go on: xaibench reproduce {TINY} --quick --part one --out {tmp_path / 'o'} --docs {tmp_path / 'd'}"
    assert told in ran.output


def test_without_a_run_there_is_no_table(tmp_path):
    with pytest.raises(Exception, match="holds nothing of study tiny yet"):
        invoke("reproduce", TINY, *OPTIONS, "--no-run", "--out", tmp_path)


def test_the_studies_are_listed_and_one_must_be_named():
    assert "balve: " in invoke("reproduce", "--list").output
    assert {"hmc", "raut"} <= {one["name"] for one in json.loads(invoke("reproduce", "--list", "--json").stdout)}
    with pytest.raises(UsageError, match="say which study"):
        invoke("reproduce")
    with pytest.raises(UsageError, match="say --docs"):
        invoke("reproduce", "--questions")


def test_a_question_whose_runs_are_missing_says_so(tmp_path):
    found = answers(collect(tmp_path, 0))
    assert len(found) == len(ANSWERS) == 6
    assert all("Not answered" in one.reading for one in found)
    assert not any(one.grids for one in found)


@pytest.mark.parametrize(("said", "able"), [((0, 1, 2) * 8, True), ((0,) * 24, False)])
def test_questions_are_answered_by_the_sign_of_the_interval_if_the_network_knows_something(
    score, done, prediction, said, able
):
    """Grad-CAM is above the blob on every film, and as often above as below the prior."""
    values = {"gradcam": (0.5, 0.6, 0.5, 0.6), "centre": (0.1, 0.2, 0.1, 0.2), "tissue-prior": (0.7, 0.4, 0.7, 0.4)}
    part = done([score(name, "iou-matched", 6 * each, model="hmc") for name, each in values.items()])
    family = done([prediction((0, 1, 2) * 8, said, model="hmc")])
    (answer, *_) = [ask({"hmc": {"maps": part, "family": family}}) for ask in ANSWERS]
    (grid,) = answer.grids
    ((name, network, metric, empty, own, blob, prior, noise, brightness, reading),) = grid.rows
    assert (name, metric, empty) == ("MIAS films (HMC-Net)", "iou-matched", "0 of 24")
    assert (noise, brightness) == ("-", "-")  # which were not run
    assert network.startswith("1.000 " if able else "0.333 ")
    assert own.startswith("0.550 ")
    assert blob.startswith("0.400 ")
    assert prior.startswith("0.000 ")
    assert reading == ("better than the blob, not clearly different from the prior" if able else "not to be judged")
    told = f"**By overlap, Grad-CAM is {reading} on MIAS films (HMC-Net).**"
    untold = "Nothing can be said where the network is not shown to be better than a guess: MIAS films (HMC-Net)."
    assert answer.reading == (told if able else untold)
    assert "n = 24 images of 24 patients" in grid.note


@pytest.mark.parametrize(("count", "reading"), [(24, "worse than both"), (8, "worse than both (a hint: few patients)")])
def test_what_few_patients_show_is_a_hint(score, done, prediction, count, reading):
    values = {"gradcam": (0.1, 0.2), "centre": (0.5, 0.7), "tissue-prior": (0.5, 0.7)}
    part = done([score(name, "iou-matched", count // 2 * each, model="hmc") for name, each in values.items()])
    family = done([prediction((0, 1, 2) * 8, (0, 1, 2) * 8, model="hmc")])
    assert overlap({"hmc": {"maps": part, "family": family}}).reading.startswith(f"**By overlap, Grad-CAM is {reading}")


def test_an_order_is_not_counted_by_definition_on_few_patients_or_of_networks_that_guess(score, done, prediction):
    """Grad-CAM draws nothing, so that it agrees with itself; LIME is steadier than SHAP, on 24 patients and on 8."""
    values = {"gradcam": (1.0, 1.0), "kernel-shap": (0.8, 0.9), "lime": (0.9, 0.95)}

    def asked(count, said):
        again = done([score(name, "stability", count // 2 * each, model=CNN) for name, each in values.items()])
        known = done([prediction((0, 1, 2) * 8, said, model=CNN)])
        return rankings({"balve": {"robustness, paper": again, "paper": known}})

    of, said = "of 1 comparisons on networks better than a guess", (0, 1, 2) * 8
    many, few, guessing = asked(24, said), asked(8, said), asked(24, (0,) * 24)
    assert f"{of} (MIAS crops as in the paper (small CNN)): 1 reversed.**" in many.reading
    words = [row[-1] for row in many.grids[0].rows]
    assert words == ["holds by definition: the first draws nothing", "is reversed"]
    assert (
        "of 0 comparisons on networks better than a guess: none.** On fewer than 20 patients, as hints: 1 against it."
        in few.reading
    )
    assert {row[-1] for row in guessing.grids[0].rows} == {"not to be judged"}
    assert [grid.fold for grid in many.grids] == [""]
    assert [grid.fold for grid in guessing.grids] == [
        "Where the network is not shown to be better than a guess (2 rows)"
    ]
    assert "of 0 comparisons on networks better than a guess: none.**" in guessing.reading


def test_what_cannot_be_judged_stands_apart_and_shut():
    """Each with the images and studies of its own rows."""
    said = {"a": "holds", "b": "not to be judged", "c": "cannot be told", "d": "not to be judged"}
    found = [Estimate(0.5, 0.4, 0.6, images, images) for images in (3, 40, 5, 60)]
    lines = [Line(row, (one,), ("study", row[0])) for row, one in zip(said.items(), found, strict=True)]
    open_one, shut = parted(("data", "claim"), lines, "Told")
    assert ([row[0] for row in open_one.rows], open_one.fold) == (["a", "c"], "")
    assert [row[0] for row in shut.rows] == ["b", "d"]
    assert open_one.note == "Told. n = 3 to 5 images of 3 to 5 patients"
    assert shut.note == "Told. n = 40 to 60 images of 40 to 60 patients"
    assert shut.sources == (("study", "b"), ("study", "d"))
    assert shut.shown("caption").startswith("<details><summary>Where the network is not shown to be better")
    assert len(parted(("data", "claim"), lines[:1], "Told")) == 1


def test_a_dynamic_threshold_is_held_against_plain_grad_cam(score, done, prediction):
    values = {"gradcam": (0.3, 0.4), "dt-gradcam": (0.4, 0.5), "scorecam": (0.3, 0.4), "gradcam++": (0.3, 0.4)}
    part = done([score(name, "iou-matched", 12 * each, model="hmc") for name, each in values.items()])
    family = done([prediction((0, 1, 2) * 8, (0, 1, 2) * 8, model="hmc")])
    told = rankings({"hmc": {"maps": part, "family": family}})
    assert [row[0] for row in told.grids[1].rows] == ["dt-gradcam above gradcam"]
    assert [row[-1] for row in told.grids[1].rows] == ["holds"]
    assert "**DT Grad-CAM above Grad-CAM in overlap: of 1 comparisons on networks better than a guess" in told.reading


def test_the_network_that_is_judged_is_the_one_that_was_explained(score, done, prediction):
    """The first of two trainings knows everything, the second nothing; only the first was explained."""
    good, bad = (prediction((0, 1, 2) * 8, said, model="hmc") for said in ((0, 1, 2) * 8, (0,) * 24))
    one = score("gradcam", "iou-matched", (0.5,) * 24, model="hmc")
    place = next(one for one in PLACES if one.part == "maps")
    for explained, mean in (([[one]], 1.0), ([[one], [one]], 2 / 3)):
        known, able = skill({"hmc": {"maps": done(*explained), "family": done([good], [bad])}}, place)
        assert known.mean == pytest.approx(mean)
        assert able
    few = done([prediction((0, 1, 2), (0, 1, 2), model="hmc")])
    assert not skill({"hmc": {"maps": done([one]), "family": few}}, place)[1]  # 3 images


def test_the_page_holds_every_question_and_the_command(tmp_path):
    path = write_page(tmp_path, tmp_path / "none", 0)
    text = path.read_text()
    assert text == page(collect(tmp_path / "none", 0), answers(collect(tmp_path / "none", 0)))
    assert text.count("\n## ") == 6
    assert "xaibench reproduce --questions" in text


def test_figures_without_the_papers_stand_beside_each_other_and_what_was_not_run_is_named(place):
    page = (place / "docs" / "tiny" / "index.md").read_text()
    assert "| row | set-up | iou | stability |" in page
    assert "| row | figure | set-up | paper |" in page  # of its second table
    study = reduced(find(str(TINY)))
    missing = filled(study, {"one": Done("one", ())}, {"balve-cnn": {}})
    assert "Not run, or undefined: Table 1 (Overall); Table 2 (Per class); Overlap" in markdown(study, missing, "x")


def test_who_reveals_the_marker_is_told_by_name(score, done, prediction):
    """By a hair, but on every film: one above edges and noise, one below edges, one at times above, at times below."""
    edges = (0.1, 0.3, 0.5, 0.7) * 6
    moved = {"one": (0.01,) * 24, "two": (-0.01,) * 24, "three": (0.01, -0.01, -0.01, 0.01) * 6, "edges": (0.0,) * 24}
    values = {name: [at + by for at, by in zip(edges, each, strict=True)] for name, each in moved.items()}
    floors = {"edges": "floor", "random": "floor"}
    part = done([
        *(
            score(name, metric, each, reference=floors.get(name, ""))
            for name, each in {**values, "random": (0.02,) * 24}.items()
            for metric in ("energy-marker", "energy")
        ),
        prediction((0, 1, 2) * 8, (0, 1, 2) * 8, training={"val_balanced_accuracy": 1.0}),
    ])  # fmt: skip
    told = marker({"phantom": {"shortcut": part}})
    assert told.reading.startswith(
        "**Of 3 explainers 1 put more on the marker than every floor: `one`.** Less than a map that never looks at the "
        "network put `two`. It cannot be told of `three`. The network has not clearly learned"
    )
    assert [(row[0], row[3]) for row in told.grids[0].rows][-2:] == [("edges", "floor"), ("random", "floor")]
