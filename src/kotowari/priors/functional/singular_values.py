"""Functions of singular values with their own gradients, for matrices with a short side, without an SVD of them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kotowari.core.errors import InputError, ShapeError
from kotowari.priors.functional.gram_spectrum import Counts, LeftSpectrum, left_spectrum
from kotowari.priors.functional.spectral_map import apply_map, pull_back, shrink_differences, threshold_differences

__all__ = ["Shrink", "nuclear_norm", "shrink_singular_values", "singular_value_threshold", "singular_values"]

Shrink = Callable[[Tensor], Tensor]
"""Maps singular values ``(..., k)``, descending and in float64, to values between 0 and them, of the same shape."""

_SHORTEST = 2  # axes of a matrix


def singular_value_threshold(x: Tensor, threshold: float | Tensor) -> Tensor:
    r"""Return ``x`` with every singular value made smaller by ``threshold``, or zero.

    .. math:: U\,\mathrm{diag}(\max(s_i - t, 0))\,V^H = Q\,\mathrm{diag}(\max(1 - t/s_i, 0))\,Q^H X

    with :math:`X X^H = Q\,\mathrm{diag}(s^2)\,Q^H` on the short side. The gradient divides by no difference of singular
    values above the threshold, so repeated ones are no exception; where a singular value equals the threshold it is one
    element of the generalised Jacobian. It can be differentiated once.

    Parameters
    ----------
    x
        Shape ``(..., m, n)``, real or complex. A matrix that is not finite comes back as NaN.
    threshold
        0 or more (not checked inside a tensor), in units of ``x``: a number, or a tensor that broadcasts to the batch
        shape ``(...)`` or has shape ``(..., 1, 1)``; it may require a gradient.

    Returns
    -------
    Tensor
        Shape and dtype of ``x``. Relative error about 2e-7 of the largest singular value in single precision, 1e-12 in
        double: where squaring would lose more, it is not squared.

    Raises
    ------
    ShapeError
        When ``x`` is no matrix, or the threshold does not fit the batch.
    InputError
        When a number below 0 is given.

    Source: Cai, Candes and Shen 2010, SIAM J. Optim. 20(4), theorem 2.1. The gradient is our own, checked against
    finite differences.

    Examples
    --------
    >>> import torch
    >>> singular_value_threshold(torch.diag(torch.tensor([3.0, 1.0])), 2.0)
    tensor([[1., 0.],
            [0., 0.]])
    """
    _require_matrix("singular_value_threshold", x)
    thresholds = _batch_thresholds(x, threshold)
    return _restored(_Threshold.apply(_wide(x), thresholds.reshape(-1)), x)  # type: ignore[no-untyped-call]  # torch's


def nuclear_norm(x: Tensor, eps: float = 0.0) -> Tensor:
    r"""Return :math:`\sum_i s_i`, or its smooth neighbour :math:`\sum_i (\sqrt{s_i^2 + \epsilon^2} - \epsilon)`.

    Both are 0 at 0 and the second is at most the first. The gradient is :math:`U V^H` on the numerical range (the
    subgradient of least length), or :math:`(X X^H + \epsilon^2 I)^{-1/2} X`; finite everywhere, repeated singular
    values or not. A singular value belongs to the range when it is above 10 machine precisions of ``x.dtype`` times the
    largest one. It can be differentiated once.

    Parameters
    ----------
    x
        Shape ``(..., m, n)``, real or complex.
    eps
        0 or more, in units of ``x``.

    Returns
    -------
    Tensor
        Shape ``(...)``, real.

    Raises
    ------
    ShapeError
        When ``x`` is no matrix.
    InputError
        When ``eps`` is below 0.

    Examples
    --------
    >>> import torch
    >>> nuclear_norm(torch.diag(torch.tensor([3.0, 1.0])))
    tensor(4.)
    """
    _require_matrix("nuclear_norm", x)
    if not eps >= 0:
        raise InputError(f"nuclear_norm: eps must be 0 or more, got {eps}.")
    norms: Tensor = _NuclearNorm.apply(_wide(x), eps)  # type: ignore[no-untyped-call]  # torch's apply
    return norms.reshape(x.shape[:-2])


def singular_values(x: Tensor) -> Tensor:
    """Return the singular values, descending: ``(..., m, n) -> (..., min(m, n))``, real.

    The gradient of each is :math:`u_i v_i^H`, and zero for those outside the numerical range (see
    :func:`nuclear_norm`). Where values repeat, that of a symmetric function of them is right, that of a single one is
    one of many. It can be differentiated once.
    """
    _require_matrix("singular_values", x)
    values, _ = _SingularValues.apply(_wide(x), _in_range_of(x.dtype))  # type: ignore[no-untyped-call]  # torch's apply
    out: Tensor = values.to(x.real.dtype).reshape(*x.shape[:-2], -1)
    return out


def shrink_singular_values(x: Tensor, shrink: Shrink) -> Tensor:
    r"""Return :math:`U\,\mathrm{diag}(f(s))\,V^H` for a function f of the singular values.

    The gradient reaches ``x`` and whatever tensors ``shrink`` closes over. It takes f as it is, separable or not:

    .. math:: \frac{f_i - f_j}{s_i - s_j} \;\text{ for } s_i \ne s_j, \qquad
        \tfrac12 (J_{ii} - J_{ij} + J_{jj} - J_{ji}) \;\text{ for } s_i \approx s_j

    with J the Jacobian of f, so that repeated singular values are no exception, given that f is symmetric: equal
    values are shrunk alike. It can be differentiated once.

    Parameters
    ----------
    x
        Shape ``(..., m, n)``, real or complex.
    shrink
        f: maps ``(..., k)``, k the short side, descending and float64, to the same shape, by differentiable operations.
        Singular values of zero come as tiny numbers. Called more than once, so it must be a pure function.

    Raises
    ------
    ShapeError
        When ``x`` is no matrix, or ``shrink`` changes the shape.
    InputError
        When ``shrink`` returns a value below 0 or above the singular value; then it could make something of zeros.

    Source: Lewis and Sendov 2005, Set-Valued Anal. 13 (differentiability of functions of singular values).

    Examples
    --------
    >>> import torch
    >>> shrink_singular_values(torch.diag(torch.tensor([3.0, 1.0])), lambda s: s / 2)
    tensor([[1.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    _require_matrix("shrink_singular_values", x)
    batch = x.shape[:-2]
    wide = _wide(x)
    in_range = _in_range_of(x.dtype)

    def lifted(values: Tensor) -> Tensor:
        """Lift what is zero up to rounding to where f, and its slope, still make sense."""
        floor = _range_bar(x.dtype) * values.detach()[:, :1]
        return torch.maximum(values, floor.clamp_min(torch.finfo(values.dtype).tiny ** 0.5))

    def matrixwise(values: Tensor) -> Tensor:
        shrunk = shrink(values.reshape(*batch, -1))
        if shrunk.shape[:-1] != batch or shrunk.shape[-1] != values.shape[-1]:
            raise ShapeError.mismatch(
                "shrink_singular_values", "result of shrink", (*batch, values.shape[-1]), shrunk.shape
            )
        return shrunk.to(torch.float64).reshape(values.shape)

    def counts(squares: Tensor, error: float) -> Tensor:
        with torch.no_grad():
            return in_range(squares, error) & (matrixwise(lifted(squares.sqrt())) > 0)

    values, vectors = _SingularValues.apply(wide, counts)  # type: ignore[no-untyped-call]  # torch's apply
    shrunk = matrixwise(lifted(values))
    raw, values = values.detach(), lifted(values.detach())
    if not bool(((shrunk >= 0) & (shrunk <= values * (1 + 1e-6))).logical_or(values.isnan()).all()):
        raise InputError("shrink_singular_values: shrink must return values between 0 and the singular values.")
    out = _Shrunk.apply(wide, shrunk, LeftSpectrum(values, vectors), raw == values, matrixwise)  # type: ignore[no-untyped-call]  # torch's apply
    return _restored(out, x)


class _Threshold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor) -> Tensor:
        bar = threshold[:, None]

        def counts(squares: Tensor, error: float) -> Tensor:
            return squares + error * squares[:, :1] > bar.square()

        values, vectors = left_spectrum(x, counts, single=True)
        factors = torch.where(values > bar, 1.0 - bar / values, values * 0.0)  # keeps NaN
        ctx.save_for_backward(x, values, vectors, threshold)
        return apply_map(vectors, factors, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, values, vectors, threshold = ctx.saved_tensors
        factors, differences = threshold_differences(values, threshold[:, None])
        through_x, inner = pull_back(vectors, factors, differences, x, grad)
        kept = values > threshold[:, None]
        through_threshold = -torch.where(kept, inner / values, 0.0).sum(1)
        return through_x, through_threshold


class _NuclearNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        in_range = _in_range_of(x.dtype)

        def counts(squares: Tensor, error: float) -> Tensor:
            return in_range(squares, error) & (squares > 0.1 * eps**2)

        values, vectors = left_spectrum(x, counts)
        if eps:
            root = torch.hypot(values, torch.tensor(eps, dtype=values.dtype, device=values.device))
            norms, inverse = (values * (values / (root + eps))).sum(1), 1.0 / root
        else:
            kept = in_range(values.square(), 0.0)
            norms, inverse = values.sum(1), torch.where(kept, 1.0 / values, 0.0)
        ctx.save_for_backward(x, vectors, inverse)
        return norms.to(x.real.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, vectors, inverse = ctx.saved_tensors
        return apply_map(vectors, inverse * grad[:, None], x), None


class _SingularValues(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: Counts) -> LeftSpectrum:
        values, vectors = left_spectrum(x, counts)
        ctx.mark_non_differentiable(vectors)
        ctx.save_for_backward(x, values, vectors)
        return LeftSpectrum(values, vectors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None]:
        x, values, vectors = ctx.saved_tensors
        kept = _in_range_of(x.dtype)(values.square(), 0.0)
        return apply_map(vectors, torch.where(kept, grad / values, 0.0), x), None


class _Shrunk(torch.autograd.Function):
    """The matrix from new singular values; that these depend on the matrix is left to the graph that made them."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shrunk: Tensor, spectrum: LeftSpectrum, in_range: Tensor, shrink: Shrink
    ) -> Tensor:
        ctx.save_for_backward(x, shrunk, *spectrum, in_range)
        ctx.shrink = shrink
        return apply_map(spectrum.vectors, shrunk / spectrum.values, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, shrunk, values, vectors, in_range = ctx.saved_tensors
        differences = shrink_differences(values, shrunk, ctx.shrink, in_range)
        through_x, inner = pull_back(vectors, shrunk / values, differences, x, grad)
        return through_x, torch.where(in_range, inner / values, 0.0), None, None, None


def _in_range_of(dtype: torch.dtype) -> Counts:
    """Which singular values are no rounding errors of a matrix of this dtype."""
    bar = _range_bar(dtype) ** 2

    def counts(squares: Tensor, error: float) -> Tensor:
        return squares + error * squares[:, :1] > bar * squares[:, :1]

    return counts


def _range_bar(dtype: torch.dtype) -> float:
    return 10 * torch.finfo(dtype).eps


def _wide(x: Tensor) -> Tensor:
    """Return ``(batch, m, n)`` with m at most n; the transposed where the matrices are tall."""
    matrices = x.reshape(-1, *x.shape[-2:])
    return matrices if x.shape[-2] <= x.shape[-1] else matrices.mT


def _restored(wide: Tensor, like: Tensor) -> Tensor:
    return (wide if like.shape[-2] <= like.shape[-1] else wide.mT).reshape(like.shape)


def _batch_thresholds(x: Tensor, threshold: float | Tensor) -> Tensor:
    batch = x.shape[:-2]
    if not isinstance(threshold, Tensor):
        if not threshold >= 0:
            raise InputError(f"singular_value_threshold: threshold must be 0 or more, got {threshold}.")
        return torch.full(batch, threshold, dtype=torch.float64, device=x.device)
    if threshold.ndim == x.ndim and threshold.shape[-2:] == (1, 1):
        threshold = threshold[..., 0, 0]
    fits = threshold.ndim <= len(batch) and all(
        ours in {1, theirs} for ours, theirs in zip(threshold.shape[::-1], batch[::-1], strict=False)
    )
    if not fits:
        raise ShapeError.mismatch("singular_value_threshold", "threshold", batch, threshold.shape)
    return threshold.to(torch.float64).expand(batch)


def _require_matrix(who: str, x: Tensor) -> None:
    if x.ndim < _SHORTEST or 0 in x.shape[-2:]:
        raise ShapeError.mismatch(who, "input", ("...", "m", "n"), x.shape)
    if not (x.is_floating_point() or x.is_complex()):
        raise InputError(f"{who}: input must hold real or complex floats, got {x.dtype}.")
