"""DeepInsight's two scalings of a table to [0, 1], fitted on training rows and kept for all others."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError

__all__ = ["SCALINGS", "Norm1", "Norm2", "Scaler", "scaler_class"]

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Scaler(ABC):
    """A scaling of features to [0, 1], float32, known by the training range of every feature.

    Missing values become 0, as do features that are constant, or wholly missing, in the training rows.

    Parameters
    ----------
    lower, upper
        Shape ``(feature,)``: least and largest training value; NaN where all were missing.
    """

    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, values: Values) -> Self:
        """Take the ranges from training rows, shape ``(sample, feature)``; NaN is left out."""
        table = np.asarray(values)
        return cls(np.fmin.reduce(table).astype(np.float64), np.fmax.reduce(table).astype(np.float64))

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Shape ``(feature,)``: features without variation in the training rows."""
        return ~(self.upper > self.lower)

    def scale(self, values: Values) -> npt.NDArray[np.float32]:
        """Map values of shape ``(sample, feature)`` to [0, 1]."""
        varying = ~self.constant
        scaled = np.zeros(np.shape(values), dtype=np.float32)
        share = self._scale(np.asarray(values, dtype=np.float64)[:, varying], self.lower[varying], self.upper[varying])
        scaled[:, varying] = np.nan_to_num(np.clip(share, 0, 1), nan=0.0)
        return scaled

    def unscale(self, scaled: Values) -> npt.NDArray[np.float64]:
        """Map scaled values back; what was clipped comes back at the edge of the training range, missing as lowest."""
        varying = ~self.constant
        values = np.tile(self.lower, (len(scaled), 1))
        share = np.asarray(scaled, dtype=np.float64)[:, varying]
        values[:, varying] = self._unscale(share, self.lower[varying], self.upper[varying])
        return values

    @staticmethod
    @abstractmethod
    def _scale(values: Values, lower: Values, upper: Values) -> Values: ...

    @staticmethod
    @abstractmethod
    def _unscale(share: Values, lower: Values, upper: Values) -> Values: ...


class Norm1(Scaler):
    r"""Every feature alone: its training range to [0, 1], values beyond are clipped.

    .. math:: x' = \min(1, \max(0, (x - m) / (M - m)))

    Source: Sharma et al. 2019, Scientific Reports 9, norm-1; NaN to 0 as in the authors' code.
    """

    @staticmethod
    def _scale(values: Values, lower: Values, upper: Values) -> Values:
        return (values - lower) / (upper - lower)

    @staticmethod
    def _unscale(share: Values, lower: Values, upper: Values) -> Values:
        return lower + share * (upper - lower)


class Norm2(Scaler):
    r"""The logarithm, and one scale for the whole table, so that differences between features remain.

    .. math:: x' = \min\Big(1, \frac{\log(\max(x, m) + |m| + 1)}{G}\Big), \quad
        G = \max_{\text{train}} \log(x + |m| + 1)

    Source: Sharma et al. 2019, Scientific Reports 9, norm-2, with the raise to m of the authors' code. That constant
    features become 0 is our own: the same grey everywhere carries nothing.
    """

    @staticmethod
    def _scale(values: Values, lower: Values, upper: Values) -> Values:
        return np.asarray(np.log1p(np.maximum(values, lower) + np.abs(lower)) / _peak(lower, upper))

    @staticmethod
    def _unscale(share: Values, lower: Values, upper: Values) -> Values:
        return np.asarray(np.maximum(np.expm1(share * _peak(lower, upper)) - np.abs(lower), lower))


SCALINGS: dict[str, type[Scaler]] = {"norm1": Norm1, "norm2": Norm2}


def scaler_class(name: str) -> type[Scaler]:
    """Return the scaling of that name.

    Raises
    ------
    InputError
        When the name is neither ``"norm1"`` nor ``"norm2"``.
    """
    if name not in SCALINGS:
        raise InputError(f"scaling must be one of {', '.join(SCALINGS)}, got {name!r}.")
    return SCALINGS[name]


def _peak(lower: Values, upper: Values) -> float:
    return float(np.log1p(upper + np.abs(lower)).max(initial=0.0)) or 1.0
