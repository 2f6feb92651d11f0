"""captum's surrogates over segments: seeded, without gradients, and without a trace in the global generators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from captum import attr
from captum._utils.models.linear_model import SkLearnLasso

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench.isolation import isolated_randomness
from xaibench.seeds import derive
from xaibench_adapters.kernel_shap import PAPER as SHAP_PAPER
from xaibench_adapters.kernel_shap import SEGMENTS_OF_PAPER
from xaibench_adapters.lime_surrogate import PAPER as LIME_PAPER
from xaibench_adapters.probing import Probe
from xaibench_adapters.superpixels import Superpixels, refuse_imputation, stacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from xaibench.contracts import Batch, Classifier, Floats

LICENCE = "BSD-3-Clause (captum)"


@dataclass(kw_only=True, eq=False)
class CaptumSurrogate(Superpixels):
    """What captum's methods share.

    Args:
        samples: see the method.
        segmentation, segments, compactness, iterations, sigma, infill, output: see Superpixels.
    """

    samples: int = 1000

    card: ClassVar[ExplainerCard]

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_imputation(self.card.name, self.infill)
        if self.samples < 1:
            raise UsageError(f"{self.card.name}: samples is {self.samples}; give 1 or more.")

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        return stacked((self._map(classifier, batch, number) for number in range(len(batch.images))), batch)

    def method(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        """The object of captum for this function of images."""
        raise NotImplementedError

    def _map(self, classifier: Classifier, batch: Batch, number: int) -> Floats:
        image = batch.images[number].detach()
        labels = self.labels(image, batch.seeds[number])
        if labels.max() == 0:  # captum's samplers fail on a single segment; its map is flat whatever its value
            return np.zeros(labels.shape, dtype=np.float32)
        probe = Probe(classifier, int(batch.targets[number]), self.output)
        hidden = self.hidden(image, labels, derive(batch.seeds[number], "infill"))
        with isolated_randomness(derive(batch.seeds[number], self.card.name)), torch.no_grad():
            found = self.method(lambda images: probe(images).float()).attribute(
                image.unsqueeze(0),
                baselines=hidden.unsqueeze(0),
                feature_mask=torch.from_numpy(labels.astype(np.int64)).to(image.device)[None, None],
                n_samples=self.samples,
                perturbations_per_eval=probe.size,
            )
        return probe.judged(found[0, 0].float().cpu().numpy())


@dataclass(kw_only=True, eq=False)
class CaptumLime(CaptumSurrogate):
    """LIME by captum: a lasso, weighted by the distance between pixels.

    Args:
        samples: passes per image.
        alpha: of the lasso; captum's own 0.01 sets weak segments to 0.
        segmentation, segments, compactness, iterations, sigma, infill, output: see Superpixels.
    """

    alpha: float = 0.01

    card: ClassVar[ExplainerCard] = ExplainerCard(
        name="captum-lime",
        summary="LIME as captum computes it: a lasso on which superpixels are shown",
        paper=LIME_PAPER,
        licence=LICENCE,
        family="surrogate",
        sign="signed",
        stochastic=True,
        default=False,
        profiles={"quick": {"samples": 128, "segments": 50, "alpha": 0.0001}},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.alpha > 0:
            raise UsageError(f"captum-lime: alpha is {self.alpha}; it must be above 0.")

    def method(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        """The object of captum for this function of images."""
        return attr.Lime(forward, interpretable_model=SkLearnLasso(alpha=self.alpha))


@dataclass(kw_only=True, eq=False)
class CaptumKernelShap(CaptumSurrogate):
    """Kernel SHAP by captum: single coalitions, sizes drawn by Shapley's kernel.

    Args:
        samples: passes per image.
        segmentation, segments, compactness, iterations, sigma, infill, output: see Superpixels.
    """

    card: ClassVar[ExplainerCard] = ExplainerCard(
        name="captum-kernel-shap",
        summary="Shapley values of superpixels as captum's Kernel SHAP estimates them",
        paper=SHAP_PAPER,
        licence=LICENCE,
        family="surrogate",
        sign="signed",
        stochastic=True,
        default=False,
        profiles={"quick": {"samples": 128, "segments": 50}, "paper": SEGMENTS_OF_PAPER},
    )

    def method(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        """The object of captum for this function of images."""
        return attr.KernelShap(forward)


@dataclass(kw_only=True, eq=False)
class CaptumShapleySampling(CaptumSurrogate):
    """Shapley values by captum: the change each segment makes as segments are shown in random orders.

    Args:
        samples: orders per image; each takes as many passes as there are segments.
        segmentation, segments, compactness, iterations, sigma, infill, output: see Superpixels.
    """

    samples: int = 25

    card: ClassVar[ExplainerCard] = ExplainerCard(
        name="captum-shapley-sampling",
        summary="Shapley values of superpixels, averaged by captum over random orders of showing them",
        paper="Polynomial calculation of the Shapley value based on sampling (Castro et al., 2009)",
        licence=LICENCE,
        family="surrogate",
        sign="signed",
        stochastic=True,
        default=False,
        profiles={"quick": {"samples": 2, "segments": 50}},
    )

    def method(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        """The object of captum for this function of images."""
        return attr.ShapleyValueSampling(forward)
