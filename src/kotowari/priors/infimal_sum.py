"""The least price of an array as a sum of two parts, each with a penalty of its own."""

from typing import NamedTuple, final

import torch
from torch import Tensor

from kotowari.core.errors import CapabilityError, InputError
from kotowari.core.outcome import Outcome
from kotowari.priors.prior import Prior, ProximalPrior, Smooth, squared_distance
from kotowari.solvers.admm import BalancedAdmmState, balanced_admm_start, balanced_admm_step
from kotowari.solvers.inner_product import inner_product
from kotowari.solvers.iterate import iterate
from kotowari.solvers.protocols import Prox, Step, per_sample

__all__ = ["InfimalSum", "Split", "require_convex_prox"]


class Split(NamedTuple):
    """Two parts of an array, and the multiplier of their sum: a subgradient of both penalties at their parts."""

    first: Tensor
    second: Tensor
    multiplier: Tensor


@final
class InfimalSum(Prior):
    r"""The infimal convolution :math:`(g \,\square\, h)(x) = \min_{u + v = x} g(u) + h(v)` of two convex priors.

    Value, gradient and parts come from ADMM, so they hold to ``tol``. The gradient is the multiplier of
    :math:`u + v = x`; the weights of both priors receive theirs. The smooth neighbour is the Moreau envelope

    .. math:: \min_{u, v} g(u) + h(v) + \frac{1}{2\epsilon} \|x - u - v\|^2 = (g \,\square\, h_\epsilon)(x)

    with :math:`h_\epsilon` the envelope of h, so the loss ``"moreau"`` is the loss ``"eps"``.

    Parameters
    ----------
    first, second
        g and h, both convex. A prior that is infinite somewhere stands second: its part obeys it exactly.
    tol
        Bar for :math:`\|x - u - v\|_\infty` and for the last change of v, relative to :math:`\|x\|_\infty`; 1e-8 in
        double and 1e-5 in single precision if left out.
    max_steps
        Step limit of ADMM, 1 or more.

    Raises
    ------
    CapabilityError
        When a prior is not convex.
    ConvergenceError
        By value and losses, when ``max_steps`` do not reach ``tol``.

    Source: Boyd et al. 2011, Found. Trends Mach. Learn. 3(1), section 3 (ADMM); Bauschke and Combettes 2011, Convex
    Analysis and Monotone Operator Theory in Hilbert Spaces, chapters 12 and 24 (envelopes, and the prox of one).

    Examples
    --------
    >>> from kotowari.priors.quadratic import SquaredL2
    >>> from kotowari.priors.sparsity import L1
    >>> InfimalSum(SquaredL2(), L1()).value(torch.tensor([[0.5, 3.0]], dtype=torch.float64))  # Huber's function
    tensor([2.6250], dtype=torch.float64)
    """

    def __init__(
        self, first: ProximalPrior, second: ProximalPrior, *, tol: float | None = None, max_steps: int = 20_000
    ) -> None:
        super().__init__()
        for prior in (first, second):
            require_convex_prox("InfimalSum", prior)
        if (tol is not None and not tol > 0) or max_steps < 1:
            raise InputError(f"InfimalSum: tol = {tol} must be above 0 and max_steps = {max_steps} 1 or more.")
        self.first, self.second, self.tol, self.max_steps = first, second, tol, max_steps

    def split(self, x: Tensor) -> Outcome[Split]:
        """Return the parts of ``x``, ``(batch, ...)``, with why the iteration stopped; they carry no gradient."""
        self._require_fit(x)
        return self._split(x, self.second.prox)

    def proximal_point(self, x: Tensor, step: float) -> Tensor:
        r"""Return :math:`\arg\min_u \tau (g \,\square\, h)(u) + \tfrac12 \|u - x\|^2`, to ``tol`` and without gradient.

        It is :math:`x - \tau y` with y the multiplier of the envelope of width :math:`\tau`.
        """
        self._require_fit(x)
        if not step > 0:
            raise InputError(f"{self}: step must be above 0, got {step}.")
        return x.detach() - step * self._split(x, self._envelope_prox(step)).or_raise().state.multiplier

    def _value(self, x: Tensor) -> Tensor:
        first, second, multiplier = self._split(x, self.second.prox).or_raise().state
        return self.first.value(first) + self.second.value(second) + inner_product(multiplier, x - first - second)

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        first, second, multiplier = self._split(x, self._envelope_prox(eps)).or_raise().state
        near = self.second.prox(second, eps).detach()
        envelope = self.second.value(near) + squared_distance(second, near) / (2 * eps)
        return self.first.value(first) + envelope + inner_product(multiplier, x - first - second)

    def _sample_loss(self, x: Tensor, smooth: Smooth, amount: float) -> Tensor:
        if smooth == "moreau":
            return self._smooth_value(x, amount)
        if smooth == "target":
            return squared_distance(x, self.proximal_point(x, amount)) / (2 * amount)
        return super()._sample_loss(x, smooth, amount)

    def _envelope_prox(self, width: float) -> Prox:
        def prox(x: Tensor, step: Step) -> Tensor:
            share = per_sample(step / (step + width), x)
            return x + share * (self.second.prox(x, step + width) - x)

        return prox

    @torch.no_grad()
    def _split(self, x: Tensor, second_prox: Prox) -> Outcome[Split]:
        # ADMM weighs lengths of x against lengths of subgradients, so it is given an x of size 1
        size = _size(x)
        size = torch.where(size > 0, size, 1.0)
        unit = per_sample(size, x)
        scaled = x / unit
        start = balanced_admm_start(torch.zeros_like(x), [_same])

        def solve(targets: tuple[Tensor, ...], penalty: Step) -> Tensor:
            return self.first.prox(unit * targets[0], size / penalty) / unit

        def mirrored(x: Tensor, step: Step) -> Tensor:
            return scaled - second_prox(unit * (scaled - x), size * step) / unit

        def step(state: BalancedAdmmState) -> BalancedAdmmState:
            return balanced_admm_step(state, solve, [mirrored], [_same], [_same])

        def measure(new: BalancedAdmmState, old: BalancedAdmmState) -> Tensor:
            (split,), (before,) = new.admm.split, old.admm.split
            return torch.maximum(_size(new.admm.x - split), _size(split - before))

        tol = self.tol if self.tol is not None else 1e-8 if x.real.dtype == torch.float64 else 1e-5
        found = iterate(start, step, measure, tol=tol, max_steps=self.max_steps)
        admm, penalty, _ = found.state
        multiplier = -per_sample(penalty, x) * admm.dual[0]
        state = Split(unit * admm.x, unit * (scaled - admm.split[0]), multiplier)
        return Outcome(state, found.statuses, found.n_steps, found.trace)

    def extra_repr(self) -> str:
        """Say both priors."""
        return f"{self.first!r}, {self.second!r}"


def require_convex_prox(who: str, prior: Prior) -> None:
    """Raise :class:`CapabilityError` when a prior is not convex or has no prox."""
    if not (isinstance(prior, ProximalPrior) and prior.convex):
        raise CapabilityError(f"{who}: {prior} must be a convex prior with a prox.")


def _same(x: Tensor) -> Tensor:
    return x


def _size(x: Tensor) -> Tensor:
    return x.abs().flatten(1).amax(1)
