"""What every simulator promises at its door, fixed steps, and networks in the place of a simulator."""

import math
import warnings

import pytest
import torch
from reaction_toys import isomerisation
from torch import nn

from kotowari.core.errors import ConvergenceError, InputError, ShapeError
from kotowari.simulators.explicit import RungeKutta4
from kotowari.simulators.simulator import DifferentialEquation, Simulator
from kotowari.simulators.surrogate import DomainWarning, Surrogate, SurrogateError


class Rotation(DifferentialEquation):
    def rate(self, time, state):  # noqa: ARG002
        return torch.stack([-state[:, 1], state[:, 0]], dim=1)


class Doubling(Simulator):
    """Tells how to advance, and nothing else."""

    def __init__(self):
        super().__init__(["x"])

    def advance(self, state, start, stop):
        return state * 2 ** (stop - start)


def surrogate(**options):
    settings = {"step": 0.5, "low": [0.0, 0.0], "high": [2.0, 4.0], "state_names": "AB", "change": [0.5, 1.0]}
    return Surrogate(nn.Identity(), **settings | options)


def test_a_simulator_that_only_advances_has_a_trajectory():
    path = Doubling()(torch.ones(2, 1), [0.0, 1.0, 3.0])
    assert path.squeeze(-1).tolist() == [[1.0, 2.0, 8.0]] * 2


def test_one_time_gives_the_start():
    state = torch.ones(2, 2, dtype=torch.float64)
    assert torch.equal(isomerisation(1.0, 1.0)(state, [3.0]), state.unsqueeze(1))


@pytest.mark.parametrize(
    ("state", "times", "error", "words"),
    [
        (torch.ones(2, 3), [0.0, 1.0], ShapeError, r"state must have shape \(batch, 1\)"),
        (torch.full((2, 1), float("nan")), [0.0, 1.0], InputError, "finite real floats"),
        (torch.ones(2, 1, dtype=torch.int64), [0.0, 1.0], InputError, "finite real floats"),
        (torch.ones(2, 1), [0.0, 0.0], InputError, "strictly increasing"),
        (torch.ones(2, 1), [], InputError, "strictly increasing"),
        (torch.ones(2, 1), [0.0, float("inf")], InputError, "strictly increasing"),
    ],
)
def test_the_door_refuses(state, times, error, words):
    with pytest.raises(error, match=words):
        Doubling()(state, times)


def test_state_names_are_given_and_differ():
    with pytest.raises(InputError, match="name one state or more"):
        Rotation([])
    with pytest.raises(InputError, match="state names stand more than once"):
        Rotation(["x", "x"])


def test_halving_the_step_of_runge_kutta_divides_the_error_by_sixteen():
    start = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    errors = []
    for step in (0.1, 0.05):
        last = Rotation("xy", method=RungeKutta4(step))(start, [0.0, 2.0])[0, -1]
        errors.append(float((last - torch.tensor([math.cos(2.0), math.sin(2.0)], dtype=torch.float64)).norm()))
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.05)


def test_runge_kutta_works_in_the_precision_of_the_state():
    path = Rotation("xy", method=RungeKutta4(0.01))(torch.tensor([[1.0, 0.0]]), [0.0, 1.0])
    assert path.dtype == torch.float32
    assert float(path[0, -1, 0]) == pytest.approx(math.cos(1.0), abs=1e-6)


def test_too_long_a_step_is_told():
    model = isomerisation(1e4, 1.0, RungeKutta4(1.0))
    with pytest.raises(ConvergenceError, match=r"no longer finite at time .* shorter step"):
        model(torch.ones(1, 2, dtype=torch.float64), [0.0, 100.0])
    with pytest.raises(InputError, match="step must be above 0"):
        RungeKutta4(0.0)


def test_a_surrogate_adds_the_scaled_output_of_its_network():
    state = torch.tensor([[0.8, 1.0]], dtype=torch.float64)
    path = surrogate()(state, [0.0, 0.5, 1.0])
    first = torch.tensor([0.8 - 0.5 * 0.2, 1.0 - 1.0 * 0.5], dtype=torch.float64)
    torch.testing.assert_close(path[0, 1], first)
    assert path.shape == (1, 3, 2)


def test_a_surrogate_warns_outside_of_its_box_and_only_there():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        surrogate()(torch.tensor([[1.0, 1.0]], dtype=torch.float64), [0.0, 0.5])
    with pytest.warns(DomainWarning, match=r"1 of 2 states lie outside .* \(B\)"):
        surrogate()(torch.tensor([[1.0, 1.0], [1.0, 5.0]], dtype=torch.float64), [0.0, 0.5])


def test_a_surrogate_refuses_a_time_between_its_steps():
    with pytest.raises(InputError, match=r"takes steps of 0\.5, and 0\.7 is no multiple"):
        surrogate().advance(torch.ones(1, 2), 0.0, 0.7)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"step": 0.0}, InputError), ({"low": [3.0, 0.0]}, InputError), ({"high": [1.0]}, ShapeError)],
)
def test_a_box_that_does_not_fit_is_refused(options, error):
    with pytest.raises(error, match="low"):
        surrogate(**options)


def test_an_error_is_told_as_plain_numbers():
    one = SurrogateError((0.1,), (0.05,), (0.2,), (0.9,), (0.3,), n_test=10, n_rollout=3, n_inside=9)
    assert one.to_dict()["persistence"] == (0.9,)
