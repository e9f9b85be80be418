"""The exact class activation map of a network made of a body and a readable head."""

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from kotowari.core.checks import require_methods
from kotowari.core.errors import ShapeError
from kotowari.explain.scores import as_targets, require_outputs, streamed

__all__ = ["class_activation_map"]


class _ReadableHead(Protocol):
    def class_maps(self, features: Tensor) -> Tensor: ...


class _BodyAndHead(Protocol):
    body: Callable[[Tensor], Tensor]
    head: _ReadableHead


def class_activation_map(model: nn.Module, x: Tensor, target: int | Tensor, *, batch_size: int = 64) -> Tensor:
    r"""Return how much each place of the last feature maps gives to a score.

    .. math:: M_c(x, y) = \sum_k w_{ck}(x, y) f_k(x, y), \quad
        \frac{1}{hw} \sum_{x, y} M_c(x, y) + b_c = s_c

    Exact, not an approximation by gradients: the mean over space plus the head's bias is the score. Signed, not
    upsampled and not rescaled. Leaves ``x`` and ``model`` as they were.

    Parameters
    ----------
    model
        Has ``body``, which maps ``x`` to feature maps, and ``head``, which maps these to scores and offers
        ``class_maps`` as :class:`kotowari.networks.heads.AverageHead` does. ``model(x)`` must be ``head(body(x))``.
    x
        Shape ``(batch, ...)``, floating and finite.
    target
        Output index, 0 or more: one for all, or one a sample, shape ``(batch,)``.
    batch_size
        Samples that the model sees at once, 1 or more.

    Returns
    -------
    Tensor
        Shape ``(batch, *space)`` of the feature maps, in score units.

    Raises
    ------
    CapabilityError
        When the model has no body and head, or the head no ``class_maps``.
    ShapeError
        When ``class_maps`` does not give ``(batch, n_outputs, *space)``.
    InputError
        When ``x`` is empty or not finite, or a target is no output of the model.

    Source: Zhou et al. 2016, CVPR, eqs. 1-2; position-wise weights as in DeepFeature (Sharma et al. 2021, Brief.
    Bioinform. 22, bbab297).
    """
    require_methods(model, "body", "head", by="class_activation_map")
    parts = cast(_BodyAndHead, model)
    require_methods(parts.head, "class_maps", by="class_activation_map")
    return streamed(_block_map, model, x, as_targets(target, x), batch_size=batch_size)


def _block_map(model: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    parts = cast(_BodyAndHead, model)
    with torch.no_grad():
        maps = parts.head.class_maps(parts.body(x.clone()))
    if maps.ndim < 3 or len(maps) != len(x):
        raise ShapeError.mismatch("class_activation_map", "class_maps", (len(x), "output", "*space"), maps.shape)
    require_outputs(targets, maps.shape[1])
    return maps[torch.arange(len(maps), device=maps.device), targets]
