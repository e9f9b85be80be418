"""What a layout and a reading of its maps are held against: dealt genes, and the rule that others published."""

from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import ShapeError

__all__ = ["permuted_pixels", "published_rule_selection"]


def permuted_pixels(pixels: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Deal the genes anew onto the same pixels: the matched trivial null of a layout.

    If networks on these images do as well, the layout has not helped.

    Parameters
    ----------
    pixels
        Shape ``(gene, 2)``: row and column of each gene.
    rng
        Deals the genes.
    """
    return pixels[rng.permutation(len(pixels))]


def published_rule_selection(
    maps: npt.NDArray[Any],
    pixels: npt.NDArray[np.int64],
    *,
    labels: npt.ArrayLike | None = None,
    threshold: float = 0.6,
) -> npt.NDArray[np.bool_]:
    r"""Select genes by the rule of the public Python package for DeepInsight; for comparison only.

    Negative relevance counts as none, each map is scaled to 0 ... 1 by its own extremes, and the genes of all pixels at
    or above the threshold are taken. So every sample selects genes, however sure or unsure the network is of it: that
    is why we select on raw maps instead.

    Parameters
    ----------
    maps
        Class activation map of each sample for its own class at the size of the image, ``(sample, height, width)``.
    pixels
        Shape ``(gene, 2)``: row and column of each gene.
    labels
        None unites over all samples, as DeepFeature does. Given, shape ``(sample,)``, the scaled maps are averaged
        within each class before the threshold and united over classes, which is the package's own default.
    threshold
        0 to 1.

    Returns
    -------
    array
        Shape ``(gene,)``, true for selected genes.

    Raises
    ------
    ShapeError
        When maps are not ``(sample, height, width)``, or labels do not fit them.

    Source: pyDeepInsight 0.2 (rule as documented there), after Sharma et al. 2021, Brief. Bioinform. 22, bbab297.
    """
    if np.ndim(maps) != 3:
        raise ShapeError.mismatch("published_rule_selection", "maps", ("sample", "height", "width"), np.shape(maps))
    positive = np.maximum(np.asarray(maps, dtype=np.float64), 0.0)
    low, high = positive.min((1, 2), keepdims=True), positive.max((1, 2), keepdims=True)
    scaled = (positive - low) / np.where(high > low, high - low, 1.0)
    if labels is not None:
        owners = np.asarray(labels)
        if owners.shape != scaled.shape[:1]:
            raise ShapeError.mismatch("published_rule_selection", "labels", scaled.shape[:1], owners.shape)
        scaled = np.stack([scaled[owners == label].mean(0) for label in np.unique(owners)])
    chosen: npt.NDArray[np.bool_] = (scaled >= threshold).any(0)[pixels[:, 0], pixels[:, 1]]
    return chosen
