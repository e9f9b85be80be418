"""Simulated runs: what the layers and the network call vessel without any label, beside robust PCA and a top-hat."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import cache

import numpy as np
import numpy.typing as npt

from angiography_data import LESSON, learned
from harness import Figures
from kotowari.priors.space_time import separate_run
from kotowari.studies.angiography.arrival import contrast_arrival, find_device
from kotowari.studies.angiography.attenuation import XrayRun
from kotowari.studies.angiography.contrast_free import find_contrast_free
from kotowari.studies.angiography.filters import top_hat_filter
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from kotowari.studies.angiography.phantom import RunPhantom, simulate_run
from kotowari.studies.angiography.phantom_lock import phantom_lock
from kotowari.studies.angiography.phantom_settings import RunSettings
from kotowari.studies.angiography.scores import arrival_error, score_map
from kotowari.studies.angiography.subtraction import robust_pca_subtraction
from kotowari.studies.angiography.threshold import VesselThreshold, run_threshold
from seeds import by_seed, mean_with_interval

__all__ = ["simulated_runs"]

BoolArray = npt.NDArray[np.bool_]
Frames = npt.NDArray[np.float32]

_SIDE, _N_FRAMES, _N_SCORED = 256, 64, 8
_SEEDS, _LESSON_SEEDS = (11, 12, 13, 14, 15), (101, 102)
_RUN_LESSON = {**LESSON, "n_steps": 200}
_OURS = ("run_layer", "network")
_LEAST_FILLED = 0.1
_SCORES = {
    "dice": "dice",
    "cl_dice": "cl_dice",
    "centreline_px": "centreline_px",
    "average_precision": "ap",
    "auc": "auc",
    "sensitivity": "sensitivity",
}


def simulated_runs(quick: bool) -> Figures:
    """Measure ``phantom_dice``, ``phantom_dice_rpca`` and ``phantom_centreline_px`` on simulated runs.

    Five runs of 64 x 256 x 256 frames with the defaults of :class:`RunSettings`; ``phantom_locked`` of them are as hard
    as life by :func:`phantom_lock`, and ``_locked`` is the mean of these. The network learned from two further runs,
    without their truth and with another law of trees. Layers and comparators are cut by :func:`run_threshold`, with the
    frames before contrast as they are guessed, and the network at its own threshold; what is called vessel before
    contrast is taken out as a device. Scores are those of single frames, mean over eight frames spread over those that
    hold a tenth or more of the largest number of vessel pixels; arrival is the median error in frames.
    """
    seeds = _SEEDS[:2] if quick else _SEEDS
    settings = (quick, _RUN_LESSON, _LESSON_SEEDS, _SIDE, _N_FRAMES, _N_SCORED, "lock")
    rows = by_seed("angiography_phantom", seeds, lambda seed: _row(seed, quick=quick), settings)
    table = {key: np.array([row[key] for row in rows], np.float64) for key in rows[0]}
    locked = table.pop("locked") > 0
    figures: Figures = {"phantom_runs": len(rows), "phantom_locked": int(locked.sum())}
    for key, values in table.items():
        defined = values[np.isfinite(values)]
        figures |= mean_with_interval(f"phantom_{key}", defined if len(defined) else values)
    best = max(_OURS, key=lambda arm: float(table[f"dice_{arm}"].mean()))
    figures["phantom_dice_name"] = best
    for key in (*_SCORES.values(), "arrival_frames", "dice_pooled"):
        for end in ("", "_low", "_high"):
            figures[f"phantom_{key}{end}"] = figures.get(f"phantom_{key}_{best}{end}")
    if locked.any():
        figures["phantom_dice_locked"] = float(table[f"dice_{best}"][locked].mean())
        figures["phantom_dice_rpca_locked"] = float(table["dice_rpca"][locked].mean())
    return figures | mean_with_interval("phantom_dice_less_rpca", table[f"dice_{best}"] - table["dice_rpca"])


def _row(seed: int, *, quick: bool) -> dict[str, float]:
    phantom = _phantom(seed, quick=quick)
    before = find_contrast_free(phantom.frames, phantom.field)
    truth = phantom.mask & phantom.field
    filled = truth.sum((1, 2))
    known = np.flatnonzero(filled >= _LEAST_FILLED * filled.max())
    scored = known[np.linspace(0, len(known) - 1, 2 if quick else _N_SCORED).round().astype(np.intp)]
    row = {
        "prevalence": float(truth[scored][:, phantom.field].mean()),
        "locked": float(not quick and phantom_lock(phantom).locked),
        # below 0: fewer frames were taken to be before contrast than were
        "guessed_before": float(int(before.sum()) - int(np.argmax(filled > 0))),
    }
    for name, maps, threshold in _arms(phantom, before, quick=quick):
        found = threshold.mask(maps, phantom.field)
        found &= ~find_device(found, before)
        frames = [
            asdict(score_map(maps[place], truth[place], phantom.field, threshold.low, found=found[place]))
            for place in scored
        ]
        row |= {f"{short}_{name}": float(np.mean([one[key] for one in frames])) for key, short in _SCORES.items()}
        row[f"dice_pooled_{name}"] = float(2 * (found & truth).sum() / (found.sum() + truth.sum()))
        timed = contrast_arrival(maps, phantom.frame_s, phantom.field, before=before).arrival_s
        error = arrival_error(timed, phantom.arrival_s, truth.any(0))
        row[f"arrival_frames_{name}"] = error["median_s"] / float(phantom.frame_s[1])
        row[f"arrival_timed_{name}"] = error["timed"]
    return row


def _arms(phantom: RunPhantom, before: BoolArray, *, quick: bool) -> Iterator[tuple[str, Frames, VesselThreshold]]:
    enhancer = _network(quick=quick)
    cut = float(enhancer.threshold_)
    yield "network", enhancer.enhance(phantom.frames, phantom.field), VesselThreshold(cut, cut, "its own")
    layer = separate_run(phantom.frames, phantom.field, n_threads=1).sparse
    yield "run_layer", layer, run_threshold(layer, phantom.field, before)
    for name, own in {"rpca": robust_pca_subtraction(), "top_hat": top_hat_filter()}.items():
        maps = own.enhance(phantom.frames, phantom.field)
        yield name, maps, run_threshold(maps, phantom.field, before)


@cache
def _network(*, quick: bool) -> VesselEnhancer:
    def runs() -> list[XrayRun]:
        lessons = [_phantom(seed, quick=quick) for seed in _LESSON_SEEDS]
        return [XrayRun(f"phantom-{one.seed}", one.frames, one.field) for one in lessons]

    return learned("phantoms", runs, _RUN_LESSON, quick=quick).enhancer


def _phantom(seed: int, *, quick: bool) -> RunPhantom:
    side, n_frames = (64, 24) if quick else (_SIDE, _N_FRAMES)
    return simulate_run(RunSettings(shape=(side, side), n_frames=n_frames), seed)
