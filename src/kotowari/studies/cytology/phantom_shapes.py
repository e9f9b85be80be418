"""Outlines of single cells: soft, irregular ellipses with a nucleus and a texture of their own."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

__all__ = ["CellShape", "Patch", "draw_shape", "draw_speck", "pasted"]

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

_WAVES = np.arange(2, 6)
_MARGIN = 4


@dataclass(frozen=True, eq=False)
class CellShape:
    """One cell on a small square of pixels.

    Attributes
    ----------
    body
        Share of full thickness, float32, 0 to 1, soft at the rim.
    nucleus
        The same for the nucleus.
    texture
        Smooth noise of mean 0 and standard deviation 1.
    inside
        Pixels that belong to the cell: centres within the outline.
    """

    body: FloatImage
    nucleus: FloatImage
    texture: FloatImage
    inside: BoolImage


@dataclass(frozen=True)
class Patch:
    """Where a small square lies in an image, cut at its border."""

    image: tuple[slice, slice]
    square: tuple[slice, slice]


def draw_shape(rng: np.random.Generator, radius: float, *, edge_px: float = 1.0, rough: float = 0.05) -> CellShape:
    r"""Draw an ellipse whose radius waves along the outline.

    .. math:: R(\theta) = R_0\, e(\theta)\, \Big(1 + \sum_{k=2}^{5} a_k \cos(k \theta + \phi_k)\Big)

    Parameters
    ----------
    rng
        Stream of the cell.
    radius
        Of a disc of the same area but for the waves, in pixels.
    edge_px
        Breadth of the soft rim.
    rough
        Standard deviation of :math:`a_2`; the others fall as 1 / k.
    """
    half = int(np.ceil(1.9 * radius)) + _MARGIN
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    y, x = y - rng.uniform(-0.5, 0.5), x - rng.uniform(-0.5, 0.5)
    ratio, tilt = np.sqrt(rng.uniform(0.62, 1.0)), rng.uniform(0, np.pi)
    along, across = np.cos(tilt) * x + np.sin(tilt) * y, np.cos(tilt) * y - np.sin(tilt) * x
    away = np.hypot(along * ratio, across / ratio)
    angle = np.arctan2(across, along)
    waves = rng.normal(0, 2 * rough / _WAVES) * np.cos(angle[..., None] * _WAVES + rng.uniform(0, 2 * np.pi, 4))
    rim = radius * (1 + waves.sum(-1))
    body = _soft((rim - away) / edge_px)
    place, size = rng.normal(0, 0.12, 2) * radius, radius * rng.uniform(0.35, 0.5)
    nucleus = _soft((size * (1 + 0.5 * waves.sum(-1)) - np.hypot(y - place[0], x - place[1])) / edge_px)
    grain = gaussian_filter(rng.standard_normal(y.shape), max(0.8, 0.12 * radius))
    texture = (grain / max(float(grain.std()), 1e-12)).astype(np.float32)
    return CellShape(body, np.minimum(nucleus, body), texture, away <= rim)


def draw_speck(rng: np.random.Generator) -> tuple[FloatImage, BoolImage]:
    """Draw a small soft speck of dirt: its thickness, 0 to 1, and the pixels that it covers."""
    shape = draw_shape(rng, rng.uniform(1.0, 2.6), edge_px=0.7, rough=0.15)
    return shape.body, shape.body > 0.3


def pasted(square: tuple[int, ...], centre: tuple[int, int], shape: tuple[int, int]) -> Patch | None:
    """Return where a square of pixels with its middle at ``centre`` falls in an image; None where it misses it."""
    image, own = [], []
    for size, middle, length in zip(square[:2], centre, shape, strict=True):
        first = middle - size // 2
        low, high = max(0, first), min(length, first + size)
        if low >= high:
            return None
        image.append(slice(low, high))
        own.append(slice(low - first, high - first))
    return Patch((image[0], image[1]), (own[0], own[1]))


def _soft(depth: FloatArray) -> FloatImage:
    """Rise from 0 to 1 between half a rim outside and half a rim inside, smoothly."""
    rise = np.clip(depth + 0.5, 0, 1)
    return (rise * rise * (3 - 2 * rise)).astype(np.float32)
