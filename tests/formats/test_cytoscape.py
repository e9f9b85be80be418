"""Cytoscape JSON keeps names, types and values, and has the parts that Cytoscape.js asks for."""

import json

import numpy as np
import pytest

from kotowari.core.errors import InputError
from kotowari.formats.cytoscape import decode_cytoscape, encode_cytoscape, read_cytoscape, write_cytoscape
from kotowari.formats.graph import Graph

NASTY = ["<TP53>", 'A"B', "back\\slash", "two\nlines", "理", "bell\x07", "n0"]


@pytest.fixture
def graph(rng):
    n = len(NASTY)
    return Graph(
        NASTY,
        np.arange(n),
        rng.permutation(n),
        {"is_regulator": [k % 2 == 0 for k in range(n)], "degree": np.arange(n)},
        {"coefficient": rng.normal(size=n).astype(np.float32), "mean": [np.nan, *rng.normal(size=n - 1)]},
        {"sample": "S1", "modulator": 0.1},
    )


def test_names_values_and_types_come_back(graph, tmp_path):
    write_cytoscape(tmp_path / "a.cyjs", graph, name="one")
    back = read_cytoscape(tmp_path / "a.cyjs")
    assert list(back.nodes) == NASTY
    assert np.array_equal(back.target, graph.target)
    assert back.attributes == graph.attributes
    assert back.node_columns == {
        "is_regulator": graph.node_columns["is_regulator"],
        "degree": list(range(len(NASTY))),
    }
    kept = np.asarray(back.edge_columns["coefficient"], dtype=np.float32)
    np.testing.assert_array_equal(kept, graph.edge_columns["coefficient"])
    np.testing.assert_array_equal(back.edge_columns["mean"], graph.edge_columns["mean"])


def test_the_document_has_the_parts_that_cytoscape_reads(graph):
    content = encode_cytoscape(graph, name="one")
    assert content == encode_cytoscape(graph, name="one")
    document = json.loads(content)
    assert document["data"]["name"] == "one"
    nodes, edges = ([part["data"] for part in document["elements"][kind]] for kind in ("nodes", "edges"))
    ids = [part["id"] for part in nodes + edges]
    assert all(isinstance(name, str) for name in ids)
    assert len(set(ids)) == len(ids)
    assert {edge[side] for edge in edges for side in ("source", "target")} <= {node["id"] for node in nodes}
    assert edges[0]["shared_name"] == f"{NASTY[0]} (regulates) {NASTY[graph.target[0]]}"
    assert "mean" not in edges[0]


def test_an_export_of_cytoscape_itself_is_read():
    document = {
        "format_version": "1.0",
        "data": {"shared_name": "x", "SUID": 52, "__Annotations": [], "sample": "S1"},
        "elements": {
            "nodes": [
                {"data": {"id": "61", "name": "ZEB1", "SUID": 61, "selected": False, "rank": 1}, "position": {"x": 0}},
                {"data": {"id": "62", "name": "CDH1", "SUID": 62, "selected": False, "tags": ["a"]}},
            ],
            "edges": [{"data": {"id": "63", "source": "61", "target": "62", "interaction": "pp", "note": "seen"}}],
        },
    }
    back = decode_cytoscape(json.dumps(document).encode())
    assert back.nodes == ["ZEB1", "CDH1"]
    assert back.attributes == {"sample": "S1"}
    assert list(back.node_columns) == ["rank"]
    np.testing.assert_array_equal(back.node_columns["rank"], [1, np.nan])
    assert back.edge_columns == {"note": ["seen"]}


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"node_columns": {"id": ["a"]}}, "node column 'id'"),
        ({"edge_columns": {"interaction": []}}, "edge column 'interaction'"),
        ({"attributes": {"SUID": 1}}, "attribute 'SUID'"),
    ],
)
def test_names_that_cytoscape_keeps_are_refused(columns, told):
    with pytest.raises(InputError, match=f"the {told} is kept by Cytoscape"):
        encode_cytoscape(Graph(["a"], [], [], **columns))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "cannot be read"),
        (b'{"elements": {"nodes": [{}], "edges": []}}', "KeyError: 'data'"),
        (
            b'{"elements": {"nodes": [{"data": {"id": "1"}}], "edges": [{"data": {"source": "1", "target": "2"}}]}}',
            "an edge leads from 1 to 2: no such node",
        ),
    ],
)
def test_what_cannot_be_read_is_told(content, told, tmp_path):
    (tmp_path / "a.cyjs").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.cyjs: Cytoscape JSON: .*{told}"):
        read_cytoscape(tmp_path / "a.cyjs")
