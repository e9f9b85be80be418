"""Features with or without harmonising, and what the tests of sites say of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from kotowari.core.errors import InputError
from kotowari.studies.brain.model.subjects import Subjects

__all__ = ["SiteArm", "SiteTest", "site_table"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class SiteArm:
    """Features, and how sites are taken out of them.

    Parameters
    ----------
    X
        Of all rows, ``(subject, ...)``: features, covariates as numbers, or the volumes that a harmoniser encodes.
    harmoniser
        Unfitted, with ``fit(X, sites, covariates)`` and ``transform(X, sites, covariates)``: :class:`ComBat` or
        :class:`SiteAdapter`; None for none.
    """

    X: Any
    harmoniser: Any = None

    def harmonised(self, train: IndexArray, rows: IndexArray, subjects: Subjects) -> FloatArray:
        """Learn from ``train`` and return ``rows``, ``(row, feature)``; other rows are not touched."""
        if self.harmoniser is None:
            values = self.X[rows]
        else:
            learning, own = subjects.rows(train), subjects.rows(rows)
            fresh = clone(self.harmoniser).fit(self.X[train], learning.sites, learning.covariates)
            values = fresh.transform(self.X[rows], own.sites, own.covariates)
        flat: FloatArray = np.asarray(values, dtype=np.float64).reshape(len(rows), -1)
        if not np.isfinite(flat).all():
            raise InputError(f"site tests: row {rows[~np.isfinite(flat).all(1)][0]} has a NaN or infinite feature.")
        return flat


@dataclass(frozen=True)
class SiteTest:
    """One figure.

    Parameters
    ----------
    features
        Name of the arm.
    test
        What was asked.
    value, low, high
        The figure and its 95 % bootstrap interval over subjects; NaN where not defined.
    p
        Chance of a value as large without any relation; None where no permutation was made.
    n
        Subjects.
    """

    features: str
    test: str
    value: float
    low: float
    high: float
    p: float | None
    n: int


def site_table(tests: Sequence[SiteTest]) -> pd.DataFrame:
    """Return a row each, with the columns features, test, value, low, high, p, n."""
    return pd.DataFrame([asdict(test) for test in tests], columns=list(SiteTest.__dataclass_fields__))
