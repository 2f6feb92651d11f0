"""Windows round a lesion and beside all of them."""

import numpy as np
import pytest

from xaibench.errors import DataError
from xaibench_tasks.steps import Frame
from xaibench_tasks.windows import BackgroundWindow, BoundingBox, LesionWindow


def frame(shape, *boxes, image=None):
    """A film whose pixels say where they come from, with rectangles for lesions."""
    masks = []
    for top, bottom, left, right in boxes:
        mask = np.zeros(shape, np.bool_)
        mask[top:bottom, left:right] = True
        masks.append(mask)
    if image is None:
        image = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape) / (shape[0] * shape[1])
    return Frame(image, tuple(masks))


def corner(cut, film):
    """Where the window lies, read off its first pixel."""
    at = round(float(cut.image[0, 0]) * film.image.size)
    return divmod(at, film.shape[1])


def test_a_bounding_box_is_the_lesion_and_nothing_else():
    film = frame((100, 80), (30, 50, 20, 45))
    cut = BoundingBox()(film)
    assert cut.image.shape == (20, 25)
    assert corner(cut, film) == (30, 20)
    assert cut.masks[0].all()


def test_context_adds_to_every_side_and_ends_at_the_film():
    cut = BoundingBox(context=0.5)(frame((100, 80), (5, 25, 20, 40)))
    assert cut.image.shape == (35, 40)  # 5 rows above are all there are; 10 below, 10 to either side


def test_a_tiny_lesion_gets_a_patch_of_the_least_size():
    assert BoundingBox(least=8)(frame((100, 80), (50, 51, 40, 41))).image.shape in [(8, 8), (9, 9)]


@pytest.mark.parametrize("box", [(0, 5, 0, 5), (95, 100, 75, 80), (40, 60, 30, 50), (30, 70, 20, 60)])
def test_a_window_holds_the_whole_lesion_and_stays_in_the_film(box):
    film = frame((100, 80), box)
    for seed in range(20):
        cut = LesionWindow(40, seed)(film)
        assert cut.image.shape == (40, 40)
        assert cut.masks[0].sum() == (box[1] - box[0]) * (box[3] - box[2])


def test_the_place_in_the_window_is_drawn_by_lot_and_by_nothing_else():
    film = frame((300, 300), (140, 160, 140, 160))
    places = [corner(LesionWindow(100, seed)(film), film) for seed in range(200)]
    rows = [row for row, _ in places]
    # From 60 (lesion at the lower edge of the window) to 140 (at the upper edge), evenly.
    assert min(rows) < 66
    assert max(rows) > 134
    assert 94 < np.mean(rows) < 106
    assert places[7] == corner(LesionWindow(100, 7)(film), film)


def test_of_a_lesion_larger_than_the_window_the_middle_is_shown():
    film = frame((100, 80), (10, 90, 5, 75))
    cut = LesionWindow(40)(film)
    assert corner(cut, film) == (30, 20)
    assert cut.masks[0].all()


def test_a_film_smaller_than_the_window_is_shown_whole():
    assert LesionWindow(550)(frame((100, 80), (10, 20, 10, 20))).image.shape == (100, 80)


def test_an_empty_mask_is_an_error():
    with pytest.raises(DataError, match="empty"):
        LesionWindow(40)(frame((100, 80), (0, 0, 0, 0)))


def half_breast():
    """The left half of the film is breast."""
    image = np.zeros((200, 200), np.float32)
    image[:, :100] = 0.8
    return image


def test_background_shows_no_lesion_and_enough_breast():
    film = frame((200, 200), (60, 120, 0, 60), image=half_breast())
    for seed in range(50):
        cut = BackgroundWindow(40, tissue=0.5, seed=seed)(film)
        assert cut.image.shape == (40, 40)
        assert cut.masks == ()
        assert (cut.image > 0).mean() >= 0.5 - 1 / 40


@pytest.mark.parametrize("side", [60, 130])
def test_background_keeps_off_every_lesion_to_the_pixel(side):
    """Also where places are searched in steps of several pixels, and the lesions are thinner than a step."""
    image = np.where(np.indices((400, 400)).sum(axis=0) % 2, 0.7, 0.8).astype(np.float32)
    film = frame((400, 400), (0, 400, 137, 138), (0, 400, 270, 271), (150, 151, 0, 400), image=image)
    marked = np.where(np.logical_or.reduce(film.masks), np.float32(0.05), film.image)
    for seed in range(50):
        cut = BackgroundWindow(side, tissue=0, seed=seed)(Frame(marked, film.masks))
        assert cut.image.shape == (side, side)
        assert (cut.image > 0.1).all()


def test_where_there_is_too_little_breast_the_most_is_taken():
    image = np.zeros((200, 200), np.float32)
    image[80:110, 20:50] = 0.8
    cut = BackgroundWindow(100, tissue=0.9, seed=1)(frame((200, 200), image=image))
    assert (cut.image > 0).sum() == 900


def test_a_film_full_of_lesions_has_no_background():
    with pytest.raises(DataError, match="no 150 x 150 place off its lesions"):
        BackgroundWindow(150)(frame((200, 200), (90, 110, 90, 110)))
