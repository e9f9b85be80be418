"""Gene sets come back in order, and a malformed file is refused by line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.errors import InputError
from kotowari.formats import GeneSets, read_gmt, write_gmt

GOOD = "REPAIR\tby hand\tMLH1\tMSH2\nEMT\tsource\tVIM\n"

names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='"'), min_size=1)
sets = st.dictionaries(names, st.lists(names, min_size=1, unique=True).map(tuple), min_size=1)


def written(tmp_path, content, name="sets.gmt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_sets_are_read_in_order_with_their_descriptions(tmp_path):
    found = read_gmt(written(tmp_path, GOOD))
    assert list(found.items()) == [("REPAIR", ("MLH1", "MSH2")), ("EMT", ("VIM",))]
    assert found.sets == dict(found)
    assert found.descriptions == {"REPAIR": "by hand", "EMT": "source"}


@given(sets=sets, suffix=st.sampled_from(["gmt", "gmt.gz"]), description=names)
def test_any_sets_come_back(sets, suffix, description, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    first = next(iter(sets))
    write_gmt(path, GeneSets(sets, {first: description}))
    back = read_gmt(path)
    assert list(back.items()) == list(sets.items())
    assert back.descriptions[first] == description


def test_crlf_quotes_spaces_repeats_and_blank_lines_are_passed_over(tmp_path):
    text = b'\xef\xbb\xbf"REPAIR"\t by hand \t"MLH1" \t MSH2\tMLH1\t\t\r\n\r\n  EMT\t\tVIM\r\n'
    found = read_gmt(written(tmp_path, text))
    assert dict(found) == {"REPAIR": ("MLH1", "MSH2"), "EMT": ("VIM",)}
    assert found.descriptions == {"REPAIR": "by hand", "EMT": ""}


FAULTS = {
    "an empty file": ("", r"sets\.gmt: is empty"),
    "blank lines alone": ("\n \n\n", r"sets\.gmt: is empty"),
    "a line of two fields": (GOOD + "\nEMPTY\tsource\n", r"sets\.gmt: line 4 is no gene set"),
    "a line of empty genes": (GOOD + "EMPTY\tsource\t\t \n", r"line 3 is no gene set"),
    "a line without a name": (GOOD + "\tsource\tVIM\n", r"line 3 is no gene set"),
    "commas for tabs": (GOOD.replace("\t", ","), r"line 1 is no gene set"),
    "a set named twice": (GOOD + "EMT\tother\tCDH1\n", r"1 gene sets stand more than once \(EMT\)"),
    "another encoding": (GOOD.encode() + b"\xe9\ta\tb\n", r"is not UTF-8 text"),
}


@pytest.mark.parametrize(("content", "sentence"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named(content, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        read_gmt(written(tmp_path, content))


def test_a_file_that_is_not_there_or_not_gzip_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.gmt: cannot be read \(No such file"):
        read_gmt(tmp_path / "none.gmt")
    with pytest.raises(InputError, match=r"sets\.gmt\.gz: is not a whole gzip file"):
        read_gmt(written(tmp_path, GOOD, "sets.gmt.gz"))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"A": ()}, "gene set 'A' is empty"),
        ({"A": ("",)}, "'' in gene set 'A' cannot be written"),
        ({" A": ("B",)}, "' A' in gene set ' A' cannot be written"),
        ({"A": ('"B"',)}, "in gene set 'A' cannot be written"),
        ({"A": ("B\tC",)}, "gene set 'A' has a tab or a line end"),
        (GeneSets({"A": ("B",)}, {"A": "two\nlines"}), "gene set 'A' has a tab or a line end"),
    ],
)
def test_what_would_not_come_back_is_not_written(wrong, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        write_gmt(tmp_path / "sets.gmt", wrong)
    assert list(tmp_path.iterdir()) == []
