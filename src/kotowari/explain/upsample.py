"""Coarse maps read at the places of a finer image."""

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError

__all__ = ["read_at", "upsample"]


def upsample(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return maps in the size of a finer image, by bilinear interpolation between pixel centres.

    Beyond the outermost centres the edge value goes on. The mean over space is kept exactly when each side of
    ``shape`` is a whole multiple of the map's, and nearly so otherwise; the sum is not: it grows with the pixels.
    Values stay inside the range of the map.

    Parameters
    ----------
    maps
        Shape ``(batch, height, width)``, floating.
    shape
        Height and width of the result, 1 or more.

    Returns
    -------
    Tensor
        Shape ``(batch, *shape)``, in the units of ``maps``.

    Raises
    ------
    ShapeError
        When ``maps`` is not ``(batch, height, width)``.

    Examples
    --------
    >>> upsample(torch.tensor([[[0.0, 4.0]]]), (1, 4)).tolist()
    [[[0.0, 1.0, 3.0, 4.0]]]
    """
    _require_maps(maps, "upsample")
    fine = F.interpolate(maps.unsqueeze(1), size=tuple(shape), mode="bilinear", align_corners=False)
    return fine.squeeze(1)


def read_at(maps: Tensor, positions: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the values of coarse maps at positions of the finer image that they belong to.

    Gives what :func:`upsample` gives at whole-numbered positions, without making the fine image.

    Parameters
    ----------
    maps
        Shape ``(batch, height, width)``, floating.
    positions
        Row and column in pixels of the fine image, shape ``(position, 2)``; pixel centres lie at whole numbers, so
        the image reaches from -0.5 to its length - 0.5.
    shape
        Height and width of the fine image, 1 or more.

    Returns
    -------
    Tensor
        Shape ``(batch, position)``, in the units of ``maps``.

    Raises
    ------
    ShapeError
        When ``maps`` is not ``(batch, height, width)``, or ``positions`` not ``(position, 2)``.
    InputError
        When a position lies outside the image.

    Examples
    --------
    >>> read_at(torch.tensor([[[0.0, 4.0]]]), torch.tensor([[0, 1], [0, 2]]), (1, 4)).tolist()
    [[1.0, 3.0]]
    """
    _require_maps(maps, "read_at")
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ShapeError.mismatch("read_at", "positions", ("position", 2), positions.shape)
    lengths = torch.tensor(shape, dtype=maps.dtype, device=maps.device)
    share = (positions.to(maps) + 0.5) / lengths  # 0 at one border of the image, 1 at the other
    outside = ((share < 0) | (share > 1) | share.isnan()).any(1).nonzero().flatten().tolist()
    if outside:
        raise InputError(
            f"read_at: position {outside[0]} ({positions[outside[0]].tolist()}) lies outside the image of shape "
            f"{tuple(shape)}; {len(outside)} positions in all do."
        )
    grid = (2 * share - 1).flip(1).expand(len(maps), 1, -1, -1)  # grid_sample wants column before row
    read = F.grid_sample(maps.unsqueeze(1), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return read.flatten(1)


def _require_maps(maps: Tensor, by: str) -> None:
    if maps.ndim != 3:
        raise ShapeError.mismatch(by, "maps", ("batch", "height", "width"), maps.shape)
