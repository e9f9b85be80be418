"""Two layers of nodes in the order that lets the fewest edges cross."""

import numpy as np
import numpy.typing as npt

__all__ = ["layered_order", "n_crossings"]

_SWEEPS = 24
IntArray = npt.NDArray[np.intp]


def layered_order(source: npt.ArrayLike, target: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Return the place of every source and of every target in its layer, so that few edges cross.

    Nodes of each layer move in turn to the mean place of their neighbours, and the best of all orders is improved by
    swapping neighbours as long as that helps: the barycentre and the adjacent-exchange heuristics. Nothing is drawn, so
    equal edges give equal places. Fewest crossings are not guaranteed.

    Parameters
    ----------
    source, target
        Ends of each edge, shape ``(edge,)``; each layer is counted from 0 without gaps.

    Returns
    -------
    places of the sources, places of the targets
        A permutation each, shape ``(node,)``.

    Source: Sugiyama, Tagawa and Toda 1981, IEEE Trans. Syst. Man Cybern. 11:109-125 (barycentres).

    Examples
    --------
    >>> left, right = layered_order([0, 1], [1, 0])
    >>> (left.tolist(), right.tolist()) in (([0, 1], [1, 0]), ([1, 0], [0, 1]))
    True
    """
    ends = np.asarray(source, dtype=np.intp), np.asarray(target, dtype=np.intp)
    places = [np.arange(int(end.max(initial=-1)) + 1) for end in ends]
    best, fewest = [place.copy() for place in places], n_crossings(places[0][ends[0]], places[1][ends[1]])
    for sweep in range(_SWEEPS):
        moved = (sweep + 1) % 2
        places[moved] = _by_neighbours(ends[moved], places[1 - moved][ends[1 - moved]], places[moved])
        crossings = n_crossings(places[0][ends[0]], places[1][ends[1]])
        if crossings < fewest:
            best, fewest = [place.copy() for place in places], crossings
    while fewest and (crossings := _swap(ends, best, fewest)) < fewest:
        fewest = crossings
    return best[0], best[1]


def n_crossings(left: IntArray, right: IntArray) -> int:
    """Count pairs of edges that cross, from the places of their ends.

    Examples
    --------
    >>> n_crossings(np.array([0, 1]), np.array([1, 0])), n_crossings(np.array([0, 0]), np.array([1, 0]))
    (1, 0)
    """
    over = np.sign(left[:, None] - left) * np.sign(right[:, None] - right)
    return int((over < 0).sum()) // 2


def _by_neighbours(own: IntArray, across: IntArray, before: IntArray) -> IntArray:
    """Sort a layer by the mean place of its neighbours; equal means keep their order."""
    mean = np.bincount(own, weights=across, minlength=len(before)) / np.maximum(np.bincount(own), 1)
    order = np.lexsort((before, mean))
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def _swap(ends: tuple[IntArray, IntArray], places: list[IntArray], fewest: int) -> int:
    """Swap neighbours in place wherever that leaves fewer crossings, and return how many are left."""
    for layer in places:
        for k in range(len(layer) - 1):
            upper, lower = np.flatnonzero(layer == k)[0], np.flatnonzero(layer == k + 1)[0]
            layer[[upper, lower]] = k + 1, k
            crossings = n_crossings(places[0][ends[0]], places[1][ends[1]])
            if crossings < fewest:
                fewest = crossings
            else:
                layer[[upper, lower]] = k, k + 1
    return fewest
