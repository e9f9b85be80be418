"""What a simulator is: a differentiable model of a state in time; and the simulators given by a rate equation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from kotowari.core.checks import require_unique
from kotowari.core.errors import InputError, ShapeError
from kotowari.simulators.adjoint import Implicit
from kotowari.simulators.explicit import RungeKutta4

__all__ = ["DifferentialEquation", "Simulator"]


class Simulator(nn.Module, ABC):
    """A differentiable model of a state in time.

    The first axis is the batch, and the rows of a batch never mix. Constants to be learned are ``nn.Parameter``s,
    shared by the batch, and kept within their bounds by what is learned (the logarithm of a rate, say); what differs
    from row to row is a state whose rate is zero. A subclass writes ``advance``, and tells ``constants``.

    Parameters
    ----------
    state_names
        One name a state, each once.
    state_unit, time_unit
        Units of every state and of the time, as a report prints them.
    """

    def __init__(self, state_names: Sequence[str], *, state_unit: str = "", time_unit: str = "") -> None:
        super().__init__()
        if not state_names:
            raise InputError(f"{type(self).__name__}: name one state or more in state_names.")
        require_unique(state_names, what="state names", where=type(self).__name__)
        self.state_names = tuple(state_names)
        self.state_unit, self.time_unit = state_unit, time_unit

    @property
    def n_states(self) -> int:
        """How many numbers a state has."""
        return len(self.state_names)

    @abstractmethod
    def advance(self, state: Tensor, start: float, stop: float) -> Tensor:
        """Return the state at ``stop`` from the one at ``start``: ``(batch, n_states)`` to the same."""

    def constants(self) -> dict[str, Tensor]:
        """Return each constant by the name that a report prints, in its own unit, differentiable; none by default."""
        return {}

    def constant_units(self) -> dict[str, str]:
        """Return the unit of each of the :meth:`constants`."""
        return dict.fromkeys(self.constants(), "")

    def forward(self, state: Tensor, times: Tensor | Sequence[float]) -> Tensor:
        """Return the trajectory at ``times``.

        Parameters
        ----------
        state
            State at ``times[0]``, shape ``(batch, n_states)``, real floats.
        times
            Shape ``(time,)``, strictly increasing, in ``time_unit``; no gradient reaches them.

        Returns
        -------
        Tensor
            Shape ``(batch, time, n_states)``; the first entry is ``state``.

        Raises
        ------
        ShapeError, InputError
            When the state does not fit or is not finite, or the times do not increase.
        """
        if state.ndim != 2 or state.shape[1] != self.n_states:
            raise ShapeError.mismatch(self, "state", ("batch", self.n_states), state.shape)
        if not state.is_floating_point() or not bool(state.isfinite().all()):
            raise InputError(f"{self}: the state must hold finite real floats, got {state.dtype} or NaN or infinity.")
        moments = torch.as_tensor(times, dtype=torch.float64)
        if moments.ndim != 1 or len(moments) == 0 or not bool((moments.diff() > 0).all() & moments.isfinite().all()):
            raise InputError(f"{self}: times must be one row of finite, strictly increasing numbers.")
        return self._trajectory(state, moments.tolist())

    def _trajectory(self, state: Tensor, times: list[float]) -> Tensor:
        path = [state]
        for start, stop in pairwise(times):
            path.append(self.advance(path[-1], start, stop))
        return torch.stack(path, dim=1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.state_names)})"


class DifferentialEquation(Simulator):
    r"""A simulator given by its rate, :math:`\dot x = f(t, x)`.

    A subclass writes ``rate``, and may write ``jacobian`` where it knows a formula.

    Parameters
    ----------
    state_names, state_unit, time_unit
        As for :class:`Simulator`.
    method
        :class:`~kotowari.simulators.adjoint.Implicit` with its tolerances, for stiff rates (float64);
        :class:`~kotowari.simulators.explicit.RungeKutta4` with its step, for others.
    """

    def __init__(
        self,
        state_names: Sequence[str],
        *,
        state_unit: str = "",
        time_unit: str = "",
        method: Implicit | RungeKutta4 | None = None,
    ) -> None:
        super().__init__(state_names, state_unit=state_unit, time_unit=time_unit)
        self.method = Implicit() if method is None else method

    @abstractmethod
    def rate(self, time: Tensor, state: Tensor) -> Tensor:
        """Return the rate of change, each row on its own.

        ``time`` has shape ``(batch,)`` and may differ from row to row; ``state`` and the result are
        ``(batch, n_states)``.
        """

    def jacobian(self, time: Tensor, state: Tensor) -> Tensor:
        """Return the derivative of the rate in the state, ``(batch, n_states, n_states)``, the rate's axis first."""

        def row(moment: Tensor, position: Tensor) -> Tensor:
            return self.rate(moment.unsqueeze(0), position.unsqueeze(0)).squeeze(0)

        derivative: Tensor = vmap(jacrev(row, argnums=1))(time, state)
        return derivative

    @final
    def advance(self, state: Tensor, start: float, stop: float) -> Tensor:
        """Return the state at ``stop`` from the one at ``start``: ``(batch, n_states)`` to the same."""
        return self._trajectory(state, [start, stop])[:, -1]

    @final
    def _trajectory(self, state: Tensor, times: list[float]) -> Tensor:
        return state.unsqueeze(1) if len(times) == 1 else self.method.integrate(self, state, times)
