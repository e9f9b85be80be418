"""p values of the edges that were found, from refits of which each keeps the edges that it found."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kotowari.trust.permutation import QValues, q_values, sequential_p, smallest_p

__all__ = ["FoundEdges", "family_wise_p", "own_p", "pooled_p_of_found", "q_of_found"]

Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]

_TIE = 1e-12  # sums taken in another order differ in their last digits; that must not count as smaller


class FoundEdges(NamedTuple):
    """Edges with a statistic above 0; all other possible edges have the value 0.

    Attributes
    ----------
    cell
        Number of the edge, rising, shape ``(edge,)``.
    value
        Shape ``(edge,)``.
    """

    cell: Cells
    value: Floats

    @property
    def largest(self) -> float:
        """Largest value; 0 where no edge was found."""
        return float(self.value.max(initial=0.0))


def family_wise_p(value: Floats, maxima: Floats, *, n_exceeding: int, max_draws: int) -> Floats:
    """Hold every edge against the largest value of each refit; edges between the same two maxima share a p.

    Parameters
    ----------
    value
        Shape ``(edge,)``.
    maxima
        Largest value of each refit, in the order in which they were drawn.
    n_exceeding, max_draws
        As in :func:`kotowari.trust.permutation.sequential_p`.
    """
    below = np.searchsorted(np.sort(maxima), _lowered(value), side="left")
    _, member, kind = np.unique(below, return_index=True, return_inverse=True)
    of_kind = [
        sequential_p(float(value[k]), maxima.tolist(), n_exceeding=n_exceeding, max_draws=max_draws).p for k in member
    ]
    return np.array(of_kind, dtype=np.float64)[kind]


def own_p(observed: FoundEdges, draws: Sequence[FoundEdges]) -> Floats:
    r"""Hold every edge against its own values alone, :math:`p_e = (1 + \#\{b : T_{be} \ge T_e\})/(1 + B)`.

    Not corrected for the number of edges; right where a null of its own stands behind every edge.
    """
    bound, n_reached = _lowered(observed.value), np.zeros(len(observed.cell), dtype=np.int64)
    for draw in draws:
        _, mine, theirs = np.intersect1d(observed.cell, draw.cell, assume_unique=True, return_indices=True)
        n_reached[mine] += draw.value[theirs] >= bound[mine]
    return np.asarray((1 + n_reached) / (1 + len(draws)))


def pooled_p_of_found(value: Floats, draws: Sequence[FoundEdges], n_possible: int) -> Floats:
    """Return what :func:`kotowari.trust.permutation.pooled_p` gives, without a dense table of refits and edges."""
    null = np.sort(np.concatenate([draw.value for draw in draws]))
    n_reached = len(null) - np.searchsorted(null, _lowered(value), side="left")
    return np.asarray((1 + n_reached) / (1 + len(draws) * n_possible))


def q_of_found(pooled: Floats, n_possible: int, n_refits: int) -> QValues:
    """Return q of the found edges after Benjamini and Hochberg over all possible edges; those not found have p = 1."""
    every = np.ones(n_possible)
    every[: len(pooled)] = pooled
    found = q_values(every, smallest=smallest_p(n_refits, n_pooled=n_possible))
    return found if found.q is None else QValues(found.q[: len(pooled)], found.sentence)


def _lowered(value: Floats) -> Floats:
    return value - _TIE * value
