"""When contrast comes to each pixel of a run, and what was there before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError

__all__ = ["ContrastArrival", "contrast_arrival", "find_device", "maximum_contrast"]

FloatFrames = npt.NDArray[np.float32]
FloatImage = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Rise = Literal["half-maximum", "onset"]

_SHARES = {"half-maximum": 0.5, "onset": 0.2}
_NORMAL_MAD = 1.4826
_N_SD = 5.0
_LEAST_FRAMES = 5
_LEAST_SHARE = 0.1
_DEVICE_SHARE = 0.5
_BLOCK = 1 << 16
_NOISE_PIXELS = 20_000


@dataclass(frozen=True, eq=False)
class ContrastArrival:
    """When contrast comes, pixel by pixel.

    Attributes
    ----------
    arrival_s
        Shape ``(height, width)``: in the unit of the frame times; NaN where no contrast came, or where it was there
        from the first frame.
    rise
        Shape ``(height, width)``: largest value of the smoothed layer less its level at the start, in its unit.
    least_rise
        The rise that a pixel needed.
    """

    arrival_s: FloatImage
    rise: FloatImage
    least_rise: float


def contrast_arrival(
    layers: FloatFrames,
    frame_s: npt.NDArray[np.float64],
    field: BoolArray,
    *,
    before: BoolArray | None = None,
    least_rise: float | None = None,
    at: Rise = "half-maximum",
) -> ContrastArrival:
    """Time the rise of the vessel layer in every pixel of the field.

    Each pixel is smoothed by a running median over three frames, so a single frame does not count. It arrives when it
    first crosses a share of its largest rise above its level at the start, linear between frames: one half, or one
    fifth for the onset. A vessel that moves into a pixel arrives there when it does. Our own construction.

    Parameters
    ----------
    layers
        Shape ``(time, height, width)``, 5 frames or more: vessel layer or vessel map, larger for more vessel.
    frame_s
        Shape ``(time,)``, rising: in s, or in frames where times are missing.
    field
        Shape ``(height, width)``.
    before
        Shape ``(time,)``: frames before contrast, whose median is the level at the start; without them the least value
        of the smoothed layer is.
    least_rise
        0 or more, in units of the layer; None for 5 standard deviations of its noise, found from the differences of
        neighbouring frames, or a tenth of the 99th percentile of all rises where that is more.
    at
        Where on the rise: ``"half-maximum"`` is steadier, ``"onset"`` earlier.

    Raises
    ------
    ShapeError, InputError
        When shapes do not fit, the run has fewer than 5 frames, or an option is out of range.
    """
    _check(layers, frame_s, field, before)
    if at not in _SHARES or (least_rise is not None and not least_rise >= 0):
        raise InputError(
            f"contrast_arrival: at = {at!r} must be half-maximum or onset, least_rise = {least_rise} 0 or more."
        )
    flat = layers.reshape(len(layers), -1)
    pixels = np.flatnonzero(field)
    rise, time = np.empty(pixels.size, np.float32), np.empty(pixels.size)
    for block in _blocks(pixels.size):
        values = flat[:, pixels[block]]
        smooth = _running_median(values)
        start = smooth.min(axis=0) if before is None or not before.any() else np.median(values[before], axis=0)
        rise[block] = smooth.max(axis=0) - start
        time[block] = _crossing(smooth, start + np.float32(_SHARES[at]) * rise[block], frame_s)
    least = _least_rise(flat, pixels, rise) if least_rise is None else least_rise
    time[rise <= least] = np.nan
    return ContrastArrival(_picture(time, field, np.nan), _picture(rise, field, 0.0), least)


def maximum_contrast(layers: FloatFrames, field: BoolArray) -> FloatImage:
    """Return the picture of the whole tree: the largest value over time of the layer, median over three frames.

    Parameters
    ----------
    layers
        Shape ``(time, height, width)``; fewer than three frames are taken as they are.
    field
        Shape ``(height, width)``; 0 outside.
    """
    if layers.ndim != 3 or field.shape != layers.shape[1:]:
        raise ShapeError.mismatch("maximum_contrast", "layers", ("time", *field.shape), layers.shape)
    flat = layers.reshape(len(layers), -1)
    pixels = np.flatnonzero(field)
    most = np.empty(pixels.size, np.float32)
    for block in _blocks(pixels.size):
        values = flat[:, pixels[block]]
        most[block] = (_running_median(values) if len(values) >= 3 else values).max(axis=0)
    return _picture(most, field, 0.0)


def find_device(found: BoolArray, before: BoolArray) -> BoolArray:
    """Flag pixels that were called vessel in at least half of the frames before contrast: catheter, wire, clip.

    A catheter is as thin and dark as a vessel, and a sparse layer holds both; only that it is there before contrast
    tells it apart. One that moves later is flagged where it was.

    Parameters
    ----------
    found
        Shape ``(time, height, width)``: vessel masks.
    before
        Shape ``(time,)``: True in frames before contrast.

    Returns
    -------
    ndarray
        bool, shape ``(height, width)``; nowhere when there are no such frames.
    """
    if found.ndim != 3 or before.shape != found.shape[:1]:
        raise ShapeError.mismatch("find_device", "before", found.shape[:1], before.shape)
    if not before.any():
        return np.zeros(found.shape[1:], np.bool_)
    device: BoolArray = found[before].mean(axis=0) >= _DEVICE_SHARE
    return device


def _blocks(n_pixels: int) -> Iterator[slice]:
    """Cut the pixels into pieces, so that a long run is never copied whole."""
    return (slice(begin, begin + _BLOCK) for begin in range(0, n_pixels, _BLOCK))


def _running_median(values: FloatFrames) -> FloatFrames:
    """Return the median of each row and its two neighbours; the first and last rows meet themselves."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    earlier, now, later = padded[:-2], padded[1:-1], padded[2:]
    low, high = np.minimum(earlier, now), np.maximum(earlier, now)
    median: FloatFrames = np.maximum(low, np.minimum(high, later))
    return median


def _least_rise(flat: FloatFrames, pixels: npt.NDArray[np.intp], rise: FloatImage) -> float:
    sampled = flat[:, pixels[:: max(1, pixels.size // _NOISE_PIXELS)]]
    difference = np.abs(np.diff(sampled, axis=0))
    moving = difference[difference > 0]
    noise = _NORMAL_MAD * float(np.median(moving)) / np.sqrt(2) if moving.size else 0.0
    return max(_N_SD * noise, _LEAST_SHARE * float(np.percentile(rise, 99)))


def _crossing(smooth: FloatFrames, level: FloatImage, frame_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return when each column first reaches its level, NaN where it starts above it."""
    first = np.argmax(smooth >= level, axis=0)
    came = first > 0
    late = np.where(came, first, 1)
    column = np.arange(smooth.shape[1])
    above, below = smooth[late, column], smooth[late - 1, column]
    step = np.where(above > below, above - below, 1)
    share = np.clip((level - below) / step, 0, 1)
    time = frame_s[late - 1] + share * (frame_s[late] - frame_s[late - 1])
    return np.where(came, time, np.nan)


def _picture(values: npt.NDArray[np.floating], field: BoolArray, elsewhere: float) -> FloatImage:
    picture = np.full(field.shape, elsewhere, np.float32)
    picture[field] = values
    return picture


def _check(layers: FloatFrames, frame_s: npt.NDArray[np.float64], field: BoolArray, before: BoolArray | None) -> None:
    if layers.ndim != 3 or field.shape != layers.shape[1:]:
        raise ShapeError.mismatch("contrast_arrival", "layers", ("time", *field.shape), layers.shape)
    if frame_s.shape != layers.shape[:1]:
        raise ShapeError.mismatch("contrast_arrival", "frame_s", layers.shape[:1], frame_s.shape)
    if before is not None and before.shape != layers.shape[:1]:
        raise ShapeError.mismatch("contrast_arrival", "before", layers.shape[:1], before.shape)
    if len(layers) < _LEAST_FRAMES:
        raise InputError(f"contrast_arrival: needs {_LEAST_FRAMES} frames or more, got {len(layers)}.")
    if not field.any():
        raise InputError("contrast_arrival: the field of view is empty.")
