"""Maps of single subjects and of groups, streamed: what is in memory does not grow with the number of subjects."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from kotowari.core.evidence import Check
from kotowari.core.progress import Advance
from kotowari.explain.hooks import undisturbed
from kotowari.studies.brain.maps.brain_score import BrainScore, VolumeBlock
from kotowari.trust.completeness import completeness_check

__all__ = ["BlockMap", "GroupMaps", "MapMethod", "group_maps", "subject_maps"]

FloatArray = npt.NDArray[np.float64]
Volumes = npt.NDArray[np.float32]


class BlockMap(NamedTuple):
    """Relevance of each voxel for some subjects.

    Attributes
    ----------
    values
        Shape ``(batch, 1, *window)``.
    gap
        Relative completeness gap, shape ``(batch,)``; None where the method does not claim to add up.
    """

    values: Tensor
    gap: Tensor | None = None


MapMethod = Callable[[BrainScore, VolumeBlock, int], BlockMap]
"""Maps of some subjects for one regression, by its number; see :mod:`kotowari.studies.brain.maps.gradients`."""


@dataclass(frozen=True, eq=False)
class GroupMaps:
    """Means over subjects.

    Attributes
    ----------
    signed
        Mean, shape ``(regression, *box)``, float32; 0 outside of the mask.
    absolute
        Mean of the absolute values, by which voxels are ranked; same shape.
    gap
        Relative completeness gap, shape ``(regression, subject)``; None where the method does not claim to add up.
    """

    signed: Volumes
    absolute: Volumes
    gap: FloatArray | None

    @property
    def completeness(self) -> Check:
        """Whether the maps add up to what they explain; over all regressions."""
        if self.gap is None:
            return Check.not_applicable("completeness", "This kind of map does not claim to add up to the score.")
        return completeness_check(self.gap.ravel())


def group_maps(
    score: BrainScore,
    X: Any,
    method: MapMethod,
    *,
    rows: Any = None,
    sites: Any = None,
    batch_size: int | None = None,
    advance: Advance | None = None,
) -> GroupMaps:
    """Average maps over subjects; two maps a regression are in memory, whatever the number of subjects.

    Parameters
    ----------
    score
        What is explained.
    X, rows, sites, batch_size
        As in :meth:`BrainScore.blocks`. The batch changes the result by rounding only.
    method
        A function of :mod:`kotowari.studies.brain.maps.gradients`; options by :func:`functools.partial`.
    advance
        Called with the number of subjects that are done.
    """
    totals = np.zeros((2, score.n_scores, *score.reference.shape[1:]))
    gaps: list[list[Tensor]] = [[] for _ in range(score.n_scores)]
    n_subjects = 0
    with undisturbed(score):
        for block in score.blocks(X, rows=rows, sites=sites, batch_size=batch_size):
            for regression in range(score.n_scores):
                found = method(score, block, regression)
                values = found.values[:, 0].double().cpu().numpy()
                totals[0, regression] += values.sum(0)
                totals[1, regression] += np.abs(values).sum(0)
                if found.gap is not None:
                    gaps[regression].append(found.gap.cpu())
            n_subjects += len(block.rows)
            if advance is not None:
                advance(len(block.rows))
    signed, absolute = score.to_box((totals / n_subjects).astype(np.float32))
    complete = np.array([np.concatenate(parts) for parts in gaps]) if gaps[0] else None
    return GroupMaps(signed, absolute, complete)


def subject_maps(
    score: BrainScore,
    X: Any,
    method: MapMethod,
    *,
    rows: Any = None,
    sites: Any = None,
    batch_size: int | None = None,
) -> Iterator[tuple[int, Volumes]]:
    """Yield row number and map, shape ``(regression, *box)``, of each subject; parameters as in :func:`group_maps`."""
    for block in score.blocks(X, rows=rows, sites=sites, batch_size=batch_size):
        with undisturbed(score):
            found = [method(score, block, regression).values[:, 0] for regression in range(score.n_scores)]
        for sample, row in enumerate(block.rows):
            windows = np.stack([values[sample].float().cpu().numpy() for values in found])
            yield int(row), score.to_box(windows)
