"""A wavelet whose filter is learned and stays orthonormal: a lattice of rotations."""

from collections.abc import Sequence
from math import pi
from typing import final

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError
from kotowari.operators.filters import lattice_angles, lattice_filter, low_pass_filter
from kotowari.operators.linear import Shape
from kotowari.operators.wavelet import WaveletTransform

__all__ = ["LatticeWavelet"]


@final
class LatticeWavelet(WaveletTransform):
    r"""An orthonormal periodic wavelet transform whose filter is made of K angles, by default learned.

    Whatever the angles, the transform is orthonormal and ``W.H(W(x)) == x``: training cannot break it. The filter has
    2K taps (:func:`kotowari.operators.filters.lattice_filter`). With ``vanishing_mean`` the last angle is
    :math:`\pi/4` minus the sum of the others, so that :math:`\sum h = \sqrt 2` and
    :math:`\sum g = 0`: details of a constant are zero.

    Parameters
    ----------
    domain
        Shape of one input; every transformed axis must be divisible by ``2**levels``.
    angles
        Their K starting values in radians, or their number K; then the start is the Haar filter, which is the first
        angle :math:`\pi/4` and the others zero. With ``vanishing_mean`` the last value is not used.
    levels, n_axes
        As in :class:`kotowari.operators.wavelet.Wavelet`.
    learn
        Whether the angles are a parameter. They are float64, so that the taps are orthonormal to rounding.
    vanishing_mean
        Whether the last angle is tied.

    Attributes
    ----------
    angles
        The free angles: K - 1 of them with ``vanishing_mean``, else K; float64.

    Raises
    ------
    InputError
        When there is no angle, or an axis is not divisible.

    Source: Vaidyanathan and Hoang 1988, IEEE Trans. Acoust. Speech Signal Process. 36(1); the tie of the last angle is
    the condition H(0) = sqrt 2 written in angles.

    Examples
    --------
    >>> wavelet = LatticeWavelet((16,), 3, levels=2, n_axes=1)
    >>> round(wavelet.low_pass().sum().item() ** 2, 6)
    2.0
    """

    angles: Tensor

    def __init__(
        self,
        domain: Shape,
        angles: int | Sequence[float] | Tensor,
        *,
        levels: int | None = None,
        n_axes: int = 2,
        learn: bool = True,
        vanishing_mean: bool = True,
    ) -> None:
        start = _starting_values(angles)
        super().__init__(domain, 2 * len(start), levels=levels, n_axes=n_axes)
        self.vanishing_mean = vanishing_mean
        free = start[:-1] if vanishing_mean else start
        if learn:
            self.angles = nn.Parameter(free.clone())
        else:
            self.register_buffer("angles", free.clone())

    @classmethod
    def from_filters(
        cls,
        filters: str,
        domain: Shape,
        *,
        levels: int | None = None,
        n_axes: int = 2,
        learn: bool = True,
        vanishing_mean: bool = True,
    ) -> "LatticeWavelet":
        """Start from a known filter, ``db1`` to ``db20`` or ``sym2`` to ``sym20``; the other parameters as above."""
        angles = torch.from_numpy(lattice_angles(low_pass_filter(filters)))
        return cls(domain, angles, levels=levels, n_axes=n_axes, learn=learn, vanishing_mean=vanishing_mean)

    def low_pass(self) -> Tensor:
        """Return the low-pass taps, shape ``(2K,)``, float64; differentiable in the angles."""
        angles = self.angles.double()
        if self.vanishing_mean:
            angles = torch.cat([angles, (pi / 4 - angles.sum()).reshape(1)])
        return lattice_filter(angles)


def _starting_values(angles: int | Sequence[float] | Tensor) -> Tensor:
    if isinstance(angles, int):
        values = torch.zeros(max(angles, 0), dtype=torch.float64)
        values[:1] = pi / 4
    else:
        values = torch.as_tensor(angles, dtype=torch.float64).detach()
    if values.ndim != 1 or not len(values):
        raise InputError(f"LatticeWavelet: angles must be their number, or one row of 1 or more values, got {angles}.")
    return values
