"""A number that a network learns and that can never leave its range."""

from typing import final

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError

__all__ = ["Constant"]

_FARTHEST = 30.0  # e^30 apart from its start a constant says nothing any more, and float32 still holds the number


@final
class Constant(nn.Module):
    r"""A learned number of a model: above 0, and at most a bound where there is one.

    .. math:: c(\delta) = \frac{c_0}{e^{-\delta} (1 - c_0/b) + c_0/b}, \qquad c(\delta) = c_0 e^{\delta}
        \ \text{without a bound } b

    With a bound it is the logistic curve through :math:`c_0`. No step of an optimiser can make it negative or lift it
    above the bound; the untrained number is the model's own, and the learned :math:`\delta` is its drift (in log units
    where the bound is far).

    Parameters
    ----------
    start
        The model's own value :math:`c_0`, above 0.
    bound
        Upper bound b, above ``start``; None for none.
    learn
        Whether the number is learned; otherwise it stays at ``start``.
    name
        What the number is called in the sentence that refuses it.

    Attributes
    ----------
    delta
        The learned parameter, 0 at the start; beyond 30 either way it counts as 30.

    Raises
    ------
    InputError
        When ``start`` is not above 0, or not below ``bound``.
    """

    def __init__(
        self, start: float, *, bound: float | None = None, learn: bool = True, name: str = "Constant: start"
    ) -> None:
        super().__init__()
        if not start > 0:
            raise InputError(f"{name} must be above 0, got {start}.")
        if bound is not None and not start < bound:
            raise InputError(f"{name} = {start:g} must be below its bound {bound:g}.")
        self.start, self.bound = start, bound
        self.delta = nn.Parameter(torch.zeros(()), requires_grad=learn)

    def forward(self) -> Tensor:
        """Return the number, a tensor without axes."""
        delta = self.delta.clamp(-_FARTHEST, _FARTHEST)
        if self.bound is None:
            return self.start * delta.exp()
        share = self.start / self.bound
        return self.start / ((-delta).exp() * (1.0 - share) + share)

    def extra_repr(self) -> str:
        """Say the number, its start and its bound."""
        bound = "" if self.bound is None else f", at most {self.bound:g}"
        return f"{float(self().detach()):g}, started at {self.start:g}{bound}"
