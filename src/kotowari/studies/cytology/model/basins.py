"""Basins of a watershed and the saddles between them, merged until every summit stands high enough."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import watershed

__all__ = ["Basins", "find_basins", "highest", "merge_basins"]

FloatImage = npt.NDArray[np.float32]
LabelImage = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Basins:
    """One basin for every local summit of a landscape.

    Parameters
    ----------
    labels
        Shape ``(height, width)``: 0 outside, 1 to n.
    summit
        Shape ``(n,)``: highest value of each basin.
    pairs
        Shape ``(pair, 2)``: places (label - 1) of basins that touch, lower first.
    saddle
        Shape ``(pair,)``: height of the highest pass between the two.
    """

    labels: LabelImage
    summit: npt.NDArray[np.float64]
    pairs: npt.NDArray[np.int64]
    saddle: npt.NDArray[np.float64]


def find_basins(landscape: FloatImage, inside: npt.NDArray[np.bool_]) -> Basins:
    """Flood the landscape from every local summit.

    Parameters
    ----------
    landscape
        Shape ``(height, width)``.
    inside
        The same shape: where basins may lie.
    """
    land = np.where(inside, landscape, -np.inf)
    top = (ndimage.maximum_filter(land, size=3) == land) & inside
    labels = watershed(-landscape, label(top, connectivity=2), mask=inside).astype(np.int32)
    n_basins = int(labels.max(initial=0))
    summit = highest(landscape, labels, n_basins).astype(np.float64)
    pairs, saddle = _passes(labels, landscape, n_basins)
    return Basins(labels, summit, pairs, saddle)


def highest(values: FloatImage, labels: npt.NDArray[np.integer], n_labels: int) -> FloatImage:
    """Return the largest value within each label, shape ``(n_labels,)``; minus infinity where a label is absent."""
    top = np.full(n_labels + 1, -np.inf, dtype=np.float32)
    inside = labels > 0
    np.maximum.at(top, labels[inside], values[inside])  # sorting, as ndimage.maximum does, takes ten times as long
    return top[1:]


def merge_basins(basins: Basins, depth: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Merge a summit into its higher neighbour when it rises above their pass by less than ``depth``.

    Passes are taken from the highest to the lowest, so that the result is that of the h-maxima transform, with the
    height of every summit above its pass at hand.

    Parameters
    ----------
    basins
        From :func:`find_basins`.
    depth
        In units of the landscape, above 0.

    Returns
    -------
    owner
        Shape ``(basin,)``: the merged basin that each belongs to, 0 to k - 1.
    rise
        Shape ``(k,)``: height of each summit above the highest pass to another; infinite when there is none.

    Source: Soille 2003, Morphological Image Analysis, section 6.3.4 (h-maxima); Grimaud 1992, Proc. SPIE 1769
    (dynamics of a summit).
    """
    parent = list(range(len(basins.summit)))
    summit = basins.summit.tolist()

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    kept = []
    for rank in np.argsort(-basins.saddle, kind="stable"):
        height = float(basins.saddle[rank])
        a, b = root(int(basins.pairs[rank, 0])), root(int(basins.pairs[rank, 1]))
        if a == b:
            continue
        high, low = (a, b) if summit[a] >= summit[b] else (b, a)
        if summit[low] - height < depth:
            parent[low] = high
        else:
            kept.append((a, b, height))
    roots = np.array([root(place) for place in range(len(parent))], dtype=np.int64)
    names, owner = np.unique(roots, return_inverse=True)
    rise = np.full(len(names), np.inf)
    own = np.searchsorted(names, roots)
    for a, b, height in kept:
        for side in (int(own[a]), int(own[b])):
            rise[side] = min(rise[side], summit[names[side]] - height)
    return owner.astype(np.int64), rise


def _passes(
    labels: LabelImage, landscape: FloatImage, n_basins: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    codes, heights = [], []
    for first, second in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        a, b = labels[first], labels[second]
        border = (a != b) & (a > 0) & (b > 0)
        low, high = np.minimum(a[border], b[border]), np.maximum(a[border], b[border])
        codes.append((low.astype(np.int64) - 1) * n_basins + high - 1)
        heights.append(np.minimum(landscape[first][border], landscape[second][border]))
    code, height = np.concatenate(codes), np.concatenate(heights).astype(np.float64)
    order = np.lexsort((height, code))
    last = np.flatnonzero(np.diff(code[order], append=-1))
    code = code[order][last]
    return np.column_stack([code // max(n_basins, 1), code % max(n_basins, 1)]), height[order][last]
