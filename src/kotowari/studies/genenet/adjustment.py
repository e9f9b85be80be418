"""Covariates regressed out of every gene, with coefficients learned from the training samples."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.formats.labelled import class_labels, numbers_of

__all__ = ["CovariateAdjustment"]

FloatArray = npt.NDArray[np.float64]


class CovariateAdjustment(BaseEstimator):
    r"""What is left of every gene when covariates such as cancer type or purity are regressed out of it.

    .. math:: \tilde x_{ag} = x_{ag} - (d_a - \bar d)\, B_g, \quad
        B = \arg\min_B \|X - \bar X - (D - \bar D) B\|^2

    with means and :math:`B` over the training samples, so that the mean of a gene over them stays as it was. A column
    of numbers is one column of :math:`D`; words make one column a category. Of several solutions, where covariates say
    the same, the one of least norm is taken. Differences between categories in the spread of a gene stay.

    Attributes
    ----------
    categories_
        Covariate to its categories in training; none for a number.
    terms_
        Names of the columns of the design, such as ``cancer=BRCA``.
    centre_, scale_
        Means and standard deviations of the design over the training samples, shape ``(term,)``; 1 for a constant.
    coef_
        Change of a gene with a standard deviation of a term, shape ``(term, gene)``.
    genes_
        Names of the genes.

    Examples
    --------
    >>> X = pd.DataFrame({"VIM": [1.0, 2, 5, 6, 1, 6], "CDH1": [1.0, 1, 3, 3, 2, 2]})
    >>> organs = pd.DataFrame({"organ": ["lung", "lung", "liver", "liver", "lung", "liver"]})
    >>> adjusted = CovariateAdjustment().fit(X, organs).transform(X, organs)
    >>> adjusted["VIM"].groupby(organs["organ"]).mean().round(6).tolist()
    [3.5, 3.5]
    """

    def fit(self, X: Any, covariates: pd.DataFrame) -> Self:
        """Fit on the training rows.

        Parameters
        ----------
        X
            Shape ``(sample, gene)``, DataFrame or array, without missing values.
        covariates
            One row a sample, in the same order; columns of numbers or of words.

        Raises
        ------
        InputError
            When a value of gene or covariate is missing or infinite (names the sample), or rows are named otherwise.
        ShapeError
            When the numbers of rows differ.
        DesignError
            When fewer than two samples more than terms are there.
        """
        values, genes = _values(X)
        _require_same_rows(X, values, covariates)
        if not len(covariates.columns):
            raise InputError("CovariateAdjustment: there is no covariate. Name one, or leave the adjustment out.")
        self.categories_: dict[str, tuple[str, ...]] = {
            str(name): () if _is_number(column) else tuple(sorted(set(_words(column, str(name)))))
            for name, column in covariates.items()
        }
        self.terms_ = tuple(
            term for name, words in self.categories_.items() for term in ([f"{name}={w}" for w in words] or [name])
        )
        design = self._design(covariates)
        self.centre_, deviation = design.mean(0), design.std(0)
        self.scale_: FloatArray = np.where(deviation > 0, deviation, 1.0)
        design = (design - self.centre_) / self.scale_
        rank = int(np.linalg.matrix_rank(design))
        if len(values) < rank + 2:
            raise DesignError(
                f"CovariateAdjustment: {len(values)} samples are too few for {rank} independent terms "
                f"({few(self.terms_)}). Join categories, or adjust for less."
            )
        self.genes_, self.n_features_in_ = genes, values.shape[1]
        self.coef_: FloatArray = np.linalg.lstsq(design, values - values.mean(0), rcond=None)[0]
        return self

    def transform(self, X: Any, covariates: pd.DataFrame) -> Any:
        """Return the adjusted genes, in the form in which ``X`` came.

        Raises
        ------
        InputError
            When a covariate is missing for a sample, a category was not among the training samples, or genes are
            others than those of training.
        """
        check_is_fitted(self)
        values, genes = _values(X)
        if genes != self.genes_:
            raise InputError("CovariateAdjustment: the genes are not those of training, in their order.")
        _require_same_rows(X, values, covariates)
        adjusted = values - (self._design(covariates) - self.centre_) / self.scale_ @ self.coef_
        return pd.DataFrame(adjusted, index=X.index, columns=X.columns) if isinstance(X, pd.DataFrame) else adjusted

    def _design(self, covariates: pd.DataFrame) -> FloatArray:
        """Return the covariates as numbers, ``(sample, term)``."""
        lacking = [name for name in self.categories_ if name not in covariates.columns]
        if lacking:
            raise InputError(
                f"CovariateAdjustment: the covariate {few(lacking)} is not there. There are: {few(covariates.columns)}."
            )
        parts = [self._terms(covariates[name], name, known) for name, known in self.categories_.items()]
        return np.column_stack(parts)

    def _terms(self, column: pd.Series, name: str, known: tuple[str, ...]) -> FloatArray:
        """Return the columns of one covariate, ``(sample, term)``; ``known`` categories are empty for a number."""
        if not known:
            _require_known(column, name)
            remedy = "The training samples have numbers there."
            return numbers_of(column, where=name, word="covariate", remedy=remedy)[:, None]
        words = _words(column, name)
        unseen = ~np.isin(words, known)
        if unseen.any():
            raise InputError(
                f"{name}: sample {column.index[unseen][0]} has {words[unseen][0]!r}, which no training sample has "
                f"({few(known)}). Leave out such samples, or do not adjust for {name}."
            )
        return np.asarray(words[:, None] == np.array(known), dtype=np.float64)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _words(column: pd.Series, name: str) -> npt.NDArray[Any]:
    _require_known(column, name)
    return class_labels(column)


def _require_known(column: pd.Series, name: str) -> None:
    missing = column.index[column.isna()]
    if len(missing):
        raise InputError(f"{name}: the covariate is missing for {few(missing)}. Fill it in, or leave out such samples.")


def _values(X: Any) -> tuple[FloatArray, tuple[str, ...]]:
    values = np.asarray(X, dtype=np.float64)
    if values.ndim != 2:
        raise ShapeError.mismatch("CovariateAdjustment", "X", ("sample", "gene"), values.shape)
    named = isinstance(X, pd.DataFrame)
    genes = tuple(map(str, X.columns if named else range(values.shape[1])))
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f"CovariateAdjustment: gene {genes[column]} of sample {X.index[row] if named else row} is missing or "
            "infinite. Fill it in first."
        )
    return values, genes


def _require_same_rows(X: Any, values: FloatArray, covariates: pd.DataFrame) -> None:
    if len(covariates) != len(values):
        raise ShapeError.mismatch("CovariateAdjustment", "covariates", (len(values), "covariate"), covariates.shape)
    if isinstance(X, pd.DataFrame) and not X.index.equals(covariates.index):
        raise InputError("CovariateAdjustment: the rows of the covariates are not the samples of the table, in order.")
