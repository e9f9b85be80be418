"""Logistic and Cox models with a ridge penalty, by Newton's method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logsumexp

from kotowari.core.errors import ConvergenceError

__all__ = ["BinaryLikelihood", "Likelihood", "PenalisedFit", "SurvivalLikelihood", "likelihood_path"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
_HALVINGS = 30


@dataclass(frozen=True)
class PenalisedFit:
    """Weights and intercept of one penalty; the intercept of a Cox model is 0."""

    coef: FloatArray
    intercept: float


class Likelihood(Protocol):
    """Outcomes of some samples, and how badly scores fit them."""

    has_intercept: bool

    def loss(self, scores: FloatArray) -> float:
        """Return the negative log likelihood, summed over samples."""

    def derivatives(self, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return its gradient, ``(sample,)``, and its second derivatives, ``(sample, sample)`` or their diagonal."""

    def rows(self, index: IndexArray) -> Self:
        """Return some of the samples."""

    def held_out_loss(self, scores: FloatArray, train: IndexArray) -> float:
        """Return the loss that the rows outside of ``train`` add, for scores of all rows."""


class BinaryLikelihood:
    """Two classes; the score is the log odds of the second.

    Parameters
    ----------
    codes
        0 or 1, shape ``(sample,)``.
    """

    has_intercept = True

    def __init__(self, codes: FloatArray) -> None:
        self.codes = codes

    def loss(self, scores: FloatArray) -> float:
        """Return the cross-entropy in nats, summed."""
        return float(np.logaddexp(0.0, scores).sum() - self.codes @ scores)

    def derivatives(self, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return gradient and diagonal curvature."""
        share = expit(scores)
        return share - self.codes, share * (1 - share)

    def rows(self, index: IndexArray) -> Self:
        """Return some of the samples."""
        return type(self)(self.codes[index])

    def held_out_loss(self, scores: FloatArray, train: IndexArray) -> float:
        """Return the cross-entropy of the rows outside of ``train``."""
        test = np.setdiff1d(np.arange(len(self.codes)), train)
        return self.rows(test).loss(scores[test])


class SurvivalLikelihood:
    r"""Cox's partial likelihood, ties after Breslow; the score is the log hazard ratio.

    .. math:: -\sum_{i: \text{event}} \Big( f_i - \log \sum_{j: t_j \ge t_i} e^{f_j} \Big)

    Parameters
    ----------
    time
        Time of the event or of the end of observation, shape ``(sample,)``.
    event
        True where the event was seen, shape ``(sample,)``.

    Source: Cox 1972, J. R. Stat. Soc. B 34:187-220; Breslow 1974, Biometrics 30:89-99; held-out loss Verweij and van
    Houwelingen 1993, Stat. Med. 12:2305-2314.
    """

    has_intercept = False

    def __init__(self, time: FloatArray, event: npt.NDArray[np.bool_]) -> None:
        self.time, self.event = time, event
        self._at_risk = time >= time[event][:, None]  # (event, sample)

    def loss(self, scores: FloatArray) -> float:
        """Return the negative log partial likelihood."""
        return float(self._log_totals(scores).sum() - scores[self.event].sum())

    def derivatives(self, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return gradient and full curvature; samples are joined by the risk sets they share."""
        totals = self._log_totals(scores)[:, None]
        share = np.exp(np.where(self._at_risk, scores - totals, -np.inf))
        expected = share.sum(0)
        return expected - self.event, np.diag(expected) - share.T @ share

    def rows(self, index: IndexArray) -> Self:
        """Return some of the samples."""
        return type(self)(self.time[index], self.event[index])

    def held_out_loss(self, scores: FloatArray, train: IndexArray) -> float:
        """Return the loss of all rows less that of ``train``: risk sets of a few rows alone would say little."""
        return self.loss(scores) - self.rows(train).loss(scores[train])

    def _log_totals(self, scores: FloatArray) -> FloatArray:
        if not self.event.any():
            return np.empty(0)
        totals: FloatArray = logsumexp(np.where(self._at_risk, scores, -np.inf), axis=1)
        return totals


def likelihood_path(
    X: FloatArray,
    likelihood: Likelihood,
    weights: Sequence[float] | FloatArray,
    *,
    tol: float = 1e-7,
    max_steps: int = 100,
) -> list[PenalisedFit]:
    r"""Minimise :math:`L(b + X\beta) + \tfrac{\lambda}{2}\|\beta\|^2` for each penalty.

    Fitted from the largest penalty down, each starting where the one before ended; returned in the order asked for.

    Parameters
    ----------
    X
        Shape ``(sample, coordinate)``.
    likelihood
        The outcomes, one a row.
    weights
        Penalties, above 0.
    tol
        Fall of the penalised loss still expected from a Newton step, relative to its size, at which that step is the
        last. Near the end a step squares the error, so far less is left of it.
    max_steps
        Step limit of each penalty.

    Raises
    ------
    ConvergenceError
        When the step limit is reached.
    """
    columns = np.column_stack([np.ones(len(X)), X]) if likelihood.has_intercept else X
    fits: dict[float, PenalisedFit] = {}
    theta = np.zeros(columns.shape[1])
    for weight in sorted({float(weight) for weight in weights}, reverse=True):
        penalty = np.full(columns.shape[1], weight)
        penalty[: int(likelihood.has_intercept)] = 0.0
        theta = _newton(columns, likelihood, penalty, theta, tol=tol, max_steps=max_steps)
        first = int(likelihood.has_intercept)
        fits[weight] = PenalisedFit(theta[first:].copy(), float(theta[0]) if first else 0.0)
    return [fits[float(weight)] for weight in weights]


def _newton(
    X: FloatArray, likelihood: Likelihood, penalty: FloatArray, theta: FloatArray, *, tol: float, max_steps: int
) -> FloatArray:
    def objective(point: FloatArray) -> float:
        return likelihood.loss(X @ point) + 0.5 * float(penalty @ point**2)

    value = objective(theta)
    for _ in range(max_steps):
        slope, bend = likelihood.derivatives(X @ theta)
        gradient = X.T @ slope + penalty * theta
        curvature = X.T @ (bend[:, None] * X if bend.ndim == 1 else bend @ X) + np.diag(penalty)
        curvature[np.diag_indices_from(curvature)] += 1e-12 * (1 + curvature.diagonal().max())
        step = np.linalg.solve(curvature, gradient)
        expected = 0.5 * float(gradient @ step)
        if expected <= tol * (1 + abs(value)):
            polished: FloatArray = theta - step
            return polished
        for halving in range(_HALVINGS):
            trial = theta - step / 2**halving
            reached = objective(trial)
            if reached <= value:
                theta, value = trial, reached
                break
    raise ConvergenceError(f"The penalised likelihood was not settled after {max_steps} Newton steps. Raise max_steps.")
