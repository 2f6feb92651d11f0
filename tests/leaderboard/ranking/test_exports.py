import json
import math
import subprocess
import sys

import pandas as pd
import pytest

from xaibench.errors import DataError, UsageError
from xaibench_leaderboard.board import boards_of
from xaibench_leaderboard.exports import export, frame_of
from xaibench_leaderboard.weights import DEFAULT


@pytest.fixture
def ranked(campaign):
    """Two models; explainers a to c; a metric without an upper end."""
    made = campaign().reference("random", "floor").reference("roi", "ceiling")
    made.metric("seconds", "cost", higher_is_better=False, highest=None, claims_quality=False, unit="s")
    for model in "mn":
        for name, value in {"a": 0.9, "b": 0.5, "c": 0.3, "random": 0.1, "roi": 1.0}.items():
            made.add(name, "iou", value, model=model).add(name, "seconds", 2 * value, model=model)
    return made.results()


def row_of(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    (row,) = frame.to_dict("records")
    return row


@pytest.mark.parametrize(("kind", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_tables_are_read_back_with_every_number_and_place(ranked, tmp_path, kind, read):
    frame = read(export(ranked, kind, tmp_path, DEFAULT))
    assert len(frame) == 2 * 5 * 2
    row = row_of(frame, model="m", explainer="b", metric="iou")
    assert (row["mean"], row["n"], row["patients"], row["place"], row["mean_rank"]) == (0.5, 40, 20, 2, 2)
    assert row["normalised"] == pytest.approx(4 / 9)
    assert pd.isna(row_of(frame, model="m", explainer="roi", metric="iou")["place"])


def test_a_cell_without_a_number_is_empty_and_has_its_reason(results, tmp_path):
    frame = pd.read_csv(export(results, "csv", tmp_path, DEFAULT))
    row = row_of(frame, task="phantom", explainer="lime(samples=50)", metric="energy")
    assert (math.isnan(row["mean"]), row["reason"]) == (True, "ValueError: <no> segments")


def test_markdown_has_a_table_per_board_and_names_make_no_markup(results, hostile, tmp_path):
    text = export(results, "markdown", tmp_path, DEFAULT).read_text(encoding="utf-8")
    assert text.count("\n## ") + text.startswith("## ") == len(boards_of(results))
    assert r"| gradcam | 1 \[1, 2\] A | 0.400 \[0.100, 0.700\] |" in text
    assert hostile not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count(" | ") for line in tables} == {4, 3}  # five columns on one board, four on the other


def test_latex_escapes_what_it_would_run(campaign, tmp_path):
    results = campaign().add(r"50%_\input{x}[1]", "iou", 0.5).results()
    text = export(results, "latex", tmp_path, DEFAULT).read_text(encoding="utf-8")
    assert r"50\%\_\textbackslash{}input\{x\}{[}1] & 1 {[}1, 1] A & 0.500 {[}0.500, 0.500] \\" in text


def test_every_eval_ever_has_what_its_schema_asks_for(ranked, tmp_path):
    # Required by version 0.2.2 of the schema; "continuous" asks for both ends of the scale.
    folder = export(ranked, "every-eval-ever", tmp_path, DEFAULT)
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.iterdir())]
    assert len(reports) == 2
    for report in reports:
        assert {"schema_version", "evaluation_id", "retrieved_timestamp", "eval_library", "model_info"} <= report.keys()
        assert {"source_type", "source_organization_name", "evaluator_relationship"} <= report["source_metadata"].keys()
        assert {"name", "id"} <= report["model_info"].keys()
        for result in report["evaluation_results"]:
            assert result["source_data"] == {"dataset_name": "phantom", "source_type": "other"}
            config = result["metric_config"]
            assert (config.get("score_type") == "continuous") == ({"min_score", "max_score"} <= config.keys())
            assert all(isinstance(value, str) for value in result["generation_config"]["additional_details"].values())
    found = next(one for one in reports[0]["evaluation_results"] if one["evaluation_name"] == "seconds of a")
    assert (found["score_details"]["score"], found["metric_config"]["lower_is_better"]) == (pytest.approx(1.8), True)
    assert "max_score" not in found["metric_config"]


def test_weights_move_places_in_exports_too(ranked):
    frame = frame_of(ranked, {**DEFAULT, "cost": 5.0})
    assert row_of(frame, model="m", explainer="c", metric="iou")["place"] == 1


def test_export_answers_with_the_files_it_wrote(folder_of, ranked, tmp_path):
    command = [sys.executable, "-m", "xaibench", "export", str(folder_of(ranked)), "--format", "csv"]
    done = subprocess.run([*command, "--out", str(tmp_path / "new")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"csv: {tmp_path / 'new' / 'results.csv'}\n")
    assert len(pd.read_csv(tmp_path / "new" / "results.csv")) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--format", "csv"], "is not a results folder"),
        (["nowhere", "--format", "xml"], "'xml' is not one of 'csv'"),
        (["nowhere"], "say what to write: --format (csv, parquet, markdown, latex, every-eval-ever), or --maps FOLDER"),
    ],
)
def test_what_cannot_be_exported_ends_in_exit_code_2_and_a_message(arguments, message):
    done = subprocess.run([sys.executable, "-m", "xaibench", "export", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_verbs_tell_their_help_without_anything_heavy():
    heavy = "{'numpy', 'pandas', 'scipy', 'torch'}"
    code = f"import sys; import xaibench_leaderboard.verbs; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parquet_without_its_library_names_the_extra(ranked, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'xaibench\[parquet\]'"):
        export(ranked, "parquet", tmp_path, DEFAULT)


def test_a_folder_without_scores_is_refused(campaign, tmp_path):
    with pytest.raises(DataError, match="holds no scores yet"):
        export(campaign().results(), "csv", tmp_path / "new", DEFAULT)
    assert not (tmp_path / "new").exists()
