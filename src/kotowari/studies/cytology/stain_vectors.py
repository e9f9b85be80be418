"""The two stains of a colour image, found from the image, and the map of the nuclear one."""

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, ShapeError
from kotowari.studies.cytology.stain import find_stain, is_colour, optical_density, require_image

__all__ = ["cell_map", "find_stain_vectors", "stain_amounts"]

FloatImage = npt.NDArray[np.float32]
_COLOURS = 3
_FAINTEST = 0.15
_FEWEST_PIXELS = 32
_MOST_PIXELS = 200_000


def find_stain_vectors(density: npt.ArrayLike, tail: float = 1.0) -> FloatImage:
    r"""Directions of the two stains in optical density.

    The stained pixels' densities lie near a plane; within the plane of their two principal directions the outermost
    angles, without ``tail`` percent on either side, are the two pure stains.

    Parameters
    ----------
    density
        Shape ``(..., 3)``, red, green, blue, from :func:`~kotowari.studies.cytology.stain.optical_density`.
    tail
        Percent of the angles left out on either side, 0 to below 50.

    Returns
    -------
    array
        Shape ``(2, 3)``, unit rows; the first absorbs more of the red, as nuclear stains do.

    Raises
    ------
    ShapeError
        When there are not three channels.
    DesignError
        When fewer than 32 pixels are stained (summed density 0.15 or more).

    Source: Macenko et al. 2009, ISBI, 1107-1110, steps 1 to 6. We take the natural logarithm, and cut on the summed
    density, so that a stain that one channel does not see is kept.
    """
    values = np.asarray(density, dtype=np.float64)
    if values.ndim < 1 or values.shape[-1] != _COLOURS:
        raise ShapeError.mismatch("find_stain_vectors", "density", ("...", _COLOURS), values.shape)
    pixels = values.reshape(-1, _COLOURS)
    pixels = pixels[pixels.sum(1) >= _FAINTEST]
    if len(pixels) < _FEWEST_PIXELS:
        raise DesignError(
            f"find_stain_vectors: only {len(pixels)} pixels are stained; two stains cannot be told apart in fewer than "
            f"{_FEWEST_PIXELS}."
        )
    pixels = pixels[:: max(1, len(pixels) // _MOST_PIXELS)]
    _, directions = np.linalg.eigh(pixels.T @ pixels / len(pixels))
    plane = directions[:, :0:-1]
    plane = plane * np.where(plane.sum(0) < 0, -1, 1)
    along = pixels @ plane
    angles = np.arctan2(along[:, 1], along[:, 0])
    ends = np.percentile(angles, [tail, 100 - tail])
    stains = np.maximum(np.column_stack([np.cos(ends), np.sin(ends)]) @ plane.T, 0)
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    ordered = stains[np.argsort(-stains[:, 0], kind="stable")]
    result: FloatImage = ordered.astype(np.float32)
    return result


def stain_amounts(density: npt.ArrayLike, vectors: npt.ArrayLike) -> FloatImage:
    """Amount of each stain in each pixel, by least squares, negative amounts set to 0.

    Parameters
    ----------
    density
        Shape ``(..., 3)``.
    vectors
        Shape ``(2, 3)``, from :func:`find_stain_vectors`.

    Returns
    -------
    array
        Shape ``(..., 2)``. Where the two directions are the same, half of the density each.
    """
    directions = np.asarray(vectors, dtype=np.float64)
    amounts = np.asarray(density, dtype=np.float32) @ np.linalg.pinv(directions, rcond=1e-3).astype(np.float32)
    return np.maximum(amounts, np.float32(0))


def cell_map(image: npt.ArrayLike) -> FloatImage:
    """One map of an image on which cells are bright, whatever the stain: what the simple methods look at.

    Fluorescence and phase: the mean of the channels, turned over where cells are dark. Bright-field: the optical
    density, for colour images weighted 0.6 red, 0.4 green, 0 blue, since nuclear dyes absorb red and green, and blue
    tells them from nothing. The weights are fixed, not unmixed: in an image of one stain the second direction is
    noise.

    Parameters
    ----------
    image
        Shape ``(height, width, channel)``, channel 1 or 3, 0 to 1.

    Returns
    -------
    array
        Shape ``(height, width)``; densities, or intensities 0 to 1.
    """
    values = require_image(image, "cell_map")
    stain = find_stain(values)
    if stain.kind == "bright-field":
        density = optical_density(values)
        return density @ np.array([0.6, 0.4, 0.0], dtype=np.float32) if is_colour(values) else density.mean(-1)
    grey: FloatImage = values.mean(-1)
    return grey if stain.polarity == "bright" else 1 - grey
