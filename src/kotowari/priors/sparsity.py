"""Few entries differ from zero: separable penalties of the magnitude of each entry, real or complex."""

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError
from kotowari.priors.functional.scalar_prox import (
    charbonnier,
    power,
    shrink_log,
    shrink_power,
    smooth_log,
    smooth_power,
)
from kotowari.priors.functional.soft_threshold import soft_threshold
from kotowari.priors.prior import ProximalPrior
from kotowari.priors.weight import Weight, adopt_weight, fitted, told, weighted_step
from kotowari.solvers.protocols import Step

__all__ = ["L1", "Huber", "LogSum", "Lp"]


class _Separable(ProximalPrior):
    """A weighted sum of one penalty of the magnitude of each entry."""

    weight: Weight

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        adopt_weight(self, "weight", weight)

    @abstractmethod
    def _penalty(self, magnitude: Tensor) -> Tensor: ...

    @abstractmethod
    def _smooth_penalty(self, magnitude: Tensor, eps: float) -> Tensor: ...

    @abstractmethod
    def _shrink(self, x: Tensor, threshold: Weight) -> Tensor: ...

    @final
    def _value(self, x: Tensor) -> Tensor:
        return (self._weight(x) * self._penalty(x.abs())).flatten(1).sum(1)

    @final
    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return (self._weight(x) * self._smooth_penalty(x.abs(), eps)).flatten(1).sum(1)

    @final
    def _prox(self, x: Tensor, step: Step) -> Tensor:
        return self._shrink(x, weighted_step(self, self._weight(x), step, x))

    def _weight(self, x: Tensor) -> Weight:
        return fitted(self, "weight", self.weight, x)

    def extra_repr(self) -> str:
        """Say the weight."""
        return f"weight={told(self.weight)}"


@final
class L1(_Separable):
    r"""Weighted absolute sum, :math:`g(x) = \sum_i \lambda_i |x_i|`.

    Its prox is soft thresholding; its smooth neighbour is :math:`\sum_i \lambda_i (\sqrt{|x_i|^2 + \epsilon^2} -
    \epsilon)`.

    Parameters
    ----------
    weight
        :math:`\lambda \ge 0`, in units of g / units of x: a number; a tensor that broadcasts against one sample; or an
        ``nn.Parameter`` of either form, which gets its gradient from value, losses and prox. Training must keep it at 0
        or more, for example by ``torch.nn.utils.parametrize``.

    Raises
    ------
    InputError
        When a weight is negative or not finite.

    Examples
    --------
    >>> L1(0.5).prox(torch.tensor([[3.0, -0.2]]), step=2.0)
    tensor([[2., 0.]])
    """

    def __init__(self, weight: Weight = 1.0) -> None:
        super().__init__(weight)

    def _penalty(self, magnitude: Tensor) -> Tensor:
        return magnitude

    def _smooth_penalty(self, magnitude: Tensor, eps: float) -> Tensor:
        return charbonnier(magnitude, eps)

    def _shrink(self, x: Tensor, threshold: Weight) -> Tensor:
        return soft_threshold(x, threshold)


@final
class Huber(_Separable):
    r"""Quadratic near zero, absolute beyond: the Moreau envelope of :math:`\lambda|x|` at :math:`\mu = \delta/\lambda`.

    .. math:: g(x) = \sum_i \lambda_i h(x_i), \quad
        h(x) = |x|^2 / 2\delta \ \text{for } |x| \le \delta, \quad |x| - \delta/2 \ \text{beyond}

    Differentiable as it stands, so its smooth neighbour is itself whatever ``eps``.

    Parameters
    ----------
    delta
        Magnitude at which the two pieces meet, above 0, in units of x.
    weight
        :math:`\lambda`, as in :class:`L1`.
    """

    def __init__(self, delta: float, weight: Weight = 1.0) -> None:
        super().__init__(weight)
        _require_positive(self, "delta", delta)
        self.delta = delta

    def _penalty(self, magnitude: Tensor) -> Tensor:
        inner = magnitude.clamp_max(self.delta)
        return inner * (magnitude - 0.5 * inner) / self.delta

    def _smooth_penalty(self, magnitude: Tensor, eps: float) -> Tensor:  # noqa: ARG002 - smooth as it is
        return self._penalty(magnitude)

    def _shrink(self, x: Tensor, threshold: Weight) -> Tensor:
        reach = torch.maximum(x.abs(), torch.as_tensor(self.delta + threshold, dtype=x.real.dtype, device=x.device))
        return x * (1.0 - threshold / reach)

    def extra_repr(self) -> str:
        """Say delta and the weight."""
        return f"delta={self.delta:g}, {super().extra_repr()}"


@final
class Lp(_Separable):
    r"""Sum of powers, :math:`g(x) = \sum_i \lambda_i |x_i|^p` with 0 < p < 1; not convex.

    Sparser than :class:`L1` and less biased at large entries. The prox is a global minimiser. Its smooth neighbour is
    :math:`\sum_i \lambda_i ((|x_i|^2 + \epsilon^2)^{p/2} - \epsilon^p)`. The slope of the value has no bound near 0, so
    a network is better trained on the smooth neighbour; at 0 the gradient is 0.

    Parameters
    ----------
    p
        Above 0 and below 1.
    weight
        :math:`\lambda`, as in :class:`L1`.
    """

    convex = False

    def __init__(self, p: float, weight: Weight = 1.0) -> None:
        super().__init__(weight)
        if not 0 < p < 1:
            raise InputError(f"Lp: p must lie between 0 and 1, got {p}. For p = 1 take L1, for p = 2 SquaredL2.")
        self.p = p

    def _penalty(self, magnitude: Tensor) -> Tensor:
        return power(magnitude, self.p)

    def _smooth_penalty(self, magnitude: Tensor, eps: float) -> Tensor:
        return smooth_power(magnitude, self.p, eps)

    def _shrink(self, x: Tensor, threshold: Weight) -> Tensor:
        magnitude = x.abs()
        return _with_magnitude(x, magnitude, shrink_power(magnitude, threshold, self.p))

    def extra_repr(self) -> str:
        """Say the power and the weight."""
        return f"p={self.p:g}, {super().extra_repr()}"


@final
class LogSum(_Separable):
    r"""Sum of logarithms, :math:`g(x) = \sum_i \lambda_i \log(1 + |x_i|/e)`; not convex, the prox a global minimiser.

    Its smooth neighbour has :math:`\sqrt{|x_i|^2 + \epsilon^2} - \epsilon` in place of :math:`|x_i|`.

    Parameters
    ----------
    eps
        e above 0, in units of x: magnitudes well above it are hardly shrunk.
    weight
        :math:`\lambda`, as in :class:`L1`.

    Source: Candes, Wakin and Boyd 2008, J. Fourier Anal. Appl. 14 (the penalty, up to the constant log e).
    """

    convex = False

    def __init__(self, eps: float, weight: Weight = 1.0) -> None:
        super().__init__(weight)
        _require_positive(self, "eps", eps)
        self.eps = eps

    def _penalty(self, magnitude: Tensor) -> Tensor:
        return torch.log1p(magnitude / self.eps)

    def _smooth_penalty(self, magnitude: Tensor, eps: float) -> Tensor:
        return smooth_log(magnitude, self.eps, eps)

    def _shrink(self, x: Tensor, threshold: Weight) -> Tensor:
        magnitude = x.abs()
        return _with_magnitude(x, magnitude, shrink_log(magnitude, threshold, self.eps))

    def extra_repr(self) -> str:
        """Say eps and the weight."""
        return f"eps={self.eps:g}, {super().extra_repr()}"


def _with_magnitude(x: Tensor, old: Tensor, new: Tensor) -> Tensor:
    return x * (new / torch.where(old > 0, old, 1.0))


def _require_positive(owner: nn.Module, name: str, number: float) -> None:
    if not number > 0:
        raise InputError(f"{type(owner).__name__}: {name} must be above 0, got {number}.")
