"""Objects of two label images paired one to one by the overlap of their areas."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kotowari.core.errors import InputError, ShapeError

__all__ = ["Match", "Overlaps", "match_instances", "match_overlaps", "measure_overlaps"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Overlaps:
    """Every pair of objects that share a pixel, as columns of one table.

    Parameters
    ----------
    pairs
        Shape ``(pair, 2)``: label in the truth, label in what was found; sorted.
    iou
        Shape ``(pair,)``: intersection over union of the two areas, above 0 and at most 1.
    n_truth, n_found
        Objects in each label image.
    """

    pairs: IndexArray
    iou: FloatArray
    n_truth: int
    n_found: int


@dataclass(frozen=True)
class Match:
    """Objects paired one to one.

    Parameters
    ----------
    tp, fp, fn
        Pairs, found objects without a partner, true objects without a partner.
    iou
        Shape ``(tp,)``: intersection over union of each pair.
    pairs
        Shape ``(tp, 2)``: label in the truth, label in what was found; sorted by the truth.
    """

    tp: int
    fp: int
    fn: int
    iou: FloatArray
    pairs: IndexArray


def match_instances(truth: npt.ArrayLike, found: npt.ArrayLike, iou: float = 0.5) -> Match:
    """Pair true and found objects one to one, as many as overlap enough, then with the largest overlap.

    Parameters
    ----------
    truth, found
        Shape ``(height, width)``, whole numbers: 0 is background, every other number an object. Numbers may be
        left out.
    iou
        Lowest intersection over union of a pair, above 0 and at most 1. A pair that just reaches it counts.

    Raises
    ------
    ShapeError
        When the two images differ in shape.
    InputError
        When a label is negative or no whole number, or ``iou`` is out of range.

    Source: Caicedo et al. 2019, Nat. Methods 16:1247-1253 (object matching at a threshold). Above an IoU of 0.5 the
    pairs are unique; at 0.5 and below we solve the assignment problem (Kuhn 1955, Nav. Res. Logist. 2:83-97) in
    every connected part of the overlap table.

    Examples
    --------
    >>> match_instances([[1, 1, 0, 2]], [[5, 5, 0, 0]]).fn
    1
    """
    return match_overlaps(measure_overlaps(truth, found), iou)


def measure_overlaps(truth: npt.ArrayLike, found: npt.ArrayLike) -> Overlaps:
    """Return the sparse table of overlaps, from which :func:`match_overlaps` pairs at any threshold.

    Parameters
    ----------
    truth, found
        As in :func:`match_instances`.

    Raises
    ------
    ShapeError, InputError
        As in :func:`match_instances`.
    """
    true_labels, found_labels = _labels(truth, "truth"), _labels(found, "found")
    if true_labels.shape != found_labels.shape:
        raise ShapeError.mismatch("match_instances", "found", true_labels.shape, found_labels.shape)
    true_names, true_rows, true_areas = _numbered(true_labels)
    found_names, found_rows, found_areas = _numbered(found_labels)
    both = (true_rows >= 0) & (found_rows >= 0)
    ones = np.ones(int(both.sum()), dtype=np.int64)
    shape = (max(len(true_names), 1), max(len(found_names), 1))
    table = coo_array((ones, (true_rows[both], found_rows[both])), shape=shape).tocsr().tocoo()
    rows, columns = table.coords
    shared = table.data.astype(np.float64)
    union = true_areas[rows] + found_areas[columns] - shared
    pairs = np.column_stack([true_names[rows], found_names[columns]])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Overlaps(pairs[order], (shared / union)[order], len(true_names), len(found_names))


def match_overlaps(overlaps: Overlaps, iou: float = 0.5) -> Match:
    """Pair the objects of a table of overlaps; see :func:`match_instances`.

    Parameters
    ----------
    overlaps
        From :func:`measure_overlaps`.
    iou
        Above 0 and at most 1.

    Raises
    ------
    InputError
        When ``iou`` is out of range.
    """
    if not 0 < iou <= 1:
        raise InputError(f"match_instances: iou must lie above 0 and be at most 1, got {iou}.")
    close = np.flatnonzero(overlaps.iou >= iou)
    chosen = close[_assigned(overlaps.pairs[close], overlaps.iou[close])]
    n_pairs = len(chosen)
    return Match(
        n_pairs,
        overlaps.n_found - n_pairs,
        overlaps.n_truth - n_pairs,
        overlaps.iou[chosen],
        overlaps.pairs[chosen],
    )


def _labels(image: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    labels = np.asarray(image)
    if labels.dtype.kind not in "iu":
        raise InputError(f"match_instances: {name} must hold whole numbers (labels), got {labels.dtype}.")
    if labels.size and labels.min() < 0:
        raise InputError(f"match_instances: {name} holds the label {labels.min()}. Labels are 0 or more.")
    return labels


def _numbered(labels: npt.NDArray[Any]) -> tuple[IndexArray, IndexArray, IndexArray]:
    """Return the labels that occur, the place of each pixel's label among them (-1 = background), and their areas."""
    flat = labels.ravel()
    if flat.size and int(flat.max()) <= flat.size:  # counting is ten times as fast as sorting
        counts = np.bincount(flat)
        counts[0] = 0
        names = np.flatnonzero(counts)
        place = np.full(len(counts), -1, dtype=np.int64)
        place[names] = np.arange(len(names))
        return names, place[flat], counts[names]
    found, inverse, numbers = np.unique(flat, return_inverse=True, return_counts=True)
    first = int(found.size > 0 and found[0] == 0)
    return found[first:].astype(np.int64), inverse.astype(np.int64) - first, numbers[first:]


def _assigned(pairs: IndexArray, iou: FloatArray) -> IndexArray:
    """Return the rows of an assignment with the most pairs and, among those, the largest sum of IoU."""
    if len(pairs) == 0:
        return np.empty(0, dtype=np.int64)
    _, rows = np.unique(pairs[:, 0], return_inverse=True)
    _, columns = np.unique(pairs[:, 1], return_inverse=True)
    n_rows, n_nodes = int(rows.max()) + 1, int(rows.max()) + int(columns.max()) + 2
    graph = coo_array((np.ones(len(rows)), (rows, columns + n_rows)), shape=(n_nodes, n_nodes))
    _, part = connected_components(graph, directed=False)
    own_part = part[rows]
    alone = np.bincount(own_part)[own_part] == 1
    chosen = [np.flatnonzero(alone)]
    for crowded in np.unique(own_part[~alone]):
        members = np.flatnonzero(own_part == crowded)
        chosen.append(members[_assigned_densely(rows[members], columns[members], iou[members])])
    return np.sort(np.concatenate(chosen))


def _assigned_densely(rows: IndexArray, columns: IndexArray, iou: FloatArray) -> IndexArray:
    _, own_row = np.unique(rows, return_inverse=True)
    _, own_column = np.unique(columns, return_inverse=True)
    shape = (int(own_row.max()) + 1, int(own_column.max()) + 1)
    place = np.full(shape, -1, dtype=np.int64)
    place[own_row, own_column] = np.arange(len(iou))
    gain = np.zeros(shape)
    gain[own_row, own_column] = 1 + iou / (min(shape) + 1)  # one pair more outweighs every sum of overlaps
    taken: IndexArray = place[linear_sum_assignment(gain, maximize=True)]
    return taken[taken >= 0]
