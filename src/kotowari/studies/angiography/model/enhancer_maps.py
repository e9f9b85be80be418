"""From scores to maps: views averaged, specks pressed down, a cut chosen."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor, nn

from kotowari.studies.angiography.threshold import best_dice_threshold

__all__ = ["choose_cut", "mean_over_views", "specks_below"]

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_EIGHT_NEIGHBOURS = np.ones((3, 3), np.int_)
_TURNS = 4


@torch.no_grad()
def mean_over_views(network: nn.Module, x: Tensor, n_views: int) -> Tensor:
    """Return the mean score over turns by a quarter and, from the fifth view on, their mirror images.

    ``(1, channel, height, width) -> (height, width)``.
    """
    scores = torch.zeros_like(x[0, 0])
    for view in range(n_views):
        mirrored = view >= _TURNS
        found = torch.rot90(network(torch.rot90(x.flip(3) if mirrored else x, view, (2, 3))), -view, (2, 3))
        scores += (found.flip(3) if mirrored else found)[0, 0]
    return scores / n_views


def specks_below(probability: Map, threshold: float, least_area: float) -> Map:
    """Press pieces above the threshold with less than ``least_area`` pixels down to the threshold; others stay."""
    pieces, n_pieces = ndimage.label(probability > threshold, _EIGHT_NEIGHBOURS)
    small = np.bincount(pieces.ravel(), minlength=n_pieces + 1) < least_area
    small[0] = False
    return np.where(small[pieces], np.float32(threshold), probability)


def choose_cut(
    maps: Sequence[Map], truth: Sequence[Mask], fields: Sequence[Mask], given: float | None
) -> tuple[float, float]:
    """Return a cut and its mean Dice: the one that is given, or for None the one with the best mean Dice."""
    if given is None:
        return best_dice_threshold(maps, truth, fields)
    return given, float(np.mean([_dice(*picture, given) for picture in zip(maps, truth, fields, strict=True)]))


def _dice(probability: Map, truth: Mask, field: Mask, cut: float) -> float:
    found, true = (probability > cut) & field, truth & field
    return float(2 * (found & true).sum() / max(1, found.sum() + true.sum()))
