"""Volumes turned so that left is left: first axis left to right, second back to front, third bottom to top."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["DisplaySpace", "display_space"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
_STRAIGHT = 1e-3  # of a voxel's edge: less than this off its axis, a grid is not oblique


@dataclass(frozen=True, eq=False)
class DisplaySpace:
    """How volumes of one grid lie in millimetres.

    Attributes
    ----------
    low
        Millimetres of the first voxel after :meth:`turned`, shape ``(3,)``.
    step
        Edges of a voxel after :meth:`turned` in mm, above 0, shape ``(3,)``.
    shape
        Voxels along each axis after :meth:`turned`.
    order
        Which axis of the box runs left to right, back to front, bottom to top; empty for an oblique grid.
    source
        Position in the flat box of every voxel after :meth:`turned`, -1 outside; None for a straight grid.
    flipped
        Which of the ordered axes run the other way.
    """

    low: FloatArray
    step: FloatArray
    shape: tuple[int, int, int]
    order: tuple[int, ...]
    flipped: tuple[bool, ...]
    source: IndexArray | None = None

    def turned(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn a volume of the box; float16 comes back as float32, and what lies outside of the box is 0."""
        wide = values.astype(np.float32) if values.dtype == np.float16 else values
        if self.source is not None:
            inside = self.source >= 0
            laid: npt.NDArray[Any] = np.where(inside, wide.reshape(-1)[np.where(inside, self.source, 0)], 0)
            return laid.astype(wide.dtype)
        turned: npt.NDArray[Any] = np.flip(
            wide.transpose(self.order), tuple(axis for axis in range(3) if self.flipped[axis])
        )
        return turned

    def places(self, axis: int) -> FloatArray:
        """Return the millimetres of the voxel centres along an axis."""
        along: FloatArray = self.low[axis] + self.step[axis] * np.arange(self.shape[axis])
        return along

    def bounds(self, axis: int) -> tuple[float, float]:
        """Return where the first voxel begins and the last one ends, in mm."""
        places = self.places(axis)
        return float(places[0] - self.step[axis] / 2), float(places[-1] + self.step[axis] / 2)


def display_space(affine: npt.NDArray[Any], shape: tuple[int, ...]) -> DisplaySpace:
    """Find how a box must be turned.

    A grid whose axes run along those of the head is turned by exchanging and flipping axes, so no value changes; an
    oblique one is laid onto a straight grid of its smallest edge, each place taking the nearest voxel.

    Parameters
    ----------
    affine
        Voxel index to millimetres (x to the right, y to the front, z up), shape ``(4, 4)``.
    shape
        Voxels along each axis.
    """
    linear = np.asarray(affine, np.float64)[:3, :3]
    corner = np.asarray(affine, np.float64)[:3, 3]
    order = np.abs(linear).argmax(1)
    straight = np.zeros((3, 3))
    straight[np.arange(3), order] = linear[np.arange(3), order]
    off = np.abs(linear - straight).max()
    edges = np.linalg.norm(linear, axis=0)
    if len(set(order.tolist())) == 3 and off <= _STRAIGHT * edges.min():
        signed = straight[np.arange(3), order]
        ends = corner + signed * (np.array(shape)[order] - 1)
        x, y, z = (int(shape[axis]) for axis in order)
        flips = tuple(bool(value < 0) for value in signed)
        return DisplaySpace(np.minimum(corner, ends), np.abs(signed), (x, y, z), tuple(order.tolist()), flips)
    return _laid_straight(linear, corner, shape, float(edges.min()))


def _laid_straight(linear: FloatArray, corner: FloatArray, shape: tuple[int, ...], edge: float) -> DisplaySpace:
    corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(shape) - 1) @ linear.T + corner
    low, high = corners.min(0), corners.max(0)
    x, y, z = (int(n) for n in np.ceil((high - low) / edge - 1e-6) + 1)
    places = np.indices((x, y, z)).reshape(3, -1).T * edge + low
    index = np.rint((places - corner) @ np.linalg.inv(linear).T).astype(np.intp)
    inside = ((index >= 0) & (index < np.array(shape))).all(1)
    flat = np.ravel_multi_index(tuple(np.where(inside[:, None], index, 0).T), shape)
    source = np.where(inside, flat, -1).reshape(x, y, z)
    return DisplaySpace(low, np.full(3, edge), (x, y, z), (), (False, False, False), source)
