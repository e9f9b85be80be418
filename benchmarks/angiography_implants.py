"""Vessels put into the contrast-free frames of a real run: our maps beside subtraction, robust PCA and filters."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from angiography_data import LESSON, cimat_network, clip, clip_free
from harness import Figures, slug
from kotowari.priors.space_time import separate_run
from kotowari.studies.angiography.contrast import contrast_scores
from kotowari.studies.angiography.filters import VesselFilter, frangi_filter, sato_filter, top_hat_filter
from kotowari.studies.angiography.implant import VesselImplant
from kotowari.studies.angiography.ranking import ranking_scores
from kotowari.studies.angiography.subtraction import all_subtractions
from seeds import by_seed, mean_with_interval

__all__ = ["implanted_vessels"]

BoolArray = npt.NDArray[np.bool_]
Frames = npt.NDArray[np.float32]

_GRADES = (0.05, 0.1, 0.2)
_N_TREES = 5
_N_FRAMES = 48
_N_SCORED = 6
_SMOOTHING = 1.0
_TUNING_TREES, _TUNING_GRADE = (900, 901), 0.1
_OURS = ("run_layer", "network_layer")


class _Bed(NamedTuple):
    """A run with planted vessels, and the numbers of the frames that are scored."""

    frames: Frames
    mask: BoolArray
    field: BoolArray
    n_before: int
    scored: npt.NDArray[np.intp]


def implanted_vessels(quick: bool) -> Figures:
    """Measure ``implant_ap`` and ``implant_best_comparator_ap`` on the clip.

    Five trees at three attenuations each; average precision within a frame, mean over six frames spread over those that
    hold vessels, over attenuations, then trees, which the intervals are over. Ours is the better of two arms and the
    comparator the best of all, both by that mean. The network is one of the single angiograms, taught by another law
    of trees; it never saw this run. ``network_layer`` is shown the frames less their background, as the study shows
    runs to networks, ``network_frame`` the frames as they are. Filters have
    their scales from the planted truth of two further trees. ``smoothed`` is a Gaussian of 1 px over a map.
    """
    trees, grades = (range(2), (0.2,)) if quick else (range(_N_TREES), _GRADES)
    beds = [f"{tree}-{grade}" for tree in trees for grade in grades]
    settings = (quick, LESSON, _N_FRAMES, _N_SCORED, _OURS)
    rows = by_seed("angiography_implants", beds, lambda bed: _row(bed, quick=quick), settings)
    table = {key: np.array([row[key] for row in rows]).reshape(len(trees), len(grades)) for key in rows[0]}
    figures: Figures = {"implant_trees": len(trees), "implant_frames": _N_SCORED}
    for key, values in table.items():
        figures |= mean_with_interval(f"implant_{key}", values.mean(1))
        figures |= {
            f"implant_{key}_at_{slug(str(grade))}": float(column)
            for grade, column in zip(grades, values.mean(0), strict=True)
        }
    arms = {key.removeprefix("ap_"): values.mean(1) for key, values in table.items() if key.startswith("ap_")}
    best = max(_OURS, key=lambda arm: float(arms[arm].mean()))
    others = [arm for arm in arms if not arm.startswith(("run_layer", "network"))]
    other = max(others, key=lambda arm: float(arms[arm].mean()))
    figures |= mean_with_interval("implant_ap", arms[best]) | {"implant_ap_name": best}
    figures |= mean_with_interval("implant_best_comparator_ap", arms[other]) | {
        "implant_best_comparator_ap_name": other
    }
    for arm in ("run_layer", "network_layer", "network_frame"):
        figures |= mean_with_interval(f"implant_ap_{arm}_less_best_comparator", arms[arm] - arms[other])
    return figures | mean_with_interval("implant_ap_less_best_comparator", arms[best] - arms[other])


def _row(bed: str, *, quick: bool) -> dict[str, float]:
    tree, grade = bed.split("-")
    made = _bed(int(tree), float(grade), quick=quick)
    row: dict[str, float] = {"prevalence": _mean_over(made, lambda place: made.mask[place][made.field].mean())}
    for name, maps in _arms(made, quick=quick):
        row[f"ap_{name}"] = _mean_over(made, lambda place, maps=maps: _average_precision(maps[place], made, place))
        row[f"d_prime_{name}"] = _mean_over(
            made, lambda place, maps=maps: contrast_scores(maps[place], made.mask[place], made.field)[0]
        )
    return row


def _arms(bed: _Bed, *, quick: bool) -> Iterator[tuple[str, dict[int, Frames]]]:
    """Yield the name of each method and its maps of the scored frames, by frame."""
    enhancer = cimat_network(0, 0, quick=quick).enhancer
    yield "network_frame", {int(place): enhancer.enhance_frame(bed.frames[place], bed.field) for place in bed.scored}
    parted = separate_run(bed.frames, bed.field, n_threads=1)
    yield from _with_smoothed("run_layer", parted.sparse, bed)
    less = bed.frames - parted.background
    yield "network_layer", {int(place): enhancer.enhance_frame(less[place], bed.field) for place in bed.scored}
    for own in all_subtractions(bed.n_before):
        yield from _with_smoothed(slug(own.name), own.enhance(bed.frames, bed.field), bed)
    for own in _tuned_filters(quick=quick):
        maps = own.enhance(bed.frames[bed.scored], bed.field)
        yield slug(own.name), dict(zip(bed.scored.tolist(), maps, strict=True))


def _with_smoothed(name: str, maps: Frames, bed: _Bed) -> Iterator[tuple[str, dict[int, Frames]]]:
    own = {int(place): maps[place] for place in bed.scored}
    yield name, own
    yield f"{name}_smoothed", {place: gaussian_filter(values, _SMOOTHING) for place, values in own.items()}


@cache
def _tuned_filters(*, quick: bool) -> tuple[VesselFilter, ...]:
    """Return top-hat, Frangi and Sato with the scales that are best on planted vessels of other trees."""
    beds = [_bed(tree, _TUNING_GRADE, quick=quick) for tree in _TUNING_TREES]
    pictures = [(bed, place) for bed in beds for place in bed.scored[1::3]]
    filters = (top_hat_filter(),) if quick else (top_hat_filter(), frangi_filter(), sato_filter())
    for own in filters:
        own.fit(
            [bed.frames[place] for bed, place in pictures],
            [bed.mask[place] for bed, place in pictures],
            [bed.field for bed, _ in pictures],
        )
    return filters


@cache
def _implant(*, quick: bool) -> VesselImplant:
    run = clip(quick=quick)
    n_frames = 24 if quick else _N_FRAMES
    return VesselImplant(run.frames[clip_free(quick=quick)], run.field, n_frames=n_frames, frame_s=1 / 30)


def _bed(tree: int, grade: float, *, quick: bool) -> _Bed:
    implant = _implant(quick=quick)
    frames, planted = implant(grade, np.random.default_rng(tree))
    known = np.flatnonzero(planted.mask.any((1, 2)))
    places = np.linspace(0, len(known) - 1, 2 if quick else _N_SCORED).round().astype(np.intp)
    field = clip(quick=quick).field
    return _Bed(frames, planted.mask, field, max(1, int(known[0])), known[places])


def _average_precision(values: Frames, bed: _Bed, place: int) -> float:
    truth = bed.mask[place]
    return ranking_scores(values[truth & bed.field], values[bed.field & ~truth])[1]


def _mean_over(bed: _Bed, score: Callable[[int], Any]) -> float:
    return float(np.mean([float(score(int(place))) for place in bed.scored]))
