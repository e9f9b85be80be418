"""A solver run to its end as one layer, with the gradient of its fixed point."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, final

import torch
from torch import Tensor, nn

from kotowari.core.errors import CapabilityError
from kotowari.core.outcome import Outcome
from kotowari.solvers.iterate import iterate, relative_change
from kotowari.unrolled.scheme import Scheme, StateT

__all__ = ["FixedPoint"]

TupleT = TypeVar("TupleT", bound=tuple[Any, ...])


@final
class FixedPoint(nn.Module, Generic[StateT]):
    r"""The solution of a scheme, with implicit gradients: memory does not grow with the number of steps.

    At a fixed point :math:`z = T(z, \theta)` of the step T,

    .. math:: \frac{dL}{d\theta} = u^\top \frac{\partial T}{\partial \theta}, \qquad
        u = \Big(\frac{\partial T}{\partial z}\Big)^{\!\top} u + \frac{dL}{dz}

    The forward pass runs the plain solver without a graph; the backward pass finds u by the same kind of iteration,
    through the graph of a single step. A pass that does not settle warns, and its outcome says more.

    Parameters
    ----------
    scheme
        The step, with the parts that are learned; its steps must settle.
    tol, max_steps
        Relative change at which a sample counts as solved, and the step limit; of the forward pass.
    backward_tol, backward_max_steps
        The same for u. A looser bar gives a truncated Neumann series, which still descends.

    Attributes
    ----------
    outcome
        How the last forward pass ended, without its state; None before the first.
    backward_outcome
        How the last backward pass ended.

    Raises
    ------
    CapabilityError
        When the scheme has no fixed point (its momentum grows).

    Source: Bai, Kolter and Koltun 2019, NeurIPS, theorem 1; Gilton, Ongie and Willett 2021, IEEE TCI 7, eq. 9.
    """

    def __init__(
        self,
        scheme: Scheme[StateT],
        *,
        tol: float = 1e-6,
        max_steps: int = 1000,
        backward_tol: float = 1e-6,
        backward_max_steps: int = 1000,
    ) -> None:
        super().__init__()
        if not scheme.settles:
            raise CapabilityError(
                f"FixedPoint: the steps of {type(scheme).__name__} do not settle. Take its method without momentum."
            )
        self.scheme = scheme
        self.tol, self.max_steps = tol, max_steps
        self.backward_tol, self.backward_max_steps = backward_tol, backward_max_steps
        self.outcome: Outcome[None] | None = None
        self.backward_outcome: Outcome[None] | None = None

    def forward(self, data: Tensor, start: Tensor | None = None) -> Tensor:
        """Solve: data ``(batch, *codomain)`` to the unknown ``(batch, *domain)``."""
        scheme = self.scheme
        with torch.no_grad():
            found = iterate(
                scheme.begin(data, start),
                lambda state: scheme.advance(state, data),
                _largest_change,
                tol=self.tol,
                max_steps=self.max_steps,
            )
        self.outcome = _without_state(found)
        _tell(self.outcome, "forward pass")
        if not torch.is_grad_enabled():
            return scheme.solution(found.state)
        return scheme.solution(self._attached(found.state, data))

    def _attached(self, state: StateT, data: Tensor) -> StateT:
        """Return the same state as the output of one step, with the backward pass of the fixed point."""
        attached = self.scheme.advance(state, data)
        inputs = [member.detach().requires_grad_() for member in _tensors(state)]
        images = _tensors(self.scheme.advance(_rebuilt(state, iter(inputs)), data))
        held = _apply_implicit(self, images, inputs, *_tensors(attached))
        return _rebuilt(attached, iter(held))


class _Members(tuple[Tensor, ...]):
    """Tensors of a state, built from one argument each, as named tuples are."""

    def __new__(cls, *members: Tensor) -> "_Members":
        return super().__new__(cls, members)


class _Implicit(torch.autograd.Function):
    """Identity whose backward turns dL/dz into u."""

    @staticmethod
    def forward(
        ctx: Any, owner: FixedPoint[Any], images: list[Tensor], inputs: list[Tensor], *members: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.owner, ctx.images, ctx.inputs = owner, images, inputs
        return tuple(member.view_as(member) for member in members)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        owner: FixedPoint[Any] = ctx.owner
        moved = [place for place, image in enumerate(ctx.images) if image.requires_grad]

        def pulled(u: _Members) -> _Members:
            back = torch.autograd.grad(
                [ctx.images[place] for place in moved],
                ctx.inputs,
                [u[place] for place in moved],
                retain_graph=True,
                allow_unused=True,
            )
            parts = zip(gradients, back, strict=True)
            return _Members(*(gradient if part is None else gradient + part for gradient, part in parts))

        found = iterate(
            _Members(*gradients), pulled, _largest_change, tol=owner.backward_tol, max_steps=owner.backward_max_steps
        )
        owner.backward_outcome = _without_state(found)
        _tell(owner.backward_outcome, "backward pass")
        return (None, None, None, *found.state)


# torch's own apply has no types
_apply_implicit: Callable[..., tuple[Tensor, ...]] = _Implicit.apply


def _tensors(state: tuple[Any, ...]) -> list[Tensor]:
    """Return the tensors of a state, those of nested tuples too, in order."""
    found: list[Tensor] = []
    for member in state:
        found += [member] if isinstance(member, Tensor) else _tensors(member)
    return found


def _rebuilt(state: TupleT, members: Iterator[Tensor]) -> TupleT:
    """Return a state of the same make with other tensors."""
    parts = [next(members) if isinstance(member, Tensor) else _rebuilt(member, members) for member in state]
    return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)


def _largest_change(new: tuple[Any, ...], old: tuple[Any, ...]) -> Tensor:
    changes = [
        relative_change(ours, theirs)
        for ours, theirs in zip(_tensors(new), _tensors(old), strict=True)
        if ours.ndim > 1
    ]
    return torch.stack(changes).amax(0)


def _tell(outcome: Outcome[None], which: str) -> None:
    if not outcome.converged:
        warnings.warn(f"FixedPoint, {which}: {outcome.advice}", UserWarning, stacklevel=3)


def _without_state(found: Outcome[Any]) -> Outcome[None]:
    return Outcome(None, found.statuses, found.n_steps, found.trace)
