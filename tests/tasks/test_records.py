"""Lesions as pixels: every kind of outline, worked out by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from xaibench.errors import DataError
from xaibench_tasks.records import Box, Circle, FilledOutline, MaskFile, Polygon, Record, draw, nearest
from xaibench_tasks.sources import open_source


def points(mask):
    return {(int(row), int(column)) for row, column in np.argwhere(mask)}


@pytest.fixture
def stored(tmp_path):
    """Draw a mask file and read it as an outline of a film."""

    def store(pixels, outline, shape):
        file = io.BytesIO()
        Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
        (tmp_path / outline.name).write_bytes(file.getvalue())
        return draw(outline, shape, open_source(tmp_path))

    return store


def test_a_circle_has_the_pixels_within_its_radius():
    assert points(draw(Circle(2, 3, 1), (5, 6), None)) == {(1, 3), (2, 2), (2, 3), (2, 4), (3, 3)}
    assert points(draw(Circle(0, 0, 1), (5, 6), None)) == {(0, 0), (0, 1), (1, 0)}
    assert points(draw(Circle(20, 20, 3), (5, 6), None)) == set()


def test_a_box_has_its_first_rows_and_not_its_last():
    assert points(draw(Box(1, 2, 3, 4), (5, 6), None)) == {(1, 2), (1, 3), (2, 2), (2, 3)}
    assert points(draw(Box(-3, -2, 1, 2), (5, 6), None)) == {(0, 0), (0, 1)}
    assert points(draw(Box(-3, -2, -1, -1), (5, 6), None)) == set()


def test_a_polygon_has_its_corners_and_what_lies_between():
    square = draw(Polygon(((1, 1), (1, 3), (3, 3), (3, 1))), (5, 6), None)
    assert points(square) >= {(1, 1), (1, 3), (3, 3), (3, 1), (2, 2)}
    assert points(square) <= {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    assert points(draw(Polygon(((2, 4),)), (5, 6), None)) == {(2, 4)}
    assert points(draw(Polygon(((9, 9),)), (5, 6), None)) == set()
    with pytest.raises(DataError, match="without points"):
        draw(Polygon(()), (5, 6), None)


def test_a_mask_file_is_bright_where_the_lesion_is(stored):
    pixels = [[0, 127, 128], [255, 3, 0]]
    assert points(stored(pixels, MaskFile("m.png"), (2, 3))) == {(0, 2), (1, 0)}


def test_a_mask_of_ones_counts_by_its_own_maximum(stored):
    assert points(stored([[0, 1], [1, 0]], MaskFile("m.png", None), (2, 2))) == {(0, 1), (1, 0)}
    assert points(stored([[0, 0], [0, 0]], MaskFile("m.png", None), (2, 2))) == set()


def test_codes_name_the_values_that_count(stored):
    pixels = [[0, 1, 2], [20, 1, 0]]
    assert points(stored(pixels, MaskFile("m.png", codes=(1, 20)), (2, 3))) == {(0, 1), (1, 0), (1, 1)}


def test_an_outline_is_filled(stored):
    ring = np.zeros((5, 5))
    ring[1:4, 1:4] = 200
    ring[2, 2] = 9  # what compression leaves inside
    assert points(stored(ring, FilledOutline("m.png"), (5, 5))) == {(r, c) for r in (1, 2, 3) for c in (1, 2, 3)}


def test_a_mask_of_another_size_is_brought_to_the_films(stored):
    assert points(stored([[0, 255]], MaskFile("m.png"), (2, 4))) == {(0, 2), (0, 3), (1, 2), (1, 3)}


def test_nearest_takes_the_pixel_under_the_middle():
    assert nearest(np.array([[True, False, False]]), (1, 1)).tolist() == [[False]]
    assert nearest(np.array([[False, True, False]]), (1, 1)).tolist() == [[True]]
    assert nearest(np.eye(2, dtype=bool), (4, 4)).tolist() == np.eye(2, dtype=bool).repeat(2, 0).repeat(2, 1).tolist()


def test_a_record_names_every_file_it_needs():
    record = Record("a", "p", 0, "a.png", (MaskFile("m.png"), Circle(1, 1, 1), FilledOutline("o.png")))
    assert record.files() == ("a.png", "m.png", "o.png")
