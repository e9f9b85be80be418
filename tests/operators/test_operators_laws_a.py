"""Laws of the elementary operators, of differences, of sampling and of reshaping."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.operators import casorati, difference, elementary, sampling
from kotowari.operators.casorati import Casorati
from kotowari.operators.difference import FiniteDifference
from kotowari.operators.elementary import Diagonal, FromFunctions, Identity, Matrix
from kotowari.operators.interop import to_dense
from kotowari.operators.linear import LinearOperator
from kotowari.operators.sampling import Mask, Sampling
from kotowari.testing.adjoint import assert_adjoint, assert_backward, assert_batched, assert_linear, assert_norm

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]


def _draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


MASK = _draw(4, 7) > 0
CASES = {
    "identity": Identity((4, 7)),
    "diagonal, real": Diagonal(_draw(4, 7)),
    "diagonal, complex": Diagonal(_draw(4, 7, dtype=torch.complex64)),
    "diagonal, broadcast": Diagonal(_draw(7), (2, 4, 7)),
    "diagonal, learned": Diagonal(nn.Parameter(_draw(4, 7))),
    "matrix, wide": Matrix(_draw(4, 7)),
    "matrix, tall and complex": Matrix(_draw(7, 4, dtype=torch.complex128)),
    "functions": FromFunctions(lambda x: x.flip(-1), lambda y: y.flip(-1), (4, 7), (4, 7)),
    "functions, the input itself": FromFunctions(lambda x: x, lambda y: y, (3,), (3,)),
    "functions, a view": FromFunctions(
        lambda x: x[..., 0], lambda y: nn.functional.pad(y.unsqueeze(-1), (0, 1)), (3, 2), (3,)
    ),
    "functions, real to complex": FromFunctions(
        lambda x: torch.complex(x[..., :3], x[..., 2:]),
        lambda y: torch.cat([y.real[..., :2], y.real[..., 2:] + y.imag[..., :1], y.imag[..., 1:]], -1),
        (5,),
        (3,),
        real_linear=True,
    ),
    **{
        f"differences, {boundary}, {'x'.join(map(str, domain))}": FiniteDifference(domain, boundary=boundary)
        for boundary in ("neumann", "periodic", "dirichlet")
        for domain in ((1,), (2,), (7,), (4, 1), (5, 6), (3, 4, 5))
    },
    "differences, some axes and spacings": FiniteDifference((3, 4, 5), (-1, 0), spacing=(0.5, 2.0)),
    "differences, one spacing": FiniteDifference((4, 7), (1,), spacing=0.1, boundary="periodic"),
    "mask": Mask(MASK),
    "mask, broadcast": Mask(MASK[0], (3, 7)),
    "mask, all": Mask(torch.ones(4, dtype=torch.bool)),
    "mask, none": Mask(torch.zeros(4, dtype=torch.bool)),
    "sampling by mask": Sampling(MASK, (4, 7)),
    "sampling by index": Sampling(torch.tensor([5, 0, 3]), (2, 3)),
    "sampling, repeated": Sampling(torch.tensor([5, 0, 5, 5, 3]), (2, 3)),
    "sampling, each twice": Sampling(torch.arange(6).repeat(2), (2, 3)),
    "casorati, frames first": Casorati((3, 4, 5)),
    "casorati, frames last": Casorati((3, 4, 5), rows=(-1,)),
    "casorati, rows of two axes": Casorati((2, 3, 4, 5), rows=(3, 1)),
}


@pytest.fixture
def draws():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_operators_have_their_adjoint(operator, dtype, draws):
    assert_adjoint(operator, dtype, rng=draws)
    assert_adjoint(operator.H, dtype, rng=draws)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_operators_are_linear_on_each_entry_of_a_batch(operator, dtype, draws):
    assert_linear(operator, dtype, rng=draws)
    assert_batched(operator, dtype, rng=draws)


@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_norms_and_constants_are_those_of_the_dense_matrix(operator, draws):
    assert_norm(operator, rng=draws)
    if not operator.real_linear:
        assert_norm(operator.H, rng=draws)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_gradients_pass_through_the_operators(operator, dtype, draws):
    assert_backward(operator, dtype, rng=draws)


@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_an_empty_batch_stays_empty(operator):
    if operator.real_linear:
        assert operator(torch.zeros(0, *operator.domain)).shape == (0, *operator.codomain)
    else:
        y = operator(torch.zeros(0, *operator.domain))
        assert operator.adjoint(y).shape == (0, *operator.domain)


def test_every_public_operator_has_a_case():
    modules = (casorati, difference, elementary, sampling)
    things = [getattr(module, name) for module in modules for name in module.__all__]
    public = {thing for thing in things if isinstance(thing, type) and issubclass(thing, LinearOperator)}
    assert public <= {type(operator) for operator in CASES.values()}


# differences


@pytest.mark.parametrize(
    ("boundary", "last"),
    [("neumann", [0, 0, 0, 0, 0]), ("periodic", [1, 0, 0, 0, -1]), ("dirichlet", [0, 0, 0, 0, -1])],
)
def test_differences_are_the_matrix_of_their_formula(boundary, last):
    expected = torch.diag(torch.ones(4, dtype=torch.float64), 1) - torch.eye(5, dtype=torch.float64)
    expected[-1] = torch.tensor(last)
    dense = to_dense(FiniteDifference((5,), spacing=0.25, boundary=boundary))
    torch.testing.assert_close(dense, 4 * expected, rtol=0, atol=0)


def test_differences_agree_with_numpy_along_every_axis(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    ours = FiniteDifference((3, 4, 5), (1, -1, 0), spacing=(1.0, 0.5, 3.0))(torch.from_numpy(x)).numpy()
    assert ours.shape == (2, 3, 3, 4, 5)
    np.testing.assert_allclose(ours[:, 0, :, :-1], np.diff(x, axis=2), rtol=1e-14)
    np.testing.assert_allclose(ours[:, 1, :, :, :-1], np.diff(x, axis=3) / 0.5, rtol=1e-14)
    np.testing.assert_allclose(ours[:, 2, :-1], np.diff(x, axis=1) / 3.0, rtol=1e-14)
    assert not ours[:, 0, :, -1].any()


def test_what_stands_at_the_far_edge_does_not_reach_the_neumann_adjoint():
    y = torch.zeros(1, 4)
    y[0, -1] = torch.nan
    assert not FiniteDifference((4,)).adjoint(y).isnan().any()


@given(
    n=st.integers(1, 40),
    spacing=st.floats(1e-3, 1e3),
    boundary=st.sampled_from(["neumann", "periodic", "dirichlet"]),
)
def test_the_norm_of_differences_is_exact_for_every_length(n, spacing, boundary):
    operator = FiniteDifference((n,), spacing=spacing, boundary=boundary)
    dense = float(torch.linalg.matrix_norm(to_dense(operator), 2))
    assert operator.norm() == pytest.approx(dense, rel=1e-12, abs=0)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # forward mode itself warns
def test_differences_serve_second_derivatives_and_transforms(draws):
    operator = FiniteDifference((4, 5), spacing=0.5)
    x = torch.randn(3, 4, 5, dtype=torch.float64, generator=draws)
    assert torch.autograd.gradcheck(operator, x[:1].requires_grad_(), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(operator, x[:1].requires_grad_())
    torch.testing.assert_close(torch.vmap(operator)(x), operator(x))
    torch.testing.assert_close(torch.vmap(operator, in_dims=2)(x.movedim(0, 2)), operator(x))
    energy = torch.func.grad(lambda z: 0.5 * operator(z).square().sum())
    torch.testing.assert_close(energy(x), operator.gram(x))


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        (((4, 7), (2,)), {}, r"axes must name some of the 2 axes of the domain, got \(2,\)"),
        (((4, 7), (-3,)), {}, "axes must name some of the 2 axes"),
        (((4, 7), ()), {}, "axes must name some of the 2 axes"),
        (((4, 7), (1, -1)), {}, "an axis stands twice"),
        (((4, 7),), {"spacing": (1.0,)}, "one for each of 2 axes"),
        (((4, 7),), {"spacing": 0.0}, "one number above 0"),
        (((4, 7),), {"spacing": (1.0, float("nan"))}, "above 0"),
        (
            ((4, 7),),
            {"boundary": "mirror"},
            "boundary must be one of .'neumann', 'periodic', 'dirichlet'., got 'mirror'",
        ),
        (((4, 0),), {}, r"every axis of domain must have 1 entry or more, got \(4, 0\)"),
    ],
)
def test_differences_that_cannot_be_are_refused_in_one_sentence(arguments, options, sentence):
    with pytest.raises((InputError, ShapeError), match=sentence):
        FiniteDifference(*arguments, **options)


# elementary


def test_diagonal_and_matrix_compute_what_their_names_say():
    weights, matrix, x = _draw(4, 7), _draw(4, 7, seed=2), _draw(2, 4, 7, seed=3)
    torch.testing.assert_close(Diagonal(weights)(x), weights * x)
    torch.testing.assert_close(Matrix(matrix)(x), torch.einsum("ij,bkj->bki", matrix, x))
    torch.testing.assert_close(to_dense(Matrix(matrix)), matrix, rtol=0, atol=0)


@pytest.mark.parametrize("stored", DTYPES, ids=str)
@pytest.mark.parametrize("given", DTYPES, ids=str)
def test_the_input_decides_the_precision_and_the_operator_whether_it_is_complex(stored, given):
    expected = given.to_complex() if stored.is_complex else given
    for operator in (Diagonal(torch.ones(3, dtype=stored)), Matrix(torch.ones(3, 3, dtype=stored))):
        assert operator(torch.ones(3, dtype=given)).dtype == expected
        assert operator.adjoint(torch.ones(3, dtype=given)).dtype == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_stays_half(dtype):
    x = torch.ones(2, 3, dtype=dtype)
    for operator in (Diagonal(torch.ones(3)), Matrix(torch.ones(3, 3)), FiniteDifference((3,))):
        assert operator(x).dtype == dtype


def test_a_parameter_is_learned_and_a_tensor_is_kept_as_a_buffer():
    learned, fixed = Matrix(nn.Parameter(_draw(3, 4))), Matrix(_draw(3, 4))
    assert [name for name, _ in learned.named_parameters()] == ["matrix"]
    assert not list(fixed.parameters())
    assert "matrix" in dict(fixed.named_buffers())
    learned(_draw(2, 4)).sum().backward()
    torch.testing.assert_close(learned.matrix.grad, _draw(2, 4).sum(0).expand(3, 4))


def test_the_norm_follows_a_learned_weight():
    operator = Diagonal(nn.Parameter(torch.tensor([1.0, -2.0])))
    with torch.no_grad():
        operator.weights.mul_(3)
    assert operator.norm() == 6.0


def test_unfit_weights_are_refused_in_one_sentence():
    with pytest.raises(InputError, match="Diagonal: weights must hold real or complex floats, got"):
        Diagonal(torch.arange(3))
    with pytest.raises(ShapeError, match=r"weights of shape \(3,\) cannot be broadcast to the domain \(4,\)"):
        Diagonal(torch.ones(3), (4,))
    with pytest.raises(ShapeError, match=r"cannot be broadcast to the domain \(1,\)"):
        Diagonal(torch.ones(3), (1,))
    with pytest.raises(ShapeError, match=r"Matrix: matrix must have shape \(m, n\), got \(2, 3, 4\)"):
        Matrix(torch.ones(2, 3, 4))
    with pytest.raises(InputError, match=r"Matrix: matrix must hold .* got torch.bool"):
        Matrix(torch.ones(2, 3, dtype=torch.bool))


def test_functions_may_leave_torch_and_gradients_pass_all_the_same(draws):
    operator = FromFunctions(
        lambda x: torch.from_numpy(np.cumsum(x.numpy(), -1)),
        lambda y: torch.from_numpy(np.cumsum(y.numpy()[..., ::-1], -1)[..., ::-1].copy()),
        (6,),
        (6,),
    )
    assert_adjoint(operator, rng=draws)
    assert_backward(operator, rng=draws)
    assert_norm(operator, rng=draws)  # no formula: by the power method
    expected = 1 / (2 * np.sin(np.pi / (2 * (2 * 6 + 1))))  # closed form of the summation matrix
    assert operator.norm() == pytest.approx(expected, rel=1e-4)


def test_functions_that_return_another_shape_are_refused():
    operator = FromFunctions(lambda x: x[..., :2], lambda y: y, (4,), (3,))
    with pytest.raises(ShapeError, match=r"what forward returns must have shape \(5, 3\), got \(5, 2\)"):
        operator(torch.ones(5, 4))
    with pytest.raises(ShapeError, match=r"what adjoint returns must have shape \(4\), got \(3,\)"):
        operator.H(torch.ones(3))


def test_functions_with_learned_parameters_are_refused():
    with pytest.raises(CapabilityError, match="no gradient would reach the learned parameters of Linear"):
        FromFunctions(nn.Linear(3, 3, bias=False), lambda y: y, (3,), (3,))


# sampling and casorati


def test_masks_keep_the_shape_and_samples_are_the_same_entries_in_a_row():
    x = _draw(2, 4, 7)
    torch.testing.assert_close(Sampling(MASK, (4, 7))(x), x[:, MASK], rtol=0, atol=0)
    torch.testing.assert_close(Mask(MASK)(x), torch.where(MASK, x, 0.0), rtol=0, atol=0)
    same = Sampling(MASK, (4, 7)).gram
    torch.testing.assert_close(same(x), Mask(MASK)(x), rtol=0, atol=0)


def test_repeated_samples_are_summed_by_the_adjoint_and_have_no_coisometry():
    operator = Sampling(torch.tensor([1, 1, 0]), (3,))
    assert operator.coisometry is None
    assert operator.norm() == 2**0.5
    torch.testing.assert_close(operator.adjoint(torch.tensor([1.0, 2.0, 4.0])), torch.tensor([4.0, 3.0, 0.0]))


def test_constants_are_known_where_they_hold():
    assert Sampling(MASK, (4, 7)).coisometry == 1.0
    assert Sampling(MASK, (4, 7)).isometry is None
    assert Sampling(torch.tensor([2, 0, 1]), (3,)).isometry == 1.0
    assert Mask(MASK).coisometry is None
    assert (Mask(MASK).norm(), Mask(torch.zeros(3, dtype=torch.bool)).norm()) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Mask(torch.ones(3)), "Mask: mask must be boolean, got torch.float32. Say what is kept"),
        (lambda: Mask(MASK, (4, 6)), r"Mask: mask of shape \(4, 7\) cannot be broadcast to the domain \(4, 6\)"),
        (lambda: Sampling(MASK, (4, 6)), r"Sampling: mask of shape \(4, 7\) cannot be broadcast"),
        (lambda: Sampling(torch.ones(3), (3,)), "must be a boolean mask or indices, got torch.float32"),
        (lambda: Sampling(torch.tensor([3]), (3,)), "indices must lie between 0 and 2, got 3 to 3"),
        (lambda: Sampling(torch.tensor([-1, 0]), (3,)), "indices must lie between 0 and 2, got -1 to 0"),
        (lambda: Sampling(torch.tensor([], dtype=torch.long), (3,)), "nothing is picked"),
        (lambda: Sampling(torch.zeros(3, dtype=torch.bool), (3,)), "nothing is picked"),
        (lambda: Sampling(torch.tensor([[0]]), (3,)), r"indices must have shape \(n_kept\), got \(1, 1\)"),
        (lambda: Casorati((3, 4), rows=(0, 1)), "rows take all 2 axes. Leave one or more for the columns"),
        (lambda: Casorati((3, 4), rows=(2,)), "axes must name some of the 2 axes"),
    ],
)
def test_samples_and_matrices_that_cannot_be_are_refused_in_one_sentence(make, sentence):
    with pytest.raises((InputError, ShapeError), match=sentence):
        make()


def test_casorati_has_a_frame_in_each_row():
    x = _draw(2, 3, 4, 5)
    matrix = Casorati((3, 4, 5))(x)
    torch.testing.assert_close(matrix, x.reshape(2, 3, 20), rtol=0, atol=0)
    last = Casorati((3, 4, 5), rows=(-1,))(x)
    assert last.shape == (2, 5, 12)
    torch.testing.assert_close(last[1, 3], x[1, :, :, 3].flatten(), rtol=0, atol=0)
    both = Casorati((3, 4, 5), rows=(2, 0))(x)
    torch.testing.assert_close(both[0, 2 * 3 + 1], x[0, 1, :, 2], rtol=0, atol=0)


@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_inputs_stay_as_they_were(operator):
    x = torch.ones(2, *operator.domain)
    y = operator(x)
    kept = y.clone()
    operator.adjoint(y)
    assert torch.equal(x, torch.ones_like(x))
    assert torch.equal(y, kept)


@pytest.mark.parametrize("name", CASES)
def test_operators_compute_on_the_device_of_their_input(name):
    operator = copy.deepcopy(CASES[name]).to("meta")
    y = operator(torch.empty(2, *operator.domain, device="meta"))
    assert y.device.type == "meta"
    assert operator.adjoint(y).device.type == "meta"
