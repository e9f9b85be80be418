"""Centred orthonormal Fourier transforms, whole and sampled."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError
from kotowari.operators.layout import as_shape
from kotowari.operators.linear import LinearOperator, Shape

__all__ = ["FourierSampling", "FourierTransform"]


@final
class FourierTransform(LinearOperator):
    """The unitary discrete Fourier transform of the last axes, origin and zero frequency in the middle of each.

    The middle of an axis of n entries is entry ``n // 2``. Real input is allowed; the output is complex.

    Parameters
    ----------
    domain
        Shape of one input, e.g. ``(coil, height, width)``.
    n_axes
        The last ``n_axes`` axes are transformed, 1 or more; None: all.

    Raises
    ------
    InputError
        When the domain has fewer axes.
    """

    coisometry = 1.0
    isometry = 1.0

    def __init__(self, domain: Shape, n_axes: int | None = None) -> None:
        super().__init__()
        self.domain = self.codomain = as_shape("FourierTransform", "domain", domain)
        n_axes = len(self.domain) if n_axes is None else n_axes
        if not 1 <= n_axes <= len(self.domain):
            raise InputError(
                f"FourierTransform({self.domain}): n_axes must be from 1 to {len(self.domain)}, got {n_axes}."
            )
        self.n_axes = n_axes

    def _forward(self, x: Tensor) -> Tensor:
        return _centred(torch.fft.fftn, x, self.n_axes)

    def _adjoint(self, y: Tensor) -> Tensor:
        return _centred(torch.fft.ifftn, y, self.n_axes)


@final
class FourierSampling(LinearOperator):
    r"""The measured part of k-space, :math:`A = M F`: a unitary centred Fourier transform, then a mask.

    What was not measured is zero in the output, which keeps the shape of the input. Axes before those of the mask (the
    coils) are measured alike.

    Parameters
    ----------
    mask
        True where measured, bool, zero frequency in the middle; shape of the last 1, 2 or 3 axes of the domain.
    domain
        Shape of one input, e.g. ``(coil, height, width)``.

    Raises
    ------
    InputError
        When the mask is not bool.
    ShapeError
        When it does not fit the domain.

    Examples
    --------
    >>> every_other_line = (torch.arange(8) % 2 == 0)[:, None].expand(8, 8)
    >>> FourierSampling(every_other_line, (4, 8, 8))
    FourierSampling((4, 8, 8) -> (4, 8, 8))
    """

    mask: Tensor

    def __init__(self, mask: Tensor, domain: Shape) -> None:
        super().__init__()
        self.domain = self.codomain = as_shape("FourierSampling", "domain", domain)
        name = f"FourierSampling({self.domain})"
        if mask.dtype != torch.bool:
            raise InputError(f"{name}: mask must be bool, True where measured, got {mask.dtype}.")
        if not 1 <= mask.ndim <= 3 or tuple(mask.shape) != self.domain[-mask.ndim :]:
            expected = self.domain[-min(max(mask.ndim, 1), 3) :]
            raise ShapeError.mismatch(name, "mask", expected, mask.shape)
        self.register_buffer("mask", mask.clone())
        if bool(mask.all()):
            self.isometry = self.coisometry = 1.0

    def _forward(self, x: Tensor) -> Tensor:
        return _centred(torch.fft.fftn, x, self.mask.ndim) * self.mask

    def _adjoint(self, y: Tensor) -> Tensor:
        return _centred(torch.fft.ifftn, y * self.mask, self.mask.ndim)

    def _norm(self) -> float | None:
        return float(self.mask.any())


def _centred(transform: Callable[..., Tensor], x: Tensor, n_axes: int) -> Tensor:
    axes = tuple(range(-n_axes, 0))
    centred: Tensor = torch.fft.fftshift(transform(torch.fft.ifftshift(x, axes), dim=axes, norm="ortho"), axes)
    return centred
