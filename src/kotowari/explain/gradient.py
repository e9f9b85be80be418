"""Relevance from the gradient at the input itself."""

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError
from kotowari.explain.hooks import undisturbed
from kotowari.explain.scores import as_targets, blocks, score_gradient, streamed

__all__ = ["gradient_times_input", "saliency", "smooth_grad"]


def saliency(model: nn.Module, x: Tensor, target: int | Tensor, *, batch_size: int = 64) -> Tensor:
    r"""Return the gradient of the score with respect to the input.

    .. math:: a_i = \partial f_c / \partial x_i

    Signed: no absolute value, no rescaling. Leaves ``x``, ``model`` and every ``.grad`` as they were.

    Parameters
    ----------
    model
        Maps ``x`` to scores, shape ``(batch, class)``, or to one number a sample, ``(batch, 1)`` or ``(batch,)``.
    x
        Shape ``(batch, ...)``, floating and finite.
    target
        Class index, 0 or more: one for all, or one a sample, shape ``(batch,)``. 0 where there is one output.
    batch_size
        Samples that the model sees at once, 1 or more.

    Returns
    -------
    Tensor
        Shape of ``x``, in score units per input unit.

    Raises
    ------
    InputError
        When ``x`` is empty or not finite, or a target is no class of the model.
    CapabilityError
        When no differentiable path leads from ``x`` to the score.

    Source: Simonyan et al. 2014, ICLR workshop, section 3; there the absolute value is taken.
    """
    return streamed(score_gradient, model, x, as_targets(target, x), batch_size=batch_size)


def gradient_times_input(model: nn.Module, x: Tensor, target: int | Tensor, *, batch_size: int = 64) -> Tensor:
    r"""Return the gradient times the input.

    .. math:: a_i = x_i \, \partial f_c / \partial x_i

    Adds up to :math:`f_c(x) - f_c(0)` for linear models and for piecewise-linear networks without bias, not in
    general; :func:`completeness_gap` measures it. Leaves ``x``, ``model`` and every ``.grad`` as they were.

    Parameters
    ----------
    model, x, target, batch_size
        As in :func:`saliency`.

    Returns
    -------
    Tensor
        Shape of ``x``, in score units; not rescaled.

    Raises
    ------
    InputError, CapabilityError
        As in :func:`saliency`.

    Source: Shrikumar et al. 2016, arXiv 1605.01713.
    """
    return streamed(_times_input, model, x, as_targets(target, x), batch_size=batch_size)


def smooth_grad(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    *,
    noise: float,
    rng: torch.Generator,
    n_draws: int = 25,
    batch_size: int = 64,
) -> Tensor:
    r"""Return the mean gradient over noisy copies of the input.

    .. math:: a_i = \frac1n \sum_{j=1}^{n} \frac{\partial f_c}{\partial x_i}(x + \sigma \epsilon_j), \quad
        \epsilon_j \sim \mathcal N(0, 1)

    The same ``rng`` gives the same noise whatever ``batch_size`` is. Leaves ``x``, ``model`` and every ``.grad`` as
    they were.

    Parameters
    ----------
    model, x, target, batch_size
        As in :func:`saliency`.
    noise
        Standard deviation of the noise, 0 or more, in input units. One figure for all samples keeps them comparable.
    rng
        Where the noise comes from.
    n_draws
        Noisy copies a sample, 1 or more.

    Returns
    -------
    Tensor
        Shape of ``x``, in score units per input unit; signed, not rescaled.

    Raises
    ------
    InputError
        As in :func:`saliency`, or when ``noise`` or ``n_draws`` is out of range.
    CapabilityError
        As in :func:`saliency`.

    Source: Smilkov et al. 2017, arXiv 1706.03825, section 3; there the noise is a share of each image's own range.
    """
    if noise < 0 or n_draws < 1:
        raise InputError(f"smooth_grad: noise must be 0 or more and n_draws 1 or more, got {noise} and {n_draws}.")
    targets = as_targets(target, x)
    with undisturbed(model):
        total = torch.zeros_like(x)
        for _ in range(n_draws):
            for part, block, chosen in blocks(total, x, targets, batch_size=batch_size):
                part += score_gradient(model, block + noise * _normal_like(block, rng), chosen)
    return total / n_draws


def _times_input(model: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    return x * score_gradient(model, x, targets)


def _normal_like(x: Tensor, rng: torch.Generator) -> Tensor:
    """Draw sample by sample in float32, so that neither the block size nor the type of ``x`` changes the numbers."""
    draws = [torch.randn(x.shape[1:], generator=rng, device=rng.device, dtype=torch.float32) for _ in range(len(x))]
    return torch.stack(draws).to(x)
