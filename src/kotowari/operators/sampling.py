"""Operators that keep some entries: with the shape as it was, or picked out into a row."""

from collections.abc import Iterable
from math import prod
from typing import final

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError
from kotowari.operators.layout import as_shape, broadcast
from kotowari.operators.linear import LinearOperator, Shape

__all__ = ["Mask", "Sampling"]


@final
class Mask(LinearOperator):
    """Keeps the entries where ``mask`` is true and puts 0 elsewhere: an orthogonal projection.

    It multiplies, so what is left out has to be finite: NaN stays NaN.

    Parameters
    ----------
    mask
        Booleans that broadcast to ``domain``.
    domain
        Shape of one input, without batch axes. Default: the shape of ``mask``.

    Raises
    ------
    InputError
        When ``mask`` is not boolean.
    ShapeError
        When ``mask`` does not broadcast to ``domain``.

    Examples
    --------
    >>> Mask(torch.tensor([True, False, True]))(torch.tensor([1.0, 2.0, 3.0]))
    tensor([1., 0., 3.])
    """

    mask: Tensor

    def __init__(self, mask: Tensor, domain: Iterable[int] | None = None) -> None:
        super().__init__()
        if mask.dtype != torch.bool:
            raise InputError(f"Mask: mask must be boolean, got {mask.dtype}. Say what is kept, for example mask > 0.")
        self.domain = self.codomain = as_shape("Mask", "domain", mask.shape if domain is None else domain)
        broadcast("Mask: mask", mask, self.domain)
        # constants and shapes follow from it, so it comes from here and never from a saved state
        self.register_buffer("mask", mask, persistent=False)
        if bool(mask.all()):
            self.coisometry = self.isometry = 1.0

    def _forward(self, x: Tensor) -> Tensor:
        return x * self.mask

    def _adjoint(self, y: Tensor) -> Tensor:
        return y * self.mask

    def _norm(self) -> float:
        return float(self.mask.any())


@final
class Sampling(LinearOperator):
    r"""Picks entries out into a row: ``(..., *domain) -> (..., n_kept)``.

    Parameters
    ----------
    kept
        Which entries: booleans that broadcast to ``domain`` (picked in row-major order), or indices into the flattened
        input, shape ``(n_kept,)``, in any order, also repeated.
    domain
        Shape of one input, without batch axes.

    Attributes
    ----------
    coisometry
        1 when no entry is picked twice: :math:`A A^H = I`.
    isometry
        c when each entry of the input is picked c times, else None.

    Raises
    ------
    InputError
        When nothing is picked, an index lies outside the input, or ``kept`` is neither boolean nor of integers.
    ShapeError
        When a mask does not broadcast to ``domain``, or indices do not stand in one row.

    Examples
    --------
    >>> Sampling(torch.tensor([2, 0]), (3,))(torch.tensor([1.0, 2.0, 3.0]))
    tensor([3., 1.])
    """

    index: Tensor

    def __init__(self, kept: Tensor, domain: Iterable[int]) -> None:
        super().__init__()
        self.domain = as_shape("Sampling", "domain", domain)
        index = _picked(kept, self.domain)
        self.register_buffer("index", index, persistent=False)  # shapes follow from it, as in Mask
        self.codomain = (len(index),)
        counts = torch.bincount(index, minlength=prod(self.domain))
        self._most = int(counts.max())
        self.coisometry = 1.0 if self._most == 1 else None
        self.isometry = float(self._most) if bool((counts == self._most).all()) else None

    def _forward(self, x: Tensor) -> Tensor:
        batch = x.shape[: x.ndim - len(self.domain)]
        return x.reshape(*batch, prod(self.domain)).index_select(-1, self.index)

    def _adjoint(self, y: Tensor) -> Tensor:
        batch = y.shape[:-1]
        x = y.new_zeros((*batch, prod(self.domain))).index_add_(-1, self.index, y)
        return x.reshape(*batch, *self.domain)

    def _norm(self) -> float:
        return float(self._most**0.5)


def _picked(kept: Tensor, domain: Shape) -> Tensor:
    """Return indices into the flattened domain."""
    if kept.dtype == torch.bool:
        index = broadcast("Sampling: mask", kept, domain).flatten().nonzero().flatten()
    elif kept.is_floating_point() or kept.is_complex():
        raise InputError(f"Sampling: kept must be a boolean mask or indices, got {kept.dtype}.")
    elif kept.ndim != 1:
        raise ShapeError.mismatch("Sampling", "indices", ("n_kept",), kept.shape)
    else:
        index = kept.long()
    size = prod(domain)
    if len(index) == 0:
        raise InputError("Sampling: nothing is picked. Keep one entry or more.")
    if not 0 <= int(index.min()) <= int(index.max()) < size:
        raise InputError(
            f"Sampling: indices must lie between 0 and {size - 1}, got {int(index.min())} to {int(index.max())}."
        )
    return index
