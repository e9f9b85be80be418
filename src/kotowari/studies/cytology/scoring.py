"""Scores of a method over the images of a kind, with intervals over slides; without masks, how far two agree."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.core.runfolder import Metric, Role
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.fitting import unpacked_scores
from kotowari.studies.cytology.job import CytologyJob
from kotowari.studies.cytology.scores import ImageScores, score_image, score_intervals
from kotowari.trust.intervals import Interval, bootstrap_interval

__all__ = [
    "AGREEMENT",
    "F1",
    "FOREGROUND_AP",
    "agreement",
    "f1_difference",
    "found_on",
    "image_scores",
    "metric_rows",
    "pooled_f1_on",
    "score_rows",
    "scores_on",
    "target_of",
]

F1, FOREGROUND_AP, AGREEMENT = "F1 at IoU 0.5", "foreground AP", "agreement (F1 at IoU 0.5)"
_METRICS = {
    "f1": F1,
    "average_precision": "average precision (IoU 0.5 to 0.95)",
    "panoptic_quality": "panoptic quality",
    "dice": "Dice of the foreground",
    "count_error": "count error",
}


def target_of(job: CytologyJob, kind: Kind) -> str:
    """Return the words above the scores of a kind: nothing is called accuracy without masks."""
    return kind.name if job.is_scored(kind) else f"{kind.name}: agreement with ours, no masks"


def image_scores(found: Mapping[int, Arrays]) -> tuple[list[int], list[ImageScores], npt.NDArray[np.float64]]:
    """Return rows, scores and foreground AP of the images that have a mask."""
    rows = [row for row, own in found.items() if "scores" in own]
    told = [unpacked_scores(found[row]["scores"]) for row in rows]
    return rows, [scores for scores, _ in told], np.array([ap for _, ap in told])


def score_rows(job: CytologyJob, kind: Kind, found: Mapping[int, Arrays], model: str, role: Role) -> list[Metric]:
    """Return what a method reaches on a kind: accuracy where there are masks, else its agreement with ours."""
    if not job.is_scored(kind):
        return [_agreement_row(job, kind, found, model, role)]
    rows, scores, foreground = image_scores(found)
    return metric_rows(kind.name, model, role, scores, foreground, job.groups[rows], job.seed("intervals"))


def metric_rows(  # noqa: PLR0917  (columns of one table)
    target: str,
    model: str,
    role: Role,
    scores: Sequence[ImageScores],
    foreground: npt.NDArray[np.float64],
    slides: npt.NDArray[np.integer],
    random_state: int,
) -> list[Metric]:
    """Return the scores of a method over some images, with intervals over slides."""
    intervals = score_intervals(scores, slides, random_state=random_state)
    told = {name: intervals[key] for key, name in _METRICS.items()}
    told[FOREGROUND_AP] = bootstrap_interval(_mean, foreground, groups=slides, random_state=random_state)
    return [_row(target, metric, model, role, interval, len(scores)) for metric, interval in told.items()]


def found_on(shard: Arrays, rows: Sequence[int]) -> dict[int, Arrays]:
    """Return what a fit found in some images: row to its arrays."""
    endings = {row: f"-{row}" for row in rows}
    return {
        row: {name.removesuffix(ending): own for name, own in shard.items() if name.endswith(ending)}
        for row, ending in endings.items()
    }


def pooled_f1_on(job: CytologyJob, kind: Kind, found: Mapping[int, Arrays]) -> float:
    """Return F1 over some images, counts summed: against the masks, or against our own cells where there are none."""
    return _f1(_f1_counts(list(scores_on(job, kind, found).values())))


def scores_on(job: CytologyJob, kind: Kind, found: Mapping[int, Arrays]) -> dict[int, ImageScores]:
    """Return the scores of images against their masks, or against our own cells where there are none."""
    if job.is_scored(kind):
        return {row: unpacked_scores(own["scores"])[0] for row, own in found.items() if "scores" in own}
    cells = job.cells(kind)
    return {row: score_image(cells[row]["labels"], own["labels"]) for row, own in found.items()}


def f1_difference(
    job: CytologyJob, found: Mapping[int, Arrays], other: Mapping[int, Arrays]
) -> tuple[Interval, Interval]:
    """Return what one method has above another on the same images, in F1 and in foreground AP, with intervals."""
    rows, ours, ours_ap = image_scores(found)
    _, theirs, theirs_ap = image_scores({row: other[row] for row in rows})
    slides = job.groups[rows]
    f1 = bootstrap_interval(
        _f1_gain, _f1_counts(ours), _f1_counts(theirs), groups=slides, random_state=job.seed("differences")
    )
    ap = bootstrap_interval(_mean, ours_ap - theirs_ap, groups=slides, random_state=job.seed("differences"))
    return f1, ap


def agreement(
    job: CytologyJob, found: Mapping[int, Arrays], other: Mapping[int, Arrays]
) -> tuple[Interval, list[ImageScores]]:
    """Return the F1 between the cells of two methods over all images they share, counts summed, and each image's."""
    rows = [row for row in found if row in other]
    scores = [score_image(found[row]["labels"], other[row]["labels"]) for row in rows]
    interval = bootstrap_interval(_f1, _f1_counts(scores), groups=job.groups[rows], random_state=job.seed("agreement"))
    return interval, scores


def _agreement_row(job: CytologyJob, kind: Kind, found: Mapping[int, Arrays], model: str, role: Role) -> Metric:
    interval, scores = agreement(job, job.cells(kind), found)
    return _row(target_of(job, kind), AGREEMENT, model, role, interval, len(scores))


def _row(target: str, metric: str, model: str, role: Role, interval: Interval, n: int) -> Metric:
    value, low, high = (
        None if not np.isfinite(end) else float(end) for end in (interval.value, interval.low, interval.high)
    )
    return Metric(target, metric, model, role, value, low=low, high=high, n=n)


def _f1_counts(scores: Sequence[ImageScores]) -> npt.NDArray[np.float64]:
    return np.array([[own.tp[0], own.n_truth + own.n_found] for own in scores], np.float64)


def _f1(counts: npt.NDArray[np.float64]) -> float:
    hits, objects = counts.sum(0)
    return float(2 * hits / objects) if objects > 0 else np.nan


def _f1_gain(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    return _f1(ours) - _f1(theirs)


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan
