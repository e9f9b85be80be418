"""Centrelines of two vessel masks compared."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import skeletonize

__all__ = ["centreline_distance", "cl_dice", "skeleton"]

BoolImage = npt.NDArray[np.bool_]


def skeleton(mask: BoolImage) -> BoolImage:
    """Return the centrelines of a mask, one pixel wide, with the topology of the mask; shape ``(height, width)``."""
    lines: BoolImage = skeletonize(mask)
    return lines


def cl_dice(found: BoolImage, truth: BoolImage, found_lines: BoolImage, true_lines: BoolImage) -> float:
    r"""Return the centreline Dice of two masks.

    .. math:: \mathrm{clDice} = \frac{2 T_p T_s}{T_p + T_s}, \quad
        T_p = \frac{|S_P \cap G|}{|S_P|}, \quad T_s = \frac{|S_G \cap P|}{|S_G|}

    with masks P found and G true and their skeletons S. It counts how far the found centrelines run inside true vessels
    and the true ones inside found vessels, whatever the width.

    Parameters
    ----------
    found, truth, found_lines, true_lines
        Shape ``(height, width)``: masks and their skeletons.

    Returns
    -------
    float
        0 to 1; 0 when nothing was found; NaN without true vessels.

    Source: Shit et al. 2021, CVPR, arXiv 2003.07311, eqs. 1 and 2.
    """
    if not true_lines.any():
        return np.nan
    if not found_lines.any():
        return 0.0
    precision = float(truth[found_lines].mean())
    sensitivity = float(found[true_lines].mean())
    both = precision + sensitivity
    return 2 * precision * sensitivity / both if both > 0 else 0.0


def centreline_distance(found_lines: BoolImage, true_lines: BoolImage) -> float:
    """Return the mean distance from each skeleton to the other, averaged over both directions, in px.

    Parameters
    ----------
    found_lines, true_lines
        Shape ``(height, width)``.

    Returns
    -------
    float
        0 or more; the diagonal of the picture when nothing was found, so that an empty answer does not look exact; NaN
        without true vessels.
    """
    if not true_lines.any():
        return np.nan
    if not found_lines.any():
        return float(np.hypot(*true_lines.shape))
    to_true = ndimage.distance_transform_edt(~true_lines)[found_lines].mean()
    to_found = ndimage.distance_transform_edt(~found_lines)[true_lines].mean()
    return float((to_true + to_found) / 2)
