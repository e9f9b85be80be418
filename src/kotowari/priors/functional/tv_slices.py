"""Total variation on independent slices: how an array is folded into them, and their weighted differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, prod

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError

__all__ = ["Differences", "Folding"]


@dataclass(frozen=True)
class Differences:
    r"""Weighted forward differences D with Neumann ends, and how they join into magnitudes.

    Works on slices of shape ``(slice, part, *space)``: a slice is one independent image; its parts, the real and the
    imaginary one, share their edges. Differences have shape ``(slice, part, axis, *space)``, the last along an axis 0.

    Parameters
    ----------
    weights
        One factor above 0 for each axis of the space.
    isotropic
        Whether one magnitude joins the differences along all axes, or each axis has its own.
    """

    weights: tuple[float, ...]
    isotropic: bool

    def __post_init__(self) -> None:
        if not all(isfinite(weight) and weight > 0 for weight in self.weights):
            raise InputError(f"Total variation: weights of the axes must be finite and above 0, got {self.weights}.")

    @property
    def squared_norm(self) -> float:
        r"""The bound :math:`4 \sum_k w_k^2` of :math:`\|D\|^2`."""
        return 4.0 * sum(weight**2 for weight in self.weights)

    @property
    def mean_diagonal(self) -> float:
        r"""Mean of the diagonal of :math:`D D^T`."""
        return self.squared_norm / (2 * len(self.weights))

    @property
    def joined(self) -> tuple[int, ...]:
        """Axes of the differences that one magnitude runs over."""
        return (1, 2) if self.isotropic else (1,)

    def apply(self, x: Tensor) -> Tensor:
        """Return D x: ``(slice, part, *space) -> (slice, part, axis, *space)``."""
        pieces = []
        for number, weight in enumerate(self.weights):
            axis = 2 + number
            edge = torch.zeros_like(x.narrow(axis, 0, 1))
            pieces.append(torch.cat([x.diff(dim=axis) * weight, edge], axis))
        return torch.stack(pieces, 2)

    def adjoint(self, p: Tensor) -> Tensor:
        r"""Return :math:`D^T p`: ``(slice, part, axis, *space) -> (slice, part, *space)``."""
        x = p.new_zeros((*p.shape[:2], *p.shape[3:]))
        for number, weight in enumerate(self.weights):
            axis = 2 + number
            inner = x.shape[axis] - 1
            flow = p[:, :, number].narrow(axis, 0, inner) * weight
            x.narrow(axis, 0, inner).sub_(flow)
            x.narrow(axis, 1, inner).add_(flow)
        return x

    def inside(self, p: Tensor) -> Tensor:
        """Return ``p`` with 0 where differences are 0 by definition, at the far end of every axis."""
        p = p.clone()
        for number in range(len(self.weights)):
            p[:, :, number].narrow(2 + number, -1, 1).zero_()
        return p

    def magnitude(self, p: Tensor) -> Tensor:
        """Return the magnitudes of differences, the joined axes kept at length 1."""
        return p.square().sum(self.joined, keepdim=True).sqrt()

    def across(self, p: Tensor, normal: Tensor) -> Tensor:
        """Return ``p`` less its part along ``normal``, unit vectors over the joined axes or 0."""
        return p - normal * (normal * p).sum(self.joined, keepdim=True)

    def flattening(self, x: Tensor) -> Tensor:
        r"""Return one p with :math:`D^T p = x` for slices of mean 0, by sums along one axis after the other."""
        rest = x
        pieces = []
        for number, weight in enumerate(self.weights):
            axis = 2 + number
            mean = rest.mean(axis, keepdim=True)
            sums = (rest - mean).cumsum(axis).narrow(axis, 0, x.shape[axis] - 1)
            pieces.append(torch.cat([sums / -weight, torch.zeros_like(x.narrow(axis, 0, 1))], axis))
            rest = mean.expand_as(rest)
        return torch.stack(pieces, 2)


@dataclass(frozen=True)
class Folding:
    """How an array ``(batch, ...)``, real or complex, becomes slices ``(slice, part, *space)`` and comes back.

    Parameters
    ----------
    shape
        Shape of the array.
    axes
        Axes of the space, counted from the front, in the order of their differences. Every other axis but the batch
        counts independent images.
    is_complex
        Whether slices have two parts, real and imaginary, or one.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    is_complex: bool

    @classmethod
    def of(cls, x: Tensor, axes: Sequence[int]) -> "Folding":
        """Return the folding of ``x``; raise ShapeError or InputError when it has no such axes or the wrong dtype."""
        counted = tuple(axis + x.ndim if axis < 0 else axis for axis in axes)
        if not counted or len(set(counted)) < len(counted) or not all(0 < axis < x.ndim for axis in counted):
            raise ShapeError(
                f"Total variation: axes {tuple(axes)} must be different axes of the input, the first one (the batch) "
                f"left out; its shape is {tuple(x.shape)}."
            )
        if x.dtype not in {torch.float32, torch.float64, torch.complex64, torch.complex128}:
            raise InputError(f"Total variation: input must be of single or double precision, got {x.dtype}.")
        return cls(tuple(x.shape), counted, x.is_complex())

    @property
    def images(self) -> int:
        """How many slices one sample has."""
        return prod(self.shape[axis] for axis in self._order[1 : -len(self.axes)])

    @property
    def _order(self) -> tuple[int, ...]:
        others = (axis for axis in range(1, len(self.shape)) if axis not in self.axes)
        return (0, *others, *self.axes)

    def fold(self, x: Tensor) -> Tensor:
        """``(batch, ...) -> (slice, part, *space)``, contiguous."""
        n_slices = self.shape[0] * self.images
        slices = x.permute(self._order).reshape(n_slices, *(self.shape[axis] for axis in self.axes))
        parts = torch.view_as_real(slices).movedim(-1, 1) if self.is_complex else slices.unsqueeze(1)
        return parts.contiguous()

    def unfold(self, slices: Tensor) -> Tensor:
        """``(slice, part, *space) -> (batch, ...)``."""
        joined = torch.view_as_complex(slices.movedim(1, -1).contiguous()) if self.is_complex else slices[:, 0]
        placed = joined.reshape([self.shape[axis] for axis in self._order])
        return placed.permute([self._order.index(axis) for axis in range(len(self.shape))]).contiguous()

    def fold_dual(self, dual: Tensor) -> Tensor:
        """``(batch, axis, ...) -> (slice, part, axis, *space)``, contiguous; raise ShapeError when it does not fit."""
        expected = (self.shape[0], len(self.axes), *self.shape[1:])
        if tuple(dual.shape) != expected or dual.is_complex() != self.is_complex:
            kind = "complex" if self.is_complex else "real"
            raise ShapeError.mismatch("Total variation", f"dual ({kind}, as the input)", expected, dual.shape)
        return torch.stack([self.fold(piece) for piece in dual.unbind(1)], 2)

    def unfold_dual(self, p: Tensor) -> Tensor:
        """``(slice, part, axis, *space) -> (batch, axis, ...)``."""
        return torch.stack([self.unfold(piece) for piece in p.unbind(2)], 1)

    def per_slice(self, value: Tensor) -> Tensor:
        """``(batch,) -> (slice,)``."""
        return value.repeat_interleave(self.images)

    def per_sample(self, value: Tensor) -> Tensor:
        """``(slice,) -> (batch, image)``."""
        return value.reshape(self.shape[0], self.images)
