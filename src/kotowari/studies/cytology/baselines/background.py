"""Foregrounds without learning: the image itself, less a local mean, or less a large median."""

from collections.abc import Sequence
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.transform import resize

from kotowari.core.errors import InputError
from kotowari.studies.cytology.stain_vectors import cell_map

__all__ = ["LargeMedian", "LocalThreshold", "Otsu", "otsu_cut"]

FloatImage = npt.NDArray[np.float32]
Images = Sequence[npt.NDArray[Any]]
_COARSE_SIDE = 128  # a background as slow as a quarter of the image needs no more, and its median costs the square


def otsu_cut(foreground: npt.ArrayLike, share: float = 1.0) -> float:
    """Otsu's threshold of a map, or a share of its height above the background.

    Parameters
    ----------
    foreground
        Shape ``(height, width)``.
    share
        Above 0. 1 is Otsu's threshold; 0.7 lies at 70 % of the way to it from the median of what it calls background.

    Returns
    -------
    float
        For a map of one value that value, above which there is nothing.

    Source: Otsu 1979, IEEE Trans. Syst. Man Cybern. 9:62-66; the share is ours.
    """
    values = np.asarray(foreground, dtype=np.float32)
    if values.min() == values.max():
        return float(values.flat[0])
    level = float(threshold_otsu(values))
    if share == 1:
        return level
    ground = float(np.median(values[values <= level]))
    return ground + share * (level - ground)


@final
class Otsu:
    """Otsu's threshold of the map on which cells are bright; see :func:`~...stain_vectors.cell_map`.

    Parameters
    ----------
    share
        Of Otsu's threshold; see :func:`otsu_cut`. 1 is the untouched method; 0.7 served the fluorescent nuclei of the
        Data Science Bowl 2018 best, where 1 loses the dim ones.
    """

    def __init__(self, share: float = 1.0) -> None:
        self.share = _above_zero("Otsu", "share", share)
        self.name = "Otsu" if share == 1 else f"Otsu x {share:g}"

    def fit(self, images: Images, groups: npt.ArrayLike | None = None) -> Self:  # noqa: ARG002 - the finders' contract
        """Learn nothing."""
        return self

    def foreground(self, image: npt.ArrayLike) -> FloatImage:
        """``(height, width, channel) -> (height, width)``."""
        return cell_map(image)

    def cut(self, foreground: npt.ArrayLike) -> float:
        """Threshold of a map."""
        return otsu_cut(foreground, self.share)


@final
class LocalThreshold:
    """The map on which cells are bright, less its Gaussian mean nearby.

    Parameters
    ----------
    window
        Side of the neighbourhood as a share of the image's shorter side, above 0; the Gaussian's standard deviation
        is a sixth of it.
    share
        Of Otsu's threshold of the difference; see :func:`otsu_cut`.

    Source: scikit-image ``threshold_local`` (method gaussian), which this is but for the offset: Otsu's threshold.
    """

    name = "local threshold"

    def __init__(self, window: float = 0.5, share: float = 1.0) -> None:
        self.window = _above_zero("LocalThreshold", "window", window)
        self.share = _above_zero("LocalThreshold", "share", share)

    def fit(self, images: Images, groups: npt.ArrayLike | None = None) -> Self:  # noqa: ARG002 - the finders' contract
        """Learn nothing."""
        return self

    def foreground(self, image: npt.ArrayLike) -> FloatImage:
        """``(height, width, channel) -> (height, width)``."""
        cells = cell_map(image)
        nearby: FloatImage = ndimage.gaussian_filter(cells, self.window * min(cells.shape) / 6, mode="reflect")
        return cells - nearby

    def cut(self, foreground: npt.ArrayLike) -> float:
        """Threshold of a map."""
        return otsu_cut(foreground, self.share)


@final
class LargeMedian:
    """The map on which cells are bright, less a median over a large window.

    Parameters
    ----------
    window
        Side of the window as a share of the image's shorter side, above 0. The median is taken on a copy of 128 px or
        less and enlarged.
    share
        Of Otsu's threshold of the difference; see :func:`otsu_cut`.
    """

    name = "large median"

    def __init__(self, window: float = 0.5, share: float = 1.0) -> None:
        self.window = _above_zero("LargeMedian", "window", window)
        self.share = _above_zero("LargeMedian", "share", share)

    def fit(self, images: Images, groups: npt.ArrayLike | None = None) -> Self:  # noqa: ARG002 - the finders' contract
        """Learn nothing."""
        return self

    def foreground(self, image: npt.ArrayLike) -> FloatImage:
        """``(height, width, channel) -> (height, width)``."""
        cells = cell_map(image)
        shrink = min(1.0, _COARSE_SIDE / max(cells.shape))
        coarse_shape = [max(1, round(side * shrink)) for side in cells.shape]
        coarse = resize(cells, coarse_shape, order=1, anti_aliasing=True)
        size = max(3, round(self.window * min(coarse_shape)))
        slow = ndimage.median_filter(coarse, size=size, mode="reflect")
        difference: FloatImage = cells - resize(slow, cells.shape, order=1).astype(np.float32)
        return difference

    def cut(self, foreground: npt.ArrayLike) -> float:
        """Threshold of a map."""
        return otsu_cut(foreground, self.share)


def _above_zero(owner: str, name: str, value: float) -> float:
    if not value > 0:
        raise InputError(f"{owner}: {name} must be above 0, got {value}.")
    return value
