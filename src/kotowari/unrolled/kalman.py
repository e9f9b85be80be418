"""Kalman filters around a simulator: extended and ensemble steps, and the pass over a series."""

from collections.abc import Sequence
from math import log, pi
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from kotowari.core.checks import require_methods
from kotowari.core.errors import InputError, ShapeError
from kotowari.simulators.simulator import Simulator
from kotowari.unrolled.assimilation import GaussianState, linearised, observed_series
from kotowari.unrolled.noise_levels import NoiseLevels

__all__ = ["EnsembleKalmanStep", "EnsembleState", "ExtendedKalmanStep", "Filtered", "KalmanFilter", "KalmanStep"]

StateT = TypeVar("StateT")


class ExtendedKalmanStep(nn.Module):
    r"""Predict and update of the extended Kalman filter.

    .. math::
        m^- = M(m), \quad P^- = F P F^T + \Delta t\, Q, \qquad
        K = P^- H^T (H P^- H^T + R)^{-1}, \quad m = m^- + K (y - h(m^-)),

    with F and H the derivatives of the simulator and of the observation, and the covariance updated in Joseph's form,
    which stays positive definite. On a linear model it is the Kalman filter. Rows of entries that were not observed
    are taken out of H and y.

    Parameters
    ----------
    simulator
        Moves the state; its constants are learned along.
    observation
        Maps states to what is observed, ``(batch, n_states)`` to ``(batch, n_observed)``, rows never mixed: a
        :class:`~kotowari.operators.linear.LinearOperator` or any differentiable module.
    process_noise
        What the simulator misses, as the standard deviation that has grown after one unit of time: one number a state.
    observation_noise
        One standard deviation an observed quantity.

    Source: Jazwinski 1970, Stochastic Processes and Filtering Theory, section 8.3. Noise that enters between two
    observations is added at the later one.
    """

    def __init__(
        self,
        simulator: Simulator,
        observation: nn.Module,
        *,
        process_noise: NoiseLevels,
        observation_noise: NoiseLevels,
    ) -> None:
        super().__init__()
        _require_levels("ExtendedKalmanStep", simulator, process_noise)
        self.simulator, self.observation = simulator, observation
        self.process_noise, self.observation_noise = process_noise, observation_noise

    def begin(self, start: GaussianState) -> GaussianState:
        """Return the belief that the first update starts from."""
        return start

    def predict(self, belief: GaussianState, start: float, stop: float) -> GaussianState:
        """Return the belief at ``stop`` from the one at ``start``."""
        mean, slope = linearised(lambda state: self.simulator.advance(state, start, stop), belief.mean)
        added = torch.diag_embed((stop - start) * self.process_noise.variance())
        return GaussianState(mean, slope @ belief.covariance @ slope.mT + added)

    def update(self, belief: GaussianState, observed: Tensor, present: Tensor) -> tuple[GaussianState, Tensor]:
        """Return the belief after an observation, and the log density of what was seen under the belief before.

        Parameters
        ----------
        belief
            The belief before.
        observed, present
            Values, 0 where missing, and which of them were seen; shape ``(batch, n_observed)``.
        """
        predicted, slope = linearised(self.observation, belief.mean)
        _require_fit("ExtendedKalmanStep", predicted, observed, self.observation_noise)
        slope = slope * present.unsqueeze(-1)
        residual = torch.where(present, observed - predicted, 0.0)
        noise = torch.where(present, self.observation_noise.variance(), 1.0)  # a missing row then counts for nothing
        spread = slope @ belief.covariance @ slope.mT + torch.diag_embed(noise)
        root = torch.linalg.cholesky(spread)
        gain = torch.cholesky_solve(slope @ belief.covariance, root).mT
        mean = belief.mean + (gain @ residual.unsqueeze(-1)).squeeze(-1)
        kept = torch.eye(mean.shape[1], dtype=mean.dtype, device=mean.device) - gain @ slope
        covariance = kept @ belief.covariance @ kept.mT + gain * noise.unsqueeze(1) @ gain.mT
        white = torch.linalg.solve_triangular(root, residual.unsqueeze(-1), upper=False).squeeze(-1)
        determinant = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        density = -0.5 * (white.square().sum(-1) + determinant + present.sum(-1, dtype=mean.dtype) * log(2 * pi))
        return GaussianState(mean, covariance), density

    def moments(self, belief: GaussianState) -> GaussianState:
        """Return mean and covariance of the belief."""
        return belief


class EnsembleState(NamedTuple):
    """A belief held by examples of shape ``(batch, member, n_states)``, and the generator of its noise."""

    members: Tensor
    generator: torch.Generator


class EnsembleKalmanStep(nn.Module):
    r"""Predict and update of an ensemble square-root filter: no derivative of the simulator is needed.

    Observed quantities are taken in one after the other; for each, with perturbations :math:`X'` of the members and
    :math:`z'` of their predictions,

    .. math::
        K = \frac{\mathrm{cov}(X', z')}{s}, \quad s = \mathrm{var}(z') + r, \quad
        \bar X \leftarrow \bar X + K (y - \bar z), \quad X' \leftarrow X' - \frac{K z'}{1 + \sqrt{r / s}},

    and predictions of the quantities still to come are moved by the same regression. The observations are not
    perturbed. On a linear model it tends to the Kalman filter as members grow, and so does its log density, which is
    biased with few members. The draws repeat in every pass, so that the log density is a smooth function of constants.

    Parameters
    ----------
    simulator, observation, process_noise, observation_noise
        As for :class:`ExtendedKalmanStep`.
    n_members
        Members a row, 2 or more.
    inflation
        Factor on the predicted perturbations, 1 or more, against the narrowing of small ensembles.
    seed
        Seed of the first members and of the process noise.

    Source: Whitaker and Hamill 2002, Mon. Weather Rev. 130, 1913, eq. 13; the joint regression of Anderson 2003, Mon.
    Weather Rev. 131, 634.
    """

    def __init__(
        self,
        simulator: Simulator,
        observation: nn.Module,
        *,
        process_noise: NoiseLevels,
        observation_noise: NoiseLevels,
        n_members: int,
        inflation: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _require_levels("EnsembleKalmanStep", simulator, process_noise)
        if n_members < 2 or not inflation >= 1:
            raise InputError(
                f"EnsembleKalmanStep: n_members = {n_members} must be 2 or more, inflation = {inflation} 1 or more."
            )
        self.simulator, self.observation = simulator, observation
        self.process_noise, self.observation_noise = process_noise, observation_noise
        self.n_members, self.inflation, self.seed = n_members, inflation, seed

    def begin(self, start: GaussianState) -> EnsembleState:
        """Draw the members that the first update starts from."""
        generator = torch.Generator().manual_seed(self.seed)
        root = torch.linalg.cholesky(start.covariance)
        draws = self._draws(start.mean, generator)
        return EnsembleState(start.mean.unsqueeze(1) + draws @ root.mT, generator)

    def predict(self, belief: EnsembleState, start: float, stop: float) -> EnsembleState:
        """Return the members at ``stop`` from those at ``start``, with process noise and inflation."""
        moved = self.simulator.advance(belief.members.flatten(0, 1), start, stop).reshape(belief.members.shape)
        mean = moved.mean(1, keepdim=True)
        noise = (stop - start) ** 0.5 * self.process_noise.std() * self._draws(mean.squeeze(1), belief.generator)
        return EnsembleState(mean + self.inflation * (moved - mean + noise), belief.generator)

    def update(self, belief: EnsembleState, observed: Tensor, present: Tensor) -> tuple[EnsembleState, Tensor]:
        """Return the members after an observation, and the log density of what was seen; see ExtendedKalmanStep."""
        members = belief.members
        batch, n_members, n_states = members.shape
        predicted = self.observation(members.flatten(0, 1))
        _require_fit("EnsembleKalmanStep", predicted, observed, self.observation_noise)
        joint = torch.cat([members, predicted.reshape(batch, n_members, -1)], dim=-1)
        mean, deviation = joint.mean(1), joint - joint.mean(1, keepdim=True)
        density = mean.new_zeros(batch)
        noise = self.observation_noise.variance()
        for number in range(observed.shape[1]):
            seen = present[:, number]
            own = deviation[..., n_states + number]
            covariance = (own.unsqueeze(-1) * deviation).sum(1) / (n_members - 1)
            spread = covariance[:, n_states + number] + noise[number]
            residual = torch.where(seen, observed[:, number] - mean[:, n_states + number], 0.0)
            gain = seen.unsqueeze(-1) * covariance / spread.unsqueeze(-1)
            mean = mean + gain * residual.unsqueeze(-1)
            share = 1 / (1 + (noise[number] / spread).sqrt())
            deviation = deviation - share[:, None, None] * own.unsqueeze(-1) * gain.unsqueeze(1)
            density = density - 0.5 * seen * (residual.square() / spread + (2 * pi * spread).log())
        updated = (mean.unsqueeze(1) + deviation)[..., :n_states]
        return EnsembleState(updated, belief.generator), density

    def moments(self, belief: EnsembleState) -> GaussianState:
        """Return mean and covariance of the members."""
        mean = belief.members.mean(1)
        deviation = belief.members - mean.unsqueeze(1)
        return GaussianState(mean, deviation.mT @ deviation / (self.n_members - 1))

    def _draws(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Return standard normal numbers ``(batch, member, n_states)``, centred so that they move no mean."""
        batch, n_states = like.shape
        draws = torch.randn(batch, self.n_members, n_states, generator=generator, dtype=like.dtype).to(like.device)
        return draws - draws.mean(1, keepdim=True)


class KalmanStep(Protocol[StateT]):
    """What a filter asks of its step."""

    def begin(self, start: GaussianState) -> StateT: ...  # noqa: D102

    def predict(self, belief: StateT, start: float, stop: float) -> StateT: ...  # noqa: D102

    def update(self, belief: StateT, observed: Tensor, present: Tensor) -> tuple[StateT, Tensor]: ...  # noqa: D102

    def moments(self, belief: StateT) -> GaussianState: ...  # noqa: D102


class Filtered(NamedTuple):
    """What a filter knows at each time from the observations up to it.

    Attributes
    ----------
    means, covariances
        Shapes ``(batch, time, n_states)`` and ``(batch, time, n_states, n_states)``.
    log_likelihood
        Log density of all that was observed, shape ``(batch,)``; maximise its sum to learn noise levels and constants.
    """

    means: Tensor
    covariances: Tensor
    log_likelihood: Tensor


class KalmanFilter(nn.Module):
    """One pass of a Kalman step over a series of observations with gaps.

    Parameters
    ----------
    step
        :class:`ExtendedKalmanStep`, :class:`EnsembleKalmanStep`, or a module with the same methods.
    """

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        require_methods(step, "begin", "predict", "update", "moments", by="KalmanFilter")
        self.step = step

    def forward(self, observations: Tensor, times: Tensor | Sequence[float], start: GaussianState) -> Filtered:
        """Filter.

        Parameters
        ----------
        observations
            Shape ``(batch, time, n_observed)``, NaN where nothing was seen.
        times
            Shape ``(time,)``, strictly increasing, in the time unit of the simulator.
        start
            Belief at ``times[0]``, before the first observation is seen.

        Raises
        ------
        ShapeError, InputError
            When shapes do not fit, times do not increase, or an observation is infinite.
        """
        series = observed_series(observations, times, start, by="KalmanFilter")
        step: KalmanStep[object] = self.step  # type: ignore[assignment]  # its methods were looked for at the start
        belief = step.begin(start)
        beliefs, densities = [], []
        for number, time in enumerate(series.times):
            if number > 0:
                belief = step.predict(belief, series.times[number - 1], time)
            belief, density = step.update(belief, series.values[:, number], series.present[:, number])
            beliefs.append(step.moments(belief))
            densities.append(density)
        means, covariances = (torch.stack(parts, dim=1) for parts in zip(*beliefs, strict=True))
        return Filtered(means, covariances, torch.stack(densities).sum(0))


def _require_levels(by: str, simulator: Simulator, noise: NoiseLevels) -> None:
    if len(noise.log_std) != simulator.n_states:
        raise ShapeError(f"{by}: {len(noise.log_std)} process noise levels for the {simulator.n_states} states.")


def _require_fit(by: str, predicted: Tensor, observed: Tensor, noise: NoiseLevels) -> None:
    if not predicted.shape[1] == observed.shape[1] == len(noise.log_std):
        raise ShapeError(
            f"{by}: the observation gives {predicted.shape[1]} quantities, the series has {observed.shape[1]}, and "
            f"there are {len(noise.log_std)} noise levels. All three must be equal."
        )
