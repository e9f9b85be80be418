"""Memory of the elastic net's kernels, and how they are compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = [
    "ACTIVE",
    "DF",
    "FACTORED",
    "FIT",
    "GAP",
    "LISTED",
    "MEAN_SQUARE",
    "RESIDUAL",
    "SQUARES",
    "Floats",
    "Rule",
    "Workspace",
    "compiled",
    "inlined",
    "workspace",
]

Floats = npt.NDArray[np.float64]
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_RULES: dict[str, Any] = {
    "fastmath": {"contract", "reassoc", "nsz"},
    "boundscheck": False,
    "error_model": "numpy",
    "_nrt": False,
}
_NO_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# places in Workspace.counts, in Workspace.sums, and in the statistics of a fit
ACTIVE, FACTORED, LISTED = 0, 1, 2
FIT, SQUARES, RESIDUAL = 0, 1, 2
GAP, DF, MEAN_SQUARE = 0, 1, 2


def compiled(function: FunctionT) -> FunctionT:
    """Compile a kernel, once for all runs; it makes no memory, lets other threads work, and may reorder sums.

    Without memory of its own a kernel counts no references, which between short loops costs as much as they do.

    The compiled code lies in ``__pycache__`` and is made anew when the kernel's own file changes, not when that of a
    part which it calls does: delete the ``.nbi`` files after editing one of these.
    """
    kernel: FunctionT = njit(**_RULES, cache=True, nogil=True)(function)
    return kernel


def inlined(function: FunctionT) -> FunctionT:
    """Compile a part of a kernel into whatever calls it; every part must be. It cannot be called from Python.

    Handing over a workspace would cost more than the work. And a part on its own, whose sums may be reordered, would be
    optimised otherwise in the run that compiles it than in those that read it from ``__pycache__``: the last digits of
    a first run would be its own. A part is optimised once by itself and once in every kernel, so kernels are few.
    """
    kernel: FunctionT = njit(**_RULES, **_NO_WRAPPERS, forceinline=True)(function)
    return kernel


class Rule(NamedTuple):
    """When a fit is done, and a path.

    Attributes
    ----------
    tol
        Bar for the relative duality gap, above 0.
    max_steps
        Most times that the working set of a fit is chosen.
    counts_df
        Whether degrees of freedom are counted.
    most_df
        A path ends behind the first fit that has as many.
    """

    tol: float
    max_steps: int
    counts_df: bool
    most_df: float


class Workspace(NamedTuple):
    """Memory of one thread, used again by every fit; ``size`` regulators. What is not touched costs nothing.

    ``gradient`` is cross - gram b, of all regulators; ``active`` their numbers where b is not 0, the first
    ``counts[0]`` entries. Of these the first ``counts[1]`` stand in ``inverse``, the inverse of the Cholesky factor of
    their gram + l2, packed row by row: unlike the factor it needs no substitution, in which each entry waits for the
    one before, and its squares give the degrees of freedom. ``working`` lists the working set: the active, then, up to
    ``counts[2]``, those that are too steep. The others hold its part of gram + l2, and vectors.
    """

    counts: npt.NDArray[np.int64]
    sums: Floats
    gradient: Floats
    active: npt.NDArray[np.int64]
    inverse: Floats
    working: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    listed: npt.NDArray[np.bool_]
    curvature: Floats
    value: Floats
    slope: Floats
    price: Floats
    image: Floats
    newton: Floats


def workspace(size: int) -> Workspace:
    """Return the memory for fits on ``size`` regulators."""

    def numbers() -> npt.NDArray[np.int64]:
        return np.zeros(size, np.int64)

    def values() -> Floats:
        return np.zeros(size)

    return Workspace(
        counts=np.zeros(3, np.int64),
        sums=np.zeros(3),
        gradient=values(),
        active=numbers(),
        inverse=np.empty(size * (size + 1) // 2),
        working=numbers(),
        order=numbers(),
        listed=np.zeros(size, np.bool_),
        curvature=np.empty(size * size),
        value=values(),
        slope=values(),
        price=values(),
        image=values(),
        newton=values(),
    )
