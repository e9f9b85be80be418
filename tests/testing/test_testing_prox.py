"""Every law of a prior catches an object that breaks it, and lets pass one that does not."""

import pytest
import torch

from kotowari.core.errors import CapabilityError, InputError
from kotowari.priors.groups import GroupL2
from kotowari.priors.indicators import Box, Indicator, Simplex
from kotowari.priors.prior import ProximalPrior
from kotowari.priors.quadratic import L2, SquaredL2
from kotowari.priors.sparsity import L1, Huber, LogSum, Lp
from kotowari.priors.spectral import Nuclear, SchattenP
from kotowari.priors.total_variation import TotalVariation
from kotowari.testing.prox import (
    assert_batch_separable,
    assert_firmly_nonexpansive,
    assert_moreau_identity,
    assert_prox,
    assert_stateless,
)

SHAPE = (3, 4, 5)


@pytest.fixture
def draws():
    return torch.Generator().manual_seed(0)


class Altered(ProximalPrior):
    """A prior whose prox or value is changed by a function."""

    def __init__(self, prior, change_prox=None, change_value=None):
        super().__init__()
        self.prior, self.convex = prior, prior.convex
        self.change_prox, self.change_value = change_prox, change_value

    def _value(self, x):
        value = self.prior._value(x)
        return value if self.change_value is None else self.change_value(x, value)

    def _smooth_value(self, x, eps):
        return self.prior._smooth_value(x, eps)

    def _prox(self, x, step):
        u = self.prior._prox(x, step)
        return u if self.change_prox is None else self.change_prox(x, step, u)


class StepOff(ProximalPrior):
    """Takes the prox at a step that is a given factor too large."""

    def __init__(self, prior, factor):
        super().__init__()
        self.prior, self.factor, self.convex = prior, factor, prior.convex

    def _value(self, x):
        return self.prior._value(x)

    def _smooth_value(self, x, eps):
        return self.prior._smooth_value(x, eps)

    def _prox(self, x, step):
        return self.prior._prox(x, self.factor * step)


PRIORS = {
    "l1": L1(0.7),
    "l2": L2(0.7),
    "squared l2": SquaredL2(0.7),
    "groups": GroupL2(-1, 0.7),
    "huber": Huber(0.3, 0.7),
    "lp": Lp(2 / 3, 0.7),
    "log sum": LogSum(0.5, 0.7),
    "nuclear": Nuclear(0.7),
    "schatten": SchattenP(0.5, 0.7),
}
every_prior = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


@every_prior
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
def test_a_right_prior_passes(prior, dtype, draws):
    for law in (assert_prox, assert_stateless, assert_batch_separable):
        law(prior, SHAPE, dtype=dtype, rng=draws)
    if prior.convex:
        assert_firmly_nonexpansive(prior, SHAPE, dtype=dtype, rng=draws)
        assert_moreau_identity(prior, SHAPE, dtype=dtype, rng=draws)


@every_prior
@pytest.mark.parametrize("factor", [0.95, 1.05])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128], ids=str)
def test_a_prox_that_is_five_per_cent_off_is_caught(prior, factor, dtype, draws):
    if not prior.convex:  # then the objective alone is compared, and single precision is too coarse for it
        dtype = torch.promote_types(dtype, torch.float64)
    scaled = Altered(prior, lambda _x, _step, u: factor * u)
    with pytest.raises(AssertionError, match="does better by"):
        assert_prox(scaled, SHAPE, dtype=dtype, rng=draws, steps=(0.5,))
    with pytest.raises(AssertionError, match="does better by"):
        assert_prox(StepOff(prior, factor), SHAPE, dtype=dtype, rng=draws, steps=(0.5,))


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_a_total_variation_prox_that_is_five_per_cent_off_is_caught(factor, draws):
    prior = TotalVariation(0.3, gap=1e-9)
    assert_prox(prior, (2, 5, 6), rng=draws, steps=(0.5,), accuracy=1e-9)
    with pytest.raises(AssertionError, match="does better by"):
        assert_prox(StepOff(prior, factor), (2, 5, 6), rng=draws, steps=(0.5,), accuracy=1e-9)


@pytest.mark.parametrize("prior", [Box(-0.5, 0.5), Simplex(2.0)], ids=str)
@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_a_projection_that_is_five_per_cent_off_is_caught(prior, factor, draws):
    class Off(Indicator):
        def _project(self, x):
            return factor * prior.project(x)

        def _inside(self, x):
            return prior._inside(x)

    with pytest.raises(AssertionError, match=r"does better by|the value at prox"):
        assert_prox(Off(), SHAPE, rng=draws)


def test_a_stationary_point_that_is_not_the_global_minimum_is_caught(draws):
    def never_zero(x, _step, u):
        return torch.where(u == 0, 1e-3 * x, u)

    def keeps_too_much(x, step, _u):
        magnitude = x.abs()
        root = ((magnitude + 0.5).square() - 4 * 0.7 * step).clamp_min(0.0).sqrt()
        return x.sgn() * (0.5 * (magnitude - 0.5 + root)).clamp_min(0.0)

    for change in (never_zero, keeps_too_much):
        with pytest.raises(AssertionError, match="does better by"):
            assert_prox(Altered(LogSum(0.5, 0.7), change), (3, 40), rng=draws, steps=(0.5, 1.0))


def test_a_value_that_does_not_belong_to_the_prox_is_caught(draws):
    heavier = Altered(L1(0.7), change_value=lambda _x, value: 1.05 * value)
    with pytest.raises(AssertionError, match="does better by"):
        assert_prox(heavier, SHAPE, rng=draws)
    with pytest.raises(AssertionError, match="larger"):
        assert_moreau_identity(heavier, SHAPE, rng=draws)


def test_results_of_the_wrong_form_are_caught(draws):
    with pytest.raises(AssertionError, match="prox gave shape"):
        assert_prox(Altered(L1(), lambda _x, _step, u: u.flatten(1)), SHAPE, rng=draws)
    with pytest.raises(AssertionError, match=r"prox gave torch.float64 for torch.float32"):
        assert_prox(Altered(L1(), lambda _x, _step, u: u.double()), SHAPE, dtype=torch.float32, rng=draws)
    with pytest.raises(AssertionError, match="value has shape"):
        assert_prox(Altered(L1(), change_value=lambda _x, value: value.sum()), SHAPE, rng=draws)
    with pytest.raises(AssertionError, match="the value at prox"):
        assert_prox(Altered(L1(), lambda _x, _step, u: u * torch.nan), SHAPE, rng=draws)


def test_a_prox_with_a_stated_gap_passes_with_it_and_not_without(draws):
    def inexact(x, _step, u):
        return u + 1e-5 * x

    sloppy = Altered(SquaredL2(0.7), inexact)
    assert_prox(sloppy, SHAPE, rng=draws, accuracy=1e-8)
    with pytest.raises(AssertionError, match="does better by"):
        assert_prox(sloppy, SHAPE, rng=draws, accuracy=1e-14)
    with pytest.raises(AssertionError, match="does better by"):
        assert_prox(StepOff(SquaredL2(0.7), 1.05), SHAPE, rng=draws, accuracy=1e-8)


@pytest.mark.parametrize(
    "expansive",
    [lambda x: 1.02 * x, torch.neg, lambda x: x - 1.2 * x.clamp(-1.0, 1.0), lambda x: x.flip(1), lambda x: x.round()],
    ids=["longer", "reflected", "over-relaxed", "reversed", "rounded"],
)
def test_a_map_that_is_not_firmly_nonexpansive_is_caught(expansive, draws):
    with pytest.raises(AssertionError, match="not firmly non-expansive"):
        assert_firmly_nonexpansive(expansive, (3, 20), rng=draws)


def test_a_nonconvex_prior_is_not_firmly_nonexpansive(draws):
    with pytest.raises(AssertionError, match="not firmly non-expansive"):
        assert_firmly_nonexpansive(Lp(0.5), (3, 40), rng=draws)


@pytest.mark.parametrize("mapping", [lambda x: 0.5 * x, torch.relu, lambda x: x.mean(1, keepdim=True).expand_as(x)])
def test_averages_and_projections_are_firmly_nonexpansive(mapping, draws):
    assert_firmly_nonexpansive(mapping, SHAPE, rng=draws)


def test_moreau_identity_is_only_for_convex_priors(draws):
    with pytest.raises(CapabilityError, match="not convex"):
        assert_moreau_identity(Lp(0.5), SHAPE, rng=draws)


def test_a_wrong_conjugate_is_caught(draws):
    def ball(radius):
        return lambda v: torch.where(v.flatten(1).norm(dim=1) <= radius + 1e-9, 0.0, torch.inf).double()

    assert_moreau_identity(L2(2.0), SHAPE, rng=draws, conjugate=ball(2.0))
    with pytest.raises(AssertionError, match=r"g\(u\) \+ g\*\(v\)"):
        assert_moreau_identity(L2(2.0), SHAPE, rng=draws, conjugate=ball(1.9))
    with pytest.raises(AssertionError, match=r"g\(u\) \+ g\*\(v\)"):
        assert_moreau_identity(SquaredL2(2.0), SHAPE, rng=draws, conjugate=lambda v: v.square().flatten(1).sum(1) / 2)


def test_a_prox_that_forgets_how_its_step_enters_is_caught(draws):
    linear = Altered(SquaredL2(1.0), lambda x, step, _u: x * (1.0 - 0.5 * step))
    with pytest.raises(AssertionError, match="at another step"):
        assert_moreau_identity(linear, SHAPE, rng=draws, step=0.4)


class WarmStart(Altered):
    """Starts from its last result, as an iteration with hidden state does."""

    last = 0.0

    def _prox(self, x, step):
        u = super()._prox(x, step)
        self.last, start = u, self.last
        return u + 1e-9 * start


class Counting(Altered):
    calls = 0

    def _value(self, x):
        self.calls += 1
        return super()._value(x) + 1e-12 * self.calls


class InPlace(Altered):
    def _prox(self, x, step):
        return super()._prox(x.mul_(0.5), step)


def test_hidden_state_is_caught(draws):
    with pytest.raises(AssertionError, match="prox after other calls"):
        assert_stateless(WarmStart(L1()), SHAPE, rng=draws)
    with pytest.raises(AssertionError, match="value after other calls"):
        assert_stateless(Counting(L1()), SHAPE, rng=draws)
    with pytest.raises(AssertionError, match=r"differs|in place"):
        assert_stateless(InPlace(L1()), SHAPE, rng=draws)


def test_samples_that_see_each_other_are_caught(draws):
    shared = Altered(L1(), lambda _x, _step, u: u - 1e-6 * u.mean(0, keepdim=True))
    with pytest.raises(AssertionError, match="prox of sample 0 depends on the other samples"):
        assert_batch_separable(shared, SHAPE, rng=draws)
    summed = Altered(L1(), change_value=lambda _x, value: value + 1e-6 * value.sum())
    with pytest.raises(AssertionError, match="value of sample 0 depends"):
        assert_batch_separable(summed, SHAPE, rng=draws)
    mixed = Altered(L1(), lambda x, step, _u: x.sgn() * (x.abs() - step.mean()).clamp_min(0.0))
    with pytest.raises(AssertionError, match="prox of sample 0"):
        assert_batch_separable(mixed, SHAPE, rng=draws)


def test_one_sample_says_nothing_of_a_batch(draws):
    with pytest.raises(InputError, match="two samples or more"):
        assert_batch_separable(L1(), (1, 4), rng=draws)


def test_laws_take_a_tensor_too(draws):
    x = torch.arange(12.0, dtype=torch.float64).reshape(2, 6) - 5.0
    for law in (
        assert_prox,
        assert_stateless,
        assert_batch_separable,
        assert_firmly_nonexpansive,
        assert_moreau_identity,
    ):
        law(L1(), x, rng=draws)
