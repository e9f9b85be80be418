"""How well a vessel map finds the vessels of one picture, and the mean over runs with its interval."""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.contrast import contrast_scores
from kotowari.studies.angiography.ranking import ranking_scores
from kotowari.studies.angiography.topology import centreline_distance, cl_dice, skeleton
from kotowari.trust.intervals import Interval, bootstrap_interval

__all__ = ["VesselScores", "arrival_error", "false_positive_share", "mean_over_runs", "score_map", "score_run"]

Map = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class VesselScores:
    """What one map reaches against the true vessels, inside the field of view.

    A figure that the truth does not define is NaN: without any true vessel all but ``specificity`` and
    ``false_positive_share``, since there is nothing to find; where all of the field is vessel, ``auc``,
    ``average_precision``, ``specificity``, ``false_positive_share``, ``d_prime`` and both contrasts. True vessels of
    which nothing is found give zeros and the diagonal of the picture as ``centreline_px``.

    Attributes
    ----------
    auc, average_precision
        Area under the ROC curve, chance 0.5; average precision, chance ``prevalence``. Over all thresholds.
    prevalence
        Share of the field that is vessel.
    dice, sensitivity, specificity, false_positive_share
        Of the pixels above the threshold; Dice is also called F1. The last is 1 - specificity.
    cl_dice, centreline_px
        Agreement of the centrelines at the threshold; symmetric mean distance of the skeletons in px.
    d_prime
        Separation of vessel and background in standard deviations; signed.
    contrast_to_noise, ring_contrast_to_noise
        Descriptive only, since any threshold inflates them: against all background, and against a ring of 5 px.
    """

    auc: float
    average_precision: float
    prevalence: float
    dice: float
    sensitivity: float
    specificity: float
    false_positive_share: float
    cl_dice: float
    centreline_px: float
    d_prime: float
    contrast_to_noise: float
    ring_contrast_to_noise: float


def score_map(
    vesselness: Map, truth: BoolArray, field: BoolArray, threshold: float, *, found: BoolArray | None = None
) -> VesselScores:
    """Score one vessel map against the true vessels of its picture.

    Parameters
    ----------
    vesselness
        Shape ``(height, width)``, finite inside the field, larger for more vessel.
    truth, field
        Shape ``(height, width)``: the vessels, and the pixels that count.
    threshold
        Vessel is what lies above it; fixed before this picture was seen.
    found
        Shape ``(height, width)``: a mask found some other way, such as by hysteresis, in place of the threshold.

    Raises
    ------
    ShapeError, InputError
        When shapes differ, the field is empty, or the map is not finite inside it.
    """
    _require_alike(vesselness, truth, field)
    said = (vesselness > threshold if found is None else found) & field
    true = truth & field
    auc, precision = ranking_scores(vesselness[true], vesselness[field & ~true])
    topology = _topology(said, true)
    separation = contrast_scores(vesselness, true, field)
    return VesselScores(
        auc, precision, float(true.sum() / field.sum()), *_overlap(said, true, field), *topology, *separation
    )


def score_run(
    maps: Map, truth: BoolArray, field: BoolArray, threshold: float, *, found: BoolArray | None = None
) -> pd.DataFrame:
    """Score every frame of a run; one row a frame, columns ``frame`` and those of :class:`VesselScores`.

    Parameters
    ----------
    maps, truth
        Shape ``(time, height, width)``.
    field
        Shape ``(height, width)``, or one for each frame.
    threshold, found
        As in :func:`score_map`; ``found`` has the shape of the maps.
    """
    if maps.ndim != 3 or maps.shape != truth.shape:
        raise ShapeError.mismatch("score_run", "truth", maps.shape, truth.shape)
    fields = np.broadcast_to(field, maps.shape)
    masks = [None] * len(maps) if found is None else list(found)
    rows = [
        {"frame": number} | asdict(score_map(*arrays, threshold, found=mask))
        for number, (arrays, mask) in enumerate(zip(zip(maps, truth, fields, strict=True), masks, strict=True))
    ]
    return pd.DataFrame(rows)


def false_positive_share(found: BoolArray, field: BoolArray) -> npt.NDArray[np.float64]:
    """Share of the field called vessel in frames that hold none, one a frame; the control of runs without contrast.

    Parameters
    ----------
    found
        Shape ``(time, height, width)``.
    field
        Shape ``(height, width)``, not empty.
    """
    if not field.any():
        raise InputError("false_positive_share: the field of view is empty.")
    share: npt.NDArray[np.float64] = found[:, field].mean(axis=1)
    return share


def arrival_error(found_s: Map, truth_s: Map, mask: BoolArray) -> dict[str, float]:
    """Compare contrast-arrival times over the pixels of planted vessels.

    Parameters
    ----------
    found_s, truth_s
        Shape ``(height, width)``, in s; NaN where no arrival was found or planted.
    mask
        Shape ``(height, width)``: where contrast was planted.

    Returns
    -------
    dict
        ``median_s`` (median absolute error), ``bias_s`` (median signed error, above 0 for late), ``timed`` (share of
        the planted pixels that got a time). Errors are NaN when no pixel got one: read them beside ``timed``.
    """
    planted = mask & np.isfinite(truth_s)
    both = planted & np.isfinite(found_s)
    error = (found_s[both] - truth_s[both]).astype(np.float64)
    if not planted.any():
        return {"median_s": np.nan, "bias_s": np.nan, "timed": np.nan}
    if not error.size:
        return {"median_s": np.nan, "bias_s": np.nan, "timed": 0.0}
    return {
        "median_s": float(np.median(np.abs(error))),
        "bias_s": float(np.median(error)),
        "timed": float(both.sum() / planted.sum()),
    }


def mean_over_runs(
    scores: npt.ArrayLike,
    runs: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    *,
    n_draws: int = 2000,
    level: float = 0.95,
    random_state: int,
) -> Interval:
    """Mean over runs of the mean over their frames, with a bootstrap over patients.

    Frames whose figure is not defined (NaN) do not count. A single patient has no interval: its ends are NaN.

    Parameters
    ----------
    scores
        Shape ``(frame,)``: one figure for each frame of all runs. For a comparison pass differences.
    runs, patients
        Shape ``(frame,)``: run and patient of each; None takes each run for a patient.
    n_draws
        Draws of patients.
    level
        Of the interval.
    random_state
        Seed.
    """
    owners = runs if patients is None else patients
    rows = pd.DataFrame(
        {"score": np.asarray(scores, np.float64), "run": np.asarray(runs), "patient": np.asarray(owners)}
    )
    means = rows.dropna(subset="score").groupby(["patient", "run"], sort=True)["score"].mean().reset_index()
    if means["patient"].nunique() < 2:
        value = float(means["score"].mean()) if len(means) else np.nan
        return Interval(value, np.nan, np.nan, np.nan, 0)
    return bootstrap_interval(
        np.mean, means["score"], groups=means["patient"], n_draws=n_draws, level=level, random_state=random_state
    )


def _overlap(said: BoolArray, true: BoolArray, field: BoolArray) -> tuple[float, float, float, float]:
    both, n_true, n_said = int((said & true).sum()), int(true.sum()), int(said.sum())
    n_other = int(field.sum()) - n_true
    wrong = (n_said - both) / n_other if n_other else np.nan
    if not n_true:
        return np.nan, np.nan, 1 - wrong, wrong
    return 2 * both / (n_true + n_said), both / n_true, 1 - wrong, wrong


def _topology(said: BoolArray, true: BoolArray) -> tuple[float, float]:
    if not true.any():
        return np.nan, np.nan
    lines, true_lines = skeleton(said), skeleton(true)
    return cl_dice(said, true, lines, true_lines), centreline_distance(lines, true_lines)


def _require_alike(vesselness: Map, truth: BoolArray, field: BoolArray) -> None:
    for what, array in (("truth", truth), ("field", field)):
        if vesselness.ndim != 2 or array.shape != vesselness.shape:
            raise ShapeError.mismatch("score_map", what, vesselness.shape, array.shape)
    if not field.any():
        raise InputError("score_map: the field of view is empty.")
    if not np.isfinite(vesselness[field]).all():
        raise InputError("score_map: the vessel map must be finite inside the field of view.")
