"""Mathematical models whose constants can be learned, and what may stand in their place."""

from kotowari.simulators.adjoint import Implicit
from kotowari.simulators.explicit import RungeKutta4
from kotowari.simulators.mass_action import MassAction, conserved_moieties
from kotowari.simulators.simulator import DifferentialEquation, Simulator
from kotowari.simulators.surrogate import DomainWarning, Surrogate, SurrogateError

__all__ = [
    "DifferentialEquation",
    "DomainWarning",
    "Implicit",
    "MassAction",
    "RungeKutta4",
    "Simulator",
    "Surrogate",
    "SurrogateError",
    "conserved_moieties",
]
