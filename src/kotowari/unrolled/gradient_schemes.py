"""Forward-backward splitting as a layer: ISTA and FISTA."""

from typing import final

from torch import Tensor, nn

from kotowari.operators.linear import LinearOperator
from kotowari.solvers.fista import FistaState, fista_start, fista_step
from kotowari.solvers.ista import IstaState, ista_start, ista_step
from kotowari.unrolled.scheme import LeastSquaresScheme, StateT

__all__ = ["Fista", "Ista"]


class _ForwardBackward(LeastSquaresScheme[StateT]):
    """What both have: a step size that stays stable."""

    bound_over_lipschitz: float

    def __init__(
        self,
        operator: LinearOperator,
        prior: nn.Module,
        *,
        step: float | None = None,
        weight: float = 1.0,
        learn: tuple[str, ...] | str = ("step", "weight"),
    ) -> None:
        super().__init__(operator, prior, weight=weight, learn=learn)
        self._require_known(learn, "step", "weight")
        lipschitz = self._lipschitz()
        start = 1.0 / lipschitz if step is None else step
        self.step = self._constant("step", start, learn, bound=self.bound_over_lipschitz / lipschitz)


@final
class Ista(_ForwardBackward[IstaState]):
    r"""ISTA on :math:`\tfrac12\|Ax - y\|^2 + \lambda g(x)`; with an L1 prior, the layers of LISTA with tied matrices.

    Parameters
    ----------
    operator
        A. One with learned parameters (a dictionary, a wavelet) is trained along.
    prior
        Anything with ``prox(x, step)``.
    step
        Starting step, below :math:`2/\|A\|^2`, where it stays; None for :math:`1/\|A\|^2`, taken at the operator as it
        is now. A learned operator whose norm grows makes the bound too loose: keep its scale fixed.
    weight
        :math:`\lambda` above 0.
    learn
        Which of ``"step"`` and ``"weight"`` are learned.

    Raises
    ------
    InputError
        When the step is at or above its bound.

    Source: Daubechies, Defrise and De Mol 2004, CPAM 57(11) (ISTA); Gregor and LeCun 2010, ICML (unrolled).
    """

    bound_over_lipschitz = 2.0

    def begin(self, data: Tensor, start: Tensor | None) -> IstaState:
        """Start at zero, or at ``start``."""
        return ista_start(self._zeros(data, start))

    def advance(self, state: IstaState, data: Tensor) -> IstaState:
        """Take a gradient step, then the prox."""
        return ista_step(state, lambda x: self._gradient(x, data), self._prox, self.step())

    def solution(self, state: IstaState) -> Tensor:
        """Return the iterate."""
        return state.x


@final
class Fista(_ForwardBackward[FistaState]):
    r"""FISTA on the same problem: ISTA with Nesterov's momentum, without restarts.

    Parameters
    ----------
    operator, prior, weight, learn
        As :class:`Ista`.
    step
        Starting step, at most :math:`1/\|A\|^2` as the momentum asks, where it stays; None for 0.99 of it.

    Source: Beck and Teboulle 2009, SIAM J. Imaging Sci. 2(1), eqs. 4.1-4.3.
    """

    settles = False
    bound_over_lipschitz = 1.0 / 0.99

    def begin(self, data: Tensor, start: Tensor | None) -> FistaState:
        """Start at zero, or at ``start``, without momentum."""
        return fista_start(self._zeros(data, start))

    def advance(self, state: FistaState, data: Tensor) -> FistaState:
        """Take a gradient step, the prox, and the momentum."""
        return fista_step(state, lambda x: self._gradient(x, data), self._prox, self.step(), restart=False)

    def solution(self, state: FistaState) -> Tensor:
        """Return the iterate, not the point ahead of it."""
        return state.x
