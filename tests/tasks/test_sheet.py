"""The contact sheet, and the verb that writes it."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from xaibench_tasks.command import data
from xaibench_tasks.phantom import Phantom, PhantomShortcut
from xaibench_tasks.sheet import CAPTION, GAP, LESION, REGION, TILE, contact_sheet


def coloured(pixels, colour):
    return (np.asarray(pixels) == colour).all(axis=-1)


def tiles(sheet, count, columns=4):
    """The drawn halves of the pairs: those with the outlines."""
    width, height = 2 * TILE + 2 + 2 * GAP, TILE + CAPTION + GAP
    for at in range(count):
        left, top = (at % columns) * width + GAP + TILE + 2, (at // columns) * height + GAP
        yield np.asarray(sheet)[top : top + TILE, left : left + TILE]


def test_lesions_are_outlined_on_lesion_images_alone():
    task = Phantom(size=64, test=12)
    found = [coloured(tile, LESION).any() for tile in tiles(contact_sheet(task, "test", 12), 12)]
    assert found == [entry.label > 0 for entry in task.entries("test", 0)]


def test_an_outline_runs_round_its_mask_and_not_through_it():
    task = Phantom(size=TILE // 2, test=12)
    for tile, entry in zip(tiles(contact_sheet(task, "test", 12), 12), task.entries("test", 0), strict=True):
        sample = task.load(entry)
        if len(sample.lesions) == 1:
            inside = np.asarray(Image.fromarray(sample.lesions[0]).resize((TILE, TILE), Image.Resampling.NEAREST))
            line = coloured(tile, LESION)
            assert not (line & inside).any()
            rows, columns = np.nonzero(line)
            lesion_rows, lesion_columns = np.nonzero(inside)
            assert abs((rows.min() + rows.max()) - (lesion_rows.min() + lesion_rows.max())) <= 6
            assert columns.min() >= lesion_columns.min() - 3


def test_markers_are_outlined_in_a_colour_of_their_own():
    sheet = contact_sheet(PhantomShortcut(size=64, test=4), "test", 4)
    assert all(coloured(tile, REGION).any() for tile in tiles(sheet, 4))


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (4, 1, 4), (9, 3, 4)])
def test_the_sheet_is_as_large_as_its_images(count, rows, columns):
    sheet = contact_sheet(Phantom(size=64, test=12), "test", count)
    assert sheet.size == (columns * (2 * TILE + 2 + 2 * GAP), rows * (TILE + CAPTION + GAP) + GAP)


def test_more_images_than_there_are_gives_those_there_are():
    assert contact_sheet(Phantom(size=64, test=2), "test", 50).size[1] == TILE + CAPTION + 2 * GAP


def test_show_writes_a_png_and_prints_its_path(tmp_path):
    out = tmp_path / "new" / "sheet.png"
    done = CliRunner().invoke(data, ["show", "phantom-tiny(size=64)", "--out", str(out), "--count", "2"])
    assert done.exit_code == 0, done.output
    assert done.output == f"{out}\n"
    with Image.open(out) as image:
        assert image.format == "PNG"


def test_show_names_the_file_after_task_and_split(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(data, ["show", "phantom(size=64)", "--split", "val", "--count", "1"])
    assert done.output == "phantom-val.png\n"
    assert (tmp_path / "phantom-val.png").is_file()


@pytest.mark.parametrize("wrong", [["--split", "all"], ["--count", "0"]])
def test_show_refuses_what_cannot_be(wrong):
    assert CliRunner().invoke(data, ["show", "phantom", *wrong]).exit_code == 2
