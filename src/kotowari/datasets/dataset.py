"""A data set that the package carries: values, labels, and where they come from."""

from dataclasses import dataclass

import pandas as pd

__all__ = ["Dataset"]


@dataclass(frozen=True)
class Dataset:
    """Values and labels of the same samples.

    Parameters
    ----------
    name
        What it is, in a few words.
    X
        Shape ``(sample, feature)``, float32; the loader tells the unit.
    annotations
        One row a sample, rows as in ``X``; missing labels are NaN.
    origin
        Where it comes from and what was changed, in a sentence or two.
    licence
        Under which terms it may be passed on.
    """

    name: str
    X: pd.DataFrame
    annotations: pd.DataFrame
    origin: str
    licence: str
