"""One term of a problem, and what a solver needs to know of it: its parts, gradient, curvature and norm."""

from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from kotowari.core.checks import require_methods
from kotowari.core.errors import InputError
from kotowari.operators.linear import LinearOperator
from kotowari.priors.prior import Composed, ComposedTight, Prior, ProximalPrior, Scaled, Summed, WeightedPrior
from kotowari.priors.quadratic import SquaredL2, fitted_point
from kotowari.priors.weight import Weight, fitted

__all__ = ["HasGradient", "Term"]

_MARGIN = 1.01  # an estimated norm comes from below


@runtime_checkable
class HasGradient(Protocol):
    """A smooth prior: its gradient, and a Lipschitz constant of the gradient."""

    lipschitz: float

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient of the value of each sample, shape of ``x``, ``(batch, ...)``."""
        ...


@dataclass(frozen=True)
class Term:
    r"""One term of a problem, ``weight * prior(operator(x))``.

    Parameters
    ----------
    prior
        The penalty. A sum of priors, a scaled prior and a prior behind an operator are taken apart by the problem.
    operator
        What the penalty looks at; None for the unknown itself.
    weight
        Factor, finite, 0 or more.

    Raises
    ------
    InputError
        When the weight is out of range.
    """

    prior: Prior
    operator: LinearOperator | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        require_methods(self.prior, "value", by="Term")
        if not 0 <= self.weight < float("inf"):
            raise InputError(f"{self}: weight must be finite and 0 or more, got {self.weight}.")

    def image(self, x: Tensor) -> Tensor:
        """Return what the penalty looks at, ``operator(x)``."""
        return x if self.operator is None else cast(Tensor, self.operator(x))

    def pulled_back(self, y: Tensor) -> Tensor:
        """Return the adjoint of the operator of ``y``."""
        return y if self.operator is None else self.operator.adjoint(y)

    def value(self, x: Tensor) -> Tensor:
        """Return the weighted penalty of each sample: ``(batch, ...) -> (batch,)``."""
        return self.weight * self.prior.value(self.image(x))

    def __str__(self) -> str:
        behind = "" if self.operator is None else f" @ {self.operator!r}"
        return f"Term {self.prior!r}{behind}"


def expanded(term: Term) -> list[Term]:
    """Return the term in its parts: sums split, factors in the weight, operators in the operator."""
    prior = term.prior
    if isinstance(prior, Summed):
        return [
            part
            for inner in prior.terms
            if isinstance(inner, Prior)
            for part in expanded(Term(inner, term.operator, term.weight))
        ]
    if isinstance(prior, Scaled | WeightedPrior):
        return expanded(Term(prior.prior, term.operator, term.weight * prior.factor))
    if isinstance(prior, Composed | ComposedTight):
        operator = prior.operator if term.operator is None else prior.operator @ term.operator
        return expanded(Term(prior.prior, operator, term.weight))
    return [term] if term.weight > 0 else []


def is_smooth(term: Term) -> bool:
    """Say whether a solver can take the gradient of the term."""
    return isinstance(term.prior, SquaredL2 | HasGradient)


def has_exact_prox(term: Term) -> bool:
    """Say whether the term, with its operator, has a proximal map in closed form."""
    return term.operator is None or term.operator.coisometry is not None


def proximal(term: Term, *, by: str) -> ProximalPrior:
    """Return the weighted prior, without its operator, if it has a proximal map; else raise ``CapabilityError``."""
    require_methods(term.prior, "prox", by=by)
    prior = cast(ProximalPrior, term.prior)
    return prior if term.weight == 1.0 else Scaled(prior, term.weight)


def gradient(term: Term, x: Tensor) -> Tensor:
    """Return the gradient of a smooth term."""
    return term.pulled_back(slope(term, term.image(x)))


def slope(term: Term, image: Tensor) -> Tensor:
    """Return the gradient of the weighted prior of a smooth term at the image of the unknown."""
    if isinstance(term.prior, SquaredL2):
        return term.weight * _quadratic_weight(term.prior, image) * (image - centre(term.prior, image))
    return term.weight * cast(HasGradient, term.prior).gradient(image)


def curvature(term: Term, x: Tensor) -> Tensor:
    """Apply the second derivative of a quadratic term."""
    image = term.image(x)
    return term.pulled_back(term.weight * _quadratic_weight(cast(SquaredL2, term.prior), image) * image)


def centre(prior: SquaredL2, like: Tensor) -> Tensor:
    """Return the centre of a quadratic prior in the dtype of ``like``, which it broadcasts against."""
    return fitted_point(prior, prior.centre, like)


def lipschitz(term: Term, *, margin: bool) -> float:
    """Return a Lipschitz constant of the gradient of a smooth term; ``margin`` as in :func:`squared_norm`."""
    prior = term.prior
    steepest = (
        float(torch.as_tensor(prior.weight).max())
        if isinstance(prior, SquaredL2)
        else float(cast(HasGradient, prior).lipschitz)
    )
    return term.weight * steepest * squared_norm(term.operator, margin=margin)


def squared_norm(operator: LinearOperator | None, *, margin: bool) -> float:
    """Return the squared norm of an operator, raised by 2 % with ``margin`` where it may be an estimate from below."""
    if operator is None:
        return 1.0
    exact = operator.isometry is not None or operator.coisometry is not None
    return (operator.norm() * (1.0 if exact or not margin else _MARGIN)) ** 2


def _quadratic_weight(prior: SquaredL2, like: Tensor) -> Weight:
    return fitted(prior, "weight", prior.weight, like)
