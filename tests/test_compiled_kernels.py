"""The first run of a kernel gives the bytes of every later one, whether it was compiled or read from disk."""

from importlib import import_module

import pytest
from numba import njit
from numba.core.dispatcher import Dispatcher

HOMES = (
    "kotowari.priors.functional.space_time_kernel",
    "kotowari.priors.functional.tv_kernels",
    "kotowari.solvers.elastic_net",
    "kotowari.solvers.elastic_net_kernel",
    "kotowari.solvers.elastic_net_newton",
    "kotowari.studies.genenet.model.profile.moments",
    "kotowari.studies.genenet.model.profile.paths",
    "kotowari.studies.omics.model.repulsion",
)


def loose_parts(kernel):
    """Parts that a kernel calls, whose sums may be reordered and that are not compiled into it."""
    function = kernel.py_func
    called = [function.__globals__.get(name) for name in function.__code__.co_names]
    parts = [part for part in called if isinstance(part, Dispatcher) and part.targetoptions.get("fastmath")]
    return [part.py_func.__name__ for part in parts if not part.targetoptions.get("forceinline")]


@pytest.mark.parametrize("home", HOMES)
def test_parts_that_may_reorder_sums_are_compiled_into_their_kernels(home):
    kernels = [value for value in vars(import_module(home)).values() if isinstance(value, Dispatcher)]
    assert kernels
    assert {kernel.py_func.__name__: loose_parts(kernel) for kernel in kernels if loose_parts(kernel)} == {}


def test_a_part_left_loose_is_found(monkeypatch):
    part = njit(fastmath=True)(lambda x: x + 1.0)
    monkeypatch.setitem(globals(), "_loose", part)
    assert loose_parts(njit(_calls_loose)) == ["<lambda>"]


def _calls_loose(x):
    return _loose(x)  # noqa: F821  (put there by the test)
