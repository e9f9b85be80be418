"""A head on its own grid, and the same head on the template's."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotowari.studies.brain.model.grid import Grid

__all__ = ["NativeHead", "NormalisedHead"]

Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class NativeHead:
    """A head where it was scanned; all shapes are the grid's.

    Parameters
    ----------
    grid
        Cut to the brain with a margin.
    head
        Without bias, the scanner's units.
    mask
        The brain.
    tissues
        Probability of fluid, grey and white matter, shape ``(3, x, y, z)``.
    """

    grid: Grid
    head: Volume
    mask: Mask
    tissues: Volume


@dataclass(frozen=True, eq=False)
class NormalisedHead:
    """The head laid onto the template's grid, whose shape all have.

    Parameters
    ----------
    head
        Without bias, with its skull.
    grey
        Probability of grey matter, not modulated.
    inside
        Share of the brain's mask, 0 to 1.
    jacobian
        Volume of the head that a unit of volume stands for.
    """

    head: Volume
    grey: Volume
    inside: Volume
    jacobian: Volume

    @property
    def modulated(self) -> Volume:
        """Grey matter per volume of the template; its sum is the head's own. A fold counts as no volume."""
        kept: Volume = self.grey * np.maximum(self.jacobian, 0)
        return kept
