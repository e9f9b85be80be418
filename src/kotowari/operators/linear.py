"""What a linear operator is, and how operators are added, multiplied and stacked."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import final

import torch
from torch import Tensor, nn

from kotowari.core.errors import ConvergenceError, InputError, ShapeError

__all__ = ["Adjoint", "Composed", "LinearOperator", "Scaled", "Shape", "Stacked", "Summed"]

Shape = tuple[int, ...]

_ENOUGH = 16  # steps before which a small rise says nothing


class LinearOperator(nn.Module, ABC):
    r"""A linear map :math:`A` between real or complex arrays, with its exact adjoint.

    Leading axes are batch axes; the last ``len(domain)`` axes are the input. A subclass sets ``domain`` and
    ``codomain``, writes ``_forward`` and ``_adjoint``, and may override ``_norm``, ``coisometry``, ``isometry`` and
    ``real_linear``; nothing else.

    Attributes
    ----------
    domain, codomain
        Shape of one input and of one output, without batch axes.
    coisometry
        The number c with :math:`A A^H = c I`, or None where there is none or it is not known. With it, the prox of a
        prior of :math:`Ax` has a closed form.
    isometry
        The number c with :math:`A^H A = c I`, or None: A keeps lengths up to :math:`\sqrt c` (a tight frame).
    real_linear
        Whether A maps real arrays to complex ones and is linear over the reals only; then its adjoint is taken with the
        real part of the inner product, and gives real arrays.
    """

    domain: Shape
    codomain: Shape
    coisometry: float | None = None
    isometry: float | None = None
    real_linear: bool = False

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor: ...

    def _norm(self) -> float | None:
        """Return the largest singular value where a formula knows it."""
        for constant in (self.coisometry, self.isometry):
            if constant is not None:
                return float(constant**0.5)
        return None

    def forward(self, x: Tensor) -> Tensor:
        """Apply A: ``(..., *domain) -> (..., *codomain)``."""
        _require_fit(self, "input", x, self.domain)
        return self._forward(x)

    @final
    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint: ``(..., *codomain) -> (..., *domain)``."""
        _require_fit(self, "input of the adjoint", y, self.codomain)
        return self._adjoint(y)

    @final
    @property
    def H(self) -> "LinearOperator":
        """The adjoint as an operator; ``A.H.H is A``."""
        return self.parent if isinstance(self, Adjoint) else Adjoint(self)

    @final
    @property
    def gram(self) -> "LinearOperator":
        """The operator :math:`A^H A`."""
        return self.H @ self

    @final
    @torch.no_grad()
    def norm(self, *, tol: float = 1e-3, max_steps: int = 1000) -> float:
        r"""Return the largest singular value :math:`\|A\|_2`, by a formula where there is one.

        Else by the Lanczos method on :math:`A^H A` from a fixed random start. It approaches the norm from below, and
        stops when the estimate proves to be a singular value to ``tol`` relative, or rises by less than that while the
        number of steps doubles: whoever derives a step from it leaves a margin.

        Raises
        ------
        ConvergenceError
            When that is not reached in ``max_steps`` steps.

        Source: Golub and Van Loan 2013, Matrix Computations, section 10.1.
        """
        if isinstance(self, Adjoint):
            return self.parent.norm(tol=tol, max_steps=max_steps)
        known = self._norm()
        return known if known is not None else _lanczos_norm(self, tol, max_steps)

    @final
    def __matmul__(self, other: object) -> "LinearOperator":
        """Return the operator with ``(A @ B)(x) == A(B(x))``."""
        return Composed(self, other) if isinstance(other, LinearOperator) else NotImplemented

    @final
    def __add__(self, other: object) -> "LinearOperator":
        """Return the operator with ``(A + B)(x) == A(x) + B(x)``."""
        return Summed(self, other) if isinstance(other, LinearOperator) else NotImplemented

    @final
    def __sub__(self, other: object) -> "LinearOperator":
        """Return the operator with ``(A - B)(x) == A(x) - B(x)``."""
        return Summed(self, Scaled(other, -1.0)) if isinstance(other, LinearOperator) else NotImplemented

    @final
    def __rmul__(self, factor: object) -> "LinearOperator":
        """Return the operator with ``(c * A)(x) == c * A(x)``."""
        return Scaled(self, factor) if isinstance(factor, int | float | complex) else NotImplemented

    @final
    def __neg__(self) -> "LinearOperator":
        """Return the operator with ``(-A)(x) == -A(x)``."""
        return Scaled(self, -1.0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.domain} -> {self.codomain})"


@final
class Adjoint(LinearOperator):
    """The adjoint of ``parent``. Written ``A.H``."""

    def __init__(self, parent: LinearOperator) -> None:
        super().__init__()
        self.parent = parent
        self.domain, self.codomain = parent.codomain, parent.domain
        self.coisometry, self.isometry = parent.isometry, parent.coisometry
        self.real_linear = parent.real_linear

    def _forward(self, x: Tensor) -> Tensor:
        return self.parent._adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.parent._forward(y)

    def _norm(self) -> float | None:
        return self.parent._norm()


@final
class Composed(LinearOperator):
    """First ``inner``, then ``outer``. Written ``outer @ inner``."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        super().__init__()
        if outer.domain != inner.codomain:
            raise ShapeError.mismatch(f"{outer} @ {inner}", "output of the inner one", outer.domain, inner.codomain)
        self.outer, self.inner = outer, inner
        self.domain, self.codomain = inner.domain, outer.codomain
        self.coisometry = _product(outer.coisometry, inner.coisometry)
        self.isometry = _product(outer.isometry, inner.isometry)
        self.real_linear = outer.real_linear or inner.real_linear

    def _forward(self, x: Tensor) -> Tensor:
        return self.outer._forward(self.inner._forward(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.inner._adjoint(self.outer._adjoint(y))

    def _norm(self) -> float | None:
        if self.outer.isometry is not None:  # keeps lengths, so only the inner norm counts
            return _product(self.outer.isometry**0.5, self.inner._norm())
        if self.inner.coisometry is not None:
            return _product(self.inner.coisometry**0.5, self.outer._norm())
        known = self.inner._norm() if self.outer.H is self.inner or self.inner.H is self.outer else None
        return None if known is None else known**2


@final
class Summed(LinearOperator):
    """The sum of operators between the same spaces. Written ``A + B``."""

    def __init__(self, *parts: LinearOperator) -> None:
        super().__init__()
        first = _require_alike(parts, "added")
        self.parts = nn.ModuleList(parts)
        self.domain, self.codomain = first.domain, first.codomain
        self.real_linear = first.real_linear

    def _forward(self, x: Tensor) -> Tensor:
        return _total([part(x) for part in self.parts])

    def _adjoint(self, y: Tensor) -> Tensor:
        return _total([part.adjoint(y) for part in _operators(self.parts)])


@final
class Scaled(LinearOperator):
    """``factor`` times ``parent``. Written ``2 * A``."""

    def __init__(self, parent: LinearOperator, factor: complex) -> None:
        super().__init__()
        if parent.real_linear and isinstance(factor, complex):
            raise InputError(f"{parent} gives the real adjoint, so it cannot be multiplied by the complex {factor}.")
        self.parent, self.factor = parent, factor
        self.domain, self.codomain = parent.domain, parent.codomain
        self.coisometry = _product(abs(factor) ** 2, parent.coisometry)
        self.isometry = _product(abs(factor) ** 2, parent.isometry)
        self.real_linear = parent.real_linear

    def _forward(self, x: Tensor) -> Tensor:
        return self.factor * self.parent._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.factor.conjugate() * self.parent._adjoint(y)

    def _norm(self) -> float | None:
        return _product(abs(self.factor), self.parent._norm())


@final
class Stacked(LinearOperator):
    """Several operators on the same input; their outputs stand one behind the other along a new first axis.

    Parameters
    ----------
    parts
        Operators with one domain and one codomain; the codomain of the stack is ``(len(parts), *codomain)``.

    Raises
    ------
    ShapeError
        When domains or codomains differ. Terms of different shapes go into one problem as terms of their own.
    """

    def __init__(self, parts: Sequence[LinearOperator]) -> None:
        super().__init__()
        first = _require_alike(parts, "stacked")
        self.parts = nn.ModuleList(parts)
        self.domain, self.codomain = first.domain, (len(parts), *first.codomain)
        constants = [part.isometry for part in parts if part.isometry is not None]
        self.isometry = sum(constants) if len(constants) == len(parts) else None
        self.real_linear = first.real_linear

    def _forward(self, x: Tensor) -> Tensor:
        axis = -len(self.codomain)
        return torch.stack([part(x) for part in self.parts], dim=axis)

    def _adjoint(self, y: Tensor) -> Tensor:
        slices = y.unbind(-len(self.codomain))
        return _total([part.adjoint(piece) for part, piece in zip(_operators(self.parts), slices, strict=True)])


def _require_alike(parts: Sequence[LinearOperator], what: str) -> LinearOperator:
    """Return the first of operators between the same spaces."""
    if not parts:
        raise InputError(f"There must be one operator or more to be {what}.")
    first = parts[0]
    for part in parts[1:]:
        if (part.domain, part.codomain) != (first.domain, first.codomain):
            raise ShapeError(f"{first} and {part} cannot be {what}: their shapes differ.")
        if part.real_linear != first.real_linear:
            raise InputError(f"{first} and {part} cannot be {what}: the adjoint of one is real, of the other complex.")
    return first


def _operators(modules: nn.ModuleList) -> list[LinearOperator]:
    return [module for module in modules if isinstance(module, LinearOperator)]


def _total(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _product(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left * right


def _require_fit(operator: LinearOperator, what: str, x: Tensor, shape: Shape) -> None:
    n_axes = len(shape)
    if x.shape[x.ndim - n_axes :] != shape or x.ndim < n_axes:
        raise ShapeError.mismatch(operator, what, ("...", *shape), x.shape)
    if not (x.is_floating_point() or x.is_complex()):
        raise InputError(
            f"{operator}: {what} must hold real or complex floats, got {x.dtype}. Convert it, for example "
            "with .float()."
        )


def _lanczos_norm(operator: LinearOperator, tol: float, max_steps: int) -> float:
    tensors = [*operator.parameters(), *operator.buffers()]
    device = tensors[0].device if tensors else torch.device("cpu")
    single = any(tensor.dtype in {torch.float32, torch.complex64} for tensor in tensors)
    draw = torch.randn(prod(operator.domain), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = draw.to(device, torch.float32 if single else torch.float64).reshape(operator.domain)
    x = x.expand(operator._adjoint(operator._forward(x)).shape)  # where the operator itself has batch axes, x gets them
    before, x = torch.zeros_like(x), x / x.norm()
    diagonal: list[float] = []
    beside, estimate = [0.0], 0.0
    for number in range(1, max_steps + 1):
        image = operator._adjoint(operator._forward(x))
        diagonal.append(float(torch.vdot(x.flatten().to(image.dtype), image.flatten()).real))
        image = image - diagonal[-1] * x - beside[-1] * before
        beside.append(float(image.norm()))
        if number.bit_count() == 1 or number == max_steps or beside[-1] == 0.0:
            # at the edge of a dense spectrum the estimate nears its end as 1 / steps^2: after twice the steps, it has
            # risen by three times what is still to come
            earlier, (estimate, residual) = estimate, _largest_ritz_value(diagonal, beside)
            if residual <= tol * estimate or (number >= _ENOUGH and estimate - earlier <= tol * estimate):
                return float(estimate**0.5)
        before, x = x, image / beside[-1]
    raise ConvergenceError(
        f"{operator}: its norm did not settle in {max_steps} steps (last estimate {estimate**0.5:.6g}). Raise "
        "max_steps, or loosen tol; a map with a false adjoint never settles (kotowari.testing.assert_adjoint)."
    )


def _largest_ritz_value(diagonal: list[float], beside: list[float]) -> tuple[float, float]:
    """Return the largest eigenvalue of the tridiagonal matrix, and how far an eigenvalue of the map is at most."""
    off = torch.tensor(beside[1:-1], dtype=torch.float64)
    small = torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + torch.diag(off, 1) + torch.diag(off, -1)
    values, vectors = torch.linalg.eigh(small)
    return max(float(values[-1]), 0.0), beside[-1] * abs(float(vectors[-1, -1]))
