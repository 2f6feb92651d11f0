"""Parts of a case."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench.contracts import Case

MEASURED = ("peak_bytes", "bare_seconds")  # not everywhere
ARRAYS = (
    "maps",
    "raw",
    "images",
    "masks",
    "labels",
    "targets",
    "predictions",
    "logits",
    "seconds",
    "forward",
    "backward",
)


def taken(case: Case, rows: Sequence[int]) -> Case:
    """Some images of a case, in the given order."""
    index = list(rows)
    return replace(
        case,
        **{name: getattr(case, name)[index] for name in ARRAYS},
        **{name: getattr(case, name)[index] for name in MEASURED if getattr(case, name) is not None},
        lesions=tuple(case.lesions[row] for row in index),
        seeds=tuple(case.seeds[row] for row in index),
        regions={name: mask[index] for name, mask in case.regions.items()},
        variants={name: maps[index] for name, maps in case.variants.items()},
    )
