"""Kernels of the priors as plain functions with their own gradients, without state."""

from kotowari.priors.functional.simplex import project_l1_ball, project_simplex
from kotowari.priors.functional.singular_values import (
    nuclear_norm,
    shrink_singular_values,
    singular_value_threshold,
    singular_values,
)
from kotowari.priors.functional.soft_threshold import soft_threshold
from kotowari.priors.functional.tv_prox import TVState, tv_prox, tv_prox_outcome

__all__ = [
    "TVState",
    "nuclear_norm",
    "project_l1_ball",
    "project_simplex",
    "shrink_singular_values",
    "singular_value_threshold",
    "singular_values",
    "soft_threshold",
    "tv_prox",
    "tv_prox_outcome",
]
