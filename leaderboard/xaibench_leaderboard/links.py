"""Links in the folders of others: what is copied or sent must not come from elsewhere on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from xaibench.errors import DataError


def refuse_links(folder: Path) -> None:
    """The folder may be reached by a link; nothing in it may be one."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            where = Path(parent, name)
            if where.is_symlink():
                msg = (
                    f"{where} is a link, and what it leads to would be copied: remove it, or put the file itself there"
                )
                raise DataError(msg)
