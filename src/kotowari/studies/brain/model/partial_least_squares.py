"""Partial least squares for every number of components at once, and canonical pairs of two tables."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CanonicalPair", "canonical_pair", "partial_least_squares"]

FloatArray = npt.NDArray[np.float64]
_NOTHING_LEFT = 1e-10


def partial_least_squares(X: FloatArray, Y: FloatArray, n_components: int) -> FloatArray:
    r"""Return the weights of PLS with 1, 2, ... components, on centred tables.

    Each component is the direction :math:`w` in which X and Y have the largest covariance, the first left singular
    vector of :math:`X^\top Y`; X and Y are then deflated by its scores :math:`t = Xw`. Where nothing is left to find,
    further components add nothing.

    Parameters
    ----------
    X, Y
        Shape ``(subject, feature)`` and ``(subject, target)``, columns of mean 0.
    n_components
        1 or more.

    Returns
    -------
    array
        Shape ``(n_components, feature, target)``.

    Source: Wold, Sjostrom and Eriksson 2001, Chemom. Intell. Lab. Syst. 58:109-130.
    """
    left, outcome = X.copy(), Y.copy()
    size = np.linalg.norm(X) * np.linalg.norm(Y)
    weights, loadings, answers = [], [], []
    found = np.zeros((n_components, X.shape[1], Y.shape[1]))
    for number in range(n_components):
        shared = left.T @ outcome
        if np.linalg.norm(shared) <= _NOTHING_LEFT * size:
            found[number:] = found[number - 1] if number else 0.0
            break
        w = np.linalg.svd(shared, full_matrices=False)[0][:, 0]
        t = left @ w
        length = t @ t
        weights.append(w)
        loadings.append(left.T @ t / length)
        answers.append(outcome.T @ t / length)
        left -= np.outer(t, loadings[-1])
        outcome -= np.outer(t, answers[-1])
        directions, loads = np.column_stack(weights), np.column_stack(loadings)
        found[number] = directions @ np.linalg.solve(loads.T @ directions, np.stack(answers))
    return found


@dataclass(frozen=True)
class CanonicalPair:
    """One direction in each of two tables.

    Parameters
    ----------
    left, right
        Shape ``(feature,)`` and ``(target,)``; scores of training have unit variance.
    """

    left: FloatArray
    right: FloatArray


def canonical_pair(X: FloatArray, Y: FloatArray, shrinkage: float) -> CanonicalPair:
    r"""Return the first pair of directions of canonical analysis with shrunken covariances.

    .. math:: \max_{a, b} a^\top S_{xy} b \;\text{ with }\; a^\top S_x^\tau a = b^\top S_y^\tau b = 1, \quad
        S^\tau = (1 - \tau) S + \tau m I

    with m the mean of the variances of the table's own axes. :math:`\tau = 1` is PLS (largest covariance); towards 0
    it becomes canonical correlation.

    Parameters
    ----------
    X
        Shape ``(subject, feature)``, mean 0, columns orthogonal.
    Y
        Shape ``(subject, target)``, mean 0.
    shrinkage
        :math:`\tau`, above 0 up to 1.

    Source: Vinod 1976, J. Econom. 4:147-166 (canonical ridge); Tenenhaus and Tenenhaus 2011, Psychometrika 76:257-284
    (the form with :math:`\tau`). Scaling :math:`\tau` by m is ours, so that units do not matter.
    """
    n = len(X)
    variances = (X**2).sum(0) / n
    own = (1 - shrinkage) * variances + shrinkage * variances.mean()
    covariance = Y.T @ Y / n
    m = np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * m * np.eye(len(covariance)))
    whiten = vectors / np.sqrt(values) @ vectors.T
    u, _, vt = np.linalg.svd((X.T @ Y / n / np.sqrt(own)[:, None]) @ whiten, full_matrices=False)
    left, right = u[:, 0] / np.sqrt(own), whiten @ vt[0]
    sign = np.sign(right[np.abs(right).argmax()])
    scores, answers = X @ left, Y @ right
    return CanonicalPair(sign * left / scores.std(), sign * right / answers.std())
