"""How likely an edge's importance is when the response has nothing to do with the networks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from kotowari.core.errors import InputError
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.model.trip.contributions import Importance
from kotowari.trust.permutation import permuted

__all__ = ["EdgeNull", "permutation_p_values"]

FloatArray = npt.NDArray[np.float64]
_TIE = 1e-12


@dataclass(frozen=True)
class EdgeNull:
    """Importance of the edges, and how often chance reaches it anywhere.

    Attributes
    ----------
    importance
        Of the model fitted on the responses as they are, shape ``(I1, .., IK)`` or ``(edge,)``.
    p
        Family-wise p value of every edge, same shape.
    n_refits
        Refits on shuffled responses that were made.
    maxima
        Largest importance of each refit, shape ``(n_refits,)``.
    """

    importance: FloatArray
    p: FloatArray
    n_refits: int
    maxima: FloatArray


def permutation_p_values(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    n_permutations: int = 199,
    n_exceeding: int = 10,
    importance: Importance = "covariance",
    output: Any = None,
    groups: Any = None,
    blocks: Any = None,
    random_state: int = 0,
) -> EdgeNull:
    r"""Refit on shuffled responses, and compare every edge with the largest importance of any edge (max-T).

    .. math:: p_e = \frac{1 + \#\{b : \max_k t_{bk} \ge t_e\}}{1 + B}, \quad
        p_e = h / l_e \text{ where the } h\text{-th exceedance came at refit } l_e

    The chance that any edge has p below a level is at most that level when the response is exchangeable. Drawing stops
    when even the strongest edge was exceeded h times: all p are then at least h over the refits made. Every choice that
    saw the response (starts, stopping, members) is made anew in every refit. Edges share one scale, the score's.

    Parameters
    ----------
    estimator
        An unfitted tensor reconstruction estimator; it is cloned.
    X, y
        As in its ``fit``.
    n_permutations
        B, 1 or more; 199 reaches p = 0.005.
    n_exceeding
        h, 1 or more; above ``n_permutations`` there is no early stop.
    importance
        Statistic t, see :meth:`EdgeContributions.importance`; contributions are those of the samples fitted on, against
        their mean network, for observed and shuffled responses alike.
    output
        Class that is explained, where there are three or more.
    groups
        Units that change responses as wholes, and that inner hold-outs do not tear apart; shape ``(sample,)``.
    blocks
        Responses change places only inside a block, such as a site; shape ``(sample,)``.
    random_state
        Seed of the shuffles.

    Source: Westfall and Young 1993 (single-step maximum); Besag and Clifford 1991, Biometrika 78:301-304.
    """
    if n_permutations < 1 or n_exceeding < 1:
        raise InputError(f"n_permutations and n_exceeding must be 1 or more, got {n_permutations} and {n_exceeding}.")

    def importance_of(response: Any) -> FloatArray:
        fitted = clone(estimator).fit(X, response, groups=groups)
        found: FloatArray = fitted.edge_contributions(X, output=output).importance(importance)
        return found

    observed = importance_of(y)
    # sums taken in another order differ in the last digits; that must not count as smaller
    bound = observed - _TIE * np.abs(observed)
    n_reached = np.zeros(observed.shape, dtype=np.int64)
    stopped_at = np.zeros(observed.shape, dtype=np.int64)
    maxima: list[float] = []
    for number in range(1, n_permutations + 1):
        rng = np.random.default_rng(derive_seed(random_state, "shuffle", number))
        maxima.append(float(importance_of(permuted(y, blocks=blocks, units=groups, rng=rng)).max()))
        n_reached += (maxima[-1] >= bound) & (stopped_at == 0)
        stopped_at[(n_reached == n_exceeding) & (stopped_at == 0)] = number
        if (stopped_at > 0).all():
            break
    p = np.where(stopped_at > 0, n_reached / np.maximum(stopped_at, 1), (1 + n_reached) / (1 + len(maxima)))
    return EdgeNull(observed, p, len(maxima), np.array(maxima))
