"""Pictures as PNG: grey of 8 or 16 bits and colour of 8 bits, without loss."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import write_bytes
from kotowari.formats.rows import require_file

__all__ = ["Picture", "encode_png", "read_png", "write_png"]

Picture = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

# where the header of a PNG tells bits a channel and kind of colour (PNG specification, third edition, 11.2.1)
_DEPTH, _COLOUR = 24, 25


def encode_png(image: Picture) -> bytes:
    """Return a picture as PNG; the same picture gives the same bytes.

    Parameters
    ----------
    image
        Shape ``(height, width)``, uint8 or uint16, or ``(height, width, 3)``, uint8 (red, green, blue).

    Raises
    ------
    ShapeError
        When the array has another shape or no pixel.
    InputError
        When it has another type.
    """
    grey = image.ndim == 2
    if not (grey or (image.ndim == 3 and image.shape[2] == 3)) or image.size == 0:
        raise ShapeError.mismatch("encode_png", "image", ("height", "width", "3 if in colour"), image.shape)
    native = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("="))
    if native.dtype != np.uint8 and not (grey and native.dtype == np.uint16):
        raise InputError(
            f"encode_png: {image.dtype} with {'one channel' if grey else '3 channels'} cannot be written. "
            "Grey may be uint8 or uint16, colour uint8."
        )
    buffer = BytesIO()
    _pillow().fromarray(native).save(buffer, format="PNG")
    return buffer.getvalue()


def write_png(path: Path, image: Picture) -> None:
    """Replace the file at ``path`` by a picture in one step; see :func:`encode_png` for what can be written."""
    write_bytes(Path(path), encode_png(image))


def read_png(path: Path) -> Picture:
    """Return the picture of a PNG file.

    Palettes become colour, black and white becomes 0 and 255, and a channel of opacity is left out if all is opaque.

    Returns
    -------
    array
        Shape ``(height, width)``, uint8 or uint16, or ``(height, width, 3)``, uint8.

    Raises
    ------
    InputError
        When the file cannot be read as PNG, is transparent somewhere, or has colour of 16 bits.
    """
    path = Path(path)
    require_file(path)
    pillow = _pillow()
    try:
        content = path.read_bytes()
        with pillow.open(BytesIO(content), formats=["PNG"]) as image:
            image.load()
            # Pillow would cut 16 bits of colour down to 8 without a word
            if content[_DEPTH] == 16 and content[_COLOUR] != 0:
                raise InputError(f"{path}: has colour of 16 bits a channel. Save it with 8 bits, or in grey.")
            return _array(path, image)
    except (OSError, SyntaxError, pillow.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as PNG ({error}).") from error


def _array(path: Path, image: Any) -> Picture:
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    if image.has_transparency_data:
        opaque = np.asarray(image.convert("RGBA"))
        if (opaque[..., 3] < 255).any():
            raise InputError(f"{path}: is transparent in places, which has no value here. Save it without opacity.")
    return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def _pillow() -> Any:
    return require_extra("PIL.Image", extra="omics", by="Working with PNG")
