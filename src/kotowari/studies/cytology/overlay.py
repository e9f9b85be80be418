"""Images as they are shown: stretched, with the outlines of cells on them."""

import numpy as np
import numpy.typing as npt
from skimage.segmentation import find_boundaries

__all__ = ["OTHER_COLOUR", "OUR_COLOUR", "outlined", "shown"]

Picture = npt.NDArray[np.uint8]
OUR_COLOUR, OTHER_COLOUR = (0, 114, 255), (255, 120, 0)  # told apart by every kind of colour vision
_LOWEST, _HIGHEST = 0.5, 99.5


def shown(image: npt.NDArray[np.float32]) -> Picture:
    """Return an image of shape ``(height, width, channel)`` as RGB of 8 bits, its range stretched for the eye.

    All channels are stretched alike, from the percentile 0.5 to 99.5; results never see this.
    """
    low, high = (float(end) for end in np.percentile(image, [_LOWEST, _HIGHEST]))
    unit = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    rgb = np.repeat(unit, 3, axis=2) if image.shape[2] == 1 else unit
    return np.round(255 * rgb).astype(np.uint8)


def outlined(
    picture: Picture, labels: npt.NDArray[np.integer], other: npt.NDArray[np.integer] | None = None
) -> Picture:
    """Return a picture of shape ``(height, width, 3)`` with inner outlines of cells in blue, over others in orange."""
    drawn = picture.copy()
    if other is not None:
        drawn[find_boundaries(other, mode="inner")] = OTHER_COLOUR
    drawn[find_boundaries(labels, mode="inner")] = OUR_COLOUR
    return drawn
