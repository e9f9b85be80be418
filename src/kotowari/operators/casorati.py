"""An array as a matrix: frames as rows, pixels as columns."""

from collections.abc import Iterable
from math import prod
from typing import final

from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.operators.layout import as_axes, as_shape
from kotowari.operators.linear import LinearOperator, Shape

__all__ = ["Casorati"]


@final
class Casorati(LinearOperator):
    r"""Reshapes an array into the matrix whose rows run over some axes and whose columns run over the others.

    Of a series of images, ``(frames, height, width)``, it makes the matrix ``(frames, height * width)``: what low rank
    is asked of. It moves entries only, so :math:`A A^H = A^H A = I`.

    Parameters
    ----------
    domain
        Shape of one input, without batch axes.
    rows
        Axes of ``domain`` that the rows run over, outermost first; the others, in their order, are the columns.

    Attributes
    ----------
    codomain
        ``(n_rows, n_columns)``.

    Raises
    ------
    InputError
        When an axis does not exist or stands twice, or none is left for the columns.

    Examples
    --------
    >>> Casorati((5, 4, 7), rows=(0,)).codomain
    (5, 28)
    """

    coisometry = isometry = 1.0

    def __init__(self, domain: Iterable[int], rows: Iterable[int] = (0,)) -> None:
        super().__init__()
        self.domain = as_shape("Casorati", "domain", domain)
        self.rows = as_axes("Casorati", rows, len(self.domain))
        columns = tuple(axis for axis in range(len(self.domain)) if axis not in self.rows)
        if not columns:
            raise InputError(f"Casorati: rows take all {len(self.rows)} axes. Leave one or more for the columns.")
        self._order = (*self.rows, *columns)
        self._ordered: Shape = tuple(self.domain[axis] for axis in self._order)
        n_rows = prod(self._ordered[: len(self.rows)])
        self.codomain = (n_rows, prod(self.domain) // n_rows)

    def _forward(self, x: Tensor) -> Tensor:
        n_batch = x.ndim - len(self.domain)
        ordered = x.permute(*range(n_batch), *(n_batch + axis for axis in self._order))
        return ordered.reshape(*x.shape[:n_batch], *self.codomain)

    def _adjoint(self, y: Tensor) -> Tensor:
        n_batch = y.ndim - 2
        ordered = y.reshape(*y.shape[:n_batch], *self._ordered)
        places = (self._order.index(axis) for axis in range(len(self.domain)))
        return ordered.permute(*range(n_batch), *(n_batch + place for place in places))
