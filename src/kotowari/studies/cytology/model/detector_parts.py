"""What one image gives for building others of known truth: its background without cells, and its clearest cells."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import regionprops

from kotowari.studies.cytology.instance_options import InstanceOptions
from kotowari.studies.cytology.model.detector_input import PreparedImage
from kotowari.studies.cytology.model.instances import find_instances

__all__ = ["ImageParts", "SingleCell", "take_apart"]

FloatImage = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

_REACH = 12.0  # px over which a background is continued below the cells
_HALO = 3  # px around a cell that may hold its blur
_LOOSE = 0.45  # of the cut: what lies above is no background
_FEWEST_BACKGROUND = 0.03
_N_SHIFTS = 60
_LIKENESS = ((0.9, 0.9), (0.8, 0.8), (0.0, 0.0))  # to a convex shape and to an ellipse; looser where none qualifies


@dataclass(frozen=True, eq=False)
class SingleCell:
    """One cell without its background.

    Parameters
    ----------
    light
        Shape ``(channel, height, width)``: additive light less the background's.
    mask
        Shape ``(height, width)``.
    area
        Pixels of the mask.
    direction
        Of the long axis, degrees.
    """

    light: FloatImage
    mask: Mask
    area: float
    direction: float


@dataclass(frozen=True, eq=False)
class ImageParts:
    """One image taken apart.

    Parameters
    ----------
    image
        As prepared; its scale is that of everything built from it.
    background
        Shape ``(channel, height, width)``: additive light without cells, with the noise of the image.
    cells
        Single ones, wholly inside the image.
    radius
        Of the median cell, px; 0 without cells.
    """

    image: PreparedImage
    background: FloatImage
    cells: tuple[SingleCell, ...]
    radius: float


def take_apart(image: PreparedImage, rng: np.random.Generator) -> ImageParts | None:
    """Return background and single cells of an image; None where next to no background can be seen.

    Cells are those of Otsu's cut and the study's instance stage that look like one cell: convex and elliptic. Under
    all that might be a cell the background is continued from around it, with noise borrowed from elsewhere.
    """
    options = InstanceOptions(smoothing=0.0)
    labels = find_instances(image.contrast, image.cut, options).labels if image.cut > 0 else None
    if labels is None:
        labels = np.zeros(image.contrast.shape, np.int32)
    doubtful = (image.contrast > _LOOSE * image.cut) & (image.cut > 0)
    free = ~ndimage.binary_dilation(doubtful | (labels > 0), iterations=_HALO)
    if free.mean() < _FEWEST_BACKGROUND:
        return None
    smooth = _continued(image.light, free)
    areas = np.bincount(labels.ravel())[1:]
    radius = float(np.sqrt(np.median(areas[areas > 0]) / np.pi)) if (areas > 0).any() else 0.0
    cells = _single_cells(image.light - smooth, labels, radius)
    return ImageParts(image, _with_noise(image.light, smooth, free, rng), cells, radius)


def _continued(light: FloatImage, free: Mask) -> FloatImage:
    weight = free.astype(np.float32)
    share = ndimage.gaussian_filter(weight, _REACH) + 1e-4
    return np.stack(
        [(ndimage.gaussian_filter(c * weight, _REACH) + 1e-4 * np.median(c[free])) / share for c in light]
    ).astype(np.float32)


def _with_noise(light: FloatImage, smooth: FloatImage, free: Mask, rng: np.random.Generator) -> FloatImage:
    noise, known = light - smooth, free.copy()
    residual = noise.copy()
    noise[:, ~free] = 0
    for _ in range(_N_SHIFTS):
        if known.all():
            break
        shift = tuple(int(rng.integers(side)) for side in free.shape)
        new = np.roll(free, shift, (0, 1)) & ~known
        noise[:, new] = np.roll(residual, shift, (1, 2))[:, new]
        known |= new
    return smooth + noise


def _single_cells(light: FloatImage, labels: Labels, radius: float) -> tuple[SingleCell, ...]:
    low, high = 0.35 * np.pi * radius**2, 3 * np.pi * radius**2
    regions = [
        region
        for region in regionprops(labels)
        if low <= region.area <= high and not _at_border(region.bbox, labels.shape)
    ]
    for convex, elliptic in _LIKENESS:
        chosen = [region for region in regions if region.solidity >= convex and _ellipticity(region) >= elliptic]
        if chosen:
            return tuple(_cut_out(light, labels, region) for region in chosen)
    return ()


def _at_border(box: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    top, left, bottom, right = box
    return top < 2 or left < 2 or bottom > shape[0] - 2 or right > shape[1] - 2


def _ellipticity(region: object) -> float:
    """Area over that of the ellipse of the same second moments: 1 for an ellipse, less for all else."""
    axes = region.axis_major_length * region.axis_minor_length  # type: ignore[attr-defined]  # skimage has no stubs
    return float(region.area / max(np.pi / 4 * axes, 1.0))  # type: ignore[attr-defined]  # skimage has no stubs


def _cut_out(light: FloatImage, labels: Labels, region: object) -> SingleCell:
    """Return a cell with its blur, which fades out over :data:`_HALO` pixels and before any neighbour."""
    top, left, bottom, right = region.bbox  # type: ignore[attr-defined]  # skimage has no stubs
    edge = _HALO + 1
    box = (slice(max(0, top - edge), bottom + edge), slice(max(0, left - edge), right + edge))
    mask = labels[box] == region.label  # type: ignore[attr-defined]  # skimage has no stubs
    others = ndimage.binary_dilation((labels[box] > 0) & ~mask)
    fading = np.clip(1 - (ndimage.distance_transform_edt(~mask) - 1.5) / _HALO, 0, 1) * ~others
    direction = float(np.rad2deg(region.orientation))  # type: ignore[attr-defined]  # skimage has no stubs
    return SingleCell(
        (light[(slice(None), *box)] * np.where(mask, 1, fading)).astype(np.float32), mask, float(mask.sum()), direction
    )
