"""A look at the volumes before anything is learned: how much grey matter, and how like the mean brain."""

import numpy as np
import pandas as pd

from kotowari.core.page import write_table
from kotowari.studies.brain.job import BrainJob

__all__ = ["look_at_volumes"]

_OUTLYING = 3.0  # robust standard deviations below the median


def look_at_volumes(job: BrainJob) -> None:
    """Write ``tables/volumes.csv`` and keep its columns: a row a subject, outliers marked.

    Grey matter is the sum of the values in the mask times the volume of a voxel, which is ml where volumes are
    modulated. Likeness is Pearson's r with the mean of the internal subjects, in the mask; three robust standard
    deviations below the median are marked, which is a reason to look, not to leave out.
    """
    store = job.store
    mean = np.zeros(store.n_voxels)
    for row in job.internal:
        mean += store.vectors([int(row)])[0]
    mean /= len(job.internal)
    centred = mean - mean.mean()
    ml = abs(float(np.linalg.det(store.affine[:3, :3]))) / 1000
    grey, likeness = np.empty(len(store)), np.empty(len(store))
    for row in range(len(store)):
        (values,) = store.vectors([row]).astype(np.float64)
        grey[row] = values.sum() * ml
        own = values - values.mean()
        likeness[row] = own @ centred / np.sqrt((own @ own) * (centred @ centred))
    middle = np.median(likeness)
    spread = 1.4826 * np.median(np.abs(likeness - middle))
    outlying = likeness < middle - _OUTLYING * spread
    job.keep("quality", {"grey_matter_ml": grey, "likeness": likeness, "outlying": outlying})
    table = {"subject": job.cohort.subjects, "grey matter ml": grey, "r with mean brain": likeness, "unlike": outlying}
    write_table(job.path / "tables" / "volumes.csv", pd.DataFrame(table))
