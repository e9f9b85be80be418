"""A problem: several terms on one unknown, and the method that minimises their sum."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.core.outcome import Outcome
from kotowari.operators.linear import Shape
from kotowari.priors.duality import find_anchor, relative_gap
from kotowari.priors.methods import METHODS, Run, Setting
from kotowari.priors.prior import Prior
from kotowari.priors.terms import HasGradient, Term, expanded, has_exact_prox, is_smooth
from kotowari.solvers.iterate import iterate

__all__ = ["HasGradient", "Method", "Problem", "Solution", "Stop", "Term"]

Method = Literal["auto", "ista", "fista", "admm", "pdhg", "douglas_rachford", "hqs"]
Stop = Literal["change", "gap"]

_ANY_SHAPE = ("ista", "hqs")  # the methods that descend without convexity


class Solution(NamedTuple):
    """The answer of a problem.

    Attributes
    ----------
    x
        The unknown, shape of the start.
    objective
        Sum of all terms at x, shape ``(batch,)``.
    residual
        Where the stopping rule stood in the end, shape ``(batch,)``: the relative duality gap, or the relative change
        in one step.
    method
        Which method ran.
    optimality
        What x is: ``"global"``, near the minimum of a convex problem; ``"local"``, where a method rests that knows no
        better, because a term is not convex; ``"penalised"``, near the minimum of a convex problem whose split is held
        together by a large penalty.
    """

    x: Tensor
    objective: Tensor
    residual: Tensor
    method: str
    optimality: Literal["global", "local", "penalised"]


class Problem:
    r"""Minimise :math:`\sum_i w_i\, g_i(A_i x)` over x, sample by sample.

    Parameters
    ----------
    terms
        One or more; a prior stands for a term of its own. Sums, multiples and priors behind operators are taken apart,
        so that ``Term(L1() @ D + L1())`` is two terms.
    shape
        Shape of one unknown, without the batch. Default: the domain of the operators, or, where there are none, that of
        the start.

    Raises
    ------
    InputError
        When there is no term, or a centre holds NaN or infinite numbers.
    ShapeError
        When the operators do not look at one unknown.

    Examples
    --------
    >>> from kotowari.priors.quadratic import SquaredL2
    >>> from kotowari.priors.sparsity import L1
    >>> problem = Problem([Term(SquaredL2(centre=torch.tensor([3.0, 0.5]))), Term(L1(1.0))])
    >>> problem.solve(torch.zeros(1, 2)).state.x
    tensor([[2., 0.]])
    """

    def __init__(self, terms: Sequence[Term | Prior], *, shape: Shape | None = None) -> None:
        if not terms:
            raise InputError("Problem: there is no term. Give one or more, such as Term(L1()).")
        self.terms = tuple(term if isinstance(term, Term) else Term(term) for term in terms)
        self._parts = [part for term in self.terms for part in expanded(term)]
        self.shape = None if shape is None else tuple(shape)
        for part in self._parts:
            if part.operator is not None:
                self.shape = self.shape or part.operator.domain
                if part.operator.domain != self.shape:
                    raise ShapeError.mismatch(f"Problem: {part}", "domain", self.shape, part.operator.domain)
            centre = getattr(part.prior, "centre", None)
            if isinstance(centre, Tensor):
                _require_finite(f"the centre of {part}", centre)

    def objective(self, x: Tensor) -> Tensor:
        """Return the sum of all terms for each sample: ``(batch, ...) -> (batch,)``."""
        total = x.new_zeros(len(x), dtype=x.real.dtype)
        for part in self._parts:
            total = total + part.value(x)
        return total

    @torch.no_grad()
    def solve(
        self,
        start: Tensor,
        *,
        method: Method = "auto",
        stop: Stop = "change",
        tol: float = 1e-6,
        max_steps: int = 10_000,
        step: float | None = None,
        check_every: int = 10,
    ) -> Outcome[Solution]:
        r"""Minimise from ``start``, each sample until it meets the stopping rule.

        Parameters
        ----------
        start
            Shape ``(batch, *shape)``, real or complex, in the precision to compute in.
        method
            ``"auto"``: FISTA when all terms but one are smooth and that one has an exact prox, else the primal-dual
            method ``"pdhg"``; without convexity ISTA or half-quadratic splitting. ``"admm"`` and ``"hqs"`` solve a
            linear system a step. ``"douglas_rachford"`` takes two terms with an exact prox. A smooth term is a
            :class:`~kotowari.priors.quadratic.SquaredL2` or a :class:`HasGradient`.
        stop
            ``"change"``: how far one step moves the iterate, primal and dual, relative to its size. ``"gap"``: duality
            gap over objective, which bounds how far the objective is from its minimum; for convex problems with a
            SquaredL2 or an L1 of the unknown itself.
        tol
            Bar for the stopping rule.
        max_steps
            Step limit, 1 or more.
        step
            Step of ISTA and FISTA and primal step of PDHG, below a bound that the norms of the operators give; step of
            Douglas-Rachford; 1 over the penalty of ADMM, and over the last penalty of HQS. Default: from the norms, and
            for ADMM a penalty that is balanced on the way.
        check_every
            Steps between two looks at stopping rule and objective.

        Returns
        -------
        Outcome
            With the :class:`Solution` as ``state``. A sample that failed has its best x.

        Raises
        ------
        CapabilityError
            When a term lacks what the method needs: a prox, an exact prox, convexity, a dual point.
        InputError
            When the start is not finite or does not go with the operators, or an option is out of range.
        ShapeError
            When the start does not fit.
        ConvergenceError
            When the norm of an operator, or the linear system inside ADMM or HQS, does not settle.
        """
        self._require_start(start)
        smooth = [part for part in self._parts if is_smooth(part)]
        rough = [part for part in self._parts if not is_smooth(part)]
        setting = Setting(smooth, rough, start, step, tol)
        chosen = _chosen(setting, method)
        run = METHODS[chosen](setting)
        outcome = iterate(
            run.start,
            run.step,
            self._measure(run, chosen, stop, setting),
            tol=tol,
            max_steps=max_steps,
            check_every=check_every,
            value=lambda state: self.objective(run.answer(state)),
        )
        x = run.answer(outcome.state)
        residual = torch.tensor(outcome.trace[-1], dtype=x.real.dtype, device=x.device)
        optimality: Literal["global", "local", "penalised"] = "penalised" if chosen == "hqs" else "global"
        solution = Solution(x, self.objective(x), residual, chosen, optimality if setting.convex else "local")
        return Outcome(solution, outcome.statuses, outcome.n_steps, outcome.trace)

    def _measure(self, run: Run[Any], method: str, stop: Stop, setting: Setting) -> Callable[[Any, Any], Tensor]:
        if stop == "change":
            return run.change
        if stop != "gap":
            raise InputError(f"Problem: stop must be change or gap, got {stop!r}.")
        points = run.points
        if points is None or not setting.convex:
            missing = "comes to no dual point" if setting.convex else "is left without one, as a term is not convex"
            raise CapabilityError(f"Problem: stop='gap' needs dual points; method {method!r} {missing}. Take 'change'.")
        anchor = find_anchor(self._parts)
        return lambda new, old: relative_gap(self._parts, anchor, run.answer(new), points(new, old))

    def _require_start(self, start: Tensor) -> None:
        if not (start.is_floating_point() or start.is_complex()):
            raise InputError(f"Problem: start must hold real or complex floats, got {start.dtype}.")
        if start.ndim < 2 or (self.shape is not None and tuple(start.shape[1:]) != self.shape):
            raise ShapeError.mismatch("Problem", "start", ("batch", *(self.shape or ("...",))), start.shape)
        if not len(start):
            raise InputError("Problem: start holds no sample.")
        _require_finite("start", start)
        for part in self._parts:
            _require_fit(part, start)

    def __repr__(self) -> str:
        return f"Problem({' + '.join(map(str, self.terms))})"


def _chosen(setting: Setting, method: str) -> str:
    """Return the method that runs, or raise the reason why it cannot."""
    if method not in {"auto", *METHODS}:
        raise InputError(f"Problem: method must be auto or one of {', '.join(METHODS)}, got {method!r}.")
    if method == "auto":
        single = len(setting.rough) <= 1 and all(has_exact_prox(term) for term in setting.rough)
        if setting.convex:
            return "fista" if single else "pdhg"
        return "ista" if single else "hqs"
    if not setting.convex and method not in _ANY_SHAPE:
        bent = next(term for term in [*setting.smooth, *setting.rough] if not term.prior.convex)
        raise CapabilityError(
            f"Problem: {bent} is not convex, and method {method!r} is sound for convex terms alone. Take one of "
            f"{', '.join(_ANY_SHAPE)}, which find a local answer."
        )
    return method


def _require_fit(term: Term, start: Tensor) -> None:
    """Try a term on the start: its device, and what its operator makes of it."""
    for module in (term.prior, term.operator):
        for tensor in [] if module is None else [*module.parameters(), *module.buffers()]:
            if tensor.device != start.device:
                raise InputError(
                    f"Problem: {term} is on {tensor.device}, and start on {start.device}. Move one of them."
                )
    image = term.image(start)
    _require_finite(f"what the operator makes of a finite start in {term}", image)
    back = term.pulled_back(image)
    if back.dtype != start.dtype:
        raise InputError(
            f"Problem: start is {start.dtype}, and the operator of {term} brings it back as {back.dtype}. Give a start "
            "of that dtype, or an operator whose adjoint keeps real arrays real."
        )
    term.prior.value(image)  # a prior says itself what does not fit


def _require_finite(what: str, tensor: Tensor) -> None:
    n_bad = int((~tensor.isfinite()).sum())
    if n_bad:
        raise InputError(f"Problem: {what} holds {n_bad} values that are NaN or infinite.")
