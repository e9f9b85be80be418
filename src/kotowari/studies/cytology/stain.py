"""What kind of image it is, whether cells are brighter or darker than their background, and absorption."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from kotowari.core.errors import InputError, ShapeError

__all__ = ["Kind", "Polarity", "Stain", "find_stain", "is_colour", "optical_density", "require_image", "white_level"]

Kind = Literal["fluorescence", "bright-field", "phase"]
Polarity = Literal["bright", "dark"]
FloatImage = npt.NDArray[np.float32]

_GREY_TOL = 2 / 255  # two steps of an 8-bit camera
_PHASE_BALANCE = 0.3
_DARKEST = 1 / 255
_LEVELS = 256
_SLOW = 6  # an illumination varies over a sixth of the image's shorter side or more


@dataclass(frozen=True)
class Stain:
    """What kind of image it is.

    Parameters
    ----------
    kind
        ``"fluorescence"`` (bright cells on dark), ``"bright-field"`` (absorbing cells on bright) or ``"phase"``
        (grey, brighter and darker than a middle grey).
    polarity
        ``"bright"`` or ``"dark"``: cells against their background.
    sure
        0 (a guess) to 1.
    """

    kind: Kind
    polarity: Polarity
    sure: float


def find_stain(image: npt.ArrayLike) -> Stain:
    """Tell kind and polarity of one image from how its values lie about their background.

    Less its own slow illumination, an image has a longer tail on the side of its cells; how much longer it is, and
    whether the commonest value lies in the dark or the bright half of the range, vote together. A grey image whose
    tails balance about a middle grey is phase contrast. An image of one value is undecided: ``sure`` is 0.

    Parameters
    ----------
    image
        Shape ``(height, width, channel)``, channel 1 or 3, 0 to 1.

    Returns
    -------
    Stain
        ``sure`` is the size of the vote.

    Raises
    ------
    ShapeError
        When the image has other axes or channels.
    InputError
        When a value is not finite.

    Our own rule. It takes the background for the larger part of the image: where cells cover nearly all of it, only
    the place of the commonest value in the range speaks.
    """
    values = require_image(image, "find_stain")
    grey = values.mean(-1)
    low, high = np.percentile(grey, [0.5, 99.5])
    if high - low < np.finfo(np.float32).eps:
        return Stain("bright-field" if low > 0.5 else "fluorescence", "dark" if low > 0.5 else "bright", 0.0)
    mode = _commonest(grey, float(low), float(high))
    lean = _lean(grey)
    colour = is_colour(values)
    if not colour and abs(lean) < _PHASE_BALANCE and 0.2 < mode < 0.8:
        return Stain("phase", "bright" if lean > 0 else "dark", 1 - abs(lean) / _PHASE_BALANCE)
    vote = lean + 2 * (0.5 - mode)
    sure = min(1.0, abs(vote))
    return Stain("fluorescence", "bright", sure) if vote > 0 else Stain("bright-field", "dark", sure)


def is_colour(image: FloatImage) -> bool:
    """Whether the channels differ by more than the steps of an 8-bit camera in one pixel of a hundred."""
    if image.shape[-1] == 1:
        return False
    spread = image.max(-1) - image.min(-1)
    return bool(np.percentile(spread, 99) > _GREY_TOL)


def optical_density(image: npt.ArrayLike, white: npt.ArrayLike | None = None) -> FloatImage:
    r"""Absorption of each channel, :math:`-\ln(I / I_0)`, 0 or more; additive in the amount of stain.

    Parameters
    ----------
    image
        Shape ``(height, width, channel)``, 0 to 1. Values under 1/255 count as 1/255.
    white
        :math:`I_0`, shape ``(channel,)``: the light without a cell; from :func:`white_level` if left out.

    Raises
    ------
    ShapeError
        When the image has other axes or channels.
    InputError
        When a value is not finite.

    Source: the Beer-Lambert law; Ruifrok and Johnston 2001, Anal. Quant. Cytol. Histol. 23:291-299.
    """
    values = require_image(image, "optical_density")
    light = white_level(values) if white is None else np.asarray(white, dtype=np.float32)
    ratio = np.maximum(values, _DARKEST) / np.maximum(light, _DARKEST)
    density: FloatImage = np.maximum(-np.log(ratio), 0).astype(np.float32)
    return density


def white_level(image: FloatImage) -> FloatImage:
    """Light without a cell, shape ``(channel,)``: the 95th percentile of each channel."""
    light: FloatImage = np.percentile(image, 95, axis=(0, 1)).astype(np.float32)
    return light


def require_image(image: npt.ArrayLike, owner: str) -> FloatImage:
    """Return the image as float32, or say what is wrong with it.

    Raises
    ------
    ShapeError
        When it is not ``(height, width, channel)`` with 1 or 3 channels.
    InputError
        When a value is not finite.
    """
    values = np.asarray(image, dtype=np.float32)
    if values.ndim != 3 or values.shape[-1] not in {1, 3} or 0 in values.shape:
        raise ShapeError.mismatch(owner, "image", ("height", "width", "1 or 3"), values.shape)
    if not np.isfinite(values).all():
        raise InputError(f"{owner}: the image holds NaN or infinity. Replace those pixels first.")
    return values


def _lean(grey: FloatImage) -> float:
    """Return how much longer the upper tail is, -1 to 1, after the slow illumination has been taken away."""
    fast = grey - ndimage.gaussian_filter(grey, min(grey.shape) / _SLOW, mode="reflect")
    low, high = np.percentile(fast, [0.5, 99.5])
    if high - low < np.finfo(np.float32).eps:
        return 0.0
    mode = _commonest(fast, float(low), float(high))
    return float((high + low - 2 * mode) / (high - low))


def _commonest(grey: FloatImage, low: float, high: float) -> float:
    counts, edges = np.histogram(grey, bins=_LEVELS, range=(low, high))
    smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), _LEVELS / 64, mode="constant")
    place = int(np.argmax(smooth))
    return float((edges[place] + edges[place + 1]) / 2)
