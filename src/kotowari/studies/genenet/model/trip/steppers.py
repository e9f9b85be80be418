"""Two ways to move projections downhill: a free matrix behind a QR, or along the manifold by a retraction."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from kotowari.studies.genenet.model.trip.stiefel import orthonormal_columns, riemannian_gradient

__all__ = ["FreeStepper", "RetractionStepper", "Stepper"]

_MOMENTUM, _MEMORY, _EPS = 0.9, 0.999, 1e-12


class Stepper(Protocol):
    """Holds projections and moves them after ``backward``."""

    def projections(self) -> list[Tensor]:
        """Return the projections as functions of what is learned."""

    def zero_grad(self) -> None:
        """Forget the last gradient."""

    def advance(self, share: float) -> None:
        """Take a step of ``share`` times the full step."""


class FreeStepper:
    """Adam on free matrices A; the projections are Q of their thin QR decomposition, differentiated through.

    Parameters
    ----------
    projections
        Orthonormal starts, shape ``(I, J)`` each.
    step
        Step size of Adam, above 0.
    """

    def __init__(self, projections: Sequence[Tensor], step: float) -> None:
        self._free = [c.detach().clone().requires_grad_() for c in projections]
        self._step = step
        self._optimizer = torch.optim.Adam(self._free, lr=step)

    def projections(self) -> list[Tensor]:
        """Return Q of every free matrix."""
        return [orthonormal_columns(a) for a in self._free]

    def zero_grad(self) -> None:
        """Forget the last gradient."""
        self._optimizer.zero_grad()

    def advance(self, share: float) -> None:
        """Take one step of Adam."""
        self._optimizer.param_groups[0]["lr"] = share * self._step
        self._optimizer.step()


class RetractionStepper:
    r"""Momentum in the tangent space and one step size a projection, set by the norm of its gradient.

    .. math:: m \leftarrow P_C(0.9\,m) + 0.1\,\xi, \quad v \leftarrow 0.999\,v + 0.001\,|\xi|^2 / J, \quad
        C \leftarrow R_C(-\alpha\,\hat m / \sqrt{\hat v})

    One v a matrix, not an entry, keeps the direction in the tangent space.

    Parameters
    ----------
    projections
        Orthonormal starts, shape ``(I, J)`` each.
    step
        Step size, above 0: the length of a column's move.
    retraction
        One of :data:`kotowari.studies.genenet.model.trip.stiefel.RETRACTIONS`.

    Source: after Li, Fuxin and Todorovic 2020, ICLR (Cayley Adam), with any retraction.
    """

    def __init__(
        self, projections: Sequence[Tensor], step: float, retraction: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self._points = [c.detach().clone().requires_grad_() for c in projections]
        self._momenta = [torch.zeros_like(c) for c in projections]
        self._sizes = [0.0] * len(self._points)
        self._step, self._retraction, self._n_steps = step, retraction, 0

    def projections(self) -> list[Tensor]:
        """Return the points themselves."""
        return self._points

    def zero_grad(self) -> None:
        """Forget the last gradient."""
        for point in self._points:
            point.grad = None

    @torch.no_grad()
    def advance(self, share: float) -> None:
        """Move every projection along its momentum."""
        self._n_steps += 1
        for number, point in enumerate(self._points):
            gradient = torch.zeros_like(point) if point.grad is None else point.grad
            xi = riemannian_gradient(point, gradient)
            momentum = _MOMENTUM * riemannian_gradient(point, self._momenta[number]) + (1 - _MOMENTUM) * xi
            size = _MEMORY * self._sizes[number] + (1 - _MEMORY) * float(xi.square().sum()) / point.shape[1]
            self._momenta[number], self._sizes[number] = momentum, size
            root = (size / (1 - _MEMORY**self._n_steps)) ** 0.5
            rate = share * self._step / ((1 - _MOMENTUM**self._n_steps) * (root + _EPS))
            point.copy_(self._retraction(point, -rate * momentum))
