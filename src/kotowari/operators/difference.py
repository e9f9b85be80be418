"""Differences of neighbours along some axes: the operator inside total variation."""

from collections.abc import Callable, Iterable
from math import isfinite, pi, sin
from typing import Literal, final

import torch
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.operators.backward import apply_with_adjoint
from kotowari.operators.layout import as_axes, as_shape
from kotowari.operators.linear import LinearOperator

__all__ = ["Boundary", "FiniteDifference"]

Boundary = Literal["neumann", "periodic", "dirichlet"]


@final
class FiniteDifference(LinearOperator):
    r"""Forward differences along each of some axes, one behind the other: a discrete gradient.

    .. math:: (D_k x)_i = (x_{i+1} - x_i) / h_k, \qquad i = 0 \dots n_k - 1 \text{ along axis } k

    The boundary says what :math:`x_n` is, the value beyond the far edge; the near edge needs none.

    Parameters
    ----------
    domain
        Shape of one input, without batch axes, e.g. ``(height, width)``.
    axes
        Axes of ``domain`` to take differences along, counted from its first, or, when negative, from its last.
        Default: all, in order.
    spacing
        Distance :math:`h_k` between neighbours, above 0: one number, or one for each of ``axes``. The result is in
        units of x per unit of spacing.
    boundary
        ``"neumann"``: :math:`x_n = x_{n-1}`, the difference at the far edge is 0. ``"periodic"``: :math:`x_n = x_0`.
        ``"dirichlet"``: :math:`x_n = 0`, the difference at the far edge is :math:`-x_{n-1}/h`.

    Attributes
    ----------
    codomain
        ``(len(axes), *domain)``.

    Raises
    ------
    InputError
        When an axis does not exist or stands twice, a spacing is not above 0, or the boundary has no such name.

    Notes
    -----
    The norm is exact. :math:`D^T D` is a sum of one-dimensional operators on axes of their own, so its largest
    eigenvalue is the sum of theirs, each :math:`\tfrac{4}{h^2} \sin^2(\tfrac{\pi}{2} f)` with :math:`f = (n-1)/n`
    (neumann), :math:`2 \lfloor n/2 \rfloor / n` (periodic), :math:`(2n-1)/(2n+1)` (dirichlet).

    Source: Strang 1999, SIAM Review 41(1), for the eigenvalues of the neumann case (the DCT-2); Yueh 2005, Applied
    Mathematics E-Notes 5, for tridiagonal matrices with other corners.

    Examples
    --------
    >>> FiniteDifference((4,))(torch.tensor([1.0, 2.0, 4.0, 8.0]))
    tensor([[1., 2., 4., 0.]])
    """

    def __init__(
        self,
        domain: Iterable[int],
        axes: Iterable[int] | None = None,
        *,
        spacing: float | Iterable[float] = 1.0,
        boundary: Boundary = "neumann",
    ) -> None:
        super().__init__()
        self.domain = as_shape("FiniteDifference", "domain", domain)
        n_axes = len(self.domain)
        self.axes = as_axes("FiniteDifference", range(n_axes) if axes is None else axes, n_axes)
        self.spacing = _spacings(spacing, len(self.axes))
        if boundary not in _HIGHEST_FREQUENCY:
            raise InputError(f"FiniteDifference: boundary must be one of {list(_HIGHEST_FREQUENCY)}, got {boundary!r}.")
        self.boundary = boundary
        self.codomain = (len(self.axes), *self.domain)

    def _forward(self, x: Tensor) -> Tensor:
        return apply_with_adjoint(self._differences, self._transposed, x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return apply_with_adjoint(self._transposed, self._differences, y)

    def _norm(self) -> float:
        highest = _HIGHEST_FREQUENCY[self.boundary]
        roots = [
            2 / spacing * sin(pi / 2 * highest(self.domain[axis]))
            for axis, spacing in zip(self.axes, self.spacing, strict=True)
        ]
        return float(sum(root**2 for root in roots) ** 0.5)

    def _differences(self, x: Tensor) -> Tensor:
        batch = x.shape[: x.ndim - len(self.domain)]
        out = x.new_empty((*batch, *self.codomain))
        for number, (axis, spacing) in enumerate(zip(self.axes, self.spacing, strict=True)):
            along, n = axis - len(self.domain), self.domain[axis]
            d = out.select(-len(self.codomain), number)
            torch.sub(x.narrow(along, 1, n - 1), x.narrow(along, 0, n - 1), out=d.narrow(along, 0, n - 1))
            edge, last = d.narrow(along, n - 1, 1), x.narrow(along, n - 1, 1)
            if self.boundary == "neumann":
                edge.zero_()
            elif self.boundary == "periodic":
                torch.sub(x.narrow(along, 0, 1), last, out=edge)
            else:
                torch.neg(last, out=edge)
            if spacing != 1.0:
                d.mul_(1 / spacing)
        return out

    def _transposed(self, y: Tensor) -> Tensor:
        batch = y.shape[: y.ndim - len(self.codomain)]
        x = y.new_zeros((*batch, *self.domain))
        for number, (axis, spacing) in enumerate(zip(self.axes, self.spacing, strict=True)):
            along, n, scale = axis - len(self.domain), self.domain[axis], 1 / spacing
            d = y.select(-len(self.codomain), number)
            n_rows = n - 1 if self.boundary == "neumann" else n
            x.narrow(along, 0, n_rows).sub_(d.narrow(along, 0, n_rows), alpha=scale)
            x.narrow(along, 1, n - 1).add_(d.narrow(along, 0, n - 1), alpha=scale)
            if self.boundary == "periodic":
                x.narrow(along, 0, 1).add_(d.narrow(along, n - 1, 1), alpha=scale)
        return x


_HIGHEST_FREQUENCY: dict[str, Callable[[int], float]] = {
    "neumann": lambda n: (n - 1) / n,
    "periodic": lambda n: 2 * (n // 2) / n,
    "dirichlet": lambda n: (2 * n - 1) / (2 * n + 1),
}


def _spacings(spacing: float | Iterable[float], n_axes: int) -> tuple[float, ...]:
    each = (float(spacing),) * n_axes if isinstance(spacing, int | float) else tuple(float(h) for h in spacing)
    if len(each) != n_axes or not all(h > 0 and isfinite(h) for h in each):
        raise InputError(
            f"FiniteDifference: spacing must be one number above 0, or one for each of {n_axes} axes, got {spacing}."
        )
    return each
