"""The laws of a prior, on every prior there is."""

from importlib import import_module
from inspect import isclass
from pathlib import Path

import pytest
import torch
from priors_cases import CASES

from kotowari.priors.indicators import Indicator
from kotowari.priors.prior import Prior, ProximalPrior
from kotowari.testing.gradient import assert_finite_gradient, assert_gradient
from kotowari.testing.noise import noise, tolerance
from kotowari.testing.prox import (
    assert_batch_separable,
    assert_firmly_nonexpansive,
    assert_moreau_identity,
    assert_prox,
    assert_stateless,
)

ROOMS = (
    "affine",
    "balls",
    "groups",
    "indicators",
    "infimal_sum",
    "low_rank_sparse",
    "prior",
    "quadratic",
    "sparsity",
    "spectral",
    "total_variation",
)
DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
PROXIMAL = {name: case for name, case in CASES.items() if isinstance(case.prior, ProximalPrior)}
CLOSED = {name: case for name, case in CASES.items() if not case.by_iteration}
CONVEX = {name: case for name, case in PROXIMAL.items() if case.prior.convex}
SMOOTH = ("none", "eps", "moreau", "target")


def over(cases, dtypes=DTYPES):
    """Every case in every dtype that it is defined for; in the first one only where the value is slow to find."""
    pairs = [
        pytest.param(case, dtype, id=f"{name}-{str(dtype).removeprefix('torch.')}")
        for name, case in cases.items()
        for dtype in dtypes
        if not (case.real_only and dtype.is_complex) and not (case.by_iteration and dtype != dtypes[0])
    ]
    return pytest.mark.parametrize(("case", "dtype"), pairs)


def generator():
    return torch.Generator().manual_seed(0)


def losses(prior):
    return SMOOTH if isinstance(prior, ProximalPrior) else SMOOTH[:2]


@over(PROXIMAL)
def test_prox_is_the_minimiser(case, dtype):
    steps = (0.1, 3.0) if dtype == torch.float64 else (0.5,)
    assert_prox(case.prior, case.shape, dtype=dtype, rng=generator(), steps=steps, accuracy=case.accuracy)


@over(CONVEX, (torch.float64, torch.complex128))
def test_moreau_identity_holds(case, dtype):
    assert_moreau_identity(
        case.prior,
        case.shape,
        dtype=dtype,
        rng=generator(),
        step=0.6,
        conjugate=case.conjugate,
        accuracy=case.accuracy,
    )


@over(CONVEX, (torch.float64, torch.complex64))
def test_prox_of_a_convex_prior_is_firmly_nonexpansive(case, dtype):
    assert_firmly_nonexpansive(case.prior, case.shape, dtype=dtype, rng=generator(), step=0.5, accuracy=case.accuracy)


@over(CASES)
def test_no_result_depends_on_the_history(case, dtype):
    assert_stateless(case.prior, case.shape, dtype=dtype, rng=generator())


@over(CASES, (torch.float64, torch.complex64))
def test_each_sample_of_a_batch_is_on_its_own(case, dtype):
    assert_batch_separable(case.prior, case.shape, dtype=dtype, rng=generator(), accuracy=case.accuracy)


@over({name: case for name, case in PROXIMAL.items() if case.fixes_zero})
def test_zero_stays_zero(case, dtype):
    zero = torch.zeros(case.shape, dtype=dtype)
    assert torch.equal(case.prior.prox(zero, 0.7), zero)
    assert torch.equal(case.prior.value(zero), torch.zeros(case.shape[0], dtype=zero.real.dtype))


@over(CASES)
def test_every_loss_is_finite_with_a_finite_gradient(case, dtype):
    draw = noise(case.shape, dtype, generator())
    extreme = () if case.accuracy else (1e-25 * draw, 1e6 * draw)
    for x in (torch.zeros_like(draw), torch.ones_like(draw), draw, *extreme):
        for smooth in losses(case.prior):
            assert_finite_gradient(lambda z, smooth=smooth: case.prior.loss(z, smooth, 0.1), x)


@over(CLOSED, (torch.float64, torch.complex128))
def test_gradient_of_the_smooth_value_is_its_slope(case, dtype):
    x = noise(case.shape, dtype, generator())
    assert_gradient(lambda z: case.prior.smooth_value(z, 0.2), x, rng=generator())


@over(PROXIMAL, (torch.float64, torch.complex128))
def test_gradient_of_the_moreau_envelope_is_its_slope(case, dtype):
    x = noise(case.shape, dtype, generator())
    tol = max(1e-6, 10 * case.accuracy**0.5)
    assert_gradient(lambda z: case.prior.moreau(z, 0.6), x, rng=generator(), tol=tol)


@over(PROXIMAL, (torch.float64, torch.complex128))
def test_gradient_of_the_target_is_that_of_the_envelope(case, dtype):
    x = noise(case.shape, dtype, generator()).requires_grad_()
    (ours,) = torch.autograd.grad(case.prior.loss(x, "target", 0.6), x)
    (envelope,) = torch.autograd.grad(case.prior.loss(x, "moreau", 0.6), x)
    torch.testing.assert_close(ours, envelope, rtol=1e-12, atol=1e-12)


@over(CLOSED)
def test_smooth_value_comes_to_the_value_as_eps_goes_to_zero(case, dtype):
    x = noise(case.shape, dtype, generator())
    if isinstance(case.prior, Indicator):
        smooth, distance = case.prior.smooth_value(x, 0.5), case.prior.loss(x) * len(x)
        torch.testing.assert_close(smooth.sum(), distance)
        return
    value, smooth = case.prior.value(x), case.prior.smooth_value(x, 1e-6)
    assert bool(((smooth - value).abs() <= 1e-2 * (1 + value)).all())
    assert smooth.dtype == value.dtype == x.real.dtype


@over(PROXIMAL, (torch.float64, torch.complex128))
def test_gradient_passes_through_the_prox(case, dtype):
    x = noise(case.shape, dtype, generator())
    tol = max(1e-6, 100 * case.accuracy**0.5)
    assert_gradient(lambda z: case.prior.prox(z, 0.5), x, rng=generator(), tol=tol)


def test_moreau_envelope_lies_below_the_value_and_rises_to_it():
    for case in PROXIMAL.values():
        x = case.prior.prox(noise(case.shape, torch.float64, generator()), 0.1)
        value, near, far = case.prior.value(x), case.prior.moreau(x, 1e-4), case.prior.moreau(x, 1.0)
        slack = tolerance(torch.float64, x.numel()) * (1 + value) + case.accuracy * (1 + value)
        assert bool((far <= near + slack).all()), case.prior
        assert bool((near <= value + slack).all()), case.prior
        assert bool((value - near <= 0.02 * (1 + value)).all()), case.prior


def test_every_public_prior_has_a_case():
    rooms = [import_module(f"kotowari.priors.{room}") for room in ROOMS]
    public = {getattr(room, name) for room in rooms for name in room.__all__}
    priors = {thing for thing in public if isclass(thing) and issubclass(thing, Prior)}
    covered = {type(case.prior) for case in CASES.values()}
    assert priors - {Prior, ProximalPrior, Indicator} <= covered


def test_every_module_of_priors_is_looked_through():
    folder = import_module("kotowari.priors").__path__[0]
    for room in sorted({path.stem for path in Path(folder).glob("*.py")} - {"__init__", *ROOMS}):
        public = vars(import_module(f"kotowari.priors.{room}"))
        own = [name for name in public["__all__"] if isclass(public[name]) and issubclass(public[name], Prior)]
        assert not own, f"{room} holds the priors {own}, which no law is checked on"
