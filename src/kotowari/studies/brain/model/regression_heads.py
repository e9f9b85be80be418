"""Linear models on coordinates, each with its own choice of penalty inside the training rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.core.seeds import derive_seed
from kotowari.solvers.likelihood_ridge import (
    BinaryLikelihood,
    Likelihood,
    SurvivalLikelihood,
    likelihood_path,
)
from kotowari.studies.brain.model.coordinates import GramCoordinates
from kotowari.studies.brain.model.partial_least_squares import canonical_pair, partial_least_squares
from kotowari.studies.brain.model.ridge_path import RidgePath
from kotowari.studies.brain.model.target_coding import TargetKind
from kotowari.trust.folds import grouped_folds

__all__ = ["Head", "HeadOptions", "Inner", "Method", "fit_heads"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Split = tuple[IndexArray, IndexArray]
Method = Literal["ridge", "linear", "pls", "cca"]
Inner = Literal["auto", "generalised"] | int

_INNER_FOLDS = 5
_METHODS: dict[TargetKind, tuple[Method, ...]] = {
    "number": ("ridge", "linear", "pls"),
    "class": ("ridge",),
    "survival": ("ridge",),
    "several": ("pls", "cca"),
}
_SHRINKAGES = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
_LIKELIHOOD_GRID = np.logspace(-3, 4, 8)  # each penalty costs several Newton steps, unlike those of ridge on numbers


@dataclass(frozen=True)
class HeadOptions:
    """How a head is fitted; see :class:`LatentRegression`."""

    method: Method
    kind: TargetKind
    inner: Inner = "auto"
    weights: tuple[float, ...] | None = None
    max_components: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in _METHODS[self.kind]:
            raise InputError(
                f"The method {self.method!r} cannot learn a target of the kind {self.kind!r}. It can be: "
                f"{', '.join(_METHODS[self.kind])}."
            )
        whole = isinstance(self.inner, int | np.integer) and self.inner >= 2
        if not whole and self.inner not in {"auto", "generalised"}:
            raise InputError(f"inner must be 'auto', 'generalised' or 2 or more folds, got {self.inner!r}.")
        if self.inner == "generalised" and (self.kind, self.method) != ("number", "ridge"):
            raise InputError("Generalised cross-validation is there for ridge on numbers only. Use inner='auto'.")
        if self.max_components < 1:
            raise InputError(f"max_components must be 1 or more, got {self.max_components}.")


@dataclass(frozen=True)
class Head:
    """A linear score of coordinates.

    Parameters
    ----------
    coef, intercept
        Shape ``(coordinate,)``, and one number.
    choice
        The penalty, number of components or shrinkage that was chosen; 0 where there was no choice.
    right, right_centre
        Weights on several targets and their means, shape ``(target,)``; None for one target.
    """

    coef: FloatArray
    intercept: float
    choice: float
    right: FloatArray | None = None
    right_centre: FloatArray | None = None

    def scores(self, coordinates: FloatArray) -> FloatArray:
        """``(subject, coordinate) -> (subject,)``."""
        found: FloatArray = coordinates @ self.coef + self.intercept
        return found


def fit_heads(
    axes: GramCoordinates,
    outcomes: Sequence[FloatArray],
    options: HeadOptions,
    groups: npt.NDArray[np.generic] | None = None,
) -> list[Head]:
    """Fit one head to each outcome on the same coordinates.

    Inner folds share the preparation of the training rows, which saw no target; only what sees the target is fitted
    anew in them.

    Parameters
    ----------
    axes
        Of the training rows.
    outcomes
        Each as from :func:`kotowari.studies.brain.model.target_coding.checked_target`.
    options
        Method and choice.
    groups
        Owner of each row, which inner folds do not tear apart.
    """
    if options.kind == "number" and options.method == "ridge":
        return _ridge(axes, np.column_stack(outcomes), options, groups)
    return [_SINGLE[options.kind, options.method](axes, outcome, options, groups) for outcome in outcomes]


def _ridge(
    axes: GramCoordinates, Y: FloatArray, options: HeadOptions, groups: npt.NDArray[np.generic] | None
) -> list[Head]:
    blocks = groups
    if isinstance(options.inner, int):
        blocks = _parts(len(Y), groups, options)
    path = RidgePath(axes.coordinates, axes.eigenvalues, blocks=blocks)
    generalised = options.inner == "generalised"
    fit = path.fit(Y, weights=options.weights, criterion="generalised" if generalised else "left out")
    columns = zip(fit.coef.T, fit.intercept, fit.weight, strict=True)
    return [Head(coef.copy(), float(intercept), float(weight)) for coef, intercept, weight in columns]


def _linear(axes: GramCoordinates, y: FloatArray, *_: object) -> Head:
    return Head(axes.coordinates.T @ (y - y.mean()) / axes.eigenvalues, float(y.mean()), 0.0)


def _pls(axes: GramCoordinates, y: FloatArray, options: HeadOptions, groups: npt.NDArray[np.generic] | None) -> Head:
    X, Y = axes.coordinates, y[:, None]
    splits = _splits(y, groups, options, continuous=True)
    n_components = min(options.max_components, X.shape[1], *(len(train) - 1 for train, _ in splits))

    def errors(train: IndexArray, test: IndexArray) -> FloatArray:
        centre, level = X[train].mean(0), Y[train].mean(0)
        coefs = partial_least_squares(X[train] - centre, Y[train] - level, n_components)
        said = (X[test] - centre) @ coefs[:, :, 0].T + level
        total: FloatArray = ((Y[test] - said) ** 2).sum(0)
        return total

    best = int(np.sum([errors(*split) for split in splits], axis=0).argmin())
    coef = partial_least_squares(X, Y - Y.mean(0), best + 1)[best, :, 0]
    return Head(coef, float(y.mean()), float(best + 1))


def _penalised(make: Callable[[FloatArray], Likelihood], strata: Callable[[FloatArray], FloatArray]) -> "_SingleHead":
    def fit(axes: GramCoordinates, y: FloatArray, options: HeadOptions, groups: npt.NDArray[np.generic] | None) -> Head:
        X, likelihood = axes.coordinates, make(y)
        mean_row = axes.eigenvalues.sum() / len(X)
        weights = mean_row * _LIKELIHOOD_GRID if options.weights is None else np.sort(np.array(options.weights))
        losses = np.zeros(len(weights))
        for train, _ in _splits(strata(y), groups, options, continuous=False):
            fits = likelihood_path(X[train], likelihood.rows(train), weights)
            losses += [likelihood.held_out_loss(X @ one.coef + one.intercept, train) for one in fits]
        best = len(weights) - 1 - int(losses[::-1].argmin())
        (final,) = likelihood_path(X, likelihood, weights[best : best + 1])
        return Head(final.coef, final.intercept, float(weights[best]))

    return fit


def _canonical(
    axes: GramCoordinates, y: FloatArray, options: HeadOptions, groups: npt.NDArray[np.generic] | None
) -> Head:
    X, centre, spread = axes.coordinates, y.mean(0), y.std(0)
    Y = (y - centre) / spread
    shrinkage = 1.0 if options.method == "pls" else _chosen_shrinkage(X, Y, options, groups)
    pair = canonical_pair(X, Y, shrinkage)
    return Head(pair.left, 0.0, shrinkage, pair.right / spread, centre)


def _chosen_shrinkage(
    X: FloatArray, Y: FloatArray, options: HeadOptions, groups: npt.NDArray[np.generic] | None
) -> float:
    """Return the shrinkage whose pairs hold best in inner folds; of equal ones the largest."""
    worth = np.zeros(len(_SHRINKAGES))
    for train, test in _splits(Y[:, 0], groups, options, continuous=True):
        own = GramCoordinates().fit(X[train])
        held, level = own.transform(X[test]), Y[train].mean(0)
        for number, shrinkage in enumerate(_SHRINKAGES):
            pair = canonical_pair(own.coordinates, Y[train] - level, shrinkage)
            # training scores have unit variance, so products compare between folds
            worth[number] += float((held @ pair.left) @ ((Y[test] - level) @ pair.right))
    return _SHRINKAGES[len(_SHRINKAGES) - 1 - int(worth[::-1].argmax())]


def _splits(
    y: FloatArray, groups: npt.NDArray[np.generic] | None, options: HeadOptions, *, continuous: bool
) -> list[Split]:
    """Return inner folds, stratified and grouped."""
    n_splits = options.inner if isinstance(options.inner, int) else _INNER_FOLDS
    seed = derive_seed(options.seed, "inner folds")
    strata = y if continuous else y.astype(np.intp)
    folds = grouped_folds(strata, groups=groups, n_splits=n_splits, continuous=continuous, random_state=seed)
    return [(fold.train, fold.test) for fold in folds]


def _parts(n: int, groups: npt.NDArray[np.generic] | None, options: HeadOptions) -> IndexArray:
    """Return the inner fold of each row; the same for all targets, so that one decomposition serves them."""
    owners = np.arange(n) if groups is None else groups
    names, numbers = np.unique(owners, return_inverse=True)
    if len(names) < int(options.inner):
        raise InputError(f"{len(names)} groups cannot fill {options.inner} inner folds. Lower inner.")
    order = np.random.default_rng(derive_seed(options.seed, "inner folds")).permutation(len(names))
    parts: IndexArray = (order % int(options.inner))[numbers]
    return parts


_SingleHead = Callable[[GramCoordinates, FloatArray, HeadOptions, npt.NDArray[np.generic] | None], Head]
_SINGLE: dict[tuple[TargetKind, Method], _SingleHead] = {
    ("number", "linear"): _linear,
    ("number", "pls"): _pls,
    ("class", "ridge"): _penalised(BinaryLikelihood, lambda y: y),
    ("survival", "ridge"): _penalised(
        lambda y: SurvivalLikelihood(y[:, 0], y[:, 1].astype(np.bool_)), lambda y: y[:, 1]
    ),
    ("several", "pls"): _canonical,
    ("several", "cca"): _canonical,
}
