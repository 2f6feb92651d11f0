"""Folders that earlier versions wrote, kept as they were: `schema-1-first` is the oldest there is."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from xaibench.results import load_results
from xaibench.store import Store

FROZEN = Path(__file__).with_name("frozen")


@pytest.fixture
def copied(tmp_path):
    return lambda name: Path(shutil.copytree(FROZEN / name, tmp_path / name))


def test_the_oldest_folder_is_read_as_it_was_written(copied):
    results = load_results(copied("schema-1-first"))
    scores = {result.labels["metric"]: result for result in results.scores}
    assert scores["iou"].ids == ("test-0044", "test-0041", "test-0032")
    assert scores["iou"].values == pytest.approx((1 / 30, 3 / 35, 4 / 39))
    assert scores["iou"].shares == ()  # nobody stored them then
    (prediction,) = results.predictions
    assert len(prediction.logits) == 3
    assert [verdict["verdict"] for by_metric in results.audit.values() for verdict in by_metric.values()] == [
        "not audited"
    ] * 2


def test_a_folder_of_schema_1_is_read_as_it_was_written_maps_too(copied):
    folder = copied("schema-1")
    results = load_results(folder)
    assert {(result.labels["explainer"], result.labels["metric"]) for result in results.scores} == {
        (explainer, metric) for explainer in ("saliency", "smoothgrad") for metric in ("iou", "deletion")
    }
    scores = {tuple(map(result.labels.get, ("explainer", "metric"))): result for result in results.scores}
    assert scores["smoothgrad", "deletion"].values == (0.33347421749379696, 0.33334909524273343, 0.3391030072988059)
    assert scores["smoothgrad", "iou"].shares == (0.0556640625,)
    (run,) = Store(folder).runs()
    for row in run["cells"]:
        if row["kind"] == "explain":
            (shard,) = Store(folder).shards(row["key"], 3)
            assert shard.maps().shape == (3, 64, 64)
            assert shard.maps().dtype == np.float32
