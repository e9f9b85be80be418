"""The foreground of an image beside those of controls: another seed, an untrained network, Otsu's map."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotowari.studies.cytology.comparison import OTSU, make_otsu
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.job import CytologyJob
from kotowari.trust.randomisation import similarity

__all__ = ["ControlMaps", "control_maps", "middle_row"]

OURS_SHOWN = "ours"


@dataclass(frozen=True)
class ControlMaps:
    """Foregrounds of one image.

    Parameters
    ----------
    names
        Ours first.
    maps
        Shape ``(map, height, width)``.
    rank
        Rank correlation of each with the first over the pixels; NaN for the first.
    """

    names: tuple[str, ...]
    maps: npt.NDArray[np.float32]
    rank: npt.NDArray[np.float64]


def middle_row(job: CytologyJob, kind: Kind) -> int:
    """Return an image of the first fold that stands for the others: the one with the median number of cells."""
    test = job.parts(kind)[0].fold.test
    cells = job.cells(kind)
    order = np.argsort([len(cells[int(row)]["confidence"]) for row in test], kind="stable")
    return int(test[order[len(order) // 2]])


def control_maps(job: CytologyJob, kind: Kind) -> ControlMaps:
    """Return the foreground of the middle image by ours, by ours of another seed, by an untrained network, by Otsu."""
    row = middle_row(job, kind)
    kept = job.shard("randomised", kind.word)
    own = job.cells(kind)[row]["foreground"].astype(np.float32)
    found = {
        OURS_SHOWN: own,
        "ours, another seed": kept["trained"][0],
        "untrained network": kept["untrained"][0],
        OTSU: make_otsu().foreground(job.store.image(row)),
    }
    rank = [np.nan, *(similarity(own, other).spearman for name, other in found.items() if name != OURS_SHOWN)]
    return ControlMaps(tuple(found), np.stack(list(found.values())).astype(np.float32), np.array(rank))
