"""Simulated networks with two planted modules whose activities, and their product, drive a response."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError

__all__ = ["ModulePhantom", "ModuleResponse", "planted_modules"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ModuleResponse = Literal["monotone", "interaction", "null"]

_MODULE = (6, 4)
_N_NUISANCES, _NUISANCE_NORM = 6, 2.0


@dataclass(frozen=True)
class ModulePhantom:
    """Networks of which it is known which edges matter.

    Attributes
    ----------
    X
        One network a sample, shape ``(sample, regulator, target)``.
    y
        Response with noise, shape ``(sample,)``.
    signal
        Response without noise, shape ``(sample,)``.
    planted
        True for the edges of the two modules, shape ``(regulator, target)``; nowhere for the null response.
    activities
        Activities a and b of the modules, standard normal, shape ``(sample, 2)``.
    modules
        Loadings A and B, shape ``(2, regulator, target)``.
    attainable_r2
        Share of the variance of ``y`` that the signal has, by its closed form: no predictor does better on average.
    """

    X: FloatArray
    y: FloatArray
    signal: FloatArray
    planted: BoolArray
    activities: FloatArray
    modules: FloatArray
    attainable_r2: float


def planted_modules(
    n_samples: int,
    *,
    response: ModuleResponse = "interaction",
    shape: tuple[int, int] = (60, 40),
    module_norm: float = float(np.sqrt(_MODULE[0] * _MODULE[1])),
    noise: float = 0.5,
    random_state: int,
) -> ModulePhantom:
    r"""Simulate networks :math:`X_i = a_i A + b_i B + \sum_{k=1}^{6} z_{ik} N_k + 0.5\,\varepsilon_i`.

    A and B are rank one on 6 regulators and 4 targets each, without a common row or column, loadings of either sign and
    0.5 to 1.5 in size; the nuisances N are rank one over all edges and have twice the norm of a module, so that an
    unsupervised subspace of few dimensions holds nuisances only. The response is

    * monotone: :math:`1.5\tanh a + b`;
    * interaction: :math:`\tanh a + b/2 + ab`, most of which no linear predictor sees;
    * null: nothing;

    plus noise. The loadings depend on the seed alone, not on the number of samples.

    Parameters
    ----------
    n_samples
        2 or more; split it into training and test samples afterwards.
    response
        Which of the three.
    shape
        Regulators, 12 or more, and targets, 8 or more.
    module_norm
        Frobenius norm of a module, above 0; the default gives its edges unit size on average.
    noise
        Standard deviation of the noise of every edge and of the response, above 0.
    random_state
        Seed.

    Raises
    ------
    InputError
        When an option is out of its range.
    DesignError
        When the networks are too small for two modules.
    """
    if response not in get_args(ModuleResponse):
        raise InputError(f"response {response!r}: choose one of {', '.join(get_args(ModuleResponse))}.")
    if n_samples < 2 or noise <= 0 or module_norm <= 0:
        raise InputError("planted_modules: n_samples must be 2 or more, noise and module_norm above 0.")
    if shape[0] < 2 * _MODULE[0] or shape[1] < 2 * _MODULE[1]:
        raise DesignError(f"planted_modules: two modules need shape ({2 * _MODULE[0]}, {2 * _MODULE[1]}) or more.")
    rng = np.random.default_rng(random_state)
    modules = _modules(shape, rng) * module_norm
    nuisances = np.stack([_rank_one(rng.normal(size=shape[0]), rng.normal(size=shape[1])) for _ in range(_N_NUISANCES)])
    nuisances *= _NUISANCE_NORM * module_norm
    activities = rng.normal(size=(n_samples, 2))
    X = np.einsum("im,mjk->ijk", activities, modules)
    X += np.einsum("im,mjk->ijk", rng.normal(size=(n_samples, _N_NUISANCES)), nuisances)
    X += noise * rng.normal(size=X.shape)
    signal, variance = _signal(activities, response)
    planted = (modules != 0).any(0) & (response != "null")
    y = signal + noise * rng.normal(size=n_samples)
    return ModulePhantom(X, y, signal, planted, activities, modules, variance / (variance + noise**2))


def _modules(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Return two modules of unit norm on disjoint rows and columns, shape ``(2, regulator, target)``."""
    rows, columns = rng.permutation(shape[0]), rng.permutation(shape[1])
    modules = np.zeros((2, *shape))
    for number, module in enumerate(modules):
        members = [
            axis[number * size : (number + 1) * size] for axis, size in zip((rows, columns), _MODULE, strict=True)
        ]
        loadings = [rng.choice([-1.0, 1.0], size) * rng.uniform(0.5, 1.5, size) for size in _MODULE]
        module[np.ix_(*members)] = _rank_one(*loadings)
    return modules


def _rank_one(left: FloatArray, right: FloatArray) -> FloatArray:
    outer = np.outer(left, right)
    unit: FloatArray = outer / np.linalg.norm(outer)
    return unit


def _signal(activities: FloatArray, response: ModuleResponse) -> tuple[FloatArray, float]:
    """Return the signal and its variance; a, b and ab are uncorrelated, so the variances add up."""
    a, b = activities.T
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    tanh_variance = float(weights @ np.tanh(nodes) ** 2 / weights.sum())
    if response == "monotone":
        return 1.5 * np.tanh(a) + b, 2.25 * tanh_variance + 1.0
    if response == "interaction":
        return np.tanh(a) + 0.5 * b + a * b, tanh_variance + 0.25 + 1.0
    return np.zeros(len(activities)), 0.0
