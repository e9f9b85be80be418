"""Low rank plus sparse: planted parts, a certified minimum, one pass against the plain steps, frames not seen."""

import math

import pytest
import torch
from torch.nn.functional import softshrink

from kotowari.core.errors import CapabilityError, ConvergenceError, InputError, ShapeError
from kotowari.core.outcome import Status
from kotowari.priors.functional import column_blocks
from kotowari.priors.functional.column_blocks import ColumnBlocks, absorb
from kotowari.priors.functional.singular_values import nuclear_norm, singular_value_threshold
from kotowari.priors.functional.soft_threshold import soft_threshold
from kotowari.priors.groups import GroupL2
from kotowari.priors.indicators import NonNegative
from kotowari.priors.infimal_sum import InfimalSum
from kotowari.priors.low_rank_sparse import LowRankPlusSparse, background_basis, project_out
from kotowari.priors.quadratic import SquaredL2
from kotowari.priors.robust_pca import robust_pca
from kotowari.priors.sparsity import L1, LogSum
from kotowari.priors.spectral import Nuclear
from kotowari.solvers.inexact_alm import inexact_alm_residual, inexact_alm_start, inexact_alm_step
from kotowari.solvers.iterate import iterate

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def planted(m=40, n=120, rank=2, dtype=torch.float64, seed=0):
    """Background of a given rank, 3 % large entries."""
    low_rank = draw(m, rank, dtype=dtype, seed=seed) @ draw(rank, n, dtype=dtype, seed=seed + 1)
    where = torch.rand(m, n, generator=torch.Generator().manual_seed(seed + 2)) < 0.03
    return low_rank, torch.where(where, 5 * draw(m, n, dtype=dtype, seed=seed + 3), 0.0)


def price(low_rank, sparse, weight):
    return nuclear_norm(low_rank) + weight * sparse.abs().flatten(1).sum(1)


def relative(ours, reference):
    return float((ours - reference).norm() / reference.norm())


def textbook(x, weight, tol):
    """The method as it is usually written, with a full SVD."""
    top = float(torch.linalg.matrix_norm(x, 2))
    multiplier, sparse, penalty = x / max(top, float(x.abs().max()) / weight), torch.zeros_like(x), 1.25 / top
    for count in range(1, 200):
        u, s, vh = torch.linalg.svd(x - sparse + multiplier / penalty, full_matrices=False)
        low_rank = (u * (s - 1 / penalty).clamp_min(0)) @ vh
        sparse = softshrink(x - low_rank + multiplier / penalty, weight / penalty)
        residual = x - low_rank - sparse
        multiplier, penalty = multiplier + penalty * residual, 1.5 * penalty
        if residual.norm() < tol * x.norm():
            return low_rank, sparse, count
    raise AssertionError("the reference did not converge")


# --------------------------------------------------------------------------------------------------------- robust PCA


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_planted_parts_are_found(dtype):
    low_rank, sparse = planted(dtype=dtype)
    found = robust_pca(low_rank + sparse)
    assert found.converged
    bar = 2e-5 if dtype.to_real() == torch.float32 else 1e-6
    assert relative(found.state.low_rank[0], low_rank) < bar
    assert relative(found.state.sparse[0], sparse) < bar
    assert found.state.low_rank.dtype == dtype
    assert found.state.low_rank.shape == found.state.multiplier.shape == (1, 40, 120)


def test_a_dense_second_part_is_not_found():
    low_rank, _ = planted()
    found = robust_pca(low_rank + draw(40, 120, seed=9))
    assert relative(found.state.low_rank[0], low_rank) > 0.1


@pytest.mark.parametrize("tol", [1e-3, 1e-6])
def test_one_pass_a_step_gives_the_textbook_iterates(tol):
    x = sum(planted(30, 5000))
    weight = 1 / math.sqrt(5000)
    low_rank, sparse, count = textbook(x, weight, tol)
    found = robust_pca(x, weight, tol)
    assert abs(found.n_steps[0] - count) <= 1  # the last step is taken once more, to write the parts
    _, again, _ = textbook(x, weight, tol / 1.5)
    assert min(relative(found.state.sparse[0], part) for part in (sparse, again)) < 3 * tol
    assert relative(found.state.low_rank[0] + found.state.sparse[0], x) <= tol
    ours, theirs = (
        float(price(a[None], b[None], weight))
        for a, b in ((found.state.low_rank[0], found.state.sparse[0]), (low_rank, sparse))
    )
    assert ours <= theirs * (1 + 10 * tol)


def test_steps_on_callables_are_the_textbook_iterates():
    x = torch.stack([sum(planted()), 1e6 * sum(planted(seed=5))])
    weight = 1 / math.sqrt(120)
    norm = torch.linalg.matrix_norm(x, 2)
    start = inexact_alm_start(x, norm, torch.maximum(norm, x.abs().amax((1, 2)) / weight))

    def sparse_prox(z, step):
        return soft_threshold(z, weight * step[:, None, None])

    def step(state):
        return inexact_alm_step(state, x, singular_value_threshold, sparse_prox)

    found = iterate(start, step, lambda new, _: inexact_alm_residual(new, x), tol=1e-6, max_steps=100)
    for sample, low_rank, sparse, count in zip(x, found.state.low_rank, found.state.sparse, found.n_steps, strict=True):
        reference = textbook(sample, weight, 1e-6)
        assert count == reference[2]
        assert relative(low_rank, reference[0]) < 1e-9
        assert relative(sparse, reference[1]) < 1e-9


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (1, 5), (5, 1), (70, 4100)], ids=str)
def test_every_shape_of_matrix_is_split(shape):
    x = draw(2, *shape)
    found = robust_pca(x, tol=1e-6)
    assert found.converged
    assert found.state.low_rank.shape == x.shape
    assert relative(found.state.low_rank + found.state.sparse, x) < 1e-6
    assert relative(robust_pca(x.mT, tol=1e-6).state.sparse.mT, found.state.sparse) < 1e-8


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_scale_goes_through(scale):
    x = sum(planted(dtype=torch.float32))
    plain, scaled = robust_pca(x).state, robust_pca(scale * x).state
    assert relative(scaled.low_rank / scale, plain.low_rank) < 1e-5
    assert relative(scaled.multiplier, plain.multiplier) < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
def test_zeros_are_split_into_zeros(dtype):
    found = robust_pca(torch.zeros(2, 4, 6, dtype=dtype))
    assert found.converged
    assert not any(bool(part.any()) for part in found.state)


def test_each_sample_has_its_own_verdict_and_result():
    x = torch.stack([sum(planted()), draw(40, 120)])
    together, alone = robust_pca(x, tol=1e-5, max_steps=24), robust_pca(x[0], tol=1e-5, max_steps=24)
    assert together.statuses[0] is Status.CONVERGED
    assert torch.equal(together.state.low_rank[0], alone.state.low_rank[0])
    assert len(together.trace[0]) == 2
    short = robust_pca(x, max_steps=3)
    assert set(short.statuses) == {Status.MAX_STEPS}
    assert short.n_steps == (3, 3)


def test_the_compiled_pass_is_the_plain_one():
    compiled = column_blocks._compiled_absorb()
    for dtype in (torch.float32, torch.float64):
        low_rank, pull, matrix, data = draw(4, 30, 50, dtype=dtype)
        ours, plain = (pull.clone(), matrix.clone()), (pull.clone(), matrix.clone())
        sums = [run(low_rank, *parts, data, 0.5, 0.66) for run, parts in ((compiled, ours), (absorb, plain))]
        tol = 20 * torch.finfo(dtype).eps
        assert abs(sums[0] - sums[1]) <= tol * sums[1]
        for one, other in zip(ours, plain, strict=True):
            torch.testing.assert_close(one, other, rtol=tol, atol=tol)


def test_large_data_take_the_compiled_pass(monkeypatch):
    x = sum(planted(16, 3000, dtype=torch.float32))
    plain = robust_pca(x).state
    monkeypatch.setattr(column_blocks, "_COMPILED_FROM", 1)
    compiled = robust_pca(x).state
    assert relative(compiled.sparse, plain.sparse) < 1e-5


def test_single_precision_turns_to_double_products_in_time():
    x = sum(planted(30, 400, rank=3, dtype=torch.float32))
    blocks = ColumnBlocks(x, weight=0.05, growth=1.5)
    assert blocks.product == torch.float32
    blocks.solve(1e-6, 100)
    assert blocks.product == torch.float64


def test_residuals_below_what_squaring_resolves_are_reached_by_qr(monkeypatch):
    asked = []
    whole = column_blocks.left_spectrum
    monkeypatch.setattr(column_blocks, "left_spectrum", lambda *given: asked.append(1) or whole(*given))
    found = robust_pca(sum(planted(6, 30)), tol=0.0, max_steps=60)
    assert asked
    assert found.trace[-1][0] < 1e-8


def test_bad_input_is_refused():
    x = draw(4, 5)
    for bad, sentence in (
        ((x, 0.0), "weight must be above 0"),
        ((x, 1.0, -1.0), "tol = -1.0 must be 0 or more"),
        ((x, 1.0, 1e-6, 0), "max_steps = 0"),
        ((torch.full((3, 3), torch.nan),), "NaN or infinite"),
    ):
        with pytest.raises(InputError, match=sentence):
            robust_pca(*bad)
    with pytest.raises(InputError, match=r"growth = 0\.9"):
        robust_pca(x, growth=0.9)
    with pytest.raises(ShapeError, match="batch, m, n"):
        robust_pca(x[0])


# ---------------------------------------------------------------------------------------------------------- the prior


def test_value_is_the_minimum_within_its_gap():
    x = draw(2, 8, 12)
    weight = 0.35
    prior = LowRankPlusSparse(weight, gap=1e-4)
    exact = InfimalSum(Nuclear(), L1(weight), tol=1e-10).value(x)
    value = prior.value(x)
    assert bool((value >= exact * (1 - 1e-9)).all())
    assert bool((value <= exact * (1 + 1e-4)).all())
    found = prior.split(x)
    assert max(found.trace[-1]) <= 1e-4
    torch.testing.assert_close(found.state.low_rank + found.state.sparse, x)
    torch.testing.assert_close(price(found.state.low_rank, found.state.sparse, weight), value)


def test_a_split_that_is_not_the_best_costs_more():
    x = draw(1, 8, 12)
    value = float(LowRankPlusSparse(0.35).value(x))
    low_rank = singular_value_threshold(x, 0.5)
    assert float(price(low_rank, x - low_rank, 0.35)) > 1.05 * value


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_gradients_are_the_slopes(dtype):
    x, direction = draw(1, 3, 4, dtype=dtype), draw(1, 3, 4, dtype=dtype, seed=1)
    prior = InfimalSum(Nuclear(), L1(0.45), tol=1e-11)
    for function, tol in (
        (lambda z: prior.value(z).sum(), 1e-5),
        (lambda z: prior.smooth_value(z, 0.3).sum(), 1e-6),
        (lambda z: LowRankPlusSparse(0.45).loss(z, "moreau", 0.3), 1e-6),
        (lambda z: LowRankPlusSparse(0.45, gap=1e-4).loss(z), 1e-2),
    ):
        leaf = x.clone().requires_grad_()
        (grad,) = torch.autograd.grad(function(leaf), leaf)
        slope = float(function(x + 1e-4 * direction) - function(x - 1e-4 * direction)) / 2e-4
        assert abs(float((grad.conj() * direction).real.sum()) - slope) <= tol * float(grad.norm() * direction.norm())


def test_smooth_value_is_the_moreau_envelope_and_comes_to_the_value():
    x = draw(2, 4, 6)
    prior = LowRankPlusSparse(0.45, gap=1e-4)
    inner = InfimalSum(Nuclear(), L1(0.45), tol=1e-10)
    near = inner.proximal_point(x, 0.3)
    envelope = inner.value(near) + (x - near).square().sum((1, 2)) / 0.6
    torch.testing.assert_close(prior.smooth_value(x, 0.3), envelope, rtol=1e-7, atol=0)
    torch.testing.assert_close(prior.loss(x, "target", 0.3), ((x - near).square().sum((1, 2)) / 0.6).mean())
    torch.testing.assert_close(prior.smooth_value(x, 1e-6), prior.value(x), rtol=2e-4, atol=0)


def test_infimal_sum_of_a_square_and_magnitudes_is_hubers_function():
    x = draw(3, 50) * torch.tensor([[1.0], [1e3], [1e-3]], dtype=torch.float64)
    weight = torch.nn.Parameter(torch.tensor(0.8, dtype=torch.float64))
    prior = InfimalSum(SquaredL2(), L1(weight), tol=1e-10)
    quadratic = SquaredL2().value(torch.ones(1, 1)).item()  # whatever its factor is
    inside = x.abs() <= 0.8 / (2 * quadratic)
    huber = torch.where(inside, quadratic * x**2, 0.8 * x.abs() - 0.8**2 / (4 * quadratic)).sum(1)
    value = prior.value(x)
    torch.testing.assert_close(value.detach(), huber, rtol=1e-7, atol=1e-12)
    (grad,) = torch.autograd.grad(value[0], weight)
    torch.testing.assert_close(grad, (x[0].abs() - 0.8 / (2 * quadratic)).clamp_min(0).sum(), rtol=1e-6, atol=0)


def test_other_sparse_priors_take_the_place_of_magnitudes():
    low_rank, _ = planted(12, 20, rank=1)
    groups = torch.zeros(12, 20, dtype=torch.float64)
    groups[[2, 7]] = 4 * draw(2, 20, seed=4)
    found = LowRankPlusSparse(sparse=GroupL2(-1, 0.6)).split((low_rank + groups)[None])
    assert found.converged
    rows = found.state.sparse[0].norm(dim=1) > 1e-6
    assert rows.nonzero().flatten().tolist() == [2, 7]
    positive = LowRankPlusSparse(sparse=NonNegative()).split(draw(1, 5, 6)).state.sparse
    assert float(positive.min()) >= -1e-12


def test_a_split_that_does_not_converge_raises_by_value():
    prior = InfimalSum(Nuclear(), L1(0.4), max_steps=3)
    assert prior.split(draw(1, 4, 6)).statuses == (Status.MAX_STEPS,)
    with pytest.raises(ConvergenceError, match="step limit"):
        prior.value(draw(1, 4, 6))
    with pytest.raises(ConvergenceError, match="step limit"):
        LowRankPlusSparse(0.4, gap=1e-12).value(draw(1, 4, 6))


def test_what_is_no_prior_of_this_kind_is_refused():
    with pytest.raises(InputError, match="not both"):
        LowRankPlusSparse(1.0, L1(1.0))
    with pytest.raises(InputError, match="must be above 0"):
        LowRankPlusSparse(0.0)
    with pytest.raises(CapabilityError, match="convex prior with a prox"):
        LowRankPlusSparse(sparse=LogSum(0.1))
    with pytest.raises(CapabilityError, match="convex prior with a prox"):
        InfimalSum(L1(1.0), L1(1.0) + L1(2.0))
    with pytest.raises(ShapeError, match="batch, m, n"):
        LowRankPlusSparse().value(torch.ones(2, 3))
    with pytest.raises(InputError, match="NaN or infinite"):
        LowRankPlusSparse().value(torch.full((1, 2, 3), torch.inf))


# --------------------------------------------------------------------------------------------------- frames not seen


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_moves_is_left_of_a_frame_not_seen(dtype):
    low_rank, _ = planted(20, 60, rank=3, dtype=dtype)
    basis = background_basis(low_rank)
    tol = 100 * torch.finfo(dtype).eps
    assert basis.shape == (60, 3)
    assert relative(basis.mH @ basis, torch.eye(3, dtype=dtype)) < tol
    assert float(project_out(low_rank, basis).norm()) < tol * float(low_rank.norm())
    frame = draw(1, 20, dtype=dtype, seed=8) @ low_rank
    moving = project_out(draw(60, dtype=dtype, seed=9), basis)
    assert relative(project_out(frame[0] + moving, basis), moving) < 10 * tol * float(frame.norm())


def test_weak_directions_are_left_out():
    low_rank = torch.diag(torch.tensor([1.0, 1e-2, 1e-4]))
    assert background_basis(low_rank).shape == (3, 2)
    assert background_basis(low_rank, tol=0.1).shape == (3, 1)
    assert background_basis(torch.zeros(3, 5)).shape == (5, 0)


def test_frames_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="frames, pixels"):
        background_basis(torch.ones(3))
    with pytest.raises(InputError, match="from 0 to 1"):
        background_basis(torch.ones(3, 4), tol=1.0)
    with pytest.raises(ShapeError, match="frames must have shape"):
        project_out(torch.ones(2, 5), torch.ones(6, 1))
