"""A skeleton taken apart into branches between ends and crossings."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["SkeletonBranch", "SkeletonGraph", "skeleton_graph"]

BoolImage = npt.NDArray[np.bool_]
Path = npt.NDArray[np.float64]

_AROUND = np.ones((3, 3), np.intp)
_SMOOTHED = 5
_STEPS = ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True, eq=False)
class SkeletonBranch:
    """A line between two nodes.

    Attributes
    ----------
    path
        Shape ``(point, 2)``: row and column from one end to the other, crossings included.
    pixels
        Shape ``(pixel, 2)``, integers: the pixels that belong to this branch alone.
    n_free_ends
        Ends that touch no crossing: 0, 1, or 2 for a line of its own.
    """

    path: Path
    pixels: npt.NDArray[np.intp]
    n_free_ends: int

    @property
    def length_px(self) -> float:
        """Length along the path smoothed over five points, in px; steps of a staircase would count too much."""
        smooth = ndimage.uniform_filter1d(self.path, _SMOOTHED, axis=0, mode="nearest")
        smooth[0], smooth[-1] = self.path[0], self.path[-1]
        return float(np.hypot(*np.diff(smooth, axis=0).T).sum())

    @property
    def chord_px(self) -> float:
        """Straight distance between both ends, in px."""
        return float(np.hypot(*(self.path[-1] - self.path[0])))


@dataclass(frozen=True, eq=False)
class SkeletonGraph:
    """Branches, and the points where they meet or end.

    Attributes
    ----------
    branches
        In the order of their first pixel, row by row.
    crossings, ends
        Shape ``(point, 2)``: row and column; a crossing is the middle of its pixels.
    """

    branches: tuple[SkeletonBranch, ...]
    crossings: Path
    ends: Path


def skeleton_graph(lines: BoolImage) -> SkeletonGraph:
    """Take a skeleton apart: pixels with three neighbours or more are crossings, what hangs between them is a branch.

    Parameters
    ----------
    lines
        Shape ``(height, width)``, lines one pixel wide.
    """
    n_neighbours = ndimage.convolve(lines.astype(np.intp), _AROUND, mode="constant") - 1
    meeting = lines & (n_neighbours >= 3)
    knots, n_knots = ndimage.label(meeting, _AROUND)
    centres = np.array(ndimage.center_of_mass(meeting, knots, np.arange(1, n_knots + 1))).reshape(-1, 2)
    pieces, n_pieces = ndimage.label(lines & ~meeting, _AROUND)
    boxes = ndimage.find_objects(pieces, n_pieces)
    branches = []
    for number, box in enumerate(boxes, start=1):
        pixels = np.argwhere(pieces[box] == number) + [part.start for part in box]
        branches.append(_branch(_ordered(pixels), knots, centres))
    ends = np.argwhere(lines & (n_neighbours <= 1)).astype(np.float64)
    return SkeletonGraph(tuple(branches), centres, ends)


def _ordered(pixels: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Walk from an end of the line to the other; pixels beside the line that the walk misses are left out."""
    left = {(int(row), int(column)) for row, column in pixels}
    at = min(left, key=lambda point: (len(_beside(point, left)), point))
    walk = [at]
    left.remove(at)
    while following := _beside(at, left):
        at = following[0]
        walk.append(at)
        left.remove(at)
    return np.array(walk, np.intp)


def _beside(point: tuple[int, int], points: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the neighbours among the points, those across an edge first."""
    around = [(point[0] + down, point[1] + right) for down, right in _STEPS]
    return [neighbour for neighbour in around if neighbour in points]


def _branch(walk: npt.NDArray[np.intp], knots: npt.NDArray[np.intp], centres: Path) -> SkeletonBranch:
    head = _knots_at(walk[0], knots)
    tail = _knots_at(walk[-1], knots)
    if len(walk) == 1:  # one pixel between two crossings touches both by itself
        head, tail = head[:1], head[1:2]
    elif head[:1] == tail[:1] and len(tail) > 1 and len(walk) <= 2:
        tail = tail[1:]
    closed = len(walk) > 3 and not head and not tail and np.abs(walk[0] - walk[-1]).max() == 1
    parts = [centres[[knot - 1 for knot in head[:1]]], walk.astype(np.float64), centres[[k - 1 for k in tail[:1]]]]
    if closed:
        parts.append(walk[:1].astype(np.float64))
    n_free = 0 if closed else int(not head) + int(not tail)
    return SkeletonBranch(np.concatenate(parts), walk, n_free)


def _knots_at(pixel: npt.NDArray[np.intp], knots: npt.NDArray[np.intp]) -> list[int]:
    row, column = pixel
    around = knots[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    return [int(knot) for knot in np.unique(around) if knot]
