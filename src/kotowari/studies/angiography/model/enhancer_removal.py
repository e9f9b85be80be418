"""Frames without their own vessels: what vessels are put into, to be learned from."""

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold
from skimage.morphology import disk, remove_small_objects, white_tophat

from kotowari.core.errors import ShapeError
from kotowari.studies.angiography.model.enhancer_input import LocalContrast

__all__ = ["connected_vessels", "narrow_part", "picture_scale", "remove_pixels", "suspected_vessels", "without_vessels"]

Picture = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_REFERENCE_SIDE = 300.0
_WIDEST = 10.0
_SURROUNDINGS = 18.75
_LOW_SHARE, _HIGH_SHARE = 0.20, 0.08
_LEAST_AREA = 60.0
_MARGIN = 2
_GRAIN_SIGMA = 2.0
_FIRST_SIGMA, _GROWTH = 2.0, 1.6
_LEAST_WEIGHT = 0.02
_MOST_SHIFTS = 40


def picture_scale(shape: tuple[int, ...]) -> float:
    """Return the shorter side of ``(..., height, width)`` in units of 300 pixels, for which lengths are given here."""
    return min(shape[-2:]) / _REFERENCE_SIDE


def without_vessels(frame: Picture, field: Mask, rng: np.random.Generator) -> Picture:
    """Return a frame whose vessels, as far as a top-hat suspects them, gave way to what surrounds them.

    Parameters
    ----------
    frame
        Shape ``(height, width)``, attenuation (vessels bright).
    field
        Shape ``(height, width)``, True inside the field of view.
    rng
        Decides where grain is taken from.

    Raises
    ------
    ShapeError
        When the two do not fit.
    """
    if frame.ndim != 2 or field.shape != frame.shape:
        raise ShapeError.mismatch("without_vessels", "field", frame.shape, field.shape)
    return remove_pixels(frame, suspected_vessels(frame, field), field, rng)


def suspected_vessels(frame: Picture, field: Mask) -> Mask:
    """Return what is narrow and bright against its surroundings, widened by two pixels.

    The brightest fifth of a top-hat of the local contrast, where it hangs together with the brightest twelfth: far more
    than vessels, so that few of them stay. Parameters are those of :func:`without_vessels`.
    """
    scale = picture_scale(frame.shape)
    with torch.no_grad():
        seen = LocalContrast(_SURROUNDINGS * scale)(torch.tensor(frame)[None, None], torch.tensor(field)[None, None])
    narrow = narrow_part(seen[0, 0].numpy())
    inside = narrow[field]
    found = apply_hysteresis_threshold(
        np.where(field, narrow, inside.min()), np.quantile(inside, 1 - _LOW_SHARE), np.quantile(inside, 1 - _HIGH_SHARE)
    )
    kept = remove_small_objects(found, max_size=round(_LEAST_AREA * scale**2))
    return np.asarray(ndimage.binary_dilation(kept, iterations=_MARGIN))


def connected_vessels(probability: Picture, *, low: float, high: float, least_area: float) -> Mask:
    """Return pixels above ``low`` in pieces that reach ``high`` and have an area, widened by two pixels.

    Contrast fills a tree from its root, so an isolated bit is rather a rib than a vessel; it stays in the frame, where
    a network learns that it is none. The area is in pixels of a picture of 300 pixels a side.
    """
    pieces = apply_hysteresis_threshold(probability, low, high)
    least = round(least_area * picture_scale(probability.shape) ** 2)
    return np.asarray(ndimage.binary_dilation(remove_small_objects(pieces, max_size=least), iterations=_MARGIN))


def narrow_part(frame: Picture) -> Picture:
    """Return the white top-hat of a smoothed picture: what is bright and narrower than the widest vessels."""
    smooth = ndimage.gaussian_filter(frame, 1.0)
    radius = round(_WIDEST * picture_scale(frame.shape))
    disc = disk(max(1, radius), decomposition="sequence")
    narrow: Picture = white_tophat(smooth, disc)
    return narrow


def remove_pixels(frame: Picture, removed: Mask, field: Mask, rng: np.random.Generator) -> Picture:
    """Replace pixels by a smooth continuation of their surroundings, with grain from elsewhere in the frame.

    Each pixel takes the mean of known pixels at the finest width at which there are enough of them. Grain is what a
    narrow Gaussian leaves of known pixels; it moves as a whole, so that its texture stays what it was.
    """
    known = field & ~removed
    weight = known.astype(np.float32)
    filled, missing = np.zeros(frame.shape, np.float32), removed.copy()
    sigma = _FIRST_SIGMA
    while missing.any() and sigma < 4 * max(frame.shape):
        share = ndimage.gaussian_filter(weight, sigma)
        take = missing & (share > _LEAST_WEIGHT)
        mean = ndimage.gaussian_filter(frame * weight, sigma)
        filled[take] = mean[take] / share[take]
        missing &= ~take
        sigma *= _GROWTH
    joined = ndimage.gaussian_filter(np.where(removed, filled, frame), _GRAIN_SIGMA)
    narrow = np.maximum(ndimage.gaussian_filter(weight, _GRAIN_SIGMA), 1e-3)
    grain = np.where(known, frame - ndimage.gaussian_filter(frame * weight, _GRAIN_SIGMA) / narrow, 0)
    return np.where(removed, joined + _moved(grain, known, removed, rng), frame).astype(np.float32)


def _moved(grain: Picture, known: Mask, wanted: Mask, rng: np.random.Generator) -> Picture:
    moved, missing = np.zeros_like(grain), wanted.copy()
    reach = min(grain.shape) // 4
    for _ in range(_MOST_SHIFTS):
        shift = tuple(int(step) for step in rng.integers(-reach, reach + 1, 2))
        there = missing & np.roll(known, shift, (0, 1))
        moved[there] = np.roll(grain, shift, (0, 1))[there]
        missing &= ~there
    return moved
