"""What the preparation of a head asks of outside programs, so that others can stand in for ANTs and deepbet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kotowari.studies.brain.model.grid import Grid
from kotowari.studies.brain.raw.template import MniTemplate

__all__ = ["Deformation", "HeadTools"]

Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Deformation:
    """Where each point of the template lies in the head, and the way back.

    Parameters
    ----------
    to_head
        Shape ``(*template, 3)``: what to add to the place of a voxel of the template, mm to the right, front and top,
        to reach the same anatomy in the head.
    to_template
        Shape ``(*head, 3)``: the same from a voxel of the head to the template.
    """

    to_head: Volume
    to_template: Volume


class HeadTools(Protocol):
    """Four steps on one head; volumes are float32, their axes run to the right, front and top."""

    def versions(self) -> Mapping[str, str]:
        """Return program to version; a head is prepared anew when one of them changes."""

    def brain_mask(self, head: Volume, grid: Grid) -> Mask:
        """Return where the brain is, cerebrospinal fluid around it included."""

    def without_bias(self, head: Volume, grid: Grid, mask: Mask) -> Volume:
        """Return the head with its slow changes of brightness taken out."""

    def register(self, brain: Volume, grid: Grid, template: MniTemplate, target: Grid) -> Deformation:
        """Return the way between ``template`` and the brain (0 outside of its mask), the first field on ``target``."""

    def tissues(self, head: Volume, grid: Grid, mask: Mask, priors: Volume) -> Volume:
        """Return the probabilities of fluid, grey and white matter, shape ``(3, x, y, z)``, from priors of that shape.

        They add up to 1 in the mask and are 0 outside.
        """
