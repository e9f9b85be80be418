"""Distance between the outlines of two masks."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from kotowari.core.errors import ShapeError

__all__ = ["hausdorff_95", "matched_hausdorff_95"]

Mask = npt.NDArray[np.bool_]


def hausdorff_95(truth: npt.ArrayLike, found: npt.ArrayLike) -> float:
    """95th percentile Hausdorff distance of two masks, in px.

    The larger of the two 95th percentiles: of the distances of the first outline's pixels from the second outline,
    and the other way round. An outline is the mask's pixels with a 4-neighbour outside; beyond the image is outside.

    Parameters
    ----------
    truth, found
        Shape ``(height, width)``, above 0 = inside.

    Returns
    -------
    float
        0 or more; NaN when one of the masks is empty.

    Raises
    ------
    ShapeError
        When the shapes differ.

    Source: Huttenlocher et al. 1993, IEEE Trans. Pattern Anal. Mach. Intell. 15:850-863, section VI (partial distance
    by rank).
    """
    first, second = np.asarray(truth) > 0, np.asarray(found) > 0
    if first.shape != second.shape:
        raise ShapeError.mismatch("hausdorff_95", "found", first.shape, second.shape)
    if not first.any() or not second.any():
        return float("nan")
    outline_a, outline_b = _outline(first), _outline(second)
    there = np.percentile(ndimage.distance_transform_edt(~outline_b)[outline_a], 95)
    back = np.percentile(ndimage.distance_transform_edt(~outline_a)[outline_b], 95)
    return float(max(there, back))


def matched_hausdorff_95(
    truth: npt.NDArray[np.integer], found: npt.NDArray[np.integer], pairs: npt.NDArray[np.int64]
) -> float:
    """Mean of :func:`hausdorff_95` over paired objects; NaN without a pair.

    Parameters
    ----------
    truth, found
        Shape ``(height, width)``, labels.
    pairs
        Shape ``(pair, 2)``: label in the truth, label in what was found.
    """
    if len(pairs) == 0:
        return float("nan")
    true_boxes, found_boxes = _boxes(truth, pairs[:, 0]), _boxes(found, pairs[:, 1])
    distances = []
    for (a, b), true_box, found_box in zip(pairs, true_boxes, found_boxes, strict=True):
        window = tuple(
            slice(min(s.start, t.start), max(s.stop, t.stop)) for s, t in zip(true_box, found_box, strict=True)
        )
        distances.append(hausdorff_95(truth[window] == a, found[window] == b))
    return float(np.mean(distances))


def _boxes(labels: npt.NDArray[np.integer], wanted: npt.NDArray[np.int64]) -> list[tuple[slice, ...]]:
    names, compact = np.unique(labels, return_inverse=True)
    boxes = ndimage.find_objects(compact.reshape(labels.shape) + 1)
    return [boxes[place] for place in np.searchsorted(names, wanted)]


def _outline(mask: Mask) -> Mask:
    outline: Mask = mask & ~ndimage.binary_erosion(mask)
    return outline
