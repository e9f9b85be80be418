"""The gradient of t-SNE, compiled: repulsion over a k-d tree, attraction over the sparse neighbours."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kotowari.studies.omics.model.kdsplit import tree_levels, tree_order

__all__ = ["TreeGradient"]

_ONE = np.float32(1)
_ZERO = np.float32(0)


class TreeGradient:
    r"""Kullback-Leibler divergence of t-SNE and its gradient, as openTSNE's optimiser asks for them.

    .. math:: \frac{\partial C}{\partial y_i} = \sum_j p_{ij} w_{ij} (y_i - y_j)
        - \frac 1 Z \sum_j w_{ij}^2 (y_i - y_j), \quad
        w_{ij} = \frac 1 {1 + \|y_i - y_j\|^2}, \quad Z = \sum_{i \ne j} w_{ij}

    Far parts of a k-d tree act on a whole leaf at once through their centre of mass; near ones point by point. A leaf
    first lists what acts on it, so that one vectorised loop serves both kinds. Single precision, deterministic.
    As in openTSNE, the factor 4 of the gradient is left to the learning rate.

    Parameters
    ----------
    n_points
        Number of points, 2 or more.
    opening
        A part acts as one when its width is less than this share of its distance from the leaf; 0 is exact.
        At 0.6, force and normalisation of a map of thousands are off by about 0.2 %.
    leaf
        Largest number of points in a leaf, 1 or more.

    Source: van der Maaten 2014, JMLR 15, section 4; the lists per leaf are our own arrangement of it.
    """

    def __init__(self, n_points: int, *, opening: float = 0.6, leaf: int = 64) -> None:
        self._order = np.arange(n_points)
        self._levels = int(tree_levels(n_points, leaf))
        self._opening = np.float32(opening**2)

    def __call__(
        self, embedding: npt.ArrayLike, joint: Any, *, should_eval_error: bool = False, **_: object
    ) -> tuple[float, npt.NDArray[np.float64]]:
        """Return the divergence (0 unless asked for) and the gradient, shape ``(point, 2)``.

        Parameters
        ----------
        embedding
            Shape ``(point, 2)``.
        joint
            Symmetric CSR matrix of float32, shape ``(point, point)``, that sums to 1, or to the exaggeration.
        should_eval_error
            Whether the divergence is wanted.
        """
        points = np.asarray(embedding, dtype=np.float32)
        tree_order(points, self._order, self._levels)
        repulsion, normaliser = _repulsion(points, self._order, self._levels, self._opening)
        error = (
            float(_divergence(joint.indptr, joint.indices, joint.data, points, normaliser))
            if should_eval_error
            else 0.0
        )
        return error, _total(joint.indptr, joint.indices, joint.data, points, repulsion, np.float32(1 / normaliser))


@njit(cache=True)
def _repulsion(points: Any, order: Any, levels: int, opening: Any) -> Any:
    """Return the sum of squared weights times differences, shape ``(point, 2)``, and the normaliser."""
    n, leaves = len(points), 1 << levels
    placed = np.empty((n, 2), np.float32)
    for i in range(n):
        placed[i] = points[order[i]]
    centre, mass, box = _summaries(placed, levels)
    listed = np.empty((3, n + 2 * leaves), np.float32)
    stack = np.empty(2 * levels + 2, np.int64)
    force = np.empty((n, 2), np.float32)
    normaliser = 0.0
    for leaf in range(leaves):
        count = _list_sources(leaf, levels, placed, (centre, mass, box), opening, (listed, stack))
        for i in range(n * leaf // leaves, n * (leaf + 1) // leaves):
            weight, down, right = _act(listed[0], listed[1], listed[2], count, placed[i, 0], placed[i, 1])
            normaliser += weight
            force[order[i], 0], force[order[i], 1] = down, right
    return force, max(normaliser - n, 1e-30)


@njit(cache=True)
def _summaries(placed: Any, levels: int) -> Any:
    """Return centre ``(node, 2)``, mass ``(node,)`` and box ``(node, 4)``: low and high of either axis."""
    n, leaves = len(placed), 1 << levels
    centre = np.empty((2 * leaves - 1, 2), np.float32)
    mass = np.empty(2 * leaves - 1, np.float32)
    box = np.empty((2 * leaves - 1, 4), np.float32)
    for leaf in range(leaves):
        node, begin, end = leaves - 1 + leaf, n * leaf // leaves, n * (leaf + 1) // leaves
        mass[node] = end - begin
        for axis in range(2):
            low = high = placed[begin, axis]
            total = 0.0
            for i in range(begin, end):
                low, high = min(low, placed[i, axis]), max(high, placed[i, axis])
                total += placed[i, axis]
            centre[node, axis] = total / (end - begin)
            box[node, 2 * axis], box[node, 2 * axis + 1] = low, high
    for node in range(leaves - 2, -1, -1):
        a, b = 2 * node + 1, 2 * node + 2
        mass[node] = mass[a] + mass[b]
        for axis in range(2):
            centre[node, axis] = (centre[a, axis] * mass[a] + centre[b, axis] * mass[b]) / mass[node]
            box[node, 2 * axis] = min(box[a, 2 * axis], box[b, 2 * axis])
            box[node, 2 * axis + 1] = max(box[a, 2 * axis + 1], box[b, 2 * axis + 1])
    return centre, mass, box


@njit(cache=True)
def _list_sources(leaf: int, levels: int, placed: Any, tree: Any, opening: Any, room: Any) -> int:
    """Write places and masses of all that acts on a leaf into ``listed``, shape ``(3, source)``; return how many."""
    centre, mass, box = tree
    listed, stack = room
    n, leaves = len(placed), 1 << levels
    target = leaves - 1 + leaf
    count, top, stack[0] = 0, 1, 0
    while top > 0:
        top -= 1
        node = stack[top]
        if _is_far(centre[node], box[node], box[target], opening):
            listed[0, count], listed[1, count], listed[2, count] = centre[node, 0], centre[node, 1], mass[node]
            count += 1
        elif node >= leaves - 1:
            part = node - (leaves - 1)
            for i in range(n * part // leaves, n * (part + 1) // leaves):
                listed[0, count], listed[1, count], listed[2, count] = placed[i, 0], placed[i, 1], _ONE
                count += 1
        else:
            stack[top], stack[top + 1] = 2 * node + 1, 2 * node + 2
            top += 2
    return count


@njit(cache=True)
def _is_far(centre: Any, box: Any, target: Any, opening: Any) -> bool:
    down = max(_ZERO, max(target[0] - centre[0], centre[0] - target[1]))
    right = max(_ZERO, max(target[2] - centre[1], centre[1] - target[3]))
    width = max(box[1] - box[0], box[3] - box[2])
    return bool(width * width < opening * (down * down + right * right))


# error_model "numpy" leaves out the test for a division by zero, which would keep the loops below from being
# vectorised. Inlined, since sums in free order would differ between a fresh and a stored compilation.
@njit(cache=True, fastmath=True, error_model="numpy", forceinline=True)
def _act(rows: Any, columns: Any, masses: Any, count: int, row: Any, column: Any) -> Any:
    total = down = right = _ZERO
    for j in range(count):
        row_gap, column_gap = row - rows[j], column - columns[j]
        near = _ONE / (_ONE + row_gap * row_gap + column_gap * column_gap)
        weight = masses[j] * near
        total += weight
        weight *= near
        down += weight * row_gap
        right += weight * column_gap
    return total, down, right


@njit(cache=True, fastmath=True, error_model="numpy")
def _total(indptr: Any, indices: Any, data: Any, points: Any, repulsion: Any, share: Any) -> Any:
    gradient = np.empty(points.shape, np.float64)
    rows, columns = np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])
    for i in range(len(points)):
        row, column = rows[i], columns[i]
        down = right = _ZERO
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            row_gap, column_gap = row - rows[j], column - columns[j]
            weight = data[k] / (_ONE + row_gap * row_gap + column_gap * column_gap)
            down += weight * row_gap
            right += weight * column_gap
        gradient[i, 0] = down - repulsion[i, 0] * share
        gradient[i, 1] = right - repulsion[i, 1] * share
    return gradient


@njit(cache=True, error_model="numpy")
def _divergence(indptr: Any, indices: Any, data: Any, points: Any, normaliser: float) -> float:
    divergence, shift = 0.0, np.log(normaliser)
    for i in range(len(points)):
        for k in range(indptr[i], indptr[i + 1]):
            row_gap = float(points[i, 0]) - points[indices[k], 0]
            column_gap = float(points[i, 1]) - points[indices[k], 1]
            if data[k] > 0:
                divergence += data[k] * (np.log(data[k]) + np.log1p(row_gap**2 + column_gap**2) + shift)
    return divergence
