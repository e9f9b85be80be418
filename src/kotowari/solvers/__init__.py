"""Proximal algorithms as pure steps on callables, and the one loop that runs them."""

from kotowari.solvers.iterate import iterate, relative_change
from kotowari.solvers.protocols import Gradient, LinearMap, Prox, Step, per_sample

__all__ = ["Gradient", "LinearMap", "Prox", "Step", "iterate", "per_sample", "relative_change"]
