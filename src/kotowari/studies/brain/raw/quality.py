"""Figures of how well one head was prepared, and the flags that send a person to look at it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from kotowari.studies.brain.raw.states import NativeHead, NormalisedHead
from kotowari.studies.brain.raw.template import MniTemplate

__all__ = ["FLAGS", "Quality", "measure_quality"]

Volume = npt.NDArray[np.float32]

_SURE = 0.9
_BRAIN = 0.1  # of the template's brightest voxel
_ML = 1000.0

# Our own limits: wide, so that what they flag is worth a look; no head is left out because of them.
_TIV_ML = (900.0, 2200.0)
_GREY_SHARE = (0.3, 0.65)
_LEAST_CONTRAST = 1.0
_LEAST_SIMILARITY = 0.6
_LEAST_COVERED = 0.97
_MOST_FOLDED = 0.001
_KEPT = 0.02
_LARGEST_VOXEL_MM = 2.5

FLAGS = {
    "tiv": f"volume of the brain outside of {_TIV_ML[0]:g} to {_TIV_ML[1]:g} ml",
    "grey_share": f"grey matter is less than {_GREY_SHARE[0]:g} or more than {_GREY_SHARE[1]:g} of the brain's volume",
    "contrast": f"contrast to noise of grey and white matter below {_LEAST_CONTRAST:g}",
    "similarity": f"correlation with the template below {_LEAST_SIMILARITY:g}",
    "coverage": f"less than {_LEAST_COVERED:.0%} of the template's grey matter lies in the brain",
    "folded": f"the deformation folds in more than {_MOST_FOLDED:.1%} of the template's brain",
    "amount": f"modulated and native grey matter differ by more than {_KEPT:.0%}",
    "voxels": f"voxels longer than {_LARGEST_VOXEL_MM:g} mm",
}


@dataclass(frozen=True)
class Quality:
    """The figures of one head.

    Parameters
    ----------
    gm_ml, wm_ml, csf_ml
        Volumes in the head itself, sums of probabilities, ml.
    tiv_ml
        Volume of the brain's mask, ml: the total intracranial volume as far as the mask follows the skull.
    contrast_to_noise
        Difference of the means of white and grey matter over the root of the sum of their variances, in voxels that
        are surely (above 0.9) the one or the other; NaN where there is none.
    similarity
        Correlation of the head and the template within the template's brain, 0 to 1 when all is well.
    jacobian_low, jacobian_high
        First and 99th percentile of the change of volume within the template's brain.
    folded_share
        Share of the template's brain where it is 0 or less.
    covered_share
        Share of the template's grey matter that lies in the head's brain.
    modulated_ml
        Volume of the modulated grey matter, ml.
    kept_ratio
        That over ``gm_ml``; 1 when nothing is lost.
    largest_voxel_mm
        Of the scan.
    """

    gm_ml: float
    wm_ml: float
    csf_ml: float
    tiv_ml: float
    contrast_to_noise: float
    similarity: float
    jacobian_low: float
    jacobian_high: float
    folded_share: float
    covered_share: float
    modulated_ml: float
    kept_ratio: float
    largest_voxel_mm: float

    def flags(self) -> tuple[str, ...]:
        """Return the names of the limits that are not met, of :data:`FLAGS`; NaN meets none."""
        share = self.gm_ml / self.tiv_ml if self.tiv_ml else np.nan
        met = {
            "tiv": _TIV_ML[0] <= self.tiv_ml <= _TIV_ML[1],
            "grey_share": _GREY_SHARE[0] <= share <= _GREY_SHARE[1],
            "contrast": self.contrast_to_noise >= _LEAST_CONTRAST,
            "similarity": self.similarity >= _LEAST_SIMILARITY,
            "coverage": self.covered_share >= _LEAST_COVERED,
            "folded": self.folded_share <= _MOST_FOLDED,
            "amount": abs(self.kept_ratio - 1) <= _KEPT,
            "voxels": self.largest_voxel_mm <= _LARGEST_VOXEL_MM,
        }
        return tuple(name for name in FLAGS if not met[name])

    def numbers(self) -> Mapping[str, float]:
        """Return every figure by its name, in order."""
        return {field.name: float(getattr(self, field.name)) for field in fields(self)}


def measure_quality(native: NativeHead, normalised: NormalisedHead, template: MniTemplate, voxel_mm: float) -> Quality:
    """Return the figures of a prepared head; ``voxel_mm`` is the largest voxel of the scan."""
    unit = abs(float(np.linalg.det(native.grid.affine[:3, :3]))) / _ML
    unit_template = abs(float(np.linalg.det(template.grid.affine[:3, :3]))) / _ML
    fluid, grey, white = (float(tissue.sum(dtype=np.float64)) * unit for tissue in native.tissues)
    modulated = float(normalised.modulated.sum(dtype=np.float64)) * unit_template
    brain = template.brain > _BRAIN
    jacobian = normalised.jacobian[brain]
    low, high = np.percentile(jacobian, (1, 99)).tolist()
    covered = template.grey[normalised.inside > 0.5].sum(dtype=np.float64) / template.grey.sum(dtype=np.float64)
    return Quality(
        gm_ml=grey,
        wm_ml=white,
        csf_ml=fluid,
        tiv_ml=float(native.mask.sum()) * unit,
        contrast_to_noise=_contrast_to_noise(native),
        similarity=_correlation(normalised.head[brain], template.brain[brain]),
        jacobian_low=low,
        jacobian_high=high,
        folded_share=float(np.mean(jacobian <= 0)),
        covered_share=float(covered),
        modulated_ml=modulated,
        kept_ratio=modulated / grey if grey else np.nan,
        largest_voxel_mm=voxel_mm,
    )


def _contrast_to_noise(native: NativeHead) -> float:
    grey, white = (native.head[native.tissues[tissue] > _SURE].astype(np.float64) for tissue in (1, 2))
    if not grey.size or not white.size:
        return np.nan
    noise = float(np.sqrt(grey.var() + white.var()))
    return float(white.mean() - grey.mean()) / noise if noise else np.nan


def _correlation(first: Volume, second: Volume) -> float:
    if first.std() == 0 or second.std() == 0:
        return np.nan
    return float(np.corrcoef(first.astype(np.float64), second.astype(np.float64))[0, 1])
