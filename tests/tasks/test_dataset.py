"""From files to samples: decoded once, kept by content, whole after a kill, and honest about what is broken."""

import os
import pickle
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tasks.make import folder as make
from tests.tasks.make import mias as make_mias
from xaibench.errors import DataError, UsageError
from xaibench_tasks import frames
from xaibench_tasks.cache import PixelCache
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.filling import fill
from xaibench_tasks.frames import Frame
from xaibench_tasks.ledger import Ledger, perceptual_hash
from xaibench_tasks.mias import Mias
from xaibench_tasks.records import Circle, Record
from xaibench_tasks.sources import open_source
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Grey, Normalise, Resize

SPLITS = ("train", "val", "test")
REAL = Path(os.environ.get("XAIBENCH_DATA", "/nowhere")) / "mias"
needs_real_films = pytest.mark.skipif(not REAL.is_dir(), reason="XAIBENCH_DATA names no folder with mias/")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))


def write_images(place, count=24):
    place.mkdir(exist_ok=True)
    for number in range(count):
        Image.fromarray(make.pixels(number)).save(place / f"{number:02d}.png")
    return place


def records(count=24):
    return [
        Record(
            f"i{at:02d}", f"p{at // 2}", at % 2, f"{at:02d}.png", (Circle(30, 20, 9), Circle(5, 5, 2)) if at % 2 else ()
        )
        for at in range(count)
    ]


def task_of(place, known=None, **options):
    given = {"steps": (Grey(), Resize(32, 32)), "splitting": Splitting(), **options}
    return Dataset(
        card=DatasetCard(name="small", summary=""),
        classes=("a", "b"),
        shape=(1, 32, 32),
        source=open_source(place),
        records=known or records(),
        **given,
    )


def all_entries(task):
    return [entry for split in SPLITS for entry in task.entries(split, 0)]


def all_images(task):
    return np.stack([task.load(entry).image for entry in sorted(all_entries(task), key=lambda entry: entry.id)])


def images_in_another_process(task):
    return all_images(task)


# --------------------------------------------------------------------------------------------------------------- cache


def test_what_was_decoded_once_is_not_read_again(tmp_path):
    place = write_images(tmp_path / "x")
    first = task_of(place)
    before = [first.load(entry) for entry in all_entries(first)]
    again = task_of(place)
    again.fingerprint()
    again.source.read = None  # whoever reads, raises
    after = [again.load(entry) for entry in all_entries(again)]
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.image, other.image)
        assert len(one.lesions) == len(other.lesions) == 2 * one.entry.label
        assert all(np.array_equal(a, b) for a, b in zip(one.lesions, other.lesions, strict=True))


def test_samples_are_those_of_the_file_within_sixteen_bits(tmp_path):
    task = task_of(write_images(tmp_path / "x"))
    for entry in all_entries(task):
        exact = task.prepare(next(record for record in task.records if record.id == entry.id))
        found = task.load(entry)
        assert found.image.dtype == np.float32
        assert np.abs(found.image - exact.image).max() <= 0.5001 / 65535
        assert all(np.array_equal(a, b) for a, b in zip(found.lesions, exact.masks, strict=True))


def test_other_content_steps_or_lesions_have_another_cache_and_the_same_have_the_same(tmp_path):
    place = write_images(tmp_path / "x")
    base = task_of(place).fingerprint()
    assert task_of(place).fingerprint() == base
    assert task_of(place, steps=(Grey(), Normalise(), Resize(32, 32))).fingerprint() != base
    assert task_of(place, splitting=Splitting(seed=1)).fingerprint() != base
    moved = [Record(**{**vars(record), "lesions": (Circle(31, 20, 9),)}) for record in records()]
    assert task_of(place, moved).fingerprint() != base
    Image.fromarray(make.pixels(99)).save(place / "07.png")
    assert task_of(place).fingerprint() != base


def test_the_place_is_no_part_of_the_fingerprint(tmp_path):
    place = write_images(tmp_path / "x")
    shutil.copytree(place, tmp_path / "y")
    assert task_of(place).fingerprint() == task_of(tmp_path / "y").fingerprint()


def test_a_slot_counts_only_once_it_is_whole(tmp_path, monkeypatch):
    cache = PixelCache("key", (1, 4, 9), [1, 0])
    frame = Frame(np.full((1, 4, 9), 0.5, np.float32), (np.eye(4, 9, dtype=bool),))
    monkeypatch.setattr(np, "packbits", None)  # as if killed after the image and before the mask
    with pytest.raises(TypeError):
        cache.put(0, frame)
    monkeypatch.undo()
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    again = PixelCache("key", (1, 4, 9), [1, 0])
    assert again.get(0) is None
    again.put(0, frame)
    kept = PixelCache("key", (1, 4, 9), [1, 0]).get(0)
    assert np.array_equal(kept.masks[0], np.eye(4, 9, dtype=bool))
    assert np.allclose(kept.image, 0.5, atol=1e-5)
    assert again.get(1) is None


def test_many_processes_may_fill_one_cache_at_once(tmp_path):
    task = task_of(write_images(tmp_path / "x"))
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        found = list(pool.map(images_in_another_process, [task] * 4))
    assert all(np.array_equal(found[0], other) for other in found)
    assert np.array_equal(all_images(task), found[0])


@pytest.mark.parametrize("workers", [1, 3])
def test_all_can_be_decoded_ahead_and_trouble_is_named(tmp_path, workers):
    place = write_images(tmp_path / "x", 40)
    (place / "33.png").write_bytes(b"broken")
    task = task_of(place, records(40))
    seen = []
    troubles = fill(task, workers, lambda done, total: seen.append((done, total)))
    assert list(troubles) == ["i33"]
    assert "33.png" in troubles["i33"]
    assert seen[-1] == (40, 40)
    assert sum(task.decoded()) == 39
    assert fill(task, workers, lambda done, total: None).keys() == {"i33"}


def test_a_task_survives_pickling(tmp_path):
    task = task_of(write_images(tmp_path / "x"))
    before = all_images(task)
    assert np.array_equal(all_images(pickle.loads(pickle.dumps(task))), before)  # noqa: S301


# --------------------------------------------------------------------------------------------------------------- errors


def test_broken_and_missing_files_stop_a_strict_task_and_are_counted_by_a_lenient_one(tmp_path):
    place = write_images(tmp_path / "x")
    (place / "03.png").write_bytes((place / "03.png").read_bytes()[:60])
    strict = task_of(place)
    with pytest.raises(DataError, match=r"03\.png"):
        all_images(strict)
    (place / "05.png").unlink()
    with pytest.raises(DataError, match=r"has no file '05\.png'"):
        task_of(place)
    lenient = task_of(place, on_error="skip")
    assert set(lenient.skipped) == {"i03", "i05"} == set(lenient.card.skipped)
    assert len(all_images(lenient)) == 22


def test_a_file_mended_is_used_again(tmp_path):
    place = write_images(tmp_path / "x")
    whole = (place / "03.png").read_bytes()
    (place / "03.png").write_bytes(whole[:60])
    assert set(task_of(place, on_error="skip").skipped) == {"i03"}
    (place / "03.png").write_bytes(whole)
    assert task_of(place, on_error="skip").skipped == {}


def test_ids_must_be_unique_and_entries_ones_own(tmp_path):
    place = write_images(tmp_path / "x")
    with pytest.raises(DataError, match="'i00' occurs twice"):
        task_of(place, [*records(), records()[0]])
    task = task_of(place)
    with pytest.raises(DataError, match="is no image of small"):
        task.load(type(all_entries(task)[0])("other", "p", 0))
    with pytest.raises(UsageError, match="fold 1 was asked for"):
        task.entries("test", 1)


def test_steps_must_end_in_the_shape_that_is_promised(tmp_path):
    task = task_of(write_images(tmp_path / "x"), steps=(Grey(), Resize(16, 32)))
    with pytest.raises(DataError, match="after all steps"):
        task.load(all_entries(task)[0])


# ----------------------------------------------------------------------------------------------------- what is recorded


def test_leaks_are_looked_for_when_a_task_is_made_and_stand_on_its_card(tmp_path):
    place = write_images(tmp_path / "x")
    clean = task_of(place).card.leaks
    assert len(clean) == 1
    assert "0 group(s) of identical images, 0 pair(s) of near-duplicates" in clean[0]
    shutil.copy(place / "00.png", place / "21.png")
    found = task_of(place, splitting=Splitting(by="image")).card.leaks
    assert any(text.startswith("identical pixels: i00, i21") and "different labels" in text for text in found)
    assert any("patients have images in several splits" in text for text in found)


def test_a_large_set_is_not_read_to_be_opened(tmp_path, monkeypatch):
    place = write_images(tmp_path / "x")
    monkeypatch.setattr("xaibench_tasks.dataset.SMALL_COUNT", 10)
    task = task_of(place)
    assert "`xaibench data check` compares images" in task.card.leaks[0]
    assert task.ledger.pages == {}
    assert any("identical" in finding.what for finding in task.leaks())


def test_the_perceptual_hash_bears_what_copies_suffer_and_no_other_image():
    def distance(one, other):
        return (int(one, 16) ^ int(other, 16)).bit_count()

    films = [make_mias.film(number).astype(np.float32) / 255 for number in (1, 3, 5)]
    hashes = [perceptual_hash(film) for film in films]
    assert distance(hashes[0], perceptual_hash(frames.resized(films[0], 512, 512))) <= 8
    assert distance(hashes[0], perceptual_hash(films[0] ** np.float32(0.7))) <= 32
    assert min(distance(hashes[0], hashes[1]), distance(hashes[1], hashes[2])) > 40
    assert perceptual_hash(np.full((9, 9), 0.5, np.float32)) == ""


def test_a_ledger_keeps_what_it_found_and_forgets_files_that_changed(tmp_path):
    place = write_images(tmp_path / "x", 2)
    first = Ledger(open_source(place))
    known = first.digest("00.png"), first.pixels("00.png"), first.look("00.png")
    first.save()
    second = Ledger(open_source(place))
    second.source.read = None  # whoever reads, raises
    assert (second.digest("00.png"), second.pixels("00.png"), second.look("00.png")) == known
    Image.fromarray(make.pixels(77)).save(place / "00.png")
    assert Ledger(open_source(place)).digest("00.png") != known[0]


def test_normalising_per_set_uses_the_training_images_alone(tmp_path):
    place = write_images(tmp_path / "x")
    plain, normal = task_of(place), task_of(place, per_set=True)
    learned = np.stack([plain.load(entry).image for entry in plain.entries("train", 0)]).astype(np.float64)
    scaled = np.stack([normal.load(entry).image for entry in normal.entries("train", 0)]).astype(np.float64)
    expected = np.clip(0.5 + (learned - learned.mean()) / (6 * learned.std()), 0, 1)
    assert np.allclose(scaled, expected, atol=1e-5)
    for number in range(24):
        if f"i{number:02d}" in {entry.id for entry in plain.entries("test", 0)}:
            Image.fromarray(np.zeros((60, 48), np.uint8)).save(place / f"{number:02d}.png")
    other = task_of(place, per_set=True)
    assert np.allclose(np.stack([other.load(entry).image for entry in other.entries("train", 0)]), scaled, atol=1e-6)
    with pytest.raises(UsageError, match="folds=1"):
        task_of(place, per_set=True, splitting=Splitting(folds=3))


# ---------------------------------------------------------------------------------------------------------------- speed


def best_of(times, work):
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return min(spent)


@needs_real_films
def test_the_second_epoch_over_the_real_films_is_twenty_times_faster(capsys):
    task = Mias()
    entries = all_entries(task)

    def epoch():
        for entry in entries:
            task.load(entry)

    first, second = best_of(1, epoch), best_of(3, epoch)
    with capsys.disabled():
        told = f"first epoch {first:.2f} s, then {second:.3f} s: {first / second:.0f} times faster"
        sys.stdout.write(f"\n322 films at 224: {told}\n")
    assert len(entries) == 322
    assert first / second >= 20


HUNDRED_THOUSAND = """
import re, sys
from pathlib import Path
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.records import Circle, Record
from xaibench_tasks.sources import open_source
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Grey, Resize
known = [Record(f"i{at}", f"p{at // 4}", at % 3, f"{at % 24:02d}.png", (Circle(30, 20, 9),)) for at in range(100_000)]
task = Dataset(card=DatasetCard(name="many", summary=""), classes=("a", "b", "c"), shape=(1, 224, 224),
               source=open_source(sys.argv[1]), records=known, steps=(Grey(), Resize(224, 224)), splitting=Splitting())
def peak():  # of this process alone: what getrusage tells begins with the peak of the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))
before = peak()
for entry in task.entries("train", 0)[::35]:
    task.load(entry)
after = peak()
print(sum(task.decoded()), before // 1024, after // 1024)
"""


@pytest.mark.slow
def test_a_hundred_thousand_images_are_loaded_in_bounded_memory(tmp_path):
    place = write_images(tmp_path / "x")
    done = subprocess.run(
        [sys.executable, "-c", HUNDRED_THOUSAND, str(place)], capture_output=True, text=True, check=True
    )
    loaded, before, after = map(int, done.stdout.split())
    assert loaded == 2000
    assert before < 900  # MiB: the records and the index
    assert after - before < 2000 * 224 * 224 * 2 / 2**20 + 200  # pages of the mapped file that were written, no more
