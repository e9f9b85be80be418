"""The grid of a simulated brain, and the real MNI152 grey matter on it."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, gaussian_filter, map_coordinates

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError

__all__ = ["BrainGrid", "brain_grid"]

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_CENTRE_MM, _EXTENT_MM = (0.0, -18.0, 18.0), (180.0, 216.0, 180.0)
_MASK_LEVEL, _TISSUE_LEVEL, _REACH_MM = 0.2, 0.01, 6.0
_SD_PER_FWHM = 1 / np.sqrt(8 * np.log(2))


@dataclass(frozen=True, eq=False)
class BrainGrid:
    """A grid in MNI millimetres, left to right, back to front, bottom to top, and the template's grey matter on it.

    Attributes
    ----------
    voxel_mm
        Edge of a voxel, mm.
    affine
        Shape ``(4, 4)``, from voxel to mm. The middle plane of x lies at 0 mm.
    grey_matter
        Probability 0 to 1, shape ``(x, y, z)``; the template smoothed to a full width at half maximum of one voxel.
    mask
        Where that is above 0.2.
    support
        Where a warped brain may have tissue; contains the mask.
    fine, fine_mm
        The smoothed template on the finer grid from which warped brains are read, and its spacing.
    fine_origin
        mm of its first voxel.
    """

    voxel_mm: float
    affine: FloatArray
    grey_matter: Volume
    mask: BoolArray
    support: BoolArray
    fine: Volume
    fine_mm: float
    fine_origin: FloatArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        x, y, z = self.mask.shape
        return x, y, z

    @property
    def axes(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Centres of the voxels along x, y and z, mm."""
        x, y, z = (self.affine[d, 3] + self.voxel_mm * np.arange(size) for d, size in enumerate(self.shape))
        return x, y, z

    def millimetres(self, where: BoolArray) -> FloatArray:
        """Positions of the voxels of ``where``, shape ``(voxel, 3)``, in C order."""
        return np.asarray(self.affine[:3, 3] + self.voxel_mm * np.argwhere(where), dtype=np.float64)

    def sample(self, millimetres: FloatArray) -> Volume:
        """Read the template at positions of shape ``(point, 3)``, linearly; 0 outside of it."""
        at = (millimetres - self.fine_origin) / self.fine_mm
        read: Volume = map_coordinates(self.fine, at.T, order=1, mode="constant", output=np.float32)
        return read


@lru_cache(maxsize=4)
def brain_grid(voxel_mm: float) -> BrainGrid:
    """Return the grid of SPM's bounding box at one voxel size, with the grey matter of MNI152 that nilearn carries.

    Nothing is downloaded. The box spans 180 x 216 x 180 mm around (0, -18, 18) mm: 121 x 145 x 121 voxels at 1.5 mm,
    23 x 28 x 23 at 8 mm.

    Parameters
    ----------
    voxel_mm
        1 to 12.

    Returns
    -------
    BrainGrid
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
        raise InputError(f"brain_grid: voxel_mm must lie between 1 and 12, got {voxel_mm}.")
    datasets = require_extra("nilearn.datasets", extra="brain", by="simulate_brains")
    image = datasets.load_mni152_gm_template(resolution=1)
    template = np.asarray(image.dataobj, dtype=np.float32)
    step = max(1, int(voxel_mm // 2))
    smooth = gaussian_filter(template, voxel_mm * _SD_PER_FWHM, mode="constant", truncate=3.0)
    fine, origin = np.ascontiguousarray(smooth[::step, ::step, ::step]), np.array(image.affine[:3, 3])
    shape = tuple(int(extent / voxel_mm + 1e-6) + 1 for extent in _EXTENT_MM)
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = np.array(_CENTRE_MM) - voxel_mm * (np.array(shape) - 1) / 2
    everywhere = affine[:3, 3] + voxel_mm * np.indices(shape).reshape(3, -1).T
    at = (everywhere - origin) / step
    grey = map_coordinates(fine, at.T, order=1, mode="constant", output=np.float32).reshape(shape)
    reach = int(np.ceil(_REACH_MM / voxel_mm))
    support = binary_dilation(grey > _TISSUE_LEVEL, iterations=reach)
    arrays = (affine, grey, grey > _MASK_LEVEL, support, fine)
    for array in (*arrays, origin):
        array.setflags(write=False)
    return BrainGrid(float(voxel_mm), *arrays, float(step), origin)
