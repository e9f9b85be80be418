"""What the training images tell a network before it starts: centre, gain and promising pairs of every pixel."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata

__all__ = ["Pairs", "PixelScaling", "pixel_scaling", "screened_pairs"]

FloatArray = npt.NDArray[np.float32]

_LARGEST_SCREEN = 8000  # pixels; the screen costs their square
_BLOCK = 1024
_SMALLEST_SD = 0.1  # of the median standard deviation, so that near-constant genes are not blown up
_NULL_DRAWS = 2
_PAIR_STRENGTH = 10.0  # root of the summed variances of the products, in units of a pixel's
_ROUNDING = 1e-5  # of the largest value; single precision leaves residuals of constants above 0
_LEAST_SHARE = 0.05  # of the gain, kept by pixels without an effect of their own: they may matter in pairs


class PixelScaling(NamedTuple):
    """Centre and gain of every pixel, both of shape ``(channel, height, width)``."""

    mean: FloatArray
    gain: FloatArray


class Pairs(NamedTuple):
    """Chosen pairs: flat pixel indices ``(pair, 2)`` and a scale for each product ``(pair,)``."""

    pixels: npt.NDArray[np.int64]
    scale: FloatArray


def pixel_scaling(images: FloatArray, targets: FloatArray, *, shrink: bool) -> PixelScaling:
    r"""Standardise every pixel, and shrink those that no target moves.

    .. math:: g = \frac{1}{s} \max\left(0.05,\, 1 - \frac{1}{F}\right)

    with the standard deviation s and the F ratio of the pixel between targets: the positive-part James-Stein factor,
    with a floor. Where all genes matter (F far above 1) it changes nothing; where few do, noise does not drown them.

    Parameters
    ----------
    images
        Training images, shape ``(sample, channel, height, width)``.
    targets
        Class shares or values, shape ``(sample, output)``.
    shrink
        False for the plain standard deviation.

    Source: James and Stein 1961, Proc. Fourth Berkeley Symp. 1; its use as an input gain is our own.
    """
    flat = images.reshape(len(images), -1)
    mean, sd = flat.mean(0), flat.std(0)
    floor = _SMALLEST_SD * float(np.median(sd[sd > 0])) if (sd > 0).any() else 1.0
    gain: npt.NDArray[np.float64] = np.where(sd > 0, 1.0 / np.maximum(sd, floor), 0.0)
    if shrink:
        ratio = _f_ratio(flat - mean, targets)
        gain *= np.maximum(_LEAST_SHARE, 1.0 - 1.0 / np.maximum(ratio, 1e-12))
    shape = images.shape[1:]
    return PixelScaling(mean.reshape(shape), gain.astype(np.float32).reshape(shape))


def screened_pairs(
    images: FloatArray, labels: npt.NDArray[np.int64], scaling: PixelScaling, *, n_pairs: int, rng: np.random.Generator
) -> Pairs:
    r"""Return the pairs of pixels whose correlation differs most between classes, if it does more than by chance.

    .. math:: T_{ij} = \sum_c \frac{n_c n}{n - n_c} \left(C^{(c)}_{ij} - C_{ij}\right)^2

    with the covariance of standardised residuals within class c and over all classes, of normal scores, so that a few
    outliers cannot pass for a covariance. Two genes that matter only together (exclusive or) have no effect of their
    own, yet a large T. Pairs below the largest T under permuted labels are left out, so on most data there are few or
    none.

    The scales give the k products that are found standard deviations of :math:`10 / \sqrt{k}`. They have passed a test;
    at the strength of an untested pixel, a lone pair would be learned more slowly than noise is memorised.

    Parameters
    ----------
    images
        Training images, shape ``(sample, channel, height, width)``. With more than 8,000 varying pixels the most
        variable are screened.
    labels
        Class of each sample, from 0.
    scaling
        Gain of the pixels in the network, which the scale of each product makes up for.
    n_pairs
        Most pairs to return, 0 or more.
    rng
        Source of the permutations.

    Source: our own, after the two-group covariance screen of Cai, Liu and Xia 2013, JASA 108(501), eq. 2.
    """
    flat = images.reshape(len(images), -1)
    sd = flat.std(0)
    usable = np.flatnonzero((sd > 0) & (scaling.gain.reshape(-1) > 0))
    if n_pairs == 0 or len(usable) < 2:
        return Pairs(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
    usable = np.sort(usable[np.argsort(-sd[usable], kind="stable")[:_LARGEST_SCREEN]])
    z = _normal_scores(flat[:, usable])
    chance = max(_top_pairs(_residuals(z, shuffled), shuffled, 1)[1][0] for shuffled in _shuffles(labels, rng))
    found, strength = _top_pairs(_residuals(z, labels), labels, n_pairs)
    pixels = usable[found[strength > chance]]
    scaled = (flat - scaling.mean.reshape(-1)) * scaling.gain.reshape(-1)
    spread = (scaled[:, pixels[:, 0]] * scaled[:, pixels[:, 1]]).std(0)
    strength_each = _PAIR_STRENGTH / max(len(pixels), 1) ** 0.5
    return Pairs(pixels, (strength_each / np.maximum(spread, 1e-12)).astype(np.float32))


def _normal_scores(columns: FloatArray) -> FloatArray:
    """Return the normal quantiles of the ranks in each column."""
    scores: FloatArray = ndtri((rankdata(columns, axis=0) - 0.5) / len(columns)).astype(np.float32)
    return scores


def _f_ratio(centred: FloatArray, targets: FloatArray) -> npt.NDArray[np.float64]:
    """F of the regression of every pixel on the targets, which for class shares is the F of an analysis of variance."""
    exact = targets.astype(np.float64)  # single precision would leave the sum of all classes a rank of its own
    u, s, _ = np.linalg.svd(exact - exact.mean(0), full_matrices=False)
    basis = u[:, s > 1e-8 * max(s.max(), 1e-300)]
    rank, n = basis.shape[1], len(centred)
    total = np.square(centred, dtype=np.float64).sum(0)
    explained = np.square(basis.T @ centred).sum(0)
    left = np.maximum(total - explained, 1e-12 * np.maximum(total, 1e-300))
    ratio: npt.NDArray[np.float64] = explained / max(rank, 1) / (left / max(n - rank - 1, 1))
    return ratio


def _shuffles(labels: npt.NDArray[np.int64], rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    return [rng.permutation(labels) for _ in range(_NULL_DRAWS)]


def _residuals(z: FloatArray, labels: npt.NDArray[np.int64]) -> FloatArray:
    """Standardised residuals within classes; 0 where they are rounding alone."""
    residuals = z.copy()
    for klass in np.unique(labels):
        residuals[labels == klass] -= z[labels == klass].mean(0)
    sd = residuals.std(0)
    residuals /= np.where(sd > _ROUNDING * np.abs(z).max(0), sd, np.inf).astype(np.float32)
    return residuals


def _top_pairs(
    z: FloatArray, labels: npt.NDArray[np.int64], n_pairs: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the ``n_pairs`` pairs of columns with the largest T, and T, largest first; blocks of rows bound memory."""
    n, d = z.shape
    members = [z[labels == klass] for klass in np.unique(labels)]
    index, strength = np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    for begin in range(0, d, _BLOCK):
        rows = slice(begin, min(begin + _BLOCK, d))
        pooled = z[:, rows].T @ z / n
        total = np.zeros_like(pooled)
        for own in members:
            if len(own) < n:
                difference = own[:, rows].T @ own / len(own) - pooled
                total += len(own) * n / (n - len(own)) * difference**2
        total[np.arange(d)[None] <= np.arange(rows.start, rows.stop)[:, None]] = -1.0  # each pair once
        flat = total.ravel()
        best = np.argpartition(-flat, min(n_pairs, len(flat) - 1))[:n_pairs]
        index = np.concatenate([index, np.stack([best // d + begin, best % d], 1)])
        strength = np.concatenate([strength, flat[best]])
    order = np.lexsort((index[:, 1], index[:, 0], -strength))[:n_pairs]
    return index[order], strength[order]
