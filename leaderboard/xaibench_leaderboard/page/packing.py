"""Many numbers in little space: rounded, said once where they are all the same, and deflated."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DIGITS = 6  # what the page shows has at most three decimals


def pack(content: Any) -> str:
    """JSON, deflated, as letters and digits: whatever a name holds, nothing in it can be taken for markup."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    # No time in the head: the same results make the same page.
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=0)).decode()


def unpack(packed: str) -> Any:
    """What was packed."""
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def rounded(value: float | None, digits: int = DIGITS) -> float | None:
    """As many significant digits as matter; whole numbers without a point."""
    if value is None:
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def folded(values: Sequence[Any]) -> list[Any] | dict[str, Any]:
    """The list; or, where all its values are the same, that value and how often."""
    if len(values) > 1 and all(value == values[0] for value in values):
        return {"all": values[0], "times": len(values)}
    return list(values)


@dataclass
class Index:
    """Things which are said once and then pointed at by number."""

    items: list[Any] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def at(self, name: str, item: Any = None) -> int:
        """The number of a name; `item` is what is said of it, by default the name itself."""
        if name not in self._places:
            self._places[name] = len(self.items)
            self.items.append(name if item is None else item)
        return self._places[name]

    def all(self, names: Iterable[str]) -> list[int]:
        """The numbers of several names."""
        return [self.at(name) for name in names]
