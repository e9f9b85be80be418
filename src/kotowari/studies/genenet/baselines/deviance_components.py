"""Few directions of a wide table that go along with survival: partial least squares on deviance residuals."""

from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cross_decomposition import PLSRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from kotowari.solvers.likelihood_ridge import SurvivalLikelihood

__all__ = ["DevianceComponents", "deviance_residuals"]

FloatArray = npt.NDArray[np.float64]


class DevianceComponents(TransformerMixin, BaseEstimator):
    """Partial least squares of standardised columns on the deviance residuals of a Cox model without any column.

    Parameters
    ----------
    n_components
        Most components, 1 or more; fewer where rows or columns are fewer.

    Source: Bastien 2008, Chemom. Intell. Lab. Syst. 91:78-86.
    """

    def __init__(self, n_components: int = 8) -> None:
        self.n_components = n_components

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit on ``(sample, column)`` and ``(sample, 2)``: time, and 1 where the event was seen, else 0."""
        rows, survival = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        self._scaler = StandardScaler().fit(rows)
        n_components = min(self.n_components, len(rows) - 1, rows.shape[1])
        pls = PLSRegression(n_components, scale=False)
        self._pls = pls.fit(self._scaler.transform(rows), deviance_residuals(survival))
        self.n_features_in_ = rows.shape[1]
        return self

    def transform(self, X: npt.ArrayLike) -> FloatArray:
        """``(sample, column) -> (sample, component)``."""
        check_is_fitted(self, "n_features_in_")
        return np.asarray(self._pls.transform(self._scaler.transform(np.asarray(X, dtype=np.float64))))


def deviance_residuals(survival: FloatArray) -> FloatArray:
    r"""Return how much earlier the event came than expected, :math:`\mathrm{sgn}(M) \sqrt{-2 (M + d \log(d - M))}`.

    :math:`M = d - \hat\Lambda(t)` is the martingale residual under equal hazards, :math:`d` 1 where the event was seen.

    Parameters
    ----------
    survival
        Shape ``(sample, 2)``: time and event.

    Returns
    -------
    array
        Shape ``(sample,)``; above 0 for an event that came early.

    Source: Therneau, Grambsch and Fleming 1990, Biometrika 77:147-160.
    """
    seen = survival[:, 1] > 0
    likelihood = SurvivalLikelihood(survival[:, 0], seen)
    martingale = -likelihood.derivatives(np.zeros(len(survival)))[0]
    inside = martingale + xlogy(seen.astype(np.float64), seen - martingale)
    # the sum is 0 or less but for rounding
    residuals: FloatArray = np.sign(martingale) * np.sqrt(np.maximum(0.0, -2 * inside))
    return residuals
