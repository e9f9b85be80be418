"""Three slices of a head in MNI space with the outline of its grey matter, as pixels."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, zoom

from kotowari.studies.brain.model.grid import Grid
from kotowari.studies.brain.raw.states import NormalisedHead
from kotowari.studies.brain.raw.template import MniTemplate

__all__ = ["GREY_COLOUR", "TEMPLATE_COLOUR", "head_picture"]

Volume = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

GREY_COLOUR, TEMPLATE_COLOUR = (255, 150, 40), (70, 160, 255)  # apart for every kind of colour vision
_PLACE_MM = (8.0, -18.0, 12.0)  # thalamus and basal ganglia in all three
_PIXEL_MM = 0.75
_SURE, _BRAIN = 0.5, 0.1
_BRIGHT = 99.5
_PADDING = 4


def head_picture(head: NormalisedHead, template: MniTemplate) -> Picture:
    """Return a sagittal, a coronal and an axial slice side by side, the left of the body on the left.

    The outline of the head's grey matter (probability above one half) is orange, that of the template's brain blue:
    where the two do not follow each other, extraction or registration failed.

    Returns
    -------
    array
        Shape ``(height, width, 3)``, uint8; about 0.75 mm a pixel.
    """
    scale = max(1, round(template.grid.voxel_mm[0] / _PIXEL_MM))
    brain = template.brain > _BRAIN
    seen = head.head[brain & (head.inside > _SURE)]
    bright = float(np.percentile(seen, _BRIGHT)) if seen.size else 0.0
    slices = []
    for axis, index in enumerate(_planes(template.grid)):
        grey, outer = (_outline(_plane(values, axis, index), scale) for values in (head.grey, brain.astype(np.float32)))
        slices.append(
            _painted(_plane(head.head, axis, index), bright, scale, ((outer, TEMPLATE_COLOUR), (grey, GREY_COLOUR)))
        )
    height = max(image.shape[0] for image in slices)
    return np.concatenate([_padded(image, height) for image in slices], axis=1)


def _planes(grid: Grid) -> tuple[int, int, int]:
    at = np.linalg.solve(grid.affine, np.array([*_PLACE_MM, 1.0]))[:3]
    x, y, z = np.clip(np.rint(at).astype(int), 0, np.array(grid.shape) - 1).tolist()
    return x, y, z


def _plane(values: Volume, axis: int, index: int) -> Volume:
    """Return a slice with the top of the head, in the axial one the front, in the first row."""
    plane: Volume = np.take(values, index, axis=axis).T[::-1]
    return plane


def _outline(plane: Volume, scale: int) -> npt.NDArray[np.bool_]:
    inside = zoom(plane, scale, order=1) > _SURE
    edge: npt.NDArray[np.bool_] = inside & ~binary_erosion(inside)
    return edge


def _painted(
    plane: Volume, bright: float, scale: int, outlines: tuple[tuple[npt.NDArray[np.bool_], tuple[int, int, int]], ...]
) -> Picture:
    large = zoom(plane, scale, order=1)
    grey = np.clip(large / bright if bright > 0 else np.zeros_like(large), 0, 1) * 255
    image = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    for where, colour in outlines:
        image[where] = colour
    return image


def _padded(image: Picture, height: int) -> Picture:
    above = (height - image.shape[0]) // 2
    below = height - image.shape[0] - above
    return np.pad(image, ((above, below), (_PADDING, _PADDING), (0, 0)))
