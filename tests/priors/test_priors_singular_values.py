"""Functions of singular values against a full SVD and finite differences, on spectra that defeat autograd."""

import pytest
import torch

from kotowari.core.errors import InputError, ShapeError
from kotowari.priors.functional import gram_spectrum
from kotowari.priors.functional.gram_spectrum import LARGEST_GRAM, gram, left_spectrum
from kotowari.priors.functional.singular_values import (
    nuclear_norm,
    shrink_singular_values,
    singular_value_threshold,
    singular_values,
)

THRESHOLD = 0.7
PROMISED = {torch.float32: 2e-6, torch.float64: 1e-12}  # relative to the largest singular value
DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def with_spectrum(values, m, n, dtype=torch.float64):
    left = torch.linalg.qr(draw(m, len(values), dtype=dtype)).Q
    right = torch.linalg.qr(draw(n, len(values), dtype=dtype, seed=1)).Q
    return (left * torch.tensor(values, dtype=dtype)) @ right.mH


def spectra(dtype=torch.float64):
    distinct = with_spectrum([3.0, 2.0, 1.0, 0.5], 4, 9, dtype)
    return {
        "distinct": distinct,
        "tall": distinct.mT,
        "identity": 2 * torch.eye(4, 6, dtype=dtype),
        "repeated": with_spectrum([3.0, 3.0, 1.0, 1.0, 0.3], 5, 8, dtype),
        "nearly repeated": with_spectrum([3.0, 3.0 - 1e-7, 1.0, 1.0 - 1e-12, 0.3], 5, 8, dtype),
        "rank-deficient": with_spectrum([3.0, 2.0], 5, 8, dtype),
        "duplicate frames": torch.cat([distinct, distinct]),
        "few of many": with_spectrum([5.0, 3.0] + 10 * [0.1], 12, 20, dtype),
        "one row": draw(1, 5, dtype=dtype),
    }


NAMES = list(spectra())


def reference_threshold(x, threshold):
    u, s, vh = torch.linalg.svd(x.to(torch.complex128 if x.is_complex() else torch.float64), full_matrices=False)
    return (u * (s - threshold).clamp_min(0)) @ vh


def relative(ours, reference):
    return float((ours.to(reference.dtype) - reference).norm() / reference.norm())


def slope_error(function, x, seed=3):
    """Distance between the gradient and fourth-order differences along a random direction, relative to the gradient."""
    direction = draw(*x.shape, dtype=x.dtype, seed=seed)
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(function(leaf), leaf)
    ours = float((grad.conj() * direction).real.sum())
    step = 1e-4

    def along(distance):
        return float(function(x + distance * direction))

    slope = (8 * (along(step) - along(-step)) - (along(2 * step) - along(-2 * step))) / (12 * step)
    return abs(ours - slope) / float(grad.norm() * direction.norm())


def pulled(function, x):
    """Make a number of a matrix: its inner product with noise."""
    weights = draw(*x.shape, dtype=x.dtype, seed=7)
    return lambda z: (function(z) * weights.conj()).real.sum()


# ------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_values_are_those_of_a_full_svd(name, dtype, scale):
    x = scale * spectra(dtype)[name]
    exact = torch.linalg.svdvals(x.to(torch.complex128 if x.is_complex() else torch.float64))
    tol = PROMISED[x.real.dtype]
    reference = reference_threshold(x, scale * THRESHOLD)
    assert relative(singular_value_threshold(x, scale * THRESHOLD), reference) <= tol
    assert float((singular_values(x) - exact).abs().max()) <= tol * float(exact[0])
    assert abs(float(nuclear_norm(x) - exact.sum())) <= tol * float(exact.sum())
    smooth = (exact.square() + (0.1 * scale) ** 2).sqrt() - 0.1 * scale
    assert abs(float(nuclear_norm(x, 0.1 * scale) - smooth.sum())) <= tol * float(exact.sum())
    shrunk = shrink_singular_values(x, lambda s: (s - scale * THRESHOLD).clamp_min(0))
    assert relative(shrunk, reference) <= tol


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_zero_matrix_has_zero_everything(dtype):
    x = torch.zeros(2, 3, 5, dtype=dtype, requires_grad=True)
    for function in (lambda z: singular_value_threshold(z, 0.5), lambda z: shrink_singular_values(z, lambda s: s / 2)):
        assert torch.equal(function(x), torch.zeros_like(x))
    for function in (nuclear_norm, lambda z: nuclear_norm(z, 0.1), lambda z: singular_values(z).sum(-1)):
        value = function(x)
        (grad,) = torch.autograd.grad(value.sum(), x)
        assert torch.equal(value, torch.zeros(2, dtype=x.real.dtype))
        assert torch.equal(grad, torch.zeros_like(x))


def test_a_threshold_off_by_five_percent_is_caught():
    x = spectra()["distinct"]
    assert relative(singular_value_threshold(x, 1.05 * THRESHOLD), reference_threshold(x, THRESHOLD)) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("threshold", [1e-3, 1e-6, 1e-9])
def test_a_threshold_far_below_the_largest_value_loses_nothing(dtype, threshold):
    x = with_spectrum([1.0, 3 * threshold, 2 * threshold, threshold / 2], 4, 50).to(dtype)
    ours = singular_value_threshold(x, threshold)
    assert float((ours - reference_threshold(x, threshold)).norm()) <= PROMISED[dtype]


def test_squaring_alone_would_lose_it():
    x = with_spectrum([1.0, 3e-6, 2e-6], 3, 50).float()
    lossy = gram_spectrum.spectrum_of_gram(gram(x[None], torch.float32)).values[0]
    assert abs(float(lossy[1]) - 3e-6) > 1e-6


def test_the_path_is_chosen_matrix_by_matrix():
    easy = with_spectrum([1.0, 0.9, 0.1], 3, 50)
    hard = with_spectrum([1.0, 1e-9, 1e-10], 3, 50)
    together = singular_value_threshold(torch.stack([easy, hard]), 5e-10)
    for x, ours in zip((easy, hard), together, strict=True):
        assert relative(ours, reference_threshold(x, 5e-10)) < 1e-14
        torch.testing.assert_close(ours, singular_value_threshold(x, 5e-10), rtol=1e-12, atol=1e-14)


def test_float32_is_multiplied_in_double_where_products_are_rounded_more(monkeypatch):
    asked = []
    monkeypatch.setattr(gram_spectrum, "gram", lambda x, dtype: asked.append(dtype) or gram(x, dtype))
    x = with_spectrum([3.0, 2.0], 4, 9).float()
    singular_value_threshold(x, 1.0)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    singular_value_threshold(x, 1.0)
    assert asked == [torch.float32, torch.float64]


def test_a_long_short_side_goes_by_qr():
    x = with_spectrum([3.0, 2.0, 0.5], LARGEST_GRAM + 2, LARGEST_GRAM + 3)
    assert relative(singular_value_threshold(x, THRESHOLD), reference_threshold(x, THRESHOLD)) < 1e-13


@pytest.mark.parametrize("m", [8, 40])
def test_chunks_of_the_gram_matrix_add_up(m):
    x = draw(2, m, 9000, dtype=torch.complex64)
    wide = x.to(torch.complex128)
    torch.testing.assert_close(gram(x, torch.complex128).tril(), (wide @ wide.mH).tril())
    torch.testing.assert_close(gram(x[:1], torch.complex128).tril(), (wide[:1] @ wide[:1].mH).tril())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_matrix_that_is_not_finite_is_nan_and_leaves_the_others_alone(dtype):
    x = draw(3, 4, 6, dtype=dtype)
    alone = singular_value_threshold(x[0], 0.5)
    x[1, 0, 0], x[2, 1, 1] = torch.nan, torch.inf
    out = singular_value_threshold(x, 0.5)
    assert bool(out[1:].isnan().all())
    torch.testing.assert_close(out[0], alone)
    assert nuclear_norm(x).isnan().tolist() == [False, True, True]


def test_batch_axes_and_thresholds_of_each_matrix():
    x = draw(2, 3, 4, 6)
    thresholds = torch.tensor([[0.1, 0.5, 1.0], [2.0, 0.0, 9.0]], dtype=torch.float64)
    out = singular_value_threshold(x, thresholds)
    assert torch.equal(out, singular_value_threshold(x, thresholds[..., None, None]))
    for index in ((0, 0), (0, 2), (1, 0), (1, 1)):
        torch.testing.assert_close(out[index], reference_threshold(x[index], thresholds[index]))
    assert not out[1, 2].any()
    torch.testing.assert_close(
        singular_value_threshold(x, thresholds[0])[1], singular_value_threshold(x[1], thresholds[0])
    )
    assert nuclear_norm(x).shape == (2, 3)
    assert singular_values(x.mT).shape == (2, 3, 4)


# ---------------------------------------------------------------------------------------------------------- gradients

SMOOTH = {
    "threshold": lambda z: singular_value_threshold(z, THRESHOLD),
    "linear": lambda z: shrink_singular_values(z, lambda s: s / 1.6),
    "odd": lambda z: shrink_singular_values(z, lambda s: s**3 / (1 + s**2)),
    "joint": lambda z: shrink_singular_values(z, lambda s: s / (1 + s.square().sum(-1, keepdim=True))),
    "as a shrink": lambda z: shrink_singular_values(z, lambda s: (s - THRESHOLD).clamp_min(0)),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("function", SMOOTH.values(), ids=SMOOTH)
def test_gradient_of_a_matrix_is_its_slope(function, name, dtype):
    x = spectra(dtype)[name]
    assert slope_error(pulled(function, x), x) < 4e-9


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_a_norm_is_its_slope(name, dtype):
    x = spectra(dtype)[name]
    assert slope_error(lambda z: nuclear_norm(z, 0.3), x) < 4e-9
    assert slope_error(lambda z: singular_values(z).square().sum(), x) < 4e-9
    if name not in {"rank-deficient", "duplicate frames"}:  # there it has a kink
        assert slope_error(nuclear_norm, x) < 4e-9


def test_autograd_through_an_svd_fails_where_ours_does_not():
    x = spectra()["identity"].requires_grad_()
    (grad,) = torch.autograd.grad(pulled(lambda z: reference_threshold(z, THRESHOLD), x.detach())(x), x)
    assert not bool(grad.isfinite().all())


def test_a_gradient_without_its_off_diagonal_part_is_caught():
    x = spectra()["distinct"]

    def frozen(z):
        u = torch.linalg.svd(z.detach(), full_matrices=False).U
        factors = (1 - THRESHOLD / singular_values(z)).clamp_min(0)
        return (u * factors) @ u.mH @ z

    assert slope_error(pulled(frozen, x), x) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_gradient_by_the_threshold_is_its_slope(dtype):
    x = torch.stack([spectra(dtype)["distinct"], 2 * spectra(dtype)["distinct"]])
    thresholds = torch.tensor([0.7, 1.3], dtype=torch.float64, requires_grad=True)
    weights = draw(*x.shape, dtype=dtype, seed=7)
    torch.autograd.gradcheck(lambda t: (singular_value_threshold(x, t) * weights).real.sum((1, 2)), thresholds)
    torch.autograd.gradcheck(lambda t: singular_value_threshold(x, t), thresholds[0].detach().requires_grad_())


def test_tensors_that_a_shrink_closes_over_get_gradients():
    x = spectra()["repeated"]
    weights = torch.tensor([0.1, 0.1, 0.2, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda w: shrink_singular_values(x, lambda s: (s - w).clamp_min(0)), weights)


@pytest.mark.parametrize("name", ["rank-deficient", "duplicate frames", "distinct"])
def test_nuclear_gradient_is_the_shortest_subgradient(name):
    x = spectra()[name].requires_grad_()
    (grad,) = torch.autograd.grad(nuclear_norm(x), x)
    u, s, vh = torch.linalg.svd(x.detach(), full_matrices=False)
    kept = s > 1e-10
    torch.testing.assert_close(grad, u[:, kept] @ vh[kept])


@pytest.mark.parametrize("m", [6, 40])
@pytest.mark.parametrize("rank", [1, 3, 6])
def test_few_and_many_kept_values_give_one_gradient(m, rank):
    x = with_spectrum([3.0 + i for i in range(rank)] + (6 - rank) * [0.1], m, 60)
    assert slope_error(pulled(lambda z: singular_value_threshold(z, 1.0), x), x) < 4e-9


def test_single_precision_gradients_are_close_to_double():
    x, weights = draw(2, 16, 300), draw(2, 16, 300, seed=1)
    grads = []
    for dtype in (torch.float64, torch.float32):
        leaf = x.to(dtype).requires_grad_()
        grads += torch.autograd.grad((singular_value_threshold(leaf, 15.0) * weights.to(dtype)).sum(), leaf)
    assert relative(grads[1], grads[0]) < 3e-6


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("function", [lambda z: singular_value_threshold(z, 1), nuclear_norm, singular_values])
def test_what_is_no_matrix_is_refused(function):
    with pytest.raises(ShapeError, match=r"\.\.\., m, n"):
        function(torch.ones(3))
    with pytest.raises(InputError, match="real or complex floats"):
        function(torch.ones(3, 3, dtype=torch.int64))


def test_bad_numbers_are_refused():
    x = draw(2, 3, 4)
    with pytest.raises(InputError, match="threshold must be 0 or more"):
        singular_value_threshold(x, -0.1)
    with pytest.raises(ShapeError, match=r"threshold must have shape \(2\)"):
        singular_value_threshold(x, torch.ones(3))
    with pytest.raises(InputError, match="eps must be 0 or more"):
        nuclear_norm(x, -1.0)
    with pytest.raises(InputError, match="between 0 and the singular values"):
        shrink_singular_values(x, lambda s: 2 * s)
    with pytest.raises(ShapeError, match="result of shrink"):
        shrink_singular_values(x, lambda s: s[..., :1])


def test_left_vectors_are_orthonormal_and_values_descend():
    values, vectors = left_spectrum(draw(3, 5, 9), lambda squares, _: squares > 0)
    assert bool((values.diff(dim=1) <= 0).all())
    torch.testing.assert_close(vectors.mH @ vectors, torch.eye(5, dtype=torch.float64).expand(3, 5, 5))
