"""Write docs/quantus.md anew from an actual run of every metric of Quantus: run this file with python."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from xaibench.classifier import TorchClassifier
from xaibench.contracts import Case
from xaibench_adapters.quantus_metrics import METRICS, Quantus

PAGE = Path(__file__).parents[2] / "docs" / "quantus.md"
BEGIN, END = "<!-- the tables are written by tools/xaibench_docs/quantus_page.py -->", "<!-- up to here -->"
SIDE, CLASSES = 32, 3


def network(channels: int) -> nn.Module:
    """A small network with fixed weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * SIDE**2, CLASSES)
        )


def case(channels: int) -> Case:
    """An image with a lesion."""
    rng = np.random.default_rng(0)
    images = rng.random((1, channels, SIDE, SIDE), dtype=np.float32)
    maps = rng.random((1, SIDE, SIDE), dtype=np.float32)
    masks = np.zeros((1, SIDE, SIDE), dtype=bool)
    masks[:, 6:16, 6:16] = True
    classifier = TorchClassifier(network(channels), ("a", "b", "c"), None)
    logits = classifier.logits(torch.from_numpy(images)).detach().numpy()
    return Case(
        maps=maps,
        raw=maps,
        images=images,
        masks=masks,
        lesions=tuple((mask,) for mask in masks),
        regions={},
        labels=logits.argmax(1),
        targets=logits.argmax(1),
        predictions=logits.argmax(1),
        logits=logits,
        seeds=(1,),
        seconds=np.ones(1),
        forward=np.ones(1),
        backward=np.ones(1),
        classifier=classifier,
    )


def outcome(metric: str, channels: int) -> str:
    """What comes of one metric on images of so many channels."""
    options = {"nr_samples": 3} if metric == "MonotonicityCorrelation" else {}
    try:
        values = Quantus(metric, steps=8, **options).score(case(channels))
    except Exception as error:  # whatever the library raises is what the page is about
        text = " ".join(str(error).split()).replace("|", "/")
        return f"fails: `{type(error).__name__}: {text}`"
    return "undefined" if np.isnan(values).any() else "infinite" if np.isinf(values).any() else "runs"


def tables() -> str:
    """Both tables, as they stand in the page."""
    tried = [name for name, known in METRICS.items() if not known.unsupported]
    lines = [
        f"Quantus {version('quantus')}, numpy {series('numpy')}: "
        f"{len(METRICS)} metrics, of which {len(tried)} can be asked for a value per image and stored map.",
        "",
        "| metric | family | better | grey images | images of three channels |",
        "|---|---|---|---|---|",
    ]
    for name in tried:
        better = "higher" if METRICS[name].higher_is_better else "lower"
        lines.append(f"| `{name}` | {METRICS[name].family} | {better} | {outcome(name, 1)} | {outcome(name, 3)} |")
    lines += ["", "The others are `unsupported`, and a run says so:", "", "| metric | why |", "|---|---|"]
    lines += [f"| `{name}` | {known.unsupported} |" for name, known in METRICS.items() if known.unsupported]
    return "\n".join(lines)


def series(library: str) -> str:
    """Major and minor version."""
    return re.match(r"\d+\.\d+", version(library))[0]  # type: ignore[index]


def rewritten(page: str) -> str:
    """The page with the tables of today."""
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
