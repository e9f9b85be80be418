"""What every edge of a sample adds to its score, by integrated gradients over the projected network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.explain.completeness import completeness_gap
from kotowari.studies.genenet.model.trip.fit import FittedCore
from kotowari.studies.genenet.model.trip.projections import NetworkTensor

__all__ = ["EdgeContributions", "Importance", "Quadrature", "Rule", "contributions_of"]

FloatArray = npt.NDArray[np.float64]
Rule = Literal["legendre", "midpoint"]
Importance = Literal["covariance", "absolute"]

_MOST_POINTS = 1024
# a change below this share of the largest one is rounding
_SMALLEST_CHANGE = 1e-9


@dataclass(frozen=True)
class EdgeContributions:
    r"""Contributions that sum to the change of the score from the reference to the sample.

    Attributes
    ----------
    values
        Shape ``(sample, I1, .., IK)``, or ``(sample, edge)`` for sparse networks; in units of the score.
    change
        :math:`f(X_i) - f(X_\mathrm{ref})`, shape ``(sample,)``.
    gap
        :math:`|\sum_e E_{ie} - \mathrm{change}_i|` relative to the change, shape ``(sample,)``.
    n_points
        Points of the quadrature.
    mode_shape
        ``(I1, .., IK)``.
    edges
        Shape ``(edge, mode)`` for sparse networks, else None.
    reference
        What the samples are compared with, in words.
    """

    values: FloatArray
    change: FloatArray
    gap: FloatArray
    n_points: int
    mode_shape: tuple[int, ...]
    edges: npt.NDArray[np.int64] | None
    reference: str

    def hub_scores(self, mode: int) -> FloatArray:
        """Sum the contributions of every node of a mode over its edges, ``(sample, I_mode)``: rows or columns."""
        if not 0 <= mode < len(self.mode_shape):
            raise InputError(f"hub_scores: mode must lie between 0 and {len(self.mode_shape) - 1}, got {mode}.")
        if self.edges is None:
            others = tuple(axis for axis in range(1, self.values.ndim) if axis != mode + 1)
            total: FloatArray = self.values.sum(others)
            return total
        hubs = np.zeros((self.mode_shape[mode], len(self.values)))
        np.add.at(hubs, self.edges[:, mode], self.values.T)
        return hubs.T

    def importance(self, statistic: Importance = "covariance") -> FloatArray:
        r"""Summarise the samples by one number an edge.

        * covariance: :math:`\mathrm{cov}_i(E_{ie}, \mathrm{change}_i)`. Sums over the edges to the variance of the
          prediction; an edge whose contributions are noise averages out, and one that works against the others is
          negative. Needs two samples or more.
        * absolute: :math:`\mathrm{mean}_i |E_{ie}|`.

        Returns
        -------
        array
            Shape ``(I1, .., IK)`` or ``(edge,)``.
        """
        if statistic == "absolute":
            absolute: FloatArray = np.abs(self.values).mean(0)
            return absolute
        if statistic != "covariance":
            raise InputError(f"importance {statistic!r}: choose covariance or absolute.")
        covariance: FloatArray = np.tensordot(self.change - self.change.mean(), self.values, axes=1) / len(self.change)
        return covariance


class Quadrature(NamedTuple):
    """How the integral over the path is taken: the rule, the first number of points, and when it is exact enough."""

    rule: Rule = "legendre"
    n_points: int = 16
    tol: float = 1e-4


def contributions_of(
    members: Sequence[FittedCore],
    networks: NetworkTensor,
    reference: NetworkTensor,
    output: Tensor,
    quadrature: Quadrature,
) -> tuple[FloatArray, FloatArray, FloatArray, int]:
    r"""Average the contributions of several models.

    .. math:: g_i = \int_0^1 \frac{\partial f}{\partial \bar X}
        \big(\bar X_\mathrm{ref} + s (\bar X_i - \bar X_\mathrm{ref})\big)\,ds, \quad
        E_i = (g_i \times_1 C_1 \dots \times_K C_K) \circ (X_i - X_\mathrm{ref})

    The projection is linear, so the contributions sum to the change up to the error of the quadrature, whose points are
    doubled until the largest relative gap is at most ``quadrature.tol``, or 1024 points are reached.

    Parameters
    ----------
    members
        Models whose scores are averaged.
    networks, reference
        Centred and scaled, float64, on the same edges; the reference has one sample, or as many as the networks.
    output
        Weights that turn the scores of a sample into the explained one, shape ``(n_scores,)``.
    quadrature
        Rule, points and tolerance.

    Returns
    -------
    values, change, gap, n_points
        Shapes ``(sample, edge)``, ``(sample,)``, ``(sample,)``; see :class:`EdgeContributions`.

    Source: Sundararajan, Taly and Yan 2017, ICML (integrated gradients), carried from the core to the edges.
    """
    n_points = quadrature.n_points
    with torch.no_grad():
        pairs = [(m, networks.project(m.projections), reference.project(m.projections)) for m in members]
        changes = [(m.head(core) - m.head(origin)) @ output for m, core, origin in pairs]
    change = torch.stack(changes).mean(0)
    largest = float(change.abs().max()) if len(change) else 0.0
    eps = max(_SMALLEST_CHANGE * largest, np.finfo(np.float64).tiny)
    while True:
        nodes = _nodes(quadrature.rule, n_points)
        cores = [_mean_gradient(m, core, origin, output, nodes) for m, core, origin in pairs]
        # the sum over edges is the inner product in the core, so the gap is known before anything is lifted
        sums = [(g * (core - origin)).flatten(1).sum(1) for g, (_, core, origin) in zip(cores, pairs, strict=True)]
        gap = completeness_gap(torch.stack(sums).mean(0)[:, None], change, eps=eps).numpy()
        if gap.max(initial=0.0) <= quadrature.tol or 2 * n_points > _MOST_POINTS:
            break
        n_points *= 2
    gradient = torch.zeros_like(networks.values)
    for member, core_gradient in zip(members, cores, strict=True):
        gradient += networks.lift(core_gradient, member.projections) / len(members)
    values = gradient * (networks.values - reference.values)
    return values.numpy(), change.numpy(), completeness_gap(values, change, eps=eps).numpy(), n_points


def _mean_gradient(
    member: FittedCore, core: Tensor, origin: Tensor, output: Tensor, nodes: list[tuple[float, float]]
) -> Tensor:
    total = torch.zeros_like(core)
    for node, weight in nodes:
        point = (origin + node * (core - origin)).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad((member.head(point) @ output).sum(), point)
        total += weight * gradient
    return total


def _nodes(rule: Rule, n_points: int) -> list[tuple[float, float]]:
    """Return places in (0, 1) and their weights, which sum to 1."""
    if rule == "midpoint":
        return [((k + 0.5) / n_points, 1 / n_points) for k in range(n_points)]
    places, weights = np.polynomial.legendre.leggauss(n_points)
    halves: Any = zip(((places + 1) / 2).tolist(), (weights / math.fsum(weights)).tolist(), strict=True)
    return list(halves)
