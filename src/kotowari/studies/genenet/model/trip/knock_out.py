"""Whether held-out predictions get worse when the edges that are said to matter are taken away."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.genenet.model.trip.network_frame import Networks, as_networks
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.trust.permutation import permutation_p

__all__ = ["KnockOut", "knock_out"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class KnockOut:
    """Loss of predictive score by taking edges away.

    Attributes
    ----------
    drop
        Score of the whole networks less that without the top edges, in units of the estimator's ``score``.
    random_drops
        The same for random edges of equal norm, shape ``(set,)``.
    p
        Chance that random edges cost at least as much.
    n_edges
        Number of top edges.
    """

    drop: float
    random_drops: FloatArray
    p: float
    n_edges: int


def knock_out(
    estimator: Any,
    X: Any,
    y: Any,
    importance: npt.ArrayLike,
    *,
    n_edges: int,
    n_random: int = 99,
    random_state: int = 0,
) -> KnockOut:
    """Set the most important edges of held-out samples to the training mean; compare with random edges of equal norm.

    A random set is drawn from the other edges until their deviations from the mean have the same sum of squares over
    the samples; the last edge is moved only part of the way, so that the sums are equal.

    Parameters
    ----------
    estimator
        Fitted; its ``score`` (R2, accuracy or concordance) is what falls.
    X, y
        Samples that it was not fitted on.
    importance
        One number an edge, shape ``(I1, .., IK)``, or ``(edge,)`` in the order of sparse networks' edges.
    n_edges
        Top edges to take away, 1 or more, fewer than there are.
    n_random
        Random sets; 19 is the least that can give p = 0.05.
    random_state
        Seed of the random sets.

    Raises
    ------
    DesignError
        When all other edges together do not reach the norm of the top edges.
    """
    networks = as_networks(X)
    rows, mean = _flat(networks, estimator)
    ranks = np.asarray(importance, dtype=np.float64).ravel()
    if ranks.shape != rows.shape[1:]:
        raise ShapeError.mismatch("knock_out", "importance", networks.shape[1:], np.shape(importance))
    if not 1 <= n_edges < len(ranks) or n_random < 1:
        raise InputError(f"n_edges must lie between 1 and {len(ranks) - 1} and n_random be 1 or more.")
    energy = np.square(rows - mean).sum(0)
    order = np.argsort(-ranks, kind="stable")
    top, others = order[:n_edges], order[n_edges:]
    target = float(energy[top].sum())
    if energy[others].sum() < target:
        raise DesignError("All other edges together have a smaller norm than the top ones. Take fewer edges away.")

    def score_without(share: FloatArray) -> float:
        # a deviation shortened by s keeps (1 - s) of itself
        return float(estimator.score(_like(networks, rows + share * (mean - rows)), y))

    whole, rng = float(estimator.score(networks, y)), np.random.default_rng(random_state)
    drop = whole - score_without(np.isin(np.arange(len(ranks)), top).astype(np.float64))
    drops = np.array([whole - score_without(_equal_norm(energy, others, target, rng)) for _ in range(n_random)])
    return KnockOut(drop, drops, permutation_p(drop, drops), n_edges)


def _equal_norm(
    energy: FloatArray, candidates: npt.NDArray[np.intp], target: float, rng: np.random.Generator
) -> FloatArray:
    """Return how far every edge is moved, 0 to 1, so that the squared moves sum to ``target``."""
    order = rng.permutation(candidates)
    reached = np.cumsum(energy[order])
    last = min(int(np.searchsorted(reached, target)), len(order) - 1)
    share = np.zeros(len(energy))
    share[order[:last]] = 1.0
    missing = target - (reached[last - 1] if last else 0.0)
    share[order[last]] = np.sqrt(min(1.0, max(0.0, missing / energy[order[last]]))) if energy[order[last]] > 0 else 0.0
    return share


def _flat(networks: Networks, estimator: Any) -> tuple[FloatArray, FloatArray]:
    """Return edge values and the training mean on the same edges."""
    mean = estimator.frame_.mean_network()
    if isinstance(networks, SparseNetworks):
        if not isinstance(mean, SparseNetworks):
            raise InputError("knock_out: the model was fitted on dense arrays. Convert X by to_dense().")
        wide = mean.with_edges_of(networks.edges)
        if len(wide.edges) != len(networks.edges):
            raise InputError("knock_out: X lacks edges that the training networks had. Put X on their union first.")
        return networks.values.astype(np.float64), wide.values[0]
    return networks.reshape(len(networks), -1).astype(np.float64), np.asarray(mean).ravel()


def _like(networks: Networks, rows: FloatArray) -> Networks:
    if isinstance(networks, SparseNetworks):
        return SparseNetworks(rows, networks.edges, networks.mode_shape)
    return rows.reshape(networks.shape)
