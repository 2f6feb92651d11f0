import hashlib
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from xaibench.cli.main import cli
from xaibench.errors import DataError, UsageError
from xaibench.results import load_results
from xaibench.store import Store
from xaibench_leaderboard.claims import Claims
from xaibench_leaderboard.differing import differences


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A true run of 40 images (two shards): one explainer, noise and the truth, two metrics."""
    folder = tmp_path_factory.mktemp("made") / "results"
    options = "--tasks phantom-tiny --models oracle-linear --explainers saliency,random,roi --metrics iou,seconds"
    run = invoke("run", *options.split(), "--no-references", "--no-audit", "--limit", 40, "--out", folder)
    assert run.exit_code == 0, run.output
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy to tamper with."""
    return shutil.copytree(made, tmp_path / "results")


def verified(folder, *arguments):
    result = invoke("verify", folder, "--json", *arguments)
    return json.loads(result.stdout), result.exit_code


def failing(answer):
    return [
        (check["kind"], check["what"], check["detail"]) for check in answer["checks"] if check["verdict"] == "fails"
    ]


def key_of(folder, kind, **labels):
    (run,) = Store(folder).runs()
    return next(row["key"] for row in run["cells"] if row["kind"] == kind and labels.items() <= row["labels"].items())


def change(folder, key, shard, edit):
    """Change the record of a shard by hand."""
    (path,) = Store(folder).folder(key).glob(f"{shard:06d}-*/record.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    edit(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    return path.parent


def test_an_honest_folder_holds_in_full(folder):
    answer, code = verified(folder, "--all")
    assert code == 0
    assert {check["verdict"] for check in answer["checks"]} == {"holds"}
    assert [check["kind"] for check in answer["checks"]].count("score") == 6 * 2  # shards
    assert [check["kind"] for check in answer["checks"]].count("maps") == 3 * 2
    assert [check["kind"] for check in answer["checks"]].count("prediction") == 2


def test_verifying_changes_nothing_in_the_folder(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    verified(folder, "--all")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_number_changed_in_the_claims_is_found(folder):
    path = folder / "results.json"
    claims = json.loads(path.read_text(encoding="utf-8"))
    row = next(row for row in claims["rows"] if row["explainer"] == "saliency" and row["metric"] == "iou")
    row["mean"] += 0.01
    path.write_text(json.dumps(claims), encoding="utf-8")
    answer, code = verified(folder, "--sample", 0)
    assert code == 1
    ((kind, _, detail),) = failing(answer)
    assert kind == "claims"
    assert f"].mean: claimed {row['mean']!r}, found 0." in detail


def test_a_place_changed_in_the_claims_is_found(folder):
    path = folder / "results.json"
    claims = json.loads(path.read_text(encoding="utf-8"))
    claims["rankings"][0]["standings"][0]["explainer"] = "mine"
    path.write_text(json.dumps(claims), encoding="utf-8")
    answer, code = verified(folder, "--sample", 0)
    assert code == 1
    assert "rankings[0].standings[0].explainer: claimed 'mine', found 'saliency'" in failing(answer)[0][2]


@pytest.mark.parametrize("shard", [0, 32])
def test_a_score_changed_in_a_shard_is_found_even_if_the_claims_were_made_after_it(folder, shard):
    key = key_of(folder, "score", explainer="saliency", metric="iou")

    def better(record):
        at = next(at for at, value in enumerate(record["values"]) if value is not None)
        record["values"][at] = 0.987

    change(folder, key, shard, better)
    assert verified(folder, "--sample", 0)[1] == 1  # the claims do not follow from the shards any more
    assert invoke("leaderboard", "--results", folder).exit_code == 0
    assert verified(folder, "--sample", 0)[1] == 0
    answer, code = verified(folder, "--cell", key)
    assert code == 1
    ((_, _, detail),) = failing(answer)
    assert detail.startswith(f"images {shard} to")
    assert "is claimed to score 0.987, and scores" in detail


def test_maps_changed_with_their_digest_are_found(folder):
    key = key_of(folder, "explain", explainer="saliency")
    (place,) = Store(folder).folder(key).glob("000032-*")
    maps = np.load(place / "maps.npy")
    maps[0, :4, :4] += maps.max()
    np.save(place / "maps.npy", maps)
    digest = hashlib.blake2b((place / "maps.npy").read_bytes(), digest_size=16).hexdigest()
    change(folder, key, 32, lambda record: record["maps"].update(digest=digest))
    Store(folder).shard(key, 32, 40).maps()  # by its digest it is sound
    answer, code = verified(folder, "--cell", key_of(folder, "score", explainer="saliency", metric="seconds"))
    assert code == 1
    assert "differs by" in failing(answer)[0][2]


def test_answers_of_the_model_that_were_changed_are_found(folder):
    key = key_of(folder, "predict")

    def right(record):
        record["logits"][0] = [float(at == record["truth"][0]) for at in range(len(record["logits"][0]))]

    change(folder, key, 0, right)
    answer, code = verified(folder, "--cell", key_of(folder, "score", explainer="roi", metric="seconds"))
    assert code == 1
    assert [kind for kind, _, detail in failing(answer) if "the logits of" in detail] == ["prediction"]


def test_networks_that_were_trained_and_not_explained_are_asked_again(tmp_path):
    folder, options = tmp_path / "results", "--tasks phantom-tiny(size=64) --models oracle-linear,oracle-lesion"
    ran = invoke("run", *options.split(), "--explainers", "none", "--no-references", "--no-audit", "--out", folder)
    assert ran.exit_code == 0, ran.output
    Claims().render(load_results(folder), folder)
    checks = verified(folder)[0]["checks"]
    assert [(check["kind"], check["verdict"]) for check in checks[1:]] == [("prediction", "holds")] * 2
    assert len(verified(folder, "--sample", 1)[0]["checks"]) == 2
    assert len(verified(folder, "--sample", 0)[0]["checks"]) == 1
    change(folder, key_of(folder, "predict", model="oracle-lesion"), 0, lambda record: record["logits"][0].reverse())
    answer, code = verified(folder, "--all")
    assert code == 1
    assert ["oracle-lesion" in what for _, what, _ in failing(answer)] == [True]


def test_maps_that_do_not_match_their_digest_are_found(folder):
    key = key_of(folder, "explain", explainer="roi")
    for place in Store(folder).folder(key).glob("*-*"):
        content = bytearray((place / "maps.npy").read_bytes())
        content[-1] ^= 1
        (place / "maps.npy").write_bytes(content)
    answer, code = verified(folder, "--cell", key_of(folder, "score", explainer="roi", metric="seconds"))
    assert code == 1
    assert any("is not what was written" in detail for _, _, detail in failing(answer))


def test_what_cannot_be_planned_here_is_said_and_is_no_failure(folder):
    for path in (folder / "runs").glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["chosen"]["explainers"] = ["no-such-explainer"]
        path.write_text(json.dumps(record), encoding="utf-8")
    answer, code = verified(folder)
    assert code == 3
    assert failing(answer) == []
    assert "no-such-explainer" in next(check["detail"] for check in answer["checks"] if check["verdict"] == "cannot")


def test_what_a_run_chose_counts_and_not_what_its_words_mean_today(folder):
    for path in (folder / "runs").glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert record["chosen"]["metrics"] == ["iou(threshold=0.5)", "seconds"]
        record["request"] |= {"explainers": "default", "metrics": "default"}
        path.write_text(json.dumps(record), encoding="utf-8")
    answer, code = verified(folder)
    assert code == 0
    assert {check["verdict"] for check in answer["checks"]} == {"holds"}


def test_the_sample_is_that_of_the_seed(folder):
    keys = [
        [check["key"] for check in verified(folder, "--sample", 2, "--seed", seed)[0]["checks"]] for seed in (1, 1, 2)
    ]
    assert keys[0] == keys[1] != keys[2]


def test_without_claims_there_is_nothing_to_verify(folder):
    (folder / "results.json").unlink()
    with pytest.raises(DataError, match=r"holds no results.json; `xaibench leaderboard --results"):
        verified(folder)


def test_an_unknown_cell_is_refused(folder):
    with pytest.raises(UsageError, match=r"--cell abc: no finished score of this key"):
        verified(folder, "--cell", "abc")


def test_people_get_a_line_per_check_and_a_sum(folder):
    result = invoke("verify", folder, "--sample", 1)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("holds  claims     results.json: all 6 rows")
    assert lines[-1] == "4 hold, 0 fail, 0 could not be recomputed here"


def test_differences_are_named_with_their_places():
    claimed = {"a": [1, {"b": None}], "gone": 1, "same": 0.1 + 0.2, "flag": True}
    found = {"a": [2, {"b": 0.5}, 3], "new": 1, "same": 0.3, "flag": 1}
    assert list(differences(claimed, found)) == [
        "a: 2 entries are claimed, 3 found",
        "a[0]: claimed 1, found 2",
        "a[1].b: claimed None, found 0.5",
        "gone: claimed, not found",
        "flag: claimed True, found 1",
        "new: found, not claimed",
    ]


def without_maps(folder):
    """As a folder is passed on whose maps may not leave the house."""
    (run,) = Store(folder).runs()
    for row in run["cells"]:
        if row["kind"] == "explain":
            Store(folder).drop_maps(row["key"], row["count"])
    assert not list(folder.rglob("maps*.npy"))


def test_scores_are_checked_from_maps_made_again_where_none_were_kept(folder):
    without_maps(folder)
    answer, code = verified(folder, "--all")
    assert code == 0
    verdicts = {(check["kind"], check["verdict"]) for check in answer["checks"]}
    assert verdicts == {("claims", "holds"), ("score", "holds"), ("maps", "cannot"), ("prediction", "holds")}


def test_a_score_that_was_altered_is_found_out_without_the_maps(folder):
    without_maps(folder)
    key = key_of(folder, "score", explainer="saliency", metric="iou")

    def edit(record):
        record["values"] = [value and value + 0.01 for value in record["values"]]
        record.pop("seal", None)

    change(folder, key, 0, edit)
    answer, code = verified(folder, "--cell", key)
    assert code == 1
    assert [kind for kind, _, _ in failing(answer)] == ["score"]


def test_an_archive_is_verified_as_the_folder_it_holds(folder, tmp_path):
    without_maps(folder)
    invoke("submit", folder, "--out", tmp_path / "sent.zip")
    answer, code = verified(tmp_path / "sent.zip")
    assert code == 0
    assert {check["kind"] for check in answer["checks"] if check["verdict"] == "holds"} == {
        "claims",
        "score",
        "prediction",
    }


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "sent.zip").write_text("no archive")
    with pytest.raises(DataError, match=r"sent\.zip is no results folder, and no archive"):
        verified(tmp_path / "sent.zip")


def test_a_network_that_is_not_at_hand_is_trained_where_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "theirs"))
    options = ["--models", "cnn-elhouby(recipe=quick, epochs=1)", "--tasks", "phantom-tiny(size=64, train=12, val=6)"]
    options += ["--explainers", "saliency", "--metrics", "iou", "--no-references", "--no-audit", "--limit", "6"]
    ran = invoke("run", *options, "--device", "cpu", "--out", tmp_path / "results")
    assert ran.exit_code == 0, ran.output
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "ours"))
    answer, code = verified(tmp_path / "results")
    assert code == 3
    assert "verify --train" in answer["checks"][1]["detail"]
    assert not (tmp_path / "ours" / "weights").exists()
    answer, code = verified(tmp_path / "results", "--train")
    assert code == 0, answer
    assert {check["kind"] for check in answer["checks"]} == {"claims", "score", "maps", "prediction"}
    assert all(check["verdict"] == "holds" for check in answer["checks"])
