"""Proximal algorithms as pure steps on callables, and the one loop that runs them."""

from kotowari.solvers.admm import (
    AdmmState,
    BalancedAdmmState,
    admm_start,
    admm_step,
    balanced_admm_start,
    balanced_admm_step,
)
from kotowari.solvers.anderson import AndersonState, anderson_start, anderson_step, fixed_point
from kotowari.solvers.conjugate_gradient import (
    ConjugateGradientState,
    conjugate_gradient,
    conjugate_gradient_start,
    conjugate_gradient_step,
)
from kotowari.solvers.douglas_rachford import DouglasRachfordState, douglas_rachford_start, douglas_rachford_step
from kotowari.solvers.fista import FistaState, fista_start, fista_step
from kotowari.solvers.hqs import HqsState, hqs_start, hqs_step
from kotowari.solvers.inexact_alm import InexactAlmState, inexact_alm_residual, inexact_alm_start, inexact_alm_step
from kotowari.solvers.ista import IstaState, ista_start, ista_step
from kotowari.solvers.iterate import iterate, relative_change
from kotowari.solvers.pdhg import (
    BalancedPdhgState,
    PdhgState,
    balanced_pdhg_start,
    balanced_pdhg_step,
    condat_vu_step,
    pdhg_start,
    pdhg_step,
)
from kotowari.solvers.power_method import PowerState, largest_eigenvalue, power_start, power_step
from kotowari.solvers.protocols import Gradient, LinearMap, Prox, Step, per_sample

__all__ = [
    "AdmmState",
    "AndersonState",
    "BalancedAdmmState",
    "BalancedPdhgState",
    "ConjugateGradientState",
    "DouglasRachfordState",
    "FistaState",
    "Gradient",
    "HqsState",
    "InexactAlmState",
    "IstaState",
    "LinearMap",
    "PdhgState",
    "PowerState",
    "Prox",
    "Step",
    "admm_start",
    "admm_step",
    "anderson_start",
    "anderson_step",
    "balanced_admm_start",
    "balanced_admm_step",
    "balanced_pdhg_start",
    "balanced_pdhg_step",
    "condat_vu_step",
    "conjugate_gradient",
    "conjugate_gradient_start",
    "conjugate_gradient_step",
    "douglas_rachford_start",
    "douglas_rachford_step",
    "fista_start",
    "fista_step",
    "fixed_point",
    "hqs_start",
    "hqs_step",
    "inexact_alm_residual",
    "inexact_alm_start",
    "inexact_alm_step",
    "ista_start",
    "ista_step",
    "iterate",
    "largest_eigenvalue",
    "pdhg_start",
    "pdhg_step",
    "per_sample",
    "power_start",
    "power_step",
    "relative_change",
]
