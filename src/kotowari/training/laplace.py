"""The normal approximation of a posterior around its mode, and honest words where there is none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from kotowari.core.checks import few
from kotowari.core.errors import ConvergenceError, DesignError, InputError

__all__ = ["LaplacePosterior", "laplace_posterior"]


@dataclass(frozen=True)
class LaplacePosterior:
    """A normal distribution over parameters as they are learned (the logarithm of a rate, say).

    Attributes
    ----------
    names
        One name an entry: the name of its parameter, with the entry's place behind it, such as ``log_rates[2]``.
    mean
        The mode, shape ``(n_entries,)``.
    covariance
        Shape ``(n_entries, n_entries)``.
    shapes
        Shape of each parameter, by name.
    """

    names: tuple[str, ...]
    mean: Tensor
    covariance: Tensor
    shapes: dict[str, tuple[int, ...]]

    def means(self) -> dict[str, Tensor]:
        """Return the mode by the name of each parameter, in its shape."""
        return self._by_parameter(self.mean)

    def standard_deviations(self) -> dict[str, Tensor]:
        """Return the standard deviations by the name of each parameter, in its shape."""
        return self._by_parameter(self.covariance.diagonal().sqrt())

    def correlation(self) -> Tensor:
        """Return the correlations, shape ``(n_entries, n_entries)``."""
        spread = self.covariance.diagonal().sqrt()
        return self.covariance / spread.outer(spread)

    def samples(self, n_samples: int, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw from the posterior: by the name of each parameter, shape ``(n_samples, *shape)``."""
        draws = torch.randn(n_samples, len(self.mean), generator=generator, dtype=self.mean.dtype).to(self.mean.device)
        return self._by_parameter(self.mean + draws @ torch.linalg.cholesky(self.covariance).mT)

    def _by_parameter(self, entries: Tensor) -> dict[str, Tensor]:
        sizes = [torch.Size(shape).numel() for shape in self.shapes.values()]
        pieces = torch.split(entries, sizes, dim=-1)
        return {
            name: piece.reshape(*entries.shape[:-1], *shape)
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }


def laplace_posterior(
    negative_log_posterior: Callable[[], Tensor],
    parameters: Mapping[str, nn.Parameter],
    *,
    distance_tol: float = 0.05,
    curvature_tol: float = 1e-8,
) -> LaplacePosterior:
    r"""Approximate a posterior by the normal distribution with its mode and its curvature there.

    .. math:: p(\theta \mid y) \approx N\big(\hat\theta, H^{-1}\big), \quad
        H = \nabla^2 \big({-\log p(y \mid \theta)} - \log p(\theta)\big) \text{ at } \hat\theta

    H is exact, by differentiating twice. Leaves the parameters and their ``.grad`` as they were. It does not look for
    the mode: fit first.

    Parameters
    ----------
    negative_log_posterior
        Computes the negative logarithm of likelihood times prior from the parameters, as a scalar, up to a constant;
        noise levels in it are in true units, as they set the scale of the spread.
    parameters
        What the posterior is about, by name; they stand at the mode. float64.
    distance_tol
        How far the mode may still be away, in posterior standard deviations, above 0.
    curvature_tol
        Curvature below which a direction counts as unidentifiable, with every parameter scaled to curvature 1.

    Raises
    ------
    InputError
        When there is no parameter, one is not float64, or the value is not a finite scalar.
    ConvergenceError
        When the parameters do not stand at a minimum: the curvature is negative along a direction, which is named, or
        a Newton step would still be longer than ``distance_tol``.
    DesignError
        When the data say nothing about a direction, which is named: there is no normal posterior to be had.

    Source: MacKay 1992, Neural Computation 4, 448. The checks are our own.
    """
    for name, parameter in parameters.items():
        if parameter.dtype != torch.float64:
            raise InputError(f"laplace_posterior: {name} is {parameter.dtype}. Convert the model: .double().")
    names = [f"{name}{_place(index)}" for name, value in parameters.items() for index in _places(value)]
    if not names:
        raise InputError("laplace_posterior: there is no parameter to have a posterior of.")
    gradient, hessian = _derivatives(negative_log_posterior, list(parameters.values()))
    scale = _scale(hessian, names, curvature_tol)
    scaled = hessian / scale.outer(scale)
    curvatures, directions = torch.linalg.eigh(scaled)
    _require_curvature(curvatures, directions / scale.unsqueeze(1), names, curvature_tol)
    weights = directions.mT @ (gradient / scale)
    distance = float((weights.square() / curvatures).sum().sqrt())
    if distance > distance_tol:
        raise ConvergenceError(
            f"laplace_posterior: the parameters stand {distance:.3g} posterior standard deviations from the mode "
            f"(allowed: {distance_tol:g}). Fit further, or loosen distance_tol."
        )
    half = directions / curvatures.sqrt() / scale.unsqueeze(1)
    mean = torch.cat([value.detach().flatten() for value in parameters.values()])
    shapes = {name: tuple(value.shape) for name, value in parameters.items()}
    return LaplacePosterior(tuple(names), mean, half @ half.mT, shapes)


def _derivatives(function: Callable[[], Tensor], parameters: list[nn.Parameter]) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        value = function()
        if value.numel() != 1 or not bool(value.isfinite().all()):
            raise InputError("laplace_posterior: the negative log posterior must be one finite number.")
        if not value.requires_grad:
            raise InputError("laplace_posterior: the negative log posterior does not depend on any parameter.")
        slopes = torch.autograd.grad(
            value.reshape(()), parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        gradient = torch.cat([slope.flatten() for slope in slopes])
        rows = [_row(entry, parameters) for entry in gradient]
    hessian = torch.stack(rows)
    return gradient.detach(), 0.5 * (hessian + hessian.mT)


def _row(entry: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    if not entry.requires_grad:  # the gradient does not depend on any parameter
        return torch.cat([torch.zeros_like(parameter).flatten() for parameter in parameters]).detach()
    pieces = torch.autograd.grad(entry, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([piece.flatten() for piece in pieces])


def _scale(hessian: Tensor, names: list[str], tol: float) -> Tensor:
    """Return the roots of the curvatures along each parameter alone; these have to be above 0."""
    curvature = hessian.diagonal()
    negative = [name for name, value in zip(names, curvature.tolist(), strict=True) if value < 0]
    flat = [name for name, value in zip(names, curvature.tolist(), strict=True) if value == 0]
    largest = float(hessian.abs().max())
    if negative and float(curvature.min()) < -tol * largest:
        raise ConvergenceError(
            f"laplace_posterior: the curvature along {few(negative)} is negative, so this is no minimum. Fit further, "
            "from another start."
        )
    if negative or flat:
        raise DesignError(
            f"laplace_posterior: the data and the prior say nothing about {few([*flat, *negative])}. Fix it, or give "
            "it a prior."
        )
    return curvature.sqrt()


def _require_curvature(curvatures: Tensor, directions: Tensor, names: list[str], tol: float) -> None:
    lowest = float(curvatures[0])
    if lowest < -tol:
        raise ConvergenceError(
            f"laplace_posterior: the curvature is negative along {_named(directions[:, 0], names)}, so this is no "
            "minimum. Fit further, from another start."
        )
    flat = [_named(directions[:, number], names) for number in range(len(names)) if float(curvatures[number]) <= tol]
    if flat:
        raise DesignError(
            f"laplace_posterior: the data and the prior say nothing about {'; '.join(flat)}. Fix one of these "
            "parameters, or give a prior."
        )


def _named(direction: Tensor, names: list[str]) -> str:
    """Write a direction as a sum of its largest entries, such as ``0.71 log_rates[0] - 0.71 log_rates[1]``."""
    unit = direction / direction.norm()
    order = unit.abs().argsort(descending=True, stable=True).tolist()
    kept = [number for number in order[:4] if abs(float(unit[number])) >= 0.1]
    unit = unit * unit[order[0]].sign()
    terms = [f"{'-' if unit[number] < 0 else '+'} {abs(float(unit[number])):.2f} {names[number]}" for number in kept]
    return " ".join(terms).removeprefix("+ ")


def _places(value: Tensor) -> list[tuple[int, ...]]:
    return list(product(*[range(length) for length in value.shape]))


def _place(index: tuple[int, ...]) -> str:
    return f"[{', '.join(str(number) for number in index)}]" if index else ""
