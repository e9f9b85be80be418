"""The classical Runge-Kutta method of order 4, for rate equations that are not stiff."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Protocol

import torch
from torch import Tensor

from kotowari.core.errors import ConvergenceError, InputError

__all__ = ["RungeKutta4"]

Rate = Callable[[Tensor, Tensor], Tensor]


class _HasRate(Protocol):
    def rate(self, time: Tensor, state: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class RungeKutta4:
    """Fixed steps of order 4, in the dtype of the state; differentiable by plain automatic differentiation.

    Between two asked times the steps are equal and at most ``step`` long. There is no error control: halve ``step``
    and compare.

    Parameters
    ----------
    step
        Longest step, above 0, in units of time.

    Source: Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, table II.1.2.
    """

    step: float

    def __post_init__(self) -> None:
        if not self.step > 0:
            raise InputError(f"{self}: step must be above 0.")

    def integrate(self, equation: _HasRate, state: Tensor, times: list[float]) -> Tensor:
        """Return the trajectory.

        Parameters
        ----------
        equation
            An object with ``rate``.
        state
            State at ``times[0]``, shape ``(batch, n_states)``.
        times
            One or more, strictly increasing.

        Returns
        -------
        Tensor
            Shape ``(batch, time, n_states)``; the first entry is ``state``.

        Raises
        ------
        ConvergenceError
            When the state stops being finite, which is what too long a step does; says at which time.
        """
        path = [state]
        for start, stop in pairwise(times):
            n_steps = ceil((stop - start) / self.step * (1 - 1e-12))
            width = (stop - start) / n_steps
            for number in range(n_steps):
                state = _step(equation.rate, state, start + number * width, width)
            if not bool(state.isfinite().all()):
                raise ConvergenceError(
                    f"{self}: the state is no longer finite at time {stop:g}. Take a shorter step, or Implicit."
                )
            path.append(state)
        return torch.stack(path, dim=1)


def _step(rate: Rate, state: Tensor, start: float, step: float) -> Tensor:
    early = state.new_full((len(state),), start)
    middle, late = early + 0.5 * step, early + step
    first = rate(early, state)
    second = rate(middle, state + 0.5 * step * first)
    third = rate(middle, state + 0.5 * step * second)
    fourth = rate(late, state + step * third)
    return state + step / 6 * (first + 2 * second + 2 * third + fourth)
