"""What the peers' scripts call: functions of the project under the names and with the arguments they use."""

from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.studies.omics.model.assignment import assign_pixels as assign
from kotowari.studies.omics.model.embedding import embed
from kotowari.studies.omics.model.images import PixelMap

Array = npt.NDArray[Any]


def image_layout(X: Array) -> Array:
    """Return places of the genes, shape ``(gene, 2)``, by the default t-SNE with the cosine distance."""
    return embed(np.ascontiguousarray(X.T))


def image_transform(X: Array, pixels: Array, shape: tuple[int, int]) -> Array:
    """Return the mean of the genes of a pixel, shape ``(sample, height, width)``."""
    return PixelMap(np.asarray(pixels), shape).images(X)


def assign_pixels(coordinates: Array, shape: tuple[int, int]) -> Array:
    """Return a pixel for every gene, shape ``(gene, 2)``, all different."""
    return assign(coordinates, shape).pixels
