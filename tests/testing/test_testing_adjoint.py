"""The laws of operators catch what is wrong, and let pass what is right."""

import pytest
import torch
from torch import nn

from kotowari.core.errors import InputError
from kotowari.operators.difference import FiniteDifference
from kotowari.operators.elementary import Diagonal, Identity
from kotowari.operators.linear import LinearOperator, Stacked
from kotowari.testing.adjoint import assert_adjoint, assert_backward, assert_batched, assert_linear, assert_norm
from kotowari.testing.noise import noise, tolerance

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]
REAL = [torch.float32, torch.float64]
COMPLEX = [torch.complex64, torch.complex128]


class Given(LinearOperator):
    """An operator on rows of six, made of what a test gives it; by default the identity."""

    domain = codomain = (6,)

    def __init__(self, forward=lambda x: x, adjoint=lambda y: y, norm=None, **attributes):
        super().__init__()
        self.functions, self.known_norm = (forward, adjoint), norm
        for name, value in attributes.items():
            setattr(self, name, value)

    def _forward(self, x):
        return self.functions[0](x)

    def _adjoint(self, y):
        return self.functions[1](y)

    def _norm(self):
        return self.known_norm if self.known_norm is not None else super()._norm()


def half_spectrum(n=6, adjoint=None):
    """Fourier transform of real rows, the redundant half left out: linear over the reals only."""

    def back(y):
        return (n * torch.fft.ifft(torch.nn.functional.pad(y, (0, n - y.shape[-1])), dim=-1)).real

    return Given(
        lambda x: torch.fft.rfft(x, dim=-1), adjoint or back, codomain=(n // 2 + 1,), domain=(n,), real_linear=True
    )


@pytest.fixture
def draws():
    return torch.Generator().manual_seed(0)


# the adjoint


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("forward", "adjoint"),
    [
        (lambda x: x.cumsum(-1), lambda y: y.cumsum(-1)),  # should run backwards
        (lambda x: x, lambda y: 1.001 * y),
        (lambda x: x, lambda y: -y),
        (lambda x: x.roll(1, -1), lambda y: y.roll(1, -1)),
        (lambda x: x, lambda y: torch.nan * y),
    ],
    ids=["cumsum", "a thousandth off", "sign", "roll", "nan"],
)
def test_a_wrong_adjoint_is_caught(forward, adjoint, dtype, draws):
    with pytest.raises(AssertionError, match=r"Given\(\(6,\) -> \(6,\)\): <Ax, y> = .* relative gap"):
        assert_adjoint(Given(forward, adjoint), dtype, rng=draws)


def test_an_error_of_rounding_size_passes_in_its_own_precision_only(draws):
    nearly = Given(lambda x: x, lambda y: (1 + 1e-7) * y)
    assert_adjoint(nearly, torch.float32, rng=draws)
    with pytest.raises(AssertionError, match="relative gap"):
        assert_adjoint(nearly, torch.float64, rng=draws)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_transpose_in_place_of_the_adjoint_is_caught_in_real_input_too(dtype, draws):
    forgot_to_conjugate = Given(lambda x: 1j * x, lambda y: 1j * y)
    with pytest.raises(AssertionError, match="relative gap"):
        assert_adjoint(forgot_to_conjugate, dtype, rng=draws)
    assert_adjoint(Given(lambda x: 1j * x, lambda y: -1j * y), dtype, rng=draws)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_wrong_shapes_are_caught(dtype, draws):
    with pytest.raises(AssertionError, match=r"forward gave shape \(2, 5\), not \(2, 6\)"):
        assert_adjoint(Given(forward=lambda x: x[..., 1:]), dtype, rng=draws)
    with pytest.raises(AssertionError, match=r"adjoint gave shape \(12,\), not \(2, 6\)"):
        assert_adjoint(Given(adjoint=lambda y: y.flatten()), dtype, rng=draws)


@pytest.mark.parametrize("dtype", COMPLEX, ids=str)
def test_a_lost_imaginary_part_is_caught(dtype, draws):
    with pytest.raises(AssertionError, match=r"forward gave torch\.float.*, not torch\.complex"):
        assert_adjoint(Given(lambda x: x.real, lambda y: y.real), dtype, rng=draws)
    with pytest.raises(AssertionError, match=r"adjoint gave torch\.float"):
        assert_adjoint(Given(lambda x: x, lambda y: y.real), dtype, rng=draws)


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_an_imaginary_part_gained_on_the_way_back_is_caught(dtype, draws):
    with pytest.raises(AssertionError, match=r"adjoint gave torch\.complex"):
        assert_adjoint(Given(lambda x: x, lambda y: torch.complex(y, 0 * y)), dtype, rng=draws)


def test_lost_and_gained_precision_are_caught(draws):
    with pytest.raises(AssertionError, match=r"forward gave torch.float32, not torch\.complex128 or torch\.float64"):
        assert_adjoint(Given(forward=lambda x: x.float()), torch.float64, rng=draws)
    with pytest.raises(AssertionError, match=r"adjoint gave torch.float64, not torch\.float32"):
        assert_adjoint(Given(adjoint=lambda y: y.double()), torch.float32, rng=draws)


# linear over the reals only


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "operator",
    [
        half_spectrum(),
        half_spectrum().H,
        half_spectrum().gram,
        half_spectrum() @ half_spectrum().H,
        -2.0 * half_spectrum(),
        half_spectrum() + 3 * half_spectrum(),
        Stacked([half_spectrum(), 2 * half_spectrum()]).H,
        half_spectrum() @ Diagonal(torch.arange(1.0, 7.0)),
        Diagonal(torch.arange(1.0, 5.0) + 1j) @ half_spectrum(),
        (Diagonal(torch.arange(1.0, 5.0) + 1j) @ half_spectrum()).H,
    ],
    ids=["itself", "adjoint", "gram", "there and back", "scaled", "sum", "stack", "inner", "outer", "outer, adjoint"],
)
def test_maps_linear_over_the_reals_are_judged_by_real_parts(operator, dtype, draws):
    assert_adjoint(operator, dtype, rng=draws)
    assert_linear(operator, dtype, rng=draws)
    assert_batched(operator, dtype, rng=draws)
    if dtype is torch.float64:
        assert_norm(operator, rng=draws)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_inverse_in_place_of_the_adjoint_over_the_reals_is_caught(dtype, draws):
    wrong = half_spectrum(adjoint=lambda y: torch.fft.irfft(y, 6, dim=-1))
    for operator in (wrong, wrong.H):
        with pytest.raises(AssertionError, match="relative gap"):
            assert_adjoint(operator, dtype, rng=draws)


def test_a_complex_adjoint_over_the_reals_is_caught(draws):
    whole = half_spectrum(adjoint=lambda y: 6 * torch.fft.ifft(torch.nn.functional.pad(y, (0, 2)), dim=-1))
    with pytest.raises(AssertionError, match=r"adjoint gave torch\.complex128, not torch\.float64"):
        assert_adjoint(whole, rng=draws)


def test_real_output_of_a_map_to_complex_arrays_is_caught(draws):
    with pytest.raises(AssertionError, match=r"forward gave torch\.float64, not torch\.complex128"):
        assert_adjoint(Given(real_linear=True), rng=draws)


# linearity


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda x: x + 1, r"A\(0\) is not 0"),
        (lambda x: x.abs().to(x.dtype), "not homogeneous"),
        (lambda x: x * x.abs(), "not homogeneous"),
        (lambda x: x / x.abs().amax().clamp_min(1e-30), "not homogeneous"),
        (lambda x: x.sort(-1, descending=True)[0] if not x.is_complex() else x * x, "not "),
    ],
    ids=["offset", "abs", "square", "normalised", "sorted"],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_is_not_linear_is_caught(wrong, sentence, dtype, draws):
    with pytest.raises(AssertionError, match=sentence):
        assert_linear(Given(wrong), dtype, rng=draws)


def test_homogeneous_is_not_enough(draws):
    with pytest.raises(AssertionError, match="not additive"):
        assert_linear(Given(lambda x: (x**3).sum(-1, keepdim=True).abs().pow(1 / 3) * x.sign()), rng=draws)


def test_a_conjugate_is_caught_by_a_complex_factor(draws):
    assert_linear(Given(lambda x: x.conj()), torch.float64, rng=draws)
    with pytest.raises(AssertionError, match="not homogeneous"):
        assert_linear(Given(lambda x: x.conj()), torch.complex128, rng=draws)


# norm and constants


@pytest.mark.parametrize("factor", [1 - 1e-9, 1 + 1e-9, 0.5, 0.0, 2.0, float("nan")])
def test_a_wrong_norm_is_caught(factor, draws):
    operator = FiniteDifference((6,))
    wrong = Given(lambda x: operator(x)[..., 0, :], lambda y: operator.adjoint(y[..., None, :]))
    assert_norm(wrong, rng=draws)
    wrong.known_norm = factor * operator.norm()
    with pytest.raises(AssertionError, match=r"norm\(\) = .*, but the largest singular value is 1.93185"):
        assert_norm(wrong, rng=draws)


@pytest.mark.parametrize("name", ["coisometry", "isometry"])
def test_a_wrong_constant_is_caught(name, draws):
    assert_norm(Given(**{name: 1.0}), rng=draws)
    with pytest.raises(AssertionError, match=rf"Given.*: {name} = 1.001 does not hold, relative gap 0.001"):
        assert_norm(Given(norm=1.0, **{name: 1.001}), rng=draws)


def test_coisometry_and_isometry_are_told_apart(draws):
    def pick(**constant):
        return Given(lambda x: x[..., :2], lambda y: nn.functional.pad(y, (0, 4)), codomain=(2,), **constant)

    assert_norm(pick(coisometry=1.0), rng=draws)
    assert_norm(pick(coisometry=1.0).H, rng=draws)
    for wrong in (pick(isometry=1.0), pick(isometry=1.0).H):
        with pytest.raises(AssertionError, match="isometry = 1 does not hold"):
            assert_norm(wrong, rng=draws)


def test_a_norm_by_the_power_method_may_lie_a_little_below(draws):
    def scaled(largest):
        weights = torch.tensor([largest, 1.0, 0.5, 0.2, 0.1, 0.1], dtype=torch.float64)
        return Given(lambda x: weights.to(x) * x, lambda y: weights.to(y) * y)

    assert scaled(1.0)._norm() is None
    assert_norm(scaled(1.0), rng=draws)
    assert_norm(scaled(1.01), rng=draws)


def test_an_operator_too_large_for_a_matrix_is_refused(draws):
    with pytest.raises(InputError, match=r"Identity.* is too large for its singular values\."):
        assert_norm(Identity((64, 64)), rng=draws)


# batches and gradients


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x.flip(0),
        lambda x: x - x.mean(tuple(range(x.ndim - 1)), keepdim=True) if x.ndim > 1 else x,
        lambda x: x.flatten(0, -2) if x.ndim > 2 else x,
        lambda x: x.swapaxes(0, 1) if x.ndim > 2 else x,
    ],
    ids=["flipped", "centred", "flattened", "swapped"],
)
def test_batches_that_are_mixed_are_caught(mixed, draws):
    for operator in (Given(mixed), Given(adjoint=mixed)):
        with pytest.raises(AssertionError, match="batch axes are not mapped one by one"):
            assert_batched(operator, rng=draws)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_broken_gradients_are_caught(dtype, draws):
    with pytest.raises(AssertionError, match="does not know the input, so no gradient can pass"):
        assert_backward(Given(lambda x: x.detach().clone()), dtype, rng=draws)
    with pytest.raises(AssertionError, match="the gradient is not the adjoint"):
        assert_backward(Given(lambda x: x + x.detach(), lambda y: 2 * y), dtype, rng=draws)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sound_operators_pass_every_law(dtype, draws):
    for operator in (Identity((4, 6)), FiniteDifference((4, 6)), 1j * Diagonal(torch.arange(6.0)), Given()):
        assert_adjoint(operator, dtype, rng=draws)
        assert_linear(operator, dtype, rng=draws)
        assert_norm(operator, dtype, rng=draws)
        assert_batched(operator, dtype, rng=draws)
        assert_backward(operator, dtype, rng=draws)


# draws and bars


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_noise_repeats_with_its_seed_and_fills_both_parts(dtype):
    first, again = (noise((3, 4), dtype, torch.Generator().manual_seed(5)) for _ in range(2))
    assert first.dtype == dtype
    assert torch.equal(first, again)
    assert not dtype.is_complex or bool((first.imag != 0).all())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tolerance_is_ten_roundings_that_grow_as_a_walk(dtype):
    assert tolerance(dtype, 1) == 10 * torch.finfo(dtype).eps
    assert tolerance(dtype, 400) == pytest.approx(20 * tolerance(dtype, 1))
    assert tolerance(dtype, 0) == tolerance(dtype, 1)
