"""A directed or undirected graph with typed columns: what the graph formats read and write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_unique
from kotowari.core.errors import InputError, ShapeError

__all__ = ["Column", "Graph", "Kind", "kind_of"]

Column = Sequence[Any] | npt.NDArray[Any]
Kind = Literal["boolean", "long", "double", "string"]

_KINDS: dict[str, Kind] = {"b": "boolean", "i": "long", "u": "long", "f": "double"}


@dataclass(frozen=True)
class Graph:
    """Nodes, edges and what is known of them, one column a property.

    Parameters
    ----------
    nodes
        Node names, not empty, each once.
    source, target
        Shape ``(edge,)``: positions in ``nodes``. Parallel edges are allowed.
    node_columns, edge_columns
        Name of a property to its values, one a node or an edge: booleans, integers, floats (NaN where a value is
        missing) or text.
    attributes
        What is known of the graph as a whole: name to a boolean, number or text.
    directed
        Whether edges lead from source to target.

    Raises
    ------
    InputError
        When a node name is empty or stands twice, an edge leads out of the graph, or a value has no such type.
    ShapeError
        When a column is not as long as its nodes or edges.

    Examples
    --------
    >>> graph = Graph(("ZEB1", "CDH1"), [0], [1], edge_columns={"coefficient": [-0.5]})
    >>> len(graph.nodes), len(graph.source)
    (2, 1)
    """

    nodes: Sequence[str]
    source: Column
    target: Column
    node_columns: Mapping[str, Column] = field(default_factory=dict)
    edge_columns: Mapping[str, Column] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    directed: bool = True

    def __post_init__(self) -> None:
        if not all(self.nodes) or kind_of("nodes", self.nodes) != "string":
            raise InputError("A graph: every node needs a name of one character or more, as text.")
        require_unique(self.nodes, what="node names", where="A graph")
        for side, ends in (("source", self.source), ("target", self.target)):
            _require_positions(side, ends, len(self.nodes))
        n_edges = len(self.source)
        if len(self.target) != n_edges:
            raise ShapeError.mismatch("A graph", "target", (n_edges,), (len(self.target),))
        for columns, n, what in ((self.node_columns, len(self.nodes), "node"), (self.edge_columns, n_edges, "edge")):
            for name, values in columns.items():
                if len(values) != n:
                    raise ShapeError.mismatch("A graph", f"the {what} column {name!r}", (n,), (len(values),))
                kind_of(name, values)
        for name, value in self.attributes.items():
            kind_of(name, [value])


def kind_of(name: str, values: Column) -> Kind:
    """Name the type of a column in the words of GraphML; an empty column counts as text.

    Raises
    ------
    InputError
        When the values are of mixed or other types, or a number is infinite.
    """
    array = np.asarray(values)
    if array.ndim == 1 and (not array.size or all(isinstance(value, str) for value in values)):
        return "string"
    kind = _KINDS.get(array.dtype.kind)
    mixed = isinstance(values, list | tuple) and len({isinstance(value, bool | np.bool_) for value in values}) > 1
    if array.ndim != 1 or kind is None or mixed:
        raise InputError(f"A graph: the column {name!r} must hold booleans, integers, floats or text, and one of them.")
    if kind == "double" and np.isinf(array).any():
        raise InputError(f"A graph: the column {name!r} holds an infinite number, which graph programs do not read.")
    return kind


def _require_positions(side: str, ends: Column, n_nodes: int) -> None:
    array = np.asarray(ends)
    if array.ndim != 1:
        raise ShapeError.mismatch("A graph", side, ("edge",), array.shape)
    if array.size and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= n_nodes):
        raise InputError(f"A graph: {side} must hold positions of nodes, 0 to {n_nodes - 1}.")
