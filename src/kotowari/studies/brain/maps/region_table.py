"""The table of a map: regions by name, with side, place, sign, p and how often they were chosen."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import ShapeError
from kotowari.studies.brain.model.atlas import Atlas

__all__ = ["region_table"]


def region_table(
    atlas: Atlas,
    values: npt.NDArray[Any],
    *,
    strength: npt.ArrayLike | None = None,
    direction: npt.ArrayLike | None = None,
    p: npt.ArrayLike | None = None,
    selection_frequency: npt.ArrayLike | None = None,
    agreement: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """Return one row a region, the strongest first.

    Parameters
    ----------
    atlas
        Regions within the box.
    values
        The map, shape of the box.
    strength
        What ranks the regions, shape ``(region,)``, in the order of the atlas; None takes the mean of absolute values.
    direction
        Whose sign is told, shape ``(region,)``: above 0 where more tissue raises the score. None takes the mean.
    p
        Family-wise against shuffled targets, shape ``(region,)``.
    selection_frequency
        Share of the fits that have the region among their strongest, shape ``(region,)``.
    agreement
        ICC of each region, shape ``(region,)``.

    Returns
    -------
    DataFrame
        Columns of :meth:`Atlas.table`, then ``strength``, ``sign`` (``+``, ``-`` or ``0``), and ``p``,
        ``selection_frequency`` and ``icc`` where they were given.

    Raises
    ------
    ShapeError
        When a column has not one entry a region.
    InputError
        When the map is not finite in a region.
    """
    table = atlas.table(values)
    own = {
        "strength": atlas.means(np.abs(values)) if strength is None else strength,
        "sign": table["mean"] if direction is None else direction,
        "p": p,
        "selection_frequency": selection_frequency,
        "icc": agreement,
    }
    for name, column in own.items():
        if column is None:
            continue
        entries = np.asarray(column, dtype=np.float64)
        if entries.shape != (len(atlas),):
            raise ShapeError.mismatch("region_table", name, (len(atlas),), entries.shape)
        table[name] = np.array(["-", "0", "+"])[np.sign(entries).astype(int) + 1] if name == "sign" else entries
    return table.sort_values("strength", ascending=False, kind="stable", ignore_index=True)
