"""What chance gives: maps held against vessels turned over, as if trees lay anywhere else that they might lie."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kotowari.core.runfolder import Metric
from kotowari.studies.angiography.arms import NETWORK
from kotowari.studies.angiography.comparison import AP, TARGETS, judged
from kotowari.studies.angiography.job import AngiographyJob
from kotowari.trust.permutation import permutation_p

__all__ = ["MIRRORED", "look_at_chance", "mirrored_null"]

MIRRORED = "network against vessels turned over"
_DRAWS = 999
_CENTRAL = (0.025, 0.975)


def look_at_chance(job: AngiographyJob) -> None:
    """Give the average precision of our network its p value, and write the row of chance."""
    rows, compared = [], job.folder.metrics("compare")
    for kind, target in TARGETS.items():
        told = [judged(job, recording, kind) for recording in job.recordings]
        both = zip(told, job.recordings, strict=True)
        known = [(own["mirrored"], recording.patient) for own, recording in both if own]
        if not known:
            continue
        values, patients = np.stack([value for value, _ in known]), [patient for _, patient in known]
        observed, null = mirrored_null(values, patients, np.random.default_rng(job.seed("mirrors", kind)))
        job.keep(f"mirrored-{kind}", {"null": null, "observed": np.array(observed)})
        p = permutation_p(observed, null)
        compared = [
            replace(row, p=p, n_null=len(null)) if (row.target, row.metric, row.model) == (target, AP, NETWORK) else row
            for row in compared
        ]
        low, high = (float(end) for end in np.quantile(null, _CENTRAL))
        mean = float(null.mean())
        rows.append(Metric(target, AP, MIRRORED, "chance", mean, low=low, high=high, n=len(values), n_null=len(null)))
    job.folder.write_metrics("compare", compared)
    job.folder.write_metrics("null", rows)


def mirrored_null(
    values: npt.NDArray[np.float64], patients: Sequence[str], rng: np.random.Generator
) -> tuple[float, npt.NDArray[np.float64]]:
    """Turn the true vessels of each recording over, at random, and average over recordings.

    Where maps know nothing of the vessels beyond where trees tend to lie, each way of turning over is as good as none.

    Parameters
    ----------
    values
        Average precision against the vessels as they are, and turned over in three ways, ``(recording, 4)``; NaN where
        vessels turned over lie outside of the field.
    patients
        Owner of each recording; all of one are turned over alike.
    rng
        Source of the draws.

    Returns
    -------
    float, array
        The average against the vessels as they are, and under 999 draws.
    """
    filled = np.where(np.isfinite(values), values, values[:, :1])
    owner = np.unique(np.asarray(patients), return_inverse=True)[1]
    drawn = rng.integers(filled.shape[1], size=(_DRAWS, owner.max() + 1))[:, owner]
    null = filled[np.arange(len(filled)), drawn].mean(1)
    return float(filled[:, 0].mean()), null
