"""Networks as files that other programs open."""

from pathlib import Path

from kotowari.formats.parquet import write_parquet
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["write_networks"]

_MOST_ROWS = 50_000_000


def write_networks(stack: NetworkStack, folder: Path) -> None:
    """Write networks into a folder, which is made.

    ``stack`` holds all that :class:`NetworkStack` loads; ``edges.parquet`` every edge of every sample as a table, up to
    50 million rows; ``all.graphml`` the edges that any sample has, with mean and share.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stack.save(folder / "stack")
    if stack.n_entries <= _MOST_ROWS:
        write_parquet(folder / "edges.parquet", stack.to_frame(), index=False)
    stack.to_graphml(folder / "all.graphml")
