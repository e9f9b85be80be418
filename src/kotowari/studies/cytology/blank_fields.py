"""Blank fields: images without cells that have the shading, texture and noise of a user's own background."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, gaussian_filter

__all__ = ["blank_field"]

FloatImage = npt.NDArray[np.float32]
_MARGIN = 3
_LEAST_BACKGROUND = 0.2
_SHADING = 8  # shading is smoother than an eighth of the shorter side


def blank_field(image: FloatImage, cells: npt.NDArray[np.bool_], rng: np.random.Generator) -> FloatImage | None:
    """Return an image of the same size in which nothing is a cell.

    The background outside of the cells is split into smooth shading and texture. The shading stays; the texture, of
    which the cells' places are filled with its mean, gets random phases: its spectrum, and with it the grain and the
    noise, stays, and all that has an outline is gone. All channels share the phases, so that the hue of the grain stays
    as well. Our own construction, after the phase-randomised surrogates of Theiler et al. 1992, Physica D 58:77-94.

    Parameters
    ----------
    image
        Shape ``(height, width, channel)`` in [0, 1].
    cells
        Shape ``(height, width)``: whatever any method takes for a cell, best the union of several.
    rng
        Draws the phases.

    Returns
    -------
    array or None
        Shape and range of ``image``; None where cells cover more than 80 % of it, so that its background is not known.
    """
    outside = ~binary_dilation(cells, iterations=_MARGIN)
    share = float(outside.mean())
    if share < _LEAST_BACKGROUND:
        return None
    sigma = min(image.shape[:2]) / _SHADING
    weight = gaussian_filter(outside.astype(np.float64), sigma, mode="reflect")
    phases = np.exp(1j * _odd_phases(image.shape[:2], rng))
    made = np.empty_like(image)
    for channel in range(image.shape[2]):
        values = image[:, :, channel].astype(np.float64)
        far = float(values[outside].mean())  # where no background is near, its mean stands in
        shading = gaussian_filter(np.where(outside, values - far, 0.0), sigma, mode="reflect") / np.maximum(
            weight, 1e-3
        )
        texture = np.where(outside, values - far - shading, 0.0) / np.sqrt(share)
        grain = np.fft.ifft2(np.fft.fft2(texture) * phases).real
        made[:, :, channel] = np.clip(far + shading + grain, 0.0, 1.0)
    return made


def _odd_phases(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return random phases that are odd in frequency, so that a real image stays real; those of noise are."""
    phases: npt.NDArray[np.float64] = np.angle(np.fft.fft2(rng.standard_normal(shape)))
    return phases
