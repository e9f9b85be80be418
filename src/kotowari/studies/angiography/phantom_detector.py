"""From attenuation to grey levels: scatter, blur, photons that are counted, and quantisation."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, zoom

__all__ = ["detected", "round_shutter"]

FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

_SCATTER_REACH = 0.12


def round_shutter(shape: tuple[int, int]) -> BoolImage:
    """Return the field of view of a round image intensifier cut off at all four sides, True inside."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    middle = (np.array(shape) - 1) / 2
    away = np.hypot((y - middle[0]), (x - middle[1]))
    edge = max(1, round(0.03 * min(shape)))
    inside: BoolImage = away <= 0.56 * min(shape)
    inside[:edge] = inside[-edge:] = False
    inside[:, :edge] = inside[:, -edge:] = False
    return inside


def detected(
    attenuation: FloatImage,
    field: BoolImage,
    rng: np.random.Generator,
    *,
    photons: float,
    blur_px: float = 0.6,
    scatter: float = 0.15,
    full_scale: int = 255,
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    r"""Return the grey levels that a detector writes for one frame.

    .. math:: I = \mathrm{round}\Big(\frac{I_{max}}{N}\,
        \mathrm{Poisson}\big(N\, B\, [(1 - q) e^{-a} + q\, W e^{-a}]\big)\Big)

    with N photons in clear field, the detector's blur B (a Gaussian), and a share q of scattered light spread by a wide
    Gaussian W of 12 % of the shorter side. Outside of the field a fiftieth of the light leaks.

    Parameters
    ----------
    attenuation
        Shape ``(height, width)``.
    field
        Same shape, True inside the shutter.
    rng
        Stream of the photons.
    photons
        N, above 0.
    blur_px
        Standard deviation of B, 0 or more.
    scatter
        q, 0 to below 1.
    full_scale
        Largest grey level; up to 255 is written as uint8.
    """
    light = np.exp(-attenuation)
    if scatter > 0:
        coarse = max(1, min(light.shape) // 32)
        small = light[::coarse, ::coarse]
        wide = gaussian_filter(small, _SCATTER_REACH * min(small.shape), mode="nearest")
        factors = (light.shape[0] / small.shape[0], light.shape[1] / small.shape[1])
        light = (1 - scatter) * light + scatter * zoom(wide, factors, order=1, mode="nearest", grid_mode=True)
    light = np.where(field, light, np.float32(0.02) * light)
    if blur_px > 0:
        light = gaussian_filter(light, blur_px, mode="nearest")
    counts = rng.poisson(photons * light)
    grey = np.clip(np.rint(counts * (full_scale / photons)), 0, full_scale)
    levels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    levels = grey.astype(np.uint8) if full_scale <= 255 else grey.astype(np.uint16)
    return levels
