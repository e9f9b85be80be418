r"""Low rank: penalties of the singular values of matrices, real or complex.

The matrices are the last two axes of x; where there are axes between them and the batch, the penalties of all matrices
of a sample are added up.
"""

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.priors.functional.scalar_prox import (
    charbonnier,
    power,
    shrink_log,
    shrink_power,
    smooth_log,
    smooth_power,
)
from kotowari.priors.functional.singular_values import (
    nuclear_norm,
    shrink_singular_values,
    singular_value_threshold,
    singular_values,
)
from kotowari.priors.prior import ProximalPrior
from kotowari.priors.weight import Weight, adopt_weight, fitted, told, weighted_step
from kotowari.solvers.protocols import Step

__all__ = ["LogDet", "Nuclear", "SchattenP", "WeightedNuclear"]


@final
class Nuclear(ProximalPrior):
    r"""Sum of the singular values, :math:`g(X) = \lambda \sum_i s_i`: the convex measure of rank.

    Its prox lowers every singular value by :math:`\tau\lambda`, to 0 at least. Its smooth neighbour is
    :math:`\lambda \sum_i (\sqrt{s_i^2 + \epsilon^2} - \epsilon)`.

    Parameters
    ----------
    weight
        :math:`\lambda \ge 0`: one number, or a tensor or ``nn.Parameter`` without axes.

    Raises
    ------
    InputError
        When the weight is negative or not finite, or has axes.
    ShapeError
        When x has fewer than three axes.

    Examples
    --------
    >>> Nuclear(2.0).value(torch.diag(torch.tensor([3.0, 1.0]))[None])
    tensor([8.])
    """

    weight: Weight

    def __init__(self, weight: Weight = 1.0) -> None:
        super().__init__()
        adopt_weight(self, "weight", weight, scalar=True)

    def _value(self, x: Tensor) -> Tensor:
        return self._weight(x) * _total(nuclear_norm(_matrices(self, x)))

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return self._weight(x) * _total(nuclear_norm(_matrices(self, x), eps))

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        return singular_value_threshold(_matrices(self, x), weighted_step(self, self._weight(x), step, x))

    def _weight(self, x: Tensor) -> Weight:
        return fitted(self, "weight", self.weight, x)

    def extra_repr(self) -> str:
        """Say the weight."""
        return f"weight={told(self.weight)}"


class _Spectral(ProximalPrior):
    """One penalty of each singular value, added up and weighted."""

    weight: Weight

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        adopt_weight(self, "weight", weight, scalar=True)

    @abstractmethod
    def _penalty(self, values: Tensor) -> Tensor: ...

    @abstractmethod
    def _smooth_penalty(self, values: Tensor, eps: float) -> Tensor: ...

    @abstractmethod
    def _shrink(self, values: Tensor, threshold: Weight) -> Tensor: ...

    @final
    def _value(self, x: Tensor) -> Tensor:
        return self._weight(x) * _total(self._penalty(_nonzero_values(_matrices(self, x))))

    @final
    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return self._weight(x) * _total(self._smooth_penalty(singular_values(_matrices(self, x)), eps))

    @final
    def _prox(self, x: Tensor, step: Step) -> Tensor:
        threshold = weighted_step(self, self._weight(x), _for_values(self, step, x), x[..., 0])
        return shrink_singular_values(_matrices(self, x), lambda values: self._shrink(values, threshold))

    def _weight(self, x: Tensor) -> Weight:
        return fitted(self, "weight", self.weight, x)

    def extra_repr(self) -> str:
        """Say the weight."""
        return f"weight={told(self.weight)}"


@final
class SchattenP(_Spectral):
    r"""Sum of powers of the singular values, :math:`g(X) = \lambda \sum_i s_i^p`; not convex for p below 1.

    Closer to the rank than :class:`Nuclear` for p below 1, where the prox is a global minimiser. Its smooth neighbour
    is :math:`\lambda \sum_i ((s_i^2 + \epsilon^2)^{p/2} - \epsilon^p)`. For p below 1 the slope of the value has no
    bound near 0, so a network is better trained on the smooth neighbour; singular values that are zero up to rounding
    count as 0 and have gradient 0. For p = 2 it is twice :class:`~kotowari.priors.quadratic.SquaredL2`, which is had
    without singular values.

    Parameters
    ----------
    p
        Above 0 and at most 1, such as 1/2 or 2/3; or 2.
    weight
        :math:`\lambda`, as in :class:`Nuclear`.
    """

    def __init__(self, p: float, weight: Weight = 1.0) -> None:
        super().__init__(weight)
        if not (0 < p <= 1 or p == 2):
            raise InputError(f"SchattenP: p must be above 0 and at most 1, or 2, got {p}.")
        self.p, self.convex = p, p >= 1

    def _penalty(self, values: Tensor) -> Tensor:
        return power(values, self.p)

    def _smooth_penalty(self, values: Tensor, eps: float) -> Tensor:
        return smooth_power(values, self.p, eps)

    def _shrink(self, values: Tensor, threshold: Weight) -> Tensor:
        return shrink_power(values, threshold, self.p)

    def extra_repr(self) -> str:
        """Say the power and the weight."""
        return f"p={self.p:g}, {super().extra_repr()}"


@final
class LogDet(_Spectral):
    r"""Sum of logarithms of the singular values, :math:`g(X) = \lambda \sum_i \log(1 + s_i/e)`; not convex.

    That is the sum of :math:`\log(s_i + e)` up to a constant, which makes g(0) = 0. The prox is a global minimiser. Its
    smooth neighbour has :math:`\sqrt{s_i^2 + \epsilon^2} - \epsilon` in place of :math:`s_i`. Singular values that are
    zero up to rounding have gradient 0.

    Parameters
    ----------
    eps
        e above 0, in units of x: singular values well above it are hardly shrunk.
    weight
        :math:`\lambda`, as in :class:`Nuclear`.

    Source: Fazel, Hindi and Boyd 2003, American Control Conference (the heuristic); the prox: own derivation.
    """

    convex = False

    def __init__(self, eps: float, weight: Weight = 1.0) -> None:
        super().__init__(weight)
        if not eps > 0:
            raise InputError(f"LogDet: eps must be above 0, got {eps}.")
        self.eps = eps

    def _penalty(self, values: Tensor) -> Tensor:
        return torch.log1p(values / self.eps)

    def _smooth_penalty(self, values: Tensor, eps: float) -> Tensor:
        return smooth_log(values, self.eps, eps)

    def _shrink(self, values: Tensor, threshold: Weight) -> Tensor:
        return shrink_log(values, threshold, self.eps)

    def extra_repr(self) -> str:
        """Say eps and the weight."""
        return f"eps={self.eps:g}, {super().extra_repr()}"


@final
class WeightedNuclear(ProximalPrior):
    r"""Sum of weighted singular values, :math:`g(X) = \sum_i \lambda_i s_i` with :math:`s_1 \ge s_2 \ge \dots`.

    Weights that grow spare the large singular values. Convex when they do not grow; its prox is known here when they do
    not fall: :math:`\max(s_i - \tau\lambda_i, 0)`. Its smooth neighbour,
    :math:`\sum_i \lambda_i (\sqrt{s_i^2 + \epsilon^2} - \epsilon)`, still has kinks where singular values of different
    weight meet.

    Parameters
    ----------
    weights
        :math:`\lambda_i \ge 0`, shape ``(n_values,)`` with n_values the shorter side of the matrices; a tensor or an
        ``nn.Parameter``. Whether the prior is convex is decided when it is made.

    Raises
    ------
    InputError
        When a weight is negative or not finite, or the weights do not stand in one row.
    CapabilityError
        When the prox is asked for and the weights fall.

    Source: Gu, Xie, Meng, Zuo, Feng and Zhang 2017, Int. J. Comput. Vis. 121.
    """

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        if weights.ndim != 1:
            raise InputError(f"WeightedNuclear: weights must stand in one row, got shape {tuple(weights.shape)}.")
        adopt_weight(self, "weights", weights)
        self.convex = bool((weights.diff() <= 0).all())

    def _value(self, x: Tensor) -> Tensor:
        values = _nonzero_values(_matrices(self, x))
        return _total(self._weights(values) * values)

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        values = singular_values(_matrices(self, x))
        return _total(self._weights(values) * charbonnier(values, eps))

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        if not bool((self.weights.diff() >= 0).all()):
            raise CapabilityError(f"{self} has no prox: its weights fall. Order them from small to large.")
        step = _for_values(self, step, x)

        def shrink(values: Tensor) -> Tensor:
            return (values - weighted_step(self, self._weights(values), step, values)).clamp_min(0.0)

        return shrink_singular_values(_matrices(self, x), shrink)

    def _weights(self, values: Tensor) -> Weight:
        if values.shape[-1] != len(self.weights):
            raise ShapeError(f"{self}: the matrices have {values.shape[-1]} singular values, one weight for each.")
        return fitted(self, "weights", self.weights, values)

    def extra_repr(self) -> str:
        """Say the number of weights."""
        return f"weights={told(self.weights)}"


def _matrices(owner: ProximalPrior, x: Tensor) -> Tensor:
    if x.ndim < 3:
        raise ShapeError.mismatch(owner, "input", ("batch", "...", "row", "column"), x.shape)
    return x


def _total(numbers: Tensor) -> Tensor:
    """Add up all numbers of each sample."""
    return numbers.reshape(len(numbers), -1).sum(1)


def _nonzero_values(x: Tensor) -> Tensor:
    """Return singular values with those that are zero up to rounding set to 0: their vectors are noise."""
    values = singular_values(x)
    bar = max(x.shape[-2:]) * torch.finfo(x.dtype).eps * values.detach()[..., :1]
    return torch.where(values > bar, values, 0.0)


def _for_values(owner: ProximalPrior, step: Step, x: Tensor) -> Step:
    """Return a step of one number a matrix so that it multiplies singular values."""
    if not isinstance(step, Tensor) or step.ndim == 0:
        return step
    if step.ndim != x.ndim or step.shape[-2:] != (1, 1):
        raise ShapeError(f"{owner}: step must be one number a sample or a matrix, got shape {tuple(step.shape)}.")
    return step[..., 0]
