"""How the features of a frozen encoder answer to a scanner: measured on a few volumes, once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.studies.brain.model.autoencoder_input import as_source, row_numbers
from kotowari.studies.brain.model.scanner_model import ScannerModel

__all__ = ["SiteFootprints", "site_footprints"]

FloatArray = npt.NDArray[np.float64]
_STEP = 0.05


@dataclass(frozen=True, eq=False)
class SiteFootprints:
    """Change of a feature map with each number of a :class:`ScannerModel`.

    Parameters
    ----------
    fields
        Mean change over the probes, shape ``(term, channel, *coarse space)``: an additive field a channel.
    slopes
        By how much more a feature changes where a subject's lies one unit above the mean, shape ``(term, channel)``: a
        scale a channel.
    centre
        Mean features of the probes, shape ``(channel, *coarse space)``.
    """

    fields: FloatArray
    slopes: FloatArray
    centre: FloatArray


def site_footprints(encoder: Any, scanner: ScannerModel, X: Any, *, rows: Any = None) -> SiteFootprints:
    r"""Measure how features answer to gain, bias and blur, by finite differences on some volumes.

    .. math:: E(S_\theta(x)) - E(x) \approx \sum_k \theta_k \big(A_k + s_k (E(x) - \bar E)\big)

    Neither sites nor a target are seen; the encoder stays as it is. One volume is in memory at a time; the encoder runs
    once a term and a volume.

    Parameters
    ----------
    encoder
        Fitted :class:`ConvolutionalAutoencoder`.
    scanner
        On the encoder's mask.
    X, rows
        Volumes of one site to probe with, as in the encoder's ``transform``; ten are enough.

    Raises
    ------
    InputError
        When there are fewer than two volumes.
    """
    source = as_source(X, encoder.mask_)
    chosen = row_numbers(source, rows)
    if len(chosen) < 2:
        raise InputError(f"site_footprints: needs two volumes or more to probe with, got {len(chosen)}.")
    plain = np.empty((len(chosen), int(np.prod(encoder.feature_shape_))))
    changes = np.empty((len(scanner.terms), *plain.shape))
    for probe, row in enumerate(chosen):
        volume = source.volumes(np.array([row]))
        plain[probe] = encoder.transform(volume)[0]
        for term in range(len(scanner.terms)):
            moved = np.where(scanner.mask, volume, 0) + _STEP * scanner.change(volume, term)
            changes[term, probe] = (encoder.transform(moved.astype(np.float32))[0] - plain[probe]) / _STEP
    n_channels = encoder.feature_shape_[0]
    deviations = (plain - plain.mean(0)).reshape(len(chosen), n_channels, -1)
    own = (changes - changes.mean(1, keepdims=True)).reshape(len(scanner.terms), len(chosen), n_channels, -1)
    squares = (deviations**2).sum((0, 2))
    slopes = (own * deviations).sum((1, 3)) / np.where(squares > 0, squares, np.inf)
    shape = encoder.feature_shape_
    # rounded as they are saved, so that a loaded adapter gives the same bytes
    fields, centre = (array.astype(np.float32).astype(np.float64) for array in (changes.mean(1), plain.mean(0)))
    return SiteFootprints(fields.reshape(-1, *shape), slopes, centre.reshape(shape))
