"""Age, sex and the like regressed out, with coefficients learned from the training rows."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, ShapeError
from kotowari.studies.brain.model.covariate_design import CovariateDesign

__all__ = ["NuisanceRegression"]

FloatArray = npt.NDArray[np.float64]


class NuisanceRegression(BaseEstimator):
    r"""What is left of features, or of a target, when covariates are regressed out.

    .. math:: \tilde x = x - (d - \bar d) B, \quad B = \arg\min_B \|X - \bar X - (D - \bar D) B\|^2

    with means and :math:`B` of the training rows, so that the training mean stays. Of several solutions, where
    covariates say the same, the one of least norm is taken. Only linear effects go; give ``age`` and its square to
    remove a bend. Whoever fits this on rows that are tested on lets them leak; fit it inside the fold.

    Attributes
    ----------
    design_
        The coding of the covariates.
    centre_, spread_
        Mean and standard deviation of each term in training, shape ``(term,)``; 1 for a constant.
    coef_
        Change with one standard deviation of a term, shape ``(term, feature)``.

    Examples
    --------
    >>> age = np.array([[20.0], [30.0], [40.0], [50.0]])
    >>> NuisanceRegression().fit(3 * age, age).transform(3 * age, age).ravel().round(6).tolist()
    [105.0, 105.0, 105.0, 105.0]
    """

    def fit(self, X: npt.ArrayLike, covariates: Any) -> Self:
        """Fit on ``X`` of shape ``(subject, feature)`` and one row of covariates a subject.

        Raises
        ------
        InputError
            When a covariate is missing for a subject; names both.
        DesignError
            When the covariates leave fewer than two subjects' worth of freedom.
        """
        values = _two_axes(X)
        self.design_ = CovariateDesign().fit(covariates)
        terms = self.design_.transform(covariates, len(values))
        self.centre_, spread = terms.mean(0), terms.std(0)
        self.spread_: FloatArray = np.where(spread > 0, spread, 1.0)
        terms = (terms - self.centre_) / self.spread_
        rank = int(np.linalg.matrix_rank(terms)) if terms.size else 0
        if len(values) < rank + 3:
            raise DesignError(
                f"nuisance: {len(values)} subjects are too few for {rank} independent covariate terms "
                f"({few(self.design_.terms_)}). Remove covariates, or bring more subjects."
            )
        # one small factor for all features: a solver on the features themselves would copy them
        self.coef_: FloatArray = np.linalg.pinv(terms) @ (values - values.mean(0))
        return self

    def transform(self, X: npt.ArrayLike, covariates: Any) -> FloatArray:
        """Return what is left, ``(subject, feature)``.

        Raises
        ------
        InputError
            When a covariate is missing, or has a category that no training subject has.
        ShapeError
            When there is another number of features than in training.
        """
        check_is_fitted(self)
        values = _two_axes(X)
        if values.shape[1] != self.coef_.shape[1]:
            raise ShapeError.mismatch("nuisance", "X", ("subject", self.coef_.shape[1]), values.shape)
        terms = (self.design_.transform(covariates, len(values)) - self.centre_) / self.spread_
        left: FloatArray = values - terms @ self.coef_
        return left

    def to_arrays(self) -> dict[str, FloatArray]:
        """Return the fitted numbers by name, for a file; the coding of the covariates is words, and not among them."""
        check_is_fitted(self)
        return {"centre": self.centre_, "spread": self.spread_, "coef": self.coef_}

    @classmethod
    def restored(cls, words: Mapping[str, Sequence[str]], arrays: Mapping[str, FloatArray]) -> Self:
        """Return the fitted object that has this coding and these numbers."""
        nuisance = cls()
        nuisance.design_ = CovariateDesign.from_words(words)
        nuisance.centre_, nuisance.spread_, nuisance.coef_ = (arrays[name] for name in ("centre", "spread", "coef"))
        return nuisance


def _two_axes(X: npt.ArrayLike) -> FloatArray:
    values = np.asarray(X, dtype=np.float64)
    if values.ndim != 2:
        raise ShapeError.mismatch("nuisance", "X", ("subject", "feature"), values.shape)
    return values
