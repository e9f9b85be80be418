"""The one loop of all solvers: apply a step until every sample meets the stopping rule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.core.outcome import Outcome, Status
from kotowari.solvers.protocols import per_sample

__all__ = ["iterate", "relative_change"]

StateT = TypeVar("StateT", bound=tuple[Any, ...])

_EXPLOSION = 1e3  # an objective this many times its start is no detour of an accelerated method


def relative_change(new: Tensor, old: Tensor) -> Tensor:
    r"""Return :math:`\|x^+ - x\| / \max(\|x^+\|, \text{tiny})` for each sample, shape ``(batch,)``."""
    tiny = torch.finfo(new.dtype).tiny
    change: Tensor = (new - old).flatten(1).norm(dim=1) / new.flatten(1).norm(dim=1).clamp_min(tiny)
    return change


def iterate(
    state: StateT,
    step: Callable[[StateT], StateT],
    measure: Callable[[StateT, StateT], Tensor],
    *,
    tol: float,
    max_steps: int,
    check_every: int = 1,
    value: Callable[[StateT], Tensor] | None = None,
) -> Outcome[StateT]:
    """Apply ``step`` until ``measure(new, old)`` is at most ``tol`` in every sample.

    A sample that has met the rule is frozen while the others go on, so that its result does not depend on which other
    samples stand in the batch.

    Parameters
    ----------
    state
        A named tuple whose tensors all have the batch as their first axis. A member may be a tuple of tensors, or a
        named tuple in its turn; other members belong to the whole batch.
    step
        One step of a solver.
    measure
        One number a sample, shape ``(batch,)``: a relative change, a duality gap, a residual.
    tol
        Bar for ``measure``, 0 or more.
    max_steps
        Step limit, 1 or more.
    check_every
        Steps between two looks at ``measure`` and ``value``, 1 or more; a gap can cost as much as a step.
    value
        The objective of a state, one number a sample; plus infinity where a constraint does not hold. With it, a
        sample whose objective grows to a thousand times that of the start and of the first look, whichever is larger,
        is stopped as diverged, and a failed sample is given back with its least objective. Without it, a failed sample
        is given back as it was when last finite.

    Raises
    ------
    InputError
        When ``tol``, ``max_steps`` or ``check_every`` is out of range.
    """
    if not tol >= 0 or max_steps < 1 or check_every < 1:
        raise InputError(
            f"iterate: tol = {tol}, max_steps = {max_steps}, check_every = {check_every}: tol must be 0 or "
            "more, the others 1 or more."
        )
    start = state
    watch: _Watch[StateT] | None = None
    trace: list[tuple[float, ...]] = []
    for number in range(1, max_steps + 1):
        new = step(state)
        if watch is not None and not bool(watch.active.all()):
            new = _merged(watch.active, new, state)
        if number % check_every == 0 or number == max_steps:
            numbers = measure(new, state)
            watch = watch or _Watch.begin(start, numbers, value)
            new = watch.look(new, numbers, tol, number)
            trace.append(tuple(watch.numbers.tolist()))
        state = new
        if watch is not None and not bool(watch.active.any()):
            break
    statuses, n_steps = watch.verdict() if watch is not None else ((), ())
    return Outcome(state, statuses, n_steps, tuple(trace))


@dataclass
class _Watch(Generic[StateT]):
    """Which samples still run, why the others stopped, and the best state of each."""

    active: Tensor
    numbers: Tensor
    n_steps: Tensor
    ends: list[Status]
    value: Callable[[StateT], Tensor] | None
    best: StateT
    best_value: Tensor | None
    usual: Tensor | None = None  # the size of objective above which an explosion is measured

    @classmethod
    def begin(cls, state: StateT, numbers: Tensor, value: Callable[[StateT], Tensor] | None) -> "_Watch[StateT]":
        active = torch.ones_like(numbers, dtype=torch.bool)
        ends = [Status.MAX_STEPS] * len(numbers)
        n_steps = torch.zeros_like(numbers, dtype=torch.long)
        return cls(active, numbers, n_steps, ends, value, state, None if value is None else value(state))

    def look(self, new: StateT, numbers: Tensor, tol: float, number: int) -> StateT:
        """Take note of a new state, and return it with failed samples put back to their best."""
        self.n_steps[self.active] = number
        self.numbers = torch.where(self.active, numbers, self.numbers)
        broken, exploded = ~numbers.isfinite(), torch.zeros_like(self.active)
        better = torch.ones_like(self.active)
        if self.value is not None and self.best_value is not None:
            values = self.value(new)
            broken = broken | values.isnan()
            exploded = self._exploded(values, self.best_value) & ~broken
            better = values < self.best_value
            self.best_value = torch.where(self.active & better & ~broken, values, self.best_value)
        failed = self.active & (broken | exploded)
        # a sample that has ended needs no best any more; taking it as new spares most merges
        self.best = _merged(~self.active | (better & ~failed), new, self.best)
        if bool(failed.any()):
            new = _merged(~failed, new, self.best)
        self._end(self.active & exploded, Status.DIVERGED)
        self._end(self.active & broken, Status.NON_FINITE)
        self._end(self.active & (numbers <= tol), Status.CONVERGED)
        return new

    def _exploded(self, values: Tensor, least: Tensor) -> Tensor:
        # a start near the minimum is left before it is found again, so the first look counts too; an objective that is
        # infinite says that a constraint does not hold yet, not that the iterate grows
        if self.usual is None:
            self.usual = torch.fmax(_finite(least), _finite(values))
        self.usual = torch.where(self.usual.isnan(), _finite(values), self.usual)
        return (self.usual > 0) & (values > _EXPLOSION * self.usual) & values.isfinite()

    def verdict(self) -> tuple[tuple[Status, ...], tuple[int, ...]]:
        return tuple(self.ends), tuple(self.n_steps.tolist())

    def _end(self, which: Tensor, status: Status) -> None:
        for sample in which.nonzero().flatten().tolist():
            self.ends[sample] = status
        self.active = self.active & ~which


def _merged(chosen: Tensor, new: StateT, old: StateT) -> StateT:
    """Return ``new`` where a sample is chosen and ``old`` elsewhere."""
    return new if bool(chosen.all()) else cast(StateT, _mixed(chosen, new, old))


def _mixed(chosen: Tensor, new: object, old: object) -> object:
    if isinstance(new, Tensor) and isinstance(old, Tensor):
        return torch.where(cast(Tensor, per_sample(chosen, new)), new, old)
    if isinstance(new, tuple) and isinstance(old, tuple):
        members: list[Any] = [_mixed(chosen, ours, theirs) for ours, theirs in zip(new, old, strict=True)]
        return type(new)(*members) if hasattr(new, "_fields") else tuple(members)
    return new


def _finite(values: Tensor) -> Tensor:
    """Return ``values`` with NaN for what is not finite."""
    return values.where(values.isfinite(), torch.nan)
