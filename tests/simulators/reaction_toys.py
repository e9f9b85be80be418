"""Small networks with known answers."""

from functools import lru_cache

import numpy as np
import torch
from scipy.integrate import solve_ivp

from kotowari.simulators.mass_action import MassAction

ROBERTSON = (0.04, 3e7, 1e4)
ROBERTSON_REVERSE = (1e-3, 10.0, 1e-2)


def robertson(method=None, *, reversible=False):
    """A -> B, 2B -> B + C, B + C -> A + C."""
    return MassAction(
        [[1, 0, 0], [0, 2, 0], [0, 1, 1]],
        [[0, 1, 0], [0, 1, 1], [1, 0, 1]],
        ROBERTSON,
        species="ABC",
        reverse_rates=ROBERTSON_REVERSE if reversible else None,
        method=method,
    )


def brusselator(rates, method=None):
    """A <-> X, B + X <-> Y + C, 2X + Y <-> 3X with A, B and C held; rates in pairs, forward and backward."""
    return MassAction(
        [[1, 0, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 2, 1]],
        [[0, 0, 0, 1, 0], [0, 0, 1, 0, 1], [0, 0, 0, 3, 0]],
        rates[::2],
        reverse_rates=rates[1::2],
        species=["A", "B", "C", "X", "Y"],
        chemostatted={"A": 1.0, "B": 1.0, "C": 1.0},
        method=method,
    )


def isomerisation(forward, backward, method=None):
    """A <-> B."""
    return MassAction([[1, 0]], [[0, 1]], [forward], reverse_rates=[backward], species="AB", method=method)


@lru_cache
def scipy_robertson(times, *, reversible):
    """The same network, written out by hand and solved by another implementation."""
    k1, k2, k3 = ROBERTSON
    b1, b2, b3 = ROBERTSON_REVERSE if reversible else (0.0, 0.0, 0.0)

    def rate(_time, x):
        a, b, c = x
        first, second, third = k1 * a - b1 * b, k2 * b * b - b2 * b * c, k3 * b * c - b3 * a * c
        return [third - first, first - second - third, second]

    def jacobian(_time, x):
        a, b, c = x
        first = np.array([k1, -b1, 0.0])
        second = np.array([0.0, 2 * k2 * b - b2 * c, -b2 * b])
        third = np.array([-b3 * c, k3 * c, k3 * b - b3 * a])
        return np.array([third - first, first - second - third, second])

    run = solve_ivp(rate, (times[0], times[-1]), [1.0, 0.0, 0.0], "Radau", times, rtol=1e-12, atol=1e-19, jac=jacobian)
    return torch.tensor(run.y.T.copy())


def scipy_brusselator(rates, start, times):
    k1, b1, k2, b2, k3, b3 = rates

    def rate(_time, x):
        first, second = k1 - b1 * x[0], k2 * x[0] - b2 * x[1]
        third = k3 * x[0] ** 2 * x[1] - b3 * x[0] ** 3
        return [first - second + third, second - third]

    run = solve_ivp(rate, (times[0], times[-1]), start, "Radau", times, rtol=1e-11, atol=1e-13)
    return torch.tensor(run.y.T.copy())
