"""Hard bounds on a norm of the sample."""

from typing import final

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError
from kotowari.priors.functional.simplex import project_l1_ball
from kotowari.priors.functional.singular_values import shrink_singular_values
from kotowari.priors.indicators import Indicator
from kotowari.priors.quadratic import fitted_point
from kotowari.priors.weight import adopt, told

__all__ = ["L1Ball", "L2Ball", "NuclearBall"]


@final
class L1Ball(Indicator):
    r"""Samples with :math:`\sum_i |x_i| \le r`; real or complex.

    Parameters
    ----------
    radius
        r above 0, in units of x.

    Raises
    ------
    InputError
        When the radius is not above 0 and finite.

    Source: the projection is that of Duchi, Shalev-Shwartz, Singer and Chandra 2008, ICML.
    """

    def __init__(self, radius: float) -> None:
        super().__init__()
        _require_radius(self, radius)
        self.radius = radius

    def _project(self, x: Tensor) -> Tensor:
        return project_l1_ball(x, self.radius)

    def extra_repr(self) -> str:
        """Say the radius."""
        return f"radius={self.radius:g}"


@final
class L2Ball(Indicator):
    r"""Samples with :math:`\|x - c\|_2 \le r`; real or complex: data that are to be met within their noise.

    Parameters
    ----------
    radius
        r above 0, in units of x. For n entries with noise of standard deviation s, about :math:`s\sqrt n`.
    centre
        c: a tensor that broadcasts against one sample, or ``(batch, ...)`` with one centre a sample; None for 0.

    Raises
    ------
    InputError
        When the radius is not above 0 and finite.

    Examples
    --------
    >>> L2Ball(1.0).project(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """

    centre: Tensor | None

    def __init__(self, radius: float, centre: Tensor | None = None) -> None:
        super().__init__()
        _require_radius(self, radius)
        self.radius = radius
        if centre is None:
            self.centre = None
        else:
            adopt(self, "centre", centre)

    def _project(self, x: Tensor) -> Tensor:
        centre = fitted_point(self, self.centre, x)
        offset = x - centre
        norm = torch.linalg.vector_norm(offset, dim=tuple(range(1, x.ndim)), keepdim=True)
        outside = norm > self.radius
        shortened = centre + offset * (self.radius / torch.where(outside, norm, 1.0))
        return torch.where(outside, shortened, x)

    def extra_repr(self) -> str:
        """Say the radius, and the shape of the centre."""
        centre = "" if self.centre is None else f", centre={told(self.centre)}"
        return f"radius={self.radius:g}{centre}"


@final
class NuclearBall(Indicator):
    r"""Samples with nuclear norm :math:`\sum_i s_i \le r`; real or complex.

    Matrices are the last two axes; the singular values of all matrices of a sample are added up, as in
    :class:`~kotowari.priors.spectral.Nuclear`.

    Parameters
    ----------
    radius
        r above 0, in units of x.

    Raises
    ------
    InputError
        When the radius is not above 0 and finite.
    ShapeError
        When x has fewer than three axes.
    """

    def __init__(self, radius: float) -> None:
        super().__init__()
        _require_radius(self, radius)
        self.radius = radius

    def _project(self, x: Tensor) -> Tensor:
        if x.ndim < 3:
            raise ShapeError.mismatch(self, "input", ("batch", "...", "row", "column"), x.shape)
        return shrink_singular_values(x, self._shrink)

    def _shrink(self, values: Tensor) -> Tensor:
        return project_l1_ball(values, self.radius)

    def extra_repr(self) -> str:
        """Say the radius."""
        return f"radius={self.radius:g}"


def _require_radius(owner: Indicator, radius: float) -> None:
    if not 0 < radius < torch.inf:
        raise InputError(f"{type(owner).__name__}: radius must be above 0 and finite, got {radius}.")
