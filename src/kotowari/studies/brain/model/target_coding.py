"""Targets in the form in which they are learned and compared: numbers, two classes, survival, several scores."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import column_or_1d

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.brain.model.nuisance import NuisanceRegression

__all__ = ["TargetCoding", "TargetKind", "TargetTransform", "checked_target"]

FloatArray = npt.NDArray[np.float64]
TargetKind = Literal["number", "class", "survival", "several"]
TargetTransform = Literal["none", "log", "log1p"]


def checked_target(y: Any, kind: TargetKind, *, name: str = "the target") -> tuple[FloatArray, tuple[Any, ...]]:
    """Return a target as numbers, and its classes where it has some.

    Returns
    -------
    array
        ``"number"``: ``(subject,)``. ``"class"``: 0 or 1, ``(subject,)``. ``"survival"``: time and event,
        ``(subject, 2)``. ``"several"``: ``(subject, target)``.
    tuple
        The two classes, in order; empty for other kinds.

    Raises
    ------
    ShapeError
        When the shape does not fit the kind.
    InputError
        When a value is missing or no number, classes are not two, a time is not above 0, or an event not 0 or 1.
    DesignError
        When the target is constant, or no event was seen.
    """
    if y is None:
        raise InputError(f"{name}: requires y to be passed, but the target y is None")
    values = np.asarray(y)
    expected = {"survival": ("subject", 2), "several": ("subject", "2 or more")}.get(kind, ("subject",))
    if values.ndim == 2 and values.shape[1] == 1 and len(expected) == 1:
        values = column_or_1d(values, warn=True)
    fits = values.ndim == len(expected) and (kind != "survival" or values.shape[1] == 2)
    if not fits or (kind == "several" and values.shape[1] < 2):
        raise ShapeError.mismatch(name, "values", expected, values.shape)
    missing = np.asarray(pd.isna(values)).reshape(len(values), -1).any(1)
    if missing.any():
        raise InputError(f"{name}: is missing for row {few(np.flatnonzero(missing))}. Leave such subjects out.")
    if kind == "class":
        classes, codes = np.unique(values, return_inverse=True)
        if len(classes) < 2:
            raise DesignError(f"{name}: all subjects are {few(classes)}; there is nothing to tell apart.")
        if len(classes) > 2:
            raise InputError(f"{name}: has {len(classes)} classes ({few(classes)}). Choose two of them.")
        return codes.astype(np.float64), tuple(classes.tolist())
    return _numbers(values, kind, name), ()


def _numbers(values: npt.NDArray[Any], kind: TargetKind, name: str) -> FloatArray:
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: holds a value that is no number ({error}). Write numbers, or n/a.") from error
    if not np.isfinite(numbers).all():
        raise InputError(f"{name}: holds an infinite value in row {np.argwhere(~np.isfinite(numbers))[0][0]}.")
    if kind == "survival":
        time, event = numbers.T
        if not (time > 0).all() or not np.isin(event, (0.0, 1.0)).all():
            raise InputError(f"{name}: survival needs a time above 0 and an event of 0 or 1 in every row.")
        if not event.any():
            raise DesignError(f"{name}: no event was seen, so nothing can be learned about its risk.")
        return numbers
    constant = np.ptp(numbers, axis=0) == 0
    if np.any(constant) and len(numbers) > 1:
        raise DesignError(f"{name}: is the same for all subjects; there is nothing to predict.")
    return numbers


class TargetCoding:
    """How one kind of target is learned; fitted anew in every fold.

    Parameters
    ----------
    kind
        ``"number"``, ``"class"``, ``"survival"`` or ``"several"``.
    transform
        ``"log"`` or ``"log1p"`` for numbers that are learned on a logarithmic scale; predictions come back in units.
    residualise
        Learn what covariates leave of numbers. Predictions then stay on the learned scale, and so does :meth:`truth`.
    """

    def __init__(self, kind: TargetKind, transform: TargetTransform = "none", *, residualise: bool = False) -> None:
        if kind not in {"number", "class", "survival", "several"} or transform not in {"none", "log", "log1p"}:
            raise InputError(f"A target of the kind {kind!r} with transform {transform!r} is not known.")
        if transform != "none" and kind != "number":
            raise InputError(f"Only numbers have a logarithmic scale, not a target of the kind {kind!r}.")
        if residualise and kind in {"class", "survival"}:
            raise InputError(f"A target of the kind {kind!r} has no residuals. Remove nuisances from the features.")
        self.kind, self.transform, self.residualise = kind, transform, residualise
        self.nuisance: NuisanceRegression | None = None

    def learned(self, values: FloatArray, covariates: pd.DataFrame | None) -> FloatArray:
        """Fit on training rows, ``(subject, ...)``, and return what is to be learned, in the same shape."""
        scaled = self.scaled(values)
        if not self.residualise or covariates is None:
            return scaled
        columns = scaled.reshape(len(scaled), -1)
        self.nuisance = NuisanceRegression().fit(columns, covariates)
        left: FloatArray = self.nuisance.transform(columns, covariates).reshape(scaled.shape)
        return left

    def truth(self, values: FloatArray, covariates: pd.DataFrame | None) -> FloatArray:
        """Return targets of other rows as predictions are to be compared with."""
        if self.nuisance is None:
            return values
        scaled = self.scaled(values)
        left: FloatArray = self.nuisance.transform(scaled.reshape(len(scaled), -1), covariates).reshape(scaled.shape)
        return left

    def scaled(self, values: FloatArray) -> FloatArray:
        """Return numbers on the scale on which they are learned.

        Raises
        ------
        InputError
            When a value has no logarithm.
        """
        if self.transform == "none":
            return values
        lowest = 0.0 if self.transform == "log" else -1.0
        if not (values > lowest).all():
            raise InputError(
                f"The target has values of {lowest:g} or less, which have no logarithm here. Use transform 'log1p' for "
                "doses that may be 0, or none."
            )
        logs: FloatArray = np.log(values) if self.transform == "log" else np.log1p(values)
        return logs

    def in_units(self, scores: FloatArray) -> FloatArray:
        """Return predictions in the units of the target, unless residuals were learned."""
        if self.transform == "none" or self.nuisance is not None:
            return scores
        back: FloatArray = np.exp(scores) if self.transform == "log" else np.expm1(scores)
        return back
