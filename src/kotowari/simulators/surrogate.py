"""A network in place of a simulator, which carries its error and the box in which that error was measured."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kotowari.core.checks import few
from kotowari.core.errors import InputError, ShapeError
from kotowari.simulators.simulator import Simulator

__all__ = ["DomainWarning", "Surrogate", "SurrogateError"]


class DomainWarning(UserWarning):
    """A surrogate was asked about states outside of the box in which its error was measured."""


@dataclass(frozen=True)
class SurrogateError:
    """Error of a surrogate on states that it did not learn from, as root mean squares in widths of the box.

    Attributes
    ----------
    one_step
        Error of one step, one number a state.
    low, high
        Bounds of the 95 % interval of ``one_step``.
    persistence
        The same error of predicting that nothing changes: what a surrogate has to beat.
    rollout
        Error after ``n_rollout`` steps in a row, one number a state, over the rollouts whose true path stays inside.
    n_test, n_rollout
        How many held-out states, and how many steps in a row.
    n_inside
        How many of the rollouts have a true path that stays inside of the box; without any, ``rollout`` is NaN.
    """

    one_step: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    persistence: tuple[float, ...]
    rollout: tuple[float, ...]
    n_test: int
    n_rollout: int
    n_inside: int

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)


class Surrogate(Simulator):
    r"""A network that takes one fixed time step in place of a simulator whose rate does not depend on time.

    .. math:: x(t + h) \approx x(t) + s \, N\!\big(2 (x(t) - l) / (u - l) - 1\big)

    with a box from l to u, and s the size of a usual change. Only ``network`` is learned.

    Parameters
    ----------
    network
        Maps the scaled state to the scaled change: ``(batch, n_states)`` to the same.
    step
        The time h of one step, above 0.
    low, high
        Corners of the box, one number a state, in units of the state.
    change
        The size s of a usual change over one step, one number a state, above 0; ones by default.
    state_names, state_unit, time_unit
        As for :class:`~kotowari.simulators.simulator.Simulator`.

    Attributes
    ----------
    error
        What is known of the error; None until it was measured.
    """

    low: Tensor
    high: Tensor
    change: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        step: float,
        low: Sequence[float],
        high: Sequence[float],
        state_names: Sequence[str],
        change: Sequence[float] | None = None,
        state_unit: str = "",
        time_unit: str = "",
    ) -> None:
        super().__init__(state_names, state_unit=state_unit, time_unit=time_unit)
        sizes = [1.0] * self.n_states if change is None else list(change)
        if not len(low) == len(high) == len(sizes) == self.n_states:
            raise ShapeError(f"{self}: low, high and change need {self.n_states} numbers each.")
        if not step > 0 or not all(left < right for left, right in zip(low, high, strict=True)) or not min(sizes) > 0:
            raise InputError(f"{self}: step and change must be above 0, and low below high in every state.")
        self.network = network
        self.step = step
        self.error: SurrogateError | None = None
        for name, numbers in (("low", low), ("high", high), ("change", sizes)):
            self.register_buffer(name, torch.tensor(list(numbers), dtype=torch.float64))

    def scaled(self, state: Tensor) -> Tensor:
        """Return the state on the scale on which the box reaches from -1 to 1."""
        low, high = self.low.to(state.dtype), self.high.to(state.dtype)
        return 2 * (state - low) / (high - low) - 1

    def outside(self, state: Tensor) -> Tensor:
        """Return which entries lie outside of the box; the shape of ``state``, boolean."""
        return (state < self.low) | (state > self.high)

    def advance(self, state: Tensor, start: float, stop: float) -> Tensor:
        """Return the state at ``stop``, a whole number of steps after ``start``: ``(batch, n_states)`` to the same.

        Warns once with :class:`DomainWarning` when a state lies or comes to lie outside of the box.

        Raises
        ------
        InputError
            When the time between is no multiple of ``step``, to one part in a million of a step.
        """
        n_steps = round((stop - start) / self.step)
        if n_steps < 1 or abs((stop - start) / self.step - n_steps) > 1e-6 * n_steps:
            raise InputError(
                f"{self} takes steps of {self.step:g}, and {stop - start:g} is no multiple of it. Choose other times, "
                "or fit a surrogate of another step."
            )
        left = torch.zeros_like(state, dtype=torch.bool)
        dtype = next((parameter.dtype for parameter in self.network.parameters()), state.dtype)
        for _ in range(n_steps):
            left = left | self.outside(state)
            increment = self.network(self.scaled(state).to(dtype)).to(state.dtype)
            state = state + self.change.to(state.dtype) * increment
        self._warn(left)
        return state

    def _warn(self, left: Tensor) -> None:
        if not bool(left.any()):
            return
        names = [name for name, hit in zip(self.state_names, left.any(0).tolist(), strict=True) if hit]
        warnings.warn(
            f"{self}: {int(left.any(1).sum())} of {len(left)} states lie outside of the box in which the error was "
            f"measured ({few(names)}). The stated error does not hold for them.",
            DomainWarning,
            stacklevel=3,
        )
