"""Pages of a TIFF file as stored: which axes are pages, which are channels; every plane whole, or refused."""

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import few, require_extra
from kotowari.core.errors import InputError
from kotowari.formats.image_source import Samples, chosen_channel
from kotowari.formats.memory import require_bytes
from kotowari.formats.tiff_log import told_faults
from kotowari.formats.tiff_planes import read_plane

__all__ = ["StoredPages", "open_stored"]

_DAMAGED = (OSError, ValueError, IndexError, KeyError, TypeError, RuntimeError, struct.error, zlib.error)
_AXES = {"T": "time", "Z": "depth", "C": "channel", "I": "image", "Q": "image", "S": "sample", "R": "tile"}
_SINGLE_SERIES = ("generic", "uniform", "shaped", "imagej", "ome", "mmstack", "lsm", "stk")


@dataclass(frozen=True, eq=False)
class StoredPages:
    """The pages of an open TIFF file.

    Parameters
    ----------
    path
        The file.
    tiff, series
        As tifffile opened them.
    planes
        Which stored plane holds which channel of which page, shape ``(page, channel)``.
    notes
        Which axes the pages run over, and what was left out.
    """

    path: Path
    tiff: Any
    series: Any
    planes: npt.NDArray[np.intp]
    notes: tuple[str, ...]

    @property
    def n_samples(self) -> int:
        """Samples that one stored plane has in a pixel."""
        separate, *_, contiguous = self.series.keyframe.shaped
        return int(separate * contiguous)

    def where(self, number: int) -> str:
        """Return the name of a page in sentences; pages are counted from 1 there."""
        return f"{self.path}, page {number + 1}" if len(self.planes) > 1 else str(self.path)

    def load(self, number: int, channel: int | None = None) -> Samples:
        """Return a page as stored, shape ``(height, width, sample)``, or the one channel that has planes of its own.

        Raises
        ------
        InputError
            When the file ends before the page does, the page is larger than half of the memory, or there is no such
            channel.
        MissingExtraError
            When its compression needs imagecodecs.
        """
        planes, where = self.planes[number], self.where(number)
        frame = self.series.keyframe
        require_bytes(
            math.prod(frame.shaped) * len(planes) * frame.dtype.itemsize,
            what=f"{where}: pixels of {frame.shaped[2]} x {frame.shaped[3]} x {self.n_samples * len(planes)} samples",
            remedy="Cut it into smaller images",
        )
        if len(planes) > 1 and channel is not None:
            planes = chosen_channel(planes.reshape(1, 1, -1), channel, where).ravel()
        elif len(planes) > 1 and self.n_samples > 1:
            raise InputError(f"{where}: has {len(planes)} channels of {self.n_samples} samples. Save one by itself.")
        return np.concatenate([read_plane(self.path, self.tiff, self.series, int(i), where) for i in planes], 2)


@contextmanager
def open_stored(path: Path) -> Iterator[StoredPages]:
    """Open a TIFF file; pages are read when asked for.

    Axes of time, depth and image number become pages, in the order of the file; the axis C becomes channels.

    Raises
    ------
    InputError
        When the file is damaged or cut short, holds several images of different sizes, or has other axes.
    """
    tifffile = require_extra("tifffile", extra="images", by=f"Reading {path.name}")
    damaged = (tifffile.TiffFileError, *_DAMAGED)
    try:
        with told_faults(path), tifffile.TiffFile(path) as tiff:
            series, left_out = _one_series(path, tiff)
            planes, told = _planes(path, series)
            yield StoredPages(path, tiff, series, planes, (*left_out, *told))
    except InputError:
        raise
    except damaged as error:
        fault = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: is no whole TIFF file ({fault}). Fetch or write it again.") from error


def _one_series(path: Path, tiff: Any) -> tuple[Any, tuple[str, ...]]:
    first, *others = tiff.series
    if not others:
        return first, ()
    if first.kind in _SINGLE_SERIES and not all(series.keyframe.is_reduced for series in others):
        shapes = few(("x".join(str(length) for length in series.shape) for series in tiff.series), 3)
        raise InputError(
            f"{path}: holds {len(tiff.series)} images of different sizes or kinds ({shapes}). "
            "Save each as a file of its own."
        )
    return first, (f"holds {len(others)} pictures besides the first (label, overview, thumbnail); they were left out",)


def _planes(path: Path, series: Any) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    """Tell pages from channels; the axes of one stored plane are the last ones."""
    shape, axes = series.get_shape(False), series.get_axes(False)
    n_planes = math.prod(shape) // math.prod(series.keyframe.shaped)
    n_outer = 0
    while math.prod(shape[:n_outer]) < n_planes:
        n_outer += 1
    while n_outer < len(axes) and axes[n_outer] not in "YXS" and shape[n_outer] == 1:
        n_outer += 1
    outer, inner = axes[:n_outer], axes[n_outer:]
    if math.prod(shape[:n_outer]) != n_planes or sorted(set(inner) - {"S"}) != ["X", "Y"]:
        raise InputError(f"{path}: has axes {axes} {tuple(shape)}, which are no pages of a flat image. Save it anew.")
    if "S" in outer and "C" not in outer:
        outer = outer.replace("S", "C")
    planes = np.arange(n_planes).reshape(shape[:n_outer])
    planes = np.moveaxis(planes, outer.index("C"), -1) if "C" in outer else planes[..., None]
    pages = [(axis, length) for axis, length in zip(outer, shape, strict=False) if axis != "C" and length > 1]
    named = " and, within it, ".join(f"{_AXES.get(axis, axis)} ({axis}, {length})" for axis, length in pages)
    told = (f"its pages run over {named}",) if [axis for axis, _ in pages] not in ([], ["I"]) else ()
    return planes.reshape(-1, planes.shape[-1]), told
