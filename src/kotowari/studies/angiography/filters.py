"""What brightens vessels in one frame without learning: top-hat, Frangi, Sato, Meijering, tuned on a training half."""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import frangi, meijering, sato

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.field import require_in_field
from kotowari.studies.angiography.ranking import ranking_scores
from kotowari.studies.angiography.threshold import best_dice_threshold

__all__ = [
    "VesselFilter",
    "all_filters",
    "fill_outside",
    "frangi_filter",
    "meijering_filter",
    "sato_filter",
    "top_hat_filter",
]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Scales = tuple[float, ...]
Response = Callable[[FloatArray, Scales], FloatArray]

_SCALE_PERCENT = 99
_SCALE_FRAMES = 32
_SMOOTHED_PX = 1.0
_RIDGE_SCALES = ((2.0, 3.0, 4.0), (3.0, 4.0, 5.0), (2.0, 4.0, 6.0), (3.0, 5.0, 7.0))
_SQUARES = ((3.0, 5.0, 8.0), (5.0, 8.0, 12.0), (5.0, 8.0, 12.0, 16.0), (8.0, 12.0, 16.0))


class VesselFilter:
    """A filter of single frames, whose scales and threshold are chosen on training pictures.

    Responses are divided by their 99th percentile inside the field, over at most some 32 frames of a call, so that one
    threshold can serve pictures of unlike contrast; ranks of pixels, and with them AUC and average precision of a
    frame, stay as they were. Outside of the field a frame continues with its nearest pixel inside: its rim would light
    up otherwise.

    Parameters
    ----------
    name
        Stands in tables.
    response
        From a frame of shape ``(height, width)`` and scales in px to its response.
    grid
        Scales to choose from, in px; the first are taken before ``fit``.

    Attributes
    ----------
    scales_
        The scales in use.
    threshold_
        Above it lies vessel; NaN before ``fit``.
    """

    def __init__(self, name: str, response: Response, grid: Sequence[Scales]) -> None:
        if not grid or any(not scales or min(scales) <= 0 for scales in grid):
            raise InputError(f"{name}: the grid must hold one tuple of scales above 0 px or more.")
        self.name = name
        self.response = response
        self.grid = tuple(grid)
        self.scales_: Scales = self.grid[0]
        self.threshold_ = np.nan

    def fit(
        self, frames: Sequence[FloatArray], truth: Sequence[BoolArray], fields: Sequence[BoolArray] | None = None
    ) -> Self:
        """Choose the scales by the mean AUC and then the threshold by the mean Dice of these pictures.

        Parameters
        ----------
        frames
            Log attenuation, each of shape ``(height, width)``; of the training half only.
        truth, fields
            Vessels and field of view of each; no field means the whole picture.

        Raises
        ------
        ShapeError, InputError
            When the numbers or shapes differ, or no picture holds both vessel and background.
        """
        inside = [np.ones(mask.shape, np.bool_) for mask in truth] if fields is None else list(fields)
        _require_alike(self.name, frames, truth, inside)
        best, chosen = -np.inf, None
        for scales in self.grid:
            maps = [self._enhanced(frame[None], field, scales)[0] for frame, field in zip(frames, inside, strict=True)]
            auc = _mean_auc(maps, truth, inside)
            if auc > best:
                best, chosen, self.scales_ = auc, maps, scales
        if chosen is None:
            raise InputError(f"{self.name}: no training picture holds both vessel and background inside its field.")
        self.threshold_ = best_dice_threshold(chosen, truth, inside)[0]
        return self

    def enhance(self, frames: FloatArray, field: BoolArray) -> FloatArray:
        """Return vessel maps, larger for more vessel and 0 outside of the field.

        Parameters
        ----------
        frames
            Log attenuation, shape ``(time, height, width)``.
        field
            Shape ``(height, width)``, not empty.
        """
        require_in_field(self.name, "frames", frames, field)
        return self._enhanced(frames, field, self.scales_)

    def _enhanced(self, frames: FloatArray, field: BoolArray, scales: Scales) -> FloatArray:
        maps = np.empty_like(frames, dtype=np.float32)
        rows, columns = _nearest_inside(field)
        for frame, map_ in zip(frames, maps, strict=True):
            map_[...] = self.response(frame[rows, columns], scales)
        maps[:, ~field] = 0
        inside = maps[:: max(1, len(maps) // _SCALE_FRAMES), field]
        scale = float(np.percentile(inside, _SCALE_PERCENT)) or float(inside.max()) or 1.0
        maps /= np.float32(scale)
        return maps


def top_hat_filter() -> VesselFilter:
    """White top-hat of the frame smoothed by 1 px, mean over squares; scales are half their sides.

    The mean, since the maximum over nested squares is the top-hat of the largest alone.
    """
    return VesselFilter("top-hat", _top_hat, _SQUARES)


def frangi_filter() -> VesselFilter:
    """Frangi's vesselness, bright ridges, b = 0.5 and c half the largest Hessian norm of each scale.

    Source: Frangi et al. 1998, MICCAI, eq. 15; scikit-image.
    """
    return VesselFilter("Frangi", lambda frame, scales: frangi(frame, scales, black_ridges=False), _RIDGE_SCALES)


def sato_filter() -> VesselFilter:
    """Sato's tubeness, bright ridges: the scaled Hessian eigenvalue across the ridge, largest over the scales.

    Source: Sato et al. 1998, Med. Image Anal. 2:143-168; scikit-image.
    """
    return VesselFilter("Sato", lambda frame, scales: sato(frame, scales, black_ridges=False), _RIDGE_SCALES)


def meijering_filter() -> VesselFilter:
    """Meijering's neuriteness, bright ridges.

    Source: Meijering et al. 2004, Cytometry A 58:167-176; scikit-image.
    """
    return VesselFilter("Meijering", lambda frame, scales: meijering(frame, scales, black_ridges=False), _RIDGE_SCALES)


def all_filters() -> tuple[VesselFilter, ...]:
    """Return the four comparators of single frames, not yet tuned."""
    return top_hat_filter(), frangi_filter(), sato_filter(), meijering_filter()


def fill_outside(frames: FloatArray, field: BoolArray) -> FloatArray:
    """Continue each frame outside of the field with the value of the nearest pixel inside.

    Parameters
    ----------
    frames
        Shape ``(..., height, width)``.
    field
        Shape ``(height, width)``, not empty.
    """
    filled: FloatArray = frames[..., *_nearest_inside(field)]
    return filled


def _nearest_inside(field: BoolArray) -> npt.NDArray[np.intp]:
    """Return the row and column of the nearest pixel inside for every pixel, shape ``(2, height, width)``."""
    nearest: npt.NDArray[np.intp] = ndimage.distance_transform_edt(~field, return_distances=False, return_indices=True)
    return nearest


def _top_hat(frame: FloatArray, scales: Scales) -> FloatArray:
    smooth = ndimage.gaussian_filter(frame, _SMOOTHED_PX)
    opened = [ndimage.grey_opening(smooth, 2 * int(half) + 1) for half in scales]
    hat: FloatArray = smooth - np.mean(opened, axis=0)
    return hat


def _mean_auc(maps: Sequence[FloatArray], truth: Sequence[BoolArray], fields: Sequence[BoolArray]) -> float:
    areas = [
        ranking_scores(map_[field & true], map_[field & ~true])[0]
        for map_, true, field in zip(maps, truth, fields, strict=True)
    ]
    defined = [area for area in areas if np.isfinite(area)]
    return float(np.mean(defined)) if defined else -np.inf


def _require_alike(
    name: str, frames: Sequence[FloatArray], truth: Sequence[BoolArray], fields: Sequence[BoolArray]
) -> None:
    if not frames or not len(frames) == len(truth) == len(fields):
        raise InputError(
            f"{name}: fit needs one truth and one field for each of one picture or more, "
            f"got {len(frames)} pictures, {len(truth)} truths and {len(fields)} fields."
        )
    for frame, true, field in zip(frames, truth, fields, strict=True):
        if frame.ndim != 2 or true.shape != frame.shape:
            raise ShapeError.mismatch(name, "truth", frame.shape, true.shape)
        if field.shape != frame.shape:
            raise ShapeError.mismatch(name, "field", frame.shape, field.shape)
