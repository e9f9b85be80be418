"""Douglas-Rachford splitting: two proximal maps in turn."""

from typing import NamedTuple

from torch import Tensor

from kotowari.solvers.protocols import Prox, Step

__all__ = ["DouglasRachfordState", "douglas_rachford_start", "douglas_rachford_step"]


class DouglasRachfordState(NamedTuple):
    """One iterate: the answer ``x`` and the governing point ``z``, both of shape ``(batch, *domain)``.

    The iteration is a fixed-point iteration of ``z`` alone; ``x`` can rest for a while before it moves on.
    """

    x: Tensor
    z: Tensor


def douglas_rachford_start(x: Tensor) -> DouglasRachfordState:
    """Return the state before the first step."""
    return DouglasRachfordState(x, x)


def douglas_rachford_step(state: DouglasRachfordState, first: Prox, second: Prox, step: Step) -> DouglasRachfordState:
    r"""Take one step of Douglas-Rachford splitting on :math:`f + g`.

    .. math::
        x^+ = \mathrm{prox}_{\tau f}(z), \quad
        z^+ = z + \mathrm{prox}_{\tau g}(2 x^+ - z) - x^+

    Converges for convex f and g and every :math:`\tau > 0`; x lies in the domain of f at every step.

    Parameters
    ----------
    state
        The iterate.
    first, second
        Proximal maps of f and g, or denoisers in their place.
    step
        :math:`\tau` above 0: a number, or one for each sample, shape ``(batch,)``.

    Source: Eckstein and Bertsekas 1992, Math. Program. 55, section 4; Lions and Mercier 1979, SIAM J. Numer. Anal.
    16(6).
    """
    x = first(state.z, step)
    return DouglasRachfordState(x, state.z + second(2 * x - state.z, step) - x)
