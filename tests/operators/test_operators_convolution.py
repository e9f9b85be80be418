"""Convolution against SciPy and torch, by both of its ways, with learned kernels."""

import numpy as np
import pytest
import torch
from scipy import ndimage, signal
from torch.nn import functional

from kotowari.core.errors import InputError, ShapeError
from kotowari.operators import convolution
from kotowari.operators.convolution import Convolution
from kotowari.testing.gradient import assert_gradient

SIZES = [((5,), (20,)), ((4,), (20,)), ((70,), (90,)), ((3, 4), (8, 9)), ((9, 9), (16, 15)), ((3, 2, 3), (5, 6, 7))]


def _draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("width", "space"), SIZES)
@pytest.mark.parametrize("anchor", ["centre", "causal"])
def test_zero_boundary_is_a_cut_of_the_full_convolution(width, space, anchor):
    kernel, x = _draw(*width), _draw(*space, seed=2)
    full = signal.convolve(x.numpy(), kernel.numpy(), method="direct")
    starts = [w // 2 if anchor == "centre" else 0 for w in width]
    expected = full[tuple(slice(start, start + n) for start, n in zip(starts, space, strict=True))]
    ours = Convolution(kernel, space, boundary="zero", anchor=anchor)(x)
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("width", "space"), SIZES)
def test_periodic_boundary_is_that_of_ndimage(width, space):
    kernel, x = _draw(*width), _draw(*space, seed=2)
    expected = ndimage.convolve(x.numpy(), kernel.numpy(), mode="wrap")
    np.testing.assert_allclose(Convolution(kernel, space)(x).numpy(), expected, atol=1e-12)


def test_a_bank_sums_over_its_inputs():
    bank, x = _draw(3, 2, 5), _draw(2, 20, seed=2)
    ours = Convolution(bank, (2, 20), boundary="zero")(x)
    for o in range(3):
        expected = sum(np.convolve(x[i].numpy(), bank[o, i].numpy())[2:22] for i in range(2))
        np.testing.assert_allclose(ours[o].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_causal_synthesis_from_atoms_is_a_transposed_convolution_and_its_adjoint_a_correlation(dtype):
    atoms, z, r = _draw(16, 1, 64, dtype=dtype), _draw(2, 16, 300, dtype=dtype), _draw(2, 1, 300, dtype=dtype)
    synthesis = Convolution(atoms.transpose(0, 1), (16, 300), boundary="zero", anchor="causal")
    bar = {"rtol": 0, "atol": 2000 * torch.finfo(dtype).eps}
    torch.testing.assert_close(synthesis(z), functional.conv_transpose1d(z, atoms)[..., :300], **bar)
    torch.testing.assert_close(synthesis.H(r), functional.conv1d(functional.pad(r, (0, 63)), atoms), **bar)


@pytest.mark.parametrize("boundary", ["periodic", "zero"])
@pytest.mark.parametrize("anchor", ["centre", "causal"])
@pytest.mark.parametrize(("shape", "domain"), [((2, 3, 5), (3, 12)), ((3, 2, 4), (2, 12)), ((3, 4), (2, 6, 7))])
def test_both_ways_of_computing_agree(shape, domain, anchor, boundary, monkeypatch):
    operator = Convolution(_draw(*shape), domain, boundary=boundary, anchor=anchor)
    x, y = _draw(2, *domain, seed=2), _draw(2, *operator.codomain, seed=3)
    direct = operator(x), operator.H(y)
    monkeypatch.setattr(convolution, "_MOST_DIRECT_TAPS", 0)
    for ours, other in zip((operator(x), operator.H(y)), direct, strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-13)
        assert not torch.equal(ours, other)  # so it was indeed another way


def test_a_centred_unit_kernel_changes_nothing():
    x = _draw(2, 7, 8)
    for boundary in ("periodic", "zero"):
        for width in (3, 4):
            kernel = torch.zeros(width, width, dtype=torch.float64)
            kernel[width // 2, width // 2] = 1
            torch.testing.assert_close(Convolution(kernel, (7, 8), boundary=boundary)(x), x)


def test_causal_output_knows_no_future():
    operator = Convolution(_draw(4), (10,), boundary="zero", anchor="causal")
    x = _draw(10)
    later = x.clone()
    later[6:] += 1
    assert torch.equal(operator(x)[:6], operator(later)[:6])
    assert not torch.equal(operator(x)[6:], operator(later)[6:])


def test_one_kernel_blurs_every_leading_axis_alike():
    kernel, x = _draw(3, 3), _draw(4, 2, 5, 8, 9)
    ours = Convolution(kernel, (2, 5, 8, 9))(x)
    for index in np.ndindex(4, 2, 5):
        torch.testing.assert_close(ours[index], Convolution(kernel, (8, 9))(x[index]))


def test_the_periodic_norm_of_a_blur_is_its_largest_frequency():
    kernel = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    assert Convolution(kernel, (16,)).norm() == pytest.approx(1.0, abs=1e-14)
    sharpened = torch.tensor([-1.0, 3.0, -1.0], dtype=torch.float64)
    assert Convolution(sharpened, (16,)).norm() == pytest.approx(5.0, abs=1e-13)
    assert 4.9 < Convolution(sharpened, (16,), boundary="zero").norm() < 5.0


@pytest.mark.parametrize("most_direct", [0, 64], ids=["Fourier", "direct"])
@pytest.mark.parametrize("boundary", ["periodic", "zero"])
@pytest.mark.parametrize(("shape", "domain"), [((1, 3, 4), (3, 8)), ((2, 1, 2, 3), (1, 5, 6))])
def test_gradients_reach_the_kernel_through_forward_and_adjoint(shape, domain, boundary, most_direct, monkeypatch):
    monkeypatch.setattr(convolution, "_MOST_DIRECT_TAPS", most_direct)
    rng = torch.Generator().manual_seed(0)
    x = _draw(2, *domain, seed=2)

    def there_and_back(kernel):
        operator = Convolution(kernel, domain, boundary=boundary)
        return operator.adjoint(operator(x))

    assert_gradient(there_and_back, _draw(*shape), rng=rng)


def test_only_a_learned_kernel_is_a_parameter():
    kernel = _draw(1, 2, 3)
    learned = Convolution(kernel, (2, 8), learn=True)
    assert [name for name, _ in learned.named_parameters()] == ["kernel"]
    with torch.no_grad():
        learned.kernel.zero_()
    assert kernel.abs().min() > 0  # the tensor that was given stays as it was
    assert not list(Convolution(kernel, (2, 8)).parameters())
    shared = torch.nn.Parameter(kernel)
    assert Convolution(shared, (2, 8)).kernel is shared


def test_a_kernel_that_is_learned_elsewhere_gets_its_gradient():
    kernel = _draw(1, 2, 3).requires_grad_()
    Convolution(2 * kernel, (2, 8))(_draw(2, 8)).square().sum().backward()
    assert kernel.grad.abs().min() > 0


@pytest.mark.parametrize(
    ("kernel", "domain", "options", "error", "match"),
    [
        (torch.ones(2, 4, 3), (3, 9), {}, ShapeError, r"shape \(out, 3, \*width\)"),
        (torch.ones(3, 3, 3, 3), (9, 9), {}, ShapeError, "1 to 3 axes"),
        (torch.tensor(1.0), (9,), {}, ShapeError, "1 to 3 axes"),
        (torch.ones(0), (9,), {}, ShapeError, "1 to 3 axes"),
        (torch.ones(3, dtype=torch.long), (9,), {}, InputError, "real or complex floats"),
        (torch.ones(10), (9,), {}, ShapeError, "must not be wider than its axis"),
        (torch.ones(3), (9,), {"boundary": "reflect"}, InputError, "boundary must be 'periodic' or 'zero'"),
        (torch.ones(3), (9,), {"anchor": "left"}, InputError, "anchor 'centre' or 'causal'"),
    ],
)
def test_kernels_and_options_that_do_not_fit_are_refused(kernel, domain, options, error, match):
    with pytest.raises(error, match=match):
        Convolution(kernel, domain, **options)
