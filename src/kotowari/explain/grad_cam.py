"""Grad-CAM: channels weighted by their mean gradient."""

import torch
from torch import Tensor, nn

from kotowari.explain.layers import layer_map

__all__ = ["grad_cam"]


def grad_cam(
    model: nn.Module,
    layer: nn.Module,
    x: Tensor,
    target: int | Tensor,
    *,
    relu: bool = True,
    batch_size: int = 64,
) -> Tensor:
    r"""Gradient-weighted class activation map.

    .. math:: M = \mathrm{ReLU}\Big(\sum_k \bar g_k a_k\Big), \quad
        \bar g_k = \text{space mean of } \partial s_c / \partial a_k

    Leaves ``x``, ``model`` and every ``.grad`` as they were. For a mean over space and a linear map after ``layer``,
    the map without ReLU is the class activation map divided by the number of positions, and adds up to the score
    less its bias.

    Parameters
    ----------
    model
        Maps ``x`` to scores, shape ``(batch, class)``, or to one number a sample, ``(batch, 1)`` or ``(batch,)``.
    layer
        Submodule of ``model`` whose output is ``(batch, channel, *space)``.
    x
        Shape ``(batch, ...)``, floating and finite.
    target
        Class index, 0 or more: one for all, or one a sample, shape ``(batch,)``. 0 where there is one output.
    relu
        Whether values below 0, which speak against the target, are set to 0 as in the paper.
    batch_size
        Samples that the model sees at once, 1 or more.

    Returns
    -------
    Tensor
        Shape ``(batch, *space)`` of the layer, in score units; not upsampled and not rescaled.

    Raises
    ------
    ShapeError
        When ``layer`` does not run once, or its output has no space axis.
    InputError
        When ``x`` is empty or not finite, or a target is no class of the model.
    CapabilityError
        When the score does not depend on the layer's output.

    Source: Selvaraju et al. 2017, ICCV, eqs. 1-2.
    """
    return layer_map(_mean_weighted, model, layer, x, target, relu=relu, batch_size=batch_size, by="grad_cam")


def _mean_weighted(activation: Tensor, gradient: Tensor) -> Tensor:
    return torch.einsum("bk,bk...->b...", gradient.flatten(2).mean(2), activation)
