"""What all steps of data assimilation share: a normal belief, a series with gaps, and a derivative row by row."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError

__all__ = ["GaussianState", "ObservedSeries", "linearised", "observed_series"]


class GaussianState(NamedTuple):
    """A normal belief about the state of each row.

    ``mean`` has shape ``(batch, n_states)``; ``covariance`` ``(batch, n_states, n_states)``, positive definite.
    """

    mean: Tensor
    covariance: Tensor


class ObservedSeries(NamedTuple):
    """Observations with their gaps told apart.

    ``values`` has shape ``(batch, time, n_observed)`` with 0 where nothing was seen; ``present`` is its mask.
    """

    values: Tensor
    present: Tensor
    times: list[float]


def observed_series(
    observations: Tensor, times: Tensor | Sequence[float], start: GaussianState, *, by: str
) -> ObservedSeries:
    """Check a series at the door, and take its NaN entries as missing.

    Parameters
    ----------
    observations
        Shape ``(batch, time, n_observed)``.
    times
        Shape ``(time,)``, strictly increasing.
    start
        The belief at ``times[0]``; its batch has to fit.
    by
        Who asks, for the sentence of an error.
    """
    if observations.ndim != 3 or observations.shape[:1] != start.mean.shape[:1]:
        wanted = (len(start.mean), "time", "n_observed")
        raise ShapeError.mismatch(by, "observations", wanted, observations.shape)
    n_states = start.mean.shape[-1]
    if start.mean.ndim != 2 or start.covariance.shape != (*start.mean.shape, n_states):
        wanted = (*start.mean.shape, n_states)
        raise ShapeError.mismatch(by, "covariance of the start", wanted, start.covariance.shape)
    moments = torch.as_tensor(times, dtype=torch.float64)
    if moments.shape != observations.shape[1:2] or not bool((moments.diff() > 0).all() & moments.isfinite().all()):
        raise InputError(
            f"{by}: times must be {observations.shape[1]} finite, strictly increasing numbers, one an observation."
        )
    if bool(observations.isinf().any()):
        raise InputError(f"{by}: an observation is infinite. Mark missing entries by NaN.")
    present = ~observations.isnan()
    return ObservedSeries(observations.nan_to_num(0.0), present, moments.tolist())


def linearised(function: Callable[[Tensor], Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
    """Return the value of a map that acts on each row alone, and its derivative.

    Parameters
    ----------
    function
        ``(batch, n_states)`` to ``(batch, n_values)``, rows never mixed.
    state
        Shape ``(batch, n_states)``.

    Returns
    -------
    tuple of Tensor
        Shapes ``(batch, n_values)`` and ``(batch, n_values, n_states)``; differentiable where gradients are on.
    """
    graph_wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        point = state.view_as(state) if state.requires_grad else state.detach().requires_grad_()
        value = function(point)
        rows = [
            torch.autograd.grad(
                value[:, number].sum(), point, create_graph=graph_wanted, retain_graph=True, materialize_grads=True
            )[0]
            for number in range(value.shape[1])
        ]
    derivative = torch.stack(rows, dim=1)
    return (value, derivative) if graph_wanted else (value.detach(), derivative.detach())
