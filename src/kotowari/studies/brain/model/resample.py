"""A volume laid onto another grid, by the millimetres that both affines give."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform

from kotowari.studies.brain.model.grid import Grid

__all__ = ["resample"]

_ORDERS = {"linear": 1, "nearest": 0}


def resample(
    values: npt.NDArray[Any], source: Grid, target: Grid, *, method: Literal["linear", "nearest"]
) -> npt.NDArray[Any]:
    r"""Return ``values`` at the voxel centres of another grid; 0 beyond the edge of the source.

    .. math:: r(j) = v(A_s^{-1} A_t\, j)

    with the affines of source and target and :math:`v` between voxels by trilinear interpolation or the nearest voxel.
    Nothing is averaged: onto a coarser grid, voxels between the sampled places are lost. Rotation and scale change no
    intensity, so a modulated map keeps its amount per volume.

    Parameters
    ----------
    values
        Shape of ``source``.
    source, target
        Where the values lie, and where they are wanted.
    method
        ``"linear"`` for measurements, ``"nearest"`` for labels.

    Returns
    -------
    array
        Shape of ``target``, type of ``values``.
    """
    matrix = np.linalg.solve(source.affine, target.affine)
    # a corner that rounding puts a hair outside keeps its value: "constant" would give 0 there
    result: npt.NDArray[Any] = affine_transform(
        values, matrix, output_shape=target.shape, order=_ORDERS[method], mode="grid-constant", cval=0, prefilter=False
    )
    return result
