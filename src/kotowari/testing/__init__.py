"""Laws of operators, priors and gradients as assertions, for the tests of those who write their own."""

from kotowari.testing.adjoint import assert_adjoint, assert_backward, assert_batched, assert_linear, assert_norm

__all__ = ["assert_adjoint", "assert_backward", "assert_batched", "assert_linear", "assert_norm"]
