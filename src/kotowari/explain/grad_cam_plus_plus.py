"""Grad-CAM++: channels weighted by their positive gradients, each place by its share."""

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError
from kotowari.explain.layers import layer_map

__all__ = ["grad_cam_plus_plus"]


def grad_cam_plus_plus(
    model: nn.Module,
    layer: nn.Module,
    x: Tensor,
    target: int | Tensor,
    *,
    relu: bool = True,
    batch_size: int = 64,
) -> Tensor:
    r"""Grad-CAM++, which finds several things of one class.

    .. math:: M = \mathrm{ReLU}\Big(\sum_k w_k a_k\Big), \quad
        w_k = \sum_p \alpha_{kp} \, \mathrm{ReLU}(g_{kp}), \quad
        \alpha_{kp} = \frac{g_{kp}^2}{2 g_{kp}^2 + g_{kp}^3 \sum_q a_{kq}} = \frac{1}{2 + g_{kp} \sum_q a_{kq}}

    with :math:`g = \partial s_c / \partial a` and positions p, q. The paper explains :math:`\exp(s_c)`, which only
    multiplies the map of a sample by its own :math:`\exp(s_c)`; that factor is left out, so that samples stay
    comparable. Leaves ``x``, ``model`` and every ``.grad`` as they were.

    Parameters
    ----------
    model, layer, x, target, batch_size
        As in :func:`grad_cam`. The outputs of ``layer`` should be 0 or more, as after a ReLU.
    relu
        Whether the sum is cut at 0 as in the paper; the gradients are cut either way.

    Returns
    -------
    Tensor
        Shape ``(batch, *space)`` of the layer, in score units; not upsampled and not rescaled.

    Raises
    ------
    InputError
        As in :func:`grad_cam`, or when the layer's outputs lie so far below 0 that a weight passes its pole.
    ShapeError, CapabilityError
        As in :func:`grad_cam`.

    Source: Chattopadhay et al. 2018, WACV, closed form of the weights for an exponential score.
    """
    return layer_map(
        _share_weighted, model, layer, x, target, relu=relu, batch_size=batch_size, by="grad_cam_plus_plus"
    )


def _share_weighted(activation: Tensor, gradient: Tensor) -> Tensor:
    positive = gradient.flatten(2).relu()
    divisor = 2 + positive * activation.flatten(2).sum(2, keepdim=True)  # only positive gradients count in the end
    if (divisor <= 0).any():
        raise InputError(
            "grad_cam_plus_plus: the layer's outputs lie below 0, where the weights are infinite or change sign. "
            "Choose a layer after a ReLU, or use grad_cam."
        )
    return torch.einsum("bk,bk...->b...", (positive / divisor).sum(2), activation)
