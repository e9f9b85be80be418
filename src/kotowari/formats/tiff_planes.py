"""One stored plane of a TIFF file, whole or refused; Pillow decodes what tifffile alone cannot."""

from pathlib import Path
from typing import Any

import numpy as np

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError, MissingExtraError
from kotowari.formats.image_raster import open_pillow
from kotowari.formats.image_source import Samples

__all__ = ["read_plane"]

_WHITE_IS_ZERO = 0
_INVERTED_BY_PILLOW = ("1", "L")


def read_plane(path: Path, tiff: Any, series: Any, plane: int, where: str) -> Samples:
    """Return the samples of one plane as stored, shape ``(height, width, sample)``.

    Raises
    ------
    InputError
        When the file ends before the plane does, or lacks it.
    MissingExtraError
        When neither tifffile nor Pillow can decode it.
    """
    frame = series.keyframe
    separate, _, height, width, contiguous = frame.shaped
    if series.dataoffset is not None:  # all planes in one piece, of which ImageJ describes only the first
        stored = _piece(tiff, series, plane, where)
    else:
        stored = _decoded(path, tiff, series.pages[plane], where)
    laid = stored.reshape(separate, height, width, contiguous)
    return np.moveaxis(laid, 0, 2).reshape(height, width, separate * contiguous)


def _piece(tiff: Any, series: Any, plane: int, where: str) -> Samples:
    dtype = np.dtype(series.keyframe.dtype).newbyteorder(tiff.byteorder)
    count = int(np.prod(series.keyframe.shaped))
    start = series.dataoffset + plane * count * dtype.itemsize
    _require_bytes_there(tiff, start + count * dtype.itemsize, where)
    tiff.filehandle.seek(start)
    return np.frombuffer(tiff.filehandle.read(count * dtype.itemsize), dtype)


def _decoded(path: Path, tiff: Any, page: Any, where: str) -> Samples:
    if page is None:
        raise InputError(f"{where}: its pixels lie in another file. Save all of it as one file.")
    ends = np.asarray(page.dataoffsets, np.int64) + np.asarray(page.databytecounts, np.int64)
    _require_bytes_there(tiff, int(ends.max(initial=0)), where)
    try:
        decoded: Samples = page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        return _by_pillow(path, page, where)
    return decoded


def _require_bytes_there(tiff: Any, end: int, where: str) -> None:
    if end > tiff.filehandle.size:
        raise InputError(
            f"{where}: is cut short ({tiff.filehandle.size:,} bytes, where its pixels end at {end:,}). Fetch it again."
        )


def _by_pillow(path: Path, page: Any, where: str) -> Samples:
    """Decode a page by the libtiff of Pillow, where its samples come out as deep as they are stored."""
    frame = page.keyframe
    modes = require_extra("PIL.ImageMode", extra="images", by=f"Reading {path.name}")
    with open_pillow(path, ["TIFF"]) as image:
        image.seek(page.index)
        mode = modes.getmode(image.mode)
        depth = np.dtype("?" if mode.mode == "1" else mode.typestr).newbyteorder("=")
        if depth != frame.dtype or len(mode.bands) != frame.shaped[0] * frame.shaped[4]:
            name = getattr(frame.compression, "name", frame.compression)
            raise MissingExtraError(
                f"{where}: is compressed by {name}, which needs imagecodecs. Install it: pip install imagecodecs"
            )
        samples = np.asarray(image)
    if int(frame.photometric) == _WHITE_IS_ZERO and mode.mode in _INVERTED_BY_PILLOW:
        samples = ~samples  # back to what is stored
    return samples if frame.shaped[0] == 1 else np.moveaxis(samples, 2, 0)
