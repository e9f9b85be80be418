"""The MNI152 head that nilearn carries, on the grid of the study's volumes."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError
from kotowari.studies.brain.model.grid import Grid
from kotowari.studies.brain.model.resample import resample
from kotowari.studies.brain.phantom_grid import brain_grid

__all__ = ["MniTemplate", "mni_template"]

Volume = npt.NDArray[np.float32]

_SD_PER_FWHM = 1 / np.sqrt(8 * np.log(2))


@dataclass(frozen=True, eq=False)
class MniTemplate:
    """A brain without its skull, and its tissues.

    Parameters
    ----------
    grid
        SPM's box in MNI millimetres.
    brain
        T1, 0 to 1, 0 outside of the brain; shape of the grid, as are the others.
    grey, white
        Probability 0 to 1.
    """

    grid: Grid
    brain: Volume
    grey: Volume
    white: Volume


@lru_cache(maxsize=4)
def mni_template(voxel_mm: float) -> MniTemplate:
    """Return the template at one voxel size, smoothed to a full width at half maximum of one voxel.

    Nothing is downloaded. At 1.5 mm the grid has 121 x 145 x 121 voxels, as the outputs of SPM12 and CAT12 often have,
    and those of this study's phantoms.

    Parameters
    ----------
    voxel_mm
        1 to 12.

    Returns
    -------
    MniTemplate
        Shared between calls; its arrays cannot be written to.

    Raises
    ------
    InputError
        When the voxel size is out of range.
    MissingExtraError
        When nilearn is not installed.

    Source: the symmetric ICBM 152 template, version 2009a (Fonov et al. 2011, NeuroImage 54:313-327).
    """
    if not 1 <= voxel_mm <= 12:
        raise InputError(f"The voxels of the template must measure 1 to 12 mm, got {voxel_mm:g}.")
    datasets = require_extra("nilearn.datasets", extra="prep", by="Preparing raw heads")
    phantom = brain_grid(voxel_mm)
    target = Grid(phantom.shape, np.array(phantom.affine))
    loaders = (datasets.load_mni152_template, datasets.load_mni152_gm_template, datasets.load_mni152_wm_template)
    brain, grey, white = (_laid(loader(resolution=1), voxel_mm, target) for loader in loaders)
    return MniTemplate(target, brain, grey, white)


def _laid(image: Any, voxel_mm: float, target: Grid) -> Volume:
    values = np.asarray(image.dataobj, dtype=np.float32)
    x, y, z = values.shape
    source = Grid((x, y, z), np.asarray(image.affine, dtype=np.float64))
    smooth = gaussian_filter(values, voxel_mm * _SD_PER_FWHM, mode="constant", truncate=3.0)
    laid = np.ascontiguousarray(resample(smooth, source, target, method="linear"), dtype=np.float32)
    laid.setflags(write=False)
    return laid
