"""A map of a large image, made tile by tile and blended so that no seam shows."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError

__all__ = ["apply_by_tiles"]

FloatImage = npt.NDArray[np.float32]


def apply_by_tiles(
    function: Callable[[FloatImage], FloatImage], image: npt.ArrayLike, tile: int = 512, overlap: int = 64
) -> FloatImage:
    """Apply a function of one image tile by tile and blend its maps.

    Tiles overlap by ``overlap`` pixels or more. At an inner side the outer half of the overlap counts for nothing and
    the inner half fades in, so that a function that looks no further than ``overlap // 2`` pixels gives the same map
    as on the whole image. Only the map is tiled; cells are then looked for on the whole of it, so none is cut.

    Parameters
    ----------
    function
        Maps ``(height, width, channel)`` to ``(height, width)``. Called with tiles of one size.
    image
        Shape ``(height, width, channel)``. A side no longer than ``tile`` is not divided.
    tile
        Side of a tile, px; above ``2 * overlap``.
    overlap
        Px, 0 or more.

    Raises
    ------
    InputError
        When tile and overlap do not fit each other.
    ShapeError
        When the image has other axes, or the function returns another size.

    Our own construction.
    """
    if overlap < 0 or tile <= 2 * overlap:
        raise InputError(f"apply_by_tiles: tile must be above 2 * overlap, got tile={tile}, overlap={overlap}.")
    values = np.asarray(image)
    if values.ndim != 3:
        raise ShapeError.mismatch("apply_by_tiles", "image", ("height", "width", "channel"), values.shape)
    height, width = values.shape[:2]
    rows, columns = _starts(height, tile, overlap), _starts(width, tile, overlap)
    if len(rows) == len(columns) == 1:
        return _mapped(function, values)
    total = np.zeros((height, width), dtype=np.float64)
    share = np.zeros((height, width), dtype=np.float64)
    for top in rows:
        for left in columns:
            window = slice(top, top + tile), slice(left, left + tile)
            piece = values[window]
            weight = np.outer(_fade(piece.shape[0], top, height, overlap), _fade(piece.shape[1], left, width, overlap))
            total[window] += weight * _mapped(function, piece)
            share[window] += weight
    return (total / share).astype(np.float32)


def _mapped(function: Callable[[FloatImage], FloatImage], piece: FloatImage) -> FloatImage:
    found = np.asarray(function(piece), dtype=np.float32)
    if found.shape != piece.shape[:2]:
        raise ShapeError.mismatch("apply_by_tiles", "the function's map", piece.shape[:2], found.shape)
    return found


def _starts(side: int, tile: int, overlap: int) -> list[int]:
    """First pixel of each tile; the tiles are spread evenly, so that all have one size."""
    if side <= tile:
        return [0]
    n_tiles = -(-(side - overlap) // (tile - overlap))
    return [round(k * (side - tile) / (n_tiles - 1)) for k in range(n_tiles)]


def _fade(length: int, start: int, side: int, overlap: int) -> npt.NDArray[np.float64]:
    inner = overlap - overlap // 2
    ramp = np.clip((np.arange(length) - overlap // 2 + 1) / (inner + 1), 0, 1)
    ones = np.ones(length)
    before = ramp if start > 0 else ones
    after = ramp[::-1] if start + length < side else ones
    return np.minimum(before, after)
