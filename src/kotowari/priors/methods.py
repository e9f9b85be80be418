"""How each method runs a problem: its start, its step, how far it still moves, and its dual points."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from kotowari.core.errors import CapabilityError, ConvergenceError, InputError
from kotowari.priors.duality import DualPoint, dual_point
from kotowari.priors.indicators import Indicator
from kotowari.priors.quadratic import SquaredL2
from kotowari.priors.sparsity import L1
from kotowari.priors.terms import Term, curvature, gradient, has_exact_prox, lipschitz, proximal, squared_norm
from kotowari.solvers.admm import (
    AdmmState,
    BalancedAdmmState,
    admm_start,
    admm_step,
    balanced_admm_start,
    balanced_admm_step,
)
from kotowari.solvers.conjugate_gradient import conjugate_gradient
from kotowari.solvers.douglas_rachford import DouglasRachfordState, douglas_rachford_start, douglas_rachford_step
from kotowari.solvers.fista import FistaState, fista_start, fista_step
from kotowari.solvers.hqs import HqsState, hqs_start, hqs_step
from kotowari.solvers.inner_product import length, ratio
from kotowari.solvers.ista import IstaState, ista_start, ista_step
from kotowari.solvers.iterate import relative_change
from kotowari.solvers.pdhg import (
    BalancedPdhgState,
    PdhgState,
    balanced_pdhg_start,
    balanced_pdhg_step,
    condat_vu_step,
    pdhg_start,
)
from kotowari.solvers.protocols import Prox, Step, per_sample

__all__ = ["METHODS", "Run", "Setting"]

StateT = TypeVar("StateT", bound=tuple[Any, ...])

_PENALTIES = (0.1, 1e3)  # of half-quadratic splitting: the first and the last, in units of the data term
_GROWTH = 1.1


@dataclass(frozen=True)
class Setting:
    """A problem, sorted: the ``smooth`` terms, the ``rough`` ones, where to start, and the user's step and bar."""

    smooth: list[Term]
    rough: list[Term]
    start: Tensor
    step: float | None
    tol: float

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient of all smooth terms."""
        total = torch.zeros_like(x)
        for term in self.smooth:
            total = total + gradient(term, x)
        return total

    def steepness(self, *, margin: bool) -> float:
        """Return a Lipschitz constant of the gradient."""
        return sum(lipschitz(term, margin=margin) for term in self.smooth)

    @property
    def convex(self) -> bool:
        """Whether every term is convex."""
        return all(term.prior.convex for term in [*self.smooth, *self.rough])


@dataclass(frozen=True)
class Run(Generic[StateT]):
    """One method, made ready for one problem.

    ``change(new, old)`` is 0 exactly where the method rests. ``points(new, old)`` gives a dual point for each term that
    the method takes by its proximal map; None for a method that comes to no dual point.
    """

    start: StateT
    step: Callable[[StateT], StateT]
    change: Callable[[StateT, StateT], Tensor]
    answer: Callable[[StateT], Tensor]
    points: Callable[[StateT, StateT], list[DualPoint]] | None


def _ista(setting: Setting) -> Run[IstaState]:
    prox, points = _single_prox(setting, "ista")
    step = _bounded_step(setting, "ista", 2.0 if setting.convex else 1.0)

    def dual_points(new: IstaState, old: IstaState) -> list[DualPoint]:
        return points(old.x - step * setting.gradient(old.x), step, new.x)

    return Run(
        ista_start(setting.start),
        lambda state: ista_step(state, setting.gradient, prox, step),
        lambda new, old: relative_change(new.x, old.x),
        lambda state: state.x,
        dual_points,
    )


def _fista(setting: Setting) -> Run[FistaState]:
    prox, points = _single_prox(setting, "fista")
    step = _bounded_step(setting, "fista", 1.0)

    def dual_points(new: FistaState, old: FistaState) -> list[DualPoint]:
        return points(old.z - step * setting.gradient(old.z), step, new.x)

    return Run(
        fista_start(setting.start),
        lambda state: fista_step(state, setting.gradient, prox, step),
        # the step itself, not the way from the last x, which is short wherever the momentum turns round
        lambda new, old: relative_change(new.x, old.z),
        lambda state: state.x,
        dual_points,
    )


def _pdhg(setting: Setting) -> Run[PdhgState] | Run[BalancedPdhgState]:
    own = _term_of_the_primal_step(setting.rough)
    prox, own_points = _prox_of(own, "pdhg")
    terms = [term for term in setting.rough if term is not own]
    priors = [proximal(term, by="method 'pdhg'") for term in terms]
    conjugates, forwards = [prior.conjugate_prox for prior in priors], [term.image for term in terms]
    adjoints = [term.pulled_back for term in terms]

    def change(new: PdhgState, old: PdhgState, primal: Step, dual: Step) -> Tensor:
        moved, size = length(new.x - old.x).square() / primal, length(new.x).square() / primal
        for y, before in zip(new.duals, old.duals, strict=True):
            moved, size = moved + length(y - before).square() / dual, size + length(y).square() / dual
        return ratio(moved, size).sqrt()

    def points(new: PdhgState, old: PdhgState, primal: Step, dual: Step) -> list[DualPoint]:
        found, pull = [], setting.gradient(old.x)
        for term, prior, y, before in zip(terms, priors, new.duals, old.duals, strict=True):
            u = prior.prox(before / per_sample(dual, before) + term.image(old.ahead), 1 / dual)
            pulled_back = term.pulled_back(y)
            pull = pull + pulled_back
            found.append(dual_point(term, u, y, pulled_back, prior.value(u)))
        return found + own_points(old.x - per_sample(primal, pull) * pull, primal, new.x)

    maps = (setting.gradient, prox, conjugates, forwards, adjoints)
    squared = sum(squared_norm(term.operator, margin=True) for term in terms)
    if setting.step is None and squared > 0:
        steepness = setting.steepness(margin=True)
        return Run(
            balanced_pdhg_start(setting.start, forwards, squared_norm=squared, lipschitz=steepness),
            lambda state: balanced_pdhg_step(state, *maps, squared_norm=squared, lipschitz=steepness),
            lambda new, old: change(new.pdhg, old.pdhg, old.primal_step, old.dual_step),
            lambda state: state.pdhg.x,
            lambda new, old: points(new.pdhg, old.pdhg, old.primal_step, old.dual_step),
        )
    step = _bounded_step(setting, "pdhg", 2.0 if not squared else 1.9)
    dual = (1.0 / step - setting.steepness(margin=True) / 2) / squared if squared > 0 else 1.0
    return Run(
        pdhg_start(setting.start, forwards),
        lambda state: condat_vu_step(state, *maps, primal_step=step, dual_step=dual),
        lambda new, old: change(new, old, step, dual),
        lambda state: state.x,
        lambda new, old: points(new, old, step, dual),
    )


def _admm(setting: Setting) -> Run[AdmmState] | Run[BalancedAdmmState]:
    terms = setting.rough
    priors = [proximal(term, by="method 'admm'") for term in terms]
    proxes, forwards = [prior.prox for prior in priors], [term.image for term in terms]
    adjoints = [term.pulled_back for term in terms]
    solve, answer = _linear_solve(setting, "admm"), _split_answer(setting)

    def change(new: AdmmState, old: AdmmState) -> Tensor:
        blocks = [*zip(new.split, old.split, strict=True), *zip(new.dual, old.dual, strict=True)]
        moved = sum(length(ours - before).square() for ours, before in blocks)
        size = sum(length(ours).square() for ours, _ in blocks)
        return ratio(torch.as_tensor(moved), torch.as_tensor(size)).sqrt()

    def points(new: AdmmState, penalty: Step) -> list[DualPoint]:
        found = []
        for term, prior, z, u in zip(terms, priors, new.split, new.dual, strict=True):
            y = per_sample(penalty, u) * u
            found.append(dual_point(term, z, y, term.pulled_back(y), prior.value(z)))
        return found

    if setting.step is not None:
        penalty = 1.0 / _positive_step(setting.step)
        return Run(
            admm_start(setting.start, forwards),
            lambda state: admm_step(state, partial(solve, state.x), proxes, forwards, penalty),
            change,
            lambda state: answer(state.x, state.split),
            lambda new, _old: points(new, penalty),
        )
    return Run(
        balanced_admm_start(setting.start, forwards, _natural_penalty(setting)),
        lambda state: balanced_admm_step(state, partial(solve, state.admm.x), proxes, forwards, adjoints),
        lambda new, old: change(new.admm, old.admm),
        lambda state: answer(state.admm.x, state.admm.split),
        lambda new, _old: points(new.admm, new.penalty),
    )


def _hqs(setting: Setting) -> Run[HqsState]:
    terms = setting.rough
    proxes = [proximal(term, by="method 'hqs'").prox for term in terms]
    forwards = [term.image for term in terms]
    solve, answer = _linear_solve(setting, "hqs"), _split_answer(setting)
    first, last = (share * _natural_penalty(setting) for share in _PENALTIES)
    if setting.step is not None:
        last = 1.0 / _positive_step(setting.step)
        first = min(first, last)

    def change(new: HqsState, old: HqsState) -> Tensor:
        moved = relative_change(new.x, old.x)
        return torch.where(old.penalty < last, moved.clamp_min(1.0), moved)  # a schedule on its way is no rest

    return Run(
        hqs_start(setting.start, forwards, first),
        lambda state: hqs_step(state, partial(solve, state.x), proxes, forwards, growth=_GROWTH, limit=last),
        change,
        lambda state: answer(state.x, state.split),
        None,
    )


def _douglas_rachford(setting: Setting) -> Run[DouglasRachfordState]:
    terms = sorted([*setting.rough, *setting.smooth], key=lambda term: not isinstance(term.prior, Indicator))
    if len(terms) != 2:
        raise CapabilityError(
            f"Problem: method 'douglas_rachford' takes two terms, and this problem has {len(terms)}. "
            "Take method='pdhg'."
        )
    (first, first_points), (second, second_points) = (_prox_of(term, "douglas_rachford") for term in terms)
    steepness = setting.steepness(margin=False)
    step = 1.0 / steepness if steepness > 0 else 1.0
    if setting.step is not None:
        step = _positive_step(setting.step)

    def points(new: DouglasRachfordState, old: DouglasRachfordState) -> list[DualPoint]:
        return [
            *first_points(old.z, step, new.x),
            *second_points(2 * new.x - old.z, step, new.z - old.z + new.x),
        ]

    return Run(
        douglas_rachford_start(setting.start),
        lambda state: douglas_rachford_step(state, first, second, step),
        lambda new, old: relative_change(new.z, old.z),
        lambda state: state.x,
        points,
    )


METHODS: dict[str, Callable[[Setting], Run[Any]]] = {
    "ista": _ista,
    "fista": _fista,
    "pdhg": _pdhg,
    "admm": _admm,
    "hqs": _hqs,
    "douglas_rachford": _douglas_rachford,
}

ProxPoints = Callable[[Tensor, Step, Tensor], list[DualPoint]]


def _prox_of(term: Term | None, method: str) -> tuple[Prox, ProxPoints]:
    """Return the prox of a term with its operator, and a function of ``(input, step, output)`` for its dual point."""
    if term is None:
        return lambda x, step: x, lambda before, step, x: []  # noqa: ARG005 - no term: the prox of 0
    prior = proximal(term, by=f"method {method!r}")
    if not has_exact_prox(term):
        raise CapabilityError(
            f"Problem: {term} has no exact prox, because A A^H is not known to be a multiple of the identity, and "
            f"method {method!r} needs one. Take method='pdhg' or 'admm', which take operator and prior apart."
        )
    whole = prior if term.operator is None else prior @ term.operator

    def points(before: Tensor, step: Step, x: Tensor) -> list[DualPoint]:
        y = (before - x) / per_sample(step, x)
        return [dual_point(term, x, y, y, whole.value(x))]

    return proximal(Term(whole), by=f"method {method!r}").prox, points


def _single_prox(setting: Setting, method: str) -> tuple[Prox, ProxPoints]:
    if len(setting.rough) > 1:
        raise CapabilityError(
            f"Problem: method {method!r} takes one term that is not smooth, and this problem has {len(setting.rough)}. "
            "Take method='pdhg' or 'admm'."
        )
    return _prox_of(setting.rough[0] if setting.rough else None, method)


def _term_of_the_primal_step(rough: list[Term]) -> Term | None:
    """Choose the term that the answer fulfils exactly: a constraint if there is one, else an L1 that gives zeros."""
    fitting = [term for term in rough if has_exact_prox(term)]
    ranked = sorted(fitting, key=lambda term: (not isinstance(term.prior, Indicator), not isinstance(term.prior, L1)))
    return ranked[0] if ranked else None


def _split_answer(setting: Setting) -> Callable[[Tensor, tuple[Tensor, ...]], Tensor]:
    """Return what picks the answer: the block that fulfils a term of the unknown itself exactly, else x."""
    own = _term_of_the_primal_step(setting.rough)
    if own is None or own.operator is not None:
        return lambda x, _split: x
    block = setting.rough.index(own)
    return lambda _x, split: split[block]


def _bounded_step(setting: Setting, method: str, reach: float) -> float:
    """Return the user's step, if below ``reach`` over the Lipschitz constant, or a safe one."""
    if setting.step is None:
        steepness = setting.steepness(margin=True)
        # a first-order method on a function that is not convex needs a step strictly below 1/L
        return (1.0 if setting.convex else 0.95) / steepness if steepness > 0 else 1.0
    step = _positive_step(setting.step)
    steepness = setting.steepness(margin=False)
    if step * steepness > reach:
        raise InputError(
            f"Problem: step = {step:g} is above the bound of method {method!r}, {reach / steepness:.6g} ({reach:g} "
            "over the Lipschitz constant of the gradient). Take a smaller one, or none."
        )
    return step


def _positive_step(step: float) -> float:
    if not 0 < step < float("inf"):
        raise InputError(f"Problem: step must be finite and above 0, got {step}.")
    return step


def _natural_penalty(setting: Setting) -> float:
    """Return the penalty that weighs as much as the smooth terms."""
    steepness = setting.steepness(margin=False)
    squared = sum(squared_norm(term.operator, margin=False) for term in setting.rough)
    return steepness / squared if steepness > 0 and squared > 0 else 1.0


def _linear_solve(setting: Setting, method: str) -> Callable[[Tensor, tuple[Tensor, ...], Step], Tensor]:
    """Return the minimiser over x of the quadratic terms and the penalties, by conjugate gradients from a guess."""
    if not setting.rough:
        raise CapabilityError(f"Problem: method {method!r} splits off terms that are not smooth; there is none.")
    for term in setting.smooth:
        if not isinstance(term.prior, SquaredL2):
            raise CapabilityError(
                f"Problem: method {method!r} solves a linear system in its smooth terms, which must be SquaredL2; "
                f"{term} is not. Take method='pdhg'."
            )
    constant = -setting.gradient(torch.zeros_like(setting.start))
    # the errors of inner solves add up to a hundredth of the bar for as long as a method creeps along at its rate
    tol = max(1e-2 * min(setting.tol, 1e-2), 10 * float(torch.finfo(setting.start.dtype).eps))

    def solve(guess: Tensor, targets: tuple[Tensor, ...], penalty: Step) -> Tensor:
        def normal(x: Tensor) -> Tensor:
            pulled = torch.zeros_like(x)
            for term in setting.rough:
                pulled = pulled + term.pulled_back(term.image(x))
            total = per_sample(penalty, x) * pulled
            for term in setting.smooth:
                total = total + curvature(term, x)
            return total

        right = torch.zeros_like(guess)
        for term, target in zip(setting.rough, targets, strict=True):
            right = right + term.pulled_back(target)
        right = constant + per_sample(penalty, right) * right
        outcome = conjugate_gradient(normal, right, guess, tol=tol, max_steps=1000)
        if not outcome.converged:
            raise ConvergenceError(
                f"Problem: the linear system inside method {method!r} was not solved ({outcome.advice}). "
                "Take method='pdhg', which solves none."
            )
        return outcome.state.x

    return solve
