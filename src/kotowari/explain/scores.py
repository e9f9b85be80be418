"""The score to be explained, and its gradient, a block of samples at a time."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.explain.hooks import undisturbed

__all__ = [
    "as_reference",
    "as_targets",
    "block_scores",
    "blocks",
    "gradient_of",
    "graph_scores",
    "require_outputs",
    "score_gradient",
    "selected",
    "streamed",
    "target_scores",
]


def target_scores(model: nn.Module, x: Tensor, target: int | Tensor, *, batch_size: int = 64) -> Tensor:
    """Return the score of the target for every sample: what the maps of this room explain.

    Leaves ``x``, ``model`` and every ``.grad`` as they were; the model works in evaluation mode.

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
        Shape ``(batch,)``, in the units of the model's output.

    Raises
    ------
    InputError
        When ``x`` is empty or not finite, or a target is no class of the model.
    ShapeError
        When the model does not give one row of scores a sample.
    """
    return streamed(block_scores, model, x, as_targets(target, x), batch_size=batch_size)


def as_targets(target: int | Tensor, x: Tensor) -> Tensor:
    """Return one class index a sample, shape ``(batch,)``, after a look at ``x`` itself."""
    if len(x) == 0:
        raise InputError("x: holds no sample. Hand over at least one.")
    if not x.is_floating_point():
        raise InputError(f"x: holds {x.dtype}, which has no gradient. Convert it to float32 or float64.")
    unsound = (~x.isfinite()).reshape(len(x), -1).any(1).nonzero().flatten().tolist()
    if unsound:
        raise InputError(
            f"x: sample {unsound[0]} holds NaN or infinite values ({len(unsound)} in all do). Fill them first."
        )
    targets = torch.as_tensor(target, device=x.device)
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise InputError(f"target: must be whole numbers, got {targets.dtype}.")
    if targets.shape not in {(), (len(x),)}:
        raise ShapeError.mismatch("explain", "target", (len(x),), targets.shape)
    if targets.min() < 0:
        raise InputError(f"target: must be 0 or more, got {int(targets.min())}.")
    return targets.long().expand(len(x))


def as_reference(reference: Tensor | None, x: Tensor) -> Tensor:
    """Return a reference for every sample in the shape of ``x``, without copying it; zeros where none is given."""
    if reference is None:
        return x.new_zeros(x.shape[1:]).expand_as(x)
    if reference.shape not in {x.shape, x.shape[1:]}:
        raise ShapeError.mismatch("explain", "reference", x.shape[1:], reference.shape)
    if not reference.isfinite().all():
        raise InputError("reference: holds NaN or infinite values. Fill them first.")
    return reference.detach().to(x).expand_as(x)


def blocks(*tensors: Tensor, batch_size: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield the same rows of all tensors, at most ``batch_size`` at a time."""
    if batch_size < 1:
        raise InputError(f"batch_size: must be 1 or more, got {batch_size}.")
    yield from zip(*(torch.split(tensor.detach(), batch_size) for tensor in tensors), strict=True)


def streamed(compute: Callable[..., Tensor], model: nn.Module, *tensors: Tensor, batch_size: int) -> Tensor:
    """Join ``compute(model, *block)`` over the blocks; the model is left as it was."""
    with undisturbed(model):
        return torch.cat([compute(model, *block) for block in blocks(*tensors, batch_size=batch_size)])


def selected(scores: Tensor, targets: Tensor) -> Tensor:
    """Return each sample's score of its own target, shape ``(batch,)``."""
    table = scores.unsqueeze(1) if scores.ndim == 1 else scores
    if table.ndim != 2 or len(table) != len(targets):
        raise ShapeError.mismatch("explain", "the model's output", (len(targets), "class"), scores.shape)
    require_outputs(targets, table.shape[1])
    return table.gather(1, targets.unsqueeze(1)).squeeze(1)


def require_outputs(targets: Tensor, n_outputs: int) -> None:
    """Raise :class:`InputError` when a target is no output of the model."""
    if targets.max() >= n_outputs:
        raise InputError(f"target: {int(targets.max())} is not among the {n_outputs} outputs of the model (from 0).")


def block_scores(model: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    """Return the scores of one block, without a graph."""
    with torch.no_grad():
        return selected(model(x.clone()), targets)  # a copy: the first step of a model may work in place


def score_gradient(model: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    """Return the gradient of each sample's score with respect to its input, in the shape of ``x``."""
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        return gradient_of(graph_scores(model, leaf, targets), leaf, "the input")


def graph_scores(model: nn.Module, leaf: Tensor, targets: Tensor) -> Tensor:
    """Return the scores with their graph, from copies: a model may work in place, a graph keeps no inference tensor."""
    return selected(model(leaf.clone()), targets.clone())


def gradient_of(scores: Tensor, source: Tensor, name: str) -> Tensor:
    """Return the gradient of the summed scores; samples do not mix in evaluation mode, so each keeps its own."""
    if scores.requires_grad and source.requires_grad:
        (gradient,) = torch.autograd.grad(scores.sum(), source, allow_unused=True)
        if gradient is not None:
            return gradient
    raise CapabilityError(
        f"The score does not depend on {name} through differentiable steps, so it has no gradient there. "
        "Explain it by occlusion, or choose another layer."
    )
