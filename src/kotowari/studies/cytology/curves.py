"""What more unlabelled images give: detectors fitted on a few images of the first fold, judged on the same ones."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.jobs import Arrays
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.studies.cytology.comparison import OTSU, supervised_finds
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.detectors import detector_task, seed_name
from kotowari.studies.cytology.fitting import fit_and_find, unpacked_scores
from kotowari.studies.cytology.job import OURS, CytologyJob
from kotowari.studies.cytology.scores import ImageScores
from kotowari.studies.cytology.scoring import found_on, scores_on
from kotowari.trust.intervals import bootstrap_interval

__all__ = ["CURVES", "draw_curves"]

CURVES = "curves.csv"
SUPERVISED = "supervised U-Net"


def draw_curves(job: CytologyJob, progress: Progress) -> None:
    """Write ``tables/curves.csv``: F1 and foreground AP by the number of images, with intervals over slides.

    Without masks F1 is that between the cells of the small detector and those of the detector of the whole fold.
    """
    tasks = {name: task for kind in job.kinds for name, task in _tasks(job, kind).items()}
    if tasks:
        job.run(progress, "Detectors of fewer images", "curves", fit_and_find, tasks)
    rows = [row for kind in job.kinds for row in _curve(job, kind)]
    write_table(job.path / "tables" / CURVES, pd.DataFrame(rows))


def _sizes(job: CytologyJob, kind: Kind) -> list[int]:
    n_all = len(job.parts(kind)[0].fold.train)
    return [size for size in job.config.validation.curve_sizes if size < n_all]


def _name(kind: Kind, size: int, number: int) -> str:
    return f"{kind.word}-{size}-images-{number}"


def _tasks(job: CytologyJob, kind: Kind) -> dict[str, tuple[object, ...]]:
    fold = job.parts(kind)[0].fold
    tasks: dict[str, tuple[object, ...]] = {}
    for number in range(job.config.validation.curve_seeds):
        # one order a seed, so that a larger set holds the smaller ones
        order = np.random.default_rng(job.seed("curves", kind.word, number)).permutation(fold.train)
        for size in _sizes(job, kind):
            rows = (np.sort(order[:size]), fold.test)
            seed = job.seed("curves", kind.word, number, size)
            tasks[_name(kind, size, number)] = (detector_task(job, kind, rows, seed),)
    return tasks


def _curve(job: CytologyJob, kind: Kind) -> list[dict[str, object]]:
    part = job.parts(kind)[0]
    test = part.fold.test.tolist()
    whole = job.cells(kind)
    rows = []
    for size in _sizes(job, kind):
        finds = [
            found_on(job.shard("curves", _name(kind, size, number)), test)
            for number in range(job.config.validation.curve_seeds)
        ]
        rows.append(_point(job, kind, OURS, size, finds))
    others = [found_on(job.shard("fit", seed_name(part, k)), test) for k in range(1, job.config.trust.n_seeds)]
    own = [{row: whole[row] for row in test}]
    rows.append(_point(job, kind, OURS, len(part.fold.train), own + others if job.is_scored(kind) else others))
    otsu = [found_on(job.shard("compare", f"otsu-{part.name}"), test)]
    rows.append(_point(job, kind, OTSU, 0, otsu))
    for n_masks, found in supervised_finds(job, part).items():
        rows.append(_point(job, kind, SUPERVISED, n_masks, [found_on(found, test)]))
    return [row for row in rows if row]


def _point(
    job: CytologyJob, kind: Kind, model: str, n_images: int, finds: list[dict[int, Arrays]]
) -> dict[str, object]:
    """Return one point of a curve: counts of all seeds summed image by image, slides drawn with replacement."""
    scored = job.is_scored(kind)
    rows = [row for row in finds[0] if not scored or "scores" in finds[0][row]]
    if not rows:
        return {}
    counts = np.zeros((len(rows), 2))
    foreground = np.full((len(finds), len(rows)), np.nan)
    by_seed = []
    for number, found in enumerate(finds):
        own = np.array([_counts(scores) for scores in scores_on(job, kind, {row: found[row] for row in rows}).values()])
        counts += own
        by_seed.append(_f1(own))
        if scored:
            foreground[number] = [unpacked_scores(found[row]["scores"])[1] for row in rows]
    groups = job.groups[rows]
    low = high = ap_low = ap_high = np.nan
    known = np.isfinite(foreground).all(0)
    ap = float(foreground[:, known].mean()) if known.any() else np.nan
    if len(np.unique(groups)) > 1:
        interval = bootstrap_interval(_f1, counts, groups=groups, random_state=job.seed("curve intervals"))
        low, high = interval.low, interval.high
        if len(np.unique(groups[known])) > 1:
            mean = foreground[:, known].mean(0)
            interval = bootstrap_interval(np.mean, mean, groups=groups[known], random_state=job.seed("curve intervals"))
            ap_low, ap_high = interval.low, interval.high
    return {
        "model": model,
        "images": n_images,
        "seeds": len(finds),
        "compared with": "masks" if scored else "ours, all images of the fold",
        "F1": _f1(counts),
        "F1 low": low,
        "F1 high": high,
        "F1 lowest seed": min(by_seed),
        "F1 highest seed": max(by_seed),
        "foreground AP": ap,
        "AP low": ap_low,
        "AP high": ap_high,
        "kind": kind.name,
    }


def _counts(scores: ImageScores) -> tuple[float, float]:
    return scores.tp[0], scores.n_truth + scores.n_found


def _f1(counts: npt.NDArray[np.float64]) -> float:
    hits, objects = counts.sum(0)
    return float(2 * hits / objects) if objects > 0 else np.nan
