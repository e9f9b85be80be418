"""Answers that are known: by formula, by trying out, or from another library."""

from math import log

import numpy as np
import pyproximal
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from priors_cases import numbers, wide

from kotowari.core.errors import CapabilityError, ShapeError
from kotowari.priors.affine import AffineSet
from kotowari.priors.balls import L1Ball, L2Ball, NuclearBall
from kotowari.priors.functional.scalar_prox import power, shrink_log, shrink_power, smooth_power
from kotowari.priors.groups import GroupL2, LabelledGroupL2, SparseGroupL2, overlapping_group_l2
from kotowari.priors.indicators import Box, Simplex
from kotowari.priors.prior import Composed, ComposedTight
from kotowari.priors.quadratic import L2, SquaredL2
from kotowari.priors.sparsity import L1, Huber, LogSum, Lp
from kotowari.priors.spectral import LogDet, Nuclear, SchattenP, WeightedNuclear
from kotowari.testing.gradient import assert_gradient
from kotowari.testing.noise import noise

MAGNITUDES = st.floats(0.0, 20.0)
THRESHOLDS = st.floats(1e-3, 10.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, dtype=torch.float64, seed=0):
    return noise(shape, dtype, generator(seed))


def same(ours, theirs, rtol=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=rtol)


def best_on_a_grid(penalty, s, t):
    """The least objective at 20,001 points from 0 to s, where the minimiser lies."""
    z = torch.linspace(0.0, s, 20_001, dtype=torch.float64)
    return float((t * penalty(z) + 0.5 * (z - s).square()).min())


def objective(penalty, z, s, t):
    return float(t * penalty(z) + 0.5 * (z - s).square())


def one(number):
    return torch.tensor(number, dtype=torch.float64)


@given(s=MAGNITUDES, t=THRESHOLDS, p=st.one_of(st.just(0.5), st.just(2 / 3), st.floats(0.05, 0.95)))
def test_shrinking_by_a_power_finds_the_global_minimum(s, t, p):
    z = shrink_power(one(s), t, p)
    assert objective(lambda a: a**p, z, one(s), t) <= best_on_a_grid(lambda a: a**p, s, t) + 1e-12 * (1 + s * s)
    assert 0 <= float(z) <= s


@given(s=MAGNITUDES, t=THRESHOLDS, scale=st.floats(1e-2, 5.0))
def test_shrinking_by_a_logarithm_finds_the_global_minimum(s, t, scale):
    def penalty(a):
        return torch.log1p(a / scale)

    z = shrink_log(one(s), t, scale)
    assert objective(penalty, z, one(s), t) <= best_on_a_grid(penalty, s, t) + 1e-12 * (1 + s * s)
    assert 0 <= float(z) <= s


def test_a_threshold_that_is_five_per_cent_off_misses_the_global_minimum():
    s = torch.linspace(0.05, 4.0, 80, dtype=torch.float64)
    wrong = [shrink_power(a, 1.05 * 0.5, 2 / 3) for a in s]
    excess = [
        objective(lambda b: b ** (2 / 3), z, a, 0.5) - best_on_a_grid(lambda b: b ** (2 / 3), float(a), 0.5)
        for z, a in zip(wrong, s, strict=True)
    ]
    assert max(excess) > 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_half_power_by_formula_and_by_newton_agree(dtype):
    s = torch.linspace(0.0, 10.0, 1001, dtype=dtype)
    formula, newton = shrink_power(s, 0.7, 0.5), shrink_power(s, 0.7, 0.5 + 1e-12)
    torch.testing.assert_close(formula, newton, rtol=1e-5 if dtype == torch.float32 else 1e-10, atol=0)


@given(s=MAGNITUDES, t=THRESHOLDS, p=st.sampled_from([0.3, 0.5, 2 / 3, 0.9, 1, 2]))
def test_shrinking_grows_with_the_magnitude_and_never_beyond_it(s, t, p):
    low, high = shrink_power(one(s), t, p), shrink_power(one(s + 0.1), t, p)
    assert 0 <= float(low) <= float(high) <= s + 0.1


def test_jump_of_the_half_and_two_thirds_powers_is_where_the_papers_put_it():
    t = 0.8
    for p, jump, height in ((0.5, 1.5 * t ** (2 / 3), 2 / 3), (2 / 3, (2 / 3) * (24 * t**3) ** 0.25, 0.5)):
        below, above = shrink_power(one(jump * (1 - 1e-9)), t, p), shrink_power(one(jump * (1 + 1e-9)), t, p)
        assert float(below) == 0.0
        assert float(above) == pytest.approx(height * jump, rel=1e-6)


@pytest.mark.parametrize("shrink", [lambda s, t: shrink_power(s, t, 0.5), lambda s, t: shrink_power(s, t, 2 / 3)])
def test_shrinking_is_differentiable_in_magnitude_and_threshold(shrink):
    s, t = 2.0 + numbers(6), 0.3 + 0.2 * numbers(6, seed=1)
    assert_gradient(lambda a: shrink(a, t), s, rng=generator())
    assert_gradient(lambda a: shrink(s, a), t, rng=generator())


def test_shrinking_survives_zero_and_no_threshold():
    s = torch.tensor([0.0, 1e-30, 1.0, 1e30])
    for p in (0.5, 2 / 3, 1, 2):
        assert torch.equal(shrink_power(s, 0.0, p), s)
    torch.testing.assert_close(shrink_log(s, 0.0, 0.1), s, rtol=1e-6, atol=0.0)


@given(s=st.floats(0.0, 1e-6), p=st.floats(0.1, 2.0))
def test_smooth_power_does_not_cancel(s, p):
    exact = 0.5 * p * s * s  # the first term of its series at eps = 1
    assert float(smooth_power(one(s), p, 1.0)) == pytest.approx(exact, rel=1e-6, abs=1e-300)


def test_power_has_gradient_zero_at_zero():
    s = torch.zeros(3, requires_grad=True)
    (gradient,) = torch.autograd.grad(power(s, 0.5).sum(), s)
    assert torch.equal(gradient, torch.zeros(3))


def test_huber_is_the_moreau_envelope_of_l1():
    x = 2.0 * draw(3, 50, dtype=torch.complex128)
    same(Huber(0.4).value(x), L1().moreau(x, 0.4))
    same(Huber(0.4, weight=2.0).value(x), L1(2.0).moreau(x, 0.2))


def test_complex_l1_is_the_group_norm_of_real_and_imaginary_part():
    x = draw(3, 7, dtype=torch.complex128)
    parts = torch.view_as_real(x)
    same(L1(0.5).value(x), GroupL2(-1, 0.5).value(parts))
    same(torch.view_as_real(L1(0.5).prox(x, 0.8)), GroupL2(-1, 0.5).prox(parts, 0.8))


@pytest.mark.parametrize(
    ("spectral", "separable"),
    [
        (Nuclear(0.4), L1(0.4)),
        (SchattenP(0.5, 0.4), Lp(0.5, 0.4)),
        (SchattenP(2 / 3, 0.4), Lp(2 / 3, 0.4)),
        (LogDet(0.1, 0.4), LogSum(0.1, 0.4)),
        (SchattenP(2, 0.4), SquaredL2(0.8)),
        (NuclearBall(2.0), L1Ball(2.0)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_spectral_prior_is_the_separable_one_on_singular_values(spectral, separable, dtype):
    values = torch.tensor([[3.0, 1.2, 0.5, 0.1]], dtype=torch.float64)
    left, right = torch.linalg.qr(draw(4, 4, dtype=dtype))[0], torch.linalg.qr(draw(6, 4, dtype=dtype, seed=1))[0]

    def matrix(spectrum):
        return (left * spectrum[:, None]) @ right.mH

    x = matrix(values)
    same(spectral.value(x), separable.value(values))
    same(spectral.smooth_value(x, 0.3), separable.smooth_value(values, 0.3), 1e-8)
    same(spectral.prox(x, 0.7), matrix(separable.prox(values, 0.7)), 1e-8)


def test_schatten_2_is_the_squared_norm():
    x = draw(2, 3, 4, 5)
    same(SchattenP(2, 0.5).value(x), SquaredL2(1.0).value(x))
    same(SchattenP(2, 0.5).prox(x, 0.7), SquaredL2(1.0).prox(x, 0.7), 1e-9)


def test_weighted_nuclear_norm_with_equal_weights_is_the_nuclear_norm():
    x = draw(2, 4, 5)
    ours, plain = WeightedNuclear(torch.full((4,), 0.3, dtype=torch.float64)), Nuclear(0.3)
    assert ours.convex
    same(ours.value(x), plain.value(x))
    same(ours.prox(x, 0.7), plain.prox(x, 0.7), 1e-8)


def test_weighted_nuclear_norm_refuses_the_prox_of_falling_weights():
    falling = WeightedNuclear(torch.tensor([1.0, 0.5]))
    assert falling.convex
    assert float(falling.value(torch.diag(torch.tensor([3.0, 2.0]))[None])) == pytest.approx(4.0)
    with pytest.raises(CapabilityError, match="weights fall"):
        falling.prox(draw(1, 2, 3), 1.0)
    with pytest.raises(ShapeError, match="4 singular values"):
        falling.value(draw(1, 4, 5))


def test_singular_values_that_are_zero_up_to_rounding_count_as_zero():
    column = draw(1, 6, 1)
    rank_one = column @ draw(1, 1, 5, seed=1)
    norm = torch.linalg.matrix_norm(rank_one)
    same(SchattenP(0.5).value(rank_one), norm**0.5, 1e-12)
    same(LogDet(1e-12).value(rank_one), torch.log1p(norm / 1e-12), 1e-12)


def test_labelled_groups_are_those_of_the_axes():
    x = draw(3, 4, 5, dtype=torch.complex128)
    rows = torch.arange(4)[:, None].expand(4, 5)
    weight = numbers(4)
    by_label, by_axis = LabelledGroupL2(rows, weight), GroupL2(-1, weight[:, None])
    same(by_label.value(x), by_axis.value(x))
    same(by_label.smooth_value(x, 0.3), by_axis.smooth_value(x, 0.3))
    step = torch.tensor([0.1, 1.0, 2.0], dtype=torch.float64)
    same(by_label.prox(x, step), by_axis.prox(x, step))


def test_labels_of_the_last_axis_make_groups_at_each_place_before_it():
    x = draw(2, 3, 4)
    groups = LabelledGroupL2(torch.tensor([0, 0, 1, 1]), 0.5)
    same(groups.value(x), 0.5 * x.reshape(2, 3, 2, 2).norm(dim=-1).sum((1, 2)))
    same(groups.prox(x, 0.7), GroupL2(-1, 0.5).prox(x.reshape(2, 3, 2, 2), 0.7).reshape(2, 3, 4))


def test_overlapping_groups_add_up_the_norm_of_each():
    x = draw(3, 2, 3)
    groups = [[0, 1, 2], [2, 3], [5]]
    prior = overlapping_group_l2(groups, (2, 3), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    flat = x.flatten(1)
    expected = sum(weight * flat[:, group].norm(dim=1) for weight, group in zip((1.0, 2.0, 3.0), groups, strict=True))
    same(prior.value(x), expected)
    assert isinstance(prior, Composed)  # no prox where groups overlap
    assert isinstance(overlapping_group_l2([[0], [1, 2]], (3,)), ComposedTight)


def test_sparse_groups_are_the_sum_of_both():
    x = draw(3, 4, 5)
    prior = SparseGroupL2(-1, 0.3, 0.6)
    same(prior.value(x), L1(0.3).value(x) + GroupL2(-1, 0.6).value(x))
    same(SparseGroupL2(-1, 0.0, 0.6).prox(x, 0.7), GroupL2(-1, 0.6).prox(x, 0.7))
    same(SparseGroupL2(-1, 0.3, 0.0).prox(x, 0.7), L1(0.3).prox(x, 0.7))


def test_squared_l2_solves_the_weighted_mean():
    x, centre, weight = draw(2, 5), draw(2, 5, seed=1), numbers(5)
    same(SquaredL2(weight, centre).prox(x, 0.5), (x + 0.5 * weight * centre) / (1 + 0.5 * weight))
    same(SquaredL2(3.0, centre).value(x), 1.5 * (x - centre).square().sum(1))


def test_affine_set_projects_as_the_pseudoinverse_does():
    operator, target, x = wide(3, 6), numbers(3), draw(4, 6)
    matrix = operator.matrix
    expected = x + (target - x @ matrix.T) @ torch.linalg.pinv(matrix).T
    same(AffineSet(operator, target).project(x), expected)


ORACLES = {
    "L1": (L1(0.7), pyproximal.L1(sigma=0.7)),
    "squared L2": (SquaredL2(0.7), pyproximal.L2(sigma=0.7)),
    "L2": (L2(0.7), pyproximal.Euclidean(sigma=0.7)),
    "log": (LogSum(0.5, 0.7), pyproximal.Log(sigma=0.7 * log(3.0), gamma=2.0)),
    "box": (Box(-0.4, 0.9), pyproximal.Box(-0.4, 0.9)),
    "simplex": (Simplex(1.5), pyproximal.Simplex(20, radius=1.5)),
    "L1 ball": (L1Ball(1.5), pyproximal.L1Ball(20, radius=1.5, xtol=1e-12)),
    "L2 ball": (L2Ball(1.5), pyproximal.EuclideanBall(np.zeros(20), 1.5)),
    "L2 ball, centred": (L2Ball(1.5, torch.ones(20)), pyproximal.EuclideanBall(np.ones(20), 1.5)),
    "groups": (GroupL2(1, 0.7), pyproximal.L21(ndim=4, sigma=0.7)),
    "sparse groups": (SparseGroupL2(1, 0.3, 0.7), pyproximal.L21_plus_L1(sigma=1.0, rho=0.3)),
    "log det": (LogDet(0.5, 0.7), pyproximal.SingularValuePenalty((4, 5), pyproximal.Log(0.7 * log(3.0), 2.0))),
    "nuclear": (Nuclear(0.7), pyproximal.Nuclear((4, 5), sigma=0.7)),
    "nuclear ball": (NuclearBall(1.5), pyproximal.NuclearBall((4, 5), radius=1.5, xtol=1e-12)),
}
AS_MATRIX = {"groups", "log det", "nuclear", "nuclear ball"}


@pytest.mark.parametrize("name", ORACLES)
def test_prox_is_that_of_pyproximal(name):
    ours, theirs = ORACLES[name]
    for seed in range(3):
        x = 1.5 * draw(1, 20, seed=seed)
        mine = ours.prox(x.reshape(1, 4, 5) if name in AS_MATRIX else x, 0.6).reshape(20)
        same(mine, torch.from_numpy(np.asarray(theirs.prox(x[0].numpy().copy(), 0.6))), 1e-6)
