"""What is known of the subjects beside their volumes: site, covariates, owner."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError, ShapeError

__all__ = ["Subjects"]


@dataclass(frozen=True, eq=False)
class Subjects:
    """Columns that travel with the rows of features; None where there is none.

    Parameters
    ----------
    sites
        Site or scanner of each row, shape ``(subject,)``.
    covariates
        DataFrame with a row each.
    groups
        Owner of each row, such as a person scanned twice or a family, shape ``(subject,)``.
    """

    sites: npt.NDArray[np.str_] | None = None
    covariates: pd.DataFrame | None = None
    groups: npt.NDArray[Any] | None = None

    @classmethod
    def of(cls, n_rows: int, *, sites: Any = None, covariates: Any = None, groups: Any = None) -> Self:
        """Bring columns of any kind into form.

        Raises
        ------
        ShapeError
            When a column has not ``n_rows`` rows.
        InputError
            When a site or owner is missing.
        """
        table = covariates
        if covariates is not None and not isinstance(covariates, pd.DataFrame):
            table = pd.DataFrame(covariates)
            if not isinstance(covariates, Mapping):
                table.columns = pd.Index([f"covariate {number}" for number in range(table.shape[1])])
        columns: tuple[tuple[str, Any], ...] = (("sites", sites), ("covariates", table), ("groups", groups))
        for what, column in columns:
            if column is None:
                continue
            if len(column) != n_rows:
                raise ShapeError.mismatch("subjects", what, (n_rows,), np.shape(column))
            if not isinstance(column, pd.DataFrame) and pd.isna(np.asarray(column)).any():
                row = int(np.flatnonzero(pd.isna(np.asarray(column)))[0])
                raise InputError(f"subjects: row {row} has no entry in {what}. Give every subject one.")
        return cls(
            None if sites is None else np.asarray(sites).astype(np.str_),
            table,
            None if groups is None else np.asarray(groups),
        )

    def rows(self, index: npt.NDArray[np.intp]) -> Self:
        """Return some of the subjects."""
        return type(self)(
            None if self.sites is None else self.sites[index],
            None if self.covariates is None else self.covariates.iloc[index],
            None if self.groups is None else self.groups[index],
        )
