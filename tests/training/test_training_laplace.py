"""The normal approximation against exact posteriors, its coverage, and its refusals."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from kotowari.core.errors import ConvergenceError, DesignError, InputError
from kotowari.simulators.mass_action import MassAction
from kotowari.training.laplace import laplace_posterior

RATES = (1.5, 0.6)
NOISE = 0.05


def parameter(*numbers):
    return nn.Parameter(torch.tensor(numbers, dtype=torch.float64))


def linear_problem(prior=2.0):
    """Normal data and prior: the function, its parameters at the mode, and the exact covariance."""
    rng = np.random.default_rng(1)
    design, data = rng.normal(size=(30, 3)), rng.normal(size=30)
    precision = design.T @ design / NOISE**2 + np.eye(3) / prior**2
    mode = np.linalg.solve(precision, design.T @ data / NOISE**2)
    first, rest = parameter(mode[0]), nn.Parameter(torch.tensor(mode[1:]).reshape(2, 1))
    x, y = torch.tensor(design), torch.tensor(data)

    def negative_log_posterior():
        weights = torch.cat([first, rest.flatten()])
        return 0.5 * ((x @ weights - y) / NOISE).square().sum() + 0.5 * (weights / prior).square().sum()

    return negative_log_posterior, {"first": first, "rest": rest}, torch.tensor(np.linalg.inv(precision))


def test_a_linear_problem_has_its_exact_posterior():
    function, parameters, covariance = linear_problem()
    posterior = laplace_posterior(function, parameters)
    torch.testing.assert_close(posterior.covariance, covariance, rtol=1e-10, atol=1e-14)
    assert posterior.names == ("first[0]", "rest[0, 0]", "rest[1, 0]")
    torch.testing.assert_close(posterior.means()["rest"], parameters["rest"].detach())
    deviations = posterior.standard_deviations()
    assert deviations["rest"].shape == (2, 1)
    torch.testing.assert_close(deviations["first"][0], covariance[0, 0].sqrt())
    spread = covariance.diagonal().sqrt()
    torch.testing.assert_close(posterior.correlation(), covariance / spread.outer(spread))


def test_samples_have_the_moments_of_the_posterior_and_repeat():
    function, parameters, covariance = linear_problem()
    posterior = laplace_posterior(function, parameters)
    first, again = (posterior.samples(20_000, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(first["rest"], again["rest"])
    assert first["rest"].shape == (20_000, 2, 1)
    draws = torch.cat([first["first"], first["rest"].squeeze(-1)], dim=1)
    spread = covariance.diagonal().sqrt()
    torch.testing.assert_close(draws.T.cov() / spread.outer(spread), posterior.correlation(), rtol=0, atol=0.04)
    torch.testing.assert_close((draws.mean(0) - posterior.mean) / spread, torch.zeros(3).double(), rtol=0, atol=0.03)


def test_parameters_and_their_gradients_stay_as_they_were():
    function, parameters, _ = linear_problem()
    before = {name: value.detach().clone() for name, value in parameters.items()}
    laplace_posterior(function, parameters)
    assert all(value.grad is None for value in parameters.values())
    assert all(torch.equal(value, before[name]) for name, value in parameters.items())


def test_no_gradient_mode_makes_no_difference():
    function, parameters, covariance = linear_problem()
    with torch.no_grad():
        posterior = laplace_posterior(function, parameters)
    torch.testing.assert_close(posterior.covariance, covariance, rtol=1e-10, atol=1e-14)


def toy(data, times, start):
    """A <-> B, observed with noise of known size; the parameters are put to the mode by Newton's method."""
    model = MassAction([[1, 0]], [[0, 1]], RATES[:1], reverse_rates=RATES[1:], species="AB")

    def negative_log_posterior():
        path = model(start, times)[..., 0]
        return 0.5 * ((path - data) / NOISE).square().sum() + 0.5 * model.log_rates.square().sum()

    for _ in range(4):
        (slope,) = torch.autograd.grad(negative_log_posterior(), model.log_rates, create_graph=True)
        rows = [torch.autograd.grad(entry, model.log_rates, retain_graph=True)[0] for entry in slope]
        with torch.no_grad():
            model.log_rates -= torch.linalg.solve(torch.stack(rows), slope)
    return laplace_posterior(negative_log_posterior, dict(model.named_parameters()))


def standard_scores(n_repeats):
    """How far the true log-rates lie from the mode, in standard deviations, over repeats of a small experiment."""
    generator = torch.Generator().manual_seed(2)
    start, times = torch.tensor([[1.0, 0.0]], dtype=torch.float64), [0.0, 0.3, 0.6, 1.0, 2.0]
    truth = torch.tensor(RATES, dtype=torch.float64).log()
    decay = (-sum(RATES) * torch.tensor(times, dtype=torch.float64)).exp()
    clean = (RATES[1] + RATES[0] * decay) / sum(RATES)
    scores = []
    for _ in range(n_repeats):
        data = clean + NOISE * torch.randn(len(times), generator=generator, dtype=torch.float64)
        posterior = toy(data, times, start)
        scores.append((posterior.mean - truth) / posterior.covariance.diagonal().sqrt())
    return torch.stack(scores)


def test_intervals_of_the_rates_of_a_network_cover_as_often_as_they_say():
    scores = standard_scores(20)
    covered = float((scores.abs() <= 1.96).double().mean())
    assert covered >= 0.85
    assert 0.7 <= float(scores.square().mean().sqrt()) <= 1.3
    # intervals half as wide do not cover, so the check has teeth
    assert float((scores.abs() <= 0.98).double().mean()) < 0.85


def test_a_point_away_from_the_mode_is_refused_with_its_distance():
    function, parameters, covariance = linear_problem()
    with torch.no_grad():
        parameters["first"] += 3 * covariance[0, 0].sqrt()
    with pytest.raises(ConvergenceError, match=r"stand [3-9]\.?\d* posterior standard deviations from the mode"):
        laplace_posterior(function, parameters)


def test_a_saddle_is_refused_and_its_direction_named():
    x = parameter(0.0, 0.0)
    with pytest.raises(ConvergenceError, match=r"negative along 0\.71 x\[0\] - 0\.71 x\[1\]"):
        laplace_posterior(lambda: x.square().sum() + 3 * x[0] * x[1], {"x": x})


def test_a_maximum_is_refused_and_its_parameter_named():
    x, y = parameter(0.0), parameter(0.0)
    with pytest.raises(ConvergenceError, match=r"curvature along y\[0\] is negative"):
        laplace_posterior(lambda: (x.square() - y.square()).sum(), {"x": x, "y": y})


def test_a_direction_that_data_say_nothing_about_is_named():
    first, second = parameter(0.3), parameter(0.2)
    with pytest.raises(DesignError, match=r"say nothing about 0\.71 a\[0\] - 0\.71 b\[0\]\."):
        laplace_posterior(lambda: ((first + second).exp() - math.exp(0.5)).square().sum(), {"a": first, "b": second})


def test_a_parameter_that_is_not_used_is_named():
    used, unused = parameter(0.0), parameter(1.0)
    with pytest.raises(DesignError, match=r"say nothing about unused\[0\]"):
        laplace_posterior(lambda: used.square().sum(), {"used": used, "unused": unused})


def test_what_cannot_be_used_is_refused():
    x = parameter(1.0)
    with pytest.raises(InputError, match="no parameter"):
        laplace_posterior(lambda: x.sum(), {})
    with pytest.raises(InputError, match=r"x is torch\.float32"):
        laplace_posterior(lambda: x.sum(), {"x": nn.Parameter(torch.ones(1))})
    with pytest.raises(InputError, match="one finite number"):
        laplace_posterior(lambda: x.sum() * float("nan"), {"x": x})
    with pytest.raises(InputError, match="one finite number"):
        laplace_posterior(lambda: torch.cat([x, x]), {"x": x})
    with pytest.raises(InputError, match="does not depend on any parameter"):
        laplace_posterior(lambda: x.detach().sum(), {"x": x})
