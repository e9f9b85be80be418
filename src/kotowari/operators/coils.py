"""What the receiver coils of an MR scanner see."""

from typing import final

import torch
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.operators.linear import LinearOperator

__all__ = ["CoilSensitivity"]


@final
class CoilSensitivity(LinearOperator):
    r"""One image times the sensitivity of every coil, :math:`(Ax)_c = s_c x`; adjoint :math:`\sum_c \bar s_c y_c`.

    The domain is ``space``, the codomain ``(coil, *space)``.

    Parameters
    ----------
    maps
        Sensitivities, complex, shape ``(coil, *space)``, or ``(*batch, coil, *space)`` where samples of a batch have
        maps of their own; then the batch axes of the input must match theirs. An input without batch axes stands for
        the same image in every sample of the batch. Kept in their own dtype, and used in the precision of the input.
    n_axes
        How many axes space has. None: all but the first axis of ``maps``, so no batch.

    Raises
    ------
    InputError
        When ``maps`` is not complex or has too few axes.

    Examples
    --------
    >>> CoilSensitivity(torch.ones(4, 8, 8, dtype=torch.complex64))
    CoilSensitivity((8, 8) -> (4, 8, 8))
    """

    maps: Tensor

    def __init__(self, maps: Tensor, *, n_axes: int | None = None) -> None:
        super().__init__()
        n_axes = maps.ndim - 1 if n_axes is None else n_axes
        if not maps.is_complex():
            raise InputError(f"CoilSensitivity: maps must be complex, got {maps.dtype}. Convert them with .cfloat().")
        if not 1 <= n_axes < maps.ndim:
            raise InputError(
                f"CoilSensitivity: maps need a coil axis before 1 or more axes of space, got {maps.ndim} axes with "
                f"n_axes={n_axes}."
            )
        self.domain, self.codomain = tuple(maps.shape[-n_axes:]), tuple(maps.shape[-n_axes - 1 :])
        self.register_buffer("maps", maps)

    def _forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-len(self.codomain)) * self.maps.to(x.dtype.to_complex())

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y * self.maps.conj().to(y.dtype.to_complex())).sum(-len(self.codomain))

    def _norm(self) -> float | None:
        return float(torch.linalg.vector_norm(self.maps.to(torch.complex128), dim=-len(self.codomain)).max())
