"""Functions of singular values and low rank plus sparse beside the same written with ``torch.linalg.svd``.

``python benchmarks/priors_spectra.py [--quick]`` prints all figures, with one thread. A round runs each method a few
times in a row and takes its CPU time by the call; a ratio is the median over rounds of the ratio of both.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from math import sqrt

import numpy as np
import torch
from torch import Tensor

from harness import Figures
from kotowari.priors.functional.singular_values import nuclear_norm, singular_value_threshold
from kotowari.priors.robust_pca import robust_pca

__all__ = ["low_rank_plus_sparse", "nuclear_gradient", "thresholding", "thresholding_gradient"]

_TOL = 1e-4


def thresholding(quick: bool) -> Figures:
    """Measure ``svt_speedup`` and ``svt_error``: 64 x 65,536, single precision, five values above the threshold.

    ``svt_double_speedup`` is the same in double precision.
    """
    exact, threshold = _low_rank_plus_noise(quick)
    x = exact.float()
    reference = svd_threshold(exact, threshold)
    single = _race(lambda: singular_value_threshold(x, threshold), lambda: svd_threshold(x, threshold), quick)
    double = _race(lambda: singular_value_threshold(exact, threshold), lambda: svd_threshold(exact, threshold), quick)
    return {
        "svt_speedup": single[0],
        "svt_error": _relative(singular_value_threshold(x, threshold), reference),
        "svt_torch_error": _relative(svd_threshold(x, threshold), reference),
        "svt_ms": single[1],
        "svt_torch_ms": single[2],
        "svt_double_speedup": double[0],
        "svt_double_error": _relative(singular_value_threshold(exact, threshold), reference),
    }


def nuclear_gradient(quick: bool) -> Figures:
    """Measure ``nuclear_grad_speedup``: value and gradient of the nuclear norm, 64 x 65,536, single precision."""
    exact, _ = _low_rank_plus_noise(quick)
    x = exact.float()
    u, s, vh = torch.linalg.svd(exact, full_matrices=False)

    def torch_norm(z: Tensor) -> Tensor:
        return torch.linalg.matrix_norm(z, "nuc")

    ratio, ours, theirs = _race(lambda: _with_gradient(nuclear_norm, x), lambda: _with_gradient(torch_norm, x), quick)
    value, gradient = _with_gradient(nuclear_norm, x)
    return {
        "nuclear_grad_speedup": ratio,
        "nuclear_grad_ms": ours,
        "nuclear_grad_torch_ms": theirs,
        "nuclear_value_error": abs(value / float(s.sum()) - 1),
        "nuclear_grad_error": _relative(gradient, u @ vh),
        "nuclear_grad_torch_error": _relative(_with_gradient(torch_norm, x)[1], u @ vh),
    }


def thresholding_gradient(quick: bool) -> Figures:
    """Measure ``svt_grad_speedup`` (64 x 65,536, single) and ``svt_grad_error`` (double, repeated singular values).

    ``svt_grad_torch_finite`` says whether autograd through the SVD gave numbers at an exactly repeated spectrum.
    """
    exact, threshold = _low_rank_plus_noise(quick)
    x = exact.float()
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))

    def ours(z: Tensor) -> Tensor:
        return (singular_value_threshold(z, threshold) * weights).sum()

    def theirs(z: Tensor) -> Tensor:
        return (svd_threshold(z, threshold) * weights).sum()

    ratio, our_ms, torch_ms = _race(lambda: _with_gradient(ours, x), lambda: _with_gradient(theirs, x), quick)
    eye = torch.eye(4, 6, dtype=torch.float64)
    _, at_eye = _with_gradient(lambda z: (svd_threshold(z, 0.5) * weights[:4, :6]).sum(), eye)
    return {
        "svt_grad_speedup": ratio,
        "svt_grad_error": max(_error_on(values, threshold=0.7) for values in _REPEATED),
        "svt_grad_ms": our_ms,
        "svt_grad_torch_ms": torch_ms,
        "svt_grad_torch_finite": bool(at_eye.isfinite().all()),
    }


def low_rank_plus_sparse(quick: bool) -> Figures:
    """Measure ``rpca_speedup``: a video of 64 x 256 x 256 to a residual of 1e-4, single precision.

    The other is the same method with a full SVD in each step; ``rpca_objective_ratio`` is our objective by its.
    """
    frames, side = (16, 48) if quick else (64, 256)
    x = _video(frames, side)
    weight = 1 / sqrt(max(x.shape))
    ratio, ours, theirs = _race(
        lambda: robust_pca(x, weight, _TOL), lambda: inexact_alm(x, weight, _TOL), quick, repeats=1
    )
    outcome = robust_pca(x, weight, _TOL)
    low_rank, sparse, _ = outcome.state
    reference = inexact_alm(x, weight, _TOL)
    return {
        "rpca_speedup": ratio,
        "rpca_ms": ours,
        "rpca_torch_ms": theirs,
        "rpca_steps": outcome.n_steps[0],
        "rpca_residual": _relative(low_rank[0] + sparse[0], x.double()),
        "rpca_torch_residual": _relative(reference[0] + reference[1], x.double()),
        "rpca_objective_ratio": _objective(low_rank[0], sparse[0], weight) / _objective(*reference, weight),
    }


# ---------------------------------------------------------------------------------------------------- the other side


def svd_threshold(x: Tensor, threshold: float) -> Tensor:
    """Threshold singular values by a full SVD."""
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    return (u * (s - threshold).clamp(min=0)) @ vh


def inexact_alm(x: Tensor, weight: float, tol: float) -> tuple[Tensor, Tensor]:
    """Robust PCA by Lin, Chen and Ma's method with a full SVD in each step."""
    top, size = float(torch.linalg.matrix_norm(x, 2)), float(x.norm())
    multiplier = x / max(top, float(x.abs().max()) / weight)
    sparse, penalty = torch.zeros_like(x), 1.25 / top
    for _ in range(500):
        low_rank = svd_threshold(x - sparse + multiplier / penalty, 1 / penalty)
        sparse = torch.nn.functional.softshrink(x - low_rank + multiplier / penalty, weight / penalty)
        residual = x - low_rank - sparse
        multiplier, penalty = multiplier + penalty * residual, 1.5 * penalty
        if float(residual.norm()) < tol * size:
            return low_rank, sparse
    raise RuntimeError("The method with a full SVD did not converge.")


# ------------------------------------------------------------------------------------------------------ data, clocks

_REPEATED = (
    [1.0] * 64,
    [3.0] * 16 + [2.0] * 16 + [1.0] * 16 + [0.3] * 16,
    [3.0, 3.0 - 1e-9, 3.0 - 1e-13] + [1.0] * 30 + [0.5] * 31,
    [3.0] * 4 + [1e-9] * 60,
)


def _low_rank_plus_noise(quick: bool) -> tuple[Tensor, float]:
    """Return a matrix of rank five plus noise, and a threshold between both."""
    m, n = (16, 4096) if quick else (64, 65_536)
    generator = torch.Generator().manual_seed(0)
    left, right, noise = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((m, 5), (5, n), (m, n))
    )
    return left @ right + 0.1 * noise, 60 * sqrt(n / 65_536)


def _video(frames: int, side: int) -> Tensor:
    """Return a smooth background of rank four with moving discs, one frame a row; the numbers of the peers' script."""
    rng = np.random.default_rng(0)
    v, u = np.mgrid[:side, :side] / side
    t = np.arange(frames)[:, None, None]
    background = 1.5 + sum(
        0.5 * np.cos(0.1 * (k + 1) * t + k) * np.sin(2 * np.pi * (a * u + b * v))
        for k, (a, b) in enumerate(((1, 0.5), (2, 1), (0.3, 3)))
    )
    discs = np.zeros((frames, side, side))
    for _ in range(12):
        (x, y), velocity = rng.uniform(0, 1, 2), rng.uniform(-0.012, 0.012, 2)
        radius, level = rng.uniform(0.016, 0.035), rng.uniform(0.5, 1.5) * rng.choice([-1, 1])
        inside = (u - (x + velocity[0] * t) % 1) ** 2 + (v - (y + velocity[1] * t) % 1) ** 2 < radius**2
        discs += level * inside
    return torch.from_numpy((background + discs).reshape(frames, -1)).float()


def _error_on(values: list[float], threshold: float) -> float:
    """Return the relative error of our gradient for a matrix with known factors and these singular values.

    The truth is the derivative of a function of singular values in the known bases: divided differences on the
    symmetric part, ratios of sums on the antisymmetric one.
    """
    m, n = len(values), 4 * len(values)
    generator = torch.Generator().manual_seed(0)
    square, tall, grad = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((m, m), (n, m), (m, n))
    )
    u, v = torch.linalg.qr(square).Q, torch.linalg.qr(tall).Q
    s = torch.tensor(values, dtype=torch.float64)
    f = (s - threshold).clamp(min=0)
    gap = s[:, None] - s
    slope = torch.where(
        (s > threshold) & (s[:, None] > threshold), 1.0, (f[:, None] - f) / torch.where(gap == 0, 1, gap)
    )
    inner = u.T @ grad @ v
    inside = slope * (inner + inner.T) / 2 + (f[:, None] + f) / (s[:, None] + s) * (inner - inner.T) / 2
    outside = (f / s)[:, None] * (u.T @ grad - inner @ v.T)
    truth = u @ (inside @ v.T + outside)
    _, ours = _with_gradient(lambda z: (singular_value_threshold(z, threshold) * grad).sum(), (u * s) @ v.T)
    return _relative(ours, truth)


def _with_gradient(scalar: Callable[[Tensor], Tensor], x: Tensor) -> tuple[float, Tensor]:
    leaf = x.detach().requires_grad_()
    value = scalar(leaf)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.item(), gradient


def _objective(low_rank: Tensor, sparse: Tensor, weight: float) -> float:
    return float(torch.linalg.svdvals(low_rank.double()).sum() + weight * sparse.double().abs().sum())


def _relative(value: Tensor, truth: Tensor) -> float:
    return float((value.double() - truth).norm() / truth.norm())


def _race(
    ours: Callable[[], object], theirs: Callable[[], object], quick: bool, *, repeats: int = 3
) -> tuple[float, float, float]:
    """Return the median ratio of theirs by ours, and both median CPU times of a call in milliseconds."""
    torch.set_num_threads(1)
    ours()
    theirs()
    rounds = [(_timed(ours, repeats), _timed(theirs, repeats)) for _ in range(2 if quick else 7)]
    ratio = statistics.median(other / own for own, other in rounds)
    return ratio, *(1e3 * statistics.median(times) for times in zip(*rounds, strict=True))


def _timed(run: Callable[[], object], repeats: int) -> float:
    begin = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - begin) / repeats


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all runs")
    quick = parser.parse_args().quick
    for measure in (thresholding, nuclear_gradient, thresholding_gradient, low_rank_plus_sparse):
        for key, value in measure(quick).items():
            print(f"{key:<28} {value:.4g}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
