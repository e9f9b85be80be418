"""Images of microscopes as arrays: TIFF, PNG and JPEG, page by page, and what was done to them on the way."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import few
from kotowari.core.errors import InputError
from kotowari.formats.image_raster import open_raster
from kotowari.formats.image_source import ImageSource, PageImage, Samples
from kotowari.formats.image_tiff import open_tiff
from kotowari.formats.memory import require_bytes
from kotowari.formats.rows import require_file

__all__ = ["Pages", "n_pages", "read_page", "read_pages"]

_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF, both byte orders


@dataclass(frozen=True, eq=False)
class Pages:
    """Pages of an image file, all of one size and type.

    Parameters
    ----------
    values
        Shape ``(page, height, width, channel)`` with channel 1 (grey) or 3 (red, green, blue): uint8, uint16, or
        float32 in [0, 1].
    full_scale
        Value of full light: 255, 65535, less where the file says that it uses fewer bits, or 1.0 for float32.
    um_per_pixel
        Side of a pixel in micrometres; None where the file does not tell a size that a microscope can have.
    notes
        What was done or found while reading, a sentence each.
    """

    values: npt.NDArray[Any]
    full_scale: float
    um_per_pixel: float | None
    notes: tuple[str, ...]

    @property
    def unit(self) -> npt.NDArray[np.float32]:
        """Values as fractions of full scale, float32, same shape."""
        return self.values.astype(np.float32) / np.float32(self.full_scale)

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel, or three that are equal in every pixel."""
        return bool((self.values == self.values[..., :1]).all())


def n_pages(path: Path) -> int:
    """Return the number of pages; no pixel is read.

    Raises
    ------
    InputError
        As :func:`read_pages`, as far as it shows without the pixels.
    """
    with _opened(Path(path), None) as source:
        return source.count


def read_pages(path: Path, *, channel: int | None = None) -> Pages:
    """Read all pages of a TIFF, PNG or JPEG file.

    Stacks: axes of time, depth and image number become pages. A stack of three channels becomes colour.
    Grey with or without full opacity stays grey; a palette becomes the colours that it stands for; one bit becomes 0
    and 255; CMYK becomes red, green and blue without a profile; white-is-zero is inverted; the orientation is carried
    out. Fractions that lie in [0, 1] stay; others are scaled to [0, 1] by the range of the whole file. All this is
    told in ``notes``.

    Parameters
    ----------
    path
        The file; what it is shows by its first bytes, not by its name.
    channel
        Which channel to read alone, counted from 0; None reads grey or colour as it stands.

    Raises
    ------
    InputError
        When the file is not there, is none of the three, is cut short or damaged; when pages differ in size or type;
        when pixels are transparent, are no brightness, or hold NaN or infinity (page, row and column of the first are
        told, counted from 1); when there are 2 or more than 3 channels and none was chosen; when all pages together
        need more than half of the memory.
    MissingExtraError
        When a library that the file needs is not installed.
    """
    path = Path(path)
    with _opened(path, channel) as source:
        pages = _collected(source, range(source.count))
    return _scaled(pages, lambda: _span_of(pages.values))


def read_page(path: Path, number: int, *, channel: int | None = None) -> Pages:
    """Read one page, counted from 0, as :func:`read_pages` would, into an array of one page.

    Fractions are scaled by the range of the whole file, which is read through for it once a process.

    Raises
    ------
    InputError
        As :func:`read_pages`, and when there is no such page.
    """
    path = Path(path)
    with _opened(path, channel) as source:
        if not 0 <= number < source.count:
            raise InputError(
                f"{path}: has {source.count} pages, so number must be 0 .. {source.count - 1}, got {number}."
            )
        pages = _collected(source, [number])
    status = path.stat()
    return _scaled(pages, lambda: _span_of_file(path, channel, (status.st_mtime_ns, status.st_size)))


def _opened(path: Path, channel: int | None) -> AbstractContextManager[ImageSource]:
    require_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    return open_tiff(path, channel) if start in _TIFF_MARKS else open_raster(path, channel)


def _collected(source: ImageSource, numbers: Iterable[int]) -> Pages:
    """Read pages into one array; fractions are left as stored."""
    wanted = list(numbers)
    values: Samples | None = None
    full_scale = 0.0
    said: dict[str, list[int]] = {}
    for place, number in enumerate(wanted):
        page = source.load(number)
        if values is None:
            full_scale = page.full_scale
            values = _room(source.path, page, len(wanted))
        _require_alike(source.path, page, values, number)
        _require_finite(source, page, number)
        values[place] = page.values
        for note in (*page.notes, *_constant(page)):
            said.setdefault(note, []).append(number + 1)
    if values is None:
        raise InputError(f"{source.path}: has no page.")
    notes = tuple(_for_pages(note, where, len(wanted), source.count) for note, where in said.items())
    return Pages(values, full_scale, source.um_per_pixel, (*source.notes, *notes))


def _room(path: Path, page: PageImage, count: int) -> Samples:
    require_bytes(
        page.values.nbytes * count,
        what=f"{path}: {count} pages of {page.values.shape[0]} x {page.values.shape[1]} pixels, as one array,",
        remedy="Read it page by page (kotowari.formats.image.read_page)",
    )
    return np.empty((count, *page.values.shape), page.values.dtype)


def _require_alike(path: Path, page: PageImage, values: Samples, number: int) -> None:
    if page.values.shape != values.shape[1:] or page.values.dtype != values.dtype:
        raise InputError(
            f"{path}: page {number + 1} is {page.values.shape} {page.values.dtype}, the first {values.shape[1:]} "
            f"{values.dtype} (height, width, channel). Save pages of different kinds as files of their own."
        )


def _require_finite(source: ImageSource, page: PageImage, number: int) -> None:
    if page.values.dtype.kind != "f":
        return
    bad = ~np.isfinite(page.values)
    if bad.any():
        row, column, _ = np.unravel_index(int(bad.argmax()), bad.shape)
        raise InputError(
            f"{source.path}: has {int(bad.sum()):,} values that are NaN or infinite, the first on page {number + 1}, "
            f"row {row + 1}, column {column + 1} (counted from 1). Replace them by numbers."
        )


def _constant(page: PageImage) -> Iterator[str]:
    first = page.values[:1, :1]
    if (page.values == first).all():
        yield f"every pixel has one value ({', '.join(f'{value:g}' for value in first.ravel())})"


def _for_pages(note: str, where: list[int], n_read: int, n_all: int) -> str:
    if n_all == 1 or (len(where) == n_read and n_read > 1):
        return note
    return f"page{'s' if len(where) > 1 else ''} {few(where)}: {note}"


def _scaled(pages: Pages, span: Callable[[], tuple[float, float]]) -> Pages:
    """Bring fractions into [0, 1]; whole numbers stay."""
    if pages.values.dtype.kind != "f":
        return pages
    low, high = span()
    if low >= 0.0 and high <= 1.0:
        return pages
    width = high - low
    # in float64, since float32 may overflow in the difference
    scaled = (pages.values.astype(np.float64) - low) / (width or 1.0)
    note = f"its values, {low:g} .. {high:g}, were scaled to 0 .. 1 by their range over all pages"
    return Pages(scaled.astype(np.float32), 1.0, pages.um_per_pixel, (*pages.notes, note))


def _span_of(values: Samples) -> tuple[float, float]:
    return float(values.min()), float(values.max())


@lru_cache(maxsize=64)
def _span_of_file(path: Path, channel: int | None, version: tuple[int, int]) -> tuple[float, float]:
    del version  # a changed file is another file
    with _opened(path, channel) as source:
        spans = [_span_of(_collected(source, [number]).values) for number in range(source.count)]
    return min(low for low, _ in spans), max(high for _, high in spans)
