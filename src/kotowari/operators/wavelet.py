"""The orthonormal periodic wavelet transform along the last one, two or three axes."""

from abc import abstractmethod
from collections.abc import Callable
from itertools import product
from math import log2
from typing import NamedTuple, final

import torch
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.operators.filters import low_pass_filter
from kotowari.operators.layout import as_shape
from kotowari.operators.linear import LinearOperator, Shape

__all__ = ["Band", "Wavelet", "WaveletTransform", "analysis", "mirror_filter", "synthesis"]

_LONGEST_BLOCK = 32  # outputs of one small matrix product; longer ones multiply more zeros, shorter ones copy more


class Band(NamedTuple):
    """One band of a wavelet transform.

    Attributes
    ----------
    level
        1 for the finest band.
    orientation
        A letter for each transformed axis: a for low-pass (approximation), d for high-pass (detail).
    slices
        Where it lies: ``y[(..., *band.slices)]``.
    """

    level: int
    orientation: str
    slices: tuple[slice, ...]


class WaveletTransform(LinearOperator):
    """An orthonormal periodic wavelet transform. A subclass says which filter, by ``low_pass``.

    The codomain has the shape of the domain, in the pyramid layout: along every transformed axis the low-pass half
    stands before the high-pass half, and the next level transforms the corner where all axes are low-pass.

    Attributes
    ----------
    levels
        How often the corner is transformed.
    n_axes
        How many of the last axes are transformed.
    """

    coisometry = 1.0
    isometry = 1.0

    def __init__(self, domain: Shape, n_taps: int, *, levels: int | None, n_axes: int) -> None:
        super().__init__()
        self.domain = self.codomain = as_shape(type(self).__name__, "domain", domain)
        name = f"{type(self).__name__}({self.domain})"
        if n_axes not in {1, 2, 3} or n_axes > len(self.domain):
            raise InputError(f"{name}: n_axes must be 1, 2 or 3 and at most {len(self.domain)}, got {n_axes}.")
        self.n_axes = n_axes
        self.levels = _levels(name, self.domain, n_taps, n_axes, levels)

    @abstractmethod
    def low_pass(self) -> Tensor:
        """Return the low-pass taps, shape ``(n_taps,)``, an even number; float64."""

    @final
    def bands(self) -> list[Band]:
        """Return all bands, the approximation first, then from coarse to fine; together they fill the codomain once."""
        space = self.domain[-self.n_axes :]
        bands = [Band(self.levels, "a" * self.n_axes, tuple(slice(0, n >> self.levels) for n in space))]
        for level in range(self.levels, 0, -1):
            for letters in list(product("ad", repeat=self.n_axes))[1:]:
                sizes = [n >> level for n in space]
                slices = [slice(0, n) if a == "a" else slice(n, 2 * n) for a, n in zip(letters, sizes, strict=True)]
                bands.append(Band(level, "".join(letters), tuple(slices)))
        return bands

    def _forward(self, x: Tensor) -> Tensor:
        return analysis(x, self.low_pass(), levels=self.levels, n_axes=self.n_axes)

    def _adjoint(self, y: Tensor) -> Tensor:
        return synthesis(y, self.low_pass(), levels=self.levels, n_axes=self.n_axes)


@final
class Wavelet(WaveletTransform):
    r"""The orthonormal discrete wavelet transform with periodic borders; exact inverse: ``W.H(W(x)) == x``.

    .. math:: a_n = \sum_k h_k x_{2n + k + 1 - K}, \quad d_n = \sum_k g_k x_{2n + k + 1 - K}, \quad
        g_k = (-1)^k h_{2K - 1 - k}

    with 2K taps and indices modulo the length. Where PyWavelets has the same taps (all ``db``), the coefficients are
    those of its mode ``periodization``, in the layout of its ``coeffs_to_array``.

    Parameters
    ----------
    domain
        Shape of one input; every transformed axis must be divisible by ``2**levels``.
    filters
        ``db1`` to ``db20`` or ``sym2`` to ``sym20``.
    levels
        1 or more. None: as many as leave each band about as long as the filter, and as the lengths are divisible.
    n_axes
        The last 1, 2 or 3 axes are transformed.

    Raises
    ------
    InputError
        When there is no such filter, or an axis is not divisible.

    Source: Mallat 1989, IEEE Trans. Pattern Anal. Mach. Intell. 11(7); Daubechies 1992, Ten Lectures on Wavelets.

    Examples
    --------
    >>> Wavelet((8,), "db1", levels=1, n_axes=1)(torch.ones(8)).round(decimals=3)
    tensor([1.4140, 1.4140, 1.4140, 1.4140, 0.0000, 0.0000, 0.0000, 0.0000])
    """

    taps: Tensor

    def __init__(self, domain: Shape, filters: str = "db4", *, levels: int | None = None, n_axes: int = 2) -> None:
        taps = torch.tensor(low_pass_filter(filters))
        super().__init__(domain, len(taps), levels=levels, n_axes=n_axes)
        self.register_buffer("taps", taps, persistent=False)

    def low_pass(self) -> Tensor:
        """Return the low-pass taps, shape ``(n_taps,)``, float64."""
        return self.taps


def mirror_filter(low: Tensor) -> Tensor:
    r"""Return the high-pass taps :math:`g_k = (-1)^k h_{2K-1-k}` of low-pass taps h, shape ``(2K,)``."""
    signs = torch.ones_like(low)
    signs[1::2] = -1.0
    return signs * low.flip(0)


def analysis(x: Tensor, low: Tensor, *, levels: int, n_axes: int) -> Tensor:
    """Transform the last ``n_axes`` axes of ``x``, real or complex; differentiable in ``x`` and in ``low``.

    Parameters
    ----------
    x
        Shape ``(..., *space)``, each axis of space divisible by ``2**levels``.
    low
        Low-pass taps, shape ``(n_taps,)``; the high-pass is their mirror.
    levels, n_axes
        As in :class:`WaveletTransform`.
    """
    return _pyramid(x, low, n_axes, _analysis_step, range(levels))


def synthesis(y: Tensor, low: Tensor, *, levels: int, n_axes: int) -> Tensor:
    """Apply the adjoint of :func:`analysis`, which is its inverse when the taps are orthonormal."""
    return _pyramid(y, low, n_axes, _synthesis_step, range(levels - 1, -1, -1))


def _pyramid(x: Tensor, low: Tensor, n_axes: int, step: Callable[[Tensor, Tensor], Tensor], levels: range) -> Tensor:
    if x.is_complex():
        parts = _pyramid(torch.stack([x.real, x.imag]), low, n_axes, step, levels)
        return torch.complex(parts[0], parts[1])
    space = x.shape[-n_axes:]
    filters = torch.stack([low, mirror_filter(low)]).to(x.device, x.dtype)
    y = x.reshape(-1, *space)
    for number, level in enumerate(levels):
        corner = (slice(None), *(slice(0, n >> level) for n in space))
        part = _each_axis(y[corner], filters, step)
        if part.shape == y.shape:
            y = part
        else:
            y = y.clone() if number == 0 else y  # after the first level y is ours to write on
            y[corner] = part
    return y.reshape(x.shape)


def _each_axis(x: Tensor, filters: Tensor, step: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Apply a step along every axis but the first. A step turns the axes by one, so n steps restore their order."""
    shape = x.shape
    if x.ndim == 2:  # the batch stands in for the other axes, which makes the products wide
        return step(x.mT[None], filters).reshape(shape)
    for n in shape[1:]:
        x = step(x.reshape(shape[0], n, -1), filters)
    return x.reshape(shape)


def _analysis_step(x: Tensor, filters: Tensor) -> Tensor:
    """``(batch, n, rest) -> (batch, rest, n)``, the low-pass half first."""
    length, n_taps = x.shape[1], filters.shape[1]
    block = _block(length)
    inputs = torch.arange(block + n_taps - 2, device=x.device)
    outputs = torch.arange(block // 2, device=x.device)
    matrix = _entries(filters, inputs - 2 * outputs[:, None]).reshape(block, -1)
    starts = torch.arange(0, length, block, device=x.device) + 1 - n_taps // 2
    index = (starts[:, None] + inputs) % length
    return _banded_product(x, index, matrix, n_halves=2)


def _synthesis_step(y: Tensor, filters: Tensor) -> Tensor:
    """``(batch, n, rest) -> (batch, rest, n)``, the adjoint of the other."""
    length, n_taps = y.shape[1], filters.shape[1]
    block, half = _block(length), length // 2
    inputs = torch.arange(-(n_taps // 4), (block + n_taps // 2) // 2, device=y.device)
    outputs = torch.arange(block, device=y.device)
    matrix = _entries(filters, outputs[:, None] - 2 * inputs - 1 + n_taps // 2).permute(1, 0, 2).reshape(block, -1)
    starts = torch.arange(0, half, block // 2, device=y.device)
    index = (starts[:, None] + inputs) % half
    return _banded_product(y, torch.cat([index, index + half], dim=1), matrix, n_halves=1)


def _banded_product(x: Tensor, index: Tensor, matrix: Tensor, *, n_halves: int) -> Tensor:
    """Multiply the rows of each block by one small matrix: a banded Toeplitz product at the speed of a dense one."""
    batch, length, rest = x.shape
    n_blocks, window = index.shape
    rows = x.index_select(1, index.flatten()).reshape(batch, n_blocks, window, rest)
    # one column for each block would be many tiny products; from the other side it is one large product
    y = matrix @ rows if rest > 1 else rows.squeeze(-1) @ matrix.mT
    y = y.reshape(batch, n_blocks, n_halves, -1, rest)
    return y.permute(0, 4, 2, 1, 3).reshape(batch, rest, length)


def _entries(filters: Tensor, lags: Tensor) -> Tensor:
    """Look up taps at ``lags``, zero outside the filter: ``(2, *lags.shape)``."""
    n_taps = filters.shape[1]
    inside = (lags >= 0) & (lags < n_taps)
    return filters[:, lags.clamp(0, n_taps - 1)] * inside


def _block(length: int) -> int:
    """Return the largest even divisor of an even length that is at most the longest block."""
    return next(block for block in range(_LONGEST_BLOCK, 0, -2) if length % block == 0)


def _levels(name: str, domain: Shape, n_taps: int, n_axes: int, levels: int | None) -> int:
    space = domain[-n_axes:]
    possible = [(n & -n).bit_length() - 1 for n in space]  # how often 2 divides the length
    if levels is None:
        sensible = [int(log2(max(n / max(n_taps - 1, 1), 2))) for n in space]
        levels = max(1, min(*possible, *sensible))
    if levels < 1:
        raise InputError(f"{name}: levels must be 1 or more, got {levels}.")
    for axis, (n, most) in enumerate(zip(space, possible, strict=True), start=len(domain) - n_axes):
        if most < levels:
            cure = f"take levels={most} or pad" if most else "pad"
            raise InputError(
                f"{name}: axis {axis} has {n} entries, which 2**{levels} does not divide; at most {most} levels are "
                f"possible there, so {cure} it."
            )
    return levels
