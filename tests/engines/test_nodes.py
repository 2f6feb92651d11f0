"""What is asked of a Ray cluster, and what travels to its nodes: Ray itself stands aside here."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from xaibench.contracts import Cell
from xaibench.engines.ray_cluster import Ray
from xaibench.engines.replica import _with_local_weights, kept
from xaibench.engines.work import Work

pytest.importorskip("ray")


class Recorder:
    """The calls of Ray that the engine makes, with a cluster of these resources."""

    def __init__(self, **resources):
        self.resources, self.actors, self.objects = resources, [], []

    def cluster_resources(self):
        return self.resources

    def put(self, value):
        self.objects.append(value)
        return len(self.objects)

    def remote(self, **asked):
        self.actors.append(asked)
        actor = SimpleNamespace(about=SimpleNamespace(remote=lambda: object()))
        return lambda kind: SimpleNamespace(remote=lambda *arguments: actor)


def cell(name, weights, count=32):
    identity = {"fold": 0, "precision": "fp32", "seed": 0}
    return Cell(name, "explain", identity, {}, {}, {"weights": str(weights)}, count, count)


def engine_on(cluster, monkeypatch, **options):
    engine = Ray(**options)
    engine._ray = cluster
    engine._rooms = engine._count_rooms()
    monkeypatch.setattr(engine, "_head_answers", lambda: True)
    return engine


@pytest.mark.parametrize(("gpus", "rooms"), [(0.25, 8), (0.5, 4), (1.0, 2), (0.0, 16)])
def test_fractions_of_a_gpu_put_several_actors_on_one(monkeypatch, tmp_path, gpus, rooms):
    cluster = Recorder(CPU=16.0, GPU=2.0)
    engine = engine_on(cluster, monkeypatch, gpus=gpus)
    engine._staff(Work.of([cell(str(number), tmp_path) for number in range(40)], 32), object)
    assert len(cluster.actors) == rooms
    assert {asked["num_gpus"] for asked in cluster.actors} == {gpus}


def test_weights_are_handed_to_the_cluster_once_however_many_cells_and_stages_need_them(monkeypatch, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"weights")
    two.write_bytes(b"others")
    cluster = Recorder(CPU=2.0)
    engine = engine_on(cluster, monkeypatch)
    engine._put_weights([cell("a", one), cell("b", one), cell("c", two)])
    engine._put_weights([cell("d", one)])  # the next stage
    assert sorted(value.tobytes() for value in cluster.objects) == [b"others", b"weights"]


def test_a_node_without_the_file_writes_it_once_for_all_its_actors(monkeypatch, tmp_path):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=lambda reference: reference))
    sent = np.frombuffer(b"weights", dtype=np.uint8)
    away, here = tmp_path / "elsewhere" / "w.safetensors", tmp_path / "w.safetensors"
    here.write_bytes(b"mine")
    first = _with_local_weights(cell("a", away), {str(away): sent}).references["weights"]
    assert Path(first).read_bytes() == b"weights"
    (file,) = (tmp_path / "cache" / "weights" / "sent").iterdir()
    written = file.stat().st_mtime_ns
    assert _with_local_weights(cell("b", away), {str(away): sent}).references["weights"] == first
    assert file.stat().st_mtime_ns == written
    assert kept(b"others") != file
    assert _with_local_weights(cell("c", here), {str(here): sent}).references["weights"] == str(here), "it has its own"
