"""What a layer gives and what the score asks of it, turned into a map over space."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kotowari.core.errors import ShapeError
from kotowari.explain.hooks import recorded_output
from kotowari.explain.scores import as_targets, gradient_of, graph_scores, streamed

__all__ = ["layer_map"]

Combine = Callable[[Tensor, Tensor], Tensor]


def layer_map(
    combine: Combine,
    model: nn.Module,
    layer: nn.Module,
    x: Tensor,
    target: int | Tensor,
    *,
    relu: bool,
    batch_size: int,
    by: str,
) -> Tensor:
    """Stream ``combine(activation, gradient)``, both ``(batch, channel, *space)``, into ``(batch, *space)``.

    Raises
    ------
    ShapeError
        When ``layer`` does not run once, or does not give ``(batch, channel, *space)``.
    """

    def block_map(model: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
        activation, gradient = _layer_gradient(model, layer, x, targets, by)
        combined = combine(activation, gradient)
        return combined.relu() if relu else combined

    return streamed(block_map, model, x, as_targets(target, x), batch_size=batch_size)


def _layer_gradient(model: nn.Module, layer: nn.Module, x: Tensor, targets: Tensor, by: str) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        with recorded_output(layer) as outputs:
            scores = graph_scores(model, x.clone().requires_grad_(), targets)
        activation = _only_map(outputs, layer, len(x), by)
        gradient = gradient_of(scores, activation, f"the output of {type(layer).__name__}")
    return activation.detach(), gradient


def _only_map(outputs: list[Tensor], layer: nn.Module, n_samples: int, by: str) -> Tensor:
    wanted = f"{by}: layer {type(layer).__name__} must run once in the model and give (batch, channel, *space)"
    if len(outputs) != 1:
        raise ShapeError(f"{wanted}, but it ran {len(outputs)} times.")
    (output,) = outputs
    if not isinstance(output, Tensor):
        raise ShapeError(f"{wanted}, but it gave a {type(output).__name__}.")
    if output.ndim < 3 or len(output) != n_samples:
        raise ShapeError(f"{wanted}, but it gave {tuple(output.shape)}.")
    return output
