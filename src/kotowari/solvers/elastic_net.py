"""Elastic nets of many targets on one matrix of second moments, each with its duality gap."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.solvers.elastic_net_kernel import follow_paths
from kotowari.solvers.elastic_net_workspace import GAP, Floats, Rule, workspace

__all__ = ["elastic_net", "elastic_net_path"]

# what the kernel takes; for any other kind of array it would be compiled once more
_KIND: tuple[Literal["C"], Literal["W"]] = ("C", "W")


def elastic_net(
    gram: npt.ArrayLike,
    cross: npt.ArrayLike,
    square: npt.ArrayLike,
    l1: npt.ArrayLike,
    l2: npt.ArrayLike,
    *,
    penalty_factors: npt.ArrayLike | None = None,
    start: npt.ArrayLike | None = None,
    tol: float = 1e-6,
    max_steps: int = 100,
) -> tuple[Floats, Floats]:
    r"""Return the coefficients of every target, and how far each may be from the optimum.

    .. math::
        \min_b\ \tfrac12 s - c^T b + \tfrac12 b^T G b + \lambda_1 \sum_j f_j |b_j| + \tfrac{\lambda_2}{2} \|b\|^2

    With weights :math:`w_i` of samples, :math:`G = \sum_i w_i x_i x_i^T`, :math:`c = \sum_i w_i x_i y_i` and
    :math:`s = \sum_i w_i y_i^2`, the first three terms are :math:`\tfrac12 \sum_i w_i (y_i - x_i^T b)^2`.
    Centre x and y by their weighted means for a free intercept.

    Sweeps of coordinate descent over a working set find the signs; a Newton step, by a Cholesky factor that is kept
    and extended, then lands on the minimum at these signs. Regulators that depend on each other (G singular, also at
    :math:`\lambda_2 = 0`) are moved along the direction in which the fit stays, until one of them is 0.

    Parameters
    ----------
    gram
        G, shape ``(regulator, regulator)``, symmetric positive semi-definite, shared by all targets.
    cross
        c, shape ``(target, regulator)``.
    square
        s, shape ``(target,)``, 0 or more.
    l1
        Above 0; one number, or shape ``(target,)``.
    l2
        0 or more; one number, or shape ``(target,)``.
    penalty_factors
        f, above 0, infinite to exclude a regulator; shape ``(regulator,)`` or ``(target, regulator)``; 1 without it.
    start
        Where to start, shape ``(target, regulator)``; 0 without it. Solutions of like problems save time.
    tol
        Bar for the relative duality gap, above 0.
    max_steps
        Most times that the working set is chosen.

    Returns
    -------
    tuple
        Coefficients, shape ``(target, regulator)``; and gaps, shape ``(target,)``: (value - bound) / value, where no
        coefficients can have a value below the bound. A gap above ``tol`` marks a target that was given up.

    Raises
    ------
    ShapeError, InputError
        When shapes disagree, a value is not finite, or a penalty is out of its range.

    Source: Zou and Hastie 2005, J. R. Stat. Soc. B 67, eq. 3 (model); Friedman, Hastie and Tibshirani 2010, J. Stat.
    Softw. 33(1), section 2.2 (descent on second moments); Lee, Battle, Raina and Ng 2006, NIPS 19, section 3
    (feature-sign steps). How they are joined, the kept factor and the flat directions are our own.

    Examples
    --------
    >>> coefficients, gaps = elastic_net([[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.2]], [2.0], 0.1, 0.0)
    >>> coefficients.round(3).tolist(), bool(gaps.max() <= 1e-6)
    ([[1.0, -0.2]], True)
    """
    moments = _moments(gram, cross, square)
    n_targets, n_regulators = moments[1].shape
    factors = _factors(penalty_factors, n_targets, n_regulators)
    penalties = _penalty(l1, "l1", (n_targets,)), _penalty(l2, "l2", (n_targets,))
    coefficients = np.zeros(moments[1].shape) if start is None else _array(start, "start", moments[1].shape).copy()
    if start is not None:
        coefficients[np.broadcast_to(np.isinf(factors), coefficients.shape)] = 0.0
    paths = coefficients[:, None]
    gaps = _followed(moments, (penalties[0][:, None], penalties[1][:, None], factors), _rule(tol, max_steps), paths)
    return coefficients, gaps[:, 0]


def elastic_net_path(
    gram: npt.ArrayLike,
    cross: npt.ArrayLike,
    square: npt.ArrayLike,
    l1: npt.ArrayLike,
    l2: npt.ArrayLike,
    *,
    penalty_factors: npt.ArrayLike | None = None,
    tol: float = 1e-6,
    max_steps: int = 100,
) -> tuple[Floats, Floats]:
    """Return the coefficients of every target at a row of penalties, each started from the one before.

    Parameters
    ----------
    gram, cross, square, penalty_factors, tol, max_steps
        As in :func:`elastic_net`.
    l1
        Above 0, best falling; shape ``(penalty,)`` or ``(target, penalty)``.
    l2
        0 or more; one number, or shape ``(penalty,)`` or ``(target, penalty)``. Equal neighbours save time.

    Returns
    -------
    tuple
        Coefficients, shape ``(target, penalty, regulator)``, and relative duality gaps, shape ``(target, penalty)``.

    Raises
    ------
    ShapeError, InputError
        As in :func:`elastic_net`.
    """
    moments = _moments(gram, cross, square)
    n_targets, n_regulators = moments[1].shape
    factors = _factors(penalty_factors, n_targets, n_regulators)
    shape = n_targets, np.shape(l1)[-1] if np.ndim(l1) else 1
    penalties = _penalty(l1, "l1", shape), _penalty(l2, "l2", shape)
    coefficients = np.empty((*shape, n_regulators))
    coefficients[:, 0] = 0.0
    return coefficients, _followed(moments, (*penalties, factors), _rule(tol, max_steps), coefficients)


def _followed(
    moments: tuple[Floats, Floats, Floats], penalties: tuple[Floats, Floats, Floats], rule: Rule, paths: Floats
) -> Floats:
    """Write the paths; return their gaps."""
    statistics = np.empty((*paths.shape[:2], 3))
    follow_paths(moments, penalties, rule, paths, statistics, workspace(paths.shape[2]))
    return statistics[:, :, GAP]


def _moments(gram: npt.ArrayLike, cross: npt.ArrayLike, square: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    correlations = np.asarray(cross, dtype=np.float64)
    if correlations.ndim != 2:
        raise ShapeError.mismatch("elastic_net", "cross", ("target", "regulator"), correlations.shape)
    n_targets, n_regulators = correlations.shape
    squares = _array(square, "square", (n_targets,))
    if (squares < 0).any():
        raise InputError(
            f"elastic_net: square must be 0 or more, got {squares.min():.3g} at target {squares.argmin()}."
        )
    return (
        _array(gram, "gram", (n_regulators, n_regulators)),
        _array(correlations, "cross", correlations.shape),
        squares,
    )


def _array(values: npt.ArrayLike, what: str, shape: tuple[int, ...]) -> Floats:
    array = np.require(values, np.float64, _KIND)
    if array.shape != shape:
        raise ShapeError.mismatch("elastic_net", what, shape, array.shape)
    if not np.isfinite(array).all():
        raise InputError(f"elastic_net: {what} has {int((~np.isfinite(array)).sum())} values that are not finite.")
    return array


def _penalty(values: npt.ArrayLike, what: str, shape: tuple[int, ...]) -> Floats:
    given = np.asarray(values, dtype=np.float64)
    if given.ndim > len(shape) or given.shape not in {(), shape, shape[-1:]}:
        raise ShapeError.mismatch("elastic_net", what, shape, given.shape)
    allowed = given > 0 if what == "l1" else given >= 0
    if not (allowed & np.isfinite(given)).all():
        raise InputError(f"elastic_net: {what} must be finite and {'above 0' if what == 'l1' else '0 or more'}.")
    return np.require(np.broadcast_to(given, shape), np.float64, _KIND)


def _factors(values: npt.ArrayLike | None, n_targets: int, n_regulators: int) -> Floats:
    """Return shape ``(1, regulator)`` or ``(target, regulator)``."""
    if values is None:
        return np.ones((1, n_regulators))
    factors = np.atleast_2d(np.require(values, np.float64, _KIND))
    if factors.shape not in {(1, n_regulators), (n_targets, n_regulators)}:
        raise ShapeError.mismatch("elastic_net", "penalty_factors", (n_targets, n_regulators), factors.shape)
    if not (factors > 0).all():
        raise InputError("elastic_net: penalty_factors must be above 0; infinite ones exclude a regulator.")
    return factors


def _rule(tol: float, max_steps: int) -> Rule:
    if not tol > 0 or max_steps < 1:
        raise InputError(f"elastic_net: tol must be above 0 and max_steps 1 or more, got {tol} and {max_steps}.")
    return Rule(float(tol), int(max_steps), counts_df=False, most_df=np.inf)
