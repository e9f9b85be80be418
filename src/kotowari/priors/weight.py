"""The weight of a penalty: one number, one number an entry, or a learned one."""

from math import isfinite

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError, ShapeError
from kotowari.solvers.protocols import Step

__all__ = ["Weight", "adopt", "adopt_weight", "fitted", "told", "weighted_step"]

Weight = float | Tensor


def adopt_weight(owner: nn.Module, name: str, weight: Weight, *, scalar: bool = False) -> None:
    """Check that ``weight`` is finite and 0 or more, and keep it as attribute ``name`` of ``owner``.

    A tensor becomes a buffer and a parameter stays one, so that both move with ``owner``.

    Raises
    ------
    InputError
        When it is out of range, or has axes where ``scalar`` asks for one number.
    """
    numbers = torch.as_tensor(weight)
    usable = not numbers.is_complex() and bool(((numbers >= 0) & numbers.isfinite()).all())
    if not usable or (scalar and numbers.ndim):
        wanted = "one finite number of 0 or more" if scalar else "finite and 0 or more"
        raise InputError(f"{type(owner).__name__}: {name} must be {wanted}, got {told(weight)}.")
    adopt(owner, name, weight)


def adopt(owner: nn.Module, name: str, value: Weight) -> None:
    """Keep ``value`` as attribute ``name`` of ``owner``: a tensor as a buffer, a parameter as a parameter."""
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        owner.register_buffer(name, value)
    else:
        setattr(owner, name, value)


def fitted(owner: nn.Module, name: str, value: Weight, like: Tensor) -> Weight:
    """Return ``value`` in the real dtype of ``like``, shape ``(batch, ...)``, if it broadcasts against one sample.

    Raises
    ------
    ShapeError
        When it does not: a weight is the same for every sample of a batch.
    """
    if not isinstance(value, Tensor):
        return value
    sample = tuple(like.shape[1:])
    if not _broadcasts(value, sample):
        raise ShapeError(
            f"{owner}: {name} of shape {tuple(value.shape)} does not broadcast against one sample of shape {sample}."
        )
    return value.to(like.real.dtype)


def weighted_step(owner: nn.Module, weight: Weight, step: Step, like: Tensor) -> Weight:
    """Return ``weight * step`` in the real dtype of ``like``, so that a prox keeps the dtype of its input.

    Raises
    ------
    ShapeError
        When it does not broadcast against ``like``, whose entries are what the prior shrinks one by one: a step for
        each entry of a group would not give the prox of its norm.
    """
    product = weight * step
    if not isinstance(product, Tensor):
        return product
    if not _broadcasts(product, tuple(like.shape)):
        raise ShapeError(
            f"{owner}: a step of shape {tuple(torch.as_tensor(step).shape)} does not fit. Give one number, or one for "
            "each sample of the batch."
        )
    return product.to(like.real.dtype)


def told(value: Weight) -> str:
    """Say a weight in a word.

    Examples
    --------
    >>> told(0.5), told(torch.ones(2, 3))
    ('0.5', 'a tensor of shape (2, 3)')
    """
    if isinstance(value, Tensor):
        return f"{value.item():g}" if value.ndim == 0 else f"a tensor of shape {tuple(value.shape)}"
    if not isinstance(value, int | float):
        return f"a {type(value).__name__}"
    return f"{value:g}" if isfinite(value) else str(value)


def _broadcasts(value: Tensor, shape: tuple[int, ...]) -> bool:
    aligned = zip(reversed(value.shape), reversed(shape), strict=False)
    return value.ndim <= len(shape) and all(ours in {1, theirs} for ours, theirs in aligned)
