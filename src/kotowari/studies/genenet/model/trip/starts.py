"""First projections, from what the networks are, or from what in them goes with the response."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.studies.genenet.model.trip.projections import NetworkTensor, complete_basis, hosvd
from kotowari.studies.genenet.model.trip.responses import Response
from kotowari.studies.genenet.model.trip.stiefel import orthonormal_columns

__all__ = ["STARTS", "Part", "hosvd_start", "kernel_start", "pls_start", "random_start"]

_N_SCORES = (8, 20)
_WIDTHS = (2.0, 8.0)
_RIDGES = torch.logspace(-4, 1, 11, dtype=torch.float64)
_ROUNDS = 3
_LEAST_SUPERVISED = 2
_SMALLEST_EIGENVALUE = 1e-10


class Part(NamedTuple):
    """Networks and responses of the same samples."""

    networks: NetworkTensor
    response: Response


def hosvd_start(learned: Part, _held: Part | None, core_shape: Sequence[int], _rng: torch.Generator) -> list[Tensor]:
    """Keep as much of the networks as one step can: :func:`hosvd`; blind to the response."""
    return hosvd(learned.networks, core_shape)


def random_start(learned: Part, _held: Part | None, core_shape: Sequence[int], rng: torch.Generator) -> list[Tensor]:
    """Draw subspaces uniformly."""
    lengths = zip(learned.networks.mode_shape, core_shape, strict=True)
    drawn = [torch.randn(length, n, generator=rng, dtype=torch.float64) for length, n in lengths]
    return [orthonormal_columns(a).to(learned.networks.values) for a in drawn]


def pls_start(learned: Part, _held: Part | None, core_shape: Sequence[int], _rng: torch.Generator) -> list[Tensor]:
    r"""Follow the covariance with the response, :math:`\sum_i (y_i - \bar y) X_i`.

    Half of the columns, two at least, are leading singular vectors of that tensor (of those of all scores together
    where there are several); the rest is completed from the HOSVD of the networks.
    """
    covariance = learned.networks.combined(learned.response.residuals().T)
    leading = [min(n, max(_LEAST_SUPERVISED, math.ceil(n / 2))) for n in core_shape]
    pairs = zip(hosvd(covariance, leading), hosvd(learned.networks, core_shape), core_shape, strict=True)
    return [complete_basis(first, fallback, n) for first, fallback, n in pairs]


def kernel_start(learned: Part, held: Part | None, core_shape: Sequence[int], _rng: torch.Generator) -> list[Tensor]:
    r"""Follow the gradients of a kernel ridge regression, which sees interactions that covariances cannot.

    The networks are brought to whitened principal component scores s. A Gaussian kernel ridge regression of the
    residuals is fitted, the mean outer product of its gradients becomes the metric of the next round, and so on; ridge,
    width, number of scores and round are those with the smallest error on the held-out samples (on the learned samples
    by leave-one-out in the first round, where nothing is held out). The weighted gradient directions, as networks, give
    the projections by their HOSVD.

    Source: our own use of the recursion of Radhakrishnan et al. 2024, Science 383:1461-1467 (recursive feature
    machines), here as a start alone.
    """
    gram = learned.networks.gram(learned.networks)
    cross = None if held is None else held.networks.gram(learned.networks)
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0), vectors.flip(1)
    n_sound = int((values > _SMALLEST_EIGENVALUE * values[0]).sum())
    best: _Fit | None = None
    for n_scores in sorted({min(n, n_sound) for n in _N_SCORES}):
        # scores are gram @ to_scores: unit variance on the learned samples, and the same map for held-out samples
        to_scores = vectors[:, :n_scores] / values[:n_scores] * math.sqrt(len(gram))
        scores = _Scores(gram @ to_scores, None if cross is None else cross @ to_scores)
        for fit in _recursion(scores, learned.response, None if held is None else held.response):
            if best is None or fit.error < best.error:
                best = fit._replace(directions=to_scores @ fit.directions)
    if best is None:
        return hosvd(learned.networks, core_shape)
    return hosvd(learned.networks.combined(best.directions.T), core_shape)


STARTS: Mapping[str, Callable[[Part, Part | None, Sequence[int], torch.Generator], list[Tensor]]] = {
    "hosvd": hosvd_start,
    "pls": pls_start,
    "kernel": kernel_start,
    "random": random_start,
}


class _Scores(NamedTuple):
    learned: Tensor
    held: Tensor | None


class _Fit(NamedTuple):
    error: float
    directions: Tensor


def _recursion(scores: _Scores, response: Response, held: Response | None) -> list[_Fit]:
    """Return the gradient directions after every round, shape ``(score, score)``, columns weighted."""
    target = response.residuals().double()
    held_target = None if held is None else held.residuals(response.baseline()).double()
    metric = torch.eye(scores.learned.shape[1], dtype=torch.float64, device=target.device)
    fits: list[_Fit] = []
    for _ in range(_ROUNDS if held is not None else 1):
        error, gradients = _ridge(scores, metric, target, held_target)
        values, vectors = torch.linalg.eigh(gradients.T @ gradients / len(gradients))
        directions = vectors * values.clamp_min(0).sqrt()
        fits.append(_Fit(error, directions))
        size = directions.square().sum().sqrt()
        if not size > 0:
            break
        metric = directions @ vectors.T * (math.sqrt(len(metric)) / size)
    return fits


def _ridge(scores: _Scores, metric: Tensor, target: Tensor, held_target: Tensor | None) -> tuple[float, Tensor]:
    """Fit all widths and ridges; return the smallest error and that fit's gradients, ``(sample x score, score)``."""
    moved = scores.learned @ metric
    distance = torch.cdist(moved, moved).square()
    held_distance = None if scores.held is None else torch.cdist(scores.held @ metric, moved).square()
    spread = float(moved.var(0).sum())
    best_error, best = math.inf, (distance, target, 1.0)
    for width in _WIDTHS:
        h = 2 * width * spread
        kernel = torch.exp(-distance / h)
        values, vectors = torch.linalg.eigh(kernel)
        turned = vectors.T @ target
        for ridge in _RIDGES.tolist():
            inverse = 1 / (values.clamp_min(0) + ridge)
            alpha = vectors @ (inverse[:, None] * turned)
            if held_distance is None or held_target is None:
                errors = alpha / (vectors.square() @ inverse)[:, None]
            else:
                errors = torch.exp(-held_distance / h) @ alpha - held_target
            error = float(errors.square().mean())
            if error < best_error:
                best_error, best = error, (kernel, alpha, h)
    kernel, alpha, h = best
    gradients = []
    for column in alpha.T:
        pull = kernel * column
        gradients.append((-2 / h) * (pull.sum(1, keepdim=True) * moved - pull @ moved) @ metric.T)
    return best_error, torch.cat(gradients)
