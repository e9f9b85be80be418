"""Look into a network and leave no trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["recorded_output", "undisturbed"]


@contextmanager
def recorded_output(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that fills with the outputs of ``layer``; the hook is gone afterwards, come what may.

    The network goes on with a copy, so that a later step that works in place cannot change what was recorded.

    Examples
    --------
    >>> layer = nn.Linear(3, 2)
    >>> with recorded_output(layer) as outputs:
    ...     _ = nn.Sequential(layer, nn.ReLU(inplace=True))(torch.ones(5, 3))
    >>> [tuple(output.shape) for output in outputs]
    [(5, 2)]
    """
    outputs: list[Tensor] = []

    def record(_module: nn.Module, _args: object, output: Any) -> Any:  # a layer may give a tuple
        outputs.append(output)
        return output.clone() if isinstance(output, Tensor) else output

    handle = layer.register_forward_hook(record)
    try:
        yield outputs
    finally:
        handle.remove()


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Hold ``model`` in evaluation mode; every module gets its own mode back, come what may.

    Dropout is off and batch-norm statistics stand still inside. Gradients can be taken inside even where the caller
    works under :class:`torch.inference_mode`.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(False):
            yield
    finally:
        for module, training in modes:
            module.training = training
