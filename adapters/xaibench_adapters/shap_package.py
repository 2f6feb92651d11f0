"""The `shap` library: its Kernel SHAP over segments and its Partition SHAP over pixels, seeded and silent."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench.isolation import isolated_randomness
from xaibench.seeds import derive
from xaibench_adapters.kernel_shap import PAPER, SEGMENTS_OF_PAPER
from xaibench_adapters.probing import Probe
from xaibench_adapters.superpixels import Superpixels, painted, stacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xaibench.contracts import Batch, Classifier, Floats
    from xaibench_adapters.superpixels import Output

    Doubles = NDArray[np.float64]

CUT_AT_ONCE = 8  # halves of the image: as many are cut before it is asked which to cut next, so never by device


def _shap() -> Any:
    """The library, which takes seconds to import: it brings a compiler."""
    with warnings.catch_warnings():
        # Of matplotlib, about the way shap sets up its colours.
        warnings.filterwarnings("ignore", "The set_(bad|over|under) function", PendingDeprecationWarning)
        return importlib.import_module("shap")


@dataclass(kw_only=True, eq=False)
class KernelShapPackage(Superpixels):
    """Kernel SHAP by the library, over segments.

    Args:
        samples: passes per image, besides three for the ends.
        selected: how many segments may have a value; 0 is all, 10 is what the library does by itself.
        segmentation, segments, compactness, iterations, sigma, infill, output: see Superpixels.
    """

    samples: int = 1000
    selected: int = 0

    card: ClassVar[ExplainerCard] = ExplainerCard(
        name="kernel-shap-package",
        summary="Shapley values of superpixels as shap's KernelExplainer estimates them",
        paper=PAPER,
        licence="MIT (shap)",
        family="surrogate",
        sign="signed",
        stochastic=True,
        default=False,
        profiles={"quick": {"samples": 125, "segments": 50}, "paper": SEGMENTS_OF_PAPER},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 2 or self.selected < 0:
            raise UsageError(
                f"kernel-shap-package: samples is {self.samples} and selected {self.selected}; samples must be 2 or "
                "more, selected not negative."
            )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        return stacked((self._map(classifier, batch, number) for number in range(len(batch.images))), batch)

    def _map(self, classifier: Classifier, batch: Batch, number: int) -> Floats:
        labels = self.labels(batch.images[number], batch.seeds[number])
        if self.hides_nothing(batch.images[number], labels, derive(batch.seeds[number], "infill")):
            return np.zeros(labels.shape, dtype=np.float32)
        segments = int(labels.max()) + 1
        told: list[Doubles] = []

        def outputs(switches: Doubles) -> Doubles:
            told.extend(self.answers(classifier, batch, [(number, labels, switches > 0.5)]))
            return np.nan_to_num(told[-1], nan=0.0, posinf=0.0, neginf=0.0)

        with isolated_randomness(derive(batch.seeds[number], "kernel-shap-package")):
            explainer = _shap().KernelExplainer(outputs, np.zeros((1, segments)))
            chosen = f"num_features({self.selected})" if self.selected else False
            found = explainer.shap_values(np.ones((1, segments)), nsamples=self.samples, l1_reg=chosen, silent=True)
        answers = np.concatenate(told)
        if not np.isfinite(answers).all():
            return painted(np.full(segments, np.nan), labels)
        return painted(np.asarray(found, dtype=np.float64).reshape(segments), labels)


@dataclass(kw_only=True, eq=False)
class PartitionShap:
    """Partition SHAP by the library: Owen values of ever smaller halves of the image.

    Args:
        samples: passes per image at most.
        infill: blur (a box of a quarter of the image's shorter side) or inpaint (by Telea's method).
        output: what is explained: the class's logit or its probability.
    """

    samples: int = 500
    infill: Literal["blur", "inpaint"] = "blur"
    output: Output = "logit"

    card: ClassVar[ExplainerCard] = ExplainerCard(
        name="partition-shap",
        summary="Owen values of ever smaller halves of the image, as shap's PartitionExplainer estimates them",
        paper=PAPER,
        licence="MIT (shap)",
        family="surrogate",
        sign="signed",
        default=False,
        profiles={"quick": {"samples": 128}},
    )

    def __post_init__(self) -> None:
        if self.infill not in ("blur", "inpaint") or self.output not in ("logit", "probability"):
            raise UsageError(
                f"partition-shap: infill is {self.infill!r} and output {self.output!r}; infills are blur and inpaint, "
                "outputs logit and probability."
            )
        if self.samples < 4:
            raise UsageError(f"partition-shap: samples is {self.samples}; give 4 or more.")

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        if self.infill == "inpaint" and batch.images.shape[1] not in (1, 3):
            raise UsageError(f"partition-shap: inpaint takes 1 or 3 channels, not {batch.images.shape[1]}; use blur.")
        return stacked((self._map(classifier, batch, number) for number in range(len(batch.images))), batch)

    def _map(self, classifier: Classifier, batch: Batch, number: int) -> Floats:
        probe = Probe(classifier, int(batch.targets[number]), self.output)
        # It inpaints bytes only: of pixels in [0, 1] every one below 1 would turn black.
        scale = 255.0 if self.infill == "inpaint" else 1.0
        picture = batch.images[number].detach().float().cpu().numpy().transpose(1, 2, 0) * np.float32(scale)

        def outputs(pictures: Floats) -> Doubles:
            images = torch.from_numpy(np.ascontiguousarray((pictures / scale).transpose(0, 3, 1, 2), dtype=np.float32))
            answers: Doubles = probe(images).cpu().numpy()
            return answers

        with isolated_randomness(derive(batch.seeds[number], "partition-shap")):
            shap = _shap()
            # Anew for each image: its blurred image is kept under the address of the sharp one, which may come again.
            masker = shap.maskers.Image(self._mask(picture), picture.shape)
            explainer = shap.PartitionExplainer(outputs, masker)
            found = explainer(picture[None], max_evals=self.samples, batch_size=CUT_AT_ONCE, silent=True)
        return probe.judged(np.asarray(found.values, dtype=np.float32).reshape(picture.shape).sum(axis=2))

    def _mask(self, picture: Floats) -> str:
        side = max(1, min(picture.shape[:2]) // 4)
        return f"blur({side},{side})" if self.infill == "blur" else "inpaint_telea"
