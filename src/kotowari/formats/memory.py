"""Whether a table fits into memory, asked before it is read."""

import os

from kotowari.core.errors import InputError
from kotowari.formats.rows import Rows

__all__ = ["dense_bytes", "require_bytes", "require_fits"]

_CELL = 8  # bytes of a float64


def dense_bytes(rows: Rows) -> int:
    """Return the bytes of the whole table as float64; an upper bound where the rows of a text were not counted."""
    return rows.bound() * len(rows.columns) * _CELL


def require_fits(rows: Rows, *, limit_gb: float | None) -> None:
    """Raise :class:`InputError` with the size when the whole table would exceed the limit.

    Parameters
    ----------
    rows
        The table, not yet read.
    limit_gb
        Limit in units of 10^9 bytes; None stands for half of this machine's memory.
    """
    require_bytes(
        dense_bytes(rows),
        what=f"{rows.path}: {rows.bound()} rows of {len(rows.columns)} columns, as one array,",
        remedy="Read the table in blocks (kotowari.formats.TableBlocks)",
        limit_gb=limit_gb,
    )


def require_bytes(needed: int, *, what: str, remedy: str, limit_gb: float | None = None) -> None:
    """Raise :class:`InputError` when ``needed`` bytes exceed the limit.

    Parameters
    ----------
    needed
        Bytes.
    what
        What needs them, in the plural; begins the sentence.
    remedy
        What to do; ends it.
    limit_gb
        Limit in units of 10^9 bytes; None stands for half of this machine's memory.
    """
    limit = _half_of_memory() if limit_gb is None else limit_gb * 1e9
    if needed > limit:
        raise InputError(f"{what} need {needed / 1e9:.3g} GB, above the limit of {limit / 1e9:.3g} GB. {remedy}.")


def _half_of_memory() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
