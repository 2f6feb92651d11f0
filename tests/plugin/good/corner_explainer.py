"""An explainer by someone who has never imported xaibench."""

from types import SimpleNamespace

import click
import numpy as np

CORNERS = ("top-left", "bottom-right")


class Corner:
    """One corner of the image is the answer to everything.

    The card is an object of the author's own: only what has no default must be there.
    """

    def __init__(self, share: float = 0.25, corner: str = "top-left", passes: int = 8) -> None:
        if corner not in CORNERS:
            raise ValueError(f"corner must be one of {', '.join(CORNERS)}")
        self.share = share
        self.corner = corner
        self.passes = passes
        self.card = SimpleNamespace(
            name="corner",
            summary="One corner of the image",
            family="reference",
            class_sensitive=False,
            needs={"prior", "gradients"},
            profiles={"quick": {"passes": 2}},
        )

    def explain(self, classifier, batch):
        """Ones in the corner, zeros elsewhere."""
        count, _, height, width = batch.images.shape
        maps = np.zeros((count, height, width), dtype=np.float32)
        maps[:, : int(height * self.share), : int(width * self.share)] = 1
        return maps if self.corner == "top-left" else maps[:, ::-1, ::-1].copy()


@click.command()
def corners() -> None:
    """List the corners there are."""
    click.echo("\n".join(CORNERS))
