"""How good the explained model is: the best explanation of a poor model explains little."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaibench_leaderboard.statistics import Estimate, balanced_accuracy

if TYPE_CHECKING:
    from xaibench.contracts import Prediction

# A model must go this share of the way from chance to perfect: 0.70 for two classes, 0.60 for three.
BAR = 0.4
# An accuracy that falls by more than this from validation to testing, its interval included, has collapsed.
DROP = 0.05
# A model is judged on this many images at least, and not if its interval is wider than this.
FEWEST = 20
WIDEST = 0.5


@dataclass(frozen=True)
class Accuracy:
    """Balanced accuracy on the test images, and what the model's preparation reported for its own splits."""

    test: Estimate
    chance: float  # of the model's classes, whether or not these images show all of them
    train: float | None
    val: float | None
    evidence: str  # the region outside which no pixel can change the logits; "" if not known: such a model is an oracle

    @property
    def bar(self) -> float:
        """Below it a model is poor."""
        return self.chance + BAR * (1 - self.chance)

    @property
    def poor(self) -> bool:
        """Whether the model is so weak that its explanations say little."""
        return self.judged and self.test.mean < self.bar

    @property
    def few(self) -> bool:
        """Whether the images are too few to judge the model by."""
        low, high = self.test.low, self.test.high
        return self.test.images < FEWEST or (low is not None and high is not None and high - low > WIDEST)

    @property
    def judged(self) -> bool:
        """Whether the model is held to the bar: an oracle is no diagnostician, and a handful of images tells little."""
        return not self.few and not self.evidence

    @property
    def reversed(self) -> bool:
        """Whether the model does clearly worse than chance, as one does whose outputs are in another order."""
        return self.judged and self.test.high is not None and self.test.high < self.chance

    @property
    def collapsed(self) -> bool:
        """Whether the test images are clearly harder than what the model was chosen on."""
        before = self.train if self.val is None else self.val
        return before is not None and self.test.high is not None and self.test.high < before - DROP


def accuracy_of(prediction: Prediction) -> Accuracy | None:
    """The accuracy behind a prediction; None if it has no images."""
    test = balanced_accuracy(prediction)
    if test is None:
        return None
    return Accuracy(
        test=test,
        chance=1 / len(prediction.classes),
        train=_share(prediction.training.get("train_balanced_accuracy")),
        val=_share(prediction.training.get("val_balanced_accuracy")),
        evidence=str(prediction.cards.get("model", {}).get("sees", "")),
    )


def _share(value: object) -> float | None:
    """A finite number as such; what a stranger's report may hold instead counts as absent."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
