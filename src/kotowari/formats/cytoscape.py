"""Cytoscape JSON (.cyjs): graphs with attributes as Cytoscape and Cytoscape.js open them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kotowari.core.errors import InputError
from kotowari.core.files import write_bytes
from kotowari.formats.graph import Graph, kind_of
from kotowari.formats.rows import require_file

__all__ = ["decode_cytoscape", "encode_cytoscape", "read_cytoscape", "write_cytoscape"]

# what Cytoscape itself keeps under these names would be overwritten
_TAKEN_NODE = frozenset({"id", "name", "shared_name", "SUID", "selected"})
_TAKEN_EDGE = frozenset({*_TAKEN_NODE, "source", "target", "interaction", "shared_interaction"})
_TAKEN_GRAPH = frozenset({"SUID", "selected"})
_READERS = {"boolean": bool, "long": int, "double": float, "string": str}


def encode_cytoscape(graph: Graph, *, name: str = "network") -> bytes:
    """Return a graph as Cytoscape JSON (UTF-8); the same graph gives the same bytes.

    Edges are called ``source (interaction) target`` in the manner of Cytoscape, with the interaction ``regulates``
    where edges have a direction and ``with`` where they have none. Missing numbers (NaN) are left out.

    Parameters
    ----------
    graph
        Its columns may not have the names that Cytoscape keeps for itself (``id``, ``name``, ``source``, ...).
    name
        Name of the network in the list of Cytoscape.

    Raises
    ------
    InputError
        When a column or an attribute has such a name.

    Source: the format "Cytoscape.js JSON" of Cytoscape 3 (user manual, section "Supported network file formats").
    """
    for what, columns, taken in (
        ("node column", graph.node_columns, _TAKEN_NODE),
        ("edge column", graph.edge_columns, _TAKEN_EDGE),
        ("attribute", graph.attributes, _TAKEN_GRAPH),
    ):
        if clash := sorted(taken & set(columns)):
            raise InputError(f"Cytoscape JSON: the {what} {clash[0]!r} is kept by Cytoscape for itself. Rename it.")
    word = "regulates" if graph.directed else "with"
    nodes = _rows(graph.node_columns, len(graph.nodes))
    for k, row in enumerate(nodes):
        row |= {"id": f"n{k}", "name": graph.nodes[k], "shared_name": graph.nodes[k]}
    edges = _rows(graph.edge_columns, len(graph.source))
    for k, (row, start, end) in enumerate(zip(edges, graph.source, graph.target, strict=True)):
        label = f"{graph.nodes[start]} ({word}) {graph.nodes[end]}"
        row |= {"id": f"e{k}", "source": f"n{start}", "target": f"n{end}", "interaction": word}
        row |= {"name": label, "shared_name": label, "shared_interaction": word}
    whole = _rows({key: [value] for key, value in graph.attributes.items()}, 1)[0]
    document = {
        "format_version": "1.0",
        "generated_by": "kotowari",
        "target_cytoscapejs_version": "~2.1",
        "directed": graph.directed,
        "data": {"name": name, "shared_name": name} | whole,
        "elements": {"nodes": [{"data": row} for row in nodes], "edges": [{"data": row} for row in edges]},
    }
    return (json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def decode_cytoscape(content: bytes) -> Graph:
    """Return the graph of a Cytoscape JSON document.

    Nodes are called by ``name`` where all have one and no two agree, else by ``id``. A missing number becomes NaN, a
    missing text an empty one; lists, and what Cytoscape keeps for itself, are passed over.

    Raises
    ------
    InputError
        When the document is no such JSON, an edge leads to no node, or a property is of mixed types.
    """
    try:
        document = json.loads(content)
        nodes = [element["data"] for element in document["elements"]["nodes"]]
        edges = [element["data"] for element in document["elements"]["edges"]]
        place = {str(node["id"]): k for k, node in enumerate(nodes)}
        ends = [(str(edge["source"]), str(edge["target"])) for edge in edges]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"Cytoscape JSON: cannot be read ({type(error).__name__}: {error}).") from error
    if lost := next((pair for pair in ends if not set(pair) <= place.keys()), None):
        raise InputError(f"Cytoscape JSON: an edge leads from {lost[0]} to {lost[1]}: no such node.")
    names = [str(node.get("name", "")) for node in nodes]
    whole = {name: values[0] for name, values in _columns([document.get("data", {})], _TAKEN_NODE).items()}
    return Graph(
        names if all(names) and len(set(names)) == len(names) else [str(node["id"]) for node in nodes],
        np.array([place[start] for start, _ in ends], dtype=np.intp),
        np.array([place[end] for _, end in ends], dtype=np.intp),
        _columns(nodes, _TAKEN_NODE),
        _columns(edges, _TAKEN_EDGE),
        whole,
        bool(document.get("directed", True)),
    )


def write_cytoscape(path: Path, graph: Graph, *, name: str = "network") -> None:
    """Replace the file at ``path`` by a graph in one step; see :func:`encode_cytoscape`."""
    write_bytes(Path(path), encode_cytoscape(graph, name=name))


def read_cytoscape(path: Path) -> Graph:
    """Return the graph of a Cytoscape JSON file; see :func:`decode_cytoscape`.

    Raises
    ------
    InputError
        Names the file.
    """
    require_file(Path(path))
    try:
        return decode_cytoscape(Path(path).read_bytes())
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _rows(columns: Any, n: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in range(n)]
    for name, values in columns.items():
        kind = kind_of(name, values)
        for row, value in zip(rows, values, strict=True):
            if kind != "double" or not np.isnan(value):
                row[name] = _READERS[kind](str(value) if isinstance(value, np.float32) else value)
    return rows


def _columns(rows: Sequence[dict[str, Any]], taken: frozenset[str]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for name in dict.fromkeys(key for row in rows for key in row if key not in taken):
        known = [value for row in rows if (value := row.get(name)) is not None]
        if any(isinstance(value, list | dict) for value in known):
            continue
        missing = "" if all(isinstance(value, str) for value in known) else float("nan")
        columns[name] = [missing if row.get(name) is None else row[name] for row in rows]
    return columns
