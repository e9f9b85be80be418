"""Soft thresholding: closed form, gradients by x and by the threshold, what it keeps for the backward pass."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from kotowari.core.errors import InputError
from kotowari.priors.functional.soft_threshold import soft_threshold

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def off_the_kink(x, threshold):
    """Move magnitudes away from the threshold, where there is no derivative."""
    near = (x.abs() - threshold).abs() < 0.05
    return torch.where(near, 3 * x, x)


def kept_tensors(run):
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        out = run()
    return kept, out


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_result_is_the_formula(dtype):
    x = draw(40, 30, dtype=dtype)
    expected = x * (1 - 0.6 / x.abs()).clamp_min(0)
    torch.testing.assert_close(soft_threshold(x, 0.6), expected)
    assert soft_threshold(x, 0.6).dtype == dtype


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_no_other_point_is_nearer_to_the_optimum(x, threshold):
    out = float(soft_threshold(torch.tensor([x], dtype=torch.float64), threshold))
    slack = 1e-12 * (x * x + threshold * abs(x) + 1e-300)
    for rival in (0.0, x, out + 1e-3 * abs(x), out - 1e-3 * abs(x)):
        best = threshold * abs(out) + 0.5 * (out - x) ** 2
        assert best <= threshold * abs(rival) + 0.5 * (rival - x) ** 2 + slack


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (3, 1), (1, 5), (3, 5)], ids=str)
def test_gradients_are_the_slopes_and_fit_the_shape_of_the_threshold(dtype, shape):
    threshold = (
        0.4 + 0.2 * torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ).requires_grad_()
    x = off_the_kink(draw(3, 5, dtype=dtype), threshold.detach()).requires_grad_()
    assert gradcheck(soft_threshold, (x, threshold))


def test_a_wrong_gradient_is_caught():
    threshold = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    x = off_the_kink(draw(3, 5), 0.5).requires_grad_()

    def wrong(x, threshold):
        return soft_threshold(x, threshold) + 0.05 * (x.detach() - x)

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(wrong, (x, threshold))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nothing_but_the_result_is_kept(dtype):
    x = draw(64, 64, dtype=dtype).requires_grad_()
    kept, out = kept_tensors(lambda: soft_threshold(x, 0.5))
    assert [tensor.data_ptr() for tensor in kept if tensor.numel() > 1] == [out.data_ptr()]


def test_what_autograd_would_keep_is_seen():
    x = draw(64, 64).requires_grad_()
    kept, _ = kept_tensors(lambda: x.sgn() * (x.abs() - 0.5).clamp_min(0))
    assert sum(tensor.numel() > 1 for tensor in kept) > 2


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_without_a_threshold_it_is_the_identity_with_its_gradient(dtype):
    x = torch.stack([torch.zeros(4, dtype=dtype), draw(4, dtype=dtype)]).requires_grad_()
    out = soft_threshold(x, torch.zeros(()))
    (grad,) = torch.autograd.grad(out.abs().square().sum() / 2 + out.real.sum(), x)
    torch.testing.assert_close(out, x)
    torch.testing.assert_close(grad, x + 1)


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_scale_goes_through(scale):
    x = draw(50, dtype=torch.complex64)
    torch.testing.assert_close(soft_threshold(scale * x, scale * 0.5) / scale, soft_threshold(x, 0.5))


def test_nan_stays_nan():
    assert soft_threshold(torch.tensor([torch.nan, 1.0]), 0.5).isnan().tolist() == [True, False]


def test_threshold_below_zero_is_refused():
    with pytest.raises(InputError, match="threshold must be 0 or more, got -1"):
        soft_threshold(torch.ones(2), -1)
