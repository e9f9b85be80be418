r"""The map :math:`X \mapsto Q\,\mathrm{diag}(h)\,Q^H X`, h a function of the singular values, and its adjoint slope.

Q holds the left singular vectors as columns, shape ``(batch, m, m)``; X has shape ``(batch, m, n)`` with m at most n.
"""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["apply_map", "pull_back", "shrink_differences", "threshold_differences"]

_CLOSE = 1e-5  # relative gap below which a quotient of differences is worse than a mean of slopes


def apply_map(vectors: Tensor, factors: Tensor, x: Tensor) -> Tensor:
    r"""Return :math:`Q\,\mathrm{diag}(h)\,Q^H X`; only the columns whose factor is not 0 are multiplied."""
    rank = _n_used(factors)
    if rank == 0:
        return torch.zeros_like(x)
    used = vectors[..., :rank]
    scaled = used * factors[:, None, :rank]
    if 2 * rank <= x.shape[1]:
        return _product(scaled.to(x.dtype), _product(used.mH.to(x.dtype), x))
    return _product((scaled @ used.mH).to(x.dtype), x)


def pull_back(vectors: Tensor, factors: Tensor, differences: Tensor, x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the gradient with respect to X, and the real diagonal of :math:`B`.

    .. math:: Q\,\mathrm{diag}(h)\,Q^H G + 2\, Q (\Gamma \circ B) Q^H X, \qquad
        B = \text{Hermitian part of } Q^H G X^H Q

    Parameters
    ----------
    vectors
        Q.
    factors
        h, shape ``(batch, m)``.
    differences
        :math:`\Gamma_{ij} = (h_i - h_j) / (s_i^2 - s_j^2)`, and the slope of h by :math:`s^2` on the diagonal; shape
        ``(batch, m, m)``, zero wherever both h are.
    x
        X.
    grad
        G, shape of ``x``.

    Notes
    -----
    B is only known in the rows, and columns, where :math:`\Gamma` can differ from 0; the rest of its diagonal is 0.
    """
    m, rank = x.shape[1], _n_used(factors)
    if rank == 0:
        return torch.zeros_like(x), factors
    if 4 * rank > m:
        inner = vectors.mH @ _product(grad, x.mH).to(vectors.dtype) @ vectors
        inner = 0.5 * (inner + inner.mH)
        outer = (vectors @ (differences * inner) @ vectors.mH).mul_(2.0).to(x.dtype)
        return apply_map(vectors, factors, grad).add_(_product(outer, x)), _diagonal(inner, m)
    used, rest = vectors[..., :rank], vectors[..., rank:]
    narrow = used.mH.to(x.dtype)
    grad_rows, x_rows = _product(narrow, grad), _product(narrow, x)
    crossed = _product(grad_rows, x.mH) + _product(x_rows, grad.mH)
    inner = 0.5 * (crossed.to(vectors.dtype) @ vectors)
    weighted = 2.0 * differences[:, :rank] * inner
    lower = rest @ weighted[..., rank:].mH
    rows = _product((weighted @ vectors.mH).to(x.dtype), x)
    rows += grad_rows * factors[:, :rank, None].to(x.real.dtype)
    columns = torch.cat([used, lower], dim=2).to(x.dtype)
    return _product(columns, torch.cat([rows, x_rows], dim=1)), _diagonal(inner, m)


def threshold_differences(values: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return h and :math:`\Gamma` of the soft threshold, :math:`h_i = \max(1 - t/s_i, 0)`.

    Between two values above the threshold :math:`\Gamma = t / (s_i s_j (s_i + s_j))`, which divides by no difference.
    """
    kept = values > threshold
    safe = torch.where(kept, values, 1.0)
    factors = torch.where(kept, 1.0 - threshold / safe, 0.0)
    one, other = values[:, :, None], values[:, None, :]
    both = kept[:, :, None] & kept[:, None, :]
    either = kept[:, :, None] ^ kept[:, None, :]
    sides = safe[:, :, None], safe[:, None, :]
    smooth = threshold[:, :, None] / sides[0] / sides[1] / (sides[0] + sides[1])
    gaps = torch.where(either, (one - other) * (one + other), 1.0)
    across = (factors[:, :, None] - factors[:, None, :]) / gaps
    return factors, torch.where(both, smooth, torch.where(either, across, 0.0))


def shrink_differences(values: Tensor, shrunk: Tensor, shrink: Callable[[Tensor], Tensor], in_range: Tensor) -> Tensor:
    r"""Return :math:`\Gamma` of :math:`h_i = f_i / s_i` with the new values :math:`f` held fixed on the diagonal.

    Among values out of range, zero up to rounding, it is 0: it would multiply rows of :math:`Q^H X` that are noise.
    """
    one, other = values[:, :, None], values[:, None, :]
    sums, gaps = one + other, one - other
    factors = shrunk / values
    close = gaps.abs() <= _CLOSE * sums
    quotients = (factors[:, :, None] - factors[:, None, :]) / torch.where(close, 1.0, gaps * sums)
    diagonal = torch.eye(values.shape[1], dtype=torch.bool, device=values.device)
    either = in_range[:, :, None] | in_range[:, None, :]
    if bool((close & either & ~diagonal).any()):
        slopes = _jacobian(shrink, values)
        own = slopes.diagonal(dim1=1, dim2=2)
        even = 0.5 * (own[:, :, None] + own[:, None, :] - slopes - slopes.mT)
        odd = (shrunk[:, :, None] + shrunk[:, None, :]) / sums
        quotients = torch.where(close, 0.5 * (even - odd) / one / other, quotients)
    quotients = torch.where(diagonal, (-0.5 * factors / values / values)[:, :, None], quotients)
    return torch.where(either, quotients, 0.0)


def _jacobian(shrink: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Return the slope of each new value by each old one, ``(batch, k, k)``."""
    with torch.enable_grad():
        leaf = values.detach().requires_grad_()
        new = shrink(leaf)
        if not new.requires_grad:
            return torch.zeros(*values.shape, values.shape[1], dtype=values.dtype, device=values.device)
        rows = [
            torch.autograd.grad(new[:, i].sum(), leaf, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
            for i in range(values.shape[1])
        ]
    return torch.stack(rows, dim=1)


def _n_used(factors: Tensor) -> int:
    """Return up to which column a factor of any matrix differs from 0."""
    used = (factors != 0).any(0).nonzero()
    return int(used[-1]) + 1 if len(used) else 0


def _diagonal(inner: Tensor, m: int) -> Tensor:
    """Return the real diagonal of the leading block, filled up with zeros."""
    diagonal = inner.diagonal(dim1=1, dim2=2).real
    out = torch.zeros(len(inner), m, dtype=diagonal.dtype, device=inner.device)
    out[:, : diagonal.shape[1]] = diagonal
    return out


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply batches of matrices; a batch of one as the plain matrix that it is."""
    return (left[0] @ right[0])[None] if len(left) == 1 else left @ right
