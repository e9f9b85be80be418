"""Gradients of linear maps by their adjoints, in place of a recorded graph."""

from typing import Any

import torch
from torch import Tensor

from kotowari.solvers.protocols import LinearMap

__all__ = ["apply_with_adjoint"]


def apply_with_adjoint(forward: LinearMap, adjoint: LinearMap, x: Tensor) -> Tensor:
    r"""Return ``forward(x)``, whose gradient with respect to x is ``adjoint`` of the incoming one.

    What ``forward`` does inside is not recorded, so it may work in place or leave torch; in turn no gradient reaches
    the parameters it may hold. Gradients of gradients, forward-mode derivatives and ``torch.vmap`` pass.

    Parameters
    ----------
    forward, adjoint
        A linear map and its adjoint; leading axes of their inputs are batch axes.
    x
        Input of ``forward``.
    """
    out: Tensor = _WithAdjoint.apply(x, forward, adjoint)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return out


class _WithAdjoint(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, forward: LinearMap, _adjoint: LinearMap) -> Tensor:
        return forward(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, LinearMap, LinearMap], _output: Tensor) -> None:
        x, ctx.there, ctx.back = inputs
        ctx.is_complex = x.is_complex()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        back = apply_with_adjoint(ctx.back, ctx.there, gradient)
        return back if ctx.is_complex or not back.is_complex() else back.real, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return apply_with_adjoint(ctx.there, ctx.back, tangent)

    @staticmethod
    def vmap(
        _info: Any, in_dims: tuple[int, None, None], x: Tensor, forward: LinearMap, adjoint: LinearMap
    ) -> tuple[Tensor, int]:
        return apply_with_adjoint(forward, adjoint, x.movedim(in_dims[0], 0)), 0
