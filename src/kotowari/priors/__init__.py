"""What is known about an unknown, as a penalty: value, proximal map, loss."""

from kotowari.priors.prior import Composed, ComposedTight, Prior, ProximalPrior, Scaled, Summed, WeightedPrior

__all__ = ["Composed", "ComposedTight", "Prior", "ProximalPrior", "Scaled", "Summed", "WeightedPrior"]
