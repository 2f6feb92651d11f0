"""What the network says of an image of which parts are hidden: asked once, remembered for the metrics that follow.

Metrics share passes here. Those which hide the same pixels of an image (deletion, insertion, comprehensiveness and
sufficiency at the same counts) ask once per map; those whose masks do not depend on the map (faithfulness
correlation, infidelity, sensitivity-n, ...) ask once per image, however many explainers are compared.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args
from weakref import WeakKeyDictionary

import numpy as np
import torch
from scipy.special import log_softmax

from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from xaibench.contracts import Case, Classifier, Floats, Scores
    from xaibench.infills import Infill

Output: TypeAlias = Literal["probability", "accuracy", "logit", "log-odds"]
OUTPUTS: tuple[Output, ...] = get_args(Output)
BOUNDED: tuple[Output, ...] = ("probability", "accuracy")  # from 0 to 1
CHUNK = 32  # masks made at once, on the classifier's device
ROWS = 200_000  # answers remembered per classifier: about 50 MB


@dataclass(frozen=True, eq=False)
class Looks:
    """Views of one image through masks. Masks are named by numbers: what else makes them is in `family`."""

    family: bytes
    numbers: Sequence[int]
    draw: Callable[[NDArray[np.int64]], torch.Tensor]  # numbers [m] -> masks [m, H, W], where 0 hides a pixel


@dataclass
class _Memory:
    """Answers [K] by image and family, then by number; what was not asked for longest is forgotten first."""

    entries: OrderedDict[bytes, dict[int, Floats]] = field(default_factory=OrderedDict)
    rows: int = 0

    def entry(self, key: bytes) -> dict[int, Floats]:
        """The answers to one image and family so far."""
        found = self.entries.setdefault(key, {})
        self.entries.move_to_end(key)
        return found

    def trim(self) -> None:
        """Down to the limit."""
        while self.rows > ROWS and len(self.entries) > 1:
            self.rows -= len(self.entries.popitem(last=False)[1])


_memories: WeakKeyDictionary[Classifier, _Memory] = WeakKeyDictionary()


def forget() -> None:
    """Ask afresh from now on."""
    _memories.clear()


def digest(*parts: NDArray[np.generic] | bytes | str | int) -> bytes:
    """Content in a few bytes."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.shape}{part.dtype}".encode())
            state.update(np.ascontiguousarray(part).data)
        else:
            state.update(part if isinstance(part, bytes) else f"\x1f{part}".encode())
    return state.digest()


def responses(case: Case, infill: Infill, looks: Sequence[Looks]) -> list[Floats]:
    """Logits [numbers, K] of every image of the case through its masks; passes only for what is not known yet."""
    if case.classifier is None:
        msg = 'this metric runs the network: its card must ask for "model"'
        raise ValueError(msg)
    memory = _memories.setdefault(case.classifier, _Memory())
    # Kept in hand until all is answered: an entry may be forgotten while others are filled.
    known = [memory.entry(_key(case, row, infill, look)) for row, look in enumerate(looks)]
    missing = [
        list(dict.fromkeys(number for number in look.numbers if number not in entry))
        for look, entry in zip(looks, known, strict=True)
    ]
    answers = _asked(case, infill, looks, missing)
    for entry, numbers in zip(known, missing, strict=True):
        entry.update((number, next(answers)) for number in numbers)
        memory.rows += len(numbers)
    memory.trim()
    nothing = np.empty((0, case.logits.shape[1]), dtype=np.float32)
    return [
        np.array([entry[number] for number in look.numbers]) if look.numbers else nothing
        for look, entry in zip(looks, known, strict=True)
    ]


def _key(case: Case, row: int, infill: Infill, look: Looks) -> bytes:
    """All that an answer depends on. A gated network sees the lesions or a region of the image, so these count too."""
    regions = [region[row] for region in case.regions.values()]
    return digest(
        case.images[row], case.logits[row], case.masks[row], *regions, infill.name, case.seeds[row], look.family
    )


def _asked(case: Case, infill: Infill, looks: Sequence[Looks], missing: list[list[int]]) -> Iterator[Floats]:
    """The answer [K] to every missing number, in order; batches are filled across images."""
    if case.classifier is None or not any(missing):
        return
    images = _images(case, looks, missing, case.classifier.device)
    for logits in case.classifier.masked_many(infill.all_maskings(images)):
        yield from logits.cpu().numpy()


def _images(
    case: Case, looks: Sequence[Looks], missing: list[list[int]], device: torch.device
) -> Iterator[tuple[torch.Tensor, Iterable[torch.Tensor], int]]:
    """Every image of which something is missing, the masks to see it through, and its seed."""
    for row, (look, numbers) in enumerate(zip(looks, missing, strict=True)):
        if numbers:
            image = torch.tensor(np.ascontiguousarray(case.images[row]), device=device)
            yield image, _drawn(look, numbers), case.seeds[row]


def _drawn(look: Looks, numbers: list[int]) -> Iterable[torch.Tensor]:
    for start in range(0, len(numbers), CHUNK):
        yield look.draw(np.array(numbers[start : start + CHUNK]))


def checked_output(metric: str, output: str) -> Output:
    """The name of what is read off the network."""
    if output not in OUTPUTS:
        raise UsageError(f"{metric}: output is {output!r}; give one of: {', '.join(OUTPUTS)}.")
    return output


def checked_count(metric: str, name: str, count: int) -> int:
    """A number of things of which there must be one at least."""
    if not (isinstance(count, int) and count >= 1):
        raise UsageError(f"{metric}: {name} is {count}; give a whole number, 1 or more.")
    return count


def read(logits: Floats, target: int, output: Output) -> Scores:
    """What logits [..., K] say about the target: its probability, whether it wins, its logit, or its log-odds."""
    doubles = logits.astype(np.float64)
    if output == "logit":
        return np.asarray(doubles[..., target])
    if output == "accuracy":
        highest = doubles == doubles.max(axis=-1, keepdims=True)
        return np.asarray(highest[..., target] / highest.sum(axis=-1))  # of classes that tie, one wins by chance
    logs: Scores = log_softmax(doubles, axis=-1)
    if output == "probability":
        return np.asarray(np.exp(logs[..., target]))
    others = np.delete(doubles, target, axis=-1)
    return np.asarray(doubles[..., target] - np.logaddexp.reduce(others, axis=-1))
