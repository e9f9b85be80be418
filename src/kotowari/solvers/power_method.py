"""The power method: the largest eigenvalue of a Hermitian positive map."""

from typing import NamedTuple

from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.core.outcome import Outcome
from kotowari.solvers.inner_product import inner_product, length, ratio
from kotowari.solvers.iterate import iterate
from kotowari.solvers.protocols import LinearMap, per_sample

__all__ = ["PowerState", "largest_eigenvalue", "power_start", "power_step"]


class PowerState(NamedTuple):
    r"""One iterate.

    ``vector``, of length 1, has shape ``(batch, *domain)``. ``value`` is the Rayleigh quotient :math:`\lambda` of the
    vector before, ``residual`` its :math:`\|M v - \lambda v\|`; both have shape ``(batch,)``. An eigenvalue of a
    Hermitian map lies within the residual of the value.
    """

    vector: Tensor
    value: Tensor
    residual: Tensor


def power_start(start: Tensor) -> PowerState:
    """Return the state before the first step."""
    size = length(start)
    return PowerState(start / per_sample(size, start), size.new_zeros(len(size)), size.new_zeros(len(size)))


def power_step(state: PowerState, linear_map: LinearMap) -> PowerState:
    r"""Take one step of the power method: :math:`v^+ = M v / \|M v\|`; a vector that is mapped to 0 stays."""
    vector = state.vector
    image = linear_map(vector)
    value, size = inner_product(vector, image), length(image)
    residual = length(image - per_sample(value, vector) * vector)
    kept = per_sample((size == 0).to(size.dtype), vector)
    return PowerState(image / per_sample(size.where(size > 0, 1), image) + kept * vector, value, residual)


def largest_eigenvalue(
    linear_map: LinearMap, start: Tensor, *, tol: float = 1e-4, max_steps: int = 1000
) -> Outcome[PowerState]:
    r"""Return the largest eigenvalue of a Hermitian positive semi-definite map, for each sample.

    The value approaches the eigenvalue from below. With the distance d to the next eigenvalue it is off by at most
    :math:`\text{residual}^2 / d`.

    Parameters
    ----------
    linear_map
        The map M: ``(batch, *domain)`` to the same shape. It may differ from sample to sample.
    start
        Shape ``(batch, *domain)``, real or complex; a random draw. From a start that is orthogonal to the leading
        eigenvector, another eigenvalue is found.
    tol
        Bar for :math:`\|M v - \lambda v\| / \lambda`.
    max_steps
        Step limit, 1 or more.

    Returns
    -------
    Outcome
        ``outcome.state.value`` holds the eigenvalues, ``outcome.state.vector`` the eigenvectors.

    Raises
    ------
    InputError
        When the start of a sample is 0 or not finite.

    Source: Golub and Van Loan 2013, Matrix Computations, 4th ed., sections 8.1 and 8.2.
    """
    size = length(start)
    if not bool(((size > 0) & size.isfinite()).all()):
        raise InputError("largest_eigenvalue: the start of each sample must be finite and not 0. Draw it at random.")

    def measure(new: PowerState, _old: PowerState) -> Tensor:
        return ratio(new.residual, new.value.abs())

    return iterate(
        power_start(start), lambda state: power_step(state, linear_map), measure, tol=tol, max_steps=max_steps
    )
