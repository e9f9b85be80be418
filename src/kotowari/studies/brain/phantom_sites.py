"""What a scanner and a moving head do to a volume."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve1d
from scipy.special import ive

from kotowari.studies.brain.phantom_grid import BrainGrid

__all__ = ["bias_field", "blurred"]

Volume = npt.NDArray[np.float32]

_TAIL = 1e-5


def blurred(volume: Volume, variance: float) -> Volume:
    r"""Blur with the discrete Gaussian :math:`w_k = e^{-t} I_k(t)`, whose variance is t at every width.

    A sampled Gaussian narrower than a voxel would blur nothing; motion is narrower than the voxels of small phantoms.

    Parameters
    ----------
    volume
        Shape ``(x, y, z)``; taken as 0 beyond the border.
    variance
        t in squared voxels, 0 or more; variances of blurs in a row add up.

    Source: Lindeberg 1990, IEEE Trans. Pattern Anal. Mach. Intell. 12:234-254, eq. 29.
    """
    if variance == 0:
        return volume
    half = ive(np.arange(int(4 + 6 * np.sqrt(variance))), variance)
    half = half[: max(2, int((half > _TAIL).sum()))]
    kernel = np.concatenate([half[:0:-1], half])
    kernel /= kernel.sum()
    for axis in range(volume.ndim):
        volume = convolve1d(volume, kernel, axis=axis, mode="constant")
    return volume


def bias_field(grid: BrainGrid, share: float) -> Volume:
    """Smooth factor from about 1 - share to 1 + share: brighter in front, above and on the right, as near a coil."""
    x, y, z = np.meshgrid(*grid.axes, indexing="ij", sparse=True)
    slope = 0.6 * (y + 18) / 108 + 0.5 * (z - 18) / 90 + 0.3 * x / 90
    field: Volume = (1 + share * np.tanh(slope)).astype(np.float32)
    return field
