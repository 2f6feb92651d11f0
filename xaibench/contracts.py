"""The contracts: all that a plugin author needs to know, in one file.

A plugin is any object of the right shape; importing xaibench is not required. Models, explainers, tasks, metrics,
engines and reports are named by entry points (`xaibench.models`, `xaibench.explainers`, ...); the object an entry
point names is a *factory*: a class or function whose keyword arguments are the plugin's parameters
(`--explainers "lime(samples=500)"`) and whose result satisfies the protocol below. Parameter values are plain
literals: numbers, strings, booleans, None.

Arrays: B images, C channels, H rows, W columns, K classes. Pixels are float32 in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import TypeAlias

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from xaibench.places import Location

    Floats: TypeAlias = NDArray[np.float32]
    Scores: TypeAlias = NDArray[np.float64]
    Mask: TypeAlias = NDArray[np.bool_]
    Heatmaps: TypeAlias = torch.Tensor | Floats

Split = Literal["train", "val", "test"]
Precision = Literal["fp32", "bf16"]
Kind = Literal["predict", "explain", "score"]
Status = Literal["ok", "failed", "oom", "timeout", "unsupported", "unavailable", "interrupted"]

# What an explainer may ask of the classifier (first line) or of the batch (second line).
ExplainerNeed = Literal["gradients", "cam_layer", "attention", "masks", "prior"]
# What a metric may ask for: images with a lesion, without one, or that the model classifies correctly; the classifier;
# an explainer that is `additive`.
MetricNeed = Literal["mask", "normal", "correct", "model", "additive"]

# ------------------------------------------------------------------------------------------------------------- cards


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a plugin without running it. Raise `version` whenever its numbers may change."""

    name: str
    version: int = 1
    summary: str
    paper: str = ""
    licence: str = ""
    default: bool = True  # part of a run that names none; False: too slow for that, or a variation of another
    dear: bool = False  # many passes: of a run that names none only where passes are cheap, not in `quick`
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # {"quick": {"samples": 128}}: defaults


@dataclass(frozen=True, kw_only=True)
class ModelCard(Card):
    """A network. `trained` models learn their weights on first use; `sees` says what evidence is provably used."""

    trained: bool = True
    provides: frozenset[str] = frozenset({"gradients", "cam_layer"})
    needs: frozenset[str] = frozenset()  # {"masks"}: the network has `set_gate(masks)` and is fed one image at a time
    sees: str = ""  # "lesions", "marker", ...: a region of the sample outside which no pixel can change the logits


@dataclass(frozen=True, kw_only=True)
class ExplainerCard(Card):
    """An explanation method. `sign`: positive maps are clipped at 0, signed ones are too unless asked otherwise."""

    family: str  # cam, gradient, perturbation, surrogate, attention, reference
    sign: Literal["positive", "signed"] = "positive"
    stochastic: bool = False
    needs: frozenset[ExplainerNeed] = frozenset()
    class_sensitive: bool = True
    additive: bool = False  # the raw map adds up to what the logit of the class gains over a black image
    reference: Literal["", "floor", "ceiling"] = ""  # floors and ceilings are on every board and are never ranked
    precomputed: bool = False  # maps made before: there are no variants of them, and what they cost is not known
    model: str = ""  # the label of the one model whose maps they are; "": any


@dataclass(frozen=True, kw_only=True)
class MetricCard(Card):
    """A measure. `worst` is what a failed map scores (None: no value exists, the map only counts as failed)."""

    family: str  # localisation, stability, faithfulness, robustness, sanity, complexity, cost
    higher_is_better: bool
    lowest: float | None = 0.0
    highest: float | None = 1.0
    worst: float | None = 0.0
    unit: str = ""
    needs: frozenset[MetricNeed] = frozenset()
    region: str = ""  # the metric applies only to samples which carry this named region ("marker")
    uses_map: bool = True  # cost metrics do not look at the map: a failed map has a cost too
    variants: tuple[str, ...] = ()  # other maps of the same image, made by the harness: "seed:1"; see xaibench.variants
    claims_quality: bool = True  # False: descriptive; not expected to rank an oracle above noise
    curve: tuple[float, ...] = ()  # places on the x axis, if the value sums up a curve: `score` returns `Curved` then
    curve_axis: str = ""  # what these places are: "share of pixels removed"
    gate: float | None = None  # a mean worse than this, and the explainer is shown as failing this sanity check


@dataclass(frozen=True, kw_only=True)
class TaskCard(Card):
    """A dataset with its splits."""

    citation: str = ""
    source: str = ""  # where the data come from, and what the user must fetch
    scenario: str = ""  # for planted data: what was planted


# -------------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class Entry:
    """One row of a task's index: what is known of a sample without decoding its image."""

    id: str  # stable, unique in the task
    patient: str
    label: int


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with its truth."""

    entry: Entry
    image: Floats  # [C, H, W] in [0, 1]
    lesions: tuple[Mask, ...] = ()  # one [H, W] mask per lesion; none on a normal image
    regions: Mapping[str, Mask] = field(default_factory=dict)  # other known places, such as {"marker": mask}


@dataclass(frozen=True, eq=False)
class Batch:
    """What an explainer is given. `masks` and `prior` are there only if its card asks for them."""

    images: torch.Tensor  # [B, C, H, W] in [0, 1], on the classifier's device
    targets: torch.Tensor  # [B] class indices to explain
    ids: tuple[str, ...]
    seeds: tuple[int, ...]  # one per sample: all randomness of a map must come from its own seed
    masks: Mask | None = None  # [B, H, W] union of the lesions
    prior: Floats | None = None  # [H, W] mean lesion mask of the task's training images


@dataclass(frozen=True, eq=False)
class Masking:
    """One image and the masks to see it through."""

    image: torch.Tensor  # [C, H, W]
    masks: Iterable[torch.Tensor]  # masks [H, W] or chunks of them [m, H, W]; may be a generator of any length
    infill: torch.Tensor  # what is seen where the mask is 0: [C, H, W], or broadcasts to it, or [M, C, H, W]


@dataclass(frozen=True, eq=False)
class Case:
    """What a metric is given: B maps that are finite, not flat, and belong to images the metric applies to."""

    maps: Floats  # [B, H, W] in [0, 1]: sign policy applied, then min-max per map
    raw: Floats  # [B, H, W] as the explainer returned them
    images: Floats  # [B, C, H, W]
    masks: Mask  # [B, H, W] union of the lesions; all False on a normal image
    lesions: tuple[tuple[Mask, ...], ...]  # per image, one mask per lesion
    regions: Mapping[str, Mask]  # [B, H, W] per named region
    labels: NDArray[np.int64]  # [B]
    targets: NDArray[np.int64]  # [B] the class explained
    predictions: NDArray[np.int64]  # [B]
    logits: Floats  # [B, K] of the untouched images: no metric need ask for them again
    seeds: tuple[int, ...]
    seconds: Scores  # [B] wall time of the map
    forward: Scores  # [B] samples passed forward through the network for the map
    backward: Scores  # [B] samples passed backward
    peak_bytes: Scores | None = None  # [B] device memory of the call that made the map; None: not measured here
    bare_seconds: Scores | None = None  # [B] least time of the bare network per sample; None: not measured here
    variants: Mapping[str, Floats] = field(default_factory=dict)  # name -> [B, H, W] like `maps`; a flat one is zeros
    classifier: Classifier | None = None  # there if the card needs "model"


@dataclass(frozen=True, eq=False)
class Curved:
    """The answer of a metric whose value sums up a curve; the places of its points are on the card."""

    values: Scores  # [B]
    curves: Scores  # [B, T]


# ----------------------------------------------------------------------------------------------------------- plugins


class Counters(Protocol):
    """Samples that went through the network: the cost of an explanation that no hardware changes."""

    forward: int
    backward: int


class Classifier(Protocol):
    """A frozen network in eval mode, as the harness hands it to explainers and metrics."""

    classes: tuple[str, ...]
    network: nn.Module  # images [B, C, H, W] in [0, 1] -> logits [B, K]; preprocessing is part of it
    cam_layer: nn.Module | None
    device: torch.device
    counters: Counters

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, K], differentiable with respect to the images."""

    def masked(self, image: torch.Tensor, masks: Iterable[torch.Tensor], infill: torch.Tensor) -> torch.Tensor:
        """Logits [M, K] of `m * image + (1 - m) * infill` for each of M masks [H, W]; no gradient, batched."""

    def masked_many(self, maskings: Iterable[Masking]) -> Iterator[torch.Tensor]:
        """The same for several images, in order; batches are filled across images."""

    def bind(self, masks: Mask | None) -> AbstractContextManager[None]:
        """Within it, a network gated by evidence sees these masks. The harness does this; plugins need not."""


@dataclass(frozen=True)
class Workshop:
    """Where and how a model gets its weights."""

    folder: Path  # for checkpoints; survives a kill, and is given again to the next attempt
    device: str
    seed: int
    progress: Callable[[str, int, int], None]  # (what, done, total)


class Model(Protocol):
    """A network plugin. It may have `notes(task)`: lines that a run prints, on what was decided for the user."""

    card: ModelCard

    def build(self, task: Task) -> nn.Module:
        """Make the network: the task's images in [0, 1] in, one logit per class out. Preprocessing is inside."""

    def prepare(self, network: nn.Module, task: Task, fold: int, workshop: Workshop) -> Mapping[str, Any]:
        """Leave the weights to be benchmarked in `network` (train or load them); return a report for the card.

        Called once per set of parameters, and only if the card says `trained`: what it leaves is kept. A plugin that
        loads a file should take the file's digest or version as a parameter, or a new file will not be noticed.
        """

    def cam_layer(self, task: Task) -> str | None:
        """Name (`layer4`) of the module whose output CAM methods weigh; None if there is none."""


class Explainer(Protocol):
    """An explanation method.

    It may have `notes(task)`, as a model; and, if it reads a `folder`, `fingerprint()`: text that changes with what
    is in it.
    """

    card: ExplainerCard

    def explain(self, classifier: Classifier, batch: Batch) -> Heatmaps:
        """Heatmaps [B, H, W]. Same seeds, same maps; a map never depends on its neighbours in the batch."""


class Metric(Protocol):
    """A measure of maps."""

    card: MetricCard

    def score(self, case: Case) -> Sequence[float] | Scores | Curved:
        """One value per image. NaN says: undefined for this image (it is left out, and counted)."""


class Task(Protocol):
    """A dataset."""

    card: TaskCard
    classes: tuple[str, ...]
    shape: tuple[int, int, int]  # C, H, W
    folds: int

    def fingerprint(self) -> str:
        """Text that changes whenever the content of the data changes."""

    def entries(self, split: Split, fold: int) -> Sequence[Entry]:
        """The index of one split. No patient is in two splits of a fold."""

    def load(self, entry: Entry) -> Sample:
        """Decode (or draw) one sample."""


# -------------------------------------------------------------------------------------------------------------- runs


@dataclass(frozen=True)
class Cell:
    """One unit of work: predict, explain or score. `identity` makes the key; the rest says how to do it here."""

    key: str
    kind: Kind
    identity: Mapping[str, Any]
    labels: Mapping[str, str]  # task, fold, model, explainer, metric, target: as shown to people
    cards: Mapping[str, Mapping[str, Any]]
    references: Mapping[str, str]  # group -> plugin reference with parameters, enough to build it in any process
    count: int  # samples selected
    total: int  # samples in the split
    inputs: Mapping[str, str] = field(default_factory=dict)  # name -> key of the cells this one reads
    verdict: Status = "ok"  # unsupported or unavailable: known before anything runs
    reason: str = ""
    part: tuple[int, int] | None = None  # only these samples are to be done here: others do the rest of the cell


@dataclass(frozen=True)
class Outcome:
    """How a cell ended."""

    cell: Cell
    status: Status
    reason: str = ""
    seconds: float = 0.0
    cached: bool = False


class Worker(Protocol):
    """Executes cells; it keeps the models it has loaded."""

    def execute(self, cell: Cell) -> Outcome:
        """Do the cell, or find that it is done. Never raises for a cell's own fault."""


class Engine(Protocol):
    """Runs cells somewhere."""

    card: Card

    def run(self, cells: Sequence[Cell], worker: Callable[[], Worker]) -> Iterator[Outcome]:
        """Yield the outcome of every cell, in the order of finishing. `worker` can be pickled.

        Called once per stage of a run, always on the same engine. An engine that keeps something between the calls
        has a `close()`, called at the end of the run; one that has something to say about where the work was done
        has an `about()`, a plain mapping for the record of the run.
        """


@dataclass(frozen=True)
class Prediction:
    """What one model said about the test images of one task."""

    key: str
    labels: Mapping[str, str]  # task, fold, model, precision: as shown to people
    cards: Mapping[str, Mapping[str, Any]]
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    truth: tuple[int, ...]
    logits: tuple[tuple[float, ...], ...]
    training: Mapping[str, Any]  # the report of the model's preparation
    weights: str


@dataclass(frozen=True)
class Result:
    """One metric of one explainer on one model and task: a value per image."""

    key: str
    labels: Mapping[str, str]  # task, fold, model, explainer, metric, target, precision: as shown to people
    cards: Mapping[str, Mapping[str, Any]]
    status: Status
    reason: str = ""
    ids: tuple[str, ...] = ()  # only images the metric applies to
    patients: tuple[str, ...] = ()
    values: tuple[float | None, ...] = ()  # None: undefined; a failed map has the metric's worst value
    failed: tuple[bool, ...] = ()  # the map was flat, NaN or of the wrong shape
    curves: tuple[tuple[float | None, ...] | None, ...] = ()  # one per image, if the metric draws one
    shares: tuple[float, ...] = ()  # of the image that lesions cover, 0 on a normal one; () in older results
    count: int = 0
    total: int = 0  # count < total: the run was limited


@dataclass(frozen=True)
class Results:
    """All that a report draws from: the newest cell of every row of a results folder."""

    folder: Location
    predictions: tuple[Prediction, ...]
    scores: tuple[Result, ...]
    audit: Mapping[str, Mapping[str, Mapping[str, Any]]]  # task -> metric -> verdict, see `xaibench audit`
    environment: Mapping[str, Any]


class Report(Protocol):
    """Something rendered from results, at the end of a run or on demand."""

    card: Card

    def render(self, results: Results, folder: Path) -> Path | None:
        """Write into `folder` and return the file, or print and return None."""
