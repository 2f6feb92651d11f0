"""Heatmaps from files: the scores of the explainer that made them, and a plain word on whatever is amiss."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.own.conftest import BLOBS
from xaibench.errors import DataError, UsageError
from xaibench.identity import plugin_identity
from xaibench.registry import create, select
from xaibench_adapters.maps import Maps, read, stretched

EXACT = "iou,iou-dynamic,iou-matched,auprc,energy,pointing-game,sparseness,road,average-drop"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "maps"
    made.mkdir()
    return made


def batch(*ids, targets=None, size=4):
    images = torch.zeros(len(ids), 1, size, size)
    return SimpleNamespace(images=images, ids=ids, targets=torch.tensor(targets or [0] * len(ids)))


CLASSIFIER = SimpleNamespace(classes=("left", "right"))
MAP = np.arange(16, dtype=np.float32).reshape(4, 4)


def explained(folder, *ids, **more):
    return Maps(str(folder)).explain(CLASSIFIER, batch(*ids, **more))


# ------------------------------------------------------------ the promise


def test_maps_of_gradcam_from_files_have_exactly_the_scores_of_running_gradcam(bench, xaibench):
    ended, _ = bench("net.py:Small(width=6)", "gradcam", EXACT, limit=36)
    assert ended.code == 0
    exported = xaibench("export", "out", "--maps", "maps")
    assert exported.code == 0, exported.err
    (written,) = re.findall(r"maps: (.*)", exported.out)
    ended, results = bench(
        "net.py:Small(width=6)", f'maps("folder={written}")'.replace('"folder=', 'folder="'), EXACT, limit=36
    )
    assert ended.code == 0, ended.err
    found = {}
    for one in results.scores:
        found.setdefault(one.labels["metric"], {})[one.labels["explainer"].partition("(")[0]] = one
    assert set(found) == set(EXACT.split(","))
    for metric, both in found.items():
        assert both["maps"].status == "ok"
        assert both["maps"].key != both["gradcam"].key
        assert both["maps"].values == both["gradcam"].values, metric
        assert both["maps"].failed == both["gradcam"].failed
        assert both["maps"].curves == both["gradcam"].curves
    assert len(set(found["energy"]["gradcam"].values)) > 10  # there is something to be equal


def test_what_cannot_be_known_of_maps_from_files_is_unsupported(bench, xaibench, place):
    bench("net.py:net", "gradcam", "iou")
    xaibench("export", "out", "--maps", "maps")
    written = "maps/toy_plugins.py_Blobs/net.py_net/gradcam"
    metrics = "iou,stability,seconds,mprt,class-sensitivity,max-sensitivity"
    ended, results = bench("net.py:net,net.py:Small", f"maps:{written}", metrics, out="again")
    assert ended.code == 0
    reasons = {(one.labels["model"], one.labels["metric"]): one.reason for one in results.scores}
    assert reasons.pop(("net.py:net", "iou")) == ""
    assert reasons["net.py:net", "seconds"] == "maps were made before: what they cost is not known"
    assert reasons["net.py:net", "stability"] == "maps were made before: there are no others (seed:1)"
    assert reasons["net.py:Small", "iou"] == "these maps are of net.py:net"
    assert all(reasons.values())


# ------------------------------------------------------------ files and names


def test_every_kind_of_file_is_read_as_the_numbers_in_it(folder):
    np.save(folder / "a.npy", MAP)
    np.savez(folder / "b.npz", MAP)
    Image.fromarray(MAP.astype(np.uint8)).save(folder / "c.png")
    Image.fromarray((MAP * 1000).astype(np.uint16)).save(folder / "d.png")
    Image.fromarray(MAP).save(folder / "e.tif")
    np.save(folder / "f.npy", MAP[None].astype(np.float64))
    maps = explained(folder, *"abcdef")
    assert maps.dtype == np.float32
    for at, expected in enumerate([MAP, MAP, MAP, MAP * 1000, MAP, MAP]):
        assert np.array_equal(maps[at], expected), at


def test_nifti_is_read_with_rows_first(folder):
    nibabel = pytest.importorskip("nibabel")
    for ending in (".nii", ".nii.gz"):
        nibabel.save(nibabel.Nifti1Image(MAP[:, :, None], np.eye(4)), folder / f"x{ending}")
        assert np.array_equal(read(folder / f"x{ending}"), MAP)


def test_ids_with_slashes_lie_in_folders_or_are_escaped_and_image_endings_may_be_left_out(folder):
    (folder / "images").mkdir()
    np.save(folder / "images" / "01.npy", MAP)
    np.save(folder / "images%2F02.png.npy", MAP + 1)
    np.save(folder / "ä ö.npy", MAP + 2)
    maps = explained(folder, "images/01.png", "images/02.png", "ä ö")
    assert [one[0, 0] for one in maps] == [0, 1, 2]


def test_an_index_says_which_map_is_for_which_image_and_class(folder):
    for at in range(3):
        np.save(folder / f"{at}.npy", MAP + at)
    (folder / "index.csv").write_text("id,file,target\nx,0.npy,left\nx,1.npy,right\n../y,2.npy,\n")
    maps = explained(folder, "x", "x", "../y", "0", targets=[0, 1, 1, 0])
    assert [one[0, 0] for one in maps[:3]] == [0, 1, 2]
    assert np.isnan(maps[3]).all()


def test_an_image_without_a_map_is_a_failed_map_and_never_another_ones(folder, bench, place):
    task = create("tasks", BLOBS).plugin
    entries = task.entries("test", 0)
    for entry in entries[:-1]:
        np.save(folder / f"{entry.id}.npy", np.random.default_rng(0).random((16, 16)))
    ended, results = bench("net.py:net", f"maps:{folder}", "energy,sparseness", limit=80)
    assert f"1 of 80 test images has no map ({entries[-1].id})" in ended.err
    (sparseness,) = [one for one in results.scores if one.labels["metric"] == "sparseness"]
    assert dict(zip(sparseness.ids, sparseness.failed, strict=True)) == {
        entry.id: entry is entries[-1] for entry in sorted(entries, key=lambda one: sparseness.ids.index(one.id))
    }


def test_smaller_maps_are_stretched_linearly_and_it_is_told(folder, place):
    assert np.allclose(stretched(np.array([[0, 4]], np.float32), (2, 4)), [[0, 1, 3, 4]] * 2)
    task = create("tasks", BLOBS).plugin
    for entry in task.entries("test", 0):
        np.save(folder / f"{entry.id}.npy", MAP)
    assert list(Maps(str(folder)).notes(task)) == ["maps of 4 x 4 are stretched to 16 x 16, linearly"]


def test_other_content_is_another_identity_and_another_place_is_not(folder, tmp_path):
    np.save(folder / "a.npy", MAP)
    before = plugin_identity(create("explainers", f"maps:{folder}"))
    np.save(folder / "a.npy", MAP + 1)
    after = plugin_identity(create("explainers", f"maps:{folder}"))
    moved = plugin_identity(create("explainers", f"maps:{folder.rename(tmp_path / 'elsewhere')}"))
    assert before != after == moved


# ------------------------------------------------------------ mistakes


def spoil(file, how):
    if how == "shape":
        np.save(file, np.zeros((3, 16, 16)))
    elif how == "zip":
        np.savez(file.with_suffix(".npz"), MAP)
        file.unlink()
        file.with_suffix(".npz").write_bytes(file.with_suffix(".npz").read_bytes()[:60])
    else:
        file.write_bytes(b"nothing")


@pytest.mark.parametrize("how", ["shape", "zip", "noise"])
def test_one_file_that_is_no_map_is_one_failed_map_and_is_named(folder, bench, place, how):
    entries = create("tasks", BLOBS).plugin.entries("test", 0)
    for entry in entries:
        np.save(folder / f"{entry.id}.npy", np.random.default_rng(0).random((16, 16)))
    spoil(folder / f"{entries[3].id}.npy", how)
    ended, results = bench("net.py:net", f"maps:{folder}", "sparseness", limit=80)
    assert ended.code == 0, ended.err
    assert re.search(rf"1 of 80 files holds no map and counts as failed: .*{entries[3].id}\.np", ended.err)
    (sparseness,) = results.scores
    failed = dict(zip(sparseness.ids, sparseness.failed, strict=True))
    assert [name for name, is_failed in failed.items() if is_failed] == [entries[3].id]


def test_a_folder_without_any_map_that_can_be_read_is_an_error(folder):
    for entry in create("tasks", BLOBS).plugin.entries("test", 0):
        np.save(folder / f"{entry.id}.npy", np.zeros((3, 16, 16)))
    with pytest.raises(DataError, match=r"none of the 80 files .* is a map: .*shape \(3, 16, 16\)"):
        list(Maps(str(folder)).notes(create("tasks", BLOBS).plugin))


def test_a_coloured_overlay_is_refused(folder):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "a.png")
    with pytest.raises(DataError, match=r"in colour \(RGB\): a picture of a map"):
        read(folder / "a.png")


def test_mistakes_in_the_folder_are_told(folder, tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        Maps(str(tmp_path / "nothing"))
    with pytest.raises(DataError, match=r"holds no heatmaps: expected \.npy"):
        Maps(str(folder))
    np.save(folder / "a.npy", MAP)
    Image.fromarray(MAP.astype(np.uint8)).save(folder / "a.png")
    with pytest.raises(DataError, match=r"a\.npy and a\.png are both maps of a"):
        Maps(str(folder))
    (folder / "a.png").unlink()
    with pytest.raises(DataError, match=r"has no map of any of the 80 test images.*test-0000.*here are a"):
        list(Maps(str(folder)).notes(create("tasks", BLOBS).plugin))


@pytest.mark.parametrize(
    ("index", "told"),
    [
        ("name,file\nx,a.npy\n", r"expected columns id and file, found name, file"),
        ("id,file\nx,b.npy\n", r"index\.csv:2: there is no file 'b\.npy'"),
        ("id,file\nx,../secret.npy\n", r"index\.csv:2: there is no file '\.\./secret\.npy'"),
        ("id,file\nx,a.npy\nx,a.npy\n", r"index\.csv:3: x has a map in line 2 already"),
    ],
)
def test_mistakes_in_the_index_are_told_by_line(folder, index, told):
    np.save(folder / "a.npy", MAP)
    np.save(folder.parent / "secret.npy", MAP)
    (folder / "index.csv").write_text(index)
    with pytest.raises(DataError, match=told):
        Maps(str(folder))


@pytest.mark.parametrize("content", [np.zeros((4, 4, 3)), np.zeros(5), np.array(["x"]), np.array([[1j]])])
def test_arrays_that_are_no_maps_are_refused(folder, content):
    np.save(folder / "a.npy", content)
    with pytest.raises(DataError, match=r"a\.npy holds .* a map is numbers \[rows, columns\]"):
        read(folder / "a.npy")


def test_a_broken_file_is_told_and_pickles_are_never_opened(folder):
    (folder / "a.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"a\.npy cannot be read as a map"):
        read(folder / "a.npy")
    np.save(folder / "a.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy cannot be read as a map"):
        read(folder / "a.npy")


def test_maps_take_part_only_where_they_are_named(place):
    for pattern in ("all", "default", "ma*"):
        assert "maps" not in [one.name for one in select("explainers", f"gradcam,{pattern}")]
    with pytest.raises(UsageError, match="say where the maps are: maps:FOLDER"):
        create("explainers", "maps").plugin.explain(CLASSIFIER, batch("a"))


def test_export_without_anything_asked_says_what_there_is(xaibench):
    assert "--maps FOLDER" in xaibench("export", "out").err
