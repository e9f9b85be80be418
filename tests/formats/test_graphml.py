"""GraphML keeps names, types and values, is valid by its schema, and opens elsewhere."""

import re
from xml.etree.ElementTree import fromstring

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.errors import InputError, ShapeError
from kotowari.formats.graph import Graph
from kotowari.formats.graphml import decode_graphml, encode_graphml, read_graphml, write_graphml

SPACE = "{http://graphml.graphdrawing.org/xmlns}"
NASTY = ["<TP53>", 'A"B', "R&D", "HLA-A*02:01", "  padded ", "two\nlines\t", "理", "😀", "]]>", "'", "&lt;", "n0"]
WRITABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="￾￿"), min_size=1, max_size=8)


@pytest.fixture
def graph(rng):
    n = len(NASTY)
    return Graph(
        NASTY,
        np.arange(n),
        rng.permutation(n),
        {"is_regulator": [k % 2 == 0 for k in range(n)], "note": [name[::-1] for name in NASTY], "degree": range(n)},
        {"coefficient": rng.normal(size=n).astype(np.float32), "mean": [np.nan, *rng.normal(size=n - 1)]},
        {"sample": "<S&1>", "modulator": 0.1, "n": 3, "checked": True},
    )


def require_valid(content):
    """Hold a document against what graphml.xsd and graphml-attributes.xsd ask for, read apart from our reader."""
    root = fromstring(content)  # noqa: S314  (our own document)
    assert root.tag == f"{SPACE}graphml"
    order = [child.tag.removeprefix(SPACE) for child in root]
    assert order == ["key"] * (len(order) - 1) + ["graph"]
    keys = {key.get("id"): key for key in root.findall(f"{SPACE}key")}
    assert len(keys) == len(order) - 1
    assert {key.get("attr.type") for key in keys.values()} <= {"boolean", "int", "long", "float", "double", "string"}
    body = root[-1]
    assert body.get("edgedefault") in ("directed", "undirected")
    ids = [node.get("id") for node in body.findall(f"{SPACE}node")]
    edges = body.findall(f"{SPACE}edge")
    for name in (body.get("id"), *keys, *ids, *(edge.get("id") for edge in edges)):
        assert re.fullmatch(r"[\w.:\-]+", name)
    assert len(set(ids)) == len(ids)
    assert {edge.get(side) for edge in edges for side in ("source", "target")} <= set(ids)
    for element in (body, *body):
        domain = element.tag.removeprefix(SPACE)
        held = [part.get("key") for part in element.findall(f"{SPACE}data")]
        assert len(set(held)) == len(held)
        assert all(keys[key].get("for") == domain for key in held)


def require_equal(back, graph):
    assert list(back.nodes) == list(graph.nodes)
    assert np.array_equal(back.source, graph.source)
    assert np.array_equal(back.target, graph.target)
    assert back.directed == graph.directed
    assert back.attributes == graph.attributes
    for columns, others in ((back.node_columns, graph.node_columns), (back.edge_columns, graph.edge_columns)):
        assert list(columns) == list(others)
        for name, values in columns.items():
            if isinstance(values[0], float):
                kept = np.asarray(values).astype(np.asarray(others[name]).dtype)
                np.testing.assert_array_equal(kept, others[name])
            else:
                assert values == list(others[name])
                assert type(values[0]) is type(next(iter(others[name])))


def test_nasty_names_values_and_types_come_back(graph):
    content = encode_graphml(graph)
    require_valid(content)
    require_equal(decode_graphml(content), graph)


def test_equal_graphs_give_equal_bytes(graph):
    assert encode_graphml(graph) == encode_graphml(graph)


def test_gene_symbols_are_the_ids_themselves():
    content = encode_graphml(Graph(["HLA-A", "TP53", "C1orf112"], [0], [1]))
    root = fromstring(content)  # noqa: S314  (our own document)
    assert [node.get("id") for node in root.iter(f"{SPACE}node")] == ["HLA-A", "TP53", "C1orf112"]


def test_networkx_opens_it_with_types(graph, tmp_path):
    write_graphml(tmp_path / "a.graphml", graph)
    other = networkx.read_graphml(tmp_path / "a.graphml")
    names = networkx.get_node_attributes(other, "name")
    assert list(names.values()) == NASTY
    assert other.is_directed()
    assert other.graph["modulator"] == 0.1
    for k, (start, end) in enumerate(zip(graph.source, graph.target, strict=True)):
        held = other.edges[f"n{start}", f"n{end}"]
        assert np.float32(held["coefficient"]) == graph.edge_columns["coefficient"][k]
        assert ("mean" in held) == (k > 0)
    assert [row["is_regulator"] for _, row in other.nodes(data=True)] == list(graph.node_columns["is_regulator"])


def test_a_graph_written_by_networkx_is_read(tmp_path):
    theirs = networkx.Graph()
    theirs.add_edge("ZEB1", "CDH1", weight=-0.5, known=True)
    theirs.add_node("GRHL2", rank=3)
    networkx.write_graphml(theirs, tmp_path / "a.graphml")
    with pytest.raises(InputError, match=r"a\.graphml: GraphML: None of the attribute 'rank' cannot be read as long"):
        read_graphml(tmp_path / "a.graphml")
    theirs.nodes["ZEB1"]["rank"] = theirs.nodes["CDH1"]["rank"] = 1
    networkx.write_graphml(theirs, tmp_path / "a.graphml")
    back = read_graphml(tmp_path / "a.graphml")
    assert list(back.nodes) == ["ZEB1", "CDH1", "GRHL2"]
    assert back.edge_columns == {"weight": [-0.5], "known": [True]}
    assert back.node_columns == {"rank": [1, 1, 3]}
    assert not back.directed


def test_a_document_that_is_not_valid_is_caught(graph):
    content = encode_graphml(graph).decode()
    for wrong in (
        content.replace('id="n1"', 'id="a b"'),
        content.replace('target="n1"', 'target="nowhere"'),
        content.replace('key="n1"', 'key="e1"'),
    ):
        assert wrong != content
        with pytest.raises(AssertionError):
            require_valid(wrong.encode())


@given(st.lists(WRITABLE, min_size=1, max_size=6, unique=True), st.floats(allow_infinity=False))
def test_any_writable_name_and_number_come_back(names, number):
    graph = Graph(names, [0], [len(names) - 1], edge_columns={"value": [number]}, directed=False)
    back = decode_graphml(encode_graphml(graph))
    assert list(back.nodes) == names
    np.testing.assert_array_equal(back.edge_columns["value"], [number])


@pytest.mark.parametrize("name", ["bell\x07", "return\r", "half\ud800", "none￾"], ids=ascii)
def test_characters_that_xml_cannot_keep_are_refused(name):
    with pytest.raises(InputError, match="which XML cannot keep"):
        encode_graphml(Graph([name], [], []))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<graphml", "is not well-formed XML"),
        (b"<svg/>", "needs the root graphml and one graph"),
        (b"<graphml><graph/><graph/></graphml>", "got graphml and 2"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><graphml><graph/></graphml>", "declares entities of its own"),
        (b"<graphml><graph><hyperedge/></graph></graphml>", "holds hyperedge"),
        (b"<graphml><graph><node id='a'><graph/></node></graph></graphml>", "holds a nested graph"),
        (b"<graphml><graph><node id='a'/><edge source='a' target='b'/></graph></graphml>", "from a to b: no such node"),
        (
            b"<graphml><graph><node id='a'/><edge source='a' target='a' directed='true'/>"
            b"<edge source='a' target='a' directed='false'/></graph></graphml>",
            "directed and undirected edges",
        ),
        (
            b"<graphml><key id='k' for='node' attr.name='x' attr.type='long'/>"
            b"<graph><node id='a'><data key='k'>1.5</data></node></graph></graphml>",
            "'1.5' of the attribute 'x' cannot be read as long",
        ),
        (
            b"<graphml><key id='k' for='node' attr.name='x' attr.type='colour'/>"
            b"<graph><node id='a'><data key='k'>1.5</data></node></graph></graphml>",
            "has the type 'colour'",
        ),
    ],
)
def test_what_cannot_be_read_is_told(content, told, tmp_path):
    (tmp_path / "a.graphml").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.graphml: GraphML: .*{re.escape(told)}"):
        read_graphml(tmp_path / "a.graphml")


def test_defaults_fill_what_is_missing():
    content = (
        b"<graphml><key id='k' for='edge' attr.name='x' attr.type='int'><default>7</default></key>"
        b"<key id='a' for='all' attr.name='label' attr.type='string'/>"
        b"<graph edgedefault='directed'><node id='a'><data key='a'>first</data></node><node id='b'/>"
        b"<edge source='a' target='b'/></graph></graphml>"
    )
    back = decode_graphml(content)
    assert back.edge_columns == {"x": [7]}
    assert back.node_columns == {"label": ["first", ""]}
    assert back.attributes == {}


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"nodes": ["a", "a"]}, "1 node names stand more than once"),
        ({"nodes": ["a", ""]}, "every node needs a name"),
        ({"source": [2]}, "source must hold positions of nodes, 0 to 1"),
        ({"target": [-1]}, "target must hold positions"),
        ({"edge_columns": {"x": [np.inf]}}, "'x' holds an infinite number"),
        ({"edge_columns": {"x": [None]}}, "'x' must hold booleans"),
        ({"node_columns": {"x": [True, 1]}}, "'x' must hold booleans"),
        ({"attributes": {"x": {}}}, "'x' must hold booleans"),
    ],
)
def test_a_graph_that_cannot_be_is_refused(parts, told):
    with pytest.raises(InputError, match=told):
        Graph(**({"nodes": ["a", "b"], "source": [0], "target": [1]} | parts))


def test_columns_of_another_length_are_refused():
    with pytest.raises(ShapeError, match=r"the edge column 'x' must have shape \(1\)"):
        Graph(["a", "b"], [0], [1], edge_columns={"x": [1.0, 2.0]})
    with pytest.raises(ShapeError, match="target must have shape"):
        Graph(["a", "b"], [0], [1, 0])


def test_the_names_of_nodes_cannot_be_overwritten():
    with pytest.raises(InputError, match="the node column 'name' is taken"):
        encode_graphml(Graph(["a"], [], [], {"name": ["b"]}))
