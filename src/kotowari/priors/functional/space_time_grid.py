"""A run at half its resolution, and the way back: where the iteration at full resolution starts."""

from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.priors.functional.space_time_descent import Descent, RunWeights
from kotowari.priors.run_rows import RunRows

__all__ = ["halved_rows", "halved_weights", "start_from"]

Array = npt.NDArray[Any]

_STRIP = 16  # rows of the coarse run that are averaged at a time


def halved_rows(rows: RunRows, inside: Array) -> tuple[RunRows, Array]:
    """Return the mean of what lies inside the field in squares of 2 x 2 pixels, held in memory, and their field."""
    n_frames, height, width = rows.shape
    coarse = np.empty((n_frames, -(-height // 2), -(-width // 2)), rows.dtype)
    weight = _sums(inside[None].astype(coarse.dtype))[0]
    for begin in range(0, coarse.shape[1], _STRIP):
        end = min(begin + _STRIP, coarse.shape[1])
        fine = slice(2 * begin, min(2 * end, height))
        values = np.where(inside[fine] > 0, rows(fine.start, fine.stop), 0)
        coarse[:, begin:end] = _sums(values) / np.maximum(weight[begin:end], 1)
    return RunRows.of(coarse), weight > 0


def halved_weights(weights: RunWeights) -> RunWeights:
    r"""Return the weights with which the coarse problem is half of the fine one for whatever is constant in squares.

    Of D, the nuclear norm halves; sums over pixels are a quarter, the lengths of edges a half.
    """
    return RunWeights(2 * weights.sparse, weights.space, 2 * weights.time, 2 * weights.group, weights.residual / 2)


def start_from(fine: Descent, coarse: Descent) -> None:
    """Write the sparse part and the dual of a coarse run into a fine one.

    The dual runs linearly over a square and does not change along its other side, so that its divergence, summed over
    the square, is twice the coarse one, as the weights demand.
    """
    _, height, width = fine.newer.shape
    square = slice(0, height), slice(0, width)
    ratio = coarse.unit / fine.unit
    edges = [fine.inside * np.roll(fine.inside, -1, axis) for axis in (1, 0)]
    for t in range(len(fine.newer)):
        sparse = _repeated(coarse.newer[t].astype(fine.dtype), 2, 2)[square] * fine.inside
        fine.newer[t] = np.minimum(sparse * ratio + fine.half, fine.top)
        if not fine.has_dual:
            continue
        parts = [part[t].astype(fine.dtype) for part in coarse.dual]
        fine.dual[0][t] = _stored(_between(parts[0])[square] * edges[0], fine)
        fine.dual[1][t] = _stored(_between(parts[1].T).T[square] * edges[1], fine)
        fine.dual[2][t] = _stored(_repeated(parts[2], 2, 2)[square] * fine.inside, fine)
    if fine.has_dual:
        fine.dual[0][:, :, -1] = 0
        fine.dual[1][:, -1] = 0


def _sums(values: Array) -> Array:
    _, height, width = values.shape
    padded = np.pad(values, ((0, 0), (0, height % 2), (0, width % 2)))
    return np.asarray(padded[:, ::2, ::2] + padded[:, 1::2, ::2] + padded[:, ::2, 1::2] + padded[:, 1::2, 1::2])


def _repeated(values: Array, down: int, along: int) -> Array:
    return np.repeat(np.repeat(values, down, 0), along, 1)


def _between(dual: Array) -> Array:
    """Return a dual along columns at twice the resolution: halfway inside a square, unchanged between two."""
    fine = np.repeat(np.repeat(dual, 2, 0), 2, 1)
    fine[:, 0::2] *= 0.5
    fine[:, 2::2] += 0.5 * fine[:, 1:-1:2]
    return fine


def _stored(dual: Array, fine: Descent) -> Array:
    return np.rint(dual) if fine.half else dual
