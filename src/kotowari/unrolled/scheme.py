"""What an unrolled network repeats: one step of a solver, with the parts that it learns."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from kotowari.core.checks import require_methods
from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.operators.linear import LinearOperator
from kotowari.priors.prior import Composed, squared_distance
from kotowari.solvers.protocols import Prox, Step
from kotowari.unrolled.constants import Constant

__all__ = ["MARGIN", "LeastSquaresScheme", "Scheme", "StateT", "Value", "require_proximal"]

StateT = TypeVar("StateT", bound=tuple[Any, ...])
Value = Callable[[Tensor], Tensor]

MARGIN = 1.01  # the Lanczos method approaches a norm from below
_NEAR = 5e-3  # so that what is missing is well within the margin


class Scheme(nn.Module, ABC, Generic[StateT]):
    """A solver's step on given data, as a module whose submodules can be learned.

    A subclass keeps every learned part (a :class:`Constant`, an operator, a prior, a network) as a submodule, and no
    other state: layers may hold copies of the parts.

    Attributes
    ----------
    settles
        Whether the step has a fixed point that is the solution; a method whose momentum grows has none.
    """

    settles: bool = True

    @abstractmethod
    def begin(self, data: Tensor, start: Tensor | None) -> StateT:
        """Return the state before the first step; without ``start`` the solver's own choice."""

    @abstractmethod
    def advance(self, state: StateT, data: Tensor) -> StateT:
        """Take one step."""

    @abstractmethod
    def solution(self, state: StateT) -> Tensor:
        """Read the unknown from a state."""

    @abstractmethod
    def objective(self, x: Tensor, data: Tensor) -> Tensor:
        """Return what the model minimises, one number a sample: ``(batch, ...) -> (batch,)``."""

    def _constant(
        self, name: str, start: float, learn: tuple[str, ...] | str, *, bound: float | None = None
    ) -> Constant:
        """Return a constant that is called by its name where it is refused."""
        return Constant(start, bound=bound, learn=name in learn, name=f"{type(self).__name__}: {name}")

    @staticmethod
    def _require_known(learn: tuple[str, ...] | str, *known: str) -> None:
        unknown = sorted({learn} - set(known) if isinstance(learn, str) else set(learn) - set(known))
        if unknown:
            raise InputError(f"learn names {', '.join(unknown)}; there are {', '.join(known)}.")


def require_proximal(prior: object, *, by: str) -> None:
    """Refuse what has no ``prox``, and say where a prior behind an operator belongs."""
    if isinstance(prior, Composed):
        raise CapabilityError(
            f"{prior} cannot be used with {by}: it has no exact prox. Give prior and operator to PrimalDual apart."
        )
    if not isinstance(prior, nn.Module):
        raise CapabilityError(f"{by}: the prior must be a prior or a module with a prox, got {prior!r}.")
    require_methods(prior, "prox", by=by)


class LeastSquaresScheme(Scheme[StateT]):
    r"""Base of the schemes for :math:`\tfrac12\|Ax - y\|^2 + \lambda g(x)`.

    Parameters
    ----------
    operator
        A, from the unknown to the data.
    prior
        Anything with ``prox(x, step)``; a module is trained along. With ``value(x)`` the objective can be told.
    weight
        :math:`\lambda` above 0.
    learn
        Which constants are learned; the others keep the model's value. Operator and prior learn by their own
        parameters.
    """

    operator: LinearOperator
    prior: nn.Module
    weight: Constant

    def __init__(
        self, operator: LinearOperator, prior: nn.Module, *, weight: float, learn: tuple[str, ...] | str
    ) -> None:
        super().__init__()
        require_proximal(prior, by=type(self).__name__)
        self.operator, self.prior = operator, prior
        self.weight = self._constant("weight", weight, learn)

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        prox = cast(Prox, self.prior.prox)
        return prox(x, self.weight() * step)

    def _gradient(self, x: Tensor, data: Tensor) -> Tensor:
        return self.operator.adjoint(self.operator(x) - data)

    def _lipschitz(self) -> float:
        """Return a safe bound of the gradient's Lipschitz constant."""
        return float((MARGIN * self.operator.norm(tol=_NEAR)) ** 2)

    def _zeros(self, data: Tensor, start: Tensor | None) -> Tensor:
        if data.ndim != 1 + len(self.operator.codomain):
            raise ShapeError.mismatch(type(self).__name__, "data", ("batch", *self.operator.codomain), data.shape)
        if start is not None:
            return start
        return torch.zeros_like(self.operator.adjoint(data.detach()))

    def objective(self, x: Tensor, data: Tensor) -> Tensor:
        r"""Return :math:`\tfrac12\|Ax - y\|^2 + \lambda g(x)` of each sample, shape ``(batch,)``.

        Raises
        ------
        CapabilityError
            When the prior has no ``value``, as a denoising network has none.
        """
        require_methods(self.prior, "value", by="the objective")
        value = cast(Value, self.prior.value)
        total: Tensor = 0.5 * squared_distance(self.operator(x), data) + self.weight() * value(x)
        return total
