"""The stiff solver against closed forms and scipy, and its adjoint against finite differences."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from reaction_toys import brusselator, isomerisation, robertson, scipy_brusselator, scipy_robertson
from torch import nn

from kotowari.core.errors import ConvergenceError, InputError
from kotowari.simulators import adjoint as adjoint_module
from kotowari.simulators import implicit as implicit_module
from kotowari.simulators.adjoint import Implicit
from kotowari.simulators.implicit import COEFFICIENTS, NODES, Tolerance, march_implicit
from kotowari.simulators.simulator import DifferentialEquation

START = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
STIFF_TIMES = (0.0, 0.4, 40.0, 4e3, 1e5)


class Decay(DifferentialEquation):
    """A driven linear equation with a fast and a slow part, whose solution is known."""

    def __init__(self, fast=1e4, method=None):
        super().__init__(["slow", "fast"], method=method)
        self.log_rates = nn.Parameter(torch.tensor([0.0, math.log(fast)], dtype=torch.float64))

    def rate(self, time, state):
        slow = -self.log_rates[0].exp() * state[:, 0]
        fast = self.log_rates[1].exp() * (time.cos() - state[:, 1])
        return torch.stack([slow, fast], dim=1)


class Explosion(DifferentialEquation):
    def __init__(self, method=None):
        super().__init__(["x"], method=method)

    def rate(self, time, state):  # noqa: ARG002
        return state.square()


def relative_error(ours, theirs):
    return float((ours / theirs - 1).abs().max())


def gradients(model, start, times, weights):
    start = start.clone().requires_grad_()
    loss = (model(start, times) * weights).square().sum()
    return torch.autograd.grad(loss, (start, *model.parameters()))


def differences(model, start, times, weights, size=1e-3):
    """Derivatives of the same loss in all log-rates, by central differences."""
    slopes = []
    for entry in range(len(model.log_rates)):
        sides = []
        for shift in (size, -size):
            with shifted(model.log_rates, entry, shift), torch.no_grad():
                sides.append((model(start, times) * weights).square().sum())
        slopes.append((sides[0] - sides[1]) / (2 * size))
    return torch.stack(slopes)


@contextmanager
def shifted(parameter, entry, shift):
    before = parameter.detach().clone()
    with torch.no_grad():
        parameter[entry] += shift
    yield
    with torch.no_grad():
        parameter.copy_(before)


def test_the_coefficients_are_those_of_the_collocation_at_the_radau_nodes():
    nodes, weights = np.array(NODES), np.array(COEFFICIENTS)
    for power in (1, 2, 3):
        np.testing.assert_allclose(weights @ nodes ** (power - 1), nodes**power / power, atol=1e-15)
    for power in range(1, 6):  # order 5 of the last row
        np.testing.assert_allclose(weights[2] @ nodes ** (power - 1), 1 / power, atol=1e-15)


@pytest.mark.parametrize("reversible", [False, True])
@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-10])
def test_robertson_is_solved_to_the_tolerance(reversible, rtol):
    with torch.no_grad():
        ours = robertson(Implicit(rtol, 1e-9 * rtol), reversible=reversible)(START, STIFF_TIMES)[0, 1:]
    assert relative_error(ours, scipy_robertson(STIFF_TIMES, reversible=reversible)[1:]) <= rtol


def test_robertson_has_its_published_values():
    with torch.no_grad():
        ours = robertson(Implicit(1e-7, 1e-12))(START, [0.0, 0.4, 40.0])[0]
    torch.testing.assert_close(
        ours[1], torch.tensor([0.98517, 3.3864e-5, 0.014794], dtype=torch.float64), rtol=4e-5, atol=0
    )
    torch.testing.assert_close(
        ours[2], torch.tensor([0.71583, 9.1855e-6, 0.28416], dtype=torch.float64), rtol=4e-5, atol=0
    )


@pytest.mark.parametrize(
    ("rates", "allowed"), [((1, 0.01, 2.5, 0.01, 1, 0.01), 5e-8), ((1, 0.01, 200, 0.01, 1e3, 0.01), 1e-8)]
)
def test_a_stiff_brusselator_agrees_with_scipy(rates, allowed):
    times = np.linspace(0.0, 50.0, 11).tolist()
    with torch.no_grad():
        ours = brusselator(rates, Implicit(1e-8, 1e-10))(torch.ones(1, 2, dtype=torch.float64), times)[0]
    assert relative_error(ours[1:], scipy_brusselator(rates, [1.0, 1.0], times)[1:]) <= allowed


def test_a_driven_stiff_equation_has_its_closed_form():
    fast, times = 1e4, torch.tensor([0.0, 0.5, 2.0, 3.0], dtype=torch.float64)
    with torch.no_grad():
        ours = Decay(fast, Implicit(1e-9, 1e-12))(torch.tensor([[1.0, 1.0]], dtype=torch.float64), times)[0]
    torch.testing.assert_close(ours[:, 0], (-times).exp(), rtol=1e-8, atol=0)
    forced = (fast**2 * times.cos() + fast * times.sin()) / (1 + fast**2)
    torch.testing.assert_close(ours[1:, 1], forced[1:], rtol=1e-8, atol=1e-9)


def test_halving_the_steps_divides_the_error_by_the_fifth_power(monkeypatch):
    class Linear(DifferentialEquation):  # one Newton step solves the stages, whatever the tolerance
        def rate(self, time, state):  # noqa: ARG002
            return -state

    start = torch.ones(1, 1, dtype=torch.float64)
    monkeypatch.setattr(implicit_module._Walk, "_first_step", lambda _walk: 1.0)
    loose, errors = Tolerance(1e-2, start.new_tensor(1e-2)), []
    for n_steps in (8, 16):
        march = march_implicit(Linear(["x"]), start, np.linspace(0.0, 2.0, n_steps + 1).tolist(), loose, max_steps=99)
        assert len(march.steps) == n_steps
        errors.append(abs(float(march.stages[-1, 0, -1, 0]) - math.exp(-2.0)))
    assert errors[0] / errors[1] == pytest.approx(32, rel=0.1)


def test_every_row_keeps_the_tolerance_of_the_batch():
    starts = torch.tensor([[1.0, 0.0, 0.0], [0.2, 1e-5, 0.8], [0.0, 0.0, 1.0]], dtype=torch.float64)
    model = robertson(Implicit(1e-8, 1e-16), reversible=True)
    with torch.no_grad():
        together = model(starts, STIFF_TIMES)[:, 1:]
        alone = torch.cat([model(start.unsqueeze(0), STIFF_TIMES) for start in starts])[:, 1:]
    torch.testing.assert_close(together, alone, rtol=1e-8, atol=1e-14)


def test_a_negative_excursion_stays_within_the_absolute_tolerance():
    with torch.no_grad():
        path = robertson(Implicit(1e-6, 1e-10))(START, np.linspace(0.0, 1e5, 50))
    assert float(path.min()) >= -1e-10


def test_the_adjoint_agrees_with_finite_differences_on_a_stiff_problem():
    model = robertson(Implicit(1e-8, 1e-14), reversible=True)
    weights = torch.tensor([1.0, 1e4, 2.0], dtype=torch.float64)
    _, ours = gradients(model, START, STIFF_TIMES, weights)
    theirs = differences(model, START, STIFF_TIMES, weights)
    strong = theirs.abs() > 1e-3 * theirs.abs().max()
    assert int(strong.sum()) == 5  # the backward rate of the slow first reaction does not matter here
    assert relative_error(ours[strong], theirs[strong]) <= 1e-5
    assert float((ours - theirs).abs().max() / theirs.abs().max()) <= 1e-6


def test_the_gradient_in_the_initial_state_has_its_closed_form():
    start = torch.tensor([[0.7, 0.1], [0.2, 0.9]], dtype=torch.float64, requires_grad=True)
    last = isomerisation(2.0, 3.0, Implicit(1e-10, 1e-13))(start, [0.0, 0.3])[:, -1, 0]
    (slope,) = torch.autograd.grad(last.sum(), start)
    fade = math.exp(-5 * 0.3)
    expected = torch.tensor([0.6 + 0.4 * fade, 0.6 - 0.6 * fade], dtype=torch.float64).expand(2, 2)
    torch.testing.assert_close(slope, expected, rtol=1e-8, atol=0)


def test_long_runs_are_differentiated_block_by_block(monkeypatch):
    model = robertson(Implicit(1e-8, 1e-15), reversible=True)
    weights = torch.ones(3, dtype=torch.float64)
    whole = gradients(model, START, STIFF_TIMES, weights)
    monkeypatch.setattr(adjoint_module, "_BLOCK", 7)
    for ours, theirs in zip(gradients(model, START, STIFF_TIMES, weights), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10 * float(theirs.abs().max()))


def test_an_adjoint_without_the_transpose_is_caught(monkeypatch):
    model = robertson(Implicit(1e-8, 1e-15), reversible=True)
    weights = torch.tensor([1.0, 1e4, 2.0], dtype=torch.float64)
    right = adjoint_module._adjoint_steps

    def wrong(at, jacobian, outward, inward):
        return right(at, jacobian.mT, outward, inward)

    monkeypatch.setattr(adjoint_module, "_adjoint_steps", wrong)
    _, ours = gradients(model, START, STIFF_TIMES, weights)
    monkeypatch.undo()
    _, theirs = gradients(model, START, STIFF_TIMES, weights)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) > 0.1


def test_hessians_agree_with_differences_of_gradients():
    model = robertson(Implicit(1e-8, 1e-14), reversible=True)
    times, weights = [0.0, 0.4, 4.0], torch.tensor([1.0, 1e4, 2.0], dtype=torch.float64)

    def loss():
        return (model(START, times) * weights).square().sum()

    (slopes,) = torch.autograd.grad(loss(), model.log_rates, create_graph=True)
    hessian = torch.stack([torch.autograd.grad(slope, model.log_rates, retain_graph=True)[0] for slope in slopes])
    scale = float(hessian.abs().max())
    torch.testing.assert_close(hessian, hessian.T, rtol=0, atol=1e-8 * scale)
    for entry in (0, 1, 4):
        sides = []
        for shift in (1e-4, -1e-4):
            with shifted(model.log_rates, entry, shift):
                sides.append(torch.autograd.grad(loss(), model.log_rates)[0])
        torch.testing.assert_close(hessian[entry], (sides[0] - sides[1]) / 2e-4, rtol=0, atol=1e-5 * scale)


def test_gradients_belong_to_the_constants_of_the_run():
    model = isomerisation(2.0, 3.0)
    other = torch.log(torch.tensor([5.0, 1.0], dtype=torch.float64)).requires_grad_()
    start = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    path = torch.func.functional_call(model, {"log_rates": other}, (start, [0.0, 0.2]))
    (borrowed,) = torch.autograd.grad(path[0, -1, 0], other)
    own = isomerisation(5.0, 1.0)
    (direct,) = torch.autograd.grad(own(start, [0.0, 0.2])[0, -1, 0], own.log_rates)
    torch.testing.assert_close(borrowed, direct)


def test_a_formula_for_the_jacobian_and_automatic_differentiation_agree():
    model = robertson(reversible=True)
    state = torch.rand(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    time = torch.zeros(4, dtype=torch.float64)
    automatic = DifferentialEquation.jacobian(model, time, state)
    torch.testing.assert_close(model.jacobian(time, state), automatic, rtol=1e-12, atol=0)


def test_a_state_that_blows_up_is_told_with_its_time():
    start = torch.ones(1, 1, dtype=torch.float64)
    with pytest.raises(ConvergenceError, match=r"stopped at time 1 of 2: the step fell to"):
        Explosion()(start, [0.0, 2.0])


def test_a_used_up_number_of_steps_is_told_with_its_time():
    with pytest.raises(ConvergenceError, match=r"stopped at time .* max_steps = 5 is used up"):
        robertson(Implicit(max_steps=5))(START, [0.0, 1e5])


def test_a_rate_that_is_not_finite_at_the_start_is_refused():
    class Broken(Explosion):
        def rate(self, time, state):  # noqa: ARG002
            return state / 0.0

    with pytest.raises(InputError, match="not finite at the start"):
        Broken()(torch.ones(1, 1, dtype=torch.float64), [0.0, 1.0])


def test_single_precision_is_refused():
    with pytest.raises(InputError, match=r"needs float64, got torch\.float32"):
        isomerisation(1.0, 1.0)(torch.ones(1, 2), [0.0, 1.0])


@pytest.mark.parametrize("options", [{"rtol": 0.5}, {"atol": 0.0}, {"max_steps": 0}, {"atol": (1e-9, -1.0)}])
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="rtol must lie between"):
        Implicit(**options)


def test_absolute_tolerances_have_to_fit_the_states():
    with pytest.raises(InputError, match="atol has 3 numbers for 2 states"):
        isomerisation(1.0, 1.0, Implicit(atol=(1e-9,) * 3))(torch.ones(1, 2, dtype=torch.float64), [0.0, 1.0])
