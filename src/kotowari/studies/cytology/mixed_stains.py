"""Whether a folder mixes images of two stains, which no single background explains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from skimage.filters import threshold_otsu

from kotowari.core.errors import InputError
from kotowari.studies.cytology.stain import find_stain, optical_density, require_image

__all__ = ["StainGap", "stain_gap"]

FloatArray = npt.NDArray[np.float64]
_GRID = 8
_ENERGY = 0.99
_SEPARATION = 5.0
_FEWEST = 4
_FAINTEST = 0.02


@dataclass(frozen=True)
class StainGap:
    """Whether images belong together.

    Parameters
    ----------
    mixed
        True when kinds or polarities differ, or the colours fall into two separate groups.
    group
        Shape ``(image,)``: 0 or 1, the group of each image; all 0 when not mixed.
    separation
        Ashman's D of the two groups along the first direction of the colours; above 5 = separate. NaN for fewer than
        four images.
    rank, rank_apart
        Directions that hold 99 % of the energy of the coarse backgrounds: of all images, and of the larger-ranked
        group by itself.
    sentence
        What to tell the user; empty when not mixed.
    """

    mixed: bool
    group: npt.NDArray[np.int64]
    separation: float
    rank: int
    rank_apart: int
    sentence: str


def stain_gap(images: Sequence[npt.NDArray[np.floating]]) -> StainGap:
    """Look for two stains among images that are to share one background.

    Parameters
    ----------
    images
        Each ``(height, width, channel)``, 0 to 1; sizes and channels may differ.

    Raises
    ------
    InputError
        When there is no image, or a value is not finite.

    Source: Ashman, Bird and Zepf 1994, Astron. J. 108:2348 (D). Halves of one normal distribution have D = 2.65 and
    those of a uniform one 3.46; the bar of 5 is ours.
    """
    if len(images) == 0:
        raise InputError("stain_gap: needs one image or more.")
    checked = [require_image(image, "stain_gap") for image in images]
    kinds = [find_stain(image) for image in checked]
    names = sorted({f"{stain.kind} ({stain.polarity} cells)" for stain in kinds})
    backgrounds = np.stack([_coarse(image) for image in checked])
    rank = _rank(backgrounds)
    separation, colours = _separation(np.stack([_colours(image) for image in checked]))
    if len(names) > 1:
        group = np.array([int(f"{stain.kind} ({stain.polarity} cells)" != names[0]) for stain in kinds])
        reason = f"kinds differ: {', '.join(names)}"
    elif separation > _SEPARATION:
        group, reason = colours, f"the colours fall into two groups of {np.sum(colours == 0)} and {np.sum(colours)}"
    else:
        return StainGap(False, np.zeros(len(images), dtype=np.int64), separation, rank, rank, "")
    apart = max(_rank(backgrounds[group == side]) for side in (0, 1))
    risen = f"; the background's rank rises from {apart} to {rank}" if rank > apart else ""
    sentence = f"The images seem to mix two stains ({reason}{risen}). Run each stain by itself."
    return StainGap(True, group, separation, rank, apart, sentence)


def _coarse(image: npt.NDArray[np.float32]) -> FloatArray:
    """Medians of a coarse grid of fields, one row an image; grey images count three times."""
    rows = np.array_split(np.arange(image.shape[0]), min(_GRID, image.shape[0]))
    columns = np.array_split(np.arange(image.shape[1]), min(_GRID, image.shape[1]))
    fields = np.array(
        [[np.median(image[r[0] : r[-1] + 1, c[0] : c[-1] + 1], axis=(0, 1)) for c in columns] for r in rows]
    )
    place_r = np.arange(_GRID) * len(rows) // _GRID
    place_c = np.arange(_GRID) * len(columns) // _GRID
    return np.broadcast_to(fields[place_r][:, place_c], (_GRID, _GRID, 3)).astype(np.float64).ravel()


def _colours(image: npt.NDArray[np.float32]) -> FloatArray:
    """Middle and light of the channels, and the direction of the mean density, which the amount does not turn."""
    levels = np.percentile(image, [50, 95], axis=(0, 1))
    density = optical_density(image).mean((0, 1))
    direction = density / max(float(np.linalg.norm(density)), _FAINTEST)
    return np.broadcast_to(np.vstack([levels, direction]), (3, 3)).astype(np.float64).ravel()


def _rank(rows: FloatArray) -> int:
    energy = np.cumsum(np.linalg.svd(rows, compute_uv=False) ** 2)
    return int(np.searchsorted(energy, _ENERGY * energy[-1]) + 1) if energy[-1] > 0 else 0


def _separation(colours: FloatArray) -> tuple[float, npt.NDArray[np.int64]]:
    alone = np.zeros(len(colours), dtype=np.int64)
    if len(colours) < _FEWEST:
        return float("nan"), alone
    centred = colours - colours.mean(0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    if np.ptp(along) < 1e-6:  # images alike to within rounding
        return 0.0, alone
    group = (along > threshold_otsu(along)).astype(np.int64)
    low, high = along[group == 0], along[group == 1]
    if min(len(low), len(high)) < 2:
        return 0.0, alone
    spread = np.sqrt(low.var() + high.var())
    return float(np.sqrt(2) * (high.mean() - low.mean()) / max(spread, 1e-12)), group
