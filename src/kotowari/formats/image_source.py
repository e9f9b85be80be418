"""What every kind of image file offers, and how samples of a pixel become grey or colour."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError

__all__ = [
    "LARGEST_PIXEL_UM",
    "ImageSource",
    "PageImage",
    "chosen_channel",
    "cmyk_to_colour",
    "plausible_um",
    "require_opaque",
    "without_grey_copies",
]

Samples = npt.NDArray[Any]

# above it a resolution is that of a screen or printer (72 to 1,200 dots per inch: 353 to 21 um), not of a microscope
LARGEST_PIXEL_UM = 20.0


@dataclass(frozen=True, eq=False)
class PageImage:
    """One page as it stands in the file, its samples already told apart.

    Parameters
    ----------
    values
        Shape ``(height, width, channel)`` with channel 1 or 3: uint8, uint16, or float32 as stored, not yet scaled.
    full_scale
        Value of full light: 255, 65535, less where the file says that fewer bits are used; 1.0 for float32.
    notes
        What was done to the samples, a sentence each.
    """

    values: Samples
    full_scale: float
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ImageSource:
    """An open image file.

    Parameters
    ----------
    path
        The file.
    count
        Number of pages.
    load
        Page number, counted from 0, to the page.
    um_per_pixel
        Side of a pixel in micrometres; None where the file does not tell it.
    notes
        What holds for the file as a whole.
    """

    path: Path
    count: int
    load: Callable[[int], PageImage]
    um_per_pixel: float | None
    notes: tuple[str, ...]


def chosen_channel(samples: Samples, channel: int, where: str) -> Samples:
    """Return one channel of ``(height, width, channel)`` as ``(height, width, 1)``, or refuse a number beyond them."""
    if not 0 <= channel < samples.shape[2]:
        raise InputError(
            f"{where}: has {samples.shape[2]} channels; channel must be 0 .. {samples.shape[2] - 1}, got {channel}."
        )
    return samples[..., channel : channel + 1]


def require_opaque(opacity: Samples, full: int, where: str) -> None:
    """Raise :class:`InputError` when a channel of opacity is below full anywhere."""
    clear = int(np.count_nonzero(opacity < full))
    if clear:
        raise InputError(
            f"{where}: is transparent in {clear:,} of {opacity.size:,} pixels, which have no value of their own. "
            "Save it without opacity."
        )


def cmyk_to_colour(ink: Samples, full: int) -> Samples:
    r"""Return red, green, blue from four inks, :math:`R = (F - C)(F - K) / F` and so on; no colour profile is used."""
    light = full - ink.astype(np.float64)
    return np.rint(light[..., :3] * light[..., 3:] / full).astype(ink.dtype)


def without_grey_copies(colour: Samples) -> Samples:
    """Return one channel where all three of ``(height, width, 3)`` are equal, else all."""
    grey = colour[..., :1]
    return grey if (colour == grey).all() else colour


def plausible_um(horizontal: float, vertical: float) -> tuple[float | None, tuple[str, ...]]:
    """Return micrometres per pixel from those along both axes, or None with a note that says why they are not taken."""
    if not (np.isfinite([horizontal, vertical]).all() and min(horizontal, vertical) > 0):
        return None, ()
    if horizontal > LARGEST_PIXEL_UM:
        return None, (
            f"its resolution, {horizontal:.4g} um per pixel, is that of a screen or printer and is not taken for "
            "that of a microscope",
        )
    if abs(horizontal - vertical) > 0.01 * horizontal:
        return None, (
            f"its pixels are {horizontal:.4g} um wide and {vertical:.4g} um high, so no single size is taken",
        )
    return float(horizontal), ()
