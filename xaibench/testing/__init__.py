"""What a plugin's author needs to test a plugin: the conformance checks, toy networks and planted images.

    from xaibench.testing import conformance

    @conformance(MyExplainer)
    def test_promises(check):
        check()

gives one test per promise that explainers (or models, metrics, tasks) make. `xaibench check mine.py:MyExplainer` says
the same on the command line. What an author knows not to hold is declared with its reason: by an attribute
`expect_fail = {"name-of-the-check": "why"}` of the plugin, or here.
"""

from xaibench.testing.checks import KINDS, Check, checks_of
from xaibench.testing.examination import Examination
from xaibench.testing.marks import conformance
from xaibench.testing.networks import (
    CLASSES,
    Additive,
    AttentiveCNN,
    Linear,
    PixelDetector,
    ToyCNN,
    ToyTransformer,
    classifier_of,
)
from xaibench.testing.planted import (
    PlantedTask,
    batch_of,
    case_of,
    lesion_maps,
    noise_maps,
    part_of,
    planted,
    planted_samples,
)
from xaibench.testing.subjects import Subject, at_hand, named
from xaibench.testing.verdicts import Verdict

__all__ = [
    "CLASSES",
    "KINDS",
    "Additive",
    "AttentiveCNN",
    "Check",
    "Examination",
    "Linear",
    "PixelDetector",
    "PlantedTask",
    "Subject",
    "ToyCNN",
    "ToyTransformer",
    "Verdict",
    "at_hand",
    "batch_of",
    "case_of",
    "checks_of",
    "classifier_of",
    "conformance",
    "lesion_maps",
    "named",
    "noise_maps",
    "part_of",
    "planted",
    "planted_samples",
]
