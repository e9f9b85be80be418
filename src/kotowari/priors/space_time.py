"""A run of frames split into a low-rank background, a sparse part of 0 or more, and a residual."""

import os
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.outcome import Status
from kotowari.priors.functional.space_time_descent import Descent, Look, RunWeights, Workers, workers
from kotowari.priors.functional.space_time_grid import halved_rows, halved_weights, start_from
from kotowari.priors.run_layers import RunLayers
from kotowari.priors.run_rows import RunRows

__all__ = ["estimate_noise", "separate_run"]

Array = npt.NDArray[Any]

_CHECK_EVERY = 10
_INERTIA = 0.5
_COARSEST = 48  # pixels of the shorter side below which a run is not halved any more
_NOISE_FRAMES = 9
_PERSISTENT = 0.04  # part of the field that may be filled with contrast in all frames
_MAD = 0.6745  # that of the standard normal distribution
_LAPLACIAN = 6.0  # standard deviation of the difference of two Laplacians of white noise


class _Stop(NamedTuple):
    tol: float
    max_steps: int


def separate_run(
    frames: object,
    field: npt.NDArray[np.bool_] | None = None,
    *,
    weight: float | None = None,
    tv_weight: float = 2e-3,
    time_weight: float = 1.0,
    group_weight: float = 0.0,
    noise: float | None = None,
    tol: float = 2e-3,
    max_steps: int = 300,
    compact: bool = False,
    keep_duals: bool = False,
    n_threads: int | None = None,
) -> RunLayers:
    r"""Split a run D of frames into background L, sparse part S and residual R.

    .. math::
        \min_{L,\, S \ge 0} \|L\|_* + \lambda \|S\|_1 + \gamma \sum_i \|S_{\cdot i}\|_2
        + \omega \big(\|\nabla_{xy} S\|_1 + \kappa \|\nabla_t S\|_1\big)
        + \frac{1}{2\mu} \|D - L - S\|_F^2

    with :math:`\lambda = w / \sqrt{n}`, :math:`n = \max(T, N)`, T frames, N pixels in the field, :math:`\gamma = g
    \lambda \sqrt{T}` and :math:`\mu = \sqrt{2 n}\, \sigma`. The residual takes the noise of standard deviation
    :math:`\sigma`: with D = L + S alone, a sparse part of 0 or more would leave all of it to the background, whose
    rank would be full. The prox of variation, l1 and sign together is that of variation, lowered by the threshold of l1
    and cut at 0. It starts from the split at half the resolution. The same input gives the same bytes, whatever
    the number of threads.

    Runs on the CPU, on numpy arrays or tensors that lie there.

    Parameters
    ----------
    frames
        D, ``(frame, height, width)`` of 2 frames or more, or :class:`~kotowari.priors.run_rows.RunRows` for what does
        not fit into memory. Double precision stays double; all else is worked on in single.
    field
        Pixels that count, ``(height, width)``; all of them if left out.
    weight
        w above 0. The textbook's 1 gives to the background what stays in its place for long, contrast in vessels
        included: a patch of a part q of the field that is there in half of T frames is cheaper as a sparse part only
        for :math:`w < 1/\sqrt{q T}`. If left out, w is that bound for q = 1/25, and at most 1. What is there in
        nearly all frames is background at any weight.
    tv_weight, time_weight, group_weight
        :math:`\omega`, :math:`\kappa` and g, 0 or more.
    noise
        :math:`\sigma` above 0, in units of D; :func:`estimate_noise` if left out.
    tol
        Bar for the duality gap in parts of the objective, 0 or more.
    max_steps
        Step limit at full resolution, 1 or more.
    compact
        Whether S and the duals are kept in 16-bit integers: half the memory, and steps of S of 1/65535 of the range
        of D.
    keep_duals
        Whether :meth:`~kotowari.priors.run_layers.RunLayers.prior_shares` will be asked for.
    n_threads
        Threads, 1 or more; those that the process may use if left out.

    Raises
    ------
    ShapeError
        When ``field`` has another shape than a frame.
    InputError
        When a number is out of range, or a frame holds NaN or infinite entries inside the field.
    DesignError
        When there is one frame only, or the field is empty.

    Source: Candes et al. 2011, J. ACM 58(3), eq. 1.1 (low rank plus sparse); Zhou et al. 2010, arXiv 1001.2363
    (residual, :math:`\mu`); Friedman et al. 2007, Ann. Appl. Stat. 1(2) (variation and l1). Sum, default weights,
    inertia and coarse start are our own construction.

    Examples
    --------
    >>> import numpy as np
    >>> run = np.ones((8, 24, 24), np.float32)
    >>> run[4, 6:12, 6:12] += 1.0
    >>> bool(separate_run(run, noise=0.01).sparse[4, 8, 8] > 0.5)
    True
    """
    rows = RunRows.of(frames)
    inside = _checked_field(rows, field)
    n_frames = rows.shape[0]
    weight = min(1.0, (_PERSISTENT * n_frames) ** -0.5) if weight is None else weight
    numbers = {"weight": weight, "tv_weight": tv_weight, "time_weight": time_weight, "group_weight": group_weight}
    _require_numbers(numbers, noise, tol, max_steps, n_threads)
    sigma = estimate_noise(rows, inside) if noise is None else noise
    size = max(n_frames, int(inside.sum()))
    sparse = weight / size**0.5
    weights = RunWeights(
        sparse, tv_weight, tv_weight * time_weight, group_weight * sparse * n_frames**0.5, (2 * size) ** 0.5 * sigma
    )
    with workers(n_threads or len(os.sched_getaffinity(0))) as team:
        state, look, trace = _solve(rows, inside, weights, _Stop(tol, max_steps), (compact, team))
        kept = tuple(state.dual) if keep_duals else ()
        state.dual.clear()  # makes room for the factors
        time, space = state.background(look)
    status = Status.CONVERGED if look.gap <= tol else Status.MAX_STEPS
    amounts = (weights.sparse, weights.space * state.dual_unit, weights.time * state.dual_unit)
    thresholds = tuple(weights.residual * amount for amount in amounts)
    return RunLayers(
        time,
        space,
        state.newer,
        state.unit,
        inside,
        sigma,
        look.objective,
        look.gap,
        status,
        trace[-1][0],
        trace,
        rows,
        kept,
        thresholds,
    )


def estimate_noise(frames: object, field: npt.NDArray[np.bool_] | None = None) -> float:
    r"""Return the standard deviation of white noise in a run, from what differs from its neighbours in space.

    .. math:: \sigma = \mathrm{median} |N * D| / (6 \cdot 0.6745), \quad N = (1, -2, 1)^T (1, -2, 1)

    over nine frames, which edges hardly disturb; the median is ours. Noise that was smoothed, as by a codec, is
    underrated. It is at least a ten-thousandth of the range of D.

    Source: Immerkaer 1996, Comput. Vis. Image Underst. 64(2), eqs. 2-6.
    """
    rows = RunRows.of(frames)
    inside = _checked_field(rows, field)
    n_frames, height, width = rows.shape
    chosen = np.unique(np.linspace(0, n_frames - 1, _NOISE_FRAMES).astype(int))
    picked = np.empty((len(chosen), height, width), rows.dtype)
    for begin in range(0, height, 64):
        part = slice(begin, min(begin + 64, height))
        picked[:, part] = rows(part.start, part.stop)[chosen]
    seen = picked[:, inside]
    least = 1e-4 * float(seen.max() - seen.min()) or 1.0
    if min(height, width) < 3:
        return least
    across = np.diff(np.diff(picked, 2, axis=2), 2, axis=1)
    counted = np.logical_and.reduce([inside[y : height - 2 + y, x : width - 2 + x] for y in range(3) for x in range(3)])
    if not counted.any():
        return least
    return max(float(np.median(np.abs(across[:, counted]))) / (_MAD * _LAPLACIAN), least)


def _solve(
    rows: RunRows, inside: Array, weights: RunWeights, stop: _Stop, how: tuple[bool, Workers]
) -> tuple[Descent, Look, tuple[tuple[int, float, float], ...]]:
    state = Descent(rows, inside, weights, how[0], how[1])
    if min(rows.shape[1:]) >= 2 * _COARSEST:
        start_from(state, _solve(*halved_rows(rows, inside), halved_weights(weights), stop, how)[0])
    state.begin()
    trace: list[tuple[int, float, float]] = []
    while True:
        n_more = min(_CHECK_EVERY, stop.max_steps - (trace[-1][0] if trace else 0))
        # inertia has no proof behind it: it ends where the gap does not shrink
        inertia = _INERTIA if len(trace) < 2 or trace[-1][2] < trace[-2][2] else 0.0
        for number in range(n_more - 1):
            state.advance(inertia if number + 2 < n_more else 0.0)
        look = state.look()
        trace.append(((trace[-1][0] if trace else 0) + n_more, look.objective, look.gap))
        if look.gap <= stop.tol or trace[-1][0] >= stop.max_steps:
            return state, look, tuple(trace)
        state.resume()


def _checked_field(rows: RunRows, field: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    n_frames, height, width = rows.shape
    inside = np.ones((height, width), np.bool_) if field is None else np.asarray(field, np.bool_)
    if inside.shape != (height, width):
        raise ShapeError.mismatch("separate_run", "field", (height, width), inside.shape)
    if n_frames < 2:
        raise DesignError("separate_run: a run of one frame has no background over time. Give 2 frames or more.")
    if not inside.any():
        raise DesignError("separate_run: no pixel lies in the field. Give another field, or none.")
    return inside


def _require_numbers(
    numbers: dict[str, float], noise: float | None, tol: float, max_steps: int, n_threads: int | None
) -> None:
    for name, number in numbers.items():
        if not 0 <= number < np.inf:
            raise InputError(f"separate_run: {name} must be 0 or more and finite, got {number}.")
    if not numbers["weight"] > 0 or (noise is not None and not 0 < noise < np.inf):
        raise InputError(f"separate_run: weight = {numbers['weight']} and noise = {noise} must be above 0.")
    if not tol >= 0 or max_steps < 1 or (n_threads is not None and n_threads < 1):
        raise InputError(
            f"separate_run: tol = {tol} must be 0 or more, max_steps = {max_steps} and n_threads = {n_threads} "
            "1 or more."
        )
