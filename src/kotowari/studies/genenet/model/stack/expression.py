"""The expression of a stack's regulators in its samples."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.genenet.model.stack.arrays import StackArrays

__all__ = ["regulator_expression"]


def regulator_expression(stack: StackArrays, X: Any, *, by: str) -> npt.NDArray[np.float64]:
    """Return the expression of the regulators, shape ``(sample, regulator)``, in the order of the stack.

    Parameters
    ----------
    stack
        Networks.
    X
        A table with the samples in the index and the regulators among the columns, or an array of that shape.
    by
        Who asks, for the sentence.

    Raises
    ------
    InputError
        When the table lacks a sample or a regulator, or a value is missing.
    ShapeError
        When an array has another shape.
    """
    if isinstance(X, pd.DataFrame):
        named = X.set_axis(X.index.astype(str)).set_axis(X.columns.astype(str), axis=1)
        sides = (("samples", stack.samples, named.index), ("regulators", stack.regulators, named.columns))
        for what, wanted, held in sides:
            if missing := sorted(set(wanted) - set(held)):
                raise InputError(f"{by}: the table lacks {len(missing)} {what} ({few(missing)}).")
        X = named.loc[list(stack.samples), list(stack.regulators)]
    values = np.asarray(X, dtype=np.float64)
    shape = (len(stack.samples), len(stack.regulators))
    if values.shape != shape:
        raise ShapeError.mismatch(by, "X", shape, values.shape)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"{by}: the expression of {stack.regulators[column]} in {stack.samples[row]} is missing. Fill it in as for "
            "the fit."
        )
    return values
