"""Augmentation for few samples: mixtures of samples, moves within a class, noise."""

import numpy as np
import torch
from torch import Tensor

from kotowari.training.plan import TrainingPlan

__all__ = ["augmented"]


def augmented(x: Tensor, y: Tensor, plan: TrainingPlan, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    r"""Return one batch after interpolation within the target, mixup and noise, in this order; inputs stay untouched.

    .. math:: \tilde x = \lambda x_i + (1 - \lambda) x_j, \quad \tilde y = \lambda y_i + (1 - \lambda) y_j, \quad
        \lambda \sim \mathrm{Beta}(a, a)

    Parameters
    ----------
    x
        Shape ``(batch, channel, *space)``.
    y
        Shape ``(batch, output)``: class weights that sum to 1, or values to predict.
    plan
        ``mixup`` is :math:`a`; ``interpolation`` and ``noise`` as described there.
    generator
        Source of all draws, on the CPU.

    Source: Zhang et al. 2018, ICLR (mixup); Chawla et al. 2002, JAIR 16 (interpolation within a class).
    """
    if plan.interpolation:
        x = _moved_within_target(x, y, plan.interpolation, generator)
    if plan.mixup:
        share = _beta(plan.mixup, len(x), generator).to(x)
        partner = torch.randperm(len(x), generator=generator).to(x.device)
        spread = share.view(-1, *[1] * (x.ndim - 1))
        x = spread * x + (1 - spread) * x[partner]
        y = share[:, None] * y + (1 - share[:, None]) * y[partner]
    if plan.noise:
        x = x + plan.noise * torch.randn(x.shape, generator=generator).to(x)
    return x, y


def _moved_within_target(x: Tensor, y: Tensor, share: float, generator: torch.Generator) -> Tensor:
    same = (y[:, None] == y[None]).all(-1).float().cpu()
    partner = torch.multinomial(same, 1, generator=generator)[:, 0].to(x.device)
    step = torch.rand(len(x), generator=generator) * (torch.rand(len(x), generator=generator) < share)
    return x + step.to(x).view(-1, *[1] * (x.ndim - 1)) * (x[partner] - x)


def _beta(shape: float, n: int, generator: torch.Generator) -> Tensor:
    """Draw from Beta(a, a); torch's own sampler takes no generator, so numpy draws from a seed that it gives."""
    seed = int(torch.randint(2**62, (1,), generator=generator))
    return torch.as_tensor(np.random.default_rng(seed).beta(shape, shape, n), dtype=torch.float32)
