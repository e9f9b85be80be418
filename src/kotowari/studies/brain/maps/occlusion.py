"""Region by region: what the score loses when a region looks like the mean training brain."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.progress import Advance
from kotowari.explain.hooks import undisturbed
from kotowari.studies.brain.maps.brain_score import BrainScore

__all__ = ["RegionEffects", "cube_labels", "occlude_regions"]

FloatArray = npt.NDArray[np.float64]
LabelImage = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class RegionEffects:
    """What each region does to the scores of each subject.

    Attributes
    ----------
    effects
        Score of the volume minus score with the region replaced, shape ``(regression, subject, region)``.
    deviation
        Mean of the volume in the region minus that of the mean training brain, shape ``(subject, region)``.
    labels
        Number of each voxel's region, shape of the box; 0 for none.
    numbers
        Numbers of the regions, rising.
    n_voxels
        Voxels of each region, shape ``(region,)``.
    """

    effects: FloatArray
    deviation: FloatArray
    labels: LabelImage
    numbers: tuple[int, ...]
    n_voxels: npt.NDArray[np.int64]

    @property
    def signed(self) -> FloatArray:
        """Mean over subjects, shape ``(regression, region)``.

        Over the training subjects it is near 0 for every region, whatever the region does: they lie around the mean
        brain that replaces it. :attr:`direction` tells the sign of an association.
        """
        return np.asarray(self.effects.mean(1))

    @property
    def absolute(self) -> FloatArray:
        """Mean over subjects of the absolute change, shape ``(regression, region)``."""
        return np.asarray(np.abs(self.effects).mean(1))

    @property
    def ranking(self) -> FloatArray:
        """Absolute change over the root of the region's voxels, so that large regions do not lead by size alone."""
        return np.asarray(self.absolute / np.sqrt(self.n_voxels))

    @property
    def direction(self) -> FloatArray:
        r"""Change of the score with one unit more of mean tissue in the region, shape ``(regression, region)``.

        .. math:: \sum_i e_{ir} d_{ir} \Big/ \sum_i d_{ir}^2

        Least squares through the origin over subjects i, of effects e on deviations d; above 0 where more tissue raises
        the score. Our own definition.
        """
        scale = (self.deviation**2).sum(0)
        products = (self.effects * self.deviation).sum(1)
        return np.asarray(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0))

    def to_box(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give every voxel the value of its region, 0 where there is none: ``(..., region) -> (..., *box)``."""
        if values.shape[-1] != len(self.numbers):
            raise ShapeError.mismatch("RegionEffects", "values", ("...", len(self.numbers)), values.shape)
        places = np.searchsorted(self.numbers, self.labels)
        return np.where(self.labels > 0, values[..., np.minimum(places, len(self.numbers) - 1)], 0)


def occlude_regions(
    score: BrainScore,
    X: Any,
    labels: LabelImage,
    *,
    rows: Any = None,
    sites: Any = None,
    batch_size: int | None = None,
    advance: Advance | None = None,
) -> RegionEffects:
    r"""Replace one region after the other by the mean training brain.

    .. math:: e_{hir} = f_h(x_i) - f_h(x_{i \setminus r})

    Needs no gradient. The network runs once a subject and region, however many regressions there are. Blind to regions
    that stand in for each other.

    Parameters
    ----------
    score
        What is explained.
    X, rows, sites
        As in :meth:`BrainScore.blocks`.
    labels
        Regions: whole numbers of the box's shape, such as :attr:`kotowari.studies.brain.model.atlas.Atlas.labels` or
        :func:`cube_labels`; 0 for no region. Voxels outside of the mask belong to none.
    batch_size
        Volumes that the network sees at once, as in :meth:`BrainScore.batch`.
    advance
        Called once a subject that is done.

    Raises
    ------
    ShapeError
        When labels and mask differ in shape.
    InputError
        When no voxel of the mask has a label above 0.

    Source: Zeiler and Fergus 2014, ECCV, section 4.2, with regions in place of a sliding square.
    """
    inside = _checked_labels(labels, score)
    numbers, codes = np.unique(inside, return_inverse=True)
    codes = codes.reshape(inside.shape) + int(numbers[0] > 0)  # 0 stands for no region, even where all voxels have one
    numbers = numbers[numbers > 0]
    places = torch.from_numpy(codes[score.window].astype(np.int64))
    n_voxels = np.bincount(codes.ravel())[1:]
    effects, deviation = [], []
    with undisturbed(score), torch.no_grad():
        for block in score.blocks(X, rows=rows, sites=sites, batch_size=1):
            slopes = score.slopes[:, int(block.sites[0])].to(block.x.device)
            whole, reference = score.features(block.x), score.reference.to(block.x.device)
            changes = [
                slopes @ (whole - score.features(torch.where(chosen.to(block.x.device), reference, block.x))).T
                for chosen in _region_masks(places, len(numbers), score.batch(batch_size))
            ]
            effects.append(torch.cat(changes, dim=1).cpu().numpy())
            apart = (block.x - reference).cpu().numpy().ravel()
            deviation.append(np.bincount(places.numpy().ravel(), apart)[1:] / n_voxels)
            if advance is not None:
                advance(1)
    return RegionEffects(np.stack(effects, axis=1), np.stack(deviation), inside, tuple(numbers.tolist()), n_voxels)


def cube_labels(mask: npt.NDArray[np.bool_], edge: int) -> npt.NDArray[np.int32]:
    """Cut a mask into cubes of ``edge`` voxels, numbered from 1: regions that follow no atlas.

    Parameters
    ----------
    mask
        Shape of the box.
    edge
        1 or more.
    """
    if edge < 1:
        raise InputError(f"cube_labels: edge must be 1 or more, got {edge}.")
    grid = tuple(-(-side // edge) for side in mask.shape)
    cubes = np.ravel_multi_index(tuple(np.indices(mask.shape) // edge), grid)
    _, numbers = np.unique(np.asarray(cubes)[mask], return_inverse=True)
    labels = np.zeros(mask.shape, dtype=np.int32)
    labels[mask] = numbers + 1
    return labels


def _checked_labels(labels: LabelImage, score: BrainScore) -> LabelImage:
    if labels.shape != score.mask.shape:
        raise ShapeError.mismatch("occlude_regions", "labels", score.mask.shape, labels.shape)
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"occlude_regions: labels must be whole numbers, got {labels.dtype}.")
    inside: LabelImage = np.where(score.mask & (labels > 0), labels, labels.dtype.type(0))
    if not inside.any():
        raise InputError("occlude_regions: no voxel of the mask has a label above 0, so there is no region to replace.")
    return inside


def _region_masks(places: torch.Tensor, n_regions: int, batch: int) -> Iterator[torch.Tensor]:
    """Yield the voxels of some regions at a time, ``(batch, 1, *window)``."""
    for chunk in torch.split(torch.arange(1, n_regions + 1), batch):
        yield places[None, None] == chunk.reshape(-1, 1, 1, 1, 1)
