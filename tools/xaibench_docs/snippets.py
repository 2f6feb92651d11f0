"""The blocks of code in the documents: found, and run as a reader would run them, page by page.

A comment on the line before a block says how it is tested:

    <!-- not run: REASON -->            it is shown and not run
    <!-- slow -->                       it is run with the slow tests only, and so is the rest of its page
    <!-- run with: --limit 2 ... -->    these options are put behind every `xaibench run` of the block; so for any verb
    <!-- prepare: run --out a; ... -->  what the reader has done before
    <!-- exit: 4 -->                    its last line ends with this exit code
    <!-- output -->                     this block of text stands in the output of the block before it, line by line

A block with a title (```python title="mine.py"), or whose first line is `# mine.py`, is a file and nothing to run.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xaibench.__main__ import call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BLOCK = re.compile(
    r"(?P<marks>(?:^[ ]*<!--[^\n]*-->\n+)*)^[ ]*```(?P<language>\w+)(?P<title>[^\n]*)\n(?P<code>.*?)^[ ]*```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
MARK = re.compile(r"<!-- (not run|slow|\w+ with|prepare|exit|output):? ?(.*?) ?-->")
RUN = ("python", "bash")


@dataclass(frozen=True)
class Snippet:
    """One block."""

    page: str
    line: int
    language: str
    code: str
    file: str = ""
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def is_run(self) -> bool:
        """Whether the tests run it."""
        return self.language in RUN and not self.file and "not run" not in self.marks


def snippets(text: str, page: str) -> list[Snippet]:
    """The blocks of a document that are run, written as files, or compared with an output."""
    found = []
    for block in BLOCK.finditer(text):
        marks = dict(MARK.findall(block["marks"]))
        file = re.search(r'title="([^"]+)"', block["title"]) or re.match(r"# (\w+\.py)\n", block["code"])
        line = text.count("\n", 0, block.start("language")) + 1
        snippet = Snippet(page, line, block["language"], block["code"], file[1] if file else "", marks)
        if snippet.language in RUN or snippet.file or "output" in marks:
            found.append(snippet)
    return found


class Reader:
    """Somebody who does in one folder what a page says, from top to bottom."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.output = ""

    def follow(self, snippet: Snippet) -> None:
        """Do what one block says; the current folder is the reader's."""
        if snippet.file:
            (self.folder / snippet.file).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / snippet.file).write_text(snippet.code, encoding="utf-8")
        elif "output" in snippet.marks:
            self.compare(snippet)
        elif snippet.is_run:
            printed = io.StringIO()
            with contextlib.chdir(self.folder), importable(self.folder), contextlib.redirect_stdout(printed):
                self.run(snippet)
            self.output = printed.getvalue()

    def run(self, snippet: Snippet) -> None:
        """Run one block."""
        if snippet.language == "python":
            code = ast.increment_lineno(ast.parse(snippet.code), snippet.line)
            exec(compile(code, snippet.page, "exec"), self.names)  # noqa: S102  # this is what it is for
            return
        for words in filter(None, snippet.marks.get("prepare", "").split(";")):
            call(shlex.split(words))
        lines = commands(snippet.code)
        for number, line in enumerate(lines, 1):
            expected = int(snippet.marks.get("exit", 0)) if number == len(lines) else 0
            ended = run_line(line, snippet.marks)
            if ended != expected:
                raise AssertionError(f"{snippet.page}:{snippet.line}: `{line}` ended with {ended}, not {expected}")

    def compare(self, snippet: Snippet) -> None:
        """Every line shown stands in the output, in this order; `...` stands for anything."""
        seen = [plain(line) for line in self.output.splitlines()]
        for line in filter(None, (plain(line) for line in snippet.code.splitlines())):
            pattern = ".*".join(re.escape(part) for part in line.split("..."))
            places = [place for place, one in enumerate(seen) if re.fullmatch(pattern, one)]
            if not places:
                raise AssertionError(f"{snippet.page}:{snippet.line}: not in the output: {line}\n{self.output}")
            seen = seen[places[0] + 1 :]


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Modules in a folder can be imported, and are forgotten afterwards: another page may have one of the same name."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


def commands(code: str) -> list[str]:
    """The lines of a block of bash, continued ones joined."""
    lines = code.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def run_line(line: str, marks: Mapping[str, str]) -> int:
    """One command, in this process: starting another costs seconds each time."""
    words = shlex.split(line, comments=True)
    if words[0] != "xaibench":
        raise AssertionError(f"only xaibench can be run from a document, not {words[0]!r}: say why in a comment")
    try:
        return call([*words[1:], *shlex.split(marks.get(f"{words[1]} with", ""))])
    except SystemExit as ended:  # a verb may end so too
        return int(ended.code or 0)


def plain(line: str) -> str:
    """Without differences of blanks."""
    return " ".join(line.split())
