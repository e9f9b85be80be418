r"""Hard constraints: penalties that are 0 on a set and infinite off it, with the projection as their prox."""

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError
from kotowari.priors.functional.simplex import project_simplex
from kotowari.priors.prior import ProximalPrior, Smooth, squared_distance
from kotowari.priors.weight import Weight, adopt, fitted, told
from kotowari.solvers.inner_product import length
from kotowari.solvers.protocols import Step

__all__ = ["Box", "Indicator", "NonNegative", "Simplex"]

_ROUNDINGS = 30  # machine epsilons that a projection may be off by, for each root of the number of entries


class Indicator(ProximalPrior):
    r"""0 on a closed convex set C and infinite off it.

    A subclass writes ``_project``, and may override ``_inside``. The value counts a sample of n entries as
    in C when its distance to C is at most :math:`30 \sqrt n` machine epsilons of its dtype, times the larger norm of
    sample and projection. The prox is the projection, whatever the step.

    What a network is trained on is finite everywhere: ``smooth_value(x, eps)`` is
    :math:`\mathrm{dist}(x, C)^2 / 2\epsilon`, ``loss(x)`` the mean of the squared distance, and the loss of every other
    kind the mean of the squared distance over twice its ``amount``.
    """

    @abstractmethod
    def _project(self, x: Tensor) -> Tensor: ...

    @final
    def project(self, x: Tensor) -> Tensor:
        """Return the nearest point of the set to each sample: shape of ``x``."""
        self._require_fit(x)
        return self._project(x)

    @final
    def _value(self, x: Tensor) -> Tensor:
        inside = self._inside(x)
        return torch.full(inside.shape, torch.inf, dtype=x.real.dtype, device=x.device).masked_fill(inside, 0.0)

    @final
    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return self._squared_distance(x) / (2 * eps)

    @final
    def _prox(self, x: Tensor, step: Step) -> Tensor:  # noqa: ARG002 - a multiple of 0 or infinity is the same
        return self._project(x)

    @final
    def _moreau(self, x: Tensor, mu: float) -> Tensor:
        return self._squared_distance(x) / (2 * mu)

    @final
    def _sample_loss(self, x: Tensor, smooth: Smooth, amount: float) -> Tensor:
        if smooth == "none":
            return self._squared_distance(x)
        return super()._sample_loss(x, smooth, amount)

    def _inside(self, x: Tensor) -> Tensor:
        nearest = self._project(x)
        return length(x - nearest) <= rounding(x) * torch.maximum(length(x), length(nearest))

    def _squared_distance(self, x: Tensor) -> Tensor:
        return squared_distance(x, self._project(x.detach()).detach())  # the projection held fixed: Danskin


@final
class Box(Indicator):
    r"""Entries between two bounds, :math:`a_i \le x_i \le b_i`; real.

    Parameters
    ----------
    low, high
        a and b in units of x: numbers, or tensors that broadcast against one sample; minus and plus infinity for no
        bound.

    Raises
    ------
    InputError
        When a low bound lies above its high one; when x is complex.
    ShapeError
        When the bounds do not broadcast against each other, or against a sample.

    Examples
    --------
    >>> Box(0.0, 1.0).project(torch.tensor([[-2.0, 0.5, 3.0]]))
    tensor([[0.0000, 0.5000, 1.0000]])
    """

    low: Weight
    high: Weight

    def __init__(self, low: Weight = -torch.inf, high: Weight = torch.inf) -> None:
        super().__init__()
        bounds = torch.as_tensor(low), torch.as_tensor(high)
        try:
            ordered = bool((bounds[0] <= bounds[1]).all())
        except RuntimeError:
            raise ShapeError(f"Box: {told(low)} and {told(high)} do not broadcast against each other.") from None
        if not ordered:
            raise InputError(f"Box: every low bound must be at most its high one, got {told(low)} and {told(high)}.")
        adopt(self, "low", low)
        adopt(self, "high", high)

    def _project(self, x: Tensor) -> Tensor:
        _require_real(self, x)
        low, high = fitted(self, "low", self.low, x), fitted(self, "high", self.high, x)
        raised = torch.maximum(x, low) if isinstance(low, Tensor) else x.clamp_min(low)
        return torch.minimum(raised, high) if isinstance(high, Tensor) else raised.clamp_max(high)

    def extra_repr(self) -> str:
        """Say the bounds."""
        return f"low={told(self.low)}, high={told(self.high)}"


@final
class NonNegative(Indicator):
    r"""Entries of 0 or more; real.

    Raises
    ------
    InputError
        When x is complex.
    """

    def _project(self, x: Tensor) -> Tensor:
        _require_real(self, x)
        return x.clamp_min(0.0)


@final
class Simplex(Indicator):
    r"""Entries of 0 or more that add up to a total along one axis: fractions of a whole; real.

    Parameters
    ----------
    total
        What they add up to, above 0, in units of x.
    dim
        The axis, not that of the batch: 1 for the channels of an image, -1 for the last axis.

    Raises
    ------
    InputError
        When ``total`` is not above 0, or ``dim`` is that of the batch; when x is complex.
    ShapeError
        When x lacks that axis.
    """

    def __init__(self, total: float = 1.0, dim: int = -1) -> None:
        super().__init__()
        if not 0 < total < torch.inf or dim == 0:
            raise InputError(f"Simplex: total must be above 0 and dim not the batch, got total={total}, dim={dim}.")
        self.total, self.dim = total, dim

    def _project(self, x: Tensor) -> Tensor:
        _require_real(self, x)
        if not 1 <= (self.dim + x.ndim if self.dim < 0 else self.dim) < x.ndim:
            raise ShapeError(f"{self}: an input of shape {tuple(x.shape)} lacks this axis.")
        return project_simplex(x, self.total, self.dim)

    def extra_repr(self) -> str:
        """Say the total and the axis."""
        return f"total={self.total:g}, dim={self.dim}"


def rounding(x: Tensor) -> float:
    """Return the relative distance that rounding alone may leave between a point of a set and the set."""
    return float(_ROUNDINGS * torch.finfo(x.dtype).eps * x[0].numel() ** 0.5)


def _require_real(owner: Indicator, x: Tensor) -> None:
    if x.is_complex():
        raise InputError(
            f"{owner}: numbers in order are real, got {x.dtype}. Take real and imaginary part on their own."
        )
