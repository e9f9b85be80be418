"""The laws of gradients catch wrong ones, and let right ones pass."""

import pytest
import torch

from kotowari.core.errors import InputError
from kotowari.testing.gradient import assert_finite_gradient, assert_gradient
from kotowari.testing.noise import noise


@pytest.fixture
def draws():
    return torch.Generator().manual_seed(0)


class Skewed(torch.autograd.Function):
    """The square, with a gradient that is a given factor too large."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x * x.conj()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2.0 * ctx.factor * grad.real * x, None


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_right_gradient_passes(dtype, scale, draws):
    x = scale * noise((3, 4), dtype, draws)
    assert_gradient(lambda z: Skewed.apply(z, 1.0).real, x, rng=draws)
    assert_gradient(lambda z: (z.abs().square().sum(1) + scale**2).sqrt(), x, rng=draws)
    assert_gradient(lambda z: z @ z.mH, x, rng=draws)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("factor", [0.95, 1.0001])
def test_a_gradient_of_the_wrong_length_is_caught(dtype, factor, draws):
    x = noise((3, 40), dtype, draws)
    with pytest.raises(AssertionError, match="gradient is wrong"):
        assert_gradient(lambda z: Skewed.apply(z, factor).real, x, rng=draws)


def test_a_conjugated_gradient_is_caught(draws):
    class Conjugated(torch.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return 1j * x

        @staticmethod
        def backward(_ctx, grad):
            return 1j * grad  # the adjoint of a product with i is one with -i

    with pytest.raises(AssertionError, match="gradient is wrong"):
        assert_gradient(Conjugated.apply, noise((5,), torch.complex128, draws), rng=draws)


def test_a_detached_part_is_caught(draws):
    x = noise((5,), torch.float64, draws)
    with pytest.raises(AssertionError, match="gradient is wrong"):
        assert_gradient(lambda z: z * z.detach(), x, rng=draws)
    with pytest.raises(AssertionError, match="does not depend on x"):
        assert_gradient(lambda z: z.detach(), x, rng=draws)


def test_a_gradient_of_zero_where_there_is_one_is_caught(draws):
    with pytest.raises(AssertionError, match="gradient is wrong"):
        assert_gradient(lambda z: z.detach() + 0.0 * z, noise((5,), torch.float64, draws), rng=draws)


def test_a_gradient_at_zero_is_checked_too(draws):
    zero = torch.zeros(4, dtype=torch.float64)
    assert_gradient(lambda z: z.exp(), zero, rng=draws)
    with pytest.raises(AssertionError, match="gradient is wrong"):
        assert_gradient(lambda z: (z + 0.01 * z.detach()).exp(), zero, rng=draws)


def test_single_precision_is_refused(draws):
    with pytest.raises(InputError, match="float64 or complex128"):
        assert_gradient(torch.exp, torch.ones(3), rng=draws)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
def test_gradients_that_are_not_finite_are_caught(dtype):
    x = torch.zeros(3, dtype=dtype)
    assert_finite_gradient(lambda z: (z.abs().square() + 1.0).sqrt(), x)
    with pytest.raises(AssertionError, match="3 of 3 entries of the gradient"):
        assert_finite_gradient(lambda z: z.abs().square().sqrt(), x)
    with pytest.raises(AssertionError, match="entries of the output"):
        assert_finite_gradient(lambda z: 1.0 / z.abs(), x)


def test_a_function_without_a_gradient_is_caught():
    with pytest.raises(AssertionError, match="does not depend on x"):
        assert_finite_gradient(torch.detach, torch.ones(3))
