"""The words of a report come back as they went."""

import dataclasses

import pandas as pd
import pytest

from kotowari.core.errors import InputError
from kotowari.core.page import Figure, Page, Table, write_table

PAGE = Page(
    title="Genes that decide <MSI>",
    question="Which genes tell unstable tumours from stable ones?",
    answers=["RPL22L1 does.", "So do 40 more."],
    data=[("tumours", "90"), ("genes", "3,899")],
    limits=["One centre."],
    reading=["Red is failed."],
    figures=[Figure("layout.png", "The map", "Each point is a gene.", "result")],
    tables=[Table("genes.csv", "Genes", "Highest first.", "reason", rows=20)],
)


@pytest.mark.parametrize("page", [PAGE, dataclasses.replace(PAGE, figures=[], tables=[])], ids=["full", "bare"])
def test_a_page_comes_back_as_it_went(tmp_path, page):
    page.save(tmp_path)
    assert Page.load(tmp_path) == page


def test_a_page_with_a_lost_figure_is_caught(tmp_path):
    dataclasses.replace(PAGE, figures=[]).save(tmp_path)
    assert Page.load(tmp_path) != PAGE


def test_a_page_that_is_not_there_is_told_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"page\.json: cannot be read"):
        Page.load(tmp_path)


def test_a_table_comes_back_as_it_went(tmp_path):
    table = pd.DataFrame({"gene": ["A,1", 'B "b"', "理"], "score": [0.1, 1 / 3, -2e-300]})
    write_table(tmp_path / "tables" / "genes.csv", table)
    read = pd.read_csv(tmp_path / "tables" / "genes.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(read, table, check_exact=True)
