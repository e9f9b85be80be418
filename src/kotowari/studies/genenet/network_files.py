"""Networks as files that other programs open."""

from pathlib import Path

import numpy as np
import pandas as pd

from kotowari.formats.graph import Graph
from kotowari.formats.graphml import write_graphml
from kotowari.formats.parquet import write_parquet
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["write_edge_graph", "write_networks"]

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


def write_edge_graph(table: pd.DataFrame, path: Path) -> None:
    """Write a table of edges as GraphML, its columns on the edges.

    Parameters
    ----------
    table
        Columns ``regulator``, ``target``, ``change`` and numbers. An edge's ``weight``, which programs for graphs look
        for, is its change.
    path
        The file.
    """
    genes = list(dict.fromkeys([*table["regulator"], *table["target"]]))
    place = {gene: number for number, gene in enumerate(genes)}
    source, target = (
        np.array([place[gene] for gene in table[side]], dtype=np.intp) for side in ("regulator", "target")
    )
    columns = {str(name): values.to_numpy() for name, values in table.drop(columns=["regulator", "target"]).items()}
    write_graphml(path, Graph(genes, source, target, edge_columns=columns | {"weight": table["change"].to_numpy()}))
