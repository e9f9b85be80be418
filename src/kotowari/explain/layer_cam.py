"""LayerCAM: every position weighted by its own positive gradient."""

from torch import Tensor, nn

from kotowari.explain.layers import layer_map

__all__ = ["layer_cam"]


def layer_cam(
    model: nn.Module,
    layer: nn.Module,
    x: Tensor,
    target: int | Tensor,
    *,
    relu: bool = True,
    batch_size: int = 64,
) -> Tensor:
    r"""LayerCAM, which keeps its place in early layers too.

    .. math:: M = \mathrm{ReLU}\Big(\sum_k \mathrm{ReLU}(g_k) \odot a_k\Big), \quad
        g_k = \partial s_c / \partial a_k

    Leaves ``x``, ``model`` and every ``.grad`` as they were.

    Parameters
    ----------
    model, layer, x, target, batch_size
        As in :func:`grad_cam`.
    relu
        Whether the sum is cut at 0 as in the paper; the gradients are cut either way.

    Returns
    -------
    Tensor
        Shape ``(batch, *space)`` of the layer, in score units; not upsampled and not rescaled.

    Raises
    ------
    ShapeError, InputError, CapabilityError
        As in :func:`grad_cam`.

    Source: Jiang et al. 2021, IEEE Trans. Image Process. 30, 5875-5888; without its rescaling by tanh.
    """
    return layer_map(_place_weighted, model, layer, x, target, relu=relu, batch_size=batch_size, by="layer_cam")


def _place_weighted(activation: Tensor, gradient: Tensor) -> Tensor:
    return (gradient.relu() * activation).sum(1)
