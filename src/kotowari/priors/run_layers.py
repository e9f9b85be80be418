"""A run of frames as background, sparse part and residual, with the share that each prior had in them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import CapabilityError
from kotowari.core.outcome import Status
from kotowari.priors.run_rows import RunRows

__all__ = ["PriorShares", "RunLayers"]

Array = npt.NDArray[Any]


class PriorShares(NamedTuple):
    """What each prior took from :math:`D - L`, ``(frame, row, width)``, in units of D; their sum is the residual.

    A positive number was taken away. Where total variation took less than nothing, the neighbours lifted the pixel.
    """

    sparse: Array
    space: Array
    time: Array
    group: Array


@dataclass(frozen=True)
class RunLayers:
    r"""The parts of a run D, :math:`D = L + S + R` inside the field, and 0 outside.

    Attributes
    ----------
    time, space
        Factors of the background, ``(frame, rank)`` with orthonormal columns and ``(rank, height, width)``:
        L is their product.
    stored, unit
        S is ``unit`` times ``stored``, ``(frame, height, width)``: in the precision of the frames, or uint16.
    field
        Pixels that were looked at, ``(height, width)``.
    noise
        Standard deviation of the residual that was reckoned with, in units of D.
    objective, gap
        Its value, and the duality gap in parts of it: no other split has an objective below ``objective * (1 - gap)``.
    status, n_steps
        Why the iteration stopped, and its steps at full resolution.
    trace
        Step, objective and gap, one row for each time they were taken.
    frames
        Where D is read from.
    duals
        Duals of total variation along columns, rows and frames, in parts of their bounds; empty unless kept.
    thresholds
        What l1 takes at most, in units of D, and the same for one unit of the duals along space and time.
    """

    time: Array
    space: Array
    stored: Array
    unit: float
    field: npt.NDArray[np.bool_]
    noise: float
    objective: float
    gap: float
    status: Status
    n_steps: int
    trace: tuple[tuple[int, float, float], ...]
    frames: RunRows
    duals: tuple[Array, ...] = ()
    thresholds: tuple[float, ...] = ()

    @property
    def background(self) -> Array:
        """L, ``(frame, height, width)``."""
        return self.background_rows(0, self.frames.shape[1])

    @property
    def sparse(self) -> Array:
        """S, ``(frame, height, width)``, 0 or more; as it is stored where that is not in integers."""
        return self.stored if self.unit == 1.0 else self.sparse_rows(0, self.frames.shape[1])

    @property
    def residual(self) -> Array:
        """R, ``(frame, height, width)``."""
        return self.residual_rows(0, self.frames.shape[1])

    def background_rows(self, begin: int, end: int) -> Array:
        """Return rows of L, ``(frame, row, width)``."""
        return np.asarray(np.tensordot(self.time, self.space[:, begin:end], axes=1))

    def sparse_rows(self, begin: int, end: int) -> Array:
        """Return rows of S, ``(frame, row, width)``, in the precision of the work."""
        return np.asarray(self.stored[:, begin:end] * self.space.dtype.type(self.unit))

    def residual_rows(self, begin: int, end: int) -> Array:
        """Return rows of R, ``(frame, row, width)``; reads the frames again."""
        rest = self.frames(begin, end) - self.background_rows(begin, end) - self.sparse_rows(begin, end)
        return np.where(self.field[begin:end], rest, rest.dtype.type(0))

    def prior_shares(self, begin: int = 0, end: int | None = None) -> PriorShares:
        r"""Say which prior put pixels into S, or kept them out, in rows from ``begin`` to ``end``.

        At the minimum :math:`D - L - S = \mu (z + \nabla_{xy}^* p_{xy} + \nabla_t^* p_t + u)` with :math:`z \le
        \lambda` the dual of l1 and the sign, p that of total variation and u that of groups. These four terms come
        back. Where S > 0 that of l1 is :math:`\mu \lambda`, and :math:`\mu u = \mu \gamma S_{ti} / \|S_{\cdot i}\|`.

        Raises
        ------
        CapabilityError
            When the run was split without ``keep_duals``.
        """
        if not self.duals:
            raise CapabilityError("RunLayers: the duals were not kept. Split the run with keep_duals=True.")
        end = self.frames.shape[1] if end is None else end
        bar, space, time = self.thresholds
        along_x, along_y, along_t = (self._padded(part, begin, end) for part in self.duals)
        inner = (slice(None), slice(1, None), slice(1, None))
        across = (along_x[:, 1:, :-1] - along_x[inner]) + (along_y[:, :-1, 1:] - along_y[inner])
        before = along_t[inner]
        share_space = space * across
        share_time = time * (np.concatenate([np.zeros_like(before[:1]), before[:-1]]) - before)
        rest = self.residual_rows(begin, end) - share_space - share_time
        share_sparse = np.minimum(rest, bar)
        inside = self.field[begin:end]
        shares = (share_sparse, share_space, share_time, rest - share_sparse)
        return PriorShares(*(np.where(inside, share, 0) for share in shares))

    def _padded(self, part: Array, begin: int, end: int) -> Array:
        """Return rows of a dual with the row above and a column of zeros before them."""
        above = part[:, begin - 1 : begin] if begin else np.zeros_like(part[:, :1])
        rows = np.concatenate([above, part[:, begin:end]], axis=1).astype(self.space.dtype)
        return np.pad(rows, ((0, 0), (0, 0), (1, 0)))
