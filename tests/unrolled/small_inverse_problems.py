"""A sparse problem small enough to be solved to the last digit."""

import torch

from kotowari.operators.linear import LinearOperator


class Dense(LinearOperator):
    """A matrix whose entries may be learned."""

    def __init__(self, matrix, learn=False):
        super().__init__()
        self.matrix = torch.nn.Parameter(matrix, requires_grad=learn)
        self.codomain, self.domain = (matrix.shape[0],), (matrix.shape[1],)

    def _forward(self, x):
        return x @ self.matrix.mT

    def _adjoint(self, y):
        return y @ self.matrix.conj()


def sparse_problem(n_rows=12, n_columns=20, batch=3, dtype=torch.float64, learn=False):
    """Return an operator, and data of few entries seen through it."""
    rng = torch.Generator().manual_seed(3)
    matrix = torch.randn(n_rows, n_columns, generator=rng, dtype=dtype) / n_rows**0.5
    x = torch.randn(batch, n_columns, generator=rng, dtype=dtype)
    x = x * (torch.rand(batch, n_columns, generator=rng) < 0.2)
    return Dense(matrix, learn=learn), x @ matrix.mT
