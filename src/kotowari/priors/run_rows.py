"""A run of frames, read by blocks of rows: from an array, a file mapped into memory, or any other source."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError

__all__ = ["RunRows"]

Array = npt.NDArray[Any]

_AXES = 3


class _Sliced(Protocol):
    shape: tuple[int, ...]
    dtype: Any

    def __getitem__(self, key: Any) -> Any: ...


@dataclass(frozen=True)
class RunRows:
    """Frames that are handed out by rows, so that a run need not fit into memory.

    Attributes
    ----------
    shape
        ``(frame, height, width)``.
    read
        Takes the first row and the row behind the last one; returns finite numbers, ``(frame, row, width)``, the same
        in every call, and may be called by several threads at a time.
    dtype
        Precision of the work, float32 or float64.

    Raises
    ------
    ShapeError
        When ``shape`` has not three axes of 1 or more.
    """

    shape: tuple[int, int, int]
    read: Callable[[int, int], Array]
    dtype: npt.DTypeLike = np.float32

    def __post_init__(self) -> None:
        if len(self.shape) != _AXES or min(self.shape) < 1:
            raise ShapeError.mismatch("RunRows", "a run", ("frame", "height", "width"), self.shape)

    def __call__(self, begin: int, end: int) -> Array:
        """Return rows of all frames in the precision of the work, contiguous.

        Raises
        ------
        ShapeError
            When the source returns another shape.
        """
        rows = np.ascontiguousarray(self.read(begin, end), dtype=self.dtype)
        expected = (self.shape[0], end - begin, self.shape[2])
        if rows.shape != expected:
            raise ShapeError.mismatch("RunRows", f"rows {begin} to {end}", expected, rows.shape)
        return rows

    @classmethod
    def of(cls, frames: object) -> "RunRows":
        """Return ``frames`` as a source: an array or a CPU tensor, ``(frame, height, width)``; float64 stays double.

        Raises
        ------
        ShapeError
            When there are not three axes.
        """
        if isinstance(frames, RunRows):
            return frames
        # a tensor in memory of the CPU gives its own array, without this module asking for torch
        array = cast(_Sliced, frames if hasattr(frames, "dtype") and hasattr(frames, "ctypes") else np.asarray(frames))
        if len(array.shape) != _AXES:
            raise ShapeError.mismatch("RunRows", "a run", ("frame", "height", "width"), array.shape)
        dtype = np.float64 if array.dtype == np.float64 else np.float32
        n_frames, height, width = array.shape
        return cls((n_frames, height, width), lambda begin, end: np.asarray(array[:, begin:end]), dtype)

    @classmethod
    def of_levels(cls, frames: Array, levels: Array) -> "RunRows":
        """Return grey levels, such as a mapped file of uint8 or uint16, as the number that ``levels`` holds for each.

        Parameters
        ----------
        frames
            Shape ``(frame, height, width)``, uint8 or uint16.
        levels
            One number a level: 256 or 65,536 of them, such as the attenuation of each.

        Raises
        ------
        InputError
            When ``frames`` is not uint8 or uint16, or ``levels`` has another length.
        """
        if frames.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
            raise InputError(f"RunRows: grey levels must be uint8 or uint16, got {frames.dtype}.")
        count = int(np.iinfo(frames.dtype).max) + 1
        if levels.shape != (count,):
            raise InputError(f"RunRows: {frames.dtype} frames need {count} levels, got {levels.shape}.")
        table = np.asarray(levels, np.float32)
        n_frames, height, width = frames.shape
        return cls((n_frames, height, width), lambda begin, end: table[frames[:, begin:end]])
