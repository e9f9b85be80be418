"""An X-ray run in units of attenuation, and how it comes from the intensities that a detector wrote."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.field import field_of_view

__all__ = ["LogScale", "XrayRun", "judge_log_scale", "to_attenuation", "xray_run"]

FloatFrames = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

_RUN_AXES = 3
_FINEST_FLOAT_LEVEL = 255.0
_TAIL_PERCENT = 5.0
_SAMPLED_FRAMES = 16


@dataclass(frozen=True, eq=False)
class XrayRun:
    """Frames of one run in log attenuation, with what is needed to read them.

    Attributes
    ----------
    name
        Names the run in tables; no name of a patient.
    frames
        Shape ``(time, height, width)``, float32, finite: minus the natural logarithm of relative intensity, so vessels
        filled with contrast are bright. One frame is a run of length 1.
    field
        Shape ``(height, width)``: True inside the field of view.
    frame_s
        Shape ``(time,)``, rising: time of each frame in s, or None when the file does not tell.
    pixel_mm
        Width of a pixel at the detector or the isocentre, as the file has it, in mm; None when it does not tell.
    notes
        What was decided on the way here, sentence by sentence.
    levels
        Largest grey level that the attenuation comes from, by which vessels put into the run are rounded.

    Raises
    ------
    ShapeError, InputError
        When parts do not fit together, a frame is not finite, or the field is empty.
    """

    name: str
    frames: FloatFrames
    field: BoolImage
    frame_s: npt.NDArray[np.float64] | None = None
    pixel_mm: float | None = None
    notes: tuple[str, ...] = ()
    levels: float = 255.0

    def __post_init__(self) -> None:
        if self.frames.ndim != _RUN_AXES or len(self.frames) == 0:
            raise ShapeError.mismatch(f"run {self.name}", "frames", ("time", "height", "width"), self.frames.shape)
        if self.field.shape != self.frames.shape[1:]:
            raise ShapeError.mismatch(f"run {self.name}", "field", self.frames.shape[1:], self.field.shape)
        if not self.field.any():
            raise InputError(f"run {self.name}: the field of view is empty. Pass a field, or check the pixel values.")
        if not np.isfinite(self.frames).all():
            raise InputError(f"run {self.name}: some pixels are not finite. Replace NaN and infinity first.")
        if self.pixel_mm is not None and not self.pixel_mm > 0:
            raise InputError(f"run {self.name}: pixel_mm must be above 0, got {self.pixel_mm}.")
        if self.frame_s is not None:
            self._require_rising_times(self.frame_s)

    def _require_rising_times(self, frame_s: npt.NDArray[np.float64]) -> None:
        if frame_s.shape != (len(self.frames),):
            raise ShapeError.mismatch(f"run {self.name}", "frame_s", (len(self.frames),), frame_s.shape)
        if not (np.isfinite(frame_s).all() and (np.diff(frame_s) > 0).all()):
            raise InputError(f"run {self.name}: frame_s must be finite and rise from frame to frame.")


@dataclass(frozen=True)
class LogScale:
    """Whether intensities were already on a logarithmic scale, and who says so.

    Attributes
    ----------
    is_log
        The decision.
    skewness
        Of the intensities inside the field, by their 5th, 50th and 95th percentile, -1 to 1; median over the frames.
    sentence
        For the report.
    """

    is_log: bool
    skewness: float
    sentence: str


def xray_run(
    name: str,
    intensity: npt.ArrayLike,
    full_scale: float,
    *,
    is_log: bool | None = None,
    shutter: BoolImage | None = None,
    frame_s: npt.NDArray[np.float64] | None = None,
    pixel_mm: float | None = None,
) -> XrayRun:
    """Make a run from intensities: field of view found, scale judged and told, attenuation computed.

    Parameters
    ----------
    name
        Names the run in tables.
    intensity
        Shape ``(time, height, width)`` or ``(height, width)``, 0 to ``full_scale``; bright where much light came.
    full_scale
        The largest value that the detector can write.
    is_log
        What the file says about its scale; None lets the skewness decide.
    shutter
        Shape ``(height, width)``, True inside; what the file says about its shutter, joined with what is found.
    frame_s, pixel_mm
        As in :class:`XrayRun`.

    Raises
    ------
    ShapeError, InputError
        When the intensities are no run, are not finite, or leave the range from 0 to ``full_scale``.
    """
    values = _checked(name, intensity, full_scale)
    field = field_of_view(values)
    if shutter is not None:
        if shutter.shape != field.shape:
            raise ShapeError.mismatch(f"run {name}", "shutter", field.shape, shutter.shape)
        field = field & shutter
    scale = judge_log_scale(values, field, is_log)
    frames = to_attenuation(values, full_scale, scale.is_log)
    seen = f"The field of view holds {100 * field.mean():.0f} % of the pixels."
    notes = (scale.sentence, seen)
    return XrayRun(name, frames, field, frame_s, pixel_mm, notes, _levels(full_scale))


def to_attenuation(intensity: npt.ArrayLike, full_scale: float, is_log: bool = False) -> FloatFrames:
    r"""Return the log attenuation of intensities.

    .. math:: Y = -\log\frac{I + 1}{I_{max} + 1}

    with I in grey levels. Intensities on a logarithmic scale are taken to come from the table
    :math:`I = I_{max} \log(J + 1) / \log(I_{max} + 1)` of linear intensities J, and so

    .. math:: Y = \Bigl(1 - \frac{I}{I_{max}}\Bigr) \log(I_{max} + 1)

    Any other logarithmic table differs by a factor, which the file does not tell. Floats with a full scale of 1 or less
    are taken as if 255 grey levels fine. The logarithm is taken once, never of a logarithm.

    Parameters
    ----------
    intensity
        Shape ``(..., height, width)``, 0 to ``full_scale``.
    full_scale
        :math:`I_{max}`, above 0.
    is_log
        Whether the intensities are on a logarithmic scale already.

    Returns
    -------
    ndarray
        float32, same shape, 0 at full scale and ``log(levels + 1)`` at zero.

    Examples
    --------
    >>> to_attenuation(np.array([[0, 127, 255]], dtype=np.uint8), 255).round(2)
    array([[5.55, 0.69, 0.  ]], dtype=float32)
    """
    if not full_scale > 0:
        raise InputError(f"to_attenuation: full_scale must be above 0, got {full_scale}.")
    levels = np.float32(_levels(full_scale))
    grey = np.asarray(intensity).astype(np.float32)
    grey *= levels / np.float32(full_scale)
    if is_log:
        grey /= -levels
        grey += 1
        grey *= np.log1p(levels)
        return grey
    np.log1p(grey, out=grey)
    np.subtract(np.log1p(levels), grey, out=grey)
    return grey


def judge_log_scale(intensity: npt.NDArray[Any], field: BoolImage, is_log: bool | None = None) -> LogScale:
    """Decide by the flag of the file whether a run is log-scaled, and check it by the sign of its skewness.

    Light that passed through many independent layers is skewed to the right, since it is the exponential of a sum; its
    logarithm is not. The flag has the last word where there is one, and a sign that contradicts it is told. A flat
    picture with few dark vessels, such as one already subtracted, is skewed to the left without being log-scaled: then
    the check errs, which is why it only speaks.

    Parameters
    ----------
    intensity
        Shape ``(time, height, width)``.
    field
        Shape ``(height, width)``.
    is_log
        The flag; None when the file has none, then the sign decides.
    """
    every = max(1, len(intensity) // _SAMPLED_FRAMES)
    inside = intensity[::every][:, field].astype(np.float64)
    low, middle, high = np.percentile(inside, [_TAIL_PERCENT, 50, 100 - _TAIL_PERCENT], axis=1)
    spread = np.where(high > low, high - low, 1.0)
    skewness = float(np.median((high + low - 2 * middle) / spread))
    looks_log = skewness < 0
    seen = f"skewness {skewness:+.2f} looks {'log-scaled' if looks_log else 'linear'}"
    if is_log is None:
        return LogScale(looks_log, skewness, f"No flag tells whether the run is log-scaled; decided by sign: {seen}.")
    said = "log-scaled" if is_log else "linear"
    verdict = "agrees" if looks_log == is_log else "contradicts; the flag was followed"
    return LogScale(is_log, skewness, f"The run is taken as {said} by its flag; {seen}, which {verdict}.")


def _levels(full_scale: float) -> float:
    """Return the number of grey levels; floats up to 1 are taken as if those of a byte were behind them."""
    return full_scale if full_scale > 1 else _FINEST_FLOAT_LEVEL


def _checked(name: str, intensity: npt.ArrayLike, full_scale: float) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = np.asarray(intensity)
    values = values[None] if values.ndim == _RUN_AXES - 1 else values
    if values.ndim != _RUN_AXES or values.size == 0:
        raise ShapeError.mismatch(f"run {name}", "intensity", ("time", "height", "width"), values.shape)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= full_scale):
        raise InputError(
            f"run {name}: intensities must be finite and lie between 0 and {full_scale:g}, got {low:g} to {high:g}."
        )
    if low == high:
        raise InputError(f"run {name}: every pixel has the value {low:g}. There is nothing to see.")
    return values
