"""GraphML: graphs with typed attributes as XML, read by networkx, igraph, Gephi, yEd and Cytoscape."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kotowari.core.errors import InputError
from kotowari.core.files import write_bytes
from kotowari.formats.graph import Column, Graph, Kind, kind_of
from kotowari.formats.rows import require_file

__all__ = ["decode_graphml", "encode_graphml", "read_graphml", "write_graphml"]

_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
_LOCATION = f"{_NAMESPACE} {_NAMESPACE}/1.0/graphml.xsd"
_NAME = "name"

# characters that XML 1.0 cannot hold (section 2.2), and the carriage return, which a parser turns into a line feed
_UNWRITABLE = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# the ASCII part of an NMTOKEN (XML 1.0, section 2.3), which is what the schema asks of an id
_ID = re.compile(r"[A-Za-z0-9._:\-]+")
_WORDS = {"true": True, "1": True, "false": False, "0": False}
_READ_AS: dict[str, Kind] = {
    "boolean": "boolean",
    "int": "long",
    "long": "long",
    "float": "double",
    "double": "double",
    "string": "string",
}


def encode_graphml(graph: Graph) -> bytes:
    """Return a graph as GraphML (UTF-8); the same graph gives the same bytes.

    Every node carries its name as attribute ``name``. The id of a node is its name too where all names may be ids
    (letters, digits, ``._:-``), else ``n0``, ``n1``, ... Missing numbers (NaN) are left out.

    Raises
    ------
    InputError
        When a text holds a character that XML cannot keep, or a node column is called ``name``.

    Source: Brandes et al., GraphML 1.0, http://graphml.graphdrawing.org/specification.html.
    """
    if _NAME in graph.node_columns:
        raise InputError("GraphML: the node column 'name' is taken by the names of the nodes. Call it otherwise.")
    root = ET.Element("graphml", {"xmlns": _NAMESPACE, "xmlns:xsi": _SCHEMA, "xsi:schemaLocation": _LOCATION})
    node_columns = {_NAME: graph.nodes, **graph.node_columns}
    whole = {name: [value] for name, value in graph.attributes.items()}
    keys = {
        domain: _declared(root, domain, columns)
        for domain, columns in (("graph", whole), ("node", node_columns), ("edge", graph.edge_columns))
    }
    body = ET.SubElement(root, "graph", {"id": "G", "edgedefault": "directed" if graph.directed else "undirected"})
    for key, texts in keys["graph"]:
        _add_data(body, key, texts[0])
    plain = all(_ID.fullmatch(name) for name in graph.nodes)
    ids = list(graph.nodes) if plain else [f"n{k}" for k in range(len(graph.nodes))]
    for k, name in enumerate(ids):
        _filled(ET.SubElement(body, "node", {"id": name}), keys["node"], k)
    for k, (start, end) in enumerate(zip(graph.source, graph.target, strict=True)):
        element = ET.SubElement(body, "edge", {"id": f"e{k}", "source": ids[start], "target": ids[end]})
        _filled(element, keys["edge"], k)
    ET.indent(root, " ")
    document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document + b"\n"


def decode_graphml(content: bytes) -> Graph:
    """Return the graph of a GraphML document with one graph.

    Nodes are called by their attribute ``name`` where all have one and no two agree, else by their ids. A missing value
    becomes the default of its key; without one it becomes NaN in a column of floats and an empty text in one of text.

    Raises
    ------
    InputError
        When the document is no GraphML, holds none or several graphs, hyperedges, nested graphs, edges of mixed
        direction, entities of its own, or an attribute that cannot be read as its type.
    """
    if b"<!ENTITY" in content:
        raise InputError("GraphML: declares entities of its own, which are not read. Write it anew without them.")
    try:
        root = ET.fromstring(content)  # noqa: S314  (expat loads nothing from outside; own entities were refused)
    except ET.ParseError as error:
        raise InputError(f"GraphML: is not well-formed XML ({error}).") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    graphs = root.findall("graph")
    if root.tag != "graphml" or len(graphs) != 1:
        raise InputError(f"GraphML: needs the root graphml and one graph in it, got {root.tag} and {len(graphs)}.")
    return _graph(root, graphs[0])


def write_graphml(path: Path, graph: Graph) -> None:
    """Replace the file at ``path`` by a graph in one step; see :func:`encode_graphml`."""
    write_bytes(Path(path), encode_graphml(graph))


def read_graphml(path: Path) -> Graph:
    """Return the graph of a GraphML file; see :func:`decode_graphml`.

    Raises
    ------
    InputError
        Names the file.
    """
    require_file(Path(path))
    try:
        return decode_graphml(Path(path).read_bytes())
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _declared(root: ET.Element, domain: str, columns: Mapping[str, Column]) -> list[tuple[str, list[str | None]]]:
    """Declare a key for every column; return the keys with the values as text."""
    keys = []
    for number, (name, values) in enumerate(columns.items()):
        kind, key = kind_of(name, values), f"{domain[0]}{number}"
        ET.SubElement(root, "key", {"id": key, "for": domain, "attr.name": _writable(name), "attr.type": kind})
        keys.append((key, [_text(value, kind) for value in values]))
    return keys


def _filled(element: ET.Element, keys: Iterable[tuple[str, list[str | None]]], position: int) -> None:
    for key, texts in keys:
        _add_data(element, key, texts[position])


def _add_data(element: ET.Element, key: str, text: str | None) -> None:
    if text is not None:
        ET.SubElement(element, "data", {"key": key}).text = text


def _text(value: Any, kind: Kind) -> str | None:
    match kind:
        case "boolean":
            return "true" if value else "false"
        case "long":
            return str(int(value))
        case "double":
            # a float32 keeps its own short name: as float64 it would show digits that nobody measured
            return None if np.isnan(value) else str(value if isinstance(value, np.float32) else float(value))
        case _:
            return _writable(str(value))


def _writable(text: str) -> str:
    if fault := _UNWRITABLE.search(text):
        raise InputError(f"GraphML: {text!r} holds the character {fault[0]!r}, which XML cannot keep. Take it out.")
    return text


def _graph(root: ET.Element, body: ET.Element) -> Graph:
    strange = [child.tag for child in body.iter() if child.tag in ("hyperedge", "port")]
    if strange or body.find(".//graph") is not None:
        raise InputError(f"GraphML: holds {strange[0] if strange else 'a nested graph'}, which is not read.")
    directed = body.get("edgedefault") == "directed"
    nodes, edges = body.findall("node"), body.findall("edge")
    own = {edge.get("directed", str(directed)).lower() for edge in edges}
    if len(own) > 1:
        raise InputError("GraphML: holds directed and undirected edges. Part them into two graphs.")
    place = {node.get("id"): k for k, node in enumerate(nodes)}
    lost = next((edge for edge in edges if edge.get("source") not in place or edge.get("target") not in place), None)
    if lost is not None:
        raise InputError(f"GraphML: an edge leads from {lost.get('source')} to {lost.get('target')}: no such node.")
    columns = {domain: _columns(root, domain, parts) for domain, parts in (("node", nodes), ("edge", edges))}
    names = columns["node"].pop(_NAME, [])
    ids = [node.get("id", "") for node in nodes]
    called = bool(names) and all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names)
    return Graph(
        names if called else ids,
        np.array([place[edge.get("source")] for edge in edges], dtype=np.intp),
        np.array([place[edge.get("target")] for edge in edges], dtype=np.intp),
        columns["node"],
        columns["edge"],
        {name: values[0] for name, values in _columns(root, "graph", [body]).items()},
        directed if not own else own == {"true"},
    )


def _columns(root: ET.Element, domain: str, elements: list[ET.Element]) -> dict[str, list[Any]]:
    data = [{part.get("key"): part.text or "" for part in element.findall("data")} for element in elements]
    columns: dict[str, list[Any]] = {}
    for key in root.findall("key"):
        meant = key.get("for", "all")
        # a key for all elements is a column only where it is used, since it need not mean nodes and edges alike
        if meant != domain and not (meant == "all" and any(key.get("id") in row for row in data)):
            continue
        name, kind = key.get("attr.name", key.get("id", "")), _READ_AS.get(key.get("attr.type", "string"))
        if kind is None:
            raise InputError(f"GraphML: the attribute {name!r} has the type {key.get('attr.type')!r}, unknown here.")
        default = key.findtext("default")
        columns[name] = [_value(row.get(key.get("id"), default), kind, name) for row in data]
    return columns


def _value(text: str | None, kind: Kind, name: str) -> Any:
    if text is None and kind in ("double", "string"):
        return float("nan") if kind == "double" else ""
    try:
        if text is None:
            raise ValueError("missing, and without a default")
        match kind:
            case "boolean":
                return _WORDS[text.strip().lower()]
            case "long":
                return int(text)
            case "double":
                return float(text)
            case _:
                return text
    except (KeyError, ValueError) as error:
        raise InputError(f"GraphML: {text!r} of the attribute {name!r} cannot be read as {kind} ({error}).") from error
