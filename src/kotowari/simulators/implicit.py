"""A stiff solver for rate equations: Radau IIA of order 5 with error control, and which steps it took."""

from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from kotowari.core.errors import ConvergenceError, InputError

__all__ = ["COEFFICIENTS", "NODES", "March", "RateEquation", "Tolerance", "march_implicit"]

_R = sqrt(6.0)
NODES = ((4 - _R) / 10, (4 + _R) / 10, 1.0)
COEFFICIENTS = (
    ((88 - 7 * _R) / 360, (296 - 169 * _R) / 1800, (-2 + 3 * _R) / 225),
    ((296 + 169 * _R) / 1800, (88 + 7 * _R) / 360, (-2 - 3 * _R) / 225),
    ((16 - _R) / 36, (16 + _R) / 36, 1 / 9),
)
_ERROR_WEIGHTS = ((-13 - 7 * _R) / 3, (-13 + 7 * _R) / 3, -1 / 3)
_REAL_EIGENVALUE = 3 + 3 ** (2 / 3) - 3 ** (1 / 3)  # of the inverse of COEFFICIENTS

_LOOSER = 0.03
_NEWTON_STEPS = 8
_NEWTON_SHARE = 0.01  # of the tolerance: the adjoint is exact only where the stages are solved
_LEAST_FACTOR, _LARGEST_FACTOR, _SAFETY = 0.2, 8.0, 0.9


class RateEquation(Protocol):
    """What is integrated: ``time (batch,)`` and ``state (batch, n_states)`` to the rate and to its Jacobian."""

    def rate(self, time: Tensor, state: Tensor) -> Tensor: ...  # noqa: D102

    def jacobian(self, time: Tensor, state: Tensor) -> Tensor: ...  # noqa: D102


class Tolerance(NamedTuple):
    """Error allowed over the run, about ``absolute + relative * |state|`` for each state.

    ``absolute`` is a number or one number a state, in units of the state.
    """

    relative: float
    absolute: Tensor


class March(NamedTuple):
    """The accepted steps of one run.

    Attributes
    ----------
    stages
        States at the three nodes of each step, shape ``(n_steps, batch, 3, n_states)``; the third is the new state.
    starts, steps
        Where each step starts and how long it is, shape ``(n_steps,)``.
    arrivals
        Number of the step that lands on each asked time but the first.
    """

    stages: Tensor
    starts: Tensor
    steps: Tensor
    arrivals: Tensor


@torch.no_grad()
def march_implicit(
    equation: RateEquation, state: Tensor, times: list[float], tolerance: Tolerance, *, max_steps: int
) -> March:
    r"""Integrate :math:`\dot x = f(t, x)` from ``times[0]`` and step exactly onto every later time.

    .. math:: X_i = x_n + h \sum_j a_{ij} f(t_n + c_j h, X_j), \qquad x_{n+1} = X_3

    The stages are solved by a simplified Newton method on the full system of 3 n unknowns, with the Jacobian at the
    start of the step: for the tens of states met here, one real system costs less than the usual split into a real
    and a complex one. All rows of the batch take the same steps, so short that the worst row keeps the tolerance. The
    error estimate is of order 3; the tolerance is therefore loosened inside to :math:`0.03\,\text{rtol}^{2/3}`, with
    which the error of the order-5 solution comes out at about ``rtol``. A state that has to be positive may become
    negative by about its absolute tolerance.

    Parameters
    ----------
    equation
        Rate and Jacobian; each row of the batch on its own.
    state
        Shape ``(batch, n_states)``, float64.
    times
        Two or more, strictly increasing.
    tolerance
        Relative 1e-12 to 1e-2.
    max_steps
        Most steps over the run, refused ones included.

    Raises
    ------
    InputError
        When the rate is not finite at the start.
    ConvergenceError
        When the step vanishes, or ``max_steps`` do not reach the end; says at which time.

    Source: Hairer and Wanner 1996, Solving Ordinary Differential Equations II, section IV.8 (method, error estimate,
    predictive step control), and their code RADAU5 for the change of the tolerance, there with 0.1 in the place of
    our 0.03.
    """
    walk = _Walk(equation, state, times, tolerance, max_steps)
    arrivals = []
    for target in times[1:]:
        while walk.time < target:
            walk.advance(target)
        arrivals.append(len(walk.steps) - 1)
    return March(
        torch.stack(walk.stages), state.new_tensor(walk.starts), state.new_tensor(walk.steps), torch.tensor(arrivals)
    )


@dataclass
class _Control:
    """Proposes step sizes from the errors seen so far."""

    step: float
    earlier_step: float | None = None
    earlier_error: float = 1.0

    def refuse(self, step: float, error: float, safety: float) -> None:
        self.step = step * max(_LEAST_FACTOR, safety * error**-0.25)

    def accept(self, step: float, error: float, safety: float) -> None:
        error = max(error, 1e-10)
        factor = error**-0.25
        if self.earlier_step is not None:
            factor = min(factor, factor * step / self.earlier_step * (self.earlier_error / error) ** 0.25)
        proposal = step * min(_LARGEST_FACTOR, max(_LEAST_FACTOR, safety * factor))
        # a step that was cut to land on an asked time says little about how long the next may be
        self.step = max(proposal, self.step) if step < self.step else proposal
        self.earlier_step, self.earlier_error = step, max(error, 1e-2)


@dataclass
class _Walk:
    """Where the run stands, and the steps behind it."""

    equation: RateEquation
    state: Tensor
    times: list[float]
    tolerance: Tolerance
    max_steps: int
    stages: list[Tensor] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    n_tried: int = 0

    def __post_init__(self) -> None:
        state = self.state
        self.time = self.times[0]
        self.system = _StageSystem(state)
        self.rate = self._rate_at(self.time, state)
        if not bool(self.rate.isfinite().all()):
            raise InputError(
                f"The rate is not finite at the start (time {self.time:g}). Check the constants and the initial state."
            )
        relative = self.tolerance.relative
        self.bar = _LOOSER * relative ** (2 / 3)
        self.tightness = relative / self.bar
        self.newton_bar = max(_NEWTON_SHARE, 10 * torch.finfo(state.dtype).eps / relative)
        self.control = _Control(self._first_step())
        self.increments: Tensor | None = None

    def advance(self, target: float) -> None:
        """Take one accepted step, at most up to ``target``."""
        jacobian = self.equation.jacobian(self._clock(self.time), self.state)
        scale = self._scale(self.state).unsqueeze(1)
        refused = False
        while True:
            step = self._fitted(target)
            self._count(step)
            self.system.factorise(jacobian, step)
            solved = self._newton(step, scale)
            if solved is None:
                self.control.step = 0.5 * step
                refused = True
                continue
            increments, n_newton = solved
            new = self.state + increments[:, 2]
            error = self._error(increments, new, step, again=refused or not self.steps)
            safety = _SAFETY * (2 * _NEWTON_STEPS + 1) / (2 * _NEWTON_STEPS + n_newton)
            if error < 1.0:
                break
            self.control.refuse(step, error, safety)
            refused = True
        self.control.accept(step, error, safety)
        self._keep(increments, new, step, target)

    def _keep(self, increments: Tensor, new: Tensor, step: float, target: float) -> None:
        self.stages.append(self.state.unsqueeze(1) + increments)
        self.starts.append(self.time)
        self.steps.append(step)
        self.time = target if step >= target - self.time else self.time + step
        self.state, self.increments = new, increments
        self.rate = self._rate_at(self.time, new)

    def _newton(self, step: float, scale: Tensor) -> tuple[Tensor, int] | None:
        """Return the stages less the state, ``(batch, 3, n_states)``, and the steps needed; None without success."""
        start, n_states = self.state.unsqueeze(1), self.state.shape[1]
        clock = (self.time + step * self.system.nodes).repeat(len(start))
        increments = self._prediction(step)
        earlier = 0.0
        for number in range(1, _NEWTON_STEPS + 1):
            rates = self.equation.rate(clock, (start + increments).reshape(-1, n_states))
            change = self.system.newton_change(increments, rates.reshape(increments.shape), step)
            increments = increments + change
            size = _worst(change, scale)
            if not size < float("inf"):
                return None
            speed = size / earlier if earlier > 0 else None
            if size <= 0.1 * self.newton_bar or (
                speed is not None and speed < 1 and speed / (1 - speed) * size <= self.newton_bar
            ):
                return increments, number
            if speed is not None and (speed >= 1 or speed ** (_NEWTON_STEPS - number) * size > self.newton_bar):
                return None
            earlier = size
        return None

    def _prediction(self, step: float) -> Tensor:
        """Extrapolate the collocation polynomial of the step before."""
        if self.increments is None:
            return torch.zeros_like(self.state).unsqueeze(1).expand(-1, 3, -1)
        return self.system.extrapolated(self.increments, step / self.steps[-1])

    def _error(self, increments: Tensor, new: Tensor, step: float, *, again: bool) -> float:
        """Return the estimated error of the step over what is allowed, of the worst row."""
        allowed = self._scale(torch.maximum(self.state.abs(), new.abs())) / self.tightness
        weighted = self.system.weighted_error(increments) / step
        estimate = self.system.filtered(self.rate + weighted)
        error = _worst(estimate, allowed)
        if error >= 1.0 and again:
            estimate = self.system.filtered(self._rate_at(self.time, self.state + estimate) + weighted)
            error = _worst(estimate, allowed)
        return error if error < float("inf") else 1e8

    def _fitted(self, target: float) -> float:
        """Return the proposed step, cut to land on ``target`` without a sliver before it."""
        left = target - self.time
        if self.control.step >= left:
            return left
        return 0.5 * left if self.control.step > 0.5 * left else self.control.step

    def _count(self, step: float) -> None:
        self.n_tried += 1
        where = f"The implicit solver stopped at time {self.time:.6g} of {self.times[-1]:.6g}"
        if self.n_tried > self.max_steps:
            raise ConvergenceError(
                f"{where}: max_steps = {self.max_steps} is used up (last step {step:.3g}). Raise max_steps, loosen "
                "rtol and atol, or check the constants."
            )
        length = self.times[-1] - self.times[0]
        if step < max(4 * torch.finfo(torch.float64).eps * abs(self.time), 1e-30 * length):
            raise ConvergenceError(
                f"{where}: the step fell to {step:.3g}. The state blows up or the rate jumps there; check the "
                "constants and the Jacobian, or loosen rtol and atol."
            )

    def _scale(self, state: Tensor) -> Tensor:
        return self.tolerance.absolute + self.tolerance.relative * state.abs()

    def _clock(self, time: float) -> Tensor:
        return self.state.new_full((len(self.state),), time)

    def _rate_at(self, time: float, state: Tensor) -> Tensor:
        return self.equation.rate(self._clock(time), state)

    def _first_step(self) -> float:
        """Guess from the sizes of state, rate and second derivative (Hairer, Norsett and Wanner 1993, II.4)."""
        allowed = self._scale(self.state) / self.tightness
        size, speed = _worst(self.state, allowed), _worst(self.rate, allowed)
        length = self.times[-1] - self.times[0]
        step = 0.01 * size / speed if min(size, speed) > 1e-5 else 1e-6 * length
        step = min(step, length)
        later = self._rate_at(self.time + step, self.state + step * self.rate)
        bend = _worst(later - self.rate, allowed) / step
        fastest = max(speed, bend)
        guess = (0.01 / fastest) ** 0.25 if 1e-15 < fastest < float("inf") else max(1e-6 * length, 1e-3 * step)
        return min(100 * step, guess, length)


class _StageSystem:
    """The linear systems of one step and the constants of the method, on the device of the state."""

    def __init__(self, state: Tensor) -> None:
        self.nodes = state.new_tensor(NODES)
        self.coefficients = state.new_tensor(COEFFICIENTS)
        self.error_weights = state.new_tensor(_ERROR_WEIGHTS)
        self.powers = torch.linalg.inv(torch.stack([self.nodes**power for power in (1, 2, 3)], dim=1))
        n_states = state.shape[1]
        self.identity = torch.eye(3 * n_states, dtype=state.dtype, device=state.device)

    def factorise(self, jacobian: Tensor, step: float) -> None:
        n_states = jacobian.shape[-1]
        blocks = step * self.coefficients[:, None, :, None] * jacobian[:, None, :, None, :]
        matrix = self.identity - blocks.reshape(-1, 3 * n_states, 3 * n_states)
        self.stage_factors = torch.linalg.lu_factor_ex(matrix)[:2]
        identity = self.identity[:n_states, :n_states]
        self.error_factors = torch.linalg.lu_factor_ex(_REAL_EIGENVALUE / step * identity - jacobian)[:2]

    def newton_change(self, increments: Tensor, rates: Tensor, step: float) -> Tensor:
        residual = step * (self.coefficients @ rates) - increments
        change: Tensor = torch.linalg.lu_solve(*self.stage_factors, residual.reshape(len(rates), -1, 1))
        return change.reshape(rates.shape)

    def weighted_error(self, increments: Tensor) -> Tensor:
        return self.error_weights @ increments

    def filtered(self, right: Tensor) -> Tensor:
        solved: Tensor = torch.linalg.lu_solve(*self.error_factors, right.unsqueeze(-1))
        return solved.squeeze(-1)

    def extrapolated(self, increments: Tensor, ratio: float) -> Tensor:
        ahead = 1.0 + ratio * self.nodes
        basis = torch.stack([ahead**power for power in (1, 2, 3)], dim=1) @ self.powers
        extrapolated: Tensor = basis @ increments - increments[:, 2:]
        return extrapolated


def _worst(values: Tensor, allowed: Tensor) -> float:
    """Return the largest root mean square of any row of ``values / allowed``, all axes but the first taken together."""
    ratios = (values / allowed).flatten(1)
    return float(torch.linalg.vector_norm(ratios, dim=1).max()) / sqrt(ratios.shape[1])
