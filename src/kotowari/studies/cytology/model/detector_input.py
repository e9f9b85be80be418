"""An image as the detector sees it: light made additive, each image on the scale of its own cells."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from kotowari.core.errors import InputError, ShapeError

__all__ = ["Polarity", "PreparedImage", "additive_light", "prepare_image", "require_image", "unseen", "visible"]

Polarity = Literal["bright", "dark"]
FloatImage = npt.NDArray[np.float32]

_DARKEST = 4 / 255  # light that is added before the logarithm, so that noise in black pixels stays finite
_SMOOTHING = 0.7  # px
_LEAST_SCALE = 0.02  # of visible light: below it an image is noise
_DYE = (0.6, 0.3, 0.1)  # haematoxylin and azure absorb red most, eosin does not; Ruifrok 2001 gives 0.65, 0.70, 0.29


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """One image, ready for the network and for taking cells out of it.

    Parameters
    ----------
    light
        Shape ``(channel, height, width)``, float32: intensity of bright cells, optical density of dark ones. What two
        cells at one place emit or absorb adds up in these units.
    scaled
        The same shape: visible light less the background, in units of the cells' own contrast.
    background
        Shape ``(channel,)``: visible light of the background.
    scale
        Contrast of the cells in units of visible light, above 0.
    contrast
        Shape ``(height, width)``: smoothed ``scaled``, mean over channels (weighted by dye where cells are dark).
    cut
        Otsu's threshold on ``contrast``; 0 where the image has one value.
    """

    light: FloatImage
    scaled: FloatImage
    background: FloatImage
    scale: float
    contrast: FloatImage
    cut: float


def require_image(image: npt.ArrayLike, n_channels: int | None = None) -> FloatImage:
    """Return an image as float32 ``(height, width, channel)``, or say what is wrong with it.

    Raises
    ------
    ShapeError
        When it has other axes, or another number of channels.
    InputError
        When it is empty, holds NaN or infinity, or lies outside of [0, 1].
    """
    values = np.asarray(image, dtype=np.float32)
    if values.ndim != 3 or values.shape[2] not in {1, 3} or n_channels not in {None, values.shape[2]}:
        wanted = "1 or 3" if n_channels is None else str(n_channels)
        raise ShapeError.mismatch("CellDetector", "image", ("height", "width", f"channel: {wanted}"), values.shape)
    if min(values.shape[:2]) < 16:
        raise ShapeError(f"CellDetector: an image needs sides of 16 pixels or more, got {values.shape[:2]}.")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise InputError("CellDetector: an image must hold finite values in [0, 1]. Divide by its full scale.")
    return values


def additive_light(image: FloatImage, polarity: Polarity) -> FloatImage:
    r"""Return ``(height, width, channel)`` in [0, 1] as additive light, ``(channel, height, width)``.

    Dark cells: :math:`-\log((I + \epsilon)/(1 + \epsilon))`, Beer-Lambert. Bright ones: the intensity.
    """
    values = np.moveaxis(image, 2, 0)
    if polarity == "bright":
        return np.ascontiguousarray(values)
    return np.asarray(-np.log((values + _DARKEST) / (1 + _DARKEST)), dtype=np.float32)


def visible(light: FloatImage, polarity: Polarity) -> FloatImage:
    """Return light on the scale on which it is compared: square roots of intensities, whose noise is even."""
    return np.sqrt(np.maximum(light, 0)) if polarity == "bright" else light


def prepare_image(image: FloatImage, polarity: Polarity) -> PreparedImage:
    """Measure background and contrast of an image by Otsu's two classes, and put it on their scale.

    Parameters
    ----------
    image
        Shape ``(height, width, channel)``, float32 in [0, 1].
    polarity
        Whether cells are brighter or darker than what is around them.

    Source: Otsu 1979, IEEE Trans. Syst. Man Cybern. 9(1); Ruifrok and Johnston 2001, Anal. Quant. Cytol. Histol. 23
    (optical density of dyes); Anscombe 1948, Biometrika 35 (square roots of counts). Scaling each image by its own
    two classes is ours: dim images then count as much as bright ones.
    """
    light = additive_light(image, polarity)
    seen = visible(light, polarity)
    dye = np.asarray(_DYE if polarity == "dark" and len(seen) == 3 else np.full(len(seen), 1 / len(seen)), np.float32)
    smooth = ndimage.gaussian_filter(np.tensordot(dye, seen, 1), _SMOOTHING)
    if smooth.max() - smooth.min() < np.finfo(np.float32).eps:
        background = seen.mean((1, 2))
        return PreparedImage(light, np.zeros_like(seen), background, _LEAST_SCALE, np.zeros_like(smooth), 0.0)
    cells = smooth > threshold_otsu(smooth)
    background = np.median(seen[:, ~cells], axis=1).astype(np.float32)
    scale = max(float(seen[:, cells].mean() - background.mean()), _LEAST_SCALE)
    scaled = ((seen - background[:, None, None]) / scale).astype(np.float32)
    contrast = ndimage.gaussian_filter(np.tensordot(dye, scaled, 1), _SMOOTHING)
    return PreparedImage(light, scaled, background, scale, contrast, float(threshold_otsu(contrast)))


def unseen(background: FloatImage, polarity: Polarity) -> FloatImage:
    """Return visible light as values of an image in [0, 1]; inverts :func:`additive_light` and :func:`visible`."""
    if polarity == "bright":
        return np.asarray(background**2, dtype=np.float32)
    return np.asarray(np.exp(-background) * (1 + _DARKEST) - _DARKEST, dtype=np.float32)
