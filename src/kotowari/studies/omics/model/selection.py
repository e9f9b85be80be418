"""One stage of a gene selection: maps of every sample to genes that pass, and a loss on rows kept aside."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from kotowari.explain.cam import class_activation_map
from kotowari.explain.upsample import read_at
from kotowari.networks.residual import ResidualNetwork
from kotowari.studies.omics.model.ensemble import as_tensor
from kotowari.studies.omics.model.estimators import DeepInsightClassifier
from kotowari.studies.omics.model.frame import Shape
from kotowari.studies.omics.model.images import PixelMap
from kotowari.training.devices import one_thread

__all__ = ["RELEVANCES", "THRESHOLDS", "Relevance", "Stage", "ThresholdOf", "balanced_loss", "class_peaks", "passing"]

FloatArray = npt.NDArray[np.float64]
Relevance = Literal["integrated_gradients", "cam"]
ThresholdOf = Literal["quantile", "largest"]

_BATCH = 64
_POINTS = 32  # of the integral: enough to order pixels
_SHARE_OF_LARGEST = 0.6


class Stage(NamedTuple):
    """What one stage found.

    Attributes
    ----------
    n_genes
        Genes it was fitted on.
    loss, se
        Log loss on the rows kept aside, in nats, every class counting alike; and its standard error over owners.
    taken
        False for a stage whose loss was too high, so that the one before it was kept.
    """

    n_genes: int
    loss: float
    se: float
    taken: bool


def class_peaks(
    estimator: DeepInsightClassifier,
    images: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    *,
    relevance: Relevance,
) -> FloatArray:
    r"""Return the largest relevance of every gene's pixel for a class among the samples of that class.

    .. math:: P_c(x, y) = \max_{i:\, y_i = c} M_c^{(i)}(x, y)

    A pixel lies in the union over the samples of the regions :math:`M_c^{(i)} > t` exactly where :math:`P_c > t`.
    Maps are means over the networks, in score units, and no map is rescaled. Genes of one pixel have one value.

    Parameters
    ----------
    estimator
        Fitted.
    images
        Shape ``(sample, channel, height, width)``, as its layout draws them.
    labels
        Shape ``(sample,)``, numbers into ``estimator.classes_``; every class stands there.
    relevance
        ``"cam"`` reads the coarse maps between their centres; ``"integrated_gradients"`` sums the layers of a pixel.

    Returns
    -------
    ndarray
        Shape ``(class, map, gene)``, score units.
    """
    read = RELEVANCES[relevance]
    layout = estimator.transformer_
    peaks = np.full((len(estimator.classes_), len(layout.maps_), len(layout.genes_)), -np.inf)
    for klass, own in enumerate(peaks):
        rows = np.flatnonzero(labels == klass)
        for begin in range(0, len(rows), _BATCH):
            found = read(estimator, images[rows[begin : begin + _BATCH]], klass)
            np.maximum(own, found.max(0), out=own)
    return peaks


def passing(
    peaks: FloatArray, maps: Sequence[PixelMap], *, threshold: float | None, threshold_of: ThresholdOf
) -> npt.NDArray[np.bool_]:
    """Return which genes stand in a pixel that lies above the threshold for any class on any map, shape ``(gene,)``.

    Parameters
    ----------
    peaks
        Shape ``(class, map, gene)``, from :func:`class_peaks`.
    maps
        Where the genes stand; pixels that hold genes are counted once, others never.
    threshold, threshold_of
        As in :class:`DeepFeatureSelector`.
    """
    heights = np.stack([_HEIGHTS[threshold_of](peaks[:, k], pixel_map) for k, pixel_map in enumerate(maps)])
    highest = heights.max((0, 1))
    if threshold is None:
        threshold = float(np.median(highest)) if threshold_of == "quantile" else _SHARE_OF_LARGEST
    passed: npt.NDArray[np.bool_] = highest > threshold
    return passed


def balanced_loss(
    scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], owners: npt.NDArray[Any] | None
) -> tuple[float, float]:
    r"""Return the log loss with every class counting alike, and its standard error over owners.

    .. math:: L = \frac1n \sum_i l_i, \quad l_i = -\frac{n}{C n_{y_i}} \log p_{i y_i}, \quad
        \mathrm{se}^2 = \frac{G}{G - 1} \frac{1}{n^2} \sum_g \Big(\sum_{i \in g} (l_i - L)\Big)^2

    Parameters
    ----------
    scores
        Shape ``(sample, class)``, log odds.
    labels
        Shape ``(sample,)``, from 0.
    owners
        Who owns each sample, G in all; None for each its own.

    Source: weights as in the training loss; cluster-robust variance of a mean, Liang and Zeger 1986, Biometrika 73.
    """
    log_share = scores - np.logaddexp.reduce(scores.astype(np.float64), axis=1, keepdims=True)
    counts = np.bincount(labels, minlength=scores.shape[1])
    weights = len(labels) / ((counts > 0).sum() * counts[labels])
    losses: FloatArray = -weights * log_share[np.arange(len(labels)), labels]
    number = np.arange(len(labels)) if owners is None else np.unique(owners, return_inverse=True)[1]
    loss = float(losses.mean())
    sums = np.bincount(number, weights=losses - loss)
    return loss, float(np.sqrt(len(sums) / max(len(sums) - 1, 1) * np.square(sums).sum()) / len(labels))


def _from_integrated_gradients(
    estimator: DeepInsightClassifier, images: npt.NDArray[np.float32], klass: int
) -> FloatArray:
    layout = estimator.transformer_
    pixels, _ = estimator.pixel_relevance(images, klass, n_points=_POINTS)
    by_map = pixels.reshape(len(images), len(layout.maps_), len(layout.layers_), *layout.shape_).sum(2)
    return np.stack([pixel_map.table(by_map[:, number]) for number, pixel_map in enumerate(layout.maps_)], axis=1)


def _from_cam(estimator: DeepInsightClassifier, images: npt.NDArray[np.float32], klass: int) -> FloatArray:
    layout = estimator.transformer_
    places = torch.as_tensor(np.concatenate([pixel_map.pixels for pixel_map in layout.maps_]))
    total = np.zeros((len(images), len(places)))
    with one_thread():
        for member in estimator.members_:
            maps = class_activation_map(member.network, as_tensor(images), klass)
            total += read_at(maps, places, _covered(member.network, layout.shape_)).numpy()
    mean: FloatArray = total / len(estimator.members_)
    return mean.reshape(len(images), len(layout.maps_), -1)


def _covered(network: nn.Module, frame: Shape) -> Shape:
    """Return the size in pixels of what the last feature maps cover: some networks pad the frame to whole cells."""
    if isinstance(network, ResidualNetwork):
        height, width = network.body.padded
        return height, width
    return frame


def _rank(peaks: FloatArray, pixel_map: PixelMap) -> FloatArray:
    """Return the share of the other occupied pixels that lie below a gene's, ``(class, gene)``."""
    once = np.unique(pixel_map.groups, return_index=True)[1]
    below = [np.searchsorted(np.sort(values[once]), values) for values in peaks]
    return np.stack(below) / max(len(once) - 1, 1)


def _share_of_largest(peaks: FloatArray, pixel_map: PixelMap) -> FloatArray:
    """Return a gene's value over the largest of the class, ``(class, gene)``; 0 where nothing speaks for a class."""
    del pixel_map
    largest = peaks.max(1, keepdims=True)
    return np.where(largest > 0, peaks / np.where(largest > 0, largest, 1.0), 0.0)


RELEVANCES: dict[str, Callable[[DeepInsightClassifier, npt.NDArray[np.float32], int], FloatArray]] = {
    "integrated_gradients": _from_integrated_gradients,
    "cam": _from_cam,
}
_HEIGHTS: dict[str, Callable[[FloatArray, PixelMap], FloatArray]] = {"quantile": _rank, "largest": _share_of_largest}
THRESHOLDS = tuple(_HEIGHTS)
