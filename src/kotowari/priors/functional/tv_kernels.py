"""The iterations behind the total variation prox and its derivative, compiled: slices are lines of entries."""

from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import Tensor

from kotowari.priors.functional.tv_iteration import (
    CHECK_EVERY,
    FIRST_STEP,
    RELAXATION,
    Solution,
    Stop,
    next_step,
    relative,
)
from kotowari.priors.functional.tv_slices import Differences

__all__ = ["descend_lines", "sweep_slices"]

_BLOCK = 1024  # entries worked on at a time; a few lines of them stay in the nearest cache

# no "nnan" and "ninf": a slice that is not finite has to be seen
_FAST = {"reassoc", "contract", "arcp", "nsz"}
_compiled = njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)
# inlined, since sums in free order would differ between a fresh and a stored compilation
_part = njit(fastmath=_FAST, error_model="numpy", nogil=True, forceinline=True)
_next_step = _part(next_step)


class _Grid(NamedTuple):
    """How the entries of a slice, taken as one line, are neighbours; numba knows named tuples.

    ``strides`` and ``lengths`` belong to the axes: how many entries apart neighbours lie, and how many there are.
    ``groups`` holds begin and end of the axes that share one magnitude.
    """

    strides: Any
    lengths: Any
    weights: Any
    groups: Any


class _Fields(NamedTuple):
    """Arrays of one slice: ``(part, entry)``, the dual ``(part, axis, entry)``."""

    y: Any
    x: Any
    dual: Any
    ahead: Any


class _Step(NamedTuple):
    """Numbers of one iteration, in the dtype of the slice."""

    primal: Any
    dual: Any
    relax: Any
    shrink: Any
    bound: Any


def sweep_slices(y: Tensor, start: Tensor, step: Tensor, differences: Differences, stop: Stop) -> Solution:
    """Do what :func:`kotowari.priors.functional.tv_iteration.iterate_slices` does, for slices in the memory of the CPU.

    A slice is a line of entries, worked on in blocks. The dual stays as close behind the primal array as the longest
    stride between neighbours allows, so that an iteration reads and writes both once. The adjoint of the differences
    looks back along the line without a thought of edges: what lies behind an edge is 0.
    """
    image = _lines(y, 2)
    grid = _grid(y.shape[2:], differences, image.dtype)
    x, dual = np.empty_like(image), _lines(start, 3).copy()
    bounds = step.numpy().astype(image.dtype)
    found = np.empty((len(y), 3))
    for number in range(len(y)):
        fields = _Fields(image[number], x[number], dual[number], np.empty_like(x[number]))
        bars = (stop.gap, stop.floor[number].item(), stop.max_steps)
        found[number] = _solve(fields, grid, differences.squared_norm, bounds[number], bars)
    distance, value, n_steps = torch.from_numpy(found).unbind(1)
    finite = distance.isfinite() & value.isfinite()
    return Solution(
        torch.from_numpy(x).reshape(y.shape),
        torch.from_numpy(dual).reshape(start.shape),
        relative(distance, value),
        n_steps.long(),
        finite,
    )


def descend_lines(
    residual: Tensor, normal: Tensor, stiffness: Tensor, differences: Differences, tol: float, max_steps: int
) -> Tensor:
    """Do what :func:`~kotowari.priors.functional.tv_jacobian.descend_slices` does, for slices in memory of the CPU."""
    rest = _lines(residual, 3).copy()
    normals, stiff = _lines(normal, 3), _lines(stiffness.expand_as(residual), 3)
    flow = np.zeros_like(rest)
    grid = _grid(residual.shape[3:], differences, rest.dtype)
    inverse = 1.0 / (stiff + differences.mean_diagonal)
    for number in range(len(rest)):
        form = (normals[number], stiff[number], inverse[number])
        _descend(flow[number], rest[number], form, grid, tol, max_steps)
    return torch.from_numpy(flow).reshape(residual.shape)


def _grid(space: torch.Size, differences: Differences, dtype: npt.DTypeLike) -> _Grid:
    n_axes = len(space)
    groups = [(0, n_axes)] if differences.isotropic else [(axis, axis + 1) for axis in range(n_axes)]
    return _Grid(
        np.array([prod(space[axis + 1 :]) for axis in range(n_axes)], np.int64),
        np.array(space, np.int64),
        np.array(differences.weights, dtype),
        np.array(groups, np.int64),
    )


def _lines(fields: Tensor, n_leading: int) -> npt.NDArray[Any]:
    """Return the array with ``n_leading`` axes and one of entries, contiguous."""
    lines: npt.NDArray[Any] = fields.flatten(n_leading).contiguous().numpy()
    return lines


@_compiled
def _solve(fields: Any, grid: Any, squared_norm: float, bound: Any, bars: Any) -> Any:
    """Iterate in place from the dual; return duality gap, dual value and the number of iterations."""
    gap, floor, max_steps = bars
    size, lag = fields.y.shape[1], grid.strides.max()
    row = np.empty(_BLOCK, fields.y.dtype)
    moved = np.empty((len(fields.y), len(grid.weights), _BLOCK), fields.y.dtype)
    for part in range(len(fields.y)):
        for begin in range(0, size, _BLOCK):
            end = min(begin + _BLOCK, size)
            _adjoint(row, fields.dual[part], begin, end, grid)
            fields.x[part, begin:end] = fields.y[part, begin:end] - row[: end - begin]
    distance, value, number, primal = np.inf, 0.0, 0, FIRST_STEP
    cast = np.empty(4, fields.y.dtype)
    while number < max_steps:
        number += 1
        look = number % CHECK_EVERY == 0 or number == max_steps
        cast[0], cast[1] = primal, 1.0 / (squared_norm * primal)
        cast[2], cast[3] = 1.0 if look else RELAXATION, 1.0 / (1.0 + primal)
        step = _Step(cast[0], cast[1], cast[2], cast[3], bound)
        primal = _next_step(primal)
        for begin in range(0, size + lag, _BLOCK):
            end = begin + _BLOCK
            if begin < size:
                _move_primal(fields, row, begin, min(end, size), grid, step)
            if end > lag:
                _move_dual(fields, moved, row, (max(begin - lag, 0), min(end - lag, size)), grid, step)
        if look:
            distance, value = _duality_gap(fields, moved, row, grid, bound)
            if not distance > max(gap * value, floor):
                break
    return distance, value, number


@_part
def _adjoint(out: Any, p: Any, begin: int, end: int, grid: Any) -> None:
    """Write the entries from ``begin`` to ``end`` of the adjoint of the differences of one part."""
    out[:] = 0
    for axis in range(len(grid.weights)):
        weight, stride = grid.weights[axis], grid.strides[axis]
        first = min(max(begin, stride), end)
        here, to = p[axis, begin:first], out[: first - begin]
        for j in range(len(here)):
            to[j] -= weight * here[j]
        here, behind, to = p[axis, first:end], p[axis, first - stride : end - stride], out[first - begin :]
        for j in range(len(here)):
            to[j] += weight * (behind[j] - here[j])


@_part
def _differences(out: Any, x: Any, begin: int, end: int, grid: Any) -> None:
    """Write the entries from ``begin`` to ``end`` of the differences of one part, along every axis."""
    for axis in range(len(grid.weights)):
        weight, stride = grid.weights[axis], grid.strides[axis]
        last = max(min(end, len(x) - stride), begin)
        here, ahead, to = x[begin:last], x[begin + stride : last + stride], out[axis]
        for j in range(len(here)):
            to[j] = weight * (ahead[j] - here[j])
        period = stride * grid.lengths[axis]
        edge = begin // period * period + period - stride
        while edge < end:
            to[max(edge, begin) - begin : max(min(edge + stride, end), begin) - begin] = 0
            edge += period


@_part
def _move_primal(fields: Any, row: Any, begin: int, end: int, grid: Any, step: Any) -> None:
    """Advance a block of x, and write the extrapolated block that the dual looks at."""
    for part in range(len(fields.x)):
        _adjoint(row, fields.dual[part], begin, end, grid)
        old, goal, ahead = fields.x[part, begin:end], fields.y[part, begin:end], fields.ahead[part, begin:end]
        for j in range(len(old)):
            new = (old[j] + step.primal * (goal[j] - row[j])) * step.shrink
            ahead[j] = new + new - old[j]
            old[j] += step.relax * (new - old[j])


@_part
def _move_dual(fields: Any, moved: Any, row: Any, block: Any, grid: Any, step: Any) -> None:
    """Advance a block of the dual."""
    begin, end = block
    for part in range(len(moved)):
        _differences(moved[part], fields.ahead[part], begin, end, grid)
    for group in range(len(grid.groups)):
        first, last = grid.groups[group]
        row[:] = 0
        for part in range(len(moved)):
            for axis in range(first, last):
                new, old = moved[part, axis], fields.dual[part, axis, begin:end]
                for j in range(len(old)):
                    new[j] = old[j] + step.dual * new[j]
                    row[j] += new[j] * new[j]
        for j in range(len(row)):
            row[j] = step.bound / max(step.bound, np.sqrt(row[j]))
        for part in range(len(moved)):
            for axis in range(first, last):
                new, old = moved[part, axis], fields.dual[part, axis, begin:end]
                for j in range(len(old)):
                    old[j] += step.relax * (row[j] * new[j] - old[j])


@_part
def _duality_gap(fields: Any, edges: Any, row: Any, grid: Any, bound: Any) -> Any:
    """Return duality gap and dual value, by the formulas of ``tv_iteration.duality_gap``."""
    distance, value, size = 0.0, 0.0, fields.y.shape[1]
    for begin in range(0, size, _BLOCK):
        end = min(begin + _BLOCK, size)
        for part in range(len(edges)):
            _differences(edges[part], fields.x[part], begin, end, grid)
        for group in range(len(grid.groups)):
            distance += _priced(row[: end - begin], edges, grid.groups[group], bound)
        for part in range(len(edges)):
            for axis in range(len(grid.weights)):
                edge, here = edges[part, axis], fields.dual[part, axis, begin:end]
                for j in range(len(here)):
                    distance -= np.float64(edge[j] * here[j])
            _adjoint(row, fields.dual[part], begin, end, grid)
            new, goal = fields.x[part, begin:end], fields.y[part, begin:end]
            for j in range(len(new)):
                off, flow = np.float64(new[j] - goal[j] + row[j]), np.float64(row[j])
                distance += 0.5 * off * off
                value += flow * (np.float64(goal[j]) - 0.5 * flow)
    return distance, value


@_part
def _priced(row: Any, edges: Any, axes: Any, bound: Any) -> float:
    """Return ``bound`` times the sum of the magnitudes of a group of axes."""
    total = 0.0
    row[:] = 0
    for part in range(len(edges)):
        for axis in range(axes[0], axes[1]):
            edge = edges[part, axis]
            for j in range(len(row)):
                row[j] += edge[j] * edge[j]
    for j in range(len(row)):
        total += np.float64(bound * np.sqrt(row[j]))
    return total


@_compiled
def _descend(flow: Any, rest: Any, form: Any, grid: Any, tol: float, max_steps: int) -> None:
    """Run conjugate gradients in place from the residual ``rest`` and ``flow`` = 0."""
    normal, stiffness, inverse = form
    search, image, down = np.zeros_like(rest), np.zeros_like(rest), np.empty_like(rest[:, 0])
    energy = _move(flow.ravel(), rest.ravel(), (search.ravel(), image.ravel(), inverse.ravel()), 0.0)
    bar, keep = tol * tol * energy, 0.0
    for _ in range(max_steps):
        if not energy > bar:
            break
        _turn(search.ravel(), rest.ravel(), inverse.ravel(), keep)
        for part in range(len(rest)):
            _adjoint(down[part], search[part], 0, down.shape[1], grid)
            _differences(image[part], down[part], 0, down.shape[1], grid)
        for group in range(len(grid.groups)):
            _take_out(image, normal, down[0], grid.groups[group])
        curvature = _add_product(image.ravel(), stiffness.ravel(), search.ravel())
        if not curvature > 0:
            break
        length, earlier = energy / curvature, energy
        energy = _move(flow.ravel(), rest.ravel(), (search.ravel(), image.ravel(), inverse.ravel()), length)
        keep = energy / earlier


@_part
def _take_out(image: Any, normal: Any, along: Any, axes: Any) -> None:
    """Take out of a group of axes what lies along ``normal``."""
    along[:] = 0
    for part in range(len(image)):
        for axis in range(axes[0], axes[1]):
            here, unit = image[part, axis], normal[part, axis]
            for j in range(len(along)):
                along[j] += unit[j] * here[j]
    for part in range(len(image)):
        for axis in range(axes[0], axes[1]):
            here, unit = image[part, axis], normal[part, axis]
            for j in range(len(along)):
                here[j] -= along[j] * unit[j]


@_part
def _add_product(image: Any, stiffness: Any, search: Any) -> float:
    """Add the diagonal part of the quadratic form; return the inner product of image and direction."""
    curvature = 0.0
    for j in range(len(image)):
        image[j] += stiffness[j] * search[j]
        curvature += image[j] * search[j]
    return curvature


@_part
def _turn(search: Any, rest: Any, inverse: Any, keep: float) -> None:
    """Replace the direction by the preconditioned residual and ``keep`` times the direction."""
    for j in range(len(rest)):
        search[j] = rest[j] * inverse[j] + keep * search[j]


@_part
def _move(flow: Any, rest: Any, along: Any, length: float) -> float:
    """Go ``length`` along the direction; return the squared length of the preconditioned residual."""
    search, image, inverse = along
    energy = 0.0
    for j in range(len(rest)):
        flow[j] += length * search[j]
        left = rest[j] - length * image[j]
        rest[j] = left
        energy += left * left * inverse[j]
    return energy
