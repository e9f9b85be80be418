"""Operators as SciPy's, as deepinv's, and as dense matrices, against those matrices."""

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch import nn

from kotowari.core.errors import CapabilityError, InputError
from kotowari.operators.difference import FiniteDifference
from kotowari.operators.elementary import Diagonal, FromFunctions, Identity, Matrix
from kotowari.operators.interop import DeepinvView, to_dense, to_scipy
from kotowari.operators.sampling import Sampling

REAL_LINEAR = FromFunctions(lambda x: torch.complex(x, x), lambda y: y.real + y.imag, (3,), (3,), real_linear=True)


def _draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def _tall(dtype):
    """An operator of full column rank with axes to flatten: (3, 4) -> (2, 3, 4)."""
    return FiniteDifference((3, 4), boundary="dirichlet") @ Diagonal(_draw(3, 4, dtype=dtype).abs().to(dtype) + 0.5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_lsqr_solves_least_squares_as_numpy_does(dtype):
    operator = _tall(dtype)
    data = _draw(2, 3, 4, dtype=dtype, seed=2).flatten().numpy()
    found = scipy.sparse.linalg.lsqr(to_scipy(operator, dtype), data, atol=1e-14, btol=1e-14)[0]
    expected = np.linalg.lstsq(to_dense(operator, dtype).numpy(), data, rcond=None)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_svds_finds_the_largest_singular_values(dtype):
    operator = _tall(dtype)
    start = np.ones(12)
    found = scipy.sparse.linalg.svds(to_scipy(operator, dtype), k=3, v0=start, return_singular_vectors=False)
    expected = np.linalg.svd(to_dense(operator, dtype).numpy(), compute_uv=False)[:3]
    np.testing.assert_allclose(np.sort(found)[::-1], expected, rtol=1e-10)
    assert max(found) == pytest.approx(operator.norm(), rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
def test_products_with_vectors_and_matrices_are_those_of_the_dense_matrix(dtype, rng):
    operator = Matrix(_draw(3, 5, dtype=dtype))
    ours, dense = to_scipy(operator, dtype), to_dense(operator, dtype).numpy()
    assert (ours.shape, ours.dtype) == ((3, 5), dense.dtype)
    few, many = rng.standard_normal((5, 2)), rng.standard_normal((3, 4))
    close = {"rtol": 1e-4 if dtype.to_real() is torch.float32 else 1e-12, "atol": 1e-6}
    np.testing.assert_allclose(ours.matvec(few[:, 0]), dense @ few[:, 0], **close)
    np.testing.assert_allclose(ours.matvec(few[:, :1]), dense @ few[:, :1], **close)
    np.testing.assert_allclose(ours.rmatvec(many[:, 0]), dense.conj().T @ many[:, 0], **close)
    np.testing.assert_allclose(ours @ few, dense @ few, **close)
    np.testing.assert_allclose(ours.H @ many, dense.conj().T @ many, **close)
    assert ours.matvec(few[:, 0]).dtype == dense.dtype


def test_complex_whole_and_read_only_arrays_are_taken(rng):
    operator = Matrix(_draw(3, 5))
    ours, dense = to_scipy(operator, torch.float64), to_dense(operator).numpy()
    turned = rng.standard_normal(5) * 1j
    np.testing.assert_allclose(ours.matvec(turned), dense @ turned)
    np.testing.assert_allclose(ours.matvec(np.arange(5)), dense @ np.arange(5))
    fixed = np.arange(5.0)[::-1]
    fixed.flags.writeable = False
    np.testing.assert_allclose(ours.matvec(fixed), dense @ fixed)


def test_what_a_dtype_cannot_hold_is_refused():
    turned = Diagonal(torch.ones(3, dtype=torch.complex64))
    with pytest.raises(InputError, match=r"to_scipy: Diagonal.* makes real arrays complex\. Ask for torch\.complex128"):
        to_scipy(turned, torch.float64)
    assert to_scipy(turned, torch.complex64).dtype == np.complex64


@pytest.mark.parametrize("function", [to_scipy, to_dense])
def test_maps_over_the_reals_have_no_complex_matrix(function):
    with pytest.raises(CapabilityError, match=r"FromFunctions.* is linear over the reals only"):
        function(REAL_LINEAR)


def test_learned_operators_are_handed_over_without_their_graph():
    operator = Matrix(nn.Parameter(_draw(3, 5)))
    assert to_scipy(operator).matvec(np.ones(5)).shape == (3,)
    assert not to_dense(operator).requires_grad


def test_the_dense_matrix_of_known_operators():
    assert torch.equal(to_dense(Identity((2, 3))), torch.eye(6, dtype=torch.float64))
    picked = to_dense(Sampling(torch.tensor([2, 0]), (3,)), torch.float32)
    assert torch.equal(picked, torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    assert to_dense(Diagonal(torch.ones(2, dtype=torch.complex64)), torch.float32).dtype == torch.complex64


def test_the_deepinv_view_has_the_names_and_nothing_else_changes():
    operator = FiniteDifference((4, 5)) @ Diagonal(nn.Parameter(_draw(4, 5)))
    view = DeepinvView(operator)
    x = _draw(2, 1, 4, 5, seed=2)
    y = view.A(x)
    assert y.shape == (2, 1, 2, 4, 5)
    torch.testing.assert_close(y, operator(x))
    torch.testing.assert_close(view(x), y)
    torch.testing.assert_close(view.A_adjoint(y), operator.H(y))
    assert len(list(view.parameters())) == 1


def test_a_gradient_method_written_for_deepinv_runs_on_the_view():
    """Its solvers know ``A`` and ``A_adjoint`` only."""
    operator = _tall(torch.float64)
    view, truth = DeepinvView(operator), _draw(1, 3, 4, seed=3)
    y, x = view.A(truth), torch.zeros(1, 3, 4, dtype=torch.float64)
    step = 1 / (1.01 * operator.norm()) ** 2
    for _ in range(4000):
        x = x - step * view.A_adjoint(view.A(x) - y)
    torch.testing.assert_close(x, truth, rtol=1e-6, atol=1e-6)
