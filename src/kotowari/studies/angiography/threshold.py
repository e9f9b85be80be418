"""From vessel maps to masks: a threshold from training pictures, or one from the run itself without any truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from skimage.filters import apply_hysteresis_threshold

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.field import require_in_field

__all__ = ["VesselThreshold", "best_dice_threshold", "run_threshold"]

BoolArray = npt.NDArray[np.bool_]
Map = npt.NDArray[np.floating]

_N_CANDIDATES = 256
_LOWEST_SHARE = 0.5
_N_SD = 3.0
_SPREAD_FRAMES = 64
_HYSTERESIS_PERCENT = (90.0, 95.0)


@dataclass(frozen=True)
class VesselThreshold:
    """How a vessel map becomes a mask.

    Attributes
    ----------
    low, high
        Pixels above ``low`` that hang together, within a frame, with one above ``high``. Equal for a plain threshold.
    rule
        Sentence for the report: how they were found.
    """

    low: float
    high: float
    rule: str

    def mask(self, maps: Map, field: BoolArray) -> BoolArray:
        """Return True for vessel, inside the field; shape of the maps, ``(time, height, width)``."""
        if self.low == self.high:
            return (maps > self.low) & field
        strong = np.nextafter(self.high, np.inf)
        weak = np.nextafter(self.low, np.inf)
        masks = np.empty(maps.shape, np.bool_)
        for frame, mask in zip(maps, masks, strict=True):
            mask[...] = apply_hysteresis_threshold(np.where(field, frame, -np.inf), weak, strong)
        return masks


def best_dice_threshold(
    maps: Sequence[Map], truth: Sequence[BoolArray], fields: Sequence[BoolArray]
) -> tuple[float, float]:
    """Return the one threshold with the best mean Dice over training pictures, and that mean.

    Parameters
    ----------
    maps, truth, fields
        One of each a picture, shape ``(height, width)``. Pictures without any vessel do not count.

    Returns
    -------
    tuple
        Threshold, out of 256 quantiles of the upper half of all values, and mean Dice: of the training pictures, so it
        flatters.

    Raises
    ------
    InputError
        When no picture holds a vessel.
    """
    pictures = [
        (np.sort(map_[field & true]), np.sort(map_[field & ~true]))
        for map_, true, field in zip(maps, truth, fields, strict=True)
        if (field & true).any()
    ]
    if not pictures:
        raise InputError("best_dice_threshold: no picture holds a vessel inside its field.")
    pooled = np.concatenate([values for picture in pictures for values in picture])
    candidates = np.unique(np.quantile(pooled, np.linspace(_LOWEST_SHARE, 1, _N_CANDIDATES, endpoint=False)))
    dice = np.mean([_dice(vessel, other, candidates) for vessel, other in pictures], axis=0)
    best = int(np.argmax(dice))
    return float(candidates[best]), float(dice[best])


def run_threshold(maps: Map, field: BoolArray, before: BoolArray | None = None) -> VesselThreshold:
    """Find the threshold of a run without its truth.

    Mean + 3 standard deviations of the map in the frames before contrast; without such frames, hysteresis between the
    90th and the 95th percentile of up to some 64 frames spread over the run.

    Parameters
    ----------
    maps
        Shape ``(time, height, width)``.
    field
        Shape ``(height, width)``, not empty.
    before
        Shape ``(time,)``: True in frames before contrast, such as :func:`find_contrast_free` guesses them.

    Raises
    ------
    ShapeError, InputError
        When shapes do not fit, or the field is empty.
    """
    require_in_field("run_threshold", "maps", maps, field)
    if before is not None and before.shape != maps.shape[:1]:
        raise ShapeError.mismatch("run_threshold", "before", maps.shape[:1], before.shape)
    if before is not None and before.any():
        quiet = maps[before][:, field].astype(np.float64)
        cut = float(quiet.mean() + _N_SD * quiet.std())
        n = int(before.sum())
        return VesselThreshold(cut, cut, f"Threshold {cut:.3g}: mean + 3 sd of the map in {n} frames before contrast.")
    low, high = (
        float(cut) for cut in np.percentile(maps[:: max(1, len(maps) // _SPREAD_FRAMES), field], _HYSTERESIS_PERCENT)
    )
    rule = f"Hysteresis {low:.3g} to {high:.3g}: 90th and 95th percentile, for want of frames before contrast."
    return VesselThreshold(low, high, rule)


def _dice(vessel: Map, other: Map, cuts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    both = len(vessel) - np.searchsorted(vessel, cuts, side="right")
    wrong = len(other) - np.searchsorted(other, cuts, side="right")
    dice: npt.NDArray[np.float64] = 2 * both / (len(vessel) + both + wrong)
    return dice
