"""Fitting a network to one step of a simulator, and measuring how far off it is."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.quasirandom import SobolEngine

from kotowari.core.errors import InputError
from kotowari.core.seeds import derive_seed
from kotowari.simulators.simulator import Simulator
from kotowari.simulators.surrogate import DomainWarning, Surrogate, SurrogateError
from kotowari.training.loop import train
from kotowari.training.losses import squared_error
from kotowari.training.plan import TrainingPlan

__all__ = ["fit_surrogate"]

_VALIDATION_SHARE = 0.1
_RESAMPLES = 1000
_LOSS_SCALE = 1e4  # the loop counts gains above 1e-4, and a good surrogate is better than 1 % of a usual change


def fit_surrogate(
    simulator: Simulator,
    network: nn.Module,
    *,
    low: Sequence[float],
    high: Sequence[float],
    step: float,
    plan: TrainingPlan,
    n_train: int = 4096,
    n_test: int = 512,
    n_rollout: int = 10,
    device: str = "cpu",
) -> Surrogate:
    """Train ``network`` on one step of ``simulator`` from states in a box, and state its error.

    The training states are a scrambled Sobol sequence; a tenth of them decides when to stop. The error is measured on
    states drawn evenly from the box, apart from all of these, with a percentile bootstrap over them; it is that of the
    box, and says nothing of states outside.

    Parameters
    ----------
    simulator
        Its rate must not depend on time; every run starts at time 0.
    network
        Maps ``(batch, n_states)`` to the same, float32; inputs and outputs are of size 1. Trained in place.
    low, high
        Corners of the box, one number a state, low below high.
    step
        Time of one step, above 0.
    plan
        How to train; ``plan.seed`` also decides the states. Augmentation would move states off their targets, so that
        ``mixup``, ``interpolation`` and ``noise`` must be 0.
    n_train, n_test
        How many states to learn from, 10 or more, and to measure the error on, 2 or more.
    n_rollout
        Steps in a row over which the error of a rollout is measured, 1 or more.
    device
        As for :func:`~kotowari.training.loop.train`.

    Returns
    -------
    Surrogate
        On the CPU, in eval mode, with its ``error``.

    Raises
    ------
    InputError
        When a number is out of range.
    """
    if n_train < 10 or n_test < 2 or n_rollout < 1:
        raise InputError(
            f"fit_surrogate: n_train = {n_train} must be 10 or more, n_test = {n_test} 2 or more and n_rollout = "
            f"{n_rollout} 1 or more."
        )
    if plan.mixup or plan.interpolation or plan.noise:
        raise InputError("fit_surrogate: mixup, interpolation and noise of the plan must be 0; the map is not linear.")
    options: dict[str, Any] = {"step": step, "low": low, "high": high, "state_names": simulator.state_names}
    options |= {"state_unit": simulator.state_unit, "time_unit": simulator.time_unit}
    box = Surrogate(network, **options)
    start = _sobol(box, n_train, derive_seed(plan.seed, "surrogate", "train"))
    change = _path(simulator, start, step, 1)[:, 1] - start
    size = change.square().mean(0).sqrt()
    surrogate = Surrogate(network, change=torch.where(size > 0, size, torch.ones_like(size)).tolist(), **options)
    rows = np.arange(n_train)
    n_validation = max(1, round(_VALIDATION_SHARE * n_train))
    train(
        network,
        surrogate.scaled(start).float(),
        (change / surrogate.change).float(),
        train_index=rows[:-n_validation],
        validation_index=rows[-n_validation:],
        loss=_loss,
        plan=plan,
        device=device,
    )
    surrogate.cpu().eval()
    surrogate.error = _measured(simulator, surrogate, n_test, n_rollout, plan.seed)
    return surrogate


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return _LOSS_SCALE * squared_error(outputs, targets)


def _sobol(box: Surrogate, n: int, seed: int) -> Tensor:
    engine = SobolEngine(box.n_states, scramble=True, seed=seed)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    points: Tensor = engine.draw(n, dtype=torch.float64)
    # a Sobol sequence is ordered, and the last rows decide when to stop: shuffle
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return box.low + (box.high - box.low) * points[order]


@torch.no_grad()
def _path(simulator: Simulator, start: Tensor, step: float, n_steps: int) -> Tensor:
    path: Tensor = simulator(start, [number * step for number in range(n_steps + 1)])
    return path


@torch.no_grad()
def _measured(simulator: Simulator, surrogate: Surrogate, n_test: int, n_rollout: int, seed: int) -> SurrogateError:
    generator = torch.Generator().manual_seed(derive_seed(seed, "surrogate", "test"))
    width = surrogate.high - surrogate.low
    start = surrogate.low + width * torch.rand(n_test, surrogate.n_states, generator=generator, dtype=torch.float64)
    truth = _path(simulator, start, surrogate.step, n_rollout)
    squared = ((surrogate.advance(start, 0.0, surrogate.step) - truth[:, 1]) / width).square()
    draws = torch.randint(n_test, (_RESAMPLES, n_test), generator=generator)
    resampled = torch.stack([squared[row].mean(0) for row in draws]).sqrt()
    inside = ~surrogate.outside(truth).flatten(1).any(1)
    return SurrogateError(
        one_step=tuple(squared.mean(0).sqrt().tolist()),
        low=tuple(resampled.quantile(0.025, dim=0).tolist()),
        high=tuple(resampled.quantile(0.975, dim=0).tolist()),
        persistence=tuple(((start - truth[:, 1]) / width).square().mean(0).sqrt().tolist()),
        rollout=tuple(_rollout_error(surrogate, truth[inside]).tolist()),
        n_test=n_test,
        n_rollout=n_rollout,
        n_inside=int(inside.sum()),
    )


def _rollout_error(surrogate: Surrogate, truth: Tensor) -> Tensor:
    """Return the root mean square after the last step, in widths of the box; NaN without a path."""
    if len(truth) == 0:
        return truth.new_full((surrogate.n_states,), float("nan"))
    stop = (truth.shape[1] - 1) * surrogate.step
    with warnings.catch_warnings():  # the surrogate may leave where the truth does not, which the error then shows
        warnings.simplefilter("ignore", DomainWarning)
        last = surrogate.advance(truth[:, 0], 0.0, stop)
    return ((last - truth[:, -1]) / (surrogate.high - surrogate.low)).square().mean(0).sqrt()
