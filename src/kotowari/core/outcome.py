"""What an iterative method hands back: its last state, and why it stopped."""

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from kotowari.core.errors import ConvergenceError

__all__ = ["Outcome", "Status"]

StateT = TypeVar("StateT")


class Status(Enum):
    """Why an iteration stopped; the value is the sentence shown to the user."""

    CONVERGED = "The stopping rule was met."
    MAX_STEPS = "The step limit was reached. Raise max_steps, or loosen tol."
    DIVERGED = "The objective grew far above its start; the best iterate is kept. Take a smaller step."
    NON_FINITE = "An iterate became NaN or infinite; the best finite iterate is kept. Take a smaller step."


_WORST_FIRST = (Status.NON_FINITE, Status.DIVERGED, Status.MAX_STEPS, Status.CONVERGED)


@dataclass(frozen=True)
class Outcome(Generic[StateT]):
    """Where an iteration ended, sample by sample.

    Attributes
    ----------
    state
        The last state, or, where the iteration failed, the best one.
    statuses
        Why it stopped, one for each sample.
    n_steps
        Steps that each sample took.
    trace
        The number that decides when to stop: one row for each time it was taken, one column for each sample.
    """

    state: StateT
    statuses: tuple[Status, ...]
    n_steps: tuple[int, ...]
    trace: tuple[tuple[float, ...], ...] = ()

    @property
    def status(self) -> Status:
        """The worst status of all samples."""
        return next(status for status in _WORST_FIRST if status in self.statuses or status is Status.CONVERGED)

    @property
    def converged(self) -> bool:
        """Whether every sample met the stopping rule."""
        return self.status is Status.CONVERGED

    @property
    def advice(self) -> str:
        """One sentence: what happened, to how many samples, and what to do."""
        if len(self.statuses) == 1 or self.converged:
            return self.status.value
        return f"{self.statuses.count(self.status)} of {len(self.statuses)} samples: {self.status.value}"

    def or_raise(self) -> "Outcome[StateT]":
        """Return self, or raise :class:`ConvergenceError` with the advice when a sample did not converge."""
        if not self.converged:
            raise ConvergenceError(self.advice)
        return self
