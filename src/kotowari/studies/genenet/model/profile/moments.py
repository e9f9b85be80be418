"""Weighted means, standard deviations and second moments at every place of the modulator, a few places at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from kotowari.solvers.elastic_net_workspace import compiled

__all__ = ["LocalMoments", "WeightedMoments", "low_rank", "standardise", "subtract_means"]

Floats = npt.NDArray[np.float64]

_CUT = 1e-13  # of the largest weight: what is left out stays far below a gap of 1e-6
_FIRST_RANK = 8
_CONSTANT = 1e-9  # of a gene's variance over all samples
_BASIS_BYTES = 400_000_000
_BLOCK_BYTES = 60_000_000


class LocalMoments(NamedTuple):
    """Weighted moments of regulators and targets at one place; mean 0 and weighted standard deviation 1.

    Attributes
    ----------
    gram
        Correlations of the regulators, shape ``(regulator, regulator)``; 0 for a regulator that is constant there.
    cross
        Correlations of targets with regulators, shape ``(target, regulator)``.
    mean, deviation
        Weighted means and standard deviations, regulators first, shape ``(regulator + target,)``; a deviation of 0
        marks a gene that is constant there.
    """

    gram: Floats
    cross: Floats
    mean: Floats
    deviation: Floats


@dataclass(frozen=True, eq=False)
class WeightedMoments:
    r"""Sums over samples :math:`\sum_i w_{ai} (1, z_i, z_i x_i^T)` for every place a, with z = (x, y).

    Rows of weights of neighbouring places are alike, so that a Gaussian kernel over hundreds of samples has a rank of a
    few dozen to all digits that count: :math:`W = A B`. The sums of all places are then combinations of
    :math:`\sum_i B_{ki} z_i x_i^T`, one for every k. Where these would need too much memory, each place is summed up
    alone; the sums are the same.

    Parameters
    ----------
    regulators
        x, shape ``(sample, regulator)``; mean 0 and standard deviation 1, or thereabouts, lest digits are lost.
    targets
        y, shape ``(sample, target)``, the same.
    weights
        Shape ``(place, sample)``; each row sums to 1.
    """

    regulators: Floats
    targets: Floats
    weights: Floats

    def blocks(self, *, most_bytes: int = _BASIS_BYTES) -> Iterator[tuple[int, Floats]]:
        """Yield place and sums of products, shape ``(regulator + target, regulator)``, place by place.

        The array is written over by the next ones.
        """
        n_regulators, n_genes = self.regulators.shape[1], self.regulators.shape[1] + self.targets.shape[1]
        most_rank = min(len(self.weights) // 2, most_bytes // (n_genes * n_regulators * 8))
        factors = low_rank(self.weights, most_rank=most_rank)
        if factors is None:
            yield from self._one_by_one()
            return
        shares, parts = factors
        basis = np.empty((len(parts), n_genes, n_regulators))
        for part, product in zip(parts, basis, strict=True):
            weighted = self.regulators * part[:, None]
            np.matmul(self.regulators.T, weighted, out=product[:n_regulators])
            np.matmul(self.targets.T, weighted, out=product[n_regulators:])
        flat = basis.reshape(len(parts), -1)
        rows = min(max(1, _BLOCK_BYTES // (flat.shape[1] * 8)), len(shares))
        room = np.empty((rows, flat.shape[1]))
        for first in range(0, len(shares), rows):
            block = np.matmul(shares[first : first + rows], flat, out=room[: len(shares) - first])
            for offset, sums in enumerate(block):
                yield first + offset, sums.reshape(n_genes, n_regulators)

    def _one_by_one(self) -> Iterator[tuple[int, Floats]]:
        n_regulators = self.regulators.shape[1]
        sums = np.empty((n_regulators + self.targets.shape[1], n_regulators))
        for place, weights in enumerate(self.weights):
            near = weights > 1e-18 * weights.max()
            root = np.sqrt(weights[near])[:, None]
            regulators = self.regulators[near] * root
            # a matrix times its own transpose is done at half the price
            sums[:n_regulators] = regulators.T @ regulators
            np.matmul((self.targets[near] * root).T, regulators, out=sums[n_regulators:])
            yield place, sums

    def first(self) -> Floats:
        """Return the sums of the genes, regulators first, shape ``(place, regulator + target)``."""
        return np.hstack([self.weights @ self.regulators, self.weights @ self.targets])

    def squares(self) -> Floats:
        """Return the sums of the squared targets, shape ``(place, target)``."""
        return np.asarray(self.weights @ self.targets**2)

    def among(self, samples: npt.NDArray[np.bool_]) -> Self:
        """Return the moments over some of the samples; the weights stay as they are, so that parts add up."""
        return type(self)(self.regulators[samples], self.targets[samples], self.weights[:, samples])


def low_rank(matrix: Floats, *, most_rank: int) -> tuple[Floats, Floats] | None:
    r"""Return factors of a matrix of small rank, left with orthonormal columns, right with rows of falling norm.

    No entry of the product differs by more than :math:`10^{-13}` times the largest one. None where that takes more than
    ``most_rank``.

    Source: Halko, Martinsson and Tropp 2011, SIAM Review 53, algorithm 4.1, with a fixed draw; the rank is doubled
    until the product is near enough, which is looked at.
    """
    rng, bar = np.random.default_rng(0), _CUT * np.abs(matrix).max(initial=0.0)
    rank = _FIRST_RANK
    while rank <= most_rank:
        left, _ = np.linalg.qr(matrix @ rng.standard_normal((matrix.shape[1], rank)))
        right = left.T @ matrix
        if np.abs(left @ right - matrix).max() <= bar:
            return np.asarray(left), np.asarray(right)
        rank *= 2
    return None


@compiled
def subtract_means(sums: Floats, mean: Floats) -> None:
    """Turn sums of products, rows of weights adding up to 1, into covariances, in place."""
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            sums[i, j] -= mean[i] * mean[j]


def standardise(sums: Floats, first: Floats, squares: Floats, mass: float = 1.0) -> LocalMoments:
    r"""Return correlations from sums, genes centred by the weighted mean and divided by the weighted deviation.

    In this order, and only then are rows weighted by :math:`\sqrt{K}`, as the sums are: rows that are weighted first
    bring the weights' own shape into every gene, and all genes of a mean other than 0 seem to move together.

    Parameters
    ----------
    sums
        Shape ``(regulator + target, regulator)``.
    first
        Shape ``(regulator + target,)``.
    squares
        Shape ``(target,)``.
    mass
        Sum of the weights.

    Source: Shimamura et al. 2011, PLoS ONE 6:e20804, in the order that makes its penalty mean the same for all genes.
    """
    n_regulators = sums.shape[1]
    mean = first / mass
    variance = np.concatenate([np.diagonal(sums[:n_regulators]), squares]) / mass - mean**2
    varies = variance > _CONSTANT
    deviation = np.where(varies, np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    inverse = np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0)
    correlations = np.empty_like(sums)
    _correlate(sums, mean, inverse, mass, correlations)
    return LocalMoments(correlations[:n_regulators], correlations[n_regulators:], mean, deviation)


@compiled
def _correlate(sums: Floats, mean: Floats, inverse: Floats, mass: float, correlations: Floats) -> None:
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            correlations[i, j] = (sums[i, j] / mass - mean[i] * mean[j]) * (inverse[i] * inverse[j])
