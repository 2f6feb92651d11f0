"""BCSS in small: folders, names and codes as published, with drawn tissue.

Quirks kept: names that carry the slide, the corner and the resolution; mask and picture of the same name in two
folders; codes 0 to 21 as grey values, where 0 is outside of what was annotated and no tissue of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from xaibench.seeds import derive

if TYPE_CHECKING:
    from pathlib import Path

# Slides of eight patients from four hospitals: (barcode, corner, has a tumour).
REGIONS = (
    ("TCGA-A1-A0SK-DX1", (45749, 25055), True),
    ("TCGA-A1-A0SP-DX1", (6798, 53719), True),
    ("TCGA-A2-A04P-DX1", (104246, 48517), True),
    ("TCGA-A2-A0CM-DX1", (18562, 56852), True),
    ("TCGA-AR-A0TS-DX1", (118843, 22812), True),
    ("TCGA-AR-A1AR-DX1", (13171, 23384), True),
    ("TCGA-OL-A5D6-DX1", (115108, 40554), True),
    ("TCGA-OL-A5RW-DX1", (53490, 17882), False),
)
OUTSIDE, TUMOUR, STROMA, NECROSIS, DCIS, OTHER = 0, 1, 2, 4, 20, 21


def make(root: Path, pictures: str = "rgbs_colorNormalized", size: tuple[int, int] = (150, 110)) -> Path:
    """Write pictures, masks and the table of codes."""
    for folder in (pictures, "masks", "meta"):
        (root / folder).mkdir(parents=True)
    for barcode, (column, row), has_tumour in REGIONS:
        name = f"{barcode}_xmin{column}_ymin{row}_MPP-0.2500.png"
        codes = draw_codes(size, has_tumour)
        Image.fromarray(codes).save(root / "masks" / name)
        _tissue(barcode, codes).save(root / pictures / name)
    (root / "meta" / "gtruth_codes.tsv").write_text("label\tGT_code\noutside_roi\t0\ntumor\t1\nstroma\t2\n")
    return root


def draw_codes(size: tuple[int, int], has_tumour: bool) -> np.ndarray:
    """Stroma with a border outside of the annotation, a tumour on the left, and small fields of other tissue."""
    width, height = size
    codes = np.full((height, width), STROMA, np.uint8)
    codes[: height // 3, width // 2 :] = NECROSIS
    codes[height // 2 :, -width // 5 :] = OTHER
    if has_tumour:
        codes[10 : height * 2 // 3, 10 : width // 3] = TUMOUR
        codes[height * 2 // 3 : height - 10, 10 : width // 4] = DCIS
    codes[:4, :] = codes[-4:, :] = codes[:, :4] = OUTSIDE
    return codes


def _tissue(barcode: str, codes: np.ndarray) -> Image.Image:
    """Pink with grain; the tumour is darker."""
    random = np.random.default_rng(derive("bcss", barcode))
    grain = random.integers(0, 40, (*codes.shape, 3), dtype=np.uint8)
    base = np.where((codes == TUMOUR)[..., None], (120, 60, 140), (200, 140, 180)).astype(np.uint8)
    return Image.fromarray(base + grain)
