"""Numbers in a loss that are not fixed: a schedule along the training, and scales that are learned."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError

__all__ = ["Continuation", "LearnedScales"]

_PACE = 10.0  # an optimiser's step moves the logarithm of a scale this many times as far as a weight of the network


@final
@dataclass(frozen=True)
class Continuation:
    r"""A number that goes from ``start`` to ``end`` geometrically: :math:`a_0^{1-p} a_1^{p}` at progress p in [0, 1].

    Parameters
    ----------
    start, end
        Above 0.

    Examples
    --------
    >>> Continuation(1.0, 0.01).at(0.5)
    0.1
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        if not (self.start > 0 and self.end > 0):
            raise InputError(f"Continuation: start and end must be above 0, got {self.start} and {self.end}.")

    def at(self, progress: float) -> float:
        """Return the number at ``progress``, 0 to 1."""
        return float(self.start ** (1.0 - progress) * self.end**progress)


@final
class LearnedScales(nn.Module):
    r"""One learned weight a term, as the scale of a Laplace-like density, held by a prior on the scale.

    .. math:: \sum_k w_k R_k - n_k \log w_k + \kappa\, n_k (w_k - \log w_k)

    If :math:`R` is 1-homogeneous on an n-dimensional space, the density proportional to :math:`e^{-wR(x)}` has the
    normaliser :math:`c\,w^{-n}` whatever R: hence :math:`-n \log w`, which alone keeps w away from 0. Its minimum is
    at :math:`w = n/R`, for the absolute sum the maximum-likelihood scale of Laplace's law. But n/R has no bound when
    the network may also make R as small as it likes. So a Gamma prior of w with mode 1, worth :math:`\kappa n`
    entries, is added: the minimum :math:`w = (1 + \kappa) n / (R + \kappa n)` lies below
    :math:`1 + 1/\kappa` whatever R.

    Parameters
    ----------
    n_terms
        Number of terms, 1 or more. All weights start at 1.
    pull
        :math:`\kappa` of 0 or more. With 0 nothing keeps a network from running off with the weight.

    Source: our own construction. The normaliser is that of Laplace's law; compare Kendall et al. 2018, CVPR, who learn
    the scales of normal densities.

    Examples
    --------
    >>> LearnedScales(2, pull=1.0).best(torch.tensor([50.0, 200.0]), torch.tensor([100.0, 100.0]))
    tensor([1.3333, 0.6667])
    """

    def __init__(self, n_terms: int, *, pull: float = 1.0) -> None:
        super().__init__()
        if n_terms < 1 or not pull >= 0:
            raise InputError(f"LearnedScales: n_terms = {n_terms} must be 1 or more, pull = {pull} must be 0 or more.")
        self.pull = pull
        self.log_scale = nn.Parameter(torch.zeros(n_terms))

    @property
    def weights(self) -> Tensor:
        """The weights, above 0, shape ``(n_terms,)``; 1 at birth."""
        return (_PACE * self.log_scale).exp()

    def forward(self, values: Tensor, counts: Tensor) -> Tensor:
        """Return the scalar above for the terms' values and :math:`n_k`, both of shape ``(n_terms,)``."""
        weights = self.weights.to(values)
        logs = _PACE * self.log_scale.to(values)
        return (weights * values - counts * logs + self.pull * counts * (weights - logs)).sum()

    def best(self, values: Tensor, counts: Tensor) -> Tensor:
        """Return the weights that minimise the scalar at these values."""
        return (1.0 + self.pull) * counts / (values + self.pull * counts)
