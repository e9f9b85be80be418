"""What the peers' scripts call: functions of the project under the names and with the arguments they use."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

import kotowari.priors.functional as kernels
from brain_step import make_step, store_reader
from genenet_solver import fit_all, follow_all
from kotowari.priors.robust_pca import robust_pca as split
from kotowari.studies.omics.model.assignment import assign_pixels as assign
from kotowari.studies.omics.model.embedding import embed
from kotowari.studies.omics.model.images import PixelMap
from priors_unrolled import learned_ista

Array = npt.NDArray[Any]


def genenet_fit(X: Array, Y: Array, weights: Array, l1: Array, l2: Array) -> Array:
    """Return the elastic net of every row of weights and target, shape ``(row, target, regulator)``."""
    return fit_all(X, Y, weights, l1, l2)


def genenet_paths(X: Array, Y: Array, weights: Array, l1: Array, l2: Array) -> Array:
    """Return the same for falling penalties ``(penalty, target)``, shape ``(row, target, penalty, regulator)``."""
    return follow_all(X, Y, weights, l1, l2)


def image_layout(X: Array) -> Array:
    """Return places of the genes, shape ``(gene, 2)``, by the default t-SNE with the cosine distance."""
    return embed(np.ascontiguousarray(X.T))


def image_transform(X: Array, pixels: Array, shape: tuple[int, int]) -> Array:
    """Return the mean of the genes of a pixel, shape ``(sample, height, width)``."""
    return PixelMap(np.asarray(pixels), shape).images(X)


def assign_pixels(coordinates: Array, shape: tuple[int, int]) -> Array:
    """Return a pixel for every gene, shape ``(gene, 2)``, all different."""
    return assign(coordinates, shape).pixels


def tv_prox(y: Tensor, weight: float, gap: float) -> Tensor:
    """Return the minimiser of isotropic total variation denoising, shape ``(h, w)``."""
    return kernels.tv_prox(y[None], weight, gap=gap)[0]


def singular_value_threshold(X: Tensor, tau: float) -> Tensor:
    """Return the matrix with its singular values lowered by ``tau``; differentiable."""
    return kernels.singular_value_threshold(X, tau)


def nuclear_norm(X: Tensor) -> Tensor:
    """Return the sum of the singular values; differentiable."""
    return kernels.nuclear_norm(X)


def robust_pca(X: Tensor, weight: float, tol: float) -> tuple[Tensor, Tensor]:
    """Return low rank and sparse part of a matrix."""
    found = split(X, weight, tol).or_raise().state
    return found.low_rank[0], found.sparse[0]


def make_unrolled_ista(
    signals: Tensor, atoms: Tensor, step: float, threshold: float, layers: int
) -> Callable[[], tuple[float, Tensor, Tensor]]:
    """Return a function that gives loss, gradient of the atoms, and gradients of the thresholds."""
    return learned_ista(signals, atoms, step, threshold, layers)


def make_autoencoder_step(volume: Tensor, blocks: int, channels: int) -> Callable[[], float]:
    """Return one training step on a volume ``(1, 1, x, y, z)``, which gives the loss over all of it."""
    return make_step(volume, blocks, channels)


def make_volume_reader(paths: list[str]) -> Callable[[int], Array]:
    """Build a store of NIfTI files, and return what reads one of them by its number."""
    return store_reader(paths)
