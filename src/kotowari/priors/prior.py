"""What a prior is: a penalty on one unknown, and how priors are scaled, added and put behind an operator."""

from abc import ABC, abstractmethod
from typing import Any, Literal, cast, final

import torch
from torch import Tensor, nn

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.operators.linear import LinearOperator
from kotowari.solvers.protocols import Step, per_sample

__all__ = [
    "Composed",
    "ComposedTight",
    "Prior",
    "ProximalPrior",
    "Scaled",
    "Smooth",
    "Summed",
    "WeightedPrior",
    "squared_distance",
]

Smooth = Literal["none", "eps", "moreau", "target"]

_PROXIMAL = {"prox", "conjugate_prox", "moreau"}


class Prior(nn.Module, ABC):
    r"""A penalty :math:`g` on one unknown, without a proximal map.

    The first axis of ``x`` is the batch, always; the others are the unknown. Keeps no state between calls. A subclass
    writes ``_value`` and ``_smooth_value``.

    Attributes
    ----------
    convex
        Whether g is convex.
    """

    convex: bool = True

    @abstractmethod
    def _value(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _smooth_value(self, x: Tensor, eps: float) -> Tensor: ...

    @final
    def value(self, x: Tensor) -> Tensor:
        """Return g of each sample: ``(batch, ...) -> (batch,)``, real."""
        self._require_fit(x)
        return self._value(x)

    @final
    def smooth_value(self, x: Tensor, eps: float) -> Tensor:
        """Return a differentiable neighbour of g: ``(batch, ...) -> (batch,)``; ``eps`` above 0, in units of x."""
        self._require_fit(x)
        _require_above_zero(self, "eps", eps)
        return self._smooth_value(x, eps)

    @final
    def loss(self, x: Tensor, smooth: Smooth = "none", amount: float = 1e-2) -> Tensor:
        r"""Return the mean over the batch as a scalar to call ``backward()`` on; finite, with a finite gradient.

        Parameters
        ----------
        x
            Shape ``(batch, ...)``.
        smooth
            ``"none"``: the value itself, with one of its subgradients. ``"eps"``: the smoothed value. ``"moreau"``: the
            Moreau envelope. ``"target"``: half the squared distance to the proximal point, held fixed, over ``amount``;
            its gradient is that of the envelope, its value counts the distance alone. For a sum these are the sums over
            its terms, and for a prior behind an operator without an exact prox they are the prior's own, at the
            operator's output: not the envelope of the whole.
        amount
            ``eps`` of the smoothed value, ``mu`` of the envelope and of the target; above 0.

        Raises
        ------
        CapabilityError
            When ``smooth`` needs a proximal map and the prior has none.
        """
        self._require_fit(x)
        if smooth != "none":
            _require_above_zero(self, "amount", amount)
        return self._sample_loss(x, smooth, amount).mean()

    def __getattr__(self, name: str) -> Any:
        """Say what to do about a map that this prior does not have; what else is asked for goes to the module."""
        if name in _PROXIMAL:
            raise AttributeError(f"{self!r} has no {name}, as no exact one is known. A Problem solves it as a term.")
        return super().__getattr__(name)

    def forward(self, x: Tensor) -> Tensor:
        """Return :meth:`value`."""
        return self.value(x)

    @final
    def __rmul__(self, factor: object) -> "Prior":
        """``(c * R).value(x) == c * R.value(x)`` for c of 0 or more."""
        if not isinstance(factor, int | float):
            return NotImplemented
        return Scaled(self, factor) if isinstance(self, ProximalPrior) else WeightedPrior(self, factor)

    @final
    def __add__(self, other: object) -> "Prior":
        """``(R + Q).value(x) == R.value(x) + Q.value(x)``; it has no prox, and a solver takes the terms one by one."""
        return Summed(self, other) if isinstance(other, Prior) else NotImplemented

    @final
    def __matmul__(self, operator: object) -> "Prior":
        """``(R @ A).value(x) == R.value(A(x))``; it has a prox when :math:`A A^H = c I` and R has one."""
        if not isinstance(operator, LinearOperator):
            return NotImplemented
        if operator.coisometry is not None and isinstance(self, ProximalPrior):
            return ComposedTight(self, operator)
        return Composed(self, operator)

    def _sample_loss(self, x: Tensor, smooth: Smooth, amount: float) -> Tensor:
        if smooth == "none":
            return self._value(x)
        if smooth == "eps":
            return self._smooth_value(x, amount)
        if smooth in {"moreau", "target"}:
            raise CapabilityError(f"{self} has no prox, so it has no {smooth} loss. Take smooth='eps' or 'none'.")
        raise InputError(f"{self}: smooth must be none, eps, moreau or target, got {smooth!r}.")

    def _require_fit(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ShapeError.mismatch(self, "input", ("batch", "..."), x.shape)
        if not (x.is_floating_point() or x.is_complex()):
            raise InputError(f"{self}: input must hold real or complex floats, got {x.dtype}.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


class ProximalPrior(Prior):
    r"""A penalty with its proximal map. A subclass writes ``_prox`` too."""

    @abstractmethod
    def _prox(self, x: Tensor, step: Step) -> Tensor: ...

    @final
    def prox(self, x: Tensor, step: Step) -> Tensor:
        r"""Return :math:`\arg\min_u \tau g(u) + \tfrac12 \|u - x\|^2`, shape of ``x``.

        Parameters
        ----------
        x
            Shape ``(batch, ...)``.
        step
            :math:`\tau` above 0: a number, or one for each sample, shape ``(batch,)``.

        Raises
        ------
        InputError, ShapeError
            When the step is not above 0, or not one number a sample.
        """
        self._require_fit(x)
        return self._prox(x, self._fitted_step(x, step))

    @final
    def conjugate_prox(self, x: Tensor, step: Step) -> Tensor:
        r"""Return the prox of the convex conjugate, :math:`x - \tau\,\mathrm{prox}_{g/\tau}(x/\tau)` (Moreau)."""
        if not self.convex:
            raise CapabilityError(f"{self} is not convex, so Moreau's identity does not hold for it.")
        self._require_fit(x)
        step = self._fitted_step(x, step)
        return x - step * self._prox(x / step, 1.0 / step)

    @final
    def moreau(self, x: Tensor, mu: float) -> Tensor:
        r"""Return the Moreau envelope :math:`\min_u g(u) + \|u - x\|^2 / 2\mu`, shape ``(batch,)``.

        Its gradient is :math:`(x - \mathrm{prox}_{\mu g}(x))/\mu`, which is what ``backward`` gives (the minimiser is
        held fixed, by Danskin's theorem; the same gives the gradient of a learned weight).
        """
        self._require_fit(x)
        _require_above_zero(self, "mu", mu)
        return self._moreau(x, mu)

    def _fitted_step(self, x: Tensor, step: Step) -> Step:
        _require_above_zero(self, "step", step)
        if not isinstance(step, Tensor):
            return step
        if step.ndim == 1 and len(step) not in {1, len(x)}:
            raise ShapeError.mismatch(self, "step", (len(x),), step.shape)
        return cast(Tensor, per_sample(step, x)).to(x.real.dtype)

    def _moreau(self, x: Tensor, mu: float) -> Tensor:
        nearest = self._prox(x.detach(), mu).detach()
        return self._value(nearest) + squared_distance(x, nearest) / (2 * mu)

    def _sample_loss(self, x: Tensor, smooth: Smooth, amount: float) -> Tensor:
        if smooth == "moreau":
            return self._moreau(x, amount)
        if smooth == "target":
            return squared_distance(x, self._prox(x.detach(), amount).detach()) / (2 * amount)
        return super()._sample_loss(x, smooth, amount)


@final
class Scaled(ProximalPrior):
    """``factor`` times a prior that has a prox. Written ``2 * R``."""

    def __init__(self, prior: ProximalPrior, factor: float) -> None:
        super().__init__()
        _require_factor(prior, factor)
        self.prior, self.factor, self.convex = prior, factor, prior.convex

    def _value(self, x: Tensor) -> Tensor:
        return _times(self.factor, self.prior._value(x))

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return self.factor * self.prior._smooth_value(x, eps)

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        return x if self.factor == 0 else self.prior._prox(x, self.factor * step)

    def _sample_loss(self, x: Tensor, smooth: Smooth, amount: float) -> Tensor:
        if smooth in {"moreau", "target"}:
            return super()._sample_loss(x, smooth, amount)
        return self.factor * self.prior._sample_loss(x, smooth, amount)

    def extra_repr(self) -> str:
        """Say the factor and the prior."""
        return f"{self.factor:g} * {self.prior!r}"


@final
class WeightedPrior(Prior):
    """``factor`` times a prior that has no prox. Written ``2 * R``."""

    def __init__(self, prior: Prior, factor: float) -> None:
        super().__init__()
        _require_factor(prior, factor)
        self.prior, self.factor, self.convex = prior, factor, prior.convex

    def _value(self, x: Tensor) -> Tensor:
        return _times(self.factor, self.prior._value(x))

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return self.factor * self.prior._smooth_value(x, eps)

    def _sample_loss(self, x: Tensor, smooth: Smooth, amount: float) -> Tensor:
        return self.factor * self.prior._sample_loss(x, smooth, amount)

    def extra_repr(self) -> str:
        """Say the factor and the prior."""
        return f"{self.factor:g} * {self.prior!r}"


@final
class Summed(Prior):
    """The sum of priors on one unknown. Written ``R + Q``.

    It has no prox: that of a sum is not made of those of its terms. Its losses are the sums of those of its terms, so
    ``"moreau"`` is a sum of envelopes, not the envelope of the sum.
    """

    def __init__(self, *terms: Prior) -> None:
        super().__init__()
        self.terms = nn.ModuleList()
        for term in terms:
            self.terms.extend(term.terms if isinstance(term, Summed) else [term])
        self.convex = all(term.convex for term in terms)

    def _value(self, x: Tensor) -> Tensor:
        return torch.stack([term._value(x) for term in self._parts()]).sum(0)

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return torch.stack([term._smooth_value(x, eps) for term in self._parts()]).sum(0)

    def _sample_loss(self, x: Tensor, smooth: Smooth, amount: float) -> Tensor:
        return torch.stack([term._sample_loss(x, smooth, amount) for term in self._parts()]).sum(0)

    def _parts(self) -> list[Prior]:
        return [term for term in self.terms if isinstance(term, Prior)]

    def extra_repr(self) -> str:
        """Say the terms."""
        return " + ".join(map(repr, self.terms))


@final
class Composed(Prior):
    """A prior of ``operator(x)``, without a prox. Written ``R @ A``."""

    def __init__(self, prior: Prior, operator: LinearOperator) -> None:
        super().__init__()
        self.prior, self.operator, self.convex = prior, operator, prior.convex

    def _value(self, x: Tensor) -> Tensor:
        return self.prior._value(self.operator(x))

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return self.prior._smooth_value(self.operator(x), eps)

    def _sample_loss(self, x: Tensor, smooth: Smooth, amount: float) -> Tensor:
        return self.prior._sample_loss(self.operator(x), smooth, amount)

    def extra_repr(self) -> str:
        """Say the prior and the operator."""
        return f"{self.prior!r} @ {self.operator!r}"


@final
class ComposedTight(ProximalPrior):
    r"""A prior of ``operator(x)`` with its exact prox, for :math:`A A^H = c I`. Written ``R @ A``.

    .. math:: \mathrm{prox}_{\tau g(A\cdot)}(x) = x + \tfrac1c A^H\big(\mathrm{prox}_{c \tau g}(Ax) - Ax\big)

    Source: Combettes and Pesquet 2007, IEEE J. Sel. Top. Signal Process. 1(4), proposition 11.

    Raises
    ------
    CapabilityError
        When the operator is not known to fulfil the condition; a primal-dual solver takes such a term as it is.
    """

    def __init__(self, prior: ProximalPrior, operator: LinearOperator) -> None:
        super().__init__()
        if operator.coisometry is None:
            raise CapabilityError(
                f"{prior} @ {operator} has no exact prox: A A^H is not known to be a multiple of the identity. "
                "Give prior and operator as a term of a Problem, which solves it by a primal-dual method."
            )
        self.prior, self.operator, self.convex = prior, operator, prior.convex

    def _value(self, x: Tensor) -> Tensor:
        return self.prior._value(self.operator(x))

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return self.prior._smooth_value(self.operator(x), eps)

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        constant = self.operator.coisometry or 1.0
        transformed = self.operator(x)
        return x + self.operator.adjoint(self.prior._prox(transformed, constant * step) - transformed) / constant

    def _sample_loss(self, x: Tensor, smooth: Smooth, amount: float) -> Tensor:
        if smooth in {"moreau", "target"}:
            return super()._sample_loss(x, smooth, amount)
        return self.prior._sample_loss(self.operator(x), smooth, amount)

    def extra_repr(self) -> str:
        """Say the prior and the operator."""
        return f"{self.prior!r} @ {self.operator!r}"


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared Euclidean distance of each sample, real or complex: ``(batch, ...) -> (batch,)``."""
    difference = (x - y).flatten(1)
    if difference.is_complex():
        difference = torch.view_as_real(difference).flatten(1)
    return difference.square().sum(1)


def _times(factor: float, value: Tensor) -> Tensor:
    """Return the product; nothing of a penalty is nothing, infinite as it may be."""
    return torch.zeros_like(value) if factor == 0 else factor * value


def _require_above_zero(who: object, what: str, number: Step) -> None:
    if not (bool((number > 0).all()) if isinstance(number, Tensor) else number > 0):
        raise InputError(f"{who}: {what} must be above 0, got {number}.")


def _require_factor(prior: Prior, factor: float) -> None:
    if not factor >= 0:
        raise InputError(f"{prior}: a penalty is multiplied by 0 or more, got {factor}.")
