"""Laws of operators, priors and gradients as assertions, for the tests of those who write their own."""
