"""Print again what commands print, into the pages that show it.

    python tools/reprint.py docs/cluster.md

A block to print is a comment `<!-- printed by: COMMAND -->` with a fenced block behind it. No figure there is typed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"(<!-- printed by: (?P<command>.+?) -->\n\n```\n).*?(```\n)", re.DOTALL)


def printed(found: re.Match[str]) -> str:
    """The block with what its command prints now."""
    done = subprocess.run(found["command"], shell=True, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S602
    return f"{found[1]}{done.stdout.strip()}\n{found[3]}"


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(BLOCK.sub(printed, page.read_text(encoding="utf-8")), encoding="utf-8")
