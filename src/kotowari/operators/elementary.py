"""Operators that need no theory: identity, diagonal, matrix, and a pair of functions."""

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.operators.backward import apply_with_adjoint
from kotowari.operators.layout import as_shape, broadcast
from kotowari.operators.linear import LinearOperator
from kotowari.solvers.protocols import LinearMap

__all__ = ["Diagonal", "FromFunctions", "Identity", "Matrix"]


@final
class Identity(LinearOperator):
    """Gives back its input, the very tensor.

    Parameters
    ----------
    domain
        Shape of one input, without batch axes.

    Examples
    --------
    >>> Identity((4, 7)).norm()
    1.0
    """

    coisometry = isometry = 1.0

    def __init__(self, domain: Iterable[int]) -> None:
        super().__init__()
        self.domain = self.codomain = as_shape("Identity", "domain", domain)

    def _forward(self, x: Tensor) -> Tensor:
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        return y


@final
class Diagonal(LinearOperator):
    r"""Multiplies entry by entry, :math:`(Ax)_i = w_i x_i`.

    Parameters
    ----------
    weights
        Real or complex; broadcasts to ``domain``. A parameter is learned. Kept in its own dtype, and used in the
        precision of the input, so that a computation in float32 stays there.
    domain
        Shape of one input, without batch axes. Default: the shape of ``weights``.

    Raises
    ------
    InputError
        When ``weights`` holds no floats.
    ShapeError
        When ``weights`` does not broadcast to ``domain``.

    Examples
    --------
    >>> Diagonal(torch.tensor([3.0, -4.0])).norm()
    4.0
    """

    weights: Tensor

    def __init__(self, weights: Tensor, domain: Iterable[int] | None = None) -> None:
        super().__init__()
        _require_floats("Diagonal: weights", weights)
        self.domain = self.codomain = as_shape("Diagonal", "domain", weights.shape if domain is None else domain)
        broadcast("Diagonal: weights", weights, self.domain)
        _keep(self, "weights", weights)

    def _forward(self, x: Tensor) -> Tensor:
        return _as_precise(self.weights, x) * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return _as_precise(self.weights, y).conj() * y

    def _norm(self) -> float:
        return float(_in_double(self.weights).abs().max())


@final
class Matrix(LinearOperator):
    r"""A dense matrix, :math:`(Ax)_i = \sum_j A_{ij} x_j`.

    Parameters
    ----------
    matrix
        Shape ``(m, n)``, real or complex: ``(..., n) -> (..., m)``. A parameter is learned. Kept in its own dtype, and
        used in the precision of the input.

    Raises
    ------
    InputError
        When ``matrix`` holds no floats.
    ShapeError
        When it has not two axes.

    Examples
    --------
    >>> Matrix(torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]))(torch.tensor([1.0, 1.0, 1.0]))
    tensor([6., 1.])
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        _require_floats("Matrix: matrix", matrix)
        if matrix.ndim != 2:
            raise ShapeError.mismatch("Matrix", "matrix", ("m", "n"), matrix.shape)
        n_rows, n_columns = as_shape("Matrix", "matrix", matrix.shape)
        self.domain, self.codomain = (n_columns,), (n_rows,)
        _keep(self, "matrix", matrix)

    def _forward(self, x: Tensor) -> Tensor:
        matrix = _as_precise(self.matrix, x)
        return _promoted(x, matrix) @ _promoted(matrix, x).mT

    def _adjoint(self, y: Tensor) -> Tensor:
        matrix = _as_precise(self.matrix, y)
        return _promoted(y, matrix) @ _promoted(matrix, y).conj()

    def _norm(self) -> float:
        return float(torch.linalg.matrix_norm(_in_double(self.matrix), 2))


@final
class FromFunctions(LinearOperator):
    r"""A pair of functions as an operator: one's own scanner model, or somebody else's code.

    The functions may leave torch, for example for numpy: the gradient of the output is taken by ``adjoint``, not
    recorded. That they are linear, and each other's adjoint, is the caller's word;
    :func:`kotowari.testing.adjoint.assert_adjoint` tests it.

    Parameters
    ----------
    forward
        Maps ``(..., *domain)`` to ``(..., *codomain)``, with any number of leading batch axes.
    adjoint
        Maps ``(..., *codomain)`` to ``(..., *domain)``.
    domain, codomain
        Shape of one input and of one output, without batch axes.
    real_linear
        Whether ``forward`` maps real arrays to complex ones and is linear over the reals only.

    Raises
    ------
    CapabilityError
        When one of them is a module with learned parameters: no gradient would reach them. A subclass of
        :class:`LinearOperator` has no such limit.
    ShapeError
        When applied: where a function returns another shape than it should.

    Examples
    --------
    >>> flip = FromFunctions(lambda x: x.flip(-1), lambda y: y.flip(-1), (3,), (3,))
    >>> flip(torch.tensor([1.0, 2.0, 3.0]))
    tensor([3., 2., 1.])
    """

    def __init__(
        self,
        forward: LinearMap,
        adjoint: LinearMap,
        domain: Iterable[int],
        codomain: Iterable[int],
        *,
        real_linear: bool = False,
    ) -> None:
        super().__init__()
        for function in (forward, adjoint):
            if isinstance(function, nn.Module) and any(weights.requires_grad for weights in function.parameters()):
                raise CapabilityError(
                    f"FromFunctions: no gradient would reach the learned parameters of {type(function).__name__}. "
                    "Write a subclass of LinearOperator."
                )
        self.domain = as_shape("FromFunctions", "domain", domain)
        self.codomain = as_shape("FromFunctions", "codomain", codomain)
        self.real_linear = real_linear
        self.forward_function, self.adjoint_function = forward, adjoint

    def _forward(self, x: Tensor) -> Tensor:
        batch = x.shape[: x.ndim - len(self.domain)]
        y = apply_with_adjoint(self.forward_function, self.adjoint_function, x)
        if y.shape != (*batch, *self.codomain):
            raise ShapeError.mismatch(self, "what forward returns", (*batch, *self.codomain), y.shape)
        return y

    def _adjoint(self, y: Tensor) -> Tensor:
        batch = y.shape[: y.ndim - len(self.codomain)]
        x = apply_with_adjoint(self.adjoint_function, self.forward_function, y)
        if x.shape != (*batch, *self.domain):
            raise ShapeError.mismatch(self, "what adjoint returns", (*batch, *self.domain), x.shape)
        return x


def _keep(operator: nn.Module, name: str, tensor: Tensor) -> None:
    """Make a parameter a parameter of the operator, and any other tensor a buffer."""
    if isinstance(tensor, nn.Parameter):
        operator.register_parameter(name, tensor)
    else:
        operator.register_buffer(name, tensor)


def _as_precise(constant: Tensor, x: Tensor) -> Tensor:
    """Return ``constant``, real or complex as it is, in the precision of ``x``."""
    real = x.dtype.to_real()
    return constant.to(real.to_complex() if constant.is_complex() else real)


def _in_double(constant: Tensor) -> Tensor:
    return constant.to(torch.promote_types(constant.dtype, torch.float64))


def _promoted(x: Tensor, other: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, other.dtype))


def _require_floats(what: str, tensor: Tensor) -> None:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        raise InputError(f"{what} must hold real or complex floats, got {tensor.dtype}. Convert it, e.g. by .float().")
