"""Volumes read through a deformation, and the change of volume that makes grey matter keep its amount."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from kotowari.core.errors import ShapeError
from kotowari.studies.brain.model.grid import Grid

__all__ = ["jacobian_determinant", "pull"]

Volume = npt.NDArray[np.float32]

_SLAB = 16  # planes read at once, which bounds the memory of the coordinates


def pull(values: Volume, source: Grid, displacement: Volume, target: Grid) -> Volume:
    r"""Return a volume as seen from another grid through a deformation.

    .. math:: r(x) = v(x + u(x))

    linearly between voxels, 0 outside of the source. Amounts are not kept; multiply by
    :func:`jacobian_determinant` for that.

    Parameters
    ----------
    values
        Shape of ``source``.
    source, target
        Where the values lie, and where they are wanted.
    displacement
        :math:`u`, mm, shape ``(*target, 3)``.

    Raises
    ------
    ShapeError
        When values or displacement do not fit their grids.
    """
    if values.shape != source.shape:
        raise ShapeError.mismatch("pull", "values", source.shape, values.shape)
    if displacement.shape != (*target.shape, 3):
        raise ShapeError.mismatch("pull", "displacement", (*target.shape, 3), displacement.shape)
    inverse = np.linalg.inv(source.affine)
    seen = np.empty(target.shape, dtype=np.float32)
    _, height, depth = target.shape
    plane = np.indices((1, height, depth)).reshape(3, -1).T
    for start in range(0, target.shape[0], _SLAB):
        stop = min(start + _SLAB, target.shape[0])
        index = np.concatenate([plane + np.array([x, 0, 0]) for x in range(start, stop)])
        places = target.positions(index) + displacement[start:stop].reshape(-1, 3)
        at = places @ inverse[:3, :3].T + inverse[:3, 3]
        read = map_coordinates(values, at.T, order=1, mode="constant", output=np.float32)
        seen[start:stop] = read.reshape(-1, height, depth)
    return seen


def jacobian_determinant(displacement: Volume, grid: Grid) -> Volume:
    r"""Return how much volume of the head one unit of volume of the template stands for.

    .. math:: J(x) = \det(I + \nabla u(x))

    by central differences, one-sided at the edge of the grid; exact where :math:`u` is affine. Above 1 the head is
    larger than the template there; 0 or less where the deformation folds.

    Parameters
    ----------
    displacement
        :math:`u`, mm along x, y and z of space, shape ``(*grid, 3)``.
    grid
        Two voxels or more along each axis.

    Raises
    ------
    ShapeError
        When the displacement does not fit the grid.
    """
    if displacement.shape != (*grid.shape, 3) or min(grid.shape) < 2:
        raise ShapeError.mismatch("jacobian_determinant", "displacement", (*grid.shape, 3), displacement.shape)
    to_index = np.linalg.inv(grid.affine[:3, :3])
    slopes = np.empty((*grid.shape, 3, 3), dtype=np.float32)
    for row in range(3):
        along = np.stack([np.gradient(displacement[..., row], axis=axis) for axis in range(3)], axis=-1)
        slopes[..., row, :] = along @ to_index  # chain rule: voxel axes to axes of space
    slopes[..., range(3), range(3)] += 1
    return _determinants(slopes)


def _determinants(matrices: Volume) -> Volume:
    (a, b, c), (d, e, f), (g, h, i) = np.moveaxis(matrices, (-2, -1), (0, 1))
    determinants: Volume = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return determinants
