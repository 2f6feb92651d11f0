"""Heatmaps as they are stored: bit for bit unless rounding was asked for, and rounded ones never pass for exact."""

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from xaibench.__main__ import call
from xaibench.errors import Damaged
from xaibench.mapfiles import decode, encode
from xaibench.results import load_results
from xaibench.store import Store

PLUGINS = Path(__file__).with_name("plenty_plugins.py")


def odd_maps():
    """Everything that a float32 can be."""
    rng = np.random.default_rng(0)
    maps = (rng.standard_normal((6, 5, 7)) * 10.0 ** rng.integers(-30, 30, (6, 1, 1))).astype(np.float32)
    maps[1] = 0
    maps[2, 0] = np.nan
    maps[3, 0, :2] = np.inf, -np.inf
    maps[4, 0, 0] = np.float32(1e-45)
    maps[5] = -0.0
    return maps


@pytest.mark.parametrize("coding", ["exact", "packed"])
def test_maps_are_read_as_they_were_written_bit_for_bit(coding):
    maps = odd_maps()
    _, content, facts = encode(maps, coding)
    again = decode(content, json.loads(json.dumps(facts)))
    assert again.dtype == np.float32
    assert again.tobytes() == maps.tobytes()


def test_rounding_errs_by_a_2048th_of_a_number_or_by_next_to_nothing_of_the_greatest():
    maps = odd_maps()
    _, content, facts = encode(maps, "fp16")
    again = decode(content, json.loads(json.dumps(facts)))
    finite = np.isfinite(maps)
    np.testing.assert_array_equal(again[~finite], maps[~finite])
    greatest = np.where(finite, np.abs(maps), 0).max(axis=(1, 2), keepdims=True)
    allowed = np.maximum(np.abs(maps, dtype=np.float64) / 2048, greatest * 2.0**-24)
    assert (np.abs(again[finite].astype(np.float64) - maps[finite]) <= allowed[finite]).all()


def test_a_gradient_too_small_for_16_bits_is_not_flattened():
    maps = np.linspace(1e-12, 2e-12, 64, dtype=np.float32).reshape(1, 8, 8)
    assert np.unique(maps.astype(np.float16)).size == 1  # what plain rounding would make of it
    again = decode(*encode(maps, "fp16")[1:])
    assert np.unique(again).size == 64
    np.testing.assert_allclose(again, maps, rtol=1 / 2048)


def test_packing_a_smooth_map_saves_room():
    slope = np.linspace(0, 1, 64)
    maps = np.stack([np.outer(slope, np.sin(slope * step)) for step in range(1, 5)]).astype(np.float32)
    sizes = {coding: len(encode(maps, coding)[1]) for coding in ("exact", "packed", "fp16")}
    assert sizes["fp16"] < sizes["packed"] < 0.9 * sizes["exact"]


def test_a_stranger_cannot_have_more_unpacked_than_the_record_tells():
    _, content, facts = encode(np.zeros((1, 400, 400), dtype=np.float32), "packed")
    assert len(content) < 2000
    with pytest.raises(Damaged, match="does not hold the maps"):
        decode(content, {**facts, "shape": [1, 4, 4]})
    with pytest.raises(Damaged, match="does not hold the maps"):
        decode(content, {**facts, "shape": [1, 800, 800]})


def run(out, *options, metrics="MeanInside"):
    chosen = ",".join(f"{PLUGINS}:{name}" if name[0].isupper() else name for name in metrics.split(","))
    arguments = [
        "run", "--tasks", f"{PLUGINS}:Plenty(count=40)", "--models", f"{PLUGINS}:Grey", "--explainers",
        f"{PLUGINS}:Ramp", "--metrics", chosen, "--no-references", "--no-audit", "--json", "--out", str(out), *options,
    ]  # fmt: skip
    with redirect_stdout(StringIO()) as text, redirect_stderr(StringIO()):
        assert call(arguments) == 0
    return json.loads(text.getvalue())["cells"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


def keys(cells):
    return {cell["kind"]: cell["key"] for cell in cells}


def test_packed_maps_have_the_keys_and_scores_of_exact_ones_and_serve_in_their_place(tmp_path):
    exact, packed = run(tmp_path / "a"), run(tmp_path / "b", "--maps", "packed")
    assert keys(exact) == keys(packed)
    assert load_results(tmp_path / "a").scores[0].values == load_results(tmp_path / "b").scores[0].values
    for one, other in zip(*(Store(tmp_path / name).shards(keys(exact)["explain"], 40) for name in "ab"), strict=True):
        assert one.maps().tobytes() == other.maps().tobytes()
    assert not list((tmp_path / "b").rglob("maps.npy"))
    assert all(cell["cached"] for cell in run(tmp_path / "b"))


def test_rounded_maps_have_keys_and_a_row_of_their_own_beside_the_exact_ones(tmp_path):
    exact, rounded = run(tmp_path / "a"), run(tmp_path / "a", "--maps", "fp16")
    assert keys(exact)["predict"] == keys(rounded)["predict"]
    assert keys(exact)["explain"] != keys(rounded)["explain"]
    assert keys(exact)["score"] != keys(rounded)["score"]
    labels = {result.labels["explainer"].rpartition(":")[2] for result in load_results(tmp_path / "a").scores}
    assert labels == {"Ramp", "Ramp [fp16]"}
    shard = Store(tmp_path / "a").shard(keys(rounded)["explain"], 0, 32)
    assert (shard.maps() == shard.maps().astype(np.float16)).all()  # greatest number 1: the scale is a power of two


def test_maps_that_are_not_kept_leave_the_same_scores_and_are_made_again_for_another_metric(tmp_path):
    kept, dropped = run(tmp_path / "a"), run(tmp_path / "b", "--maps", "none")
    assert keys(kept) == keys(dropped)
    assert load_results(tmp_path / "a").scores[0].values == load_results(tmp_path / "b").scores[0].values
    assert not list((tmp_path / "b").rglob("maps.*"))
    assert all(cell["cached"] for cell in run(tmp_path / "b", "--maps", "none"))
    again = {cell["kind"]: cell["cached"] for cell in run(tmp_path / "b", "--maps", "none", metrics="iou")}
    assert again == {"predict": True, "explain": False, "score": False}
    assert not list((tmp_path / "b").rglob("maps.*"))
    run(tmp_path / "a", metrics="iou")
    both = [
        {result.labels["metric"]: result.values for result in load_results(tmp_path / name).scores} for name in "ab"
    ]
    assert both[0] == both[1]
