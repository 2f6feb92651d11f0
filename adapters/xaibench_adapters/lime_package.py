"""The `lime` library as its users run it, but seeded, silent and for the class that was asked for."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from xaibench.contracts import ExplainerCard
from xaibench.errors import UsageError
from xaibench.isolation import isolated_randomness
from xaibench.seeds import derive
from xaibench_adapters.lime_surrogate import PAPER
from xaibench_adapters.probing import Probe
from xaibench_adapters.superpixels import Superpixels, painted, refuse_imputation, stacked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from numpy.typing import NDArray

    from xaibench.contracts import Batch, Classifier, Floats
    from xaibench.segmentation import Segmentation
    from xaibench_adapters.superpixels import Output


@dataclass(kw_only=True, eq=False)
class LimePackage(Superpixels):
    """LIME by the library. Its own defaults, but for the number of features, of which it returns all.

    Args:
        samples: passes per image.
        kernel_width: of its exponential kernel.
        segmentation, segments, compactness, iterations, sigma, infill, output: see Superpixels. The mean of each
            segment is the library's own infill; it can be given any other that does not depend on what is hidden.
    """

    segmentation: Segmentation = "quickshift"
    output: Output = "probability"
    samples: int = 1000
    kernel_width: float = 0.25

    card: ClassVar[ExplainerCard] = ExplainerCard(
        name="lime-package",
        summary="LIME as the library of its authors computes it",
        paper=PAPER,
        licence="BSD-2-Clause (lime)",
        family="surrogate",
        sign="signed",
        stochastic=True,
        default=False,
        profiles={"quick": {"samples": 128, "segmentation": "slic", "segments": 50}},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_imputation(self.card.name, self.infill)
        if self.samples < 2 or not self.kernel_width > 0:
            raise UsageError(
                f"lime-package: samples is {self.samples} and kernel_width {self.kernel_width}; samples must be 2 or "
                "more, kernel_width above 0."
            )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        return stacked((self._map(classifier, batch, number) for number in range(len(batch.images))), batch)

    def _map(self, classifier: Classifier, batch: Batch, number: int) -> Floats:
        image, target = batch.images[number], int(batch.targets[number])
        seed = derive(batch.seeds[number], "lime-package")
        labels = self.labels(image, batch.seeds[number])
        probe = Probe(classifier, target, self.output)
        with isolated_randomness(seed):  # which its import uses, too
            from lime import lime_image  # takes more than a second

            explainer = lime_image.LimeImageExplainer(kernel_width=self.kernel_width, random_state=seed % 2**32)
        with _silent(lime_image):
            explanation = explainer.explain_instance(
                _picture(image),
                lambda pictures: _columns(probe(_images(pictures)), classifier, target),
                labels=(target,),
                top_labels=None,  # else it takes no notice of `labels`
                # A colour may be a whole picture; its own means are for three channels only.
                hide_color=_picture(self.hidden(image, labels, derive(batch.seeds[number], "infill"))),
                num_samples=self.samples,
                batch_size=probe.size,
                segmentation_fn=lambda _picture: labels,
                random_seed=0,  # of a segmentation it does not make
            )
        weights = dict(explanation.local_exp[target])
        return probe.judged(painted(np.array([weights[part] for part in range(len(weights))]), labels))


@contextlib.contextmanager
def _silent(module: ModuleType) -> Iterator[None]:
    """Without its progress bar, for which it has no switch."""
    bar = module.tqdm

    def no_bar(rows: Iterable[Any]) -> Iterable[Any]:
        return rows

    vars(module)["tqdm"] = no_bar
    try:
        yield
    finally:
        vars(module)["tqdm"] = bar


def _picture(image: torch.Tensor) -> Floats:
    pixels: Floats = image.detach().float().cpu().numpy()
    return pixels.transpose(1, 2, 0)


def _images(pictures: Floats) -> torch.Tensor:
    """Images [n, C, H, W] from pictures [n, H, W, C]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


def _columns(outputs: torch.Tensor, classifier: Classifier, target: int) -> NDArray[np.float64]:
    """A column per class, as it wants; only the target's is ever looked at."""
    table = np.zeros((len(outputs), len(classifier.classes)))
    table[:, target] = outputs.cpu().numpy()
    return table
