"""Networks fitted in the place of a simulator: as good as they say, and no better."""

import pytest
import torch
from torch import nn

from kotowari.core.errors import InputError
from kotowari.simulators.explicit import RungeKutta4
from kotowari.simulators.mass_action import MassAction
from kotowari.training.plan import TrainingPlan
from kotowari.training.surrogate import fit_surrogate

LOW, HIGH, STEP = [0.1, 0.1, 0.0], [1.0, 1.0, 0.8], 0.2
PLAN = TrainingPlan(max_epochs=40, patience=40, batch_size=64, learning_rate=1e-2, weight_decay=0.0, seed=3)


def dimerisation():
    """A + B <-> C."""
    return MassAction([[1, 1, 0]], [[0, 0, 1]], [1.5], reverse_rates=[0.5], species="ABC", method=RungeKutta4(0.05))


def network(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 3))


def fitted(plan=PLAN, **options):
    settings = {"low": LOW, "high": HIGH, "step": STEP, "n_train": 512, "n_test": 256} | options
    return fit_surrogate(dimerisation(), network(), plan=plan, **settings)


@pytest.fixture(scope="module")
def surrogate():
    return fitted()


def fresh_states(n=2000):
    generator = torch.Generator().manual_seed(99)
    low, high = torch.tensor(LOW, dtype=torch.float64), torch.tensor(HIGH, dtype=torch.float64)
    return low + (high - low) * torch.rand(n, 3, generator=generator, dtype=torch.float64)


@torch.no_grad()
def error_on(surrogate, states):
    truth = dimerisation()(states, [0.0, STEP])[:, 1]
    width = torch.tensor(HIGH, dtype=torch.float64) - torch.tensor(LOW, dtype=torch.float64)
    return ((surrogate.advance(states, 0.0, STEP) - truth) / width).square().mean(0).sqrt()


def test_a_fitted_surrogate_beats_predicting_no_change(surrogate):
    for ours, nothing in zip(surrogate.error.one_step, surrogate.error.persistence, strict=True):
        assert ours < 0.1 * nothing


def test_the_stated_error_holds_on_fresh_states(surrogate):
    error = surrogate.error
    for number, fresh in enumerate(error_on(surrogate, fresh_states()).tolist()):
        assert error.low[number] < error.one_step[number] < error.high[number]
        assert fresh == pytest.approx(error.one_step[number], rel=0.25)


def test_an_interval_that_is_stated_for_another_network_is_caught(surrogate):
    spoiled = fitted()
    with torch.no_grad():
        spoiled.network[2].bias += 0.3
    assert all(
        fresh > high for fresh, high in zip(error_on(spoiled, fresh_states()).tolist(), spoiled.error.high, strict=True)
    )
    assert surrogate.error == spoiled.error


def test_a_rollout_is_measured_inside_of_the_box(surrogate):
    error = surrogate.error
    assert 0 < error.n_inside <= error.n_test == 256
    assert all(one < many < 1 for one, many in zip(error.one_step, error.rollout, strict=True))


def test_a_rollout_that_always_leaves_has_no_number():
    brief = TrainingPlan(max_epochs=1, patience=1)
    leaving = fitted(brief, low=[5.0, 5.0, 0.0], high=[5.1, 5.1, 0.01], n_train=20, n_test=10)
    assert leaving.error.n_inside == 0
    assert all(number != number for number in leaving.error.rollout)  # NaN


def test_equal_seeds_give_equal_bytes():
    brief = TrainingPlan(max_epochs=2, patience=2, seed=1)
    first, again = (fitted(brief, n_train=64, n_test=16) for _ in range(2))
    assert first.error == again.error
    for ours, theirs in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_names_and_units_are_those_of_the_simulator(surrogate):
    assert surrogate.state_names == ("A", "B", "C")
    assert (surrogate.state_unit, surrogate.time_unit) == ("mol/L", "s")
    assert not surrogate.training


@pytest.mark.parametrize(
    ("options", "words"),
    [({"n_train": 5}, "n_train = 5"), ({"n_test": 1}, "n_test = 1"), ({"n_rollout": 0}, "n_rollout = 0")],
)
def test_too_few_states_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        fitted(**options)


def test_augmentation_is_refused():
    with pytest.raises(InputError, match="mixup, interpolation and noise of the plan must be 0"):
        fitted(TrainingPlan(noise=0.1))
