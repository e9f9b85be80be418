"""The options of the profiler: their ranges, and what they make of the search for penalties."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, Protocol, get_args

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.model.profile.criterion import CRITERIA, Criterion
from kotowari.studies.genenet.model.profile.paths import Search

__all__ = ["SearchOptions", "fold_numbers", "penalty_search", "require_options"]

_MAX_STEPS = 100


class SearchOptions(Protocol):
    """The options of a profiler that decide on penalties and blocks."""

    kernel: str
    criterion: Criterion
    n_lambdas: int
    lambda_ratio: float
    ridges: Sequence[float]
    max_rounds: int
    n_folds: int
    tol: float
    block_size: int
    pooling: Any
    random_state: int


def require_options(options: SearchOptions) -> None:
    """Raise :class:`InputError` that names the first option out of its range, and the range."""
    rules = {
        "kernel must be gaussian or knn": options.kernel in {"gaussian", "knn"},
        f"criterion must be one of {', '.join(CRITERIA)}": options.criterion in get_args(Criterion),
        "n_lambdas must be 2 or more": options.n_lambdas >= 2,
        "lambda_ratio must lie between 0 and 1": 0 < options.lambda_ratio < 1,
        "ridges must be one finite value or more, 0 or more": len(options.ridges) > 0
        and all(0 <= ridge < np.inf for ridge in options.ridges),
        "max_rounds must be 1 or more": options.max_rounds >= 1,
        "n_folds must be 2 or more": options.n_folds >= 2,
        "tol must be above 0": options.tol > 0,
        "block_size must be 1 or more": options.block_size >= 1,
        "pooling must be cv, or a share from 0 to 1": options.pooling == "cv"
        or (isinstance(options.pooling, Real) and 0 <= float(options.pooling) <= 1),
    }
    if broken := [rule for rule, kept in rules.items() if not kept]:
        raise InputError(f"NetworkProfiler: {broken[0]}.")


def penalty_search(options: SearchOptions) -> Search:
    """Return what is tried for every target."""
    ratios = np.geomspace(1.0, options.lambda_ratio, options.n_lambdas)
    return Search(
        np.array([ratios, ratios**2]),
        np.array(options.ridges, dtype=np.float64),
        options.max_rounds,
        options.criterion == "bic",
        options.tol,
        _MAX_STEPS,
    )


def fold_numbers(options: SearchOptions, n_samples: int) -> npt.NDArray[np.int64] | None:
    """Return the number of every sample's fold, for the criterion ``"cv"``."""
    if options.criterion != "cv":
        return None
    rng = np.random.default_rng(derive_seed(options.random_state, "network profiler", "folds"))
    return rng.permutation(np.arange(n_samples) % options.n_folds)
