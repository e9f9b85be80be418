"""Which rows go into one step, where a loss looks at its rows together."""

from dataclasses import dataclass
from math import ceil
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kotowari.core.errors import InputError

__all__ = ["Batches"]


@final
@dataclass(frozen=True)
class Batches:
    """Batches of nearly equal length, each from one group of rows.

    A loss such as the nuclear norm of a batch has no meaning for a leftover of one row, so rows are cut evenly: 33 rows
    by 32 make 17 and 16.

    Parameters
    ----------
    size
        Most rows of a batch, 1 or more.
    groups
        Shape ``(sample,)``, a name for each row of the data: the recording, the slide. A batch never holds rows of two
        groups. None puts all into one.
    consecutive
        Keep neighbours together, in the order of the rows: the frames of a video. Only the order of the batches is
        drawn then.
    """

    size: int
    groups: npt.NDArray[Any] | None = None
    consecutive: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"Batches: size must be 1 or more, got {self.size}.")

    def drawn(self, index: npt.NDArray[np.integer], generator: torch.Generator) -> list[Tensor]:
        """Return the batches of one epoch in drawn order."""
        batches: list[Tensor] = []
        for rows in self._grouped(index):
            chosen = rows if self.consecutive else rows[torch.randperm(len(rows), generator=generator)]
            batches += self._cut(chosen)
        return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]

    def ordered(self, index: npt.NDArray[np.integer]) -> list[Tensor]:
        """Return the batches in the order of the rows, as validation wants them."""
        return [batch for rows in self._grouped(index) for batch in self._cut(rows)]

    def _grouped(self, index: npt.NDArray[np.integer]) -> list[Tensor]:
        rows = np.asarray(index, dtype=np.intp)
        if self.consecutive:
            rows = np.sort(rows)
        if self.groups is None:
            return [torch.as_tensor(rows)] if len(rows) else []
        own = self.groups[rows]
        return [torch.as_tensor(rows[own == name]) for name in np.unique(own)]

    def _cut(self, rows: Tensor) -> list[Tensor]:
        return list(torch.tensor_split(rows, ceil(len(rows) / self.size)))
