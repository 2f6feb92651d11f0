import csv
import json
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import Timeout

from xaibench.cli.main import cli
from xaibench.errors import DataError, UsageError
from xaibench_leaderboard.archives import opened, unpacked
from xaibench_leaderboard.study import publishing, running
from xaibench_leaderboard.study.comparison import filled
from xaibench_leaderboard.study.packing import pack
from xaibench_leaderboard.study.plan import find, reduced
from xaibench_leaderboard.study.rendering import markdown
from xaibench_leaderboard.study.sources import Done
from xaibench_leaderboard.study.taking import take_up

TINY = Path(__file__).with_name("tiny.toml")
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


def test_what_was_published_is_not_run_again_but_audited_if_it_was_not(place, tmp_path, monkeypatch):
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
    monkeypatch.setattr(running, "run", None)  # nothing is
    assert invoke("reproduce", TINY, *OPTIONS, "--out", out, "--docs", docs).exit_code == 0
    assert "the audit (is a known truth ranked above noise?) is" in (docs / "tiny" / "index.md").read_text()
    assert (docs / "tiny" / "index.md").read_text() == (place / "docs" / "tiny" / "index.md").read_text()
    audits = [
        {one.name for one in (root / "tiny-quick" / "one-seed0" / "audits").iterdir()} for root in (out, place / "out")
    ]
    assert audits[0] == audits[1]  # of the metrics as they were used, with the parameters of the profile
    assert invoke("verify", out / "tiny-quick" / "one-seed0", "--sample", 0).exit_code == 0


def test_what_is_published_is_shown_where_its_films_are_not_though_nothing_can_be_audited(place, tmp_path, monkeypatch):
    def refused(*given):
        raise DataError("no films here")

    monkeypatch.setattr(running, "verdicts", refused)
    docs = shutil.copytree(place / "docs", tmp_path / "docs")
    ran = invoke("reproduce", TINY, *OPTIONS, "--out", tmp_path / "out", "--docs", docs)
    assert ran.exit_code == 0
    assert "its metrics are not audited: no films here" in ran.output


@pytest.mark.parametrize(("factor", "kept"), [(1 + 1e-13, True), (1.01, False)])
def test_claims_that_another_processor_rounds_otherwise_replace_nothing(place, tmp_path, factor, kept):
    docs, archive = shutil.copytree(place / "docs", tmp_path / "docs"), tmp_path / "docs" / "tiny" / "one-seed0.zip"
    whole = archive.read_bytes()
    with opened(archive) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    claims = members["results.json"].decode()
    mean = re.search(r'"mean": (0\.\d{3,})', claims)
    changed = claims[: mean.start(1)] + repr(float(mean[1]) * factor) + claims[mean.end(1) :]
    assert changed != claims
    with zipfile.ZipFile(archive, "w") as packed:
        for name, content in {**members, "results.json": changed.encode()}.items():
            packed.writestr(name, content)
    before = archive.read_bytes()
    assert published_by(docs, place / "out").exit_code == 0
    assert archive.read_bytes() == (before if kept else whole)


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


def test_what_was_taken_up_unfinished_is_run(place, tmp_path):
    study, told = reduced(find(str(TINY))), json.loads((place / "docs" / "tiny" / "reproduction.json").read_text())
    take_up(study, told["command"], place / "docs" / "tiny", tmp_path, 0)
    work, _ = running.works(study, tmp_path, 0)
    assert running.whole_elsewhere(work)
    assert not running.whole_elsewhere(replace(work, folder=place / "out" / "tiny-quick" / "one-seed0"))  # made here
    (record,) = (work.folder / "runs").iterdir()
    record.write_text(record.read_text().replace('"status": "ended"', '"status": "interrupted"'))
    assert not running.whole_elsewhere(work)


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


def pressed(*given):
    raise KeyboardInterrupt


@pytest.mark.parametrize("do", [lambda *given: 130, pressed], ids=["in a run", "between two"])
def test_an_interrupted_study_says_how_to_go_on_with_the_same_parts_in_the_same_place(monkeypatch, tmp_path, do):
    monkeypatch.setattr("xaibench_leaderboard.study.running.do", do)
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


def test_figures_without_the_papers_stand_beside_each_other_and_what_was_not_run_is_named(place):
    page = (place / "docs" / "tiny" / "index.md").read_text()
    assert "| row | set-up | iou | stability |" in page
    assert "| row | figure | set-up | paper |" in page  # of its second table
    study = reduced(find(str(TINY)))
    missing = filled(study, {"one": Done("one", ())}, {"balve-cnn": {}})
    assert "Not run, or undefined: Table 1 (Overall); Table 2 (Per class); Overlap" in markdown(study, missing, "x")
