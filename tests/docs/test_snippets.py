"""What the documents show is done, page by page, in a folder of its own."""

import warnings
from pathlib import Path

import pytest

from xaibench_docs.snippets import Reader, Snippet, snippets

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BY_PAGE = {
    page.relative_to(ROOT).as_posix(): snippets(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))
    for page in PAGES
}
RUNNING = [page for page, blocks in BY_PAGE.items() if any(block.is_run for block in blocks)]
NOT_RUN_AT_MOST = 12
pytestmark = pytest.mark.timeout(900)  # on a busy machine


def is_slow(page):
    return any("slow" in block.marks for block in BY_PAGE[page])


def follow(page, folder, *, slow):
    """Do what the page shows; which of its blocks were left out."""
    reader, left_out, all_left_out = Reader(folder), False, []
    for block in BY_PAGE[page]:
        if "output" not in block.marks:
            left_out = "slow" in block.marks and not slow
        if left_out:  # nor is its output compared
            all_left_out.append(block)
        else:
            reader.follow(block)
    return all_left_out


@pytest.fixture(autouse=True)
def reader_of_its_own(tmp_path_factory, monkeypatch):
    """Nothing of the tester's own folders is seen; what is trained for one page serves the next."""
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("XAIBENCH_DATA", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the libraries that a page compares with
        yield


@pytest.mark.parametrize("page", RUNNING)
def test_what_a_page_shows_can_be_done(page, tmp_path):
    assert bool(follow(page, tmp_path, slow=False)) == is_slow(page)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in RUNNING if is_slow(page)])
def test_what_a_page_shows_can_be_done_all_of_it(page, tmp_path):
    assert follow(page, tmp_path, slow=True) == []


def test_few_blocks_are_not_run_and_each_says_why():
    left_out = [block for blocks in BY_PAGE.values() for block in blocks if "not run" in block.marks]
    assert all(len(block.marks["not run"]) > 10 for block in left_out)
    assert len(left_out) <= NOT_RUN_AT_MOST, [f"{block.page}:{block.line}" for block in left_out]


# ------------------------------------------------------------------------------------------- the reader is no pushover


def told(*blocks):
    return snippets("\n\n".join(blocks), "page.md")


def test_blocks_are_found_with_what_is_said_of_them():
    blocks = told(
        "<!-- run with: --limit 2 -->\n<!-- exit: 3 -->\n```bash\nxaibench run\n```",
        '```python title="a/b.py"\nx = 1\n```',
        "```text\nno output of anything\n```",
        "<!-- not run: it needs a cluster -->\n```bash\nsbatch it\n```",
    )
    assert [(block.language, block.file, block.is_run) for block in blocks] == [
        ("bash", "", True),
        ("python", "a/b.py", False),
        ("bash", "", False),
    ]
    assert blocks[0].marks == {"run with": "--limit 2", "exit": "3"}
    assert blocks[0].line == 3


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        (["```python\n1 / 0\n```"], ZeroDivisionError),
        (["```bash\nxaibench no-such-verb\n```"], AssertionError),
        (["<!-- exit: 2 -->\n```bash\nxaibench list engines\n```"], AssertionError),
        (["```bash\npip install something\n```"], AssertionError),
        (["```python\nprint(1)\n```", "<!-- output -->\n```text\n2\n```"], AssertionError),
        (["```python\nprint(1)\nprint(2)\n```", "<!-- output -->\n```text\n2\n1\n```"], AssertionError),
    ],
)
def test_what_does_not_work_is_told(blocks, error, tmp_path):
    reader, (*before, last) = Reader(tmp_path), told(*blocks)
    for block in before:
        reader.follow(block)
    with pytest.raises(error):
        reader.follow(last)


def test_a_page_is_done_from_top_to_bottom_in_one_folder(tmp_path):
    reader = Reader(tmp_path)
    for block in told(
        '```python title="mine.txt"\nhello\n```',
        "```python\nfrom pathlib import Path\ntext = Path('mine.txt').read_text()\n```",
        "```python\nprint(text, 3.14159)\n```",
        "<!-- output -->\n```text\nhello\n3.14...\n```",
    ):
        reader.follow(block)
    assert isinstance(told("```python\n```")[0], Snippet)
