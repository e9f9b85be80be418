"""Principal components, as many as the subjects allow."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.brain.model.coordinates import GramCoordinates

__all__ = ["PrincipalComponents"]

FloatArray = npt.NDArray[np.float64]


class PrincipalComponents(TransformerMixin, BaseEstimator):
    """Scores on the principal axes of the training rows, of tables or volumes.

    n - 1 components hold all that n subjects say. Ridge on the scores as they are is then ridge on the features as they
    are; ridge on scores of unit variance (``whiten``) weighs all axes alike, which is another model.

    Parameters
    ----------
    n_components
        1 or more; None takes one less than the subjects, or the rank.
    whiten
        Bring scores to unit variance in training.

    Attributes
    ----------
    mean_
        Shape ``(feature,)``.
    components_
        Axes of unit length, shape ``(component, feature)``, by falling variance.
    variances_
        Of the training scores before whitening, shape ``(component,)``, divided by n - 1.

    Examples
    --------
    >>> PrincipalComponents().fit_transform(np.random.default_rng(0).normal(size=(8, 100))).shape
    (8, 7)
    """

    def __init__(self, n_components: int | None = None, *, whiten: bool = False) -> None:
        self.n_components = n_components
        self.whiten = whiten

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Find the axes of ``X``, shape ``(subject, ...)``."""
        values = self._flat(X)
        if len(values) < 2:
            raise DesignError(f"PrincipalComponents: {len(values)} subject has no components. Give 2 or more.")
        if self.n_components is not None and self.n_components < 1:
            raise InputError(f"PrincipalComponents: n_components must be 1 or more, got {self.n_components}.")
        self.shape_in_ = tuple(np.shape(X)[1:])
        axes = GramCoordinates().fit(values)
        kept = len(axes.eigenvalues) if self.n_components is None else min(self.n_components, len(axes.eigenvalues))
        self.mean_: FloatArray = axes.centre
        self.components_: FloatArray = axes.feature_weights(np.eye(len(axes.eigenvalues))[:, :kept]).T
        self.variances_: FloatArray = axes.eigenvalues[:kept] / (len(values) - 1)
        return self

    def transform(self, X: Any) -> FloatArray:
        """Return the scores, ``(subject, ...) -> (subject, component)``."""
        check_is_fitted(self)
        if tuple(np.shape(X)[1:]) != self.shape_in_:
            raise ShapeError.mismatch("PrincipalComponents", "X", ("subject", *self.shape_in_), np.shape(X))
        scores: FloatArray = (self._flat(X) - self.mean_) @ self.components_.T
        return scores / np.sqrt(self.variances_) if self.whiten else scores

    def inverse_transform(self, scores: npt.ArrayLike) -> FloatArray:
        """Return rows as the components tell them, in the shape of those of training."""
        check_is_fitted(self)
        given = np.asarray(scores, dtype=np.float64)
        given = given * np.sqrt(self.variances_) if self.whiten else given
        rows: FloatArray = given @ self.components_ + self.mean_
        return rows.reshape(len(given), *self.shape_in_)

    def errors(self, X: Any) -> FloatArray:
        """Return the mean absolute error of the components, over all features, ``(subject,)``."""
        said = self.inverse_transform(self.transform(X))
        errors: FloatArray = np.abs(said - np.asarray(X)).reshape(len(said), -1).mean(1)
        return errors

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002
        """Return minus the mean of :meth:`errors`."""
        return -float(self.errors(X).mean())

    @staticmethod
    def _flat(X: Any) -> FloatArray:
        values = np.asarray(X, dtype=np.float64)
        values = values.reshape(len(values), -1)
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise InputError(f"PrincipalComponents: row {row} holds NaN or infinite values.")
        return values
