"""`python -m xaibench.testing.elsewhere REQUEST ANSWER`: use a plugin in this process and write down what it gives."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from xaibench.testing.examination import quietly
from xaibench.testing.subjects import named
from xaibench.testing.trials import trial_of


def main(request: str, answer: str) -> None:
    """Make the plugin of the request."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    with quietly():
        trial = trial_of(named(asked["reference"], asked["kind"], asked["profile"]))
        np.savez(answer, **trial.evidence())


if __name__ == "__main__":
    main(*sys.argv[1:])
