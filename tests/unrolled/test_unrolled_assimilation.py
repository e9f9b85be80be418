"""Filters and 4D-Var against textbook formulas written out in numpy, and noise levels that are learned."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from scipy.stats import multivariate_normal
from torch import nn

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.operators.linear import LinearOperator
from kotowari.simulators.mass_action import MassAction
from kotowari.simulators.simulator import Simulator
from kotowari.unrolled.assimilation import GaussianState, linearised, observed_series
from kotowari.unrolled.four_d_var import FourDVar, FourDVarStep
from kotowari.unrolled.kalman import EnsembleKalmanStep, ExtendedKalmanStep, KalmanFilter
from kotowari.unrolled.noise_levels import NoiseLevels

MOTION = np.array([[0.9, 0.3], [-0.2, 0.95]])
SEEN = np.array([[1.0, 0.0], [0.5, -1.0]])
PROCESS, OBSERVED = np.array([0.3, 0.2]), np.array([0.4, 0.7])
TIMES = [0.0, 1.0, 2.0, 3.0, 4.0]
N_TIMES = len(TIMES)


class Linear(Simulator):
    """x -> M x in one unit of time; M is a constant that can be learned."""

    def __init__(self, matrix=MOTION):
        super().__init__([f"x{number}" for number in range(len(matrix))])
        self.matrix = nn.Parameter(torch.tensor(matrix))

    def advance(self, state, start, stop):
        for _ in range(round(stop - start)):
            state = state @ self.matrix.T
        return state


class Matrix(LinearOperator):
    def __init__(self, matrix=SEEN):
        super().__init__()
        self.register_buffer("matrix", torch.tensor(np.array(matrix)))
        self.codomain, self.domain = (len(matrix),), (len(matrix[0]),)

    def _forward(self, x):
        return x @ self.matrix.T

    def _adjoint(self, y):
        return y @ self.matrix


class Pendulum(Simulator):
    """A nonlinear map with a derivative everywhere."""

    def __init__(self):
        super().__init__(["angle", "speed"])

    def advance(self, state, start, stop):
        for _ in range(round((stop - start) / 0.1)):
            speed = state[:, 1] - 0.1 * state[:, 0].sin()
            state = torch.stack([state[:, 0] + 0.1 * speed, speed], dim=1)
        return state


def parts(simulator=None, observation=None):
    return {
        "simulator": simulator or Linear(),
        "observation": observation or Matrix(),
        "observation_noise": NoiseLevels(OBSERVED),
    }


def extended(**changes):
    return ExtendedKalmanStep(**parts(**changes), process_noise=NoiseLevels(PROCESS))


def ensemble(n_members, **changes):
    options = {"inflation": 1.0, "seed": 0} | {key: changes.pop(key) for key in ("inflation", "seed") if key in changes}
    return EnsembleKalmanStep(**parts(**changes), process_noise=NoiseLevels(PROCESS), n_members=n_members, **options)


def series(n_rows=3, n_times=N_TIMES, seed=5, missing=True):
    """Draws from the linear model with its noise, some of them missing."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(n_rows, 2)) + np.array([1.0, -1.0])
    rows = []
    for number in range(n_times):
        if number:
            state = state @ MOTION.T + PROCESS * rng.normal(size=state.shape)
        rows.append(state @ SEEN.T + OBSERVED * rng.normal(size=(n_rows, 2)))
    observations = torch.tensor(np.stack(rows, axis=1))
    if missing:
        observations[0, 1, 0] = observations[1, 2] = observations[2, 0, 1] = float("nan")
    return observations


def start(n_rows=3):
    mean = torch.tensor([1.0, -1.0], dtype=torch.float64).expand(n_rows, 2)
    covariance = torch.tensor([[1.0, 0.2], [0.2, 0.8]], dtype=torch.float64)
    return GaussianState(mean, covariance.expand(n_rows, 2, 2))


def joint_normal(n_times=N_TIMES):
    """Mean and covariance of all states in a row, and the matrix to all observations with its noise."""
    mean, covariance = start(1).mean[0].numpy(), start(1).covariance[0].numpy()
    powers = [np.linalg.matrix_power(MOTION, number) for number in range(n_times)]
    means = np.concatenate([power @ mean for power in powers])
    spread = np.zeros((2 * n_times, 2 * n_times))
    for row in range(n_times):
        for column in range(n_times):
            block = powers[row] @ covariance @ powers[column].T
            for source in range(1, min(row, column) + 1):
                block = block + powers[row - source] @ np.diag(PROCESS**2) @ powers[column - source].T
            spread[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = block
    return means, spread, np.kron(np.eye(n_times), SEEN), np.tile(OBSERVED**2, n_times)


def textbook(observations, row):
    """The Kalman filter of one row with the entries that were seen, one time after the other."""
    mean, covariance = start(1).mean[0].numpy(), start(1).covariance[0].numpy()
    means, covariances = [], []
    for number, values in enumerate(observations[row].numpy()):
        if number:
            mean, covariance = MOTION @ mean, MOTION @ covariance @ MOTION.T + np.diag(PROCESS**2)
        seen = ~np.isnan(values)
        matrix, noise = SEEN[seen], np.diag(OBSERVED[seen] ** 2)
        gain = covariance @ matrix.T @ np.linalg.inv(matrix @ covariance @ matrix.T + noise)
        mean = mean + gain @ (values[seen] - matrix @ mean)
        covariance = covariance - gain @ matrix @ covariance
        means.append(mean)
        covariances.append(covariance)
    return np.stack(means), np.stack(covariances)


def test_on_a_linear_model_the_extended_filter_is_the_textbook_one():
    observations = series()
    with torch.no_grad():
        filtered = KalmanFilter(extended())(observations, TIMES, start())
    for row in range(3):
        means, covariances = textbook(observations, row)
        np.testing.assert_allclose(filtered.means[row], means, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(filtered.covariances[row], covariances, rtol=1e-11, atol=1e-12)


def test_the_log_likelihood_is_the_density_of_all_that_was_seen():
    observations = series()
    with torch.no_grad():
        ours = KalmanFilter(extended())(observations, TIMES, start()).log_likelihood
    means, spread, matrix, noise = joint_normal()
    for row in range(3):
        values = observations[row].flatten().numpy()
        seen = ~np.isnan(values)
        covariance = (matrix @ spread @ matrix.T + np.diag(noise))[np.ix_(seen, seen)]
        theirs = multivariate_normal((matrix @ means)[seen], covariance).logpdf(values[seen])
        assert float(ours[row]) == pytest.approx(theirs, rel=1e-11)


def test_a_series_without_observations_says_nothing():
    observations = torch.full((1, 5, 2), float("nan"), dtype=torch.float64)
    with torch.no_grad():
        filtered = KalmanFilter(extended())(observations, TIMES, start(1))
        ensembled = KalmanFilter(ensemble(50))(observations, TIMES, start(1))
    assert filtered.log_likelihood.tolist() == ensembled.log_likelihood.tolist() == [0.0]
    np.testing.assert_allclose(filtered.means[0], joint_normal()[0].reshape(5, 2), rtol=1e-12)


def test_process_noise_grows_with_the_time_between_observations():
    still = Linear(np.eye(2))
    step = ExtendedKalmanStep(
        still, Matrix(), process_noise=NoiseLevels(PROCESS), observation_noise=NoiseLevels([1, 1])
    )
    later = step.predict(start(1), 0.0, 3.0)
    grown = (later.covariance - start(1).covariance)[0].detach()
    torch.testing.assert_close(grown, torch.diag(3 * torch.tensor(PROCESS) ** 2))


def distance(n_members, seed=0):
    """How far an ensemble filter lies from the exact one, in its standard deviations, and in its covariances."""
    observations = series()
    with torch.no_grad():
        exact = KalmanFilter(extended())(observations, TIMES, start())
        ours = KalmanFilter(ensemble(n_members, seed=seed))(observations, TIMES, start())
    spread = exact.covariances.diagonal(dim1=-2, dim2=-1).sqrt()
    means = ((ours.means - exact.means) / spread).square().mean().sqrt()
    covariances = (ours.covariances - exact.covariances).norm() / exact.covariances.norm()
    return float(means), float(covariances), float((ours.log_likelihood - exact.log_likelihood).abs().max())


def test_the_ensemble_filter_tends_to_the_extended_one():
    few, many = distance(20), distance(2000)
    assert max(many[:2]) <= 0.05
    assert many[2] <= 0.2
    assert all(large > 3 * small for large, small in zip(few, many, strict=True))


def test_an_ensemble_filter_without_the_square_root_is_caught(monkeypatch):
    right = EnsembleKalmanStep.update

    def narrowed(self, belief, observed, present):
        updated, density = right(self, belief, observed, present)
        mean = updated.members.mean(1, keepdim=True)
        return updated._replace(members=mean + 0.8 * (updated.members - mean)), density

    monkeypatch.setattr(EnsembleKalmanStep, "update", narrowed)
    assert distance(2000)[1] > 0.2


def test_equal_seeds_give_equal_bytes_and_others_do_not():
    filters = [KalmanFilter(ensemble(10, seed=seed)) for seed in (1, 1, 2)]
    with torch.no_grad():
        first, again, other = (one(series(), TIMES, start()).means for one in filters)
        repeated = filters[0](series(), TIMES, start()).means
    assert torch.equal(first, again)
    assert torch.equal(first, repeated)
    assert not torch.equal(first, other)


def test_inflation_widens_what_is_predicted():
    belief = ensemble(40).begin(start())
    plain, wide = (ensemble(40, inflation=factor).predict(belief, 0.0, 1.0) for factor in (1.0, 1.5))
    assert wide.members.var(1).sum() > 1.5 * plain.members.var(1).sum()


def test_noise_levels_are_learned_by_maximum_likelihood():
    observations = series(n_rows=12, n_times=60, seed=7, missing=False)
    observations[:, ::7, 0] = float("nan")
    step = ExtendedKalmanStep(
        Linear(), Matrix(), process_noise=NoiseLevels([1.0, 1.0]), observation_noise=NoiseLevels([1.0, 1.0])
    )
    step.simulator.requires_grad_(False)
    kalman, times = KalmanFilter(step), list(range(60))
    optimiser = torch.optim.LBFGS(
        [parameter for parameter in kalman.parameters() if parameter.requires_grad],
        max_iter=12,
        line_search_fn="strong_wolfe",
    )

    def loss():
        optimiser.zero_grad()
        value = -kalman(observations, times, start(12)).log_likelihood.mean()
        value.backward()
        return value

    optimiser.step(loss)
    with torch.no_grad():
        np.testing.assert_allclose(step.process_noise.std(), PROCESS, rtol=0.15)
        np.testing.assert_allclose(step.observation_noise.std(), OBSERVED, rtol=0.15)


@pytest.mark.parametrize("make", [extended, lambda: ensemble(30)], ids=["extended", "ensemble"])
def test_the_gradient_of_the_log_likelihood_is_that_of_differences(make):
    step = make()
    kalman = KalmanFilter(step)
    slopes = torch.autograd.grad(kalman(series(), TIMES, start()).log_likelihood.sum(), list(step.parameters()))
    for parameter, slope in zip(step.parameters(), slopes, strict=True):
        entry, sides = (0,) * parameter.ndim, []
        for shift in (1e-5, -1e-5):
            with torch.no_grad():
                parameter[entry] += shift
                sides.append(float(kalman(series(), TIMES, start()).log_likelihood.sum()))
                parameter[entry] -= shift
        assert float(slope[entry]) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-5, abs=1e-7)


def test_an_extended_filter_around_a_reaction_network_learns_its_rate():
    network = MassAction([[1, 0]], [[0, 1]], [2.0], reverse_rates=[1.0], species="AB")
    step = ExtendedKalmanStep(
        network,
        nn.Identity(),
        process_noise=NoiseLevels([0.01, 0.01]),
        observation_noise=NoiseLevels([0.05, 0.05]),
    )
    belief = GaussianState(torch.ones(1, 2, dtype=torch.float64), 0.1 * torch.eye(2, dtype=torch.float64).unsqueeze(0))
    observations = torch.ones(1, 3, 2, dtype=torch.float64)
    kalman = KalmanFilter(step)
    (slope,) = torch.autograd.grad(kalman(observations, [0.0, 0.2, 0.5], belief).log_likelihood, network.log_rates)
    sides = []
    for shift in (1e-4, -1e-4):
        with torch.no_grad():
            network.log_rates[0] += shift
            sides.append(float(kalman(observations, [0.0, 0.2, 0.5], belief).log_likelihood))
            network.log_rates[0] -= shift
    assert float(slope[0]) == pytest.approx((sides[0] - sides[1]) / 2e-4, rel=1e-4)


def normal_equations(observations, row, n_times=N_TIMES):
    """The state at the start that fits best, and its covariance, for the linear model without process noise."""
    precision = np.linalg.inv(start(1).covariance[0].numpy())
    right = precision @ start(1).mean[0].numpy()
    for number in range(n_times):
        values = observations[row, number].numpy()
        seen = ~np.isnan(values)
        matrix = (SEEN @ np.linalg.matrix_power(MOTION, number))[seen]
        weights = np.diag(OBSERVED[seen] ** -2.0)
        precision = precision + matrix.T @ weights @ matrix
        right = right + matrix.T @ weights @ values[seen]
    return np.linalg.solve(precision, right), np.linalg.inv(precision)


def test_one_untrained_step_of_four_d_var_solves_a_linear_model():
    observations = series()
    with torch.no_grad():
        ours = FourDVar(**parts(), depth=1)(observations, TIMES, start())
        spread = FourDVarStep(**parts()).covariance(ours, observed_series(observations, TIMES, start(), by=""), start())
    for row in range(3):
        mean, covariance = normal_equations(observations, row)
        np.testing.assert_allclose(ours[row], mean, rtol=1e-11)
        np.testing.assert_allclose(spread[row], covariance, rtol=1e-11)


def test_four_d_var_without_process_noise_is_the_kalman_filter_at_the_end():
    observations = series()
    quiet = ExtendedKalmanStep(**parts(), process_noise=NoiseLevels([1e-9, 1e-9]))
    with torch.no_grad():
        filtered = KalmanFilter(quiet)(observations, TIMES, start())
        first = FourDVar(**parts(), depth=1)(observations, TIMES, start())
        last = Linear()(first, TIMES)[:, -1]
    torch.testing.assert_close(last, filtered.means[:, -1], rtol=1e-9, atol=1e-10)


def test_relaxed_steps_converge_to_the_same_state():
    observations = series()
    window = observed_series(observations, TIMES, start(), by="")
    exact = torch.tensor(np.stack([normal_equations(observations, row)[0] for row in range(3)]))
    step, state = FourDVarStep(**parts(), relaxation=1.6), start().mean
    with torch.no_grad():
        gaps = [float((state - exact).norm())]
        for _ in range(30):
            state = step(state, window, start())
            gaps.append(float((state - exact).norm()))
    assert gaps[1] == pytest.approx(0.6 * gaps[0], rel=1e-9)
    assert gaps[-1] <= 1e-6 * gaps[0]


def test_four_d_var_of_a_nonlinear_model_agrees_with_scipy():
    truth = torch.tensor([[1.2, -0.4]], dtype=torch.float64)
    times = [0.0, 0.5, 1.0, 2.0]
    background = GaussianState(torch.tensor([[0.8, 0.0]], dtype=torch.float64), torch.eye(2).double().unsqueeze(0))
    observation = Matrix([[1.0, 0.0]])
    noise = NoiseLevels([0.1])
    observations = observation(Pendulum()(truth, times)) + 0.05
    with torch.no_grad():
        ours = FourDVar(Pendulum(), observation, observation_noise=noise, depth=6)(observations, times, background)

    def residuals(x):
        path = Pendulum()(torch.tensor(x).unsqueeze(0), times)
        misfit = ((observation(path) - observations) / 0.1).flatten().numpy()
        return np.concatenate([misfit, x - background.mean[0].numpy()])

    theirs = least_squares(residuals, background.mean[0].numpy(), xtol=1e-14, ftol=1e-14, gtol=1e-14)
    np.testing.assert_allclose(ours[0], theirs.x, rtol=1e-7)
    step = FourDVarStep(Pendulum(), observation, observation_noise=noise)
    value = step.value(ours, observed_series(observations, times, background, by=""), background)
    assert value.item() == pytest.approx(theirs.cost, rel=1e-10)


def test_training_four_d_var_lowers_its_error_and_keeps_it_stable():
    # the background is told ten times too sure of itself: its weight has to be learned
    rng = np.random.default_rng(2)
    truth = torch.tensor([1.0, -1.0]) + torch.tensor(rng.normal(size=(64, 2)))
    sure = GaussianState(start(64).mean, 0.01 * torch.eye(2, dtype=torch.float64).expand(64, 2, 2))
    with torch.no_grad():
        path = Matrix()(Linear()(truth, TIMES))
    observations = path + torch.tensor(OBSERVED * rng.normal(size=path.shape))
    net = FourDVar(**parts(), depth=2)
    net.steps[0].simulator.requires_grad_(False)
    optimiser = torch.optim.Adam([part for part in net.parameters() if part.requires_grad], lr=0.2)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = (net(observations, TIMES, sure) - truth).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(0 < 2 * step.relaxation_logit.sigmoid().item() < 2 for step in net.steps)


def test_a_derivative_row_by_row_is_that_of_each_row_alone():
    state = torch.tensor([[0.3, 2.0], [1.0, -1.0]], dtype=torch.float64)
    value, slope = linearised(lambda x: torch.stack([x[:, 0] * x[:, 1], x[:, 1].sin(), x[:, 0] * 0], dim=1), state)
    expected = [[[2.0, 0.3], [0.0, math.cos(2.0)], [0.0, 0.0]], [[-1.0, 1.0], [0.0, math.cos(-1.0)], [0.0, 0.0]]]
    torch.testing.assert_close(slope, torch.tensor(expected, dtype=torch.float64))
    assert value.shape == (2, 3)
    with torch.no_grad():
        assert not linearised(lambda x: x**2, state)[1].requires_grad


@pytest.mark.parametrize(
    ("observations", "times", "error", "words"),
    [
        (torch.zeros(2, 5, 2), TIMES, ShapeError, r"observations must have shape \(3, time"),
        (torch.zeros(3, 5, 2), TIMES[:4], InputError, "times must be 5 finite"),
        (torch.zeros(3, 5, 2), TIMES[::-1], InputError, "strictly increasing"),
        (torch.full((3, 5, 2), float("inf")), TIMES, InputError, "is infinite"),
        (torch.zeros(3, 5, 1).double(), TIMES, ShapeError, "gives 2 quantities, the series has 1"),
    ],
)
@pytest.mark.parametrize("by", ["filter", "4D-Var"])
def test_the_doors_refuse(observations, times, error, words, by):
    module = KalmanFilter(extended()) if by == "filter" else FourDVar(**parts(), depth=1)
    with pytest.raises(error, match=words):
        module(observations, times, start())


def test_parts_that_do_not_fit_are_refused():
    noise = NoiseLevels([1.0, 1.0, 1.0])
    with pytest.raises(ShapeError, match="3 process noise levels for the 2 states"):
        ExtendedKalmanStep(**parts(), process_noise=noise)
    with pytest.raises(InputError, match="n_members = 1 must be 2 or more"):
        ensemble(1)
    with pytest.raises(InputError, match="inflation"):
        ensemble(5, inflation=0.9)
    with pytest.raises(CapabilityError, match="Linear cannot be used with KalmanFilter: it has no begin"):
        KalmanFilter(Linear())
    with pytest.raises(InputError, match="relaxation must lie between 0 and 2"):
        FourDVarStep(**parts(), relaxation=2.0)
    with pytest.raises(InputError, match="depth must be 1 or more"):
        FourDVar(**parts(), depth=0)
    with pytest.raises(InputError, match="standard deviations must be above 0"):
        NoiseLevels([0.0])
    with pytest.raises(ShapeError, match="covariance of the start"):
        KalmanFilter(extended())(series(), TIMES, GaussianState(start().mean, torch.eye(2).double()))
