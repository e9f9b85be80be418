"""Signatures come back with their directions, and a malformed file is refused by line."""

import pytest

from kotowari.core.errors import InputError
from kotowari.formats.signature import GeneSignature, read_signature

HEAD = "gene,direction,reference\n"


def written(tmp_path, text, name="s.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_genes_come_back_in_order_with_their_references(tmp_path):
    text = HEAD + 'VIM , up,"Mendez 2010, FASEB J"\nCDH1,down,\n\nFN1,up,Miettinen 1994\n'
    found = read_signature(written(tmp_path, text))
    references = {"VIM": "Mendez 2010, FASEB J", "FN1": "Miettinen 1994"}
    assert found == GeneSignature(("VIM", "FN1"), ("CDH1",), references)
    assert found.genes == ("VIM", "FN1", "CDH1")


def test_other_columns_are_passed_over_and_tabs_are_read(tmp_path):
    found = read_signature(written(tmp_path, "set\tdirection\tgene\nA\tup\tVIM\n", "s.tsv"))
    assert (found.up, found.down, dict(found.references)) == (("VIM",), (), {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gene,way\nVIM,up\n", "has no column direction. A signature needs .* there are: gene, way"),
        ("name,way\nVIM,up\n", "has no column gene and no column direction"),
        (HEAD + "VIM,up,\n ,up,\n", "line 3 names no gene"),
        (HEAD + "VIM,mesenchymal,\n", "line 2 gives VIM the direction 'mesenchymal', which is neither up nor down"),
        (HEAD + "VIM,,\n", "line 2 gives VIM the direction '', which"),
        (HEAD + "VIM,up,\nCDH1,down,\nVIM,down,\n", "VIM stands on line 2 and on line 4"),
        (HEAD + "CDH1,down,\n", "no gene goes up"),
        (HEAD + "VIM,up\n", r"\(line 2\) has 2 cells where the header has 3"),
        (HEAD, "has a header but no rows"),
        ("", "is empty"),
    ],
)
def test_a_malformed_signature_is_refused_by_line(text, words, tmp_path):
    with pytest.raises(InputError, match=words) as caught:
        read_signature(written(tmp_path, text))
    assert "s.csv" in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv"):
        read_signature(tmp_path / "none.csv")
