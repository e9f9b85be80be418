"""Adjoints, products, sums, multiples and stacks of operators keep every law, and refuse what does not fit."""

import pytest
import torch
from torch import nn

from kotowari.core.errors import ConvergenceError, InputError, ShapeError
from kotowari.operators.casorati import Casorati
from kotowari.operators.difference import FiniteDifference
from kotowari.operators.elementary import Diagonal, FromFunctions, Identity, Matrix
from kotowari.operators.interop import to_dense
from kotowari.operators.linear import Stacked
from kotowari.operators.sampling import Mask, Sampling
from kotowari.testing.adjoint import assert_adjoint, assert_backward, assert_batched, assert_linear, assert_norm

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]


def _draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


D = FiniteDifference((4, 5))
P = FiniteDifference((4, 5), spacing=(1.0, 0.5), boundary="periodic")
W = Diagonal(_draw(4, 5, dtype=torch.complex128))
M = Mask(_draw(4, 5, seed=2) > 0)
S = Sampling(_draw(4, 5, seed=3) > 0, (4, 5))
C = Casorati((4, 5), rows=(-1,))
A, B = Matrix(_draw(3, 4)), Matrix(_draw(4, 6, dtype=torch.complex128))
N = nn.Parameter(_draw(4, 5))
CASES = {
    "adjoint": D.H,
    "gram": D.gram,
    "gram of the adjoint": D.H.gram,
    "composed": D @ W,
    "composed, three": S @ W @ M,
    "composed with a coisometry behind": A @ Sampling(torch.tensor([4, 0, 2, 1]), (6,)),
    "composed with an isometry in front": C @ D.H,
    "composed, learned": D @ Diagonal(N),
    "of matrices": A @ B,
    "adjoint of a product": (A @ B).H,
    "sum": D + P,
    "difference": D - 2 * P,
    "sum of three": W + M + Identity((4, 5)),
    "adjoint of a sum": (D + P).H,
    "scaled": 2 * D,
    "scaled, integer 0": 0 * D,
    "scaled, complex": (1 - 2j) * D,
    "scaled, complex, adjoint": ((1 - 2j) * W).H,
    "negative": -C,
    "stack": Stacked([W, M, Identity((4, 5))]),
    "stack, adjoint": Stacked([D, P]).H,
    "stack of isometries": Stacked([Identity((4, 5)), 1j * Identity((4, 5))]),
    "everything": (2j * Stacked([D @ W, P @ M])).gram + 3 * Identity((4, 5)),
}


@pytest.fixture
def draws():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_the_algebra_keeps_the_laws(operator, dtype, draws):
    assert_adjoint(operator, dtype, rng=draws)
    assert_linear(operator, dtype, rng=draws)
    assert_batched(operator, dtype, rng=draws)


@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_the_algebra_keeps_norms_constants_and_gradients(operator, draws):
    assert_norm(operator, rng=draws)
    assert_backward(operator, rng=draws)


def test_the_algebra_is_that_of_matrices():
    d, p, w = (to_dense(operator, torch.complex128) for operator in (D, P, W))
    for operator, expected in (
        (D.H, d.mH),
        (D.gram, d.mH @ d),
        (D @ W, d @ w),
        (D + P, d + p),
        (D - P, d - p),
        ((1 - 2j) * D, (1 - 2j) * d),
        (-D, -d),
        (Stacked([D, P]), torch.cat([d, p])),
    ):
        torch.testing.assert_close(to_dense(operator, torch.complex128), expected)


def test_the_adjoint_of_the_adjoint_is_the_operator_itself():
    assert D.H.H is D
    assert repr(D.H @ D) == "Composed((4, 5) -> (4, 5))"


def test_constants_are_carried_on_where_they_hold():
    assert (2j * S).coisometry == 4.0
    assert (2j * S).H.isometry == 4.0
    assert (S @ S.H).isometry is None
    assert (S @ C.H @ C).coisometry == 1.0
    assert Stacked([Identity((3,)), 2 * Identity((3,))]).isometry == 5.0
    assert Stacked([D, P]).isometry is None
    assert (D + P).coisometry is None


@pytest.mark.parametrize(
    "operator",
    [D.gram, 3j * D, Casorati((2, 4, 5), rows=(0, 2)) @ D, W @ C.H, D @ C.H, (S @ C.H).gram, -D.H],
    ids=[
        "gram",
        "scaled",
        "isometry in front",
        "orthogonal behind",
        "isometry behind",
        "gram of a tight one",
        "adjoint",
    ],
)
def test_these_norms_are_known_by_a_formula(operator, draws):
    assert operator._norm() is not None
    assert_norm(operator, rng=draws)


def test_the_lanczos_method_repeats_itself_and_finds_zero():
    operator = D @ W
    assert operator._norm() is None
    assert operator.norm() == operator.norm()
    assert (D - D).norm() == 0.0
    assert (W - W).norm() == 0.0


def test_a_lanczos_method_that_does_not_settle_says_what_to_do():
    near = FromFunctions(lambda x: x * _slow(x), lambda y: y * _slow(y), (200,), (200,))
    with pytest.raises(
        ConvergenceError, match=r"FromFunctions.* did not settle in 3 steps \(last estimate .* max_steps"
    ):
        near.norm(tol=1e-12, max_steps=3)
    assert near.norm() == pytest.approx(1.0, rel=1e-3)


def _slow(x):
    return torch.linspace(0.5, 1.0, 200, dtype=x.dtype)


@pytest.mark.parametrize(
    ("shape", "got"), [((5, 4), r"\(5, 4\)"), ((5,), r"\(5,\)"), ((4, 5, 1), r"\(4, 5, 1\)"), ((), r"\(\)")]
)
def test_inputs_of_another_shape_are_refused_in_one_sentence(shape, got):
    with pytest.raises(ShapeError, match=rf"FiniteDifference.*: input must have shape \(\.\.\., 4, 5\), got {got}\."):
        D(torch.zeros(shape))
    with pytest.raises(ShapeError, match=r"input of the adjoint must have shape \(\.\.\., 2, 4, 5\)"):
        D.adjoint(torch.zeros(shape))
    with pytest.raises(ShapeError, match=r"Adjoint.*: input must have shape \(\.\.\., 2, 4, 5\)"):
        D.H(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8, torch.bool], ids=str)
@pytest.mark.parametrize("operator", [D, D.H, D @ M, 2 * D, D + P, S], ids=repr)
def test_whole_numbers_are_refused_in_one_sentence(operator, dtype):
    with pytest.raises(InputError, match=r"input must hold real or complex floats, got torch\..*with \.float\(\)"):
        operator(torch.zeros(operator.domain, dtype=dtype))
    with pytest.raises(InputError, match="input of the adjoint must hold"):
        operator.adjoint(torch.zeros(operator.codomain, dtype=dtype))


def test_operators_that_do_not_fit_are_refused_in_one_sentence():
    with pytest.raises(ShapeError, match=r"output of the inner one must have shape \(4, 5\), got \(2, 4, 5\)"):
        D @ P
    with pytest.raises(ShapeError, match=r"FiniteDifference.* and Mask.* cannot be added: their shapes differ"):
        D + M
    with pytest.raises(ShapeError, match=r"cannot be added"):
        D - M
    with pytest.raises(ShapeError, match=r"FiniteDifference.* and Mask.* cannot be stacked: their shapes differ"):
        Stacked([D, M])


def test_what_is_no_operator_and_no_number_is_refused():
    for make in (lambda: D @ 2, lambda: D + 1, lambda: D - 1, lambda: None * D, lambda: [2] * D):
        with pytest.raises(TypeError, match=r"unsupported operand|can't multiply"):
            make()


def test_a_map_over_the_reals_takes_no_complex_factor():
    real = FromFunctions(lambda x: torch.complex(x, x), lambda y: y.real + y.imag, (3,), (3,), real_linear=True)
    with pytest.raises(InputError, match="gives the real adjoint, so it cannot be multiplied by the complex 1j"):
        1j * real
    assert (2 * real).real_linear
    assert (Diagonal(torch.ones(3)) @ real).real_linear
    assert Stacked([real, real]).real_linear


def test_parts_are_modules_so_that_they_move_and_learn_together():
    learned = Diagonal(nn.Parameter(torch.ones(4, 5)))
    for operator in (D @ learned, learned + M, 2 * learned, learned.H, Stacked([learned, M]), learned.gram):
        assert [tuple(weights.shape) for weights in operator.parameters()] == [(4, 5)]
        operator(torch.ones(1, 4, 5)).sum().backward()
        assert bool(learned.weights.grad.isfinite().all())


def test_the_lanczos_method_of_learned_operators_leaves_no_graph():
    learned = D @ Diagonal(nn.Parameter(torch.ones(4, 5)))
    assert learned.norm() == pytest.approx(D.norm(), rel=1e-3)
    assert next(learned.parameters()).grad is None


def test_one_wrong_part_is_caught_in_whatever_it_is_part_of(draws):
    wrong = FromFunctions(lambda x: x.roll(1, -1), lambda y: y.roll(1, -1), (4, 5), (4, 5))
    for operator in (wrong @ W, D @ wrong, wrong + M, (1 + 1j) * wrong, Stacked([M, wrong]), wrong.H):
        with pytest.raises(AssertionError, match="relative gap"):
            assert_adjoint(operator, torch.complex128, rng=draws)


def test_the_norm_of_a_flat_spectrum_is_found():
    flat = Diagonal(torch.linspace(0.9, 1.0, 400, dtype=torch.float64))
    unknown = FromFunctions(flat, flat, (400,), (400,))
    assert unknown.norm(tol=1e-4) == pytest.approx(1.0, rel=1e-4)
    assert unknown.H.norm(tol=1e-4) == pytest.approx(1.0, rel=1e-4)


def test_operators_with_real_and_with_complex_adjoints_are_not_mixed():
    real = FromFunctions(lambda x: x * 1j, lambda y: y.imag, (3,), (3,), real_linear=True)
    assert real.H.norm() == pytest.approx(1.0)
    for mix in (lambda: real + Identity((3,)), lambda: Stacked([Identity((3,)), real])):
        with pytest.raises(InputError, match="the adjoint of one is real, of the other complex"):
            mix()
    with pytest.raises(InputError, match="one operator or more to be stacked"):
        Stacked([])
