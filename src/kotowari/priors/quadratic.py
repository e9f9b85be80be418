"""Small energy: the squared distance to a centre, and the norm of the whole sample."""

from typing import final

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError
from kotowari.priors.functional.scalar_prox import charbonnier, shrink_block
from kotowari.priors.prior import ProximalPrior
from kotowari.priors.weight import Weight, adopt, adopt_weight, fitted, told, weighted_step
from kotowari.solvers.protocols import Step

__all__ = ["L2", "SquaredL2"]


@final
class SquaredL2(ProximalPrior):
    r"""Half the weighted squared distance to a centre, :math:`g(x) = \tfrac12 \sum_i \lambda_i |x_i - c_i|^2`.

    With measured data as the centre, ``SquaredL2(1.0, data) @ A`` is the data term of least squares. Smooth as it is,
    so its smooth neighbour is itself whatever ``eps``.

    Parameters
    ----------
    weight
        :math:`\lambda \ge 0`: a number, a tensor that broadcasts against one sample (such as the inverse variance of
        each entry), or an ``nn.Parameter`` of either form.
    centre
        c in units of x: a tensor that broadcasts against one sample, or ``(batch, ...)`` with one centre a sample; None
        for 0. A real x does not fit a complex centre.

    Raises
    ------
    InputError
        When a weight is negative or not finite.

    Examples
    --------
    >>> SquaredL2(weight=2.0).value(torch.tensor([[3.0, 4.0]]))
    tensor([25.])
    """

    weight: Weight
    centre: Tensor | None

    def __init__(self, weight: Weight = 1.0, centre: Tensor | None = None) -> None:
        super().__init__()
        adopt_weight(self, "weight", weight)
        if centre is None:
            self.centre = None
        else:
            adopt(self, "centre", centre)

    def _value(self, x: Tensor) -> Tensor:
        offset = x - self._centre(x)
        energy = offset.real.square() + offset.imag.square() if offset.is_complex() else offset.square()
        return 0.5 * (self._weight(x) * energy).flatten(1).sum(1)

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:  # noqa: ARG002 - smooth as it is
        return self._value(x)

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        pull = weighted_step(self, self._weight(x), step, x)
        return (x + pull * self._centre(x)) / (1.0 + pull)

    def _weight(self, x: Tensor) -> Weight:
        return fitted(self, "weight", self.weight, x)

    def _centre(self, x: Tensor) -> Tensor:
        return fitted_point(self, self.centre, x)

    def extra_repr(self) -> str:
        """Say the weight, and the shape of the centre."""
        centre = "" if self.centre is None else f", centre={told(self.centre)}"
        return f"weight={told(self.weight)}{centre}"


@final
class L2(ProximalPrior):
    r"""The norm of the whole sample, :math:`g(x) = \lambda \|x\|_2`, not squared; real or complex.

    Its prox shortens the sample by :math:`\tau\lambda`, to zero if it is shorter. Its smooth neighbour is
    :math:`\lambda(\sqrt{\|x\|^2 + \epsilon^2} - \epsilon)`.

    Parameters
    ----------
    weight
        :math:`\lambda \ge 0`: one number, or a tensor or ``nn.Parameter`` without axes.

    Raises
    ------
    InputError
        When the weight is negative or not finite, or has axes.
    """

    weight: Weight

    def __init__(self, weight: Weight = 1.0) -> None:
        super().__init__()
        adopt_weight(self, "weight", weight, scalar=True)

    def _value(self, x: Tensor) -> Tensor:
        return self._weight(x) * _norm(x)

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return self._weight(x) * charbonnier(_norm(x), eps)

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        norm = _norm(x).reshape(-1, *[1] * (x.ndim - 1))
        return x * shrink_block(norm, weighted_step(self, self._weight(norm), step, norm))

    def _weight(self, x: Tensor) -> Weight:
        return fitted(self, "weight", self.weight, x)

    def extra_repr(self) -> str:
        """Say the weight."""
        return f"weight={told(self.weight)}"


def fitted_point(owner: ProximalPrior, point: Tensor | None, x: Tensor, name: str = "centre") -> Tensor:
    """Return ``point`` in the dtype of x, if it broadcasts against x, ``(batch, ...)``, and x can hold it; 0 for None.

    Raises
    ------
    ShapeError, InputError
        When it does not broadcast; when it is complex and x is real.
    """
    if point is None:
        return x.new_zeros(())
    aligned = zip(reversed(point.shape), reversed(x.shape), strict=False)
    if point.ndim > x.ndim or any(ours not in {1, theirs} for ours, theirs in aligned):
        raise ShapeError(
            f"{owner}: a {name} of shape {tuple(point.shape)} does not broadcast against {tuple(x.shape)}."
        )
    if point.is_complex() and not x.is_complex():
        raise InputError(f"{owner}: the {name} is complex, but the input is real. Make the input complex.")
    return point.to(x.dtype)


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)  # its gradient at 0 is 0
    return norm
