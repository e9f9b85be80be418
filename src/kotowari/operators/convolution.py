"""Convolution with one kernel or with a bank of kernels, known or learned."""

from math import prod
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from kotowari.core.errors import InputError, ShapeError
from kotowari.operators.layout import as_shape
from kotowari.operators.linear import LinearOperator, Shape

__all__ = ["Convolution"]

Boundary = Literal["periodic", "zero"]
Anchor = Literal["centre", "causal"]

_MOST_DIRECT_TAPS = 64  # about where the Fourier path overtakes the direct one on CPUs, in one to three dimensions
_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_SCATTER = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


@final
class Convolution(LinearOperator):
    r"""Convolution along one to three axes, with the output as long as the input.

    .. math:: y_o[n] = \sum_i \sum_k d_{oi}[k]\, x_i[n - k + c]

    The anchor c is ``width // 2`` on every axis (``"centre"``) or 0 (``"causal"``). The adjoint is the convolution with
    the mirrored, conjugated, transposed kernel. Kernels of up to 64 taps and real arrays are summed directly, others by
    way of the fast Fourier transform; both agree to rounding.

    Parameters
    ----------
    kernel
        A bank of shape ``(out, in, *width)``, or one kernel of shape ``(*width)`` that is applied alike to every
        leading axis of the domain (a blur of every channel). Real or complex. Kept in its own dtype, and used in the
        precision of the input.
    domain
        ``(in, *space)`` for a bank, giving the codomain ``(out, *space)``; ``(..., *space)`` for one kernel.
    boundary
        ``"zero"``: the input counts as zero outside. ``"periodic"``: it goes on from the other end.
    anchor
        The tap that stands at the output sample: the middle one or the first one.
    learn
        Whether a copy of the kernel becomes a parameter (a dictionary to be learned); gradients flow through the
        adjoint too. A kernel that is a parameter already stays the one it is.

    Raises
    ------
    ShapeError
        When the kernel does not fit the domain, or is wider than a periodic axis.
    InputError
        When an option is unknown.

    Examples
    --------
    >>> echo = Convolution(torch.tensor([1.0, 0.5]), (4,), boundary="zero", anchor="causal")
    >>> echo(torch.tensor([1.0, 0.0, 0.0, 2.0]))
    tensor([1.0000, 0.5000, 0.0000, 2.0000])
    """

    kernel: Tensor

    def __init__(
        self,
        kernel: Tensor,
        domain: Shape,
        *,
        boundary: Boundary = "periodic",
        anchor: Anchor = "centre",
        learn: bool = False,
    ) -> None:
        super().__init__()
        domain = as_shape("Convolution", "domain", domain)
        name = f"Convolution({domain})"
        if boundary not in {"periodic", "zero"} or anchor not in {"centre", "causal"}:
            raise InputError(
                f"{name}: boundary must be 'periodic' or 'zero' and anchor 'centre' or 'causal', got {boundary!r} and "
                f"{anchor!r}."
            )
        is_bank = kernel.ndim == len(domain) + 1
        n_axes = len(domain) - 1 if is_bank else kernel.ndim
        _require_fit(name, kernel, domain, is_bank, n_axes)
        self.boundary, self.anchor, self._is_bank = boundary, anchor, is_bank
        self._space = domain[-n_axes:]
        self.domain, self.codomain = domain, (kernel.shape[0], *self._space) if is_bank else domain
        if boundary == "periodic":
            _require_narrow(name, kernel.shape[-n_axes:], self._space)
        if isinstance(kernel, nn.Parameter):
            self.kernel = kernel
        elif learn:
            self.kernel = nn.Parameter(kernel.detach().clone())
        else:
            self.register_buffer("kernel", kernel)

    def _forward(self, x: Tensor) -> Tensor:
        kernel = self._bank()
        return self._apply_bank(x, kernel, self._first(kernel), self.codomain)

    def _adjoint(self, y: Tensor) -> Tensor:
        kernel = self._bank()
        first = self._first(kernel)
        mirrored = kernel.transpose(0, 1).conj().flip(tuple(range(2, kernel.ndim)))
        last = [width - 1 - start for width, start in zip(kernel.shape[2:], first, strict=True)]
        return self._apply_bank(y, mirrored, last, self.domain)

    @torch.no_grad()
    def _norm(self) -> float | None:
        if self.boundary != "periodic":
            return None
        bank = self._bank().to(torch.complex128)
        response = torch.fft.fftn(bank, s=self._space, dim=tuple(range(2, bank.ndim)))
        response = response.flatten(2).permute(2, 0, 1)  # a matrix for each frequency
        return float(torch.linalg.matrix_norm(response, 2).max())

    def _bank(self) -> Tensor:
        return self.kernel if self._is_bank else self.kernel[None, None]

    def _first(self, bank: Tensor) -> list[int]:
        return [width // 2 if self.anchor == "centre" else 0 for width in bank.shape[2:]]

    def _apply_bank(self, x: Tensor, bank: Tensor, first: list[int], codomain: Shape) -> Tensor:
        lead = x.shape[: x.ndim - len(codomain)]
        real = x.dtype.to_real()
        dtype = real.to_complex() if x.is_complex() or bank.is_complex() else real
        x, bank = x.to(dtype).reshape(-1, bank.shape[1], *self._space), bank.to(dtype)
        periodic = self.boundary == "periodic"
        direct = not dtype.is_complex and prod(bank.shape[2:]) <= _MOST_DIRECT_TAPS
        y: Tensor = (_direct if direct else _by_fourier)(x, bank, first, periodic)
        return y.reshape(*lead, *codomain)


def _direct(x: Tensor, bank: Tensor, first: list[int], periodic: bool) -> Tensor:
    """``(batch, in, *space) -> (batch, out, *space)``. From many channels to few it scatters, else it gathers.

    On CPUs the other way round takes ten times as long and more.
    """
    space, widths = x.shape[2:], bank.shape[2:]
    many_to_few = bank.shape[1] > bank.shape[0]
    margins = [(width - 1 - start, start) for width, start in zip(widths, first, strict=True)]
    if periodic:
        x = functional.pad(x, _flat(margins), mode="circular")
    elif not many_to_few:
        x = functional.pad(x, _flat(margins))
    if not many_to_few:
        return _CONVOLVE[len(space)](x, bank.flip(tuple(range(2, bank.ndim))))
    y = _SCATTER[len(space)](x, bank.transpose(0, 1))
    starts = [width - 1 for width in widths] if periodic else first
    return _cropped(y, starts, space)


def _by_fourier(x: Tensor, bank: Tensor, first: list[int], periodic: bool) -> Tensor:
    space = x.shape[2:]
    axes = tuple(range(2, x.ndim))
    padded = [n if periodic else _fast_length(n + w - 1) for n, w in zip(space, bank.shape[2:], strict=True)]
    forward, inverse = (torch.fft.fftn, torch.fft.ifftn) if x.is_complex() else (torch.fft.rfftn, torch.fft.irfftn)
    spectrum = torch.einsum("oi...,bi...->bo...", forward(bank, s=padded, dim=axes), forward(x, s=padded, dim=axes))
    y: Tensor = inverse(spectrum, s=padded, dim=axes)
    if periodic:
        return y.roll([-start for start in first], axes)
    return _cropped(y, first, space)


def _cropped(y: Tensor, starts: list[int], space: Shape) -> Tensor:
    for axis, (start, n) in enumerate(zip(starts, space, strict=True), start=2):
        y = y.narrow(axis, start, n)
    return y


def _flat(margins: list[tuple[int, int]]) -> list[int]:
    """Margins as ``pad`` takes them, the last axis first."""
    return [margin for pair in reversed(margins) for margin in pair]


def _fast_length(least: int) -> int:
    """Return the next length whose only prime factors are 2, 3 and 5, for which the transform is fast."""
    length = least
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def _require_fit(name: str, kernel: Tensor, domain: Shape, is_bank: bool, n_axes: int) -> None:
    if not (kernel.is_floating_point() or kernel.is_complex()):
        raise InputError(f"{name}: kernel must hold real or complex floats, got {kernel.dtype}.")
    if not 1 <= n_axes <= min(3, len(domain)) or 0 in kernel.shape or (is_bank and kernel.shape[1] != domain[0]):
        raise ShapeError(
            f"{name}: kernel must have shape (out, {domain[0]}, *width), or (*width), 1 to 3 axes, "
            f"to act alike on all leading axes, got {tuple(kernel.shape)}."
        )


def _require_narrow(name: str, widths: Shape, space: Shape) -> None:
    if any(width > n for width, n in zip(widths, space, strict=True)):
        raise ShapeError(
            f"{name}: a periodic kernel must not be wider than its axis, got width {tuple(widths)} on {tuple(space)}. "
            "Crop the kernel, or take boundary='zero'."
        )
