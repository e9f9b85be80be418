"""Priors multiplied, added, and put behind an operator."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from priors_cases import TightRows, wide

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.operators.difference import FiniteDifference
from kotowari.operators.sampling import Sampling
from kotowari.priors.groups import GroupL2
from kotowari.priors.indicators import Box
from kotowari.priors.prior import Composed, ComposedTight, Prior, ProximalPrior, Scaled, Summed, WeightedPrior
from kotowari.priors.quadratic import SquaredL2
from kotowari.priors.sparsity import L1, Lp
from kotowari.testing.noise import noise
from kotowari.testing.prox import assert_prox

X = noise((3, 6), torch.float64, torch.Generator().manual_seed(0))
SUM = L1(0.3) + SquaredL2(0.2)


def same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@given(factor=st.floats(0.0, 100.0))
def test_a_factor_scales_the_value_and_the_step(factor):
    prior = factor * L1(0.4)
    assert isinstance(prior, Scaled)
    same(prior.value(X), factor * L1(0.4).value(X))
    same(prior.smooth_value(X, 0.1), factor * L1(0.4).smooth_value(X, 0.1))
    same(prior.prox(X, 0.5), L1(0.4 * factor).prox(X, 0.5))
    same(prior.conjugate_prox(X, 0.5), L1(0.4 * factor).conjugate_prox(X, 0.5))


def test_factors_multiply():
    same((2 * (3 * L1())).prox(X, 0.1), L1(6.0).prox(X, 0.1))


def test_a_prior_times_zero_does_nothing():
    prior = 0 * L1()
    assert torch.equal(prior.prox(X, 2.0), X)
    assert torch.equal(prior.value(X), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("factor", [-1.0, float("nan")])
@pytest.mark.parametrize("prior", [L1(), SUM], ids=["with a prox", "without"])
def test_a_negative_factor_is_refused(prior, factor):
    with pytest.raises(InputError, match="0 or more"):
        factor * prior


def test_a_sum_adds_values_and_losses():
    first, second = L1(0.3), SquaredL2(0.2)
    same(SUM.value(X), first.value(X) + second.value(X))
    for smooth in ("none", "eps", "moreau", "target"):
        same(SUM.loss(X, smooth, 0.1), first.loss(X, smooth, 0.1) + second.loss(X, smooth, 0.1))


def test_a_sum_of_sums_is_one_sum():
    nested = (L1() + SUM) + L1()
    assert isinstance(nested, Summed)
    assert [type(term) for term in nested.terms] == [L1, L1, SquaredL2, L1]


def test_a_sum_has_no_prox_and_says_so():
    assert not isinstance(SUM, ProximalPrior)
    scaled = 2.0 * SUM
    assert isinstance(scaled, WeightedPrior)
    same(scaled.value(X), 2.0 * SUM.value(X))
    same(scaled.smooth_value(X, 0.1), 2.0 * SUM.smooth_value(X, 0.1))
    same(scaled.loss(X, "moreau", 0.1), 2.0 * SUM.loss(X, "moreau", 0.1))


def test_a_prior_behind_an_operator_sees_its_output():
    operator = wide(4, 6)
    prior = L1(0.3) @ operator
    assert isinstance(prior, Composed)
    same(prior.value(X), L1(0.3).value(operator(X)))
    same(prior.smooth_value(X, 0.1), L1(0.3).smooth_value(operator(X), 0.1))
    same(prior.loss(X, "moreau", 0.1), L1(0.3).loss(operator(X), "moreau", 0.1))


def test_a_prior_behind_a_tight_operator_keeps_its_exact_prox():
    operator = TightRows(4, 6)
    prior = L1(0.3) @ operator
    assert isinstance(prior, ComposedTight)
    same(prior.value(X), L1(0.3).value(operator(X)))
    assert_prox(prior, X, rng=torch.Generator().manual_seed(0))
    untouched = X - operator.adjoint(operator(X)) / 4.0
    after = prior.prox(X, 0.5)
    same(after - operator.adjoint(operator(after)) / 4.0, untouched)


def test_a_wrong_constant_of_a_tight_operator_is_caught():
    class Wrong(TightRows):
        coisometry = 3.5

    with pytest.raises(AssertionError, match="does better"):
        assert_prox(L1(0.3) @ Wrong(4, 6), X, rng=torch.Generator().manual_seed(0))


def test_an_operator_that_is_not_tight_is_refused_for_a_prox():
    with pytest.raises(CapabilityError, match="no exact prox"):
        ComposedTight(L1(), wide(4, 6))


class Quartic(Prior):
    """A penalty with neither prox nor kink."""

    def _value(self, x):
        return x.pow(4).sum(1)

    def _smooth_value(self, x, eps):
        return self._value(x) + eps


@pytest.mark.parametrize("smooth", ["moreau", "target"])
def test_a_prior_without_a_prox_says_so_when_a_loss_needs_it(smooth):
    for prior in (Quartic(), 2 * Quartic(), Quartic() + L1(), Quartic() @ TightRows(4, 6)):
        assert bool(prior.loss(X).isfinite())
        assert bool(prior.loss(X, "eps").isfinite())
        with pytest.raises(CapabilityError, match=f"no prox, so it has no {smooth} loss"):
            prior.loss(X, smooth)


def test_convexity_is_inherited():
    rough = Lp(0.5)
    assert not any(prior.convex for prior in (2 * rough, rough + L1(), rough @ TightRows(4, 6), 2 * (rough + L1())))
    assert all(prior.convex for prior in (2 * L1(), L1() + L1(), L1() @ wide(4, 6)))
    with pytest.raises(CapabilityError, match="not convex"):
        (2 * rough).conjugate_prox(X, 1.0)


def test_parts_are_modules_that_move_and_train_along():
    weight = torch.nn.Parameter(torch.tensor(0.5))
    whole = 2 * (L1(weight) @ Sampling(torch.tensor([0, 3]), (6,))) + GroupL2(-1)
    assert [parameter is weight for parameter in whole.parameters()] == [True]
    behind = "ComposedTight(L1(weight=0.5) @ Sampling((6,) -> (2,)))"
    assert repr(whole) == f"Summed(Scaled(2 * {behind}) + GroupL2(dims=(-1,), weight=1))"


def test_things_that_are_no_priors_do_not_combine():
    for combine in (lambda: L1() + 1, lambda: "a" * L1(), lambda: L1() @ 3.0):
        with pytest.raises(TypeError):
            combine()


def test_bad_calls_are_refused_in_a_sentence():
    with pytest.raises(ShapeError, match="batch"):
        L1().value(torch.ones(3))
    with pytest.raises(InputError, match="real or complex floats"):
        L1().prox(torch.ones(2, 3, dtype=torch.long), 1.0)
    with pytest.raises(InputError, match="step must be above 0"):
        L1().prox(X, 0.0)
    with pytest.raises(InputError, match="step must be above 0"):
        L1().prox(X, torch.tensor([1.0, -1.0, 1.0]))
    with pytest.raises(InputError, match="eps must be above 0"):
        L1().smooth_value(X, 0.0)
    with pytest.raises(InputError, match="amount must be above 0"):
        L1().loss(X, "eps", -1.0)
    with pytest.raises(InputError, match="smooth must be none, eps, moreau or target"):
        L1().loss(X, "huber")


def test_a_constraint_in_a_sum_leaves_the_loss_finite():
    loss = (L1(0.3) + Box(0.0, 0.1)).loss(X)
    assert bool(loss.isfinite())
    same(loss, L1(0.3).loss(X) + Box(0.0, 0.1).loss(X))


def test_multiples_and_tight_compositions_of_an_indicator_have_finite_losses():
    outside = torch.full((2, 4), 3.0, dtype=torch.float64)
    shuffle = Sampling(torch.tensor([2, 0, 3, 1]), (4,))
    for prior in (2.0 * Box(0.0, 1.0), Box(0.0, 1.0) @ shuffle):
        for smooth in ("none", "eps", "moreau", "target"):
            assert bool(prior.loss(outside, smooth).isfinite())
    assert (0.0 * Box(0.0, 1.0)).value(outside).tolist() == [0.0, 0.0]


def test_a_step_that_is_not_one_number_a_sample_is_refused():
    with pytest.raises(ShapeError, match=r"step must have shape \(2\), got \(3,\)"):
        L1().prox(torch.ones(2, 4), torch.ones(3))


def test_a_prior_without_a_prox_says_what_solves_it():
    for prior in (L1() @ FiniteDifference((4,)), L1() + SquaredL2()):
        with pytest.raises(AttributeError, match=r"has no prox, as no exact one is known\. A Problem solves it"):
            _ = prior.prox
