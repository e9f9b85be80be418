"""Laws of operators, priors and gradients as assertions, for the tests of those who write their own."""

from kotowari.testing.adjoint import assert_adjoint, assert_backward, assert_batched, assert_linear, assert_norm
from kotowari.testing.gradient import assert_finite_gradient, assert_gradient
from kotowari.testing.prox import (
    assert_batch_separable,
    assert_firmly_nonexpansive,
    assert_moreau_identity,
    assert_prox,
    assert_stateless,
)

__all__ = [
    "assert_adjoint",
    "assert_backward",
    "assert_batch_separable",
    "assert_batched",
    "assert_finite_gradient",
    "assert_firmly_nonexpansive",
    "assert_gradient",
    "assert_linear",
    "assert_moreau_identity",
    "assert_norm",
    "assert_prox",
    "assert_stateless",
]
