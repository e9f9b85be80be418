"""TIFF as grey or colour: what its samples stand for."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.formats.image_source import (
    ImageSource,
    PageImage,
    Samples,
    chosen_channel,
    cmyk_to_colour,
    require_opaque,
    without_grey_copies,
)
from kotowari.formats.tiff_resolution import pixel_size
from kotowari.formats.tiff_stored import StoredPages, open_stored

__all__ = ["open_tiff"]

# TIFF 6.0, PhotometricInterpretation
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _COLOUR, _PALETTE, _INKS, _YCBCR = 0, 1, 2, 3, 5, 6
_JPEGS = (6, 7)  # Compression: JPEG of TIFF 6.0, and of its technical note 2
_TURNS = {  # TIFF 6.0, Orientation: what brings row 0 to the top and column 0 to the left
    2: lambda page: page[:, ::-1],
    3: lambda page: page[::-1, ::-1],
    4: lambda page: page[::-1],
    5: lambda page: page.swapaxes(0, 1),
    6: lambda page: page.swapaxes(0, 1)[:, ::-1],
    7: lambda page: page.swapaxes(0, 1)[::-1, ::-1],
    8: lambda page: page.swapaxes(0, 1)[::-1],
}


@contextmanager
def open_tiff(path: Path, channel: int | None = None) -> Iterator[ImageSource]:
    """Open a TIFF file; pages are read when asked for.

    Axes of time, depth and image number become pages, in the order of the file. Three channels (axis C or samples)
    become red, green, blue; of another number of channels one is to be chosen.

    Raises
    ------
    InputError
        As :func:`kotowari.formats.tiff_stored.open_stored`, and when a page has 2 or more than 3 channels of which none
        was chosen, is transparent in places, or has pixels that are no brightness.
    MissingExtraError
        When its compression needs imagecodecs.
    """
    with open_stored(path) as pages:
        um_per_pixel, told = pixel_size(pages.tiff, pages.series.keyframe)
        yield ImageSource(path, len(pages.planes), partial(_page, pages, channel), um_per_pixel, (*pages.notes, *told))


def _page(pages: StoredPages, channel: int | None, number: int) -> PageImage:
    where, frame = pages.where(number), pages.series.keyframe
    notes: list[str] = []
    stored = _numbers(pages.load(number, channel), where, notes)
    values, full = _brightness(stored, frame, where, notes)
    if channel is not None and pages.planes.shape[1] == 1:
        values = chosen_channel(values, channel, where)
    values = _three_or_one(values, where)
    orientation = int(frame.tags.valueof(274, 1))
    if orientation in _TURNS:
        values = _TURNS[orientation](values)
        notes.append("was turned upright as its orientation asks")
    return PageImage(np.ascontiguousarray(values), full, tuple(notes))


def _three_or_one(values: Samples, where: str) -> Samples:
    n_channels = values.shape[2]
    if n_channels in (1, 3):
        return values
    raise InputError(
        f"{where}: has {n_channels} channels, where 1 (grey) or 3 (colour) can be read at once. "
        f"Say which one is meant: channel=0 .. {n_channels - 1}."
    )


def _numbers(stored: Samples, where: str, notes: list[str]) -> Samples:
    """Return samples as uint8, uint16 or float32, or say why they are none."""
    kind, size = stored.dtype.kind, stored.dtype.itemsize
    if kind == "b":
        notes.append("holds two values, read as 0 and 255")
        return stored.astype(np.uint8) * np.uint8(255)
    if kind == "u" and size <= 2:
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    if kind == "f":
        with np.errstate(over="ignore"):  # what overflows is infinite, and whoever checks the values finds it
            return stored.astype(np.float32)
    if kind == "i" and size <= 2 and stored.min(initial=0) >= 0:
        notes.append("holds signed whole numbers, none of them below 0, read as unsigned")
        return stored.astype(f"u{size}")
    raise InputError(
        f"{where}: holds {stored.dtype.name} numbers. An image is read from whole numbers of 8 or 16 bits that are 0 "
        "or more, or from fractions; label images are read by read_labels."
    )


def _brightness(samples: Samples, frame: Any, where: str, notes: list[str]) -> tuple[Samples, float]:
    """Return grey or colour whose 0 is black, and its full scale."""
    full = _full_scale(samples, frame)
    kind = int(frame.photometric)
    n_extra = len(frame.extrasamples)
    if n_extra == 1 and samples.shape[2] - n_extra in (1, 3):
        samples = _without_opacity(samples, full, frame, where, notes)
    _require_brightness(kind, int(frame.compression), samples, where)
    if kind == _WHITE_IS_ZERO:
        notes.append("was inverted, since its 0 stands for white")
        return (int(full) - samples).astype(samples.dtype), full
    if kind == _PALETTE and samples.shape[2] == 1:
        notes.append("its palette was turned into the colours that it stands for")
        return _coloured(samples[..., 0], frame.colormap), 255.0
    if kind == _INKS:
        notes.append("was turned from CMYK into red, green and blue without a colour profile")
        return cmyk_to_colour(samples, int(full)), full
    return samples, full


def _require_brightness(kind: int, compression: int, samples: Samples, where: str) -> None:
    """Refuse samples that cannot be turned into brightness."""
    fault = ""
    if kind not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _COLOUR, _PALETTE, _INKS, _YCBCR):
        fault = f"has pixels of photometric kind {kind}"
    elif kind == _YCBCR and compression not in _JPEGS:  # of a JPEG the decoder makes colour
        fault = "holds luma and chroma (YCbCr) that are not compressed as JPEG"
    elif kind == _INKS and (samples.shape[2] != 4 or samples.dtype.kind != "u"):
        fault = f"is separated into {samples.shape[2]} inks of type {samples.dtype.name}"
    elif kind == _WHITE_IS_ZERO and samples.dtype.kind != "u":
        fault = "holds fractions whose 0 stands for white"
    if fault:
        raise InputError(f"{where}: {fault}. Save it in grey or in red, green and blue.")


def _full_scale(samples: Samples, frame: Any) -> float:
    if samples.dtype.kind == "f":
        return 1.0
    bits = int(frame.bitspersample)
    return 255.0 if bits == 1 else float(2 ** min(bits, 8 * samples.dtype.itemsize) - 1)


def _without_opacity(samples: Samples, full: float, frame: Any, where: str, notes: list[str]) -> Samples:
    is_opacity = int(frame.extrasamples[0]) in (1, 2)  # associated, unassociated
    if is_opacity:
        require_opaque(samples[..., -1], int(full), where)
    elif (samples[..., -1] < full).any():
        return samples  # a channel of another kind
    notes.append("its channel of opacity is full everywhere and was left out")
    return samples[..., :-1]


def _coloured(indices: Samples, colormap: npt.NDArray[np.uint16]) -> Samples:
    """Look up a palette of 16 bits a colour and keep its upper 8, which is how such palettes are made."""
    table = (colormap >> 8).astype(np.uint8).T if colormap.max(initial=0) > 255 else colormap.astype(np.uint8).T
    return without_grey_copies(table[indices])
