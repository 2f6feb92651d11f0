"""What a metric promises of its values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.cases import taken
from xaibench.contracts import Curved
from xaibench.testing.checks import promise
from xaibench.testing.measuring import COUNT, arrays_of, flipped, with_maps, with_masks
from xaibench.testing.planted import noise_maps
from xaibench.testing.verdicts import Broken, NotAsked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Case, Floats, Scores
    from xaibench.testing.measuring import MetricTrial

metric = "metrics"
SOUND = ("card", "works", "curve", "bounds")
REPEATABLE = (*SOUND, "same-again")
CLOSE = 1e-5


@promise(metric, after=("card",))
def works(trial: MetricTrial) -> None:
    """`score(case)` gives one number per image; NaN says undefined, and some sound image has a value."""
    answer = trial.first.answer
    found = np.asarray(answer.values if isinstance(answer, Curved) else answer, dtype=np.float64)
    if found.shape != (COUNT,):
        raise Broken(f"for {COUNT} images it returned values of shape {found.shape}; one per image is asked")
    if np.isnan(found).all():
        raise Broken("every value is NaN, though the maps and lesions are sound")


@promise(metric, after=("card",))
def worst(trial: MetricTrial) -> None:
    """What a failed map scores is the bad end of the range, or None."""
    card = trial.card
    end = card["lowest"] if card["higher_is_better"] else card["highest"]
    if card["worst"] is not None and end is not None and card["worst"] != end:
        raise Broken(f"card.worst is {card['worst']:g}, but the bad end of the range is {end:g}: failing would pay")


@promise(metric, after=("card", "works"))
def curve(trial: MetricTrial) -> None:
    """`score` returns `Curved` if and only if the card names the places of a curve, and with a value for each."""
    answer, places = trial.first.answer, trial.card["curve"]
    if isinstance(answer, Curved) != bool(places):
        raise Broken(f"it returned a {type(answer).__name__}, and card.curve names {len(places)} places")
    if not places:
        raise NotAsked("the card names no curve")
    if np.shape(answer.curves) != (COUNT, len(places)):
        raise Broken(f"curves have the shape {np.shape(answer.curves)}; {(COUNT, len(places))} is [images, places]")


@promise(metric, after=("card", "works"))
def bounds(trial: MetricTrial) -> None:
    """Values lie between card.lowest and card.highest, and are never infinite."""
    for raw in (trial.blurred, trial.truth() + noise_maps(trial.samples) / np.float32(100), noise_maps(trial.samples)):
        _must_be_within(trial, trial.values(trial.case(raw)), "")


def _must_be_within(trial: MetricTrial, found: Scores, where: str) -> None:
    known, card = found[~np.isnan(found)], trial.card
    low, high = (end if card[name] is None else card[name] for name, end in (("lowest", -np.inf), ("highest", np.inf)))
    if np.isinf(known).any():
        raise Broken(f"an infinite value{where}: NaN says undefined")
    outside = known[(known < low - CLOSE) | (known > high + CLOSE)]
    if len(outside):
        raise Broken(f"a value of {outside[0]:g}{where}, but the card's range is {low:g} to {high:g}")


@promise(metric, after=SOUND)
def same_again(trial: MetricTrial) -> None:
    """Asked twice, it gives the same values."""
    first, second = (trial.values(trial.case()) for _ in range(2))
    if not np.array_equal(first, second, equal_nan=True):
        raise Broken("the same case has two values: draw from case.seeds alone, one per image")


@promise(metric, after=REPEATABLE)
def map_matters(trial: MetricTrial) -> None:
    """Another map has another value, if and only if the card says uses_map."""
    case = trial.case()
    others = [np.ascontiguousarray(raw) for raw in (noise_maps(trial.samples), 1 - case.maps, trial.truth())]
    found = [trial.values(with_maps(case, raw)) for raw in others]
    same = all(_same(trial.values(case), values) for values in found)
    if same and trial.card["uses_map"]:
        raise Broken("whatever the map, the value is the same: say uses_map=False if it measures something else")
    if not same and not trial.card["uses_map"]:
        raise Broken("the card says uses_map=False, but another map has another value")


@promise(metric, after=REPEATABLE)
def neighbours(trial: MetricTrial) -> None:
    """A value does not depend on the other images of the case, nor on their maps."""
    case = trial.case()
    raw = case.raw.copy()
    raw[0] = 3 * raw[0, ::-1, ::-1]
    other = replace(with_maps(case, raw), seeds=(case.seeds[0] ^ 1, *case.seeds[1:]))
    if not _same(trial.values(other)[1:], trial.values(case)[1:]):
        raise Broken("with another first map, other images have other values: normalise and draw image by image")


@promise(metric, after=(*REPEATABLE, "neighbours"))
def order(trial: MetricTrial) -> None:
    """A value does not depend on the place of its image in the case."""
    case, places = trial.case(), [2, 0, 3, 1]
    if not _same(trial.values(taken(case, places)), trial.values(case)[places]):
        raise Broken("in another order the images have other values")


@promise(metric, after=(*REPEATABLE, "neighbours"))
def batch_size(trial: MetricTrial) -> None:
    """A value does not depend on how many images are scored at once."""
    case = trial.case()
    if not _same(trial.values(taken(case, [0])), trial.values(case)[:1]):
        raise Broken(f"alone, the first image has another value than in a case of {COUNT}")


def _same(found: Scores, expected: Scores) -> bool:
    return np.allclose(found, expected, rtol=CLOSE, atol=CLOSE, equal_nan=True)


@promise(metric, after=REPEATABLE)
def direction(trial: MetricTrial) -> None:
    """A measure of localisation gives the lesion itself a better value than noise, as higher_is_better says."""
    card = trial.card
    if card["family"] != "localisation" or not card["claims_quality"] or "mask" not in card["needs"]:
        raise NotAsked("it is no measure of how well lesions are found; `xaibench audit` tries the others")
    lesion, noise = (float(np.nanmean(trial.values(trial.case(raw)))) for raw in (trial.truth(), _noise(trial)))
    if not (lesion > noise if card["higher_is_better"] else lesion < noise):
        raise Broken(f"the lesion itself has {lesion:.3g}, noise {noise:.3g}, and {_better(card)} is better, it says")


def _noise(trial: MetricTrial) -> Floats:
    return noise_maps(trial.samples, "other noise")


def _better(card: Any) -> str:
    return "higher" if card["higher_is_better"] else "lower"


@promise(metric, after=REPEATABLE)
def flip(trial: MetricTrial) -> None:
    """Image, map and lesions in a mirror have the same value."""
    case = trial.case()
    if trial.classifier is not None or any(name.startswith("noise") for name in case.variants):
        raise NotAsked("the network, or noise on the image, need not be the same in a mirror")
    for axis, way in ((-1, "left and right"), (-2, "top and bottom")):
        if not _same(trial.values(flipped(case, axis)), trial.values(case)):
            raise Broken(f"with {way} exchanged in image, map and lesions alike, the values are others")


@promise(metric, after=REPEATABLE)
def degenerate(trial: MetricTrial) -> None:
    """Lesions of one pixel or of the whole image, and maps of two levels, have a value in range, or NaN."""
    for what, case in _odd_cases(trial):
        _must_be_within(trial, trial.values(case), f" {what}")


def _odd_cases(trial: MetricTrial) -> Iterator[tuple[str, Case]]:
    case = trial.case()
    spot, dot = np.zeros_like(case.maps), np.zeros_like(case.masks)
    spot[:, 4, 5], dot[:, 4, 5] = 1, True
    if "normal" not in trial.card["needs"]:
        yield "for lesions of one pixel", with_masks(case, dot)
        yield "for a lesion as large as the image", with_masks(case, ~np.zeros_like(case.masks))
    yield "for a map of one bright pixel", with_maps(case, spot)
    yield "for a map of two levels", with_maps(case, np.round(case.maps))


@promise(metric, after=("card", "works"))
def case_untouched(trial: MetricTrial) -> None:
    """Nothing is written into the case."""
    before, after = arrays_of(trial.first.copy), arrays_of(trial.first.case)
    for name, array in before.items():
        if not np.array_equal(array, after[name], equal_nan=array.dtype.kind == "f"):
            raise Broken(f"it wrote into the case ({name}), which other metrics are given too: work on a copy")


@promise(metric, after=("card", "works"))
def network_untouched(trial: MetricTrial) -> None:
    """The network is left as it was."""
    if trial.classifier is None:
        raise NotAsked("it is given no network")
    if trial.first.changes:
        raise Broken(f"it changed the network: {trial.first.changes}")
