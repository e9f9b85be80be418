"""Covariates such as age and sex as columns of numbers, coded as the training rows had them."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kotowari.core.checks import few
from kotowari.core.errors import InputError, ShapeError

__all__ = ["CovariateDesign"]

FloatArray = npt.NDArray[np.float64]


class CovariateDesign(BaseEstimator):
    """Numbers as they are; words as one column a category, the first category of training left out.

    Attributes
    ----------
    categories_
        Covariate to its categories in training; none for a number.
    terms_
        Names of the columns, such as ``sex=M``.

    Examples
    --------
    >>> table = pd.DataFrame({"age": [20.0, 30.0], "sex": ["F", "M"]})
    >>> CovariateDesign().fit(table).transform(table).tolist()
    [[20.0, 0.0], [30.0, 1.0]]
    """

    def fit(self, covariates: Any) -> Self:
        """Learn names and categories from a DataFrame, a mapping of columns, or an array ``(subject, covariate)``."""
        table = _table(covariates)
        self.categories_: dict[str, tuple[str, ...]] = {}
        for name, column in table.items():
            _require_known(column, str(name))
            self.categories_[str(name)] = () if _is_number(column) else tuple(sorted(set(column.astype(str))))
        self.terms_ = _term_names(self.categories_)
        return self

    def transform(self, covariates: Any, n_rows: int | None = None) -> FloatArray:
        """Return the design, ``(subject, term)``.

        Raises
        ------
        InputError
            When a covariate is not there, missing for a subject, infinite, or of a category that training had not.
        ShapeError
            When there are not ``n_rows`` rows.
        """
        check_is_fitted(self)
        table = _table(covariates)
        if n_rows is not None and len(table) != n_rows:
            raise ShapeError.mismatch("covariates", "the table", (n_rows, "covariate"), table.shape)
        lacking = [name for name in self.categories_ if name not in table.columns]
        if lacking:
            raise InputError(f"covariates: {few(lacking)} is not there. There are: {few(table.columns) or 'none'}.")
        parts = [_terms(table[name], name, words) for name, words in self.categories_.items()]
        return np.column_stack(parts) if parts else np.empty((len(table), 0))

    def to_words(self) -> dict[str, list[str]]:
        """Return the fitted coding as plain words, for a file."""
        check_is_fitted(self)
        return {name: list(words) for name, words in self.categories_.items()}

    @classmethod
    def from_words(cls, words: Mapping[str, Sequence[str]]) -> Self:
        """Return the fitted coding that :meth:`to_words` told."""
        design = cls()
        design.categories_ = {name: tuple(own) for name, own in words.items()}
        design.terms_ = _term_names(design.categories_)
        return design


def _term_names(categories: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(
        term
        for name, words in categories.items()
        for term in ([f"{name}={word}" for word in words[1:]] if words else [name])
    )


def _table(covariates: Any) -> pd.DataFrame:
    if isinstance(covariates, pd.DataFrame):
        return covariates.rename(columns=str)
    if isinstance(covariates, dict):
        return pd.DataFrame(covariates)
    array = np.asarray(covariates)
    if array.ndim != 2:
        raise ShapeError.mismatch("covariates", "an array", ("subject", "covariate"), array.shape)
    return pd.DataFrame(array, columns=[f"covariate {number}" for number in range(array.shape[1])])


def _terms(column: pd.Series, name: str, words: tuple[str, ...]) -> FloatArray:
    _require_known(column, name)
    if not words:
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
        wrong = ~np.isfinite(numbers)
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(
                f"{name}: subject {column.index[row]} has {column.iloc[row]!r}, which is no finite number."
            )
        return numbers[:, None]
    said = column.astype(str).to_numpy(dtype=np.str_)
    unseen = ~np.isin(said, words)
    if unseen.any():
        who = column.index[int(unseen.argmax())]
        raise InputError(
            f"{name}: subject {who} has {str(said[unseen][0])!r}, which no training subject has "
            f"({few(words)}). Leave out such subjects, or drop the covariate."
        )
    return np.asarray(said[:, None] == np.array(words[1:], dtype=np.str_), dtype=np.float64)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _require_known(column: pd.Series, name: str) -> None:
    missing = column.index[column.isna()]
    if len(missing):
        raise InputError(
            f"{name}: the covariate is missing for subject {few(missing)}. Fill it in, or leave out such subjects."
        )
