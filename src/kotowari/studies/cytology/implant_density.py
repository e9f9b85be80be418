"""What the cells of real images absorb or emit above the background around them, and cells cut out of such images."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, find_objects, gaussian_filter, median_filter

from kotowari.studies.cytology.phantom_shapes import draw_shape

__all__ = ["CutCell", "Density", "cut_cells", "measure_density", "simulated_cell"]

FloatImage = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]
BoolImage = npt.NDArray[np.bool_]
Polarity = Literal["bright", "dark"]

_LEAST_LIGHT = 1 / 512
_RIM_PX = 2
_RING_PX = 3
_LEAST_PIXELS = 20


@dataclass(frozen=True, eq=False)
class CutCell:
    """One cell as a small picture of density.

    Attributes
    ----------
    density
        Shape ``(height, width, channel)``, float32; its mean over the cell and the channels is 1.
    inside
        Shape ``(height, width)``: pixels of the cell.
    """

    density: FloatImage
    inside: BoolImage


@dataclass(frozen=True, eq=False)
class Density:
    """One image as density of cells above their background.

    Attributes
    ----------
    values
        Shape ``(height, width, channel)``: optical density (dark cells) or light (bright cells).
    contrast
        Shape ``(channel,)``: median over the cells of their mean density; NaN without a cell.
    """

    values: FloatImage
    contrast: FloatArray


def measure_density(image: FloatImage, labels: Labels, polarity: Polarity) -> Density:
    r"""Measure what cells absorb or emit above the background around them.

    .. math:: d = \log B - \log I \ \text{(dark)}, \qquad d = I - B \ \text{(bright)}

    with the background B by Gaussian weights over the pixels 3 px or more away from any cell, three radii of a middling
    cell wide. Our own construction.

    Parameters
    ----------
    image
        Shape ``(height, width, channel)``, in [0, 1].
    labels
        Shape ``(height, width)``: 0 background.
    polarity
        Of cells against the background.
    """
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    radius = float(np.sqrt(np.median(areas) / np.pi)) if len(areas) else 10.0
    free = ~binary_dilation(labels > 0, iterations=_RING_PX)
    light = np.log(np.maximum(image, _LEAST_LIGHT)) if polarity == "dark" else image
    light = light.astype(np.float64)
    if not free.any():
        free = np.ones(labels.shape, dtype=np.bool_)
    level = np.median(light[free], axis=0)
    width = 3 * radius
    weight = gaussian_filter(free.astype(np.float64), width)[..., None]
    ground = gaussian_filter((light - level) * free[..., None], (width, width, 0)) / np.maximum(weight, 1e-3) + level
    values = (ground - light) if polarity == "dark" else (light - ground)
    numbers = labels.ravel()
    counts = np.bincount(numbers)
    sums = np.stack([np.bincount(numbers, channel.ravel()) for channel in np.moveaxis(values, -1, 0)], axis=1)
    seen = np.flatnonzero(counts[1:] >= _LEAST_PIXELS) + 1
    means = sums[seen] / counts[seen, None]
    contrast = np.median(means, axis=0) if len(seen) else np.full(image.shape[2], np.nan)
    return Density(values.astype(np.float32), contrast)


def cut_cells(density: Density, labels: Labels) -> list[CutCell]:
    """Cut out the cells that touch neither another one nor the border, with a soft rim, each scaled to a mean of 1."""
    found = []
    for number, place in enumerate(find_objects(labels), start=1):
        if place is None:
            continue
        margin = _RIM_PX + _RING_PX
        low = [part.start - margin for part in place]
        high = [part.stop + margin for part in place]
        if min(low) < 0 or high[0] > labels.shape[0] or high[1] > labels.shape[1]:
            continue
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        own = labels[window] == number
        near = binary_dilation(own, iterations=margin)
        if own.sum() < _LEAST_PIXELS or (near & (labels[window] > 0) & ~own).any():
            continue
        rim = np.clip(gaussian_filter(binary_dilation(own, iterations=_RIM_PX).astype(np.float32), 1.0), 0, 1)
        # a median, so that the noise of the cell's first place does not go along
        smooth = median_filter(density.values[window], (3, 3, 1)) * rim[..., None]
        mean = float(smooth[own].mean())
        if mean > 0:
            found.append(CutCell((smooth / mean).astype(np.float32), own))
    return found


def simulated_cell(rng: np.random.Generator, radius: float, polarity: Polarity, colour: FloatArray) -> CutCell:
    """Draw a soft irregular ellipse with texture, and with a nucleus where cells are dark.

    Parameters
    ----------
    rng
        Stream of the cell.
    radius
        In pixels, 3 or more.
    polarity
        Of cells against the background.
    colour
        Shape ``(channel,)``: density by channel; scaled to a mean of 1.
    """
    shape = draw_shape(rng, radius, edge_px=rng.uniform(1.0, 2.0))
    profile = shape.body * np.clip(1 + 0.15 * shape.texture, 0.2, None)
    if polarity == "dark":
        profile = profile + rng.uniform(1.0, 2.0) * shape.nucleus
    profile = profile / float(profile[shape.inside].mean())
    scaled = profile[..., None] * (colour / colour.mean())
    return CutCell(scaled.astype(np.float32), shape.inside)
