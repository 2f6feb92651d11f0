"""Read tables of text: CSV with whatever separator, with the line each row starts in."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaibench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

SEPARATORS = ",;\t|"
LONGEST_CELL = 2**20


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    where: str  # file:line
    cells: Mapping[str, str]  # by column, blanks at the ends taken off

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


def read_table(name: str, content: bytes) -> list[Line]:
    """All rows under a header. The separator is the one that the header has most of."""
    text = _text(name, content)
    header, _, _ = text.partition("\n")
    separator = max(SEPARATORS, key=header.count)
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        columns = [column.strip().lower() for column in next(reader, [])]
        return [
            Line(f"{name}:{number}", dict(zip(columns, map(str.strip, cells), strict=False)))
            for cells, number in ((cells, reader.line_num) for cells in reader)
            if any(cells)
        ]
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num}: is no table that can be read ({error})") from error


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{name}:{line}: is not UTF-8; save the table as CSV in UTF-8") from error
