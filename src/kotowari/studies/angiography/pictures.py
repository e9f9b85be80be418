"""What the pictures of a run are drawn from, collected as arrays."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.studies.angiography.arms import NETWORK
from kotowari.studies.angiography.comparison import TARGETS, scores_table
from kotowari.studies.angiography.figures.arrays import MOST_SHOWN
from kotowari.studies.angiography.job import FINAL, AngiographyJob

__all__ = ["pictures", "shown_recordings"]

_BEST_TO_WORST = (0.0, 0.5, 1.0)


def pictures(job: AngiographyJob) -> Arrays:
    """Collect what the figures are drawn from."""
    found: Arrays = {}
    chosen, words, by = shown_recordings(job)
    found["shown_words"], found["shown_by"] = np.array(words), np.array(by)
    for k, name in enumerate(chosen):
        shard = job.shard("products", name)
        for part in ("frame", "layer", "map", "background", "maximum", "arrival", "field", "device"):
            if part in shard:
                found[f"shown_{k}_{part}"] = shard[part]
        for part in ("course", "share", "times", "free"):
            found[f"shown_{k}_{part}"] = shard[part]
    found |= _methods(job) | _training(job)
    if job.holds("implants"):
        found |= job.kept("implants")
    return found


def shown_recordings(job: AngiographyJob) -> tuple[list[str], list[str], str]:
    """Return the recordings where our network does best, in the middle and worst, words on each, and by what."""
    for kind, target in TARGETS.items():
        table = scores_table(job, kind)
        if not len(table):
            continue
        own = table[table["method"] == NETWORK].groupby("recording")["average_precision"].mean()
        order = own.sort_values(ascending=False, kind="stable")
        places = sorted({round(share * (len(order) - 1)) for share in _BEST_TO_WORST})[:MOST_SHOWN]
        names = [str(order.index[place]) for place in places]
        return names, [f"{name}: average precision {order[name]:.2f}" for name in names], target
    names = [recording.name for recording in job.recordings[:MOST_SHOWN]]
    return names, names, "order of the recordings"


def _methods(job: AngiographyJob) -> Arrays:
    """Return average precision and what is called vessel without contrast, by method and recording."""
    found: Arrays = {}
    for kind in TARGETS:
        table = scores_table(job, kind)
        if not len(table):
            continue
        by_method = table.groupby(["method", "recording"], sort=False)["average_precision"].mean().unstack()
        found[f"methods_{kind}_names"] = by_method.index.to_numpy(str)
        found[f"methods_{kind}_ap"] = by_method.to_numpy(np.float64)
        found[f"methods_{kind}_prevalence"] = np.array(float(table["prevalence"].mean()))
    return found


def _training(job: AngiographyJob) -> Arrays:
    names = [f"ours-fold-{k}" for k in range(len(job.folds))] + [f"ours-{FINAL}"]
    curves = [job.shard("networks", name)["loss"] for name in names]
    longest = max(len(curve) for curve in curves)
    rows = [np.concatenate([curve, np.full(longest - len(curve), np.nan)]) for curve in curves]
    dice = float(job.shard("networks", f"ours-{FINAL}")["implant_dice"])
    return {"loss": np.stack(rows), "implant_dice": np.array(dice)}
