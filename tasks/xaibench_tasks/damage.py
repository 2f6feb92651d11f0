"""Find image files that cannot be decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaibench_tasks.checking import Finding
from xaibench_tasks.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xaibench_tasks.sources import Source


def unreadable(source: Source, names: Iterable[str]) -> list[Finding]:
    """An error per file that is empty, cut off or no image. A file that has not changed is read once only."""
    ledger = Ledger(source)
    troubles = ((name, ledger.trouble(name)) for name in names)
    found = [Finding("error", name, trouble.removeprefix(f"{name} ")) for name, trouble in troubles if trouble]
    ledger.save()
    return found
