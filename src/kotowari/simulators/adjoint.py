"""The implicit solver as a differentiable function: its exact discrete adjoint."""

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kotowari.core.checks import require_methods
from kotowari.core.errors import InputError
from kotowari.simulators.implicit import COEFFICIENTS, NODES, March, Tolerance, march_implicit

__all__ = ["Implicit"]

_BLOCK = 128  # steps whose Jacobians are held at once on the way back


@dataclass(frozen=True)
class Implicit:
    r"""The implicit method of :func:`~kotowari.simulators.implicit.march_implicit`, differentiable.

    On the way back, each accepted step is differentiated by the implicit function theorem: with the stages
    :math:`X = (X_1, X_2, X_3)` and their equation :math:`X - 1 \otimes x_n - h (A \otimes I) F(X) = 0`,

    .. math::
        (I - h [a_{ij} J_j])^T \mu = \partial L / \partial X, \quad
        \lambda_n = \sum_i \mu_i, \quad
        \frac{dL}{d\theta} = \sum_n \sum_j \Big(h \sum_i a_{ij} \mu_i\Big)^T \frac{\partial f}{\partial \theta}(X_j),

    where :math:`\partial L/\partial X_3` includes what the next step passes on. This is the exact gradient of the
    discrete solution in the initial state and the constants, **the step sizes held fixed**; a continuous adjoint would
    have an error of its own. Kept are the three stages of each step; Jacobians are computed again, for many steps in
    one call. The way back is differentiable too, so that Hessians are exact as well.

    Parameters
    ----------
    rtol
        Relative error allowed over the run, 1e-12 to 1e-2.
    atol
        Absolute error allowed, above 0, in units of the state: a number, or one number a state. Well below the
        smallest state that matters; a positive state may become negative by about as much.
    max_steps
        Most steps of one run, refused ones included.
    """

    rtol: float = 1e-6
    atol: float | tuple[float, ...] = 1e-9
    max_steps: int = 100_000

    def __post_init__(self) -> None:
        allowed = self.atol if isinstance(self.atol, tuple) else (self.atol,)
        if not 1e-12 <= self.rtol <= 1e-2 or not all(number > 0 for number in allowed) or self.max_steps < 1:
            raise InputError(
                f"{self}: rtol must lie between 1e-12 and 1e-2, atol must be above 0, and max_steps 1 or more."
            )

    def integrate(self, equation: nn.Module, state: Tensor, times: list[float]) -> Tensor:
        """Return the trajectory.

        Parameters
        ----------
        equation
            A module with ``rate`` and ``jacobian``; gradients reach its parameters, not its buffers.
        state
            State at ``times[0]``, shape ``(batch, n_states)``, float64.
        times
            Two or more, strictly increasing; the method steps exactly onto them.

        Returns
        -------
        Tensor
            Shape ``(batch, time, n_states)``; the first entry is ``state``.

        Raises
        ------
        InputError
            When the state is not float64, or does not fit ``atol``, or its rate is not finite.
        ConvergenceError
            When the step vanishes, or ``max_steps`` do not reach the end.
        """
        require_methods(equation, "rate", "jacobian", by="Implicit")
        if state.dtype != torch.float64:
            raise InputError(f"{equation}: the implicit method needs float64, got {state.dtype}. Convert: .double().")
        if isinstance(self.atol, tuple) and len(self.atol) != state.shape[1]:
            raise InputError(f"{equation}: atol has {len(self.atol)} numbers for {state.shape[1]} states.")
        named = dict(equation.named_parameters())
        tolerance = Tolerance(self.rtol, state.new_tensor(self.atol))
        record = _Record(equation, tuple(named), times, tolerance, self.max_steps)
        stages: Tensor = _Integration.apply(record, state, *named.values())  # type: ignore[no-untyped-call]
        landed = stages[record.march.arrivals.to(stages.device), :, -1]
        return torch.cat([state.unsqueeze(0), landed]).transpose(0, 1)


class _Record:
    """What a run was made of, and the steps it took."""

    march: March

    def __init__(
        self, equation: nn.Module, names: tuple[str, ...], times: list[float], tolerance: Tolerance, max_steps: int
    ) -> None:
        self.equation, self.names, self.times = equation, names, times
        self.tolerance, self.max_steps = tolerance, max_steps

    def evaluate(self, method: str, parameters: tuple[Tensor, ...], time: Tensor, state: Tensor) -> Tensor:
        """Call ``rate`` or ``jacobian`` with the constants that the run was made with."""
        constants = {f"equation.{name}": value for name, value in zip(self.names, parameters, strict=True)}
        return cast(Tensor, functional_call(_Method(self.equation, method), constants, (time, state)))


class _Method(nn.Module):
    """One method of a module, as the module whose constants ``functional_call`` can exchange."""

    def __init__(self, equation: nn.Module, method: str) -> None:
        super().__init__()
        self.equation, self.method = equation, method

    def forward(self, time: Tensor, state: Tensor) -> Tensor:
        value: Tensor = getattr(self.equation, self.method)(time, state)
        return value


class _Integration(torch.autograd.Function):
    """Initial state and constants to the stages of all steps."""

    @staticmethod
    def forward(ctx: Any, record: _Record, state: Tensor, *parameters: Tensor) -> Tensor:
        equation = cast(Any, record.equation)
        record.march = march_implicit(equation, state, record.times, record.tolerance, max_steps=record.max_steps)
        ctx.record = record
        ctx.save_for_backward(record.march.stages, *parameters)
        return record.march.stages

    @staticmethod
    def backward(ctx: Any, *outward: Tensor) -> tuple[Tensor | None, ...]:
        stages, *parameters = ctx.saved_tensors
        if not torch.is_grad_enabled():  # no graph is asked for, so none reaches into the caller's
            stages = stages.detach()
            parameters = [parameter.detach().requires_grad_(parameter.requires_grad) for parameter in parameters]
        inward, slopes = _way_back(ctx.record, stages, tuple(parameters), outward[0])
        return (None, inward, *slopes)


def _way_back(
    record: _Record, stages: Tensor, parameters: tuple[Tensor, ...], outward: Tensor
) -> tuple[Tensor, list[Tensor | None]]:
    """Return the gradient in the initial state, and in each parameter."""
    slopes: list[Tensor | None] = [None] * len(parameters)
    inward = torch.zeros_like(stages[0, :, 0])
    for stop in range(len(stages), 0, -_BLOCK):
        block = slice(max(0, stop - _BLOCK), stop)
        at = _StagePoints.of(record.march, block, stages[block])
        jacobian = record.evaluate("jacobian", parameters, at.time, at.state)
        pull, inward = _adjoint_steps(at, jacobian, outward[block], inward)
        for number, slope in _constant_slopes(record, parameters, at, pull).items():
            total = slopes[number]
            slopes[number] = slope if total is None else total + slope
    return inward, slopes


class _StagePoints(NamedTuple):
    """All stages of a block of steps, as one batch of rows."""

    time: Tensor
    state: Tensor
    weights: Tensor  # step times coefficient, (n_steps, 3, 3)
    shape: torch.Size

    @classmethod
    def of(cls, march: March, block: slice, stages: Tensor) -> "_StagePoints":
        steps = march.steps[block].reshape(-1, 1)
        time = march.starts[block].reshape(-1, 1) + steps * stages.new_tensor(NODES)
        rows = time.unsqueeze(1).expand(stages.shape[:-1]).reshape(-1)
        weights = steps.unsqueeze(-1) * stages.new_tensor(COEFFICIENTS)
        return cls(rows, stages.reshape(-1, stages.shape[-1]), weights, stages.shape)


def _adjoint_steps(at: _StagePoints, jacobian: Tensor, outward: Tensor, inward: Tensor) -> tuple[Tensor, Tensor]:
    """Solve the transposed stage systems; return what pulls on the rates, and the gradient before the block."""
    n_steps, batch, _, n_states = at.shape
    blocks = torch.einsum("kij,kbjpq->kbipjq", at.weights, jacobian.reshape(*at.shape, n_states))
    size = 3 * n_states
    identity = torch.eye(size, dtype=jacobian.dtype, device=jacobian.device)
    matrix = identity - blocks.reshape(n_steps, batch, size, size)
    own = outward.reshape(n_steps, batch, size, 1)
    passed_on = identity[:, -n_states:].expand(n_steps, batch, size, n_states)  # the third stage is the new state
    solved = torch.linalg.solve(matrix.mT, torch.cat([own, passed_on], dim=-1))
    own, passed_on = solved[..., 0], solved[..., 1:]
    short_own = own.reshape(n_steps, batch, 3, n_states).sum(2)
    short_passed = passed_on.reshape(n_steps, batch, 3, n_states, n_states).sum(2)
    later = []
    for number in reversed(range(n_steps)):
        later.append(inward)
        inward = short_own[number] + (short_passed[number] @ inward.unsqueeze(-1)).squeeze(-1)
    multiplier = own + (passed_on @ torch.stack(later[::-1]).unsqueeze(-1)).squeeze(-1)
    pull = torch.einsum("kij,kbip->kbjp", at.weights, multiplier.reshape(n_steps, batch, 3, n_states))
    return pull, inward


def _constant_slopes(
    record: _Record, parameters: tuple[Tensor, ...], at: _StagePoints, pull: Tensor
) -> dict[int, Tensor]:
    """Return the gradient in each parameter that is learned, by the number of the parameter."""
    learned = [number for number, parameter in enumerate(parameters) if parameter.requires_grad]
    graph_wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        # aliases: the stages depend on the parameters too, and only the direct dependence is wanted here
        parameters = tuple(parameter.view_as(parameter) for parameter in parameters)
        rates = record.evaluate("rate", parameters, at.time, at.state)
        if not learned or not rates.requires_grad:
            return {}
        wanted = [parameters[number] for number in learned]
        pull = pull.reshape(rates.shape)
        slopes = torch.autograd.grad(rates, wanted, pull, create_graph=graph_wanted, materialize_grads=True)
    return dict(zip(learned, slopes, strict=True))
