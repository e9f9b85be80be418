"""Hard constraints: what is inside, where the nearest point is, and what a network is told."""

import pytest
import torch
from priors_cases import CASES, TightRows, numbers, wide

from kotowari.core.errors import ConvergenceError, InputError, ShapeError
from kotowari.operators.elementary import Matrix
from kotowari.operators.linear import LinearOperator
from kotowari.operators.sampling import Sampling
from kotowari.priors.affine import AffineSet
from kotowari.priors.balls import L1Ball, L2Ball, NuclearBall
from kotowari.priors.indicators import Box, Indicator, NonNegative, Simplex
from kotowari.testing.gradient import assert_gradient
from kotowari.testing.noise import noise

SETS = {name: case for name, case in CASES.items() if isinstance(case.prior, Indicator)}


def generator():
    return torch.Generator().manual_seed(0)


def outside(case, dtype=torch.float64):
    return 3.0 * noise(case.shape, dtype, generator())


@pytest.mark.parametrize("case", SETS.values(), ids=SETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_value_tells_inside_from_outside(case, dtype):
    x = outside(case, dtype)
    nearest = case.prior.project(x)
    assert torch.equal(case.prior.value(nearest), torch.zeros(len(x), dtype=dtype))
    assert bool((case.prior.value(x) == torch.inf).all())
    slightly = nearest + 1e-3 * (x - nearest)
    assert bool((case.prior.value(slightly) == torch.inf).all())


@pytest.mark.parametrize("case", SETS.values(), ids=SETS)
def test_prox_is_the_projection_whatever_the_step(case):
    x = outside(case)
    assert torch.equal(case.prior.prox(x, 0.1), case.prior.project(x))
    assert torch.equal(case.prior.prox(x, 10.0), case.prior.project(x))


@pytest.mark.parametrize("case", SETS.values(), ids=SETS)
def test_a_projected_point_stays(case):
    nearest = case.prior.project(outside(case))
    torch.testing.assert_close(case.prior.project(nearest), nearest, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", SETS.values(), ids=SETS)
def test_losses_are_the_squared_distance(case):
    x = outside(case)
    squared = (x - case.prior.project(x)).square().flatten(1).sum(1)
    torch.testing.assert_close(case.prior.loss(x), squared.mean())
    torch.testing.assert_close(case.prior.smooth_value(x, 0.2), squared / 0.4)
    torch.testing.assert_close(case.prior.moreau(x, 0.2), squared / 0.4)
    for smooth in ("eps", "moreau", "target"):
        torch.testing.assert_close(case.prior.loss(x, smooth, 0.2), squared.mean() / 0.4)


@pytest.mark.parametrize("case", SETS.values(), ids=SETS)
def test_the_loss_pulls_towards_the_set(case):
    x = outside(case).requires_grad_()
    (pull,) = torch.autograd.grad(case.prior.loss(x), x)
    torch.testing.assert_close(pull, 2.0 * (x - case.prior.project(x)).detach() / len(x))


def test_an_unknown_loss_is_refused():
    with pytest.raises(InputError, match="smooth must be"):
        NonNegative().loss(torch.ones(2, 3), "hard")


def test_complex_numbers_have_no_order():
    for prior in (Box(0.0, 1.0), NonNegative(), Simplex()):
        with pytest.raises(InputError, match="real and imaginary part"):
            prior.value(torch.ones(2, 3, dtype=torch.complex64))


def test_a_box_takes_bounds_of_each_entry_and_none():
    x = torch.tensor([[-5.0, 0.5, 5.0]])
    assert torch.equal(Box(high=torch.tensor([1.0, 0.0, 2.0])).project(x), torch.tensor([[-5.0, 0.0, 2.0]]))
    assert torch.equal(Box(low=0.0).project(x), NonNegative().project(x))


def test_fractions_add_up_along_their_axis():
    fractions = Simplex(3.0, dim=1).project(noise((2, 4, 5), torch.float64, generator()))
    torch.testing.assert_close(fractions.sum(1), torch.full((2, 5), 3.0, dtype=torch.float64))


def test_balls_of_complex_samples_keep_the_phase():
    x = noise((2, 3, 4), torch.complex128, generator())
    for ball in (L1Ball(0.5), L2Ball(0.5)):
        inside = ball.project(x)
        kept = inside.abs() > 0
        torch.testing.assert_close(inside[kept].angle(), x[kept].angle())


def test_norms_of_projected_samples_are_the_radius():
    x = noise((3, 4, 5), torch.complex128, generator())
    radius = torch.full((3,), 0.7, dtype=torch.float64)
    torch.testing.assert_close(L1Ball(0.7).project(x).abs().sum((1, 2)), radius)
    torch.testing.assert_close(L2Ball(0.7).project(x).flatten(1).norm(dim=1), radius)
    torch.testing.assert_close(torch.linalg.svdvals(NuclearBall(0.7).project(x)).sum(1), radius)


def test_a_sample_inside_a_ball_is_left_alone():
    x = 1e-3 * noise((3, 4, 5), torch.float64, generator())
    for ball in (L1Ball(1.0), L2Ball(1.0)):
        assert torch.equal(ball.project(x), x)
    torch.testing.assert_close(NuclearBall(1.0).project(x), x)


def test_each_sample_has_a_ball_of_its_own():
    centres = noise((3, 5), torch.float64, generator())
    x = centres + 2.0
    moved = L2Ball(1.0, centres).project(x)
    torch.testing.assert_close((moved - centres).norm(dim=1), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_affine_set_meets_its_equations(dtype):
    matrix = noise((3, 6), dtype, generator())
    target = noise((4, 3), dtype, generator())
    x = noise((4, 6), dtype, generator())
    met = AffineSet(Matrix(matrix), target).project(x)
    torch.testing.assert_close(met @ matrix.T, target)
    torch.testing.assert_close(
        AffineSet(TightRows(3, 6), target).project(x), _by_pseudoinverse(TightRows(3, 6), target, x)
    )


def _by_pseudoinverse(operator, target, x):
    matrix = operator(torch.eye(6, dtype=x.dtype)).T
    return x + (target - x @ matrix.T) @ torch.linalg.pinv(matrix).T


@pytest.mark.parametrize("condition", [1e2, 1e4])
def test_affine_set_is_exact_for_badly_scaled_equations(condition):
    left = torch.linalg.qr(noise((8, 8), torch.float64, generator()))[0]
    right = torch.linalg.qr(noise((20, 8), torch.float64, generator()))[0]
    values = torch.logspace(0.0, -torch.tensor(condition).log10().item(), 8, dtype=torch.float64)
    matrix = (left * values) @ right.T
    target = noise((20,), torch.float64, generator()) @ matrix.T
    prior = AffineSet(Matrix(matrix), target)
    x = noise((2, 20), torch.float64, generator())
    met = prior.project(x)
    expected = x + (target - x @ matrix.T) @ torch.linalg.pinv(matrix).T
    torch.testing.assert_close(met, expected, rtol=0, atol=1e-14 * condition)
    assert torch.equal(prior.value(met), torch.zeros(2, dtype=torch.float64))


def test_affine_set_of_dependent_but_consistent_equations():
    matrix = wide(2, 5).matrix[[0, 1, 0]]
    prior = AffineSet(Matrix(matrix), torch.tensor([1.0, 2.0, 1.0]))
    met = prior.project(torch.zeros(1, 5, dtype=torch.float64))
    torch.testing.assert_close(met @ matrix.T, torch.tensor([[1.0, 2.0, 1.0]], dtype=torch.float64))


def test_equations_without_a_solution_are_refused_in_a_sentence():
    prior = AffineSet(Matrix(wide(2, 5).matrix[[0, 1, 0]]), torch.tensor([1.0, 2.0, 3.0]), max_steps=50)
    with pytest.raises(ConvergenceError, match="no x meets the equations"):
        prior.project(torch.zeros(1, 5, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("rows", [wide, TightRows], ids=["by solving", "in one step"])
def test_gradient_of_the_affine_projection(dtype, rows):
    operator, x, target = rows(3, 6), noise((2, 6), dtype, generator()), noise((2, 3), dtype, generator())
    assert_gradient(lambda z: AffineSet(operator, target).project(z), x, rng=generator())
    assert_gradient(lambda b: AffineSet(operator, b).project(x), target, rng=generator())


def test_gradient_of_the_affine_projection_reaches_what_the_operator_learns():
    x, target = noise((2, 6), torch.float64, generator()), numbers(3)
    assert_gradient(lambda m: AffineSet(Learned(m), target).project(x), wide(3, 6).matrix, rng=generator())


class Learned(LinearOperator):
    """A matrix that is part of a graph."""

    def __init__(self, matrix):
        super().__init__()
        self.domain, self.codomain = (matrix.shape[1],), (matrix.shape[0],)
        self.kept = matrix

    def _forward(self, x):
        return x @ self.kept.T

    def _adjoint(self, y):
        return y @ self.kept


def test_the_gradient_without_the_left_over_would_be_wrong():
    x, target, matrix = noise((2, 6), torch.float64, generator()), numbers(3), wide(3, 6).matrix

    def one_sided(m):
        operator = Learned(m)
        with torch.no_grad():
            solution = torch.linalg.solve(m @ m.T, (target - x @ m.T).T).T
        return x + operator.adjoint(solution)

    with pytest.raises(AssertionError, match="gradient is wrong"):
        assert_gradient(one_sided, matrix, rng=generator())


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: Box(1.0, 0.0), InputError, "at most its high one, got 1 and 0"),
        (lambda: Box(torch.ones(3), torch.ones(2)), ShapeError, "do not broadcast"),
        (lambda: Simplex(0.0), InputError, "total must be above 0"),
        (lambda: Simplex(1.0, dim=0), InputError, "dim not the batch"),
        (lambda: L1Ball(0.0), InputError, "radius must be above 0"),
        (lambda: L2Ball(float("inf")), InputError, "radius must be above 0 and finite"),
        (lambda: NuclearBall(-1.0), InputError, "radius must be above 0"),
        (lambda: AffineSet(wide(3, 6), torch.ones(4)), ShapeError, "target must have shape"),
        (lambda: AffineSet(wide(3, 6), torch.ones(3), max_steps=0), InputError, "max_steps must be 1 or more"),
    ],
)
def test_bad_constants_are_refused_in_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


@pytest.mark.parametrize(
    ("prior", "x", "error", "sentence"),
    [
        (Box(torch.zeros(3), 1.0), torch.ones(2, 4), ShapeError, "low of shape"),
        (Simplex(dim=2), torch.ones(2, 4), ShapeError, "lacks this axis"),
        (Simplex(dim=-2), torch.ones(2, 4), ShapeError, "lacks this axis"),
        (NuclearBall(1.0), torch.ones(2, 4), ShapeError, "row, column"),
        (AffineSet(wide(3, 6), torch.ones(3)), torch.ones(2, 5), ShapeError, "must have shape"),
        (AffineSet(wide(3, 6), torch.ones(3)), torch.ones(2, 4, 6), ShapeError, "must have shape"),
        (AffineSet(wide(3, 6), torch.ones(5, 3)), torch.ones(2, 6), ShapeError, "target of shape"),
        (AffineSet(Sampling(torch.tensor([0]), (2,)), torch.ones(1) + 1j), torch.ones(1, 2), InputError, "is complex"),
    ],
    ids=str,
)
def test_an_input_that_does_not_fit_is_refused_in_a_sentence(prior, x, error, sentence):
    with pytest.raises(error, match=sentence):
        prior.project(x)


def test_bounds_and_targets_move_with_the_prior():
    assert dict(Box(torch.zeros(3), torch.ones(3)).named_buffers()).keys() == {"low", "high"}
    assert "target" in dict(AffineSet(wide(3, 6), torch.ones(3)).named_buffers())
    assert dict(L2Ball(1.0, torch.nn.Parameter(torch.ones(3))).named_parameters()).keys() == {"centre"}
