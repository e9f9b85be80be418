"""Shapes and axes as operators keep them, and the device an operator lives on."""

from collections.abc import Iterable

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError
from kotowari.operators.linear import LinearOperator, Shape

__all__ = ["as_axes", "as_shape", "broadcast", "device_of"]


def as_shape(who: str, name: str, shape: Iterable[int]) -> Shape:
    """Return ``shape`` as a tuple of integers, each 1 or more.

    Raises
    ------
    ShapeError
        When an axis is shorter than 1.

    Examples
    --------
    >>> as_shape("Identity", "domain", [4, 7])
    (4, 7)
    """
    lengths = tuple(int(length) for length in shape)
    if any(length < 1 for length in lengths):
        raise ShapeError(f"{who}: every axis of {name} must have 1 entry or more, got {lengths}.")
    return lengths


def as_axes(who: str, axes: Iterable[int], n_axes: int) -> tuple[int, ...]:
    """Return ``axes`` counted from the first of ``n_axes``; negative ones are counted from the last.

    Raises
    ------
    InputError
        When an axis does not exist, stands twice, or there is none.

    Examples
    --------
    >>> as_axes("Casorati", (0, -1), n_axes=3)
    (0, 2)
    """
    given = tuple(axes)
    if not given or any(not -n_axes <= axis < n_axes for axis in given):
        raise InputError(f"{who}: axes must name some of the {n_axes} axes of the domain, got {given}.")
    counted = tuple(axis % n_axes for axis in given)
    if len(set(counted)) < len(counted):
        raise InputError(f"{who}: an axis stands twice in {given}. Name each axis once.")
    return counted


def broadcast(what: str, tensor: Tensor, domain: Shape) -> Tensor:
    """Return ``tensor`` seen in the shape of ``domain``, without a copy.

    Raises
    ------
    ShapeError
        When it cannot be broadcast.
    """
    try:
        return tensor.broadcast_to(domain)
    except RuntimeError:
        raise ShapeError(f"{what} of shape {tuple(tensor.shape)} cannot be broadcast to the domain {domain}.") from None


def device_of(operator: LinearOperator) -> torch.device:
    """Return the device of the operator's first tensor; the CPU when it holds none."""
    tensors = [*operator.parameters(), *operator.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
