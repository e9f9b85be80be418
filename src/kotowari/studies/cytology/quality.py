"""What can be wrong with an image before any cell is sought: one value, saturation, blur, a copy of another."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import connected_components
from skimage.filters import laplace
from skimage.transform import resize

__all__ = ["Quality", "blurred", "joined_slides", "look_at"]

FloatArray = npt.NDArray[np.float64]
_THUMBNAIL = (32, 32)
_BROAD = 4.0  # pixels of the thumbnail; shading that all images of a microscope share is taken out
_SAME = 0.95
_FAR = 3.5
_LEAST_FALL = 4.0
_FEWEST = 5
_MAD_TO_SD = 1.4826
_TOP = 1 - 1 / 510


@dataclass(frozen=True)
class Quality:
    """What was seen on one image.

    Parameters
    ----------
    is_constant
        Every pixel has the same value.
    saturated
        Share of the pixels with a channel at the upper end of the scale, 0 to 1.
    focus
        Variance of the Laplacian over the variance of the image, both lightly smoothed; low where edges are blurred. 0
        for a constant image.
    thumbnail
        32 x 32 values without broad shading, of norm 1; zeros for a constant image.
    """

    is_constant: bool
    saturated: float
    focus: float
    thumbnail: npt.NDArray[np.float32]


def look_at(image: npt.NDArray[np.float32]) -> Quality:
    """Measure one image of shape ``(height, width, channel)`` in [0, 1].

    Source: Pech-Pacheco et al. 2000, ICPR (variance of the Laplacian); over the variance, so that contrast cancels, is
    ours.
    """
    grey = image.mean(2, dtype=np.float64)
    saturated = float((image >= _TOP).any(2).mean())
    if float(np.ptp(image)) == 0:
        return Quality(True, saturated, 0.0, np.zeros(_THUMBNAIL, np.float32).ravel())
    smooth = gaussian_filter(grey, 1.0)
    spread = float(smooth.var())
    focus = float(laplace(smooth).var() / spread) if spread > 0 else 0.0
    small = resize(grey, _THUMBNAIL, anti_aliasing=True, mode="reflect")
    fine = small - gaussian_filter(small, _BROAD)
    fine -= fine.mean()
    norm = float(np.linalg.norm(fine))
    thumbnail = fine / norm if norm > 0 else fine
    return Quality(False, saturated, focus, thumbnail.astype(np.float32).ravel())


def blurred(focus: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Mark images whose focus is far below that of the others: 3.5 robust deviations of its logarithm, and 4 times.

    Parameters
    ----------
    focus
        Shape ``(image,)``, of one stain; fewer than five images are never marked.
    """
    values = np.log(np.maximum(np.asarray(focus, np.float64), 1e-12))
    if len(values) < _FEWEST:
        return np.zeros(len(values), np.bool_)
    middle = np.median(values)
    scale = _MAD_TO_SD * np.median(np.abs(values - middle))
    marked: npt.NDArray[np.bool_] = values < middle - max(_FAR * float(scale), np.log(_LEAST_FALL))
    return marked


def joined_slides(
    slides: npt.NDArray[np.str_], thumbnails: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.intp], list[tuple[int, int]]]:
    """Return who belongs together: images of a slide, and those of two slides where one holds a copy from the other.

    Copies are near in brightness pattern (correlation of the thumbnails 0.95 and more); turned or mirrored ones are not
    seen.

    Parameters
    ----------
    slides
        Shape ``(image,)``, names.
    thumbnails
        Shape ``(image, 1024)``, of :class:`Quality`.

    Returns
    -------
    array, list of pairs
        Number of the group of every image, from 0; rows of the copies between slides.
    """
    same = slides[:, None] == slides[None]
    alike = thumbnails @ thumbnails.T >= _SAME
    group: npt.NDArray[np.intp] = connected_components(same | alike, directed=False)[1].astype(np.intp)
    first, second = np.nonzero(np.triu(alike & ~same, 1))
    return group, list(zip(first.tolist(), second.tolist(), strict=True))
