"""What users take from a run instead: a background subtracted, estimated without any learning."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from kotowari.core.errors import InputError
from kotowari.studies.angiography.field import require_in_field
from kotowari.studies.angiography.robust_background import robust_pca_layers

__all__ = [
    "Subtraction",
    "all_subtractions",
    "minus_first",
    "minus_gaussian",
    "minus_median",
    "most_minus_first",
    "robust_pca_subtraction",
]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Layers = Callable[[FloatArray, BoolArray], FloatArray]

_N_FIRST = 8
_GAUSSIAN_PX = 10.0


@dataclass(frozen=True)
class Subtraction:
    """A background subtracted from a run; what is brighter than it in attenuation is vessel.

    Attributes
    ----------
    name
        Stands in tables.
    layers
        From frames and field to the difference, signed; negative values are cut to 0.
    least_frames
        Frames that a run must have.
    """

    name: str
    layers: Layers
    least_frames: int = 2

    def enhance(self, frames: FloatArray, field: BoolArray) -> FloatArray:
        """Return vessel maps in units of attenuation, 0 or more, 0 outside of the field.

        Parameters
        ----------
        frames
            Log attenuation, shape ``(time, height, width)``.
        field
            Shape ``(height, width)``, not empty.

        Raises
        ------
        ShapeError, InputError
            When shapes do not fit, the field is empty, or the run is too short for this method.
        """
        require_in_field(self.name, "frames", frames, field)
        if len(frames) < self.least_frames:
            raise InputError(f"{self.name}: needs a run of {self.least_frames} frames or more, got {len(frames)}.")
        maps = np.maximum(self.layers(frames, field), np.float32(0))
        maps[:, ~field] = 0
        return maps


def minus_first(n_first: int = _N_FIRST) -> Subtraction:
    """Minus the mean of the first frames: digital subtraction angiography.

    Parameters
    ----------
    n_first
        Frames before contrast, 1 or more; at most half of the run is taken.
    """
    _require_frames(n_first)
    return Subtraction("minus first frames", lambda frames, _field: frames - _first(frames, n_first))


def minus_median() -> Subtraction:
    """Minus the median of each pixel over time."""

    def layers(frames: FloatArray, _field: BoolArray) -> FloatArray:
        return frames - np.median(frames, axis=0).astype(np.float32)

    return Subtraction("minus median", layers, least_frames=3)


def most_minus_first(n_first: int = _N_FIRST) -> Subtraction:
    """Largest attenuation over time minus the first frames: one picture, the same for every frame.

    Parameters
    ----------
    n_first
        As in :func:`minus_first`.
    """
    _require_frames(n_first)

    def layers(frames: FloatArray, _field: BoolArray) -> FloatArray:
        most: FloatArray = frames.max(axis=0) - _first(frames, n_first)
        return np.repeat(most[None], len(frames), axis=0)

    return Subtraction("maximum minus first frames", layers)


def minus_gaussian(width_px: float = _GAUSSIAN_PX) -> Subtraction:
    """Minus the frame smoothed in space, over the field only, so that the rim does not light up.

    Parameters
    ----------
    width_px
        Standard deviation of the Gaussian, above 0.
    """
    if not width_px > 0:
        raise InputError(f"minus_gaussian: width_px must be above 0, got {width_px}.")

    def layers(frames: FloatArray, field: BoolArray) -> FloatArray:
        inside = field.astype(np.float32)
        share = np.maximum(ndimage.gaussian_filter(inside, width_px), np.float32(1e-6))
        return np.stack([frame - ndimage.gaussian_filter(frame * inside, width_px) / share for frame in frames])

    return Subtraction("minus Gaussian", layers, least_frames=1)


def robust_pca_subtraction(most_frames: int = 100, max_steps: int = 100) -> Subtraction:
    """Sparse part of robust principal components of the frames, its negative half cut off.

    Parameters
    ----------
    most_frames
        A longer run is split on this many frames spread over it, and the others against the background found there.
    max_steps
        Step limit.
    """

    def layers(frames: FloatArray, field: BoolArray) -> FloatArray:
        return robust_pca_layers(frames, field, most_frames=most_frames, max_steps=max_steps)

    return Subtraction("robust PCA", layers)


def all_subtractions(n_first: int = _N_FIRST) -> tuple[Subtraction, ...]:
    """Return the five comparators of runs."""
    return (
        minus_first(n_first),
        minus_median(),
        most_minus_first(n_first),
        minus_gaussian(),
        robust_pca_subtraction(),
    )


def _first(frames: FloatArray, n_first: int) -> FloatArray:
    mean: FloatArray = frames[: min(n_first, max(1, len(frames) // 2))].mean(axis=0)
    return mean


def _require_frames(n_first: int) -> None:
    if n_first < 1:
        raise InputError(f"n_first must be 1 or more, got {n_first}.")
