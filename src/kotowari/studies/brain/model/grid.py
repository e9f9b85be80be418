"""Where the voxels of a volume lie, and how two such grids lie to each other."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "Grid", "bounds_overlap", "tight_box"]

Array = npt.NDArray[np.float64]
Box = tuple[slice, slice, slice]

_SAME_GRID = 0.01  # of a voxel: far below any effect, far above the rounding of float32 in headers


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and affine of a volume.

    Parameters
    ----------
    shape
        Voxels along each axis.
    affine
        Voxel index to millimetres (x to the right, y to the front, z up), shape ``(4, 4)``.
    """

    shape: tuple[int, int, int]
    affine: Array

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Distance between neighbours along each axis."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    @property
    def handedness(self) -> int:
        """Sign of the affine's determinant: -1 where one axis runs the other way, as in radiological order."""
        return int(np.sign(np.linalg.det(self.affine[:3, :3])))

    def positions(self, index: npt.ArrayLike) -> Array:
        """Return millimetres for voxel indices, ``(..., 3) -> (..., 3)``."""
        placed: Array = np.asarray(index, np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return placed

    def shift(self, other: "Grid") -> float:
        """Return how far one corner voxel of this grid lies from the voxel of the same index in ``other``, at most."""
        corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(self.shape) - 1)
        return float(np.linalg.norm(self.positions(corners) - other.positions(corners), axis=1).max())

    def equals(self, other: "Grid") -> bool:
        """Tell whether both have one shape, and voxels in one place to a hundredth of their size."""
        return self.shape == other.shape and self.shift(other) <= _SAME_GRID * min(self.voxel_mm)

    def bounds(self, box: Box | None = None) -> Array:
        """Return the lowest and highest x, y, z in millimetres that the voxels of a box fill, shape ``(2, 3)``."""
        ends = [(0, n) for n in self.shape] if box is None else [(axis.start, axis.stop) for axis in box]
        low, high = np.array(ends, np.float64).T - 0.5
        corners = self.positions(low + np.indices((2, 2, 2)).reshape(3, 8).T * (high - low))
        return np.stack([corners.min(axis=0), corners.max(axis=0)])

    def cropped(self, box: Box) -> "Grid":
        """Return the grid of a box within this one."""
        affine = self.affine.copy()
        affine[:3, 3] = self.positions([axis.start for axis in box])
        x, y, z = (axis.stop - axis.start for axis in box)
        return Grid((x, y, z), affine)

    def sentence(self) -> str:
        """Say shape, voxel size and first voxel in a phrase."""
        sizes = " x ".join(f"{size:.3g}" for size in self.voxel_mm)
        first = ", ".join(f"{value:.4g}" for value in self.affine[:3, 3])
        return f"shape {self.shape}, voxels of {sizes} mm, first voxel at ({first}) mm"


def tight_box(mask: npt.NDArray[np.bool_]) -> Box:
    """Return the smallest box that holds every true voxel of a mask that has one."""
    x, y, z = (np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    return slice(int(x[0]), int(x[-1]) + 1), slice(int(y[0]), int(y[-1]) + 1), slice(int(z[0]), int(z[-1]) + 1)


def bounds_overlap(first: Array, second: Array) -> float:
    """Return the share of the smaller of two boxes in millimetres that lies within the larger, 0 to 1.

    Examples
    --------
    >>> bounds_overlap(np.array([[0, 0, 0], [2, 2, 2]]), np.array([[1, 0, 0], [9, 9, 9]]))
    0.5
    """
    common = np.minimum(first[1], second[1]) - np.maximum(first[0], second[0])
    smaller = min(float(np.prod(box[1] - box[0])) for box in (first, second))
    return float(np.prod(np.maximum(common, 0.0))) / smaller
