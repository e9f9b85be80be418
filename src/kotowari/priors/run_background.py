"""The background of a run, used on single new frames as they come."""

from typing import Any, NamedTuple, Self, final

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.priors.run_layers import RunLayers

__all__ = ["FrameLayers", "RunBackground"]

Array = npt.NDArray[Any]

_SURE = 1e-3  # directions with less than this part of the largest singular value are left out


class FrameLayers(NamedTuple):
    """Background, sparse part of 0 or more and residual of one frame, ``(height, width)``; they add up to it."""

    background: Array
    sparse: Array
    residual: Array


@final
class RunBackground:
    r"""Splits new frames of a run whose background is known, one by one.

    With V an orthonormal basis of what the background was, a frame d is split by

    .. math:: \min_{c,\, s \ge 0} \tfrac12 \|d - V c - s\|^2 + t \sum_i s_i,

    a regression with a one-sided Huber loss: what rises above the background by more than t does not pull it.
    It starts from the projection of d, and a step minimises a quadratic
    majorant in c, so the objective never grows. The coefficients are found from evenly
    spaced pixels of the field, which makes a frame cheap; total variation is not used.

    Parameters
    ----------
    space
        What the background is made of, ``(rank, height, width)``, such as :attr:`RunLayers.space`.
    field
        Pixels that count, ``(height, width)``.
    threshold
        t above 0, in units of the frames.
    n_pixels
        Of how many pixels the coefficients are found, at most; 1 or more, and at least ten for each direction are used.
    n_steps
        Steps a frame, 1 or more.

    Raises
    ------
    ShapeError
        When ``space`` and ``field`` do not fit.
    InputError
        When a number is out of range.

    Source: Huber 1981, Robust Statistics, section 7.8 (the steps); one side and sparse pixels are ours.
    """

    def __init__(
        self,
        space: Array,
        field: npt.NDArray[np.bool_],
        threshold: float,
        *,
        n_pixels: int = 20_000,
        n_steps: int = 12,
    ) -> None:
        if space.ndim != 3 or space.shape[1:] != field.shape:
            raise ShapeError.mismatch("RunBackground", "space", ("rank", *field.shape), space.shape)
        if not 0 < threshold < np.inf or n_pixels < 1 or n_steps < 1:
            raise InputError(
                f"RunBackground: threshold = {threshold} must be above 0, n_pixels = {n_pixels} and "
                f"n_steps = {n_steps} 1 or more."
            )
        self.field, self.threshold, self.n_steps = field, threshold, n_steps
        flat = np.where(field, space, 0).reshape(len(space), -1).astype(np.float32)
        squares, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64))
        used = squares > _SURE**2 * squares.max(initial=0.0)
        self.basis = (vectors[:, used] / np.sqrt(squares[used])).T.astype(np.float32) @ flat
        inside = np.flatnonzero(field)
        n_chosen = min(max(n_pixels, 10 * len(self.basis)), len(inside))
        self._chosen = inside[np.linspace(0, len(inside) - 1, n_chosen).astype(np.int64)]
        few = self.basis[:, self._chosen].astype(np.float64)
        self._few = few.astype(np.float32)
        self._solve = (np.linalg.pinv(few @ few.T, rcond=1e-6) @ few).astype(np.float32)

    @classmethod
    def of(cls, layers: RunLayers, *, n_pixels: int = 20_000, n_steps: int = 12) -> Self:
        """Return the background of a split run, with three standard deviations of its noise as threshold."""
        return cls(layers.space, layers.field, 3.0 * layers.noise, n_pixels=n_pixels, n_steps=n_steps)

    def separate(self, frame: Array) -> FrameLayers:
        """Split one frame, ``(height, width)``, in the units of the run.

        Raises
        ------
        ShapeError
            When the frame has another shape than the field.
        InputError
            When it holds NaN or infinite entries inside the field.
        """
        if frame.shape != self.field.shape:
            raise ShapeError.mismatch("RunBackground", "frame", self.field.shape, frame.shape)
        data = np.where(self.field, frame, 0).astype(np.float32)
        if not np.isfinite(data).all():
            raise InputError(
                "RunBackground: the frame holds NaN or infinite entries inside the field. Fill them first."
            )
        few = data.ravel()[self._chosen]
        coefficients = self._solve @ few
        for _ in range(self.n_steps):
            rest = few - coefficients @ self._few
            coefficients += self._solve @ np.minimum(rest, self.threshold)
        background = (coefficients @ self.basis).reshape(data.shape)
        rest = data - background
        sparse = np.maximum(rest - np.float32(self.threshold), 0)
        return FrameLayers(background, sparse, rest - sparse)
