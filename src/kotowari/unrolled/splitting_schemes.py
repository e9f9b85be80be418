"""Splitting methods that solve a linear system in each layer: ADMM, half-quadratic splitting, Douglas-Rachford."""

from typing import final

from torch import Tensor, nn

from kotowari.core.errors import InputError
from kotowari.operators.linear import LinearOperator
from kotowari.solvers.admm import AdmmState, admm_start, admm_step
from kotowari.solvers.douglas_rachford import DouglasRachfordState, douglas_rachford_start, douglas_rachford_step
from kotowari.solvers.hqs import HqsState, hqs_start, hqs_step
from kotowari.solvers.protocols import Step, per_sample
from kotowari.unrolled.normal_solve import solve_normal
from kotowari.unrolled.scheme import LeastSquaresScheme, StateT

__all__ = ["Admm", "DouglasRachford", "Hqs"]


class _Splitting(LeastSquaresScheme[StateT]):
    """What the three have: the data term is met by conjugate gradients, the prior by its prox."""

    def __init__(
        self,
        operator: LinearOperator,
        prior: nn.Module,
        *,
        penalty: float = 1.0,
        weight: float = 1.0,
        learn: tuple[str, ...] | str = ("penalty", "weight"),
        tol: float = 1e-6,
    ) -> None:
        super().__init__(operator, prior, weight=weight, learn=learn)
        self._require_known(learn, "penalty", "weight")
        self.penalty = self._constant("penalty", penalty, learn)
        self.tol = tol

    def _nearest(self, target: Tensor, data: Tensor, penalty: Tensor) -> Tensor:
        r"""Minimise :math:`\tfrac12\|Ax - y\|^2 + \tfrac\rho2\|x - v\|^2`."""
        shift = per_sample(penalty, target)
        return solve_normal(self.operator, self.operator.adjoint(data) + shift * target, shift, tol=self.tol)


@final
class Admm(_Splitting[AdmmState]):
    r"""ADMM on :math:`\tfrac12\|Ax - y\|^2 + \lambda g(x)`.

    Parameters
    ----------
    operator
        A. One with learned parameters is trained along.
    prior
        Anything with ``prox(x, step)``; a denoiser makes it plug-and-play ADMM.
    penalty
        :math:`\rho` above 0.
    weight
        :math:`\lambda` above 0.
    learn
        Which of ``"penalty"`` and ``"weight"`` are learned.
    tol
        Relative residual of the linear systems.

    Source: Boyd et al. 2011, Found. Trends Mach. Learn. 3(1), eqs. 3.5-3.7; as layers: Yang, Sun, Li and Xu 2016,
    NeurIPS.
    """

    def begin(self, data: Tensor, start: Tensor | None) -> AdmmState:
        """Start at zero, or at ``start``, with the dual at zero."""
        return admm_start(self._zeros(data, start), [_unchanged])

    def advance(self, state: AdmmState, data: Tensor) -> AdmmState:
        """Meet the data, then the prior, then move the dual."""
        penalty = self.penalty()
        return admm_step(
            state, lambda targets, _: self._nearest(targets[0], data, penalty), [self._prox], [_unchanged], penalty
        )

    def solution(self, state: AdmmState) -> Tensor:
        """Return the point that meets the prior exactly."""
        return state.split[0]


@final
class Hqs(_Splitting[HqsState]):
    r"""Half-quadratic splitting on :math:`\tfrac12\|Ax - y\|^2 + \lambda g(x)`: a denoiser and a data step in turn.

    Parameters
    ----------
    operator, prior, weight, learn, tol
        As :class:`Admm`.
    penalty
        :math:`\beta` of the first layer, above 0.
    growth
        Factor on the penalty from layer to layer, 1 or more.

    Source: Geman and Yang 1995, IEEE Trans. Image Process. 4(7); as layers: Aggarwal, Mani and Jacob 2019, IEEE Trans.
    Med. Imaging 38(2) (MoDL).
    """

    def __init__(
        self,
        operator: LinearOperator,
        prior: nn.Module,
        *,
        penalty: float = 1.0,
        growth: float = 1.0,
        weight: float = 1.0,
        learn: tuple[str, ...] | str = ("penalty", "weight"),
        tol: float = 1e-6,
    ) -> None:
        super().__init__(operator, prior, penalty=penalty, weight=weight, learn=learn, tol=tol)
        if not growth >= 1:
            raise InputError(f"Hqs: growth must be 1 or more, got {growth}.")
        self.growth = growth
        self.settles = growth == 1

    def begin(self, data: Tensor, start: Tensor | None) -> HqsState:
        """Start at zero, or at ``start``."""
        return hqs_start(self._zeros(data, start), [_unchanged], 1.0)

    def advance(self, state: HqsState, data: Tensor) -> HqsState:
        """Meet the prior, then the data."""
        # the state carries the growth alone; the learned penalty is this layer's own
        penalty = self.penalty() * state.penalty
        new = hqs_step(
            state._replace(penalty=penalty),
            lambda targets, _: self._nearest(targets[0], data, penalty),
            [self._prox],
            [_unchanged],
        )
        return new._replace(penalty=self.growth * state.penalty)

    def solution(self, state: HqsState) -> Tensor:
        """Return the point that meets the data."""
        return state.x


@final
class DouglasRachford(_Splitting[DouglasRachfordState]):
    r"""Douglas-Rachford splitting on :math:`\tfrac12\|Ax - y\|^2 + \lambda g(x)`.

    Parameters
    ----------
    operator, prior, weight, learn, tol
        As :class:`Admm`.
    penalty
        The inverse :math:`1/\tau` of the step, above 0.

    Source: Eckstein and Bertsekas 1992, Math. Program. 55, section 4.
    """

    def begin(self, data: Tensor, start: Tensor | None) -> DouglasRachfordState:
        """Start at zero, or at ``start``."""
        return douglas_rachford_start(self._zeros(data, start))

    def advance(self, state: DouglasRachfordState, data: Tensor) -> DouglasRachfordState:
        """Meet the data, reflect, and meet the prior."""
        penalty = self.penalty()

        def meet_data(x: Tensor, step: Step) -> Tensor:  # noqa: ARG001  # the step is 1 / penalty
            return self._nearest(x, data, penalty)

        return douglas_rachford_step(state, meet_data, self._prox, 1 / penalty)

    def solution(self, state: DouglasRachfordState) -> Tensor:
        """Return the point that meets the data."""
        return state.x


def _unchanged(x: Tensor) -> Tensor:
    return x
