"""What comes in at the door of the transformer: plain columns, finite values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import require_unique
from kotowari.core.errors import InputError

__all__ = ["flat_columns", "require_finite"]


def flat_columns(table: Any) -> Any:
    """Return a DataFrame with columns (layer, gene) as one with columns ``"layer:gene"``; anything else as it is.

    Raises
    ------
    InputError
        When a column stands twice, or is named by neither one word nor a pair.
    """
    if not isinstance(table, pd.DataFrame):
        return table
    require_unique(table.columns, what="columns", where="X")
    if not isinstance(table.columns, pd.MultiIndex):
        return table
    if table.columns.nlevels != 2:
        raise InputError(f"X: columns must be names, or pairs (layer, gene), got {table.columns.nlevels} levels.")
    return table.set_axis([f"{layer}:{gene}" for layer, gene in table.columns], axis=1)


def require_finite(values: npt.NDArray[Any], names: Sequence[str], *, allow_missing: bool) -> None:
    """Raise :class:`InputError` at the first value that cannot be used, by row and column, and count the others.

    Parameters
    ----------
    values
        Shape ``(sample, feature)``.
    names
        Names of the columns.
    allow_missing
        Whether NaN may stand; infinite values never may.
    """
    wrong = np.isinf(values) if allow_missing else ~np.isfinite(values)
    if not wrong.any():
        return
    row, column = divmod(int(wrong.argmax()), wrong.shape[1])
    found = "NaN" if np.isnan(values[row, column]) else "infinite (inf)"
    others = int(wrong.sum()) - 1
    raise InputError(
        f"X: row {row}, column {names[column]!r} is {found}, and so are {others} other values. Fill them in, or leave "
        "out their rows or columns; missing='zero' takes NaN as 0 after scaling."
    )
