"""Problems of several terms: every method comes to one optimum, says how it ended, and refuses what it cannot do."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.linear_model import Lasso
from torch import nn

from kotowari.core.errors import CapabilityError, ConvergenceError, InputError, ShapeError
from kotowari.core.outcome import Status
from kotowari.operators.difference import FiniteDifference
from kotowari.operators.elementary import FromFunctions, Identity, Matrix
from kotowari.operators.linear import LinearOperator
from kotowari.priors.duality import relative_gap
from kotowari.priors.groups import GroupL2
from kotowari.priors.indicators import Box, NonNegative
from kotowari.priors.prior import Prior, squared_distance
from kotowari.priors.problem import Problem, Term
from kotowari.priors.quadratic import SquaredL2
from kotowari.priors.sparsity import L1, LogSum
from kotowari.priors.total_variation import TotalVariation

N = 16
METHODS = ["ista", "fista", "pdhg", "admm", "hqs", "douglas_rachford"]


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def zeros(n_samples=2, dtype=torch.float64):
    return torch.zeros(n_samples, N, dtype=dtype)


def soft(x, threshold):
    return x.sgn() * (x.abs() - threshold).clamp_min(0)


BLUR = Matrix(draw(24, N) / 4)
DATA = 3 * draw(2, 24, seed=1)
STEPS = 2.0 * (torch.arange(N) >= N // 2) + 0.5 * draw(2, N, seed=2)


def lasso():
    return Problem([Term(SquaredL2(centre=DATA), BLUR), Term(L1(), weight=0.8)])


def total_variation():
    return Problem([Term(SquaredL2(centre=STEPS)), Term(L1(0.7), FiniteDifference((N,)))])


def everything():
    """Deblurring with few values, few edges, and no negative one."""
    return Problem([
        Term(SquaredL2(centre=DATA), BLUR),
        Term(L1(0.1)),
        Term(NonNegative()),
        Term(L1(0.3), FiniteDifference((N,))),
    ])  # fmt: skip


class Smooth(Prior):
    """The sum of log cosh: a smooth prior from outside the package, without a prox."""

    def __init__(self, lipschitz=1.0):
        super().__init__()
        self.lipschitz = lipschitz

    def _value(self, x):
        return (x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - np.log(2)).flatten(1).sum(1)

    def _smooth_value(self, x, _eps):
        return self._value(x)

    def gradient(self, x):
        return torch.tanh(x)


class NoProx(Prior):
    def _value(self, x):
        return x.abs().pow(4).flatten(1).sum(1)

    def _smooth_value(self, x, _eps):
        return self._value(x)


@pytest.mark.parametrize("method", ["auto", "ista", "fista", "pdhg", "admm"])
def test_the_lasso_is_that_of_scikit_learn(method):
    outcome = lasso().solve(zeros(), method=method, tol=1e-10, max_steps=5000)
    assert outcome.converged
    assert outcome.state.optimality == "global"
    for data, x in zip(DATA, outcome.state.x, strict=True):
        peer = Lasso(alpha=0.8 / 24, fit_intercept=False, tol=1e-13, max_iter=100_000)
        np.testing.assert_allclose(x.numpy(), peer.fit(BLUR.matrix.numpy(), data.numpy()).coef_, atol=1e-7)


@pytest.mark.parametrize("method", ["auto", "ista", "fista", "pdhg", "admm", "douglas_rachford"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
def test_an_orthonormal_operator_gives_the_closed_form_in_every_precision(method, dtype):
    class Rotation(LinearOperator):
        domain = codomain = (N,)
        coisometry = isometry = 1.0
        basis = torch.linalg.qr(draw(N, N, dtype=dtype))[0]

        def _forward(self, x):
            return x @ self.basis.mT

        def _adjoint(self, y):
            return y @ self.basis.conj()

    data = 2 * draw(2, N, dtype=dtype, seed=1)
    problem = Problem([Term(SquaredL2(centre=data), Rotation()), Term(L1(0.5))])
    bar = 30 * torch.finfo(dtype).eps
    outcome = problem.solve(zeros(dtype=dtype), method=method, tol=bar, max_steps=400)
    assert outcome.state.x.dtype == dtype
    bar = max(10 * bar, 1e-10)
    torch.testing.assert_close(outcome.state.x, soft(Rotation().adjoint(data), 0.5), rtol=bar, atol=10 * bar)


def test_least_squares_is_that_of_lstsq():
    best = torch.linalg.lstsq(BLUR.matrix, DATA.T).solution.T
    outcome = Problem([Term(SquaredL2(centre=DATA), BLUR)]).solve(zeros(), tol=1e-12)
    assert outcome.state.method == "fista"
    torch.testing.assert_close(outcome.state.x, best, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", ["auto", "ista", "pdhg", "admm"])
def test_nonnegative_least_squares_is_that_of_scipy(method):
    problem = Problem([Term(SquaredL2(centre=DATA), BLUR), Term(NonNegative())])
    outcome = problem.solve(zeros(), method=method, tol=1e-11, max_steps=5000)
    peer = np.stack([nnls(BLUR.matrix.numpy(), data.numpy())[0] for data in DATA])
    np.testing.assert_allclose(outcome.state.x.numpy(), peer, atol=1e-7)
    assert (outcome.state.x >= 0).all()
    assert outcome.state.objective.isfinite().all()


def test_total_variation_is_that_of_its_own_prox():
    by_prox = TotalVariation(0.7, axes=(-1,), gap=1e-12, max_steps=100_000).prox(STEPS, 1.0)
    for method in ("auto", "pdhg", "admm"):
        outcome = total_variation().solve(zeros(), method=method, tol=1e-11)
        assert outcome.converged
        torch.testing.assert_close(outcome.state.x, by_prox, rtol=1e-5, atol=1e-5)


def test_primal_dual_method_and_admm_agree_on_a_problem_with_everything():
    primal_dual = everything().solve(zeros(), tol=1e-10)
    split = everything().solve(zeros(), method="admm", tol=1e-10)
    assert (primal_dual.state.method, split.state.method) == ("pdhg", "admm")
    assert primal_dual.converged
    assert split.converged
    torch.testing.assert_close(primal_dual.state.x, split.state.x, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(primal_dual.state.objective, everything().objective(primal_dual.state.x))
    assert (primal_dual.state.x >= 0).all()
    assert (split.state.x >= 0).all()


def test_complex_unknowns_go_through_the_primal_dual_method():
    data = draw(2, N, dtype=torch.complex128)
    problem = Problem([Term(SquaredL2(centre=data)), Term(L1(0.3), FiniteDifference((N,))), Term(L1(0.1))])
    outcome = problem.solve(zeros(dtype=torch.complex128), stop="gap", tol=1e-8)
    assert outcome.converged
    other = problem.solve(zeros(dtype=torch.complex128), method="admm", tol=1e-9)
    torch.testing.assert_close(outcome.state.x, other.state.x, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(outcome.state.objective, other.state.objective, rtol=1e-7, atol=0)


def test_images_are_cleaned_by_the_isotropic_total_variation():
    image = torch.zeros(1, 12, 12, dtype=torch.float64)
    image[:, 3:9, 4:10] = 1
    noisy = image + 0.2 * draw(1, 12, 12)
    problem = Problem([Term(SquaredL2(centre=noisy)), Term(GroupL2(dims=-3), FiniteDifference((12, 12)), weight=0.3)])
    outcome = problem.solve(noisy, stop="gap", tol=1e-7)
    assert outcome.converged
    assert (outcome.state.x - image).norm() < 0.6 * (noisy - image).norm()


@pytest.mark.parametrize(
    ("make", "method"),
    [
        *((lasso, method) for method in ("ista", "fista", "pdhg", "admm")),
        *((total_variation, method) for method in ("pdhg", "admm")),
        *((everything, method) for method in ("pdhg", "admm")),
    ],
)
def test_the_duality_gap_bounds_the_excess_and_vanishes(make, method):
    problem = make()
    best = problem.solve(zeros(), tol=1e-12, stop="gap").state.objective
    for tol in (1e-2, 1e-5):
        state = problem.solve(zeros(), method=method, stop="gap", tol=tol, check_every=1).state
        assert (state.residual <= tol).all()
        assert (state.residual >= 0).all()
        excess = (state.objective - best) / state.objective
        assert (excess <= state.residual * (1 + 1e-9) + 1e-11).all()


def test_douglas_rachford_has_a_gap_too():
    problem = Problem([Term(SquaredL2(centre=STEPS)), Term(L1(0.5))])
    outcome = problem.solve(zeros(), method="douglas_rachford", stop="gap", tol=1e-10, step=0.3)
    assert outcome.converged
    torch.testing.assert_close(outcome.state.x, soft(STEPS, 0.5), rtol=1e-4, atol=1e-4)
    between = Problem([Term(SquaredL2(centre=STEPS)), Term(SquaredL2(2.0, centre=-2 * STEPS))])
    for max_steps in (1, 3, 50):
        state = between.solve(
            zeros(), method="douglas_rachford", stop="gap", tol=0.0, step=0.3, max_steps=max_steps
        ).state
        excess = (state.objective - between.objective(-STEPS)) / state.objective
        assert (state.residual >= excess - 1e-12).all()
    assert (state.residual < 1e-9).all()
    torch.testing.assert_close(state.x, -STEPS, rtol=1e-6, atol=1e-6)


def test_a_gap_without_the_dual_points_of_a_term_is_caught():
    """Forgetting a term in the dual objective leaves a gap that never closes."""
    problem = total_variation()
    x = problem.solve(zeros(), tol=1e-12).state.x
    (anchor, _) = problem._parts
    assert (relative_gap(problem._parts, anchor, x, []) > 1e-2).all()


@pytest.mark.parametrize("method", ["ista", "fista", "pdhg", "admm"])
def test_a_sample_has_the_same_bits_alone_and_in_a_batch(method):
    data = torch.stack([0.1 * STEPS[0], STEPS[1], 5 * STEPS[1] + STEPS[0]])

    def problem(centre):
        smoother = FiniteDifference((N,))
        if method in {"pdhg", "admm"}:
            return Problem([Term(SquaredL2(centre=centre)), Term(L1(0.3), smoother), Term(NonNegative())])
        return Problem([Term(SquaredL2(centre=centre)), Term(SquaredL2(), smoother), Term(L1(0.3))])

    together = problem(data).solve(zeros(3), method=method, tol=1e-5, check_every=1, max_steps=300)
    assert len(set(together.n_steps)) > 1
    for i in range(3):
        alone = problem(data[i : i + 1]).solve(zeros(1), method=method, tol=1e-5, check_every=1, max_steps=300)
        assert torch.equal(alone.state.x[0], together.state.x[i])
        assert alone.n_steps[0] == together.n_steps[i]
        assert alone.state.residual[0] == together.state.residual[i]


def test_half_quadratic_splitting_comes_near_and_says_that_it_is_penalised():
    best = lasso().solve(zeros(), tol=1e-10).state
    state = lasso().solve(zeros(), method="hqs", tol=1e-5, max_steps=200).state
    assert state.optimality == "penalised"
    assert (state.objective >= best.objective).all()
    assert (state.objective <= 1.05 * best.objective).all()
    in_haste = lasso().solve(zeros(), method="hqs", tol=0.5, check_every=1)
    assert min(in_haste.n_steps) > 90  # the penalty grows a thousandfold and more before anything counts as rest


@pytest.mark.parametrize(("operator", "method"), [(None, "ista"), (FiniteDifference((N,)), "hqs")])
def test_a_term_that_is_not_convex_gives_a_local_answer(operator, method):
    problem = Problem([Term(SquaredL2(centre=STEPS)), Term(LogSum(0.1), operator, weight=0.2)])
    outcome = problem.solve(STEPS, tol=1e-4, max_steps=150)
    assert (outcome.state.method, outcome.state.optimality) == (method, "local")
    assert (outcome.state.objective < problem.objective(STEPS)).all()


def test_priors_are_taken_apart_into_terms():
    smoother = FiniteDifference((N,))
    whole = Problem([Term(SquaredL2(centre=DATA) @ BLUR + 0.5 * (L1(0.6) @ smoother + 2 * L1(0.1)) + NonNegative())])
    parts = everything()
    assert len(whole._parts) == 4
    x = draw(2, N).abs()
    torch.testing.assert_close(whole.objective(x), parts.objective(x))
    torch.testing.assert_close(
        whole.solve(zeros(), tol=1e-9).state.x, parts.solve(zeros(), tol=1e-9).state.x, rtol=1e-6, atol=1e-6
    )


def test_the_operator_of_a_prior_comes_after_that_of_its_term():
    smoother = FiniteDifference((24,))
    outer = Problem([Term(L1() @ smoother, BLUR)])
    x = draw(2, N)
    torch.testing.assert_close(outer.objective(x), smoother(BLUR(x)).abs().flatten(1).sum(1))


def test_a_smooth_prior_from_outside_is_taken_by_its_gradient():
    problem = Problem([Term(Smooth(), BLUR), Term(SquaredL2(centre=STEPS)), Term(L1(0.1))])
    fast, primal_dual = (problem.solve(zeros(), method=method, tol=1e-11).state for method in ("auto", "pdhg"))
    assert fast.method == "fista"
    torch.testing.assert_close(fast.x, primal_dual.x, rtol=1e-8, atol=1e-8)
    gradient = BLUR.adjoint(torch.tanh(BLUR(fast.x))) + fast.x - STEPS
    assert (gradient.abs() <= 0.1 + 1e-8).all()
    assert (problem.solve(zeros(), stop="gap", tol=1e-8).state.residual <= 1e-8).all()


def test_divergence_is_told_and_the_best_iterate_kept():
    problem = Problem([Term(Smooth(lipschitz=0.01), 3 * BLUR), Term(SquaredL2(0.01, centre=STEPS))])
    lying = Problem([Term(SquaredL2(centre=DATA), Understated()), Term(L1(0.1))])
    outcome = lying.solve(zeros(), tol=1e-9, max_steps=500)
    assert set(outcome.statuses) <= {Status.DIVERGED, Status.NON_FINITE}
    assert (outcome.state.objective <= lying.objective(zeros())).all()
    with pytest.raises(ConvergenceError, match="smaller step"):
        outcome.or_raise()
    bounded = problem.solve(zeros(), max_steps=50, tol=1e-12)
    assert bounded.statuses == (Status.MAX_STEPS, Status.MAX_STEPS)


class Understated(LinearOperator):
    """Tells a norm far below its own."""

    domain, codomain = (N,), (24,)

    def _forward(self, x):
        return x @ BLUR.matrix.mT

    def _adjoint(self, y):
        return y @ BLUR.matrix

    def _norm(self):
        return 0.1


def test_a_step_above_the_bound_is_refused_with_the_bound():
    norm = BLUR.norm() ** 2
    for method, reach in (("fista", 1.0), ("ista", 2.0), ("pdhg", 2.0)):
        with pytest.raises(InputError, match=f"bound of method '{method}', {reach / norm:.6g}"):
            lasso().solve(zeros(), method=method, step=1.01 * reach / norm)
        assert lasso().solve(zeros(), method=method, step=0.9 * reach / norm, max_steps=5).n_steps == (5, 5)
    for step in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="step must be finite and above 0"):
            lasso().solve(zeros(), step=step)


@pytest.mark.parametrize(("method", "step"), [("pdhg", 0.05), ("pdhg", 0.5), ("admm", 0.5)])
def test_the_step_of_the_user_changes_the_way_and_not_the_answer(method, step):
    best = total_variation().solve(zeros(), tol=1e-10)
    other = total_variation().solve(zeros(), method=method, step=step, tol=1e-8)
    assert other.n_steps != best.n_steps
    torch.testing.assert_close(other.state.x, best.state.x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["ista", "fista", "douglas_rachford"])
def test_an_operator_without_an_exact_prox_is_refused_where_one_is_needed(method):
    with pytest.raises(CapabilityError, match=f"no exact prox.*{method}.*Take method='pdhg'"):
        total_variation().solve(zeros(), method=method)


def test_too_many_terms_for_a_method_are_refused():
    for method in ("ista", "fista", "douglas_rachford"):
        with pytest.raises(CapabilityError, match=f"'{method}' takes"):
            everything().solve(zeros(), method=method)
    with pytest.raises(CapabilityError, match="there is none"):
        Problem([Term(SquaredL2(centre=STEPS))]).solve(zeros(), method="admm")


@pytest.mark.parametrize("method", METHODS)
def test_a_prior_without_a_prox_is_named(method):
    problem = Problem([Term(SquaredL2(centre=STEPS)), Term(NoProx())])
    with pytest.raises(CapabilityError, match=f"NoProx cannot be used with method '{method}': it has no prox"):
        problem.solve(zeros(), method=method)


@pytest.mark.parametrize("method", ["fista", "pdhg", "admm", "douglas_rachford"])
def test_a_method_that_needs_convexity_refuses_what_is_not(method):
    problem = Problem([Term(SquaredL2(centre=STEPS)), Term(LogSum(0.1))])
    with pytest.raises(CapabilityError, match=r"LogSum.* is not convex"):
        problem.solve(zeros(), method=method)
    with pytest.raises(CapabilityError, match="not convex"):
        problem.solve(zeros(), stop="gap")


def test_a_gap_without_a_closed_form_is_refused():
    with pytest.raises(CapabilityError, match="needs a SquaredL2 with weights above 0, or an L1"):
        Problem([Term(SquaredL2(centre=DATA), BLUR), Term(NonNegative())]).solve(zeros(), stop="gap")
    with pytest.raises(CapabilityError, match="'hqs' comes to no dual point"):
        lasso().solve(zeros(), method="hqs", stop="gap")


def test_admm_refuses_a_smooth_term_that_is_not_quadratic():
    problem = Problem([Term(Smooth()), Term(L1(0.1)), Term(NonNegative())])
    with pytest.raises(CapabilityError, match="must be SquaredL2; Term Smooth"):
        problem.solve(zeros(), method="admm")


def test_numbers_that_are_not_finite_are_named():
    start = zeros()
    start[0, :3] = torch.nan
    with pytest.raises(InputError, match="start holds 3 values that are NaN or infinite"):
        lasso().solve(start)
    with pytest.raises(InputError, match=r"the centre of Term SquaredL2.* holds 1 values"):
        Problem([Term(SquaredL2(centre=torch.tensor([1.0, torch.inf])))])
    hole = Matrix(torch.full((3, N), torch.nan, dtype=torch.float64))
    with pytest.raises(InputError, match=r"what the operator makes of a finite start in Term .*NaN"):
        Problem([Term(SquaredL2(), hole)]).solve(zeros())


def test_shapes_and_dtypes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"start must have shape \(batch, 16\)"):
        lasso().solve(torch.zeros(2, N + 1))
    with pytest.raises(ShapeError, match=r"start must have shape \(batch, \.\.\.\)"):
        Problem([Term(L1())]).solve(torch.zeros(4))
    with pytest.raises(ShapeError, match="domain must have shape"):
        Problem([Term(L1(), FiniteDifference((N,))), Term(L1(), FiniteDifference((N + 1,)))])
    with pytest.raises(ShapeError, match="domain must have shape"):
        Problem([Term(L1(), FiniteDifference((N,)))], shape=(N + 1,))
    with pytest.raises(ShapeError, match="start must have shape"):
        Problem([Term(L1())], shape=(N,)).solve(torch.zeros(2, N + 1))
    with pytest.raises(ShapeError, match="centre of shape"):
        lasso().solve(zeros(3))
    with pytest.raises(InputError, match="real or complex floats"):
        lasso().solve(torch.zeros(2, N, dtype=torch.long))
    with pytest.raises(InputError, match="no sample"):
        Problem([Term(L1())]).solve(torch.zeros(0, N))
    phase = FromFunctions(lambda x: 1j * x, lambda y: -1j * y, (N,), (N,))
    with pytest.raises(InputError, match=r"brings it back as torch\.complex128"):
        Problem([Term(SquaredL2(), phase)]).solve(zeros())


def test_parts_on_another_device_are_named():
    with pytest.raises(InputError, match="is on meta, and start on cpu"):
        Problem(
            [Term(SquaredL2(centre=torch.zeros(N, device="cpu")), nn.Module.to(Matrix(torch.ones(N, N)), "meta"))]
        ).solve(torch.zeros(1, N))


def test_a_problem_without_terms_and_a_negative_weight_are_refused():
    with pytest.raises(InputError, match="there is no term"):
        Problem([])
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="weight must be finite and 0 or more"):
            Term(L1(), weight=weight)
    with pytest.raises(InputError, match="method must be auto or one of"):
        lasso().solve(zeros(), method="newton")
    with pytest.raises(InputError, match="stop must be change or gap"):
        lasso().solve(zeros(), stop="never")


def test_a_term_of_weight_zero_is_no_term():
    problem = Problem([Term(SquaredL2(centre=STEPS)), Term(L1(), FiniteDifference((N,)), weight=0.0)])
    torch.testing.assert_close(problem.solve(zeros()).state.x, STEPS)


def test_an_operator_whose_norm_does_not_settle_says_so():
    class Restless(Understated):
        def _norm(self):
            raise ConvergenceError("the norm did not settle")

    for method in ("fista", "pdhg"):
        with pytest.raises(ConvergenceError, match="the norm did not settle"):
            Problem([Term(SquaredL2(), Restless()), Term(L1())]).solve(zeros(), method=method)


def test_nothing_of_the_problem_or_the_start_is_changed_and_no_graph_is_kept():
    weight = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    problem = Problem([Term(SquaredL2(centre=STEPS)), Term(L1(weight)), Term(Box(0.0, 1.0), Identity((N,)))])
    start = draw(2, N)
    before = start.clone()
    outcome = problem.solve(start)
    assert torch.equal(start, before)
    assert not outcome.state.x.requires_grad
    again = problem.solve(start)
    assert torch.equal(again.state.x, outcome.state.x)
    torch.testing.assert_close(outcome.state.x, (STEPS - 0.5).clamp(0, 1), rtol=1e-4, atol=1e-4)
    assert squared_distance(outcome.state.x, outcome.state.x.clamp(0, 1)).max() < 1e-12


def test_problem_and_terms_say_what_they_are():
    assert repr(Problem([Term(L1(0.5)), Term(L1(), Identity((3,)))])) == (
        "Problem(Term L1(weight=0.5) + Term L1(weight=1) @ Identity((3,) -> (3,)))"
    )


def test_a_prior_stands_for_a_term_of_its_own():
    y = torch.randn(2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    both = (Problem([SquaredL2(1.0, y), L1()]), Problem([Term(SquaredL2(1.0, y)), Term(L1())]))
    first, second = (problem.solve(torch.zeros_like(y)).state.x for problem in both)
    assert torch.equal(first, second)
