"""Strong-constraint 4D-Var, unrolled: the state at the start of a window from all observations in it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError, ShapeError
from kotowari.simulators.simulator import Simulator
from kotowari.unrolled.assimilation import GaussianState, ObservedSeries, linearised, observed_series
from kotowari.unrolled.noise_levels import NoiseLevels

__all__ = ["FourDVar", "FourDVarStep"]


class FourDVarStep(nn.Module):
    r"""One relaxed Gauss-Newton step on the misfit to a background and to the observations of a window.

    .. math::
        J(x_0) = \tfrac{\beta}{2} \|x_0 - x_b\|^2_{B^{-1}} + \tfrac12 \sum_k \|y_k - h(x_k)\|^2_{R^{-1}}, \quad
        x_0^+ = x_0 - \rho\, (\beta B^{-1} + G^T R^{-1} G)^{-1} \nabla J(x_0),

    with :math:`x_k` the simulated state at the time of observation k, and G the derivative of all :math:`h(x_k)` in
    :math:`x_0`. With :math:`\rho = 1` a linear model is solved in one step. Learned are :math:`\rho`, kept between 0
    and 2, where a linear model converges, the weight :math:`\beta` by its logarithm, and the observation noise.

    Parameters
    ----------
    simulator, observation, observation_noise
        As for :class:`~kotowari.unrolled.kalman.ExtendedKalmanStep`.
    relaxation
        Where :math:`\rho` starts, between 0 and 2; 1 is the classical step.

    Source: Courtier, Thepaut and Hollingsworth 1994, Q. J. R. Meteorol. Soc. 120, 1367, with the inner problem
    solved directly, as fits states of up to some hundreds of numbers. The learned parts are our own.
    """

    def __init__(
        self, simulator: Simulator, observation: nn.Module, *, observation_noise: NoiseLevels, relaxation: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 < relaxation < 2:
            raise InputError(f"FourDVarStep: relaxation must lie between 0 and 2, got {relaxation}.")
        self.simulator, self.observation, self.observation_noise = simulator, observation, observation_noise
        self.relaxation_logit = nn.Parameter(torch.tensor(relaxation / 2, dtype=torch.float64).logit())
        self.log_background_weight = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, state: Tensor, series: ObservedSeries, background: GaussianState) -> Tensor:
        """Return the next estimate of the state at ``series.times[0]``: ``(batch, n_states)`` to the same."""
        misfit = self._misfit(state, series, background)
        change: Tensor = torch.linalg.solve(misfit.curvature, misfit.gradient)
        return state - 2 * self.relaxation_logit.sigmoid() * change

    def value(self, state: Tensor, series: ObservedSeries, background: GaussianState) -> Tensor:
        """Return J of each row, shape ``(batch,)``."""
        return self._misfit(state, series, background).value

    def covariance(self, state: Tensor, series: ObservedSeries, background: GaussianState) -> Tensor:
        """Return the inverse of the Gauss-Newton matrix: the spread of a posterior taken as normal around ``state``.

        Shape ``(batch, n_states, n_states)``; exact for a linear model.
        """
        spread: Tensor = torch.linalg.inv(self._misfit(state, series, background).curvature)
        return spread

    def _misfit(self, state: Tensor, series: ObservedSeries, background: GaussianState) -> "_Misfit":
        weight = self.log_background_weight.exp() * torch.linalg.inv(background.covariance)
        offset = state - background.mean
        pull = (weight @ offset.unsqueeze(-1)).squeeze(-1)
        misfit = _Misfit(0.5 * (offset * pull).sum(-1), pull, weight)
        slope = torch.eye(state.shape[1], dtype=state.dtype, device=state.device)
        for number, time in enumerate(series.times):
            if number > 0:
                state, moved = self._moved(state, series.times[number - 1], time)
                slope = moved @ slope
            misfit = self._with_observation(misfit, state, slope, series, number)
        return misfit

    def _moved(self, state: Tensor, start: float, stop: float) -> tuple[Tensor, Tensor]:
        return linearised(lambda place: self.simulator.advance(place, start, stop), state)

    def _with_observation(
        self, misfit: "_Misfit", state: Tensor, slope: Tensor, series: ObservedSeries, number: int
    ) -> "_Misfit":
        predicted, seen = linearised(self.observation, state)
        observed, present = series.values[:, number], series.present[:, number]
        if not predicted.shape[1] == observed.shape[1] == len(self.observation_noise.log_std):
            raise ShapeError(
                f"FourDVarStep: the observation gives {predicted.shape[1]} quantities, the series has "
                f"{observed.shape[1]}, and there are {len(self.observation_noise.log_std)} noise levels."
            )
        weights = present / self.observation_noise.variance()
        residual = torch.where(present, predicted - observed, 0.0)
        whole = seen @ slope
        gradient = (whole.mT @ (weights * residual).unsqueeze(-1)).squeeze(-1)
        return _Misfit(
            misfit.value + 0.5 * (weights * residual.square()).sum(-1),
            misfit.gradient + gradient,
            misfit.curvature + whole.mT @ (weights.unsqueeze(-1) * whole),
        )


class _Misfit(NamedTuple):
    """J, its gradient, and its Gauss-Newton matrix."""

    value: Tensor
    gradient: Tensor
    curvature: Tensor


class FourDVar(nn.Module):
    """``depth`` Gauss-Newton steps of 4D-Var, each with its own relaxation and background weight.

    Untrained, it is the classical algorithm.

    Parameters
    ----------
    simulator, observation, observation_noise
        As for :class:`FourDVarStep`.
    depth
        Number of steps, 1 or more.
    """

    def __init__(
        self, simulator: Simulator, observation: nn.Module, *, observation_noise: NoiseLevels, depth: int
    ) -> None:
        super().__init__()
        if depth < 1:
            raise InputError(f"FourDVar: depth must be 1 or more, got {depth}.")
        self.steps = nn.ModuleList(
            FourDVarStep(simulator, observation, observation_noise=observation_noise) for _ in range(depth)
        )

    def forward(self, observations: Tensor, times: Tensor | Sequence[float], background: GaussianState) -> Tensor:
        """Return the state at ``times[0]``, shape ``(batch, n_states)``.

        Parameters
        ----------
        observations
            Shape ``(batch, time, n_observed)``, NaN where nothing was seen.
        times
            Shape ``(time,)``, strictly increasing, in the time unit of the simulator.
        background
            Belief about the state at ``times[0]`` before any observation.

        Raises
        ------
        ShapeError, InputError
            When shapes do not fit, times do not increase, or an observation is infinite.
        """
        series = observed_series(observations, times, background, by="FourDVar")
        state = background.mean
        for step in self.steps:
            state = step(state, series, background)
        return state
