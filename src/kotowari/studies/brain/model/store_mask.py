"""The voxels that count: from a NIfTI mask, from the mean of the volumes, or taken over from another store."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.core.files import fingerprint
from kotowari.formats.nifti import read_nifti
from kotowari.studies.brain.model.grid import Grid, bounds_overlap
from kotowari.studies.brain.model.resample import resample as lay_onto
from kotowari.studies.brain.model.volume_survey import header_grid

__all__ = ["MaskSource", "mean_mask"]

Mask = npt.NDArray[np.bool_]

_LEAST_OVERLAP = 0.5


@dataclass(frozen=True, eq=False)
class MaskSource:
    """Where a mask comes from: a file, another store, or, with neither, the mean volume.

    Parameters
    ----------
    path
        A NIfTI file of 0 and one other value.
    grid, mask
        Grid and mask, both of full shape, of another store.
    threshold
        Share of the mean volume's high end, the 99th percentile of its voxels above 0, that a voxel must exceed;
        above 0, below 1.
    subjects
        Whose volumes make the mean; None stands for all.
    """

    path: Path | None = None
    grid: Grid | None = None
    mask: Mask | None = None
    threshold: float = 0.2
    subjects: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise InputError(f"VolumeStore: threshold must lie above 0 and below 1, got {self.threshold}.")
        if self.subjects is not None and (not self.subjects or self.path or self.grid):
            raise InputError("VolumeStore: mask_subjects needs a name at least, and no mask, since it makes one.")

    def words(self) -> dict[str, Any]:
        """Return what distinguishes this mask from others."""
        if self.path is not None:
            return {"from": "file", **fingerprint(self.path)}
        if self.mask is not None:
            return {"from": "store", "sha256": hashlib.sha256(self.mask.tobytes()).hexdigest()}
        return {"from": "mean", "threshold": self.threshold, "subjects": self.subjects and list(self.subjects)}

    def on(self, grid: Grid, *, resample: bool) -> Mask | None:
        """Return the mask on the grid of the volumes, full shape; None where it has to be made from their mean.

        Raises
        ------
        InputError
            When the file holds no mask, or lies on another grid and may not be resampled.
        """
        if self.path is None:
            return self.mask
        values, header = read_nifti(self.path)
        kinds = np.unique(values)
        if len(kinds) > 2 or not np.isfinite(kinds).all() or 0 not in kinds or len(kinds) < 2:
            raise InputError(
                f"{self.path}: is no mask (values {', '.join(f'{kind:g}' for kind in kinds[:5])}"
                f"{' ...' if len(kinds) > 5 else ''}). A mask holds 0 and one other value."
            )
        own = header_grid(header)
        if own.equals(grid):
            inside: Mask = values != 0
            return inside
        self._require_layable(own, grid, resample)
        mask: Mask = lay_onto((values != 0).astype(np.uint8), own, grid, method="nearest") > 0
        if not mask.any():
            raise InputError(f"{self.path}: no voxel of it falls into the volumes ({grid.sentence()}).")
        return mask

    def notes(self, grid: Grid, mask: Mask) -> list[str]:
        """Return what a reader should know of a mask, shape of the box."""
        size = f"{int(mask.sum())} voxels in a box of {' x '.join(map(str, mask.shape))}"
        if self.path is not None:
            header = read_nifti(self.path)[1]
            laid = "" if header_grid(header).equals(grid) else ", laid onto the volumes by the nearest voxel"
            return [f"The mask {self.path.name} holds {size}{laid}."]
        if self.mask is not None:
            return [f"The mask was taken over from another store: {size}."]
        whose = "all volumes" if self.subjects is None else f"{len(self.subjects)} volumes"
        return [f"The mask is where the mean of {whose} exceeds {self.threshold:g} of its 99th percentile: {size}."]

    def _require_layable(self, own: Grid, grid: Grid, resample: bool) -> None:
        flip = "" if own.handedness == grid.handedness else " and stores left and right the other way round"
        if not resample:
            raise InputError(
                f"{self.path}: the mask lies on another grid than the volumes{flip} ({own.sentence()}; volumes: "
                f"{grid.sentence()}). Give it on theirs, or let resample=True lay it over them."
            )
        if bounds_overlap(own.bounds(), grid.bounds()) < _LEAST_OVERLAP:
            raise InputError(
                f"{self.path}: the mask lies in another space than the volumes ({own.sentence()}; volumes: "
                f"{grid.sentence()}). Give one in the space of the volumes."
            )


def mean_mask(
    source: MaskSource,
    subjects: Sequence[str],
    volume: Callable[[int], npt.NDArray[np.float16]],
    shape: tuple[int, int, int],
) -> Mask:
    """Return where the mean volume exceeds the threshold; one volume is in memory at a time.

    Parameters
    ----------
    source
        Threshold, and whose volumes count.
    subjects
        Names by row.
    volume
        Row to volume, full shape.
    shape
        Full shape.

    Raises
    ------
    InputError
        When the mean is nowhere above 0.
    """
    rows = [i for i, name in enumerate(subjects) if source.subjects is None or name in source.subjects]
    total = np.zeros(shape)
    for row in rows:
        total += volume(row)
    above = total[total > 0]
    if not above.size:
        raise InputError("VolumeStore: the mean volume is nowhere above 0, so it makes no mask. Give a mask.")
    # not the maximum, which one bright voxel of one subject would set
    mask: Mask = total > source.threshold * np.percentile(above, 99)
    return mask
