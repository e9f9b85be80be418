"""Cox's model with a ridge penalty, its strength chosen by cross-validation inside the training rows."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.solvers.likelihood_ridge import SurvivalLikelihood, likelihood_path
from kotowari.trust.folds import grouped_folds

__all__ = ["CoxRidge", "survival_strata"]

FloatArray = npt.NDArray[np.float64]

_PENALTIES = np.logspace(-3, 4, 8)  # times the mean squared length of a row; each costs several Newton steps
_CUT = 1e-10


class CoxRidge(BaseEstimator):
    r"""Log hazards that are linear in the columns, :math:`\min_\beta -\ell(X\beta) + \tfrac\lambda2 \|\beta\|^2`.

    :math:`\ell` is Cox's log partial likelihood, ties after Breslow. The penalty is the one of eight with the smallest
    cross-validated partial likelihood; all that is learned, ``before`` too, is learned anew in every inner fold.

    Parameters
    ----------
    before
        An unfitted scikit-learn transformer of the rows, which may read the survival; None takes the rows as they are.
    scale
        Whether columns are divided by their standard deviation.
    n_splits
        Inner folds, 2 or more; fewer are taken where there are fewer owners of the rarer outcome.
    random_state
        Seed of the inner folds.

    Attributes
    ----------
    coef_
        Shape ``(column,)``, for the columns behind ``before``, centred and scaled.
    weight_
        The penalty over the mean squared length of a row.

    Source: Cox 1972, J. R. Stat. Soc. B 34:187-220; Verweij and van Houwelingen 1993, Stat. Med. 12:2305-2314 (choice
    of the penalty).
    """

    def __init__(self, before: Any = None, *, scale: bool = True, n_splits: int = 5, random_state: int = 0) -> None:
        self.before = before
        self.scale = scale
        self.n_splits = n_splits
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, groups: npt.ArrayLike | None = None) -> Self:
        """Fit on rows and their survival.

        Parameters
        ----------
        X
            Shape ``(sample, column)``, finite.
        y
            Shape ``(sample, 2)``: time, and 1 where the event was seen, else 0.
        groups
            Owner of each row, shape ``(sample,)``, which inner folds do not tear apart.

        Raises
        ------
        ShapeError
            When ``y`` has not two columns, a row a sample.
        DesignError
            When fewer than two owners had the event.
        """
        rows, survival = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if survival.shape != (len(rows), 2):
            raise ShapeError.mismatch("CoxRidge", "y", (len(rows), 2), survival.shape)
        if self.n_splits < 2:
            raise InputError(f"CoxRidge: n_splits must be 2 or more, got {self.n_splits}.")
        losses = np.zeros(len(_PENALTIES))
        for train in self._training_parts(survival, groups):
            columns = _Columns(self.before, self.scale).fit(rows[train], survival[train])
            said = columns.of(rows) @ columns.coefficients(survival[train], _PENALTIES)
            likelihood = _likelihood(survival)
            losses += [likelihood.held_out_loss(scores, train) for scores in said.T]
        best = len(losses) - 1 - int(losses[::-1].argmin())  # of equals the strongest
        self._columns = _Columns(self.before, self.scale).fit(rows, survival)
        self.coef_ = self._columns.coefficients(survival, _PENALTIES[best : best + 1])[:, 0]
        self.weight_ = float(_PENALTIES[best])
        self.n_features_in_ = rows.shape[1]
        return self

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Return log hazards up to a constant, ``(sample, column) -> (sample,)``; higher is earlier."""
        check_is_fitted(self, "coef_")
        said: FloatArray = self._columns.of(np.asarray(X, dtype=np.float64)) @ self.coef_
        return said

    def _training_parts(self, survival: FloatArray, groups: npt.ArrayLike | None) -> list[npt.NDArray[np.intp]]:
        owners = np.arange(len(survival)) if groups is None else np.asarray(groups)
        strata, continuous = survival_strata(survival)
        rarest = min(len(np.unique(owners[strata == name])) for name in np.unique(strata)) if not continuous else None
        n_splits = min(self.n_splits, len(np.unique(owners)) if rarest is None else rarest)
        if n_splits < 2:
            raise DesignError(
                "CoxRidge: one owner alone has the event, or observation that ended before it; inner folds need two."
            )
        folds = grouped_folds(
            strata, groups=owners, n_splits=n_splits, continuous=continuous, random_state=self.random_state
        )
        return [fold.train for fold in folds]


class _Columns:
    """Rows behind a transformer, centred and scaled by the training rows, and Cox's model on their principal axes."""

    def __init__(self, before: Any, scale: bool) -> None:
        self._before, self._scale = None if before is None else clone(before), scale

    def fit(self, X: FloatArray, survival: FloatArray) -> Self:
        columns = X if self._before is None else np.asarray(self._before.fit_transform(X, survival), dtype=np.float64)
        self._centre = columns.mean(0)
        spread = columns.std(0) if self._scale else np.ones(columns.shape[1])
        self._spread = np.where(spread > 0, spread, 1.0)
        left, length, right = np.linalg.svd((columns - self._centre) / self._spread, full_matrices=False)
        kept = length > _CUT * max(length.max(initial=0.0), 1.0)
        # a ridge penalty does not see a rotation, so wide tables are fitted on as many axes as there are rows
        self._axes, self._coordinates = right[kept].T, left[:, kept] * length[kept]
        return self

    def of(self, X: FloatArray) -> FloatArray:
        columns = X if self._before is None else np.asarray(self._before.transform(X), dtype=np.float64)
        scaled: FloatArray = (columns - self._centre) / self._spread
        return scaled

    def coefficients(self, survival: FloatArray, penalties: FloatArray) -> FloatArray:
        """Return the weights of the columns, shape ``(column, penalty)``; zeros where no column varies."""
        if not self._coordinates.shape[1]:
            return np.zeros((len(self._axes), len(penalties)))
        unit = float((self._coordinates**2).sum()) / len(self._coordinates)
        fits = likelihood_path(self._coordinates, _likelihood(survival), unit * penalties)
        weights: FloatArray = self._axes @ np.array([fit.coef for fit in fits]).T
        return weights


def survival_strata(survival: FloatArray) -> tuple[npt.NDArray[Any], bool]:
    """Return what folds are stratified by, and whether it is continuous: the outcome, or the time where all had it.

    Examples
    --------
    >>> survival_strata(np.array([[3.0, 1], [5.0, 0]]))[0].tolist()
    ['event', 'censored']
    """
    seen = survival[:, 1] > 0
    if seen.all():
        return survival[:, 0], True
    return np.where(seen, "event", "censored"), False


def _likelihood(survival: FloatArray) -> SurvivalLikelihood:
    return SurvivalLikelihood(survival[:, 0], survival[:, 1] > 0)
