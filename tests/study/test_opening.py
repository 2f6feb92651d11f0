"""What the README opens with is what the code makes of the packed results."""

from pathlib import Path

import matplotlib as mpl
import pytest

from xaibench.errors import DataError
from xaibench_leaderboard.study.figures import save
from xaibench_leaderboard.study.opening import ARCHIVE, PICTURE, drawn, opening, placed, shown_of, write_opening

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def shown():
    return shown_of(DOCS / ARCHIVE)


def test_the_readme_holds_the_block_that_the_results_give(shown):
    assert opening(shown, Path("docs/results")) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_picture_is_the_one_that_the_results_give(shown, tmp_path):
    save(drawn(shown), tmp_path / PICTURE)
    made, kept = ((folder / PICTURE).read_text(encoding="utf-8") for folder in (tmp_path, DOCS))
    for row in shown.board.rows:
        assert f">{row.name}</text>" in kept
    if f"Matplotlib v{mpl.__version__}" in kept:  # another one may set the same text elsewhere
        assert made == kept


def test_the_picture_is_drawn_and_small(shown):
    assert (DOCS / PICTURE).stat().st_size < 120_000
    assert "<image" not in (DOCS / PICTURE).read_text(encoding="utf-8")


def test_the_board_shows_the_truth_above_explainers_above_noise(shown):
    means = {row.name: shown.estimate(row, "iou-matched").mean for row in shown.board.rows}
    best = max(means[row.name] for row in shown.board.methods)
    assert means["roi"] > means["roi-grid"] > best > means["random"]


def test_a_readme_gets_the_block_behind_its_title_and_has_it_replaced_after_that(tmp_path):
    begun = placed("# name\n\ntext\n", "<!-- made by `xaibench reproduce --opening`: -->\none\n<!-- up to here -->")
    assert begun.startswith("# name\n\n<!-- made by")
    again = placed(begun, "<!-- made by `xaibench reproduce --opening`: -->\ntwo\n<!-- up to here -->")
    assert "one" not in again
    assert again.endswith("<!-- up to here -->\n\ntext\n")


def test_without_results_there_is_no_opening(tmp_path):
    (tmp_path / "README.md").write_text("# name\n")
    with pytest.raises(DataError, match="--board FOLDER"):
        write_opening(tmp_path / "README.md", tmp_path, None)
