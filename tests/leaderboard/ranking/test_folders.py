"""Merging, comparing and packing results folders."""

import json
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from xaibench.cli.main import cli
from xaibench.errors import DataError, UsageError
from xaibench.results import load_results
from xaibench.store import Store
from xaibench_leaderboard.standings import rankings_of
from xaibench_leaderboard.submitting import may_pass_on


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


def answer_of(*arguments):
    result = invoke(*arguments, "--json")
    return json.loads(result.stdout), result.exit_code


# ------------------------------------------------------------------------------------------------------------- merge


@pytest.fixture
def halves(campaign, folder_of):
    """Two machines did two explainers each, one of them both."""
    left = campaign().add("a", "iou", 0.9).add("b", "iou", 0.5)
    right = campaign().add("b", "iou", 0.5).add("c", "iou", 0.1)
    return folder_of(left.results(), "left"), folder_of(right.results(), "right", "20260102T000000-1")


def test_folders_from_two_machines_become_one_board(halves, tmp_path):
    answer, code = answer_of("merge", *halves, "--out", tmp_path / "both")
    assert (answer["conflicts"], code) == ([], 0)
    (ranking,) = rankings_of(load_results(tmp_path / "both")).each
    assert [standing.explainer for standing in ranking.standings] == ["a", "b", "c"]


def test_the_folders_that_are_merged_stay_as_they_were(halves, tmp_path):
    before = {path: path.read_bytes() for half in halves for path in half.rglob("*") if path.is_file()}
    invoke("merge", *halves, "--out", tmp_path / "both")
    assert {path: path.read_bytes() for half in halves for path in half.rglob("*") if path.is_file()} == before


def test_two_answers_for_one_cell_are_a_conflict_and_the_first_stays(campaign, folder_of, tmp_path):
    one = folder_of(campaign().add("a", "iou", 0.9).results(), "one")
    other = folder_of(campaign().add("a", "iou", 0.8).results(), "other", "20260102T000000-1")
    answer, code = answer_of("merge", one, other, "--out", tmp_path / "both")
    assert code == 1
    assert [conflict["what"].split(" (")[0] for conflict in answer["conflicts"]] == ["phantom · m1 · a · iou"] * 2
    assert "is claimed to score 0.9, and scores 0.8; the first folder's is kept" in answer["conflicts"][0]["detail"]
    assert set(load_results(tmp_path / "both").scores[0].values) == {0.9}


def test_times_of_two_machines_are_no_conflict(campaign, folder_of, tmp_path):
    def made(seconds):
        return campaign().metric("seconds", "cost", higher_is_better=False).add("a", "seconds", seconds).results()

    folders = folder_of(made(1.0), "one"), folder_of(made(2.0), "other", "20260102T000000-1")
    assert answer_of("merge", *folders, "--out", tmp_path / "both")[0]["conflicts"] == []


def with_subject(folder, key):
    (path,) = (folder / "runs").glob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    labels = {"task": "phantom", "fold": "0", "model": "m1", "precision": "fp32"}
    subject = {"labels": labels, "key": key, "classes": [], "weights": key, "training": {}, "count": 40}
    path.write_text(json.dumps({**record, "subjects": [subject]}), encoding="utf-8")


def test_other_weights_are_a_conflict_and_rows_on_the_older_ones_are_not_ranked(campaign, folder_of, tmp_path):
    one = folder_of(campaign().add("a", "iou", 0.9).results(), "one")
    other = folder_of(campaign().add("b", "iou", 0.5).add("c", "iou", 0.1).results(), "other", "20260102T000000-1")
    with_subject(one, "1" * 32)
    with_subject(other, "2" * 32)
    answer, code = answer_of("merge", one, other, "--out", tmp_path / "both")
    assert code == 1
    assert answer["conflicts"][0]["what"] == "m1 on phantom, fold 0"
    (ranking,) = rankings_of(load_results(tmp_path / "both")).each
    assert [standing.explainer for standing in ranking.standings] == ["b", "c"]
    assert ranking.unranked[0].reason == "iou rests on other weights or data than the newest run"


def test_merging_into_a_folder_that_is_there_is_refused(halves):
    with pytest.raises(UsageError, match="name a new folder"):
        invoke("merge", *halves, "--out", halves[0])


def test_merging_what_is_no_results_folder_is_refused_before_anything_is_written(halves, tmp_path):
    with pytest.raises(DataError, match="is not a results folder"):
        invoke("merge", halves[0], tmp_path / "nowhere", "--out", tmp_path / "both")
    assert not (tmp_path / "both").exists()


# ----------------------------------------------------------------------------------------------------------- compare


@pytest.fixture
def versions(campaign, folder_of):
    """Before and after: a clearly better, b the same, c unclear, d gone, e new, f failing, cost up."""
    noise = np.random.default_rng(1).normal(size=40)
    before, after = campaign(), campaign()
    for made in (before, after):
        made.metric("seconds", "cost", higher_is_better=False).metric("size", claims_quality=False)
    before.add("a", "iou", 0.5 + 0.01 * noise).add("b", "iou", 0.5).add("c", "iou", 0.5).add("d", "iou", 0.5)
    after.add("a", "iou", 0.6).add("b", "iou", 0.5).add("c", "iou", 0.5 + 0.1 * noise).add("e", "iou", 0.5)
    before.add("f", "iou", 0.5).add("a", "seconds", 1.0).add("a", "size", 1.0)
    after.add("f", "iou", 0.0, status="failed", reason="ValueError: no")
    after.add("a", "seconds", 2.0).add("a", "size", 2.0)
    return folder_of(before.results(), "before"), folder_of(after.results(), "after")


def test_every_score_of_either_run_is_compared(versions):
    answer, code = answer_of("compare", *versions)
    told = {(one["labels"]["explainer"], one["labels"]["metric"]): one for one in answer}
    assert code == 0
    assert {names: one["change"] for names, one in told.items()} == {
        ("a", "iou"): "better",
        ("b", "iou"): "the same",
        ("c", "iou"): "no clear change",
        ("d", "iou"): "removed",
        ("e", "iou"): "added",
        ("f", "iou"): "no clear change",
        ("a", "seconds"): "worse",
        ("a", "size"): "higher",
    }
    gap = told["a", "iou"]["difference"]
    assert gap["mean"] == pytest.approx(told["a", "iou"]["after"] - told["a", "iou"]["before"])
    assert 0 < gap["low"] < gap["mean"] < gap["high"]
    assert told["f", "iou"]["note"] == "failed (ValueError: no)"


def test_differences_are_paired_by_image(campaign, folder_of):
    # Between films values differ by 0.5, within a film by exactly 0.1: unpaired, nothing would be clear.
    films = np.tile([0.0, 0.5], 20)
    before = folder_of(campaign().add("a", "iou", films).results(), "before")
    after = folder_of(campaign().add("a", "iou", films + 0.1).results(), "after")
    ((found,), _) = answer_of("compare", before, after)
    assert found["change"] == "better"
    assert (found["difference"]["low"], found["difference"]["high"]) == pytest.approx((0.1, 0.1))


def test_other_versions_and_other_images_are_told(campaign, folder_of):
    before = folder_of(campaign().add("a", "iou", 0.5, count=10).results(), "before")
    after = folder_of(campaign().add("a", "iou", 0.5, metric_version=2).results(), "after")
    ((found,), _) = answer_of("compare", before, after)
    assert found["note"] == "metric version 1 -> 2; 10 images before, 40 after, 10 compared"


def test_people_see_what_changed_and_how_much_is_not_shown(versions):
    out = invoke("compare", *versions).stdout
    assert "better          phantom · m1 · a · iou: 0.50" in out
    assert "removed         phantom · m1 · d · iou: 0.500 -> none" in out
    assert out.endswith("8 scores compared, 2 without a clear change are not shown\n")
    assert len(invoke("compare", *versions, "--all").stdout.splitlines()) == 9


# ------------------------------------------------------------------------------------------------------------ submit


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("CC BY 4.0", True),
        ("CC0 1.0", True),
        ("Apache-2.0", True),
        ("CC BY 3.0; CC0 1.0", True),
        ("CC BY 3.0; yours", False),
        ("CC BY-NC-ND 4.0", False),
        ("for research, by the terms of its page; CC BY 4.0 is often quoted and was not confirmed", False),
        ("not stated with the files; copies say CC0 1.0, which was not confirmed", False),
        ("yours", False),
        ("", False),
    ],
)
def test_images_may_be_passed_on_only_under_a_licence_that_says_so_in_full(licence, free):
    allowed, why = may_pass_on({"licence": licence})
    assert allowed is free
    assert bool(why) is not free


@pytest.fixture
def sendable(campaign, folder_of):
    """Scores, and maps of two tasks: one of a free licence, one not to be passed on."""
    folder = folder_of(campaign().add("a", "iou", 0.5).results())
    store = Store(folder)
    for key, task, licence in (("f" * 32, "free", "CC BY 4.0"), ("b" * 32, "bound", "do not redistribute")):
        store.commit(key, (0, 1), {"ids": ["x"]}, np.ones((1, 4, 4), dtype=np.float32))
        store.describe(key, {"labels": {"task": task}, "cards": {"task": {"licence": licence}}})
    assert invoke("leaderboard", "--results", folder).exit_code == 0
    (folder / "gallery").mkdir()
    (folder / "gallery" / "film.png").write_bytes(b"a film")
    return folder


def test_maps_that_may_not_be_passed_on_and_all_pictures_are_left_out_and_named(sendable, tmp_path):
    answer, code = answer_of("submit", sendable, "--out", tmp_path / "sent.zip")
    names = zipfile.ZipFile(tmp_path / "sent.zip").namelist()
    assert code == 0
    assert {name.split("/")[2][0] for name in names if name.endswith("maps.npy")} == {"f"}
    assert not [name for name in names if name.endswith((".png", ".html"))]
    left_out = {one["what"]: one["why"] for one in answer["left_out"]}
    assert left_out["heatmaps on bound"].endswith("do not redistribute")
    assert {"gallery", "leaderboard.html"} <= left_out.keys()
    assert json.loads(zipfile.ZipFile(tmp_path / "sent.zip").read("left_out.json")) == answer["left_out"]


def test_what_was_sent_is_a_results_folder_whose_claims_hold(sendable, tmp_path):
    invoke("submit", sendable, "--out", tmp_path / "sent.zip")
    zipfile.ZipFile(tmp_path / "sent.zip").extractall(tmp_path / "got")
    answer, code = answer_of("verify", tmp_path / "got", "--sample", 0)
    assert (code, [check["verdict"] for check in answer["checks"]]) == (0, ["holds"])


def test_nothing_is_sent_without_claims_or_over_an_archive_that_is_there(sendable, tmp_path):
    (tmp_path / "old.zip").write_bytes(b"old")
    with pytest.raises(UsageError, match="it is there already"):
        invoke("submit", sendable, "--out", tmp_path / "old.zip")
    (sendable / "results.json").unlink()
    with pytest.raises(DataError, match="writes the claims to be sent"):
        invoke("submit", sendable, "--out", tmp_path / "new.zip")
    assert not (tmp_path / "new.zip").exists()
