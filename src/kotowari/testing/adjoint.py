"""Laws of linear operators as assertions, for the tests of those who write their own."""

from math import prod

import torch
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.operators.layout import device_of
from kotowari.operators.linear import Adjoint, Composed, LinearOperator, Scaled, Shape, Stacked, Summed
from kotowari.testing.noise import noise, tolerance

__all__ = ["assert_adjoint", "assert_backward", "assert_batched", "assert_linear", "assert_norm"]

_LARGEST_DENSE = 2**22  # entries of a matrix whose singular values are still had within seconds
_POWER_METHOD_TOL = 1e-3  # ten times what ``LinearOperator.norm`` aims at, for its estimate is no bound


@torch.no_grad()
def assert_adjoint(operator: LinearOperator, dtype: torch.dtype = torch.float64, *, rng: torch.Generator) -> None:
    r"""Check :math:`\langle Ax, y\rangle = \langle x, A^H y\rangle` for random x and y, and shapes and dtypes.

    The gap is relative to :math:`\|Ax\|\|y\| + \|x\|\|A^H y\|`. Where A is linear over the reals only, x and y come
    from the real or complex side that each belongs to, and the real parts of the inner products are compared. Where a
    real x has a complex image, y is complex, and so may be :math:`A^H y`.

    Parameters
    ----------
    operator
        Any operator; also an adjoint, a sum, a product.
    dtype
        Of x: float32, float64, complex64 or complex128. Results must have its precision.
    rng
        Source of x and y.

    Raises
    ------
    AssertionError
        Says which law is broken, and by how much.
    """
    x = _draw(operator, operator.domain, _input_dtype(operator, dtype), rng)
    ax = operator(x)
    _require_output(operator, "forward", ax, (2, *operator.codomain), _output_dtypes(operator, x.dtype))
    y = _draw(operator, operator.codomain, ax.dtype, rng)
    ahy = operator.adjoint(y)
    mixed = ax.is_complex() and not operator.real_linear  # then the adjoint of a real x's image may well be complex
    expected = {x.dtype, x.dtype.to_complex()} if mixed else {x.dtype}
    _require_output(operator, "adjoint", ahy, (2, *operator.domain), expected)
    left, right = _inner(ax, y), _inner(x, ahy)
    if operator.real_linear:
        left, right = left.real, right.real
    scale = ax.norm() * y.norm() + x.norm() * ahy.norm()
    gap = _relative((left - right).abs(), scale)
    bar = tolerance(dtype, max(x.numel(), y.numel()))
    _require(gap <= bar, f"{operator}: <Ax, y> = {left:.6g}, <x, A^H y> = {right:.6g}, relative gap {gap:.2g}")


@torch.no_grad()
def assert_linear(operator: LinearOperator, dtype: torch.dtype = torch.float64, *, rng: torch.Generator) -> None:
    """Check A(cx) = c A(x), A(x + z) = A(x) + A(z) and A(0) = 0; c is complex where A and ``dtype`` allow it.

    Raises
    ------
    AssertionError
        Says which of the three is broken, and by how much.
    """
    given = _input_dtype(operator, dtype)
    x, z = (_draw(operator, operator.domain, given, rng) for _ in range(2))
    # with a negative factor, what is homogeneous for positive ones alone is caught
    factor = -1.5 + 0.75j if given.is_complex and not operator.real_linear else -1.5
    ax, az = operator(x), operator(z)
    bar = tolerance(dtype, max(x.numel(), ax.numel()))
    _require(bool((operator(torch.zeros_like(x)) == 0).all()), f"{operator}: A(0) is not 0")
    gap = _relative((operator(factor * x) - factor * ax).norm(), abs(factor) * ax.norm())
    _require(gap <= bar, f"{operator}: not homogeneous, A(cx) and c A(x) differ by {gap:.2g} for c = {factor}")
    gap = _relative((operator(x + z) - (ax + az)).norm(), ax.norm() + az.norm())
    _require(gap <= bar, f"{operator}: not additive, A(x + z) and A(x) + A(z) differ by {gap:.2g}")


@torch.no_grad()
def assert_norm(operator: LinearOperator, dtype: torch.dtype = torch.float64, *, rng: torch.Generator) -> None:
    r"""Check ``norm()`` by the singular values of the dense matrix, and the constants the operator declares.

    A norm by formula has to be exact; one by the power method may lie 0.1 % below. Where ``coisometry`` or
    ``isometry`` is a number c, :math:`A A^H y = c y` or :math:`A^H A x = c x` is checked for random y or x.

    Parameters
    ----------
    operator
        A small one: the dense matrix may have :math:`2^{22}` entries.
    dtype
        Its precision is that of the matrix.
    rng
        Source of x and y.

    Raises
    ------
    InputError
        When the operator is too large for a dense matrix.
    AssertionError
        Says which number is wrong, and what it should be.
    """
    if prod(operator.domain) * prod(operator.codomain) > _LARGEST_DENSE:
        raise InputError(f"{operator} is too large for its singular values. Check the norm of a smaller one.")
    largest = float(torch.linalg.svdvals(_matrix(operator, dtype)).max())
    norm = operator.norm()
    bar = tolerance(dtype, prod(operator.domain) + prod(operator.codomain))
    low = bar if operator._norm() is not None else _POWER_METHOD_TOL
    scale = max(largest, norm, torch.finfo(dtype).tiny)
    fits = -low * scale <= norm - largest <= bar * scale
    _require(fits, f"{operator}: norm() = {norm:.8g}, but the largest singular value is {largest:.8g}")
    for name, who, constant in (
        ("isometry", operator, operator.isometry),
        ("coisometry", operator.H, operator.coisometry),
    ):
        if constant is None:
            continue
        x = _draw(operator, who.domain, _input_dtype(who, dtype), rng)
        gap = _relative((who.adjoint(who(x)) - constant * x).norm(), constant * x.norm())
        _require(gap <= bar, f"{operator}: {name} = {constant:.6g} does not hold, relative gap {gap:.2g}")


@torch.no_grad()
def assert_batched(operator: LinearOperator, dtype: torch.dtype = torch.float64, *, rng: torch.Generator) -> None:
    """Check that leading axes are batch axes: each entry is mapped as if it stood alone, forward and back.

    Raises
    ------
    AssertionError
        Says for which number of batch axes it does not hold, and by how much.
    """
    for who in (operator, operator.H):
        x = torch.stack([_draw(operator, who.domain, _input_dtype(who, dtype), rng) for _ in range(3)])
        alone = torch.stack([torch.stack([who(entry) for entry in row]) for row in x])
        bar = tolerance(dtype, max(x.numel(), alone.numel()))
        for n_axes, ours, theirs in ((1, who(x[0]), alone[0]), (2, who(x), alone)):
            gap = _relative((ours - theirs).norm(), theirs.norm()) if ours.shape == theirs.shape else torch.inf
            _require(gap <= bar, f"{who}: entries of {n_axes} batch axes are not mapped one by one, gap {gap:.2g}")


def assert_backward(operator: LinearOperator, dtype: torch.dtype = torch.float64, *, rng: torch.Generator) -> None:
    r"""Check that autograd passes through: the gradient of :math:`\mathrm{Re}\langle Ax, y\rangle` is :math:`A^H y`.

    For a real x it is the real part of that.

    Raises
    ------
    AssertionError
        Says whether forward or adjoint is wrong, and by how much.
    """
    for who in (operator, operator.H):
        x = _draw(operator, who.domain, _input_dtype(who, dtype), rng).requires_grad_()
        ax = who(x)
        _require(ax.requires_grad, f"{who}: the result does not know the input, so no gradient can pass")
        y = _draw(operator, who.codomain, ax.dtype, rng)
        (gradient,) = torch.autograd.grad(_inner(ax, y).real, x)
        expected = who.adjoint(y).detach()
        expected = expected if x.is_complex() else expected.real
        gap = _relative((gradient - expected).norm(), expected.norm())
        bar = tolerance(dtype, max(x.numel(), y.numel()))
        _require(gap <= bar, f"{who}: the gradient is not the adjoint, relative gap {gap:.2g}")


def _draw(operator: LinearOperator, shape: Shape, dtype: torch.dtype, rng: torch.Generator) -> Tensor:
    return noise((2, *shape), dtype, rng).to(device_of(operator))


def _inner(x: Tensor, y: Tensor) -> Tensor:
    dtype = torch.promote_types(x.dtype, y.dtype)
    return torch.vdot(x.flatten().to(dtype), y.flatten().to(dtype))


def _relative(gap: Tensor, scale: Tensor) -> float:
    return float(gap / scale.clamp_min(torch.finfo(scale.dtype).tiny))


def _input_dtype(operator: LinearOperator, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of an input: that asked for, or, over the reals, that of the side the input belongs to."""
    return _of_side(_sides(operator)[0], dtype) if operator.real_linear else dtype


def _output_dtypes(operator: LinearOperator, dtype: torch.dtype) -> set[torch.dtype]:
    if operator.real_linear:
        return {_of_side(_sides(operator)[1], dtype)}
    return {dtype, dtype.to_complex()}


def _of_side(is_complex: bool, dtype: torch.dtype) -> torch.dtype:
    return dtype.to_complex() if is_complex else dtype.to_real()


def _sides(operator: LinearOperator) -> tuple[bool, bool]:
    """Return whether input and output are complex, for an operator that is linear over the reals only."""
    if isinstance(operator, Adjoint):
        domain, codomain = _sides(operator.parent)
        return codomain, domain
    if isinstance(operator, Scaled):
        return _sides(operator.parent)
    if isinstance(operator, Composed):
        real_linear = [part for part in (operator.inner, operator.outer) if part.real_linear]
        return _sides(real_linear[0])[0], _sides(real_linear[-1])[1]
    if isinstance(operator, Summed | Stacked):
        return next(_sides(part) for part in operator.parts if isinstance(part, LinearOperator) and part.real_linear)
    return False, True


def _matrix(operator: LinearOperator, dtype: torch.dtype) -> Tensor:
    """Return a matrix with the operator's singular values; over the reals a complex entry counts as two real ones."""
    complex_input = _sides(operator)[0] if operator.real_linear else True
    basis = torch.eye(prod(operator.domain), dtype=_of_side(complex_input, dtype), device=device_of(operator))
    columns = torch.cat([basis, 1j * basis]) if operator.real_linear and complex_input else basis
    images = operator(columns.reshape(-1, *operator.domain)).reshape(len(columns), -1)
    return torch.view_as_real(images).flatten(1) if operator.real_linear and images.is_complex() else images


def _require_output(operator: LinearOperator, what: str, out: Tensor, shape: Shape, dtypes: set[torch.dtype]) -> None:
    _require(out.shape == shape, f"{operator}: {what} gave shape {tuple(out.shape)}, not {shape}")
    allowed = " or ".join(sorted(map(str, dtypes)))
    _require(out.dtype in dtypes, f"{operator}: {what} gave {out.dtype}, not {allowed}")


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)
