"""Robust principal components of a run as a background, on some of its frames where it is long."""

import numpy as np
import numpy.typing as npt
import torch

from kotowari.core.errors import InputError
from kotowari.priors.robust_pca import robust_pca

__all__ = ["robust_pca_layers"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_TOL = 1e-4
_RANK_TOL = 1e-3
_FIT_STEPS = 15
_NORMAL_MAD = 1.4826


def robust_pca_layers(
    frames: FloatArray, field: BoolArray, *, most_frames: int = 100, max_steps: int = 100
) -> FloatArray:
    r"""Return the sparse part S of :math:`\min \|L\|_* + \lambda \|S\|_1` with L + S = D, the weight at its default.

    D holds one frame a row and one pixel of the field a column. Of a run longer than ``most_frames``, that many frames
    spread over it are split so; the backgrounds of the other frames lie in the space of the L found, fitted with
    Huber's loss, which is our own shortcut. The split stops at a residual of 1e-4 relative.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)``.
    field
        Shape ``(height, width)``.
    most_frames
        2 or more.
    max_steps
        Step limit, 1 or more.

    Returns
    -------
    ndarray
        Signed, shape of the frames, 0 outside of the field.
    """
    if most_frames < 2:
        raise InputError(f"robust_pca_layers: most_frames must be 2 or more, got {most_frames}.")
    matrix = frames[:, field]
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(most_frames, len(frames))).round().astype(np.intp))
    found = robust_pca(torch.from_numpy(matrix[chosen]), tol=_TOL, max_steps=max_steps).state
    layers = np.zeros_like(frames)
    inside = np.empty_like(matrix)
    inside[chosen] = found.sparse[0].numpy()
    others = np.setdiff1d(np.arange(len(frames)), chosen)
    if others.size:
        inside[others] = _against_background(matrix[others], found.low_rank[0].numpy())
    layers[:, field] = inside
    return layers


def _against_background(rows: FloatArray, low_rank: FloatArray) -> FloatArray:
    """Subtract from each row its Huber fit by the row space of the background."""
    values, vectors = np.linalg.eigh((low_rank @ low_rank.T).astype(np.float64))
    kept = values > _RANK_TOL**2 * values[-1]
    basis = (vectors[:, kept] / np.sqrt(values[kept])).T.astype(np.float32) @ low_rank
    sparse = np.zeros_like(rows)
    for _ in range(_FIT_STEPS):
        residual = rows - ((rows - sparse) @ basis.T) @ basis
        bar = _NORMAL_MAD * np.median(np.abs(residual), axis=1, keepdims=True)
        sparse = np.sign(residual) * np.maximum(np.abs(residual) - bar, 0).astype(np.float32)
    background = ((rows - sparse) @ basis.T) @ basis
    left: FloatArray = rows - background
    return left
