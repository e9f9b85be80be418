"""Smooth functions of the modulator as columns: what anything that follows the modulator alone can be made of."""

from itertools import combinations
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import SplineTransformer
from sklearn.utils.validation import check_is_fitted, validate_data

from kotowari.core.errors import DesignError, InputError

__all__ = ["ModulatorSpline"]


class ModulatorSpline(TransformerMixin, BaseEstimator):
    """B-splines of one or several modulators with knots at their quantiles, and the products between modulators.

    The columns of one modulator sum to 1.

    Parameters
    ----------
    n_knots
        Knots a modulator, ends included, 2 or more; where values are tied there may be fewer.
    degree
        1 or more; 3 is a cubic spline.
    beyond
        How the curves go on outside the range of the training rows: ``"linear"``, or ``"constant"``, which cannot run
        away.
    interactions
        Whether the columns of two modulators are multiplied with each other, for surfaces that are no sums.

    Attributes
    ----------
    splines_
        One fitted :class:`sklearn.preprocessing.SplineTransformer` a modulator.
    n_features_in_
        Number of modulators.
    """

    def __init__(
        self,
        *,
        n_knots: int = 8,
        degree: int = 3,
        beyond: Literal["linear", "constant"] = "linear",
        interactions: bool = True,
    ) -> None:
        self.n_knots = n_knots
        self.degree = degree
        self.beyond = beyond
        self.interactions = interactions

    def fit(self, X: Any, y: Any = None) -> Self:
        """Place the knots. ``X`` has the shape ``(sample, modulator)``.

        Raises
        ------
        InputError
            When an option is out of range.
        DesignError
            When a modulator is constant.
        """
        del y
        values = validate_data(self, X, dtype=np.float64)
        if self.n_knots < 2 or self.degree < 1:
            raise InputError(
                f"ModulatorSpline: needs 2 knots and degree 1 or more, got {self.n_knots} and {self.degree}."
            )
        self.splines_ = [self._fitted(column[:, None]) for column in values.T]
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """``(sample, modulator) -> (sample, column)``."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, reset=False)
        single = [spline.transform(values[:, [k]]) for k, spline in enumerate(self.splines_)]
        pairs = combinations(single, 2) if self.interactions else ()
        products = [(a[:, :, None] * b[:, None, :]).reshape(len(values), -1) for a, b in pairs]
        return np.concatenate([*single, *products], axis=1)

    def _fitted(self, column: npt.NDArray[np.float64]) -> SplineTransformer:
        knots = np.unique(np.quantile(column, np.linspace(0, 1, self.n_knots)))
        if len(knots) < 2:
            raise DesignError(f"The modulator is {column[0, 0]:g} in every sample: nothing can vary along it.")
        spline = SplineTransformer(degree=self.degree, knots=knots[:, None], extrapolation=self.beyond)
        return spline.fit(column)
