"""PNG and JPEG by Pillow: one page, its samples told apart, nothing cut down in silence."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError
from kotowari.formats.image_source import (
    ImageSource,
    PageImage,
    Samples,
    chosen_channel,
    cmyk_to_colour,
    plausible_um,
    require_opaque,
    without_grey_copies,
)

__all__ = ["open_pillow", "open_raster"]

_UM_PER_INCH = 25400.0
_PNG = b"\x89PNG\r\n\x1a\n"
_IHDR_DEPTH, _IHDR_COLOUR = 24, 25  # bytes of a PNG that tell bits a channel and kind of colour (11.2.1)
_ORIENTATION = 0x0112
_PHYS_UM = 1e6  # the unit of pHYs is the metre (PNG specification, third edition, 11.3.4.3)
_GREYS = ("1", "L", "LA", "I;16")


@contextmanager
def open_raster(path: Path, channel: int | None = None) -> Iterator[ImageSource]:
    """Open a PNG or JPEG file.

    Palettes become colour (grey where all entries are grey), one bit becomes 0 and 255, CMYK and YCCK become colour,
    full opacity is left out, and the EXIF orientation is carried out.

    Raises
    ------
    InputError
        When the file is neither, is damaged or cut short, is animated, is transparent in places, has 16 bits in more
        than one channel, or unpacks to more pixels than Pillow holds safe.
    """
    with open_pillow(path, ["PNG", "JPEG"]) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format == "PNG":
            raise InputError(f"{path}: is an animation of {frames} pictures. Save them as pages of a TIFF file.")
        notes = () if frames == 1 else (f"holds {frames} pictures; the first was taken",)
        um_per_pixel, told = _resolution(path, image)
        yield ImageSource(path, 1, partial(_page, path, image, channel), um_per_pixel, (*notes, *told))


@contextmanager
def open_pillow(path: Path, formats: list[str]) -> Iterator[Any]:
    """Open an image by Pillow, and tell in one sentence what goes wrong while it is open."""
    pillow = require_extra("PIL.Image", extra="images", by=f"Reading {path.name}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken EXIF and the like
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(BytesIO(path.read_bytes()), formats=formats) as image:
                yield image
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError) as error:
        raise InputError(
            f"{path}: unpacks to more than {pillow.MAX_IMAGE_PIXELS:,} pixels, which may be meant to fill the memory. "
            "Cut it into smaller images."
        ) from error
    except pillow.UnidentifiedImageError as error:
        raise InputError(f"{path}: is no {' or '.join(formats)} file, or is damaged at its start.") from error
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise InputError(f"{path}: is cut short or damaged ({error}). Fetch or write it again.") from error


def _page(path: Path, image: Any, channel: int | None, number: int) -> PageImage:
    del number  # there is one page
    _require_whole_depth(path, image)
    image.load()
    notes: list[str] = []
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = require_extra("PIL.ImageOps", extra="images", by="Turning an image").exif_transpose(image)
        notes.append("was turned upright as its EXIF orientation asks")
    samples = _samples(path, image, notes)
    if channel is not None:
        samples = chosen_channel(samples, channel, str(path))
    return PageImage(np.ascontiguousarray(samples), float(np.iinfo(samples.dtype).max), tuple(notes))


def _require_whole_depth(path: Path, image: Any) -> None:
    """Refuse what Pillow would cut from 16 bits down to 8 without a word."""
    if image.format != "PNG":
        return
    with path.open("rb") as file:
        header = file.read(_IHDR_COLOUR + 1)
    if header.startswith(_PNG) and header[_IHDR_DEPTH] == 16 and header[_IHDR_COLOUR] != 0:
        raise InputError(
            f"{path}: has 16 bits in each of several channels, which are read from TIFF only. "
            "Save it as TIFF, with 8 bits, or in grey."
        )


def _samples(path: Path, image: Any, notes: list[str]) -> Samples:
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.uint16)
        if "transparency" in image.info:  # a grey that stands for nothing
            require_opaque((grey != image.info["transparency"]).astype(np.uint8), 1, str(path))
        return grey[..., None]
    if image.has_transparency_data:
        require_opaque(np.asarray(image.convert("RGBA"))[..., 3], 255, str(path))
        notes.append("its channel of opacity is full everywhere and was left out")
    if image.mode == "1":
        notes.append("holds two values, read as 0 and 255")
    elif image.mode in ("P", "PA"):
        notes.append("its palette was turned into the colours that it stands for")
        return without_grey_copies(np.asarray(image.convert("RGB")))
    elif image.mode == "CMYK":
        notes.append("was turned from CMYK into red, green and blue without a colour profile")
        return cmyk_to_colour(np.asarray(image), 255)
    elif image.mode not in (*_GREYS, "RGB", "RGBA"):
        raise InputError(f"{path}: has pixels of kind {image.mode}. Save it in grey or in red, green and blue.")
    if image.mode in _GREYS:
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))


def _resolution(path: Path, image: Any) -> tuple[float | None, tuple[str, ...]]:
    if image.format == "PNG":
        return _png_resolution(path)
    dots = image.info.get("dpi")  # JFIF or EXIF; 0 or 1 where only a ratio is told
    if not dots or min(dots) <= 1:
        return None, ()
    return plausible_um(_UM_PER_INCH / float(dots[0]), _UM_PER_INCH / float(dots[1]))


def _png_resolution(path: Path) -> tuple[float | None, tuple[str, ...]]:
    """Read pHYs, which Pillow rounds to whole dots per inch."""
    with path.open("rb") as file:
        file.seek(len(_PNG))
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IDAT" or kind == b"IEND":
                break
            if kind != b"pHYs" or length != 9:
                file.seek(length + 4, 1)
                continue
            across, down, unit = struct.unpack(">IIB", file.read(9).ljust(9, b"\0"))
            if unit != 1 or not across or not down:
                break
            return plausible_um(_PHYS_UM / across, _PHYS_UM / down)
    return None, ()
