"""Voxel by voxel: gradient, gradient times input, SmoothGrad and integrated gradients of a brain score."""

import torch

from kotowari.core.errors import InputError
from kotowari.core.seeds import derive_seed
from kotowari.explain.gradient import gradient_times_input as explained_times_input
from kotowari.explain.gradient import saliency
from kotowari.explain.integrated_gradients import integrated_gradients as explained_integrated
from kotowari.studies.brain.maps.brain_score import BrainScore, VolumeBlock
from kotowari.studies.brain.maps.voxel_maps import BlockMap

__all__ = ["gradient", "gradient_times_input", "integrated_gradients", "smooth_grad"]


def gradient(score: BrainScore, block: VolumeBlock, regression: int) -> BlockMap:
    r"""Return how the score answers to each voxel, :math:`s = J_E(x)^\top w`, in score units per unit of the volumes.

    Signed: above 0 where more tissue raises the score.

    Parameters
    ----------
    score
        What is explained.
    block
        In whom.
    regression
        Which of its regressions, from 0.

    Source: Simonyan et al. 2014, ICLR workshop, section 3.
    """
    target = score.column(regression, block.sites)
    return BlockMap(saliency(score, block.x, target, batch_size=len(block.x)))


def gradient_times_input(score: BrainScore, block: VolumeBlock, regression: int) -> BlockMap:
    """Return the gradient times the volume itself, in score units; parameters as in :func:`gradient`.

    Source: Shrikumar et al. 2016, arXiv 1605.01713.
    """
    target = score.column(regression, block.sites)
    return BlockMap(explained_times_input(score, block.x, target, batch_size=len(block.x)))


def smooth_grad(
    score: BrainScore,
    block: VolumeBlock,
    regression: int,
    *,
    noise: float | None = None,
    n_draws: int = 8,
    random_state: int = 0,
) -> BlockMap:
    """Return the mean gradient over noisy copies of each volume, in score units per unit of the volumes.

    A subject has the same noise in every block and for every regression.

    Parameters
    ----------
    score, block, regression
        As in :func:`gradient`.
    noise
        Standard deviation of the noise, 0 or more, in units of the volumes; None takes the deviation of the training
        brains from their mean.
    n_draws
        Noisy copies, 1 or more.
    random_state
        Seed of the noise.

    Source: Smilkov et al. 2017, arXiv 1706.03825, section 3; one noise for all subjects is ours.
    """
    size = score.sd if noise is None else noise
    if size < 0 or n_draws < 1:
        raise InputError(f"smooth_grad: noise must be 0 or more and n_draws 1 or more, got {noise} and {n_draws}.")
    seeds = [derive_seed(random_state, "smooth", int(row)) for row in block.rows]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    total = torch.zeros_like(block.x)
    for _ in range(n_draws):
        drawn = torch.stack([torch.randn(block.x.shape[1:], generator=generator) for generator in generators])
        total += gradient(score, block._replace(x=block.x + size * drawn.to(block.x)), regression).values
    return BlockMap(total / n_draws)


def integrated_gradients(
    score: BrainScore,
    block: VolumeBlock,
    regression: int,
    *,
    tol: float = 1e-3,
    min_points: int = 16,
    max_points: int = 256,
) -> BlockMap:
    """Return the part of each voxel in the difference between a subject's score and that of the mean training brain.

    Points on the line between them are doubled until the completeness gap is below ``tol``, or up to ``max_points``;
    the gap that was reached comes with the map.

    Parameters
    ----------
    score, block, regression
        As in :func:`gradient`.
    tol, min_points, max_points
        As in :func:`kotowari.explain.integrated_gradients`.

    Returns
    -------
    BlockMap
        In score units, with the gap of each subject.

    Source: Sundararajan et al. 2017, ICML, eqs. 1 and 3.
    """
    found = explained_integrated(
        score,
        block.x,
        score.column(regression, block.sites),
        reference=score.reference,
        tol=tol,
        min_points=min_points,
        max_points=max_points,
        batch_size=len(block.x),
    )
    return BlockMap(found.values, found.gap)
