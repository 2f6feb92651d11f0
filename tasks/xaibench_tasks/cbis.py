"""CBIS-DDSM: digitised films with a mask per lesion, from DICOM or from the JPEG edition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from xaibench.errors import DataError
from xaibench_tasks.cbis_files import FILM, MASK, CbisFiles
from xaibench_tasks.cbis_inspect import PUBLISHED, inspect
from xaibench_tasks.cbis_tables import CALLED_BACK_NOT, MALIGNANT, TABLES, by_breast_view, by_film, read_table
from xaibench_tasks.dataset import Dataset, DatasetCard
from xaibench_tasks.options import between, one_of
from xaibench_tasks.records import MaskFile, Record
from xaibench_tasks.sources import locate
from xaibench_tasks.splits import Splitting
from xaibench_tasks.steps import Grey, Resize, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaibench_tasks.cbis_tables import Lesion
    from xaibench_tasks.sources import Source

__all__ = ["CbisDdsm", "inspect"]

CLASSES = ("benign", "malignant")
ADVICE = (
    "fetch CBIS-DDSM (CC BY 3.0, 164 GB) from The Cancer Imaging Archive, doi.org/10.7937/K9/TCIA.2016.7O02S9CY, or "
    "its JPEG edition from Kaggle (awsaf49/cbis-ddsm-breast-cancer-image-dataset, 6 GB). The four "
    "*_case_description_*.csv and the pictures may lie in any folders below one; DICOM needs xaibench[dicom]"
)
LAYOUT = """\
mass_case_description_train_set.csv and the three others, anywhere, with one of
  <film or lesion>/<study>/<series>/00000N.dcm                                  (paths of the tables)
  <film or lesion>/<date-study>/<number-description-series>/1-N.dcm             (newer download tool)
  jpeg/<series>/N-NNN.jpg                                                       (JPEG edition)
where <film> is such as Mass-Training_P_00001_LEFT_CC, and <lesion> the same with _1"""

CARD = DatasetCard(
    name="cbis-ddsm",
    summary="3103 digitised mammograms with 3568 lesion masks: benign or malignant",
    citation="R. S. Lee et al., A curated mammography data set for use in computer-aided detection and diagnosis "
    "research, Scientific Data 4:170177 (2017)",
    licence="CC BY 3.0",
    source=ADVICE,
    layout=LAYOUT,
    published=PUBLISHED,
)
Kind: TypeAlias = Literal["both", "mass", "calc"]


class CbisDdsm(Dataset):
    """Whole films. A film is malignant if any of its lesions is.

    `lesions`: both | mass | calc, which tables are read. `callback`: benign | drop, what becomes of lesions that were
    benign without callback. `label`: worst | first, which lesion labels a film that has several. `twins`: apart | drop;
    71 films are listed twice, once for their masses and once for their calcifications. `official`: the publisher's
    split, with a validation part taken from its training part; `conflict`: test | train | keep, where the 31 patients
    go whom mass and calcification tables put on different sides. `official=False` splits anew, by patient, into
    `folds`. `steps`: named steps before the film is stretched to `size` x `size`, such as "breast,clahe".
    """

    def __init__(
        self,
        *,
        path: str = "",
        size: int = 512,
        lesions: Kind = "both",
        callback: Literal["benign", "drop"] = "benign",
        label: Literal["worst", "first"] = "worst",
        twins: Literal["apart", "drop"] = "apart",
        official: bool = True,
        conflict: Literal["test", "train", "keep"] = "test",
        steps: str = "",
        folds: int = 1,
        val: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        between("size", size, 32, 4096)
        source = locate_tables(path)
        rows = choose_lesions(read_tables(source), lesions, callback)
        super().__init__(
            card=CARD,
            classes=CLASSES,
            shape=(1, size, size),
            source=CbisFiles(source, rows),
            records=film_records(rows, label, twins),
            steps=(Grey(), *named(steps), Resize(size, size)),
            splitting=Splitting(folds=folds, val=val, test=test, seed=seed, official=official, conflict=conflict),
            on_error=on_error,
        )


def locate_tables(path: str) -> Source:
    """The source of the tables and pictures; films and patches are made of the same."""
    return locate("cbis-ddsm", path, "*_case_description_*_set.csv", ADVICE)


def read_tables(source: Source) -> list[Lesion]:
    """All rows of the tables that are there; a row that cannot be understood is an error."""
    lesions: list[Lesion] = []
    for table in TABLES:
        for name in source.find(table)[:1]:
            rows, findings = read_table(name, source.read(name))
            if findings:
                raise DataError(f"{findings[0].where}: {findings[0].what}; see `xaibench data check cbis-ddsm`")
            lesions += rows
    if not lesions:
        raise DataError(f"{source.path} has none of {', '.join(TABLES)}: {ADVICE}")
    return lesions


def choose_lesions(rows: Sequence[Lesion], lesions: Kind, callback: str) -> list[Lesion]:
    """The rows that count."""
    one_of("lesions", lesions, ("both", "mass", "calc"))
    one_of("callback", callback, ("benign", "drop"))
    kept = [row for row in rows if lesions in ("both", row.kind)]
    return [row for row in kept if callback == "benign" or row.pathology != CALLED_BACK_NOT]


def film_records(rows: Sequence[Lesion], rule: str, twins: str) -> list[Record]:
    """One record per film and table."""
    one_of("label", rule, ("worst", "first"))
    one_of("twins", twins, ("apart", "drop"))
    films, shown = by_film(rows), by_breast_view(rows)
    return [
        Record(
            id=folder,
            patient=lesions[0].patient,
            label=_label(lesions, shown[lesions[0].breast_view], rule),
            image=FILM + folder,
            lesions=tuple(MaskFile(MASK + lesion.mask.folder) for lesion in lesions),
            official=lesions[0].part,
            extra={"kind": lesions[0].kind, "density": lesions[0].density},
        )
        for folder, lesions in films.items()
        if twins == "apart" or len({lesion.film.folder for lesion in shown[lesions[0].breast_view]}) == 1
    ]


def _label(listed: Sequence[Lesion], shown: Sequence[Lesion], rule: str) -> int:
    """By the worst lesion that the film shows, or by the first one that its table lists."""
    counted = listed[:1] if rule == "first" else shown
    return int(any(lesion.pathology == MALIGNANT for lesion in counted))
