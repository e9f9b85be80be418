"""Volumes of one grid, checked and cut to the mask, as the baselines take them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError

__all__ = ["masked_error", "masked_volumes", "whole_mask"]

BoolArray = npt.NDArray[np.bool_]


def whole_mask(mask: npt.ArrayLike | None, shape: tuple[int, ...]) -> BoolArray:
    """Return the mask, or one of all voxels.

    Raises
    ------
    ShapeError
        When the mask has another shape than the volumes, or they have not three axes.
    InputError
        When the mask is empty.
    """
    if len(shape) != 3:
        raise ShapeError(f"baseline: volumes must have shape (subject, x, y, z); each of these has shape {shape}.")
    chosen = np.ones(shape, bool) if mask is None else np.asarray(mask, dtype=bool)
    if chosen.shape != shape:
        raise ShapeError.mismatch("baseline", "mask", shape, chosen.shape)
    if not chosen.any():
        raise InputError("baseline: the mask is empty. Give one with the voxels that count.")
    return chosen


def masked_volumes(X: Any, mask: BoolArray) -> npt.NDArray[np.float32]:
    """Return float32 copies, 0 outside of the mask, which may hold anything.

    Raises
    ------
    ShapeError
        When volumes and mask differ in shape.
    InputError
        When a volume is not finite in the mask.
    """
    values = np.asarray(X)
    if values.shape[1:] != mask.shape:
        raise ShapeError.mismatch("baseline", "volumes", ("subject", *mask.shape), values.shape)
    volumes = np.where(mask, values, 0).astype(np.float32)
    wrong = ~np.isfinite(volumes).reshape(len(volumes), -1).all(1)
    if wrong.any():
        raise InputError(f"baseline: the volume of row {int(wrong.argmax())} holds NaN or infinite values in the mask.")
    return volumes


def masked_error(X: Any, said: npt.NDArray[Any], mask: BoolArray) -> npt.NDArray[np.float64]:
    """Return the mean absolute difference in the mask, ``(subject,)``."""
    truth = masked_volumes(X, mask)
    errors: npt.NDArray[np.float64] = np.abs(truth[:, mask].astype(np.float64) - said[:, mask]).mean(1)
    return errors
