"""Layers that solve a linear system, and layers with a prior behind an operator."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from small_inverse_problems import Dense, sparse_problem

from kotowari.core.errors import ConvergenceError, InputError, ShapeError
from kotowari.operators.difference import FiniteDifference
from kotowari.operators.elementary import Identity
from kotowari.priors.robust_pca import robust_pca
from kotowari.priors.sparsity import L1
from kotowari.priors.total_variation import TotalVariation
from kotowari.solvers.admm import admm_start, admm_step
from kotowari.testing.gradient import assert_gradient
from kotowari.unrolled.fixed_point import FixedPoint
from kotowari.unrolled.guard import KnowledgeGuard
from kotowari.unrolled.normal_solve import solve_normal
from kotowari.unrolled.primal_dual_scheme import PrimalDual
from kotowari.unrolled.robust_pca_scheme import RobustPca
from kotowari.unrolled.splitting_schemes import Admm, DouglasRachford, Hqs
from kotowari.unrolled.unrolled import Unrolled

WEIGHT = 0.05


def lasso(operator, data):
    """Return the minimiser of the lasso by coordinate descent."""
    matrix = operator.matrix.detach().numpy()
    model = Lasso(alpha=WEIGHT / len(matrix), fit_intercept=False, tol=1e-14, max_iter=10**6)
    return torch.from_numpy(np.stack([model.fit(matrix, row.numpy()).coef_ for row in data]))


@pytest.mark.parametrize("scheme", [Admm, DouglasRachford])
def test_many_layers_reach_the_lasso(scheme):
    operator, data = sparse_problem()
    network = Unrolled(scheme(operator, L1(), weight=WEIGHT, penalty=0.3, tol=1e-12), 400)
    with torch.no_grad():
        torch.testing.assert_close(network(data), lasso(operator, data), rtol=1e-5, atol=1e-6)


def test_a_growing_penalty_brings_half_quadratic_splitting_to_the_lasso():
    operator, data = sparse_problem()
    near = Unrolled(Hqs(operator, L1(), weight=WEIGHT, penalty=1e-2, growth=1.02, tol=1e-8), 300)
    fixed = Unrolled(Hqs(operator, L1(), weight=WEIGHT, penalty=1e-2, tol=1e-8), 300)
    truth = lasso(operator, data)
    with torch.no_grad():
        assert float((near(data) - truth).norm()) < 0.2 * float((fixed(data) - truth).norm())


def test_untrained_layers_are_the_steps_of_admm():
    operator, data = sparse_problem()
    matrix, penalty = operator.matrix.detach(), 0.7

    def solve(targets, rho):
        left = matrix.mT @ matrix + rho * torch.eye(matrix.shape[1], dtype=matrix.dtype)
        return torch.linalg.solve(left, (data @ matrix + rho * targets[0]).mT).mT

    def same(x):
        return x

    state = admm_start(torch.zeros(len(data), 20, dtype=data.dtype), [same])
    for _ in range(9):
        state = admm_step(state, solve, [lambda x, step: (WEIGHT * L1()).prox(x, step)], [same], penalty)
    network = Unrolled(Admm(operator, L1(), weight=WEIGHT, penalty=penalty, tol=1e-13), 9, free="all")
    torch.testing.assert_close(network(data), state.split[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scheme", [Admm, DouglasRachford, Hqs])
def test_gradients_of_all_parts_are_finite_differences(scheme):
    operator, data = sparse_problem(learn=True)
    network = Unrolled(scheme(operator, L1(), weight=WEIGHT, tol=1e-14), 3).double()
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert len(learned) == 3
    network(data).square().sum().backward()
    rng = torch.Generator().manual_seed(1)
    for parameter in learned:
        way = torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(sign * 1e-6 * way)
                ends.append(float(network(data).square().sum()))
                parameter.sub_(sign * 1e-6 * way)
        torch.testing.assert_close(
            float((parameter.grad * way).sum()), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7
        )


def test_the_fixed_point_of_admm_has_the_gradient_of_its_data():
    operator, data = sparse_problem(n_rows=8, n_columns=4, batch=1)
    implicit = FixedPoint(Admm(operator, L1(), weight=WEIGHT, tol=1e-12), tol=1e-10, backward_tol=1e-9)
    assert_gradient(lambda y: implicit(y).square().sum(), data, rng=torch.Generator().manual_seed(0))


def test_a_linear_system_is_solved_and_differentiated():
    operator, data = sparse_problem()
    shift = torch.tensor(0.4, dtype=torch.float64)
    right = operator.adjoint(data)
    left = operator.matrix.detach().mT @ operator.matrix.detach() + 0.4 * torch.eye(20, dtype=torch.float64)
    torch.testing.assert_close(solve_normal(operator, right, shift, tol=1e-13), torch.linalg.solve(left, right.mT).mT)
    assert_gradient(
        lambda b: solve_normal(operator, b, shift, tol=1e-14).square().sum(),
        right,
        rng=torch.Generator().manual_seed(0),
    )
    with pytest.raises(ConvergenceError, match="step limit"):
        solve_normal(operator, right, 1e-8 * shift, tol=1e-14, max_steps=3)


def test_primal_dual_layers_reach_the_prox_of_total_variation():
    image = torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    difference = FiniteDifference((6, 5))
    network = Unrolled(PrimalDual(Identity((6, 5)), L1(), difference, weight=0.1), 500)
    exact = TotalVariation(axes=(-2, -1), isotropic=False, gap=1e-10).prox(image, 0.1)
    with torch.no_grad():
        torch.testing.assert_close(network(image), exact, rtol=1e-4, atol=1e-4)


def test_primal_dual_steps_keep_their_condition_whatever_they_learn():
    operator, _ = sparse_problem()
    difference = FiniteDifference((20,))
    scheme = PrimalDual(operator, L1(), difference)
    lipschitz = operator.norm() ** 2
    rng = torch.Generator().manual_seed(0)
    for _ in range(200):
        with torch.no_grad():
            for constant in (scheme.primal_step, scheme.dual_step):
                constant.delta.copy_(50 * torch.randn((), generator=rng))
            room = 1 / float(scheme.primal_step()) - float(scheme.dual_step()) * difference.norm() ** 2
        assert room >= lipschitz / 2


def test_untrained_layers_of_robust_pca_are_its_solver():
    rng = torch.Generator().manual_seed(0)
    low_rank = torch.randn(2, 12, 2, generator=rng, dtype=torch.float64) @ torch.randn(
        2, 2, 40, generator=rng, dtype=torch.float64
    )
    sparse = 5 * (torch.rand(2, 12, 40, generator=rng) < 0.05).double()
    data = low_rank + sparse
    network = Unrolled(RobustPca((12, 40)), 40, free=("weight",))
    found = robust_pca(data, tol=0.0, max_steps=40).state
    torch.testing.assert_close(network(data), found.sparse, rtol=1e-5, atol=1e-5)
    guard = KnowledgeGuard(network)
    with torch.no_grad():
        for layer in network.layers():
            layer.weight.delta.fill_(-2.0)
    assert guard.cost(data).relative > 0.01


def test_the_gradient_through_robust_pca_is_finite_differences():
    data = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network = Unrolled(RobustPca((6, 9)), 5).double()
    assert_gradient(lambda d: network(d).square().sum(), data, rng=torch.Generator().manual_seed(0))


def test_what_does_not_fit_is_refused():
    operator, _ = sparse_problem()
    with pytest.raises(ShapeError, match="input of the transform must have shape"):
        PrimalDual(operator, L1(), FiniteDifference((7,)))
    with pytest.raises(InputError, match=r"primal_step = 2\.5 must be above 0 and below 1\.9"):
        PrimalDual(Dense(torch.eye(3)), L1(), FiniteDifference((3,)), primal_step=2.5)
    with pytest.raises(ShapeError, match=r"RobustPca: data must have shape \(batch, 3, 4\)"):
        Unrolled(RobustPca((3, 4)), 2)(torch.zeros(1, 4, 3))
    with pytest.raises(InputError, match="growth must be 1 or more"):
        Hqs(operator, L1(), growth=0.5)
