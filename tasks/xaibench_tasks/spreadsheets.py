"""Rows of .xlsx files, as text."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from xaibench.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST = 256 * 2**20  # unpacked; the largest table known has 8,000 rows


def read_sheet(name: str, content: bytes, sheet: str = "") -> list[list[str]]:
    """All rows of the sheet of this name, or else of the first; empty cells are ''. Row n is at index n - 1."""
    try:
        # Needed for two datasets only, and slow to import: without it everything else works.
        import openpyxl  # noqa: PLC0415, RUF100
    except ImportError as error:
        raise UsageError(
            f"{name} is a spreadsheet, and openpyxl is not installed: pip install 'xaibench[xlsx]'"
        ) from error
    try:
        _refuse_bomb(name, content)
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        rows = book[sheet if sheet in book.sheetnames else book.sheetnames[0]].iter_rows(values_only=True)
        return [_texts(row) for row in rows]
    except DataError:
        raise
    except Exception as error:  # a damaged file raises whatever the broken place leads to
        raise DataError(f"{name} is no readable .xlsx file ({type(error).__name__}: {error})") from error


def _refuse_bomb(name: str, content: bytes) -> None:
    size = sum(member.file_size for member in zipfile.ZipFile(io.BytesIO(content)).infolist())
    if size > LARGEST:
        raise DataError(f"{name} unpacks to {size:,} bytes; no table of a dataset is larger than {LARGEST:,}")


def _texts(row: Sequence[object]) -> list[str]:
    return ["" if cell is None else str(cell).strip() for cell in row]
