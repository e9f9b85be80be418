"""What others would take for the elastic net of every sample and target: one problem, and how answers are judged."""

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import ElasticNet, enet_path

from kotowari.studies.genenet.model.profile.bandwidth import effective_bandwidth

__all__ = ["Coefficients", "Judged", "Problem", "fit_peers", "has_glmnet", "path_peers", "varying_networks"]

Floats = npt.NDArray[np.float64]
Coefficients = dict[tuple[int, int], Floats]  # by sample and target

_L1_SHARE = 0.9


def varying_networks(n_samples: int, n_regulators: int, n_targets: int) -> tuple[Floats, Floats, Floats]:
    """Return regulators, targets and a rising modulator for timing: nothing is judged by what is found in them.

    Regulators come in modules of about ten; each target has 12 of them, with coefficients that swing along a modulator
    of two modes.
    """
    rng = np.random.default_rng(0)
    modulator = np.where(
        rng.random(n_samples) < 0.6, rng.normal(-0.6, 0.45, n_samples), rng.normal(0.9, 0.5, n_samples)
    )
    modulator = np.sort((modulator - modulator.min()) / np.ptp(modulator))
    n_modules = max(2, n_regulators // 10)
    activity = rng.normal(size=(n_samples, n_modules))[:, rng.integers(0, n_modules, n_regulators)]
    X = 0.7 * activity + 0.3 * rng.normal(size=(n_samples, 1)) + 0.65 * rng.normal(size=(n_samples, n_regulators))
    Y = np.empty((n_samples, n_targets))
    for target in range(n_targets):
        active, phase = rng.choice(n_regulators, 12, replace=False), rng.uniform(0, 2 * np.pi, 12)
        swing = rng.normal(size=12) * (1 + np.sin(2 * np.pi * modulator[:, None] + phase)) / 2
        signal = (X[:, active] * swing).sum(1)
        Y[:, target] = signal + 0.8 * signal.std() * rng.normal(size=n_samples)
    return (X - X.mean(0)) / X.std(0), (Y - Y.mean(0)) / Y.std(0), modulator


class Judged(NamedTuple):
    """Penalised objective and what no coefficients can go below."""

    primal: Floats
    dual: Floats


@dataclass(frozen=True, eq=False)
class Problem:
    """Weighted elastic nets with one penalty for all, so that peers with one penalty solve the same."""

    X: Floats
    Y: Floats
    weights: Floats
    l1: float
    l2: float

    @classmethod
    def made(cls, *, quick: bool, share: float) -> "Problem":
        """Make 762 samples x 200 regulators x 100 targets with a median of 150 effective samples.

        The penalty is a share of the median, over 16 samples and all targets, of the one that makes all coefficients 0.
        """
        n_samples, n_regulators, n_targets, effective = (90, 30, 6, 30) if quick else (762, 200, 100, 150)
        X, Y, modulator = varying_networks(n_samples, n_regulators, n_targets)
        axis = modulator[:, None]
        weights = effective_bandwidth(axis, effective).weights(axis, axis)
        weights /= weights.sum(1, keepdims=True)
        rows = weights[np.linspace(0, n_samples - 1, 16).astype(int)]
        largest = np.median([np.abs((X - w @ X).T @ (w[:, None] * (Y - w @ Y))).max(0) for w in rows]) / _L1_SHARE
        return cls(X, Y, weights, share * largest * _L1_SHARE, share * largest * (1 - _L1_SHARE))

    def judged(self, row: int, coefficients: Floats, l1: Any, l2: Any, targets: Any = slice(None)) -> Judged:
        """Return objective and dual value from the data themselves, for coefficients ``(target, regulator)``."""
        w = self.weights[row]
        x, y = self.X - w @ self.X, self.Y[:, targets] - w @ self.Y[:, targets]
        rest = y - x @ coefficients.T
        steepest = np.abs(x.T @ (w[:, None] * rest) - l2 * coefficients.T).max(0)
        smooth, inner = w @ rest**2 + l2 * (coefficients**2).sum(1), w @ (y * rest)
        scale = np.minimum(np.maximum(inner / smooth, 0), l1 / steepest)
        return Judged(0.5 * smooth + l1 * np.abs(coefficients).sum(1), scale * inner - 0.5 * scale**2 * smooth)

    def certified_gaps(self, row: int, coefficients: Floats, l1: Any, l2: Any) -> Floats:
        """Return relative gaps of all targets of a sample, by the dual value at their own coefficients."""
        judged = self.judged(row, coefficients, l1, l2)
        return np.asarray((judged.primal - judged.dual) / judged.dual)

    def excess(self, coefficients: Coefficients, l1: float, l2: float) -> float:
        """Return the largest relative excess of the objective over the dual value of a much more accurate solution."""
        worst = 0.0
        for (row, target), b in coefficients.items():
            bound = self.judged(row, self._accurate(row, target, l1, l2)[None], l1, l2, [target]).dual[0]
            worst = max(worst, float((self.judged(row, b[None], l1, l2, [target]).primal[0] - bound) / bound))
        return worst

    def path_excess(self, falls: Floats) -> Callable[[Coefficients], float]:
        """Return the same for paths, looked at a third of the way and at their end."""
        steps = (len(falls) // 3, len(falls) - 1)

        def worst(coefficients: Coefficients) -> float:
            return max(
                self.excess(
                    {pair: b[step] for pair, b in coefficients.items()}, falls[step] * self.l1, falls[step] * self.l2
                )
                for step in steps
            )

        return worst

    def scaled(self, row: int, target: int) -> tuple[Floats, Floats]:
        """Return rows centred and multiplied by the root of their weight: plain solvers then see the same problem."""
        w = self.weights[row]
        root = np.sqrt(len(w) * w)
        x, y = (self.X - w @ self.X) * root[:, None], (self.Y[:, target] - w @ self.Y[:, target]) * root
        return np.asfortranarray(x), y

    def _accurate(self, row: int, target: int, l1: float, l2: float) -> Floats:
        model = ElasticNet(alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), fit_intercept=False, tol=1e-13, max_iter=10**6)
        b: Floats = model.fit(*self.scaled(row, target)).coef_
        return b


def path_peers() -> dict[str, Any]:
    """Return what makes a solver of paths from a problem and the falls of the penalty."""
    found = {"sklearn": _sklearn_path, "shared_gram": _shared_gram_path}
    return found | ({"glmnet": _glmnet_path} if has_glmnet() else {})


def fit_peers(quick: bool) -> dict[str, tuple[Any, str]]:
    """Return what makes a solver from a problem, and whether it takes single fits or whole rows."""
    found = {
        "loop": (_sklearn_loop, "pairs"),
        "multitarget": (_sklearn_multi_target, "rows"),
        "shared_gram": (_sklearn_shared_gram, "rows"),
    }
    if not quick and find_spec("celer"):
        found["celer"] = (_celer_loop, "pairs")
    if not quick and find_spec("skglm"):
        found["skglm"] = (_skglm_loop, "pairs")
    if has_glmnet():
        found["glmnet"] = (_glmnet_loop, "pairs")
    return found


def _timed(
    solve: Callable[[Sequence[tuple[int, int]]], Coefficients],
) -> Callable[[Sequence[tuple[int, int]]], tuple[Coefficients, float]]:
    def run(pairs: Sequence[tuple[int, int]]) -> tuple[Coefficients, float]:
        begin = time.process_time()
        found = solve(pairs)
        return found, time.process_time() - begin

    return run


def _each(fit: Callable[[int, int], Floats]) -> Any:
    return _timed(lambda pairs: {(row, target): fit(row, target) for row, target in pairs})


def _sklearn_loop(p: Problem) -> Any:
    def make(tol: float) -> Any:
        model = ElasticNet(alpha=p.l1 + p.l2, l1_ratio=_L1_SHARE, tol=tol, max_iter=10**5)
        return _each(lambda a, k: model.fit(p.X, p.Y[:, k], sample_weight=p.weights[a] * len(p.X)).coef_.copy())

    return make


def _sklearn_multi_target(p: Problem) -> Any:
    """All targets of a sample in one call, on one Gram matrix."""

    def make(tol: float) -> Any:
        model = ElasticNet(alpha=p.l1 + p.l2, l1_ratio=_L1_SHARE, tol=tol, max_iter=10**5, precompute=True)

        def solve(pairs: Sequence[tuple[int, int]]) -> Coefficients:
            found: Coefficients = {}
            for row in dict.fromkeys(row for row, _ in pairs):
                model.fit(p.X, p.Y, sample_weight=p.weights[row] * len(p.X))
                found |= {(row, target): b.copy() for target, b in enumerate(model.coef_)}
            return found

        return _timed(solve)

    return make


def _sklearn_shared_gram(p: Problem) -> Any:
    """Share one Gram matrix a sample, one call a target: what can be written on scikit-learn's public face."""

    def make(tol: float) -> Any:
        def solve(pairs: Sequence[tuple[int, int]]) -> Coefficients:
            paths = _gram_paths(p, pairs, np.ones(1), tol)
            return {pair: b[0] for pair, b in paths.items()}

        return _timed(solve)

    return make


def _gram_paths(p: Problem, pairs: Sequence[tuple[int, int]], falls: Floats, tol: float) -> Coefficients:
    found: Coefficients = {}
    alphas = falls * (p.l1 + p.l2)
    for row in dict.fromkeys(row for row, _ in pairs):
        targets = [target for own, target in pairs if own == row]
        w = p.weights[row]
        root = np.sqrt(len(w) * w)[:, None]
        x = np.asfortranarray((p.X - w @ p.X) * root)
        ys = (p.Y[:, targets] - w @ p.Y[:, targets]) * root
        gram, cross = x.T @ x, x.T @ ys
        for place, target in enumerate(targets):
            path = enet_path(
                x,
                np.ascontiguousarray(ys[:, place]),
                l1_ratio=_L1_SHARE,
                alphas=alphas,
                precompute=gram,
                Xy=np.ascontiguousarray(cross[:, place]),
                tol=tol,
                max_iter=10**5,
            )
            found[row, target] = path[1].T
    return found


def _celer_loop(p: Problem) -> Any:
    import celer

    def make(tol: float) -> Any:
        model = celer.ElasticNet(alpha=p.l1 + p.l2, l1_ratio=_L1_SHARE, tol=tol, fit_intercept=False, max_iter=200)
        return _each(lambda a, k: model.fit(*p.scaled(a, k)).coef_.copy())

    return make


def _skglm_loop(p: Problem) -> Any:
    from skglm import GeneralizedLinearEstimator
    from skglm.datafits import Quadratic
    from skglm.penalties import L1_plus_L2
    from skglm.solvers import AndersonCD

    def make(tol: float) -> Any:
        solver = AndersonCD(tol=tol, fit_intercept=False, max_iter=500)
        model = GeneralizedLinearEstimator(Quadratic(), L1_plus_L2(p.l1 + p.l2, _L1_SHARE), solver)
        return _each(lambda a, k: model.fit(*p.scaled(a, k)).coef_.copy())

    return make


def _sklearn_path(p: Problem, falls: Floats) -> Any:
    def make(tol: float) -> Any:
        options = {"l1_ratio": _L1_SHARE, "alphas": falls * (p.l1 + p.l2), "precompute": True, "tol": tol}
        return _each(lambda a, k: enet_path(*p.scaled(a, k), max_iter=10**5, **options)[1].T)

    return make


def _shared_gram_path(p: Problem, falls: Floats) -> Any:
    return lambda tol: _timed(lambda pairs: _gram_paths(p, pairs, falls, tol))


# ---------------------------------------------------------------------------------------------------------- R's glmnet

_R = """
suppressMessages(library(glmnet))
size <- scan("size.txt", quiet = TRUE)
read <- function(name, nrow, ncol) matrix(readBin(name, "double", nrow * ncol), nrow, ncol)
X <- read("X", size[1], size[2]); Y <- read("Y", size[1], size[3]); W <- read("W", size[1], size[3])
falls <- read("falls", size[4], 1)[, 1]
# glmnet counts its ridge part in units of the deviation of y, so y is given with weighted deviation 1
one <- function(k) {
  w <- W[, k]; y <- Y[, k]; s <- sqrt(sum(w * (y - sum(w * y))^2))
  total <- size[5] / s + size[6]
  found <- glmnet(X, y / s, weights = w * size[1], alpha = size[5] / s / total, lambda = total * falls,
                  standardize = FALSE, thresh = THRESHOLD, maxit = 1e7)
  as.numeric(found$beta) * s
}
one(1)
spent <- system.time(B <- sapply(seq_len(size[3]), one))
writeBin(as.numeric(B), "B")
cat(spent[["user.self"]] + spent[["sys.self"]])
"""


@cache
def has_glmnet() -> bool:
    """Return whether R is there with glmnet."""
    if shutil.which("Rscript") is None:
        return False
    return subprocess.run(["Rscript", "-e", "library(glmnet)"], capture_output=True, check=False).returncode == 0  # noqa: S607


def _glmnet_loop(p: Problem) -> Any:
    def make(threshold: float) -> Any:
        def solve(pairs: Sequence[tuple[int, int]]) -> tuple[Coefficients, float]:
            paths, seconds = _in_r(p, pairs, np.ones(1), threshold)
            return {pair: b[0] for pair, b in paths.items()}, seconds

        return solve

    return make


def _glmnet_path(p: Problem, falls: Floats) -> Any:
    return lambda threshold: lambda pairs: _in_r(p, pairs, falls, threshold)


def _in_r(p: Problem, pairs: Sequence[tuple[int, int]], falls: Floats, threshold: float) -> tuple[Coefficients, float]:
    """Run glmnet once a pair; it times itself after reading, and its first call is not counted."""
    (n_samples, n_regulators), n = p.X.shape, len(pairs)
    arrays = {
        "X": p.X,
        "Y": p.Y[:, [target for _, target in pairs]],
        "W": p.weights[[row for row, _ in pairs]].T,
        "falls": falls,
    }
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "size.txt").write_text(f"{n_samples} {n_regulators} {n} {len(falls)} {p.l1:.17g} {p.l2:.17g}")
        for key, array in arrays.items():
            array.ravel(order="F").tofile(folder / key)
        command = ["Rscript", "-e", _R.replace("THRESHOLD", f"{threshold:g}")]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        found = np.fromfile(folder / "B").reshape(n, len(falls), n_regulators)
    return dict(zip(pairs, found, strict=True)), float(done.stdout.split()[-1])
