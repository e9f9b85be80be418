"""A table and its labels come in aligned by name, or not at all."""

import numpy as np
import pandas as pd
import pytest
from small_omics import make_labels, make_table

from kotowari.core.errors import DesignError, InputError
from kotowari.formats.h5ad import write_h5ad
from kotowari.studies.omics.config import Data
from kotowari.studies.omics.data import (
    read_gene_sets,
    read_inputs,
    read_samples,
    read_table_alone,
    require_gene_sets,
)


@pytest.fixture
def written(tmp_path):
    """Write a table and labels as csv; returns the options that name them."""

    def write(table=None, labels=None, **options):
        whole, codes = make_table(12, 24)
        (whole if table is None else table).to_csv(tmp_path / "t.csv")
        (make_labels(whole, codes) if labels is None else labels).to_csv(tmp_path / "l.csv")
        given = {"target": "status", "gene_sets": None} | options
        return Data(table=tmp_path / "t.csv", labels=tmp_path / "l.csv", **given)

    return write


def sound():
    table, codes = make_table(12, 24)
    return table, make_labels(table, codes)


def test_a_table_comes_in_with_its_classes_and_owners(written):
    samples = read_samples(written())
    table, labels = sound()
    np.testing.assert_allclose(samples.X, table, rtol=1e-6)
    assert set(samples.X.dtypes) == {np.dtype(np.float32)}
    assert (samples.task, samples.target, samples.source, samples.notes) == ("classification", "status", "t.csv", ())
    assert samples.classes == ("case", "control")
    assert [samples.classes[code] for code in samples.codes] == list(labels["status"])
    assert list(samples.groups) == list(labels["patient"])
    assert samples.genes == list(table.columns)


def test_labels_are_found_by_name_whatever_their_order(written):
    _, labels = sound()
    stranger = pd.concat([labels[::-1], labels[:1].set_axis(["stranger"])])
    np.testing.assert_array_equal(read_samples(written(labels=stranger)).y, labels["status"])


def test_labels_by_position_would_be_caught(written):
    _, labels = sound()
    shifted = labels.set_axis(np.roll(labels.index, 1))
    assert (read_samples(written(labels=shifted)).y != labels["status"]).all()


def test_a_table_of_genes_in_rows_is_turned(written):
    table, _ = sound()
    samples = read_samples(written(table=table.T, orientation="genes"))
    np.testing.assert_allclose(samples.X, table, rtol=1e-6)


def test_an_h5ad_holds_its_own_labels(tmp_path):
    table, labels = sound()
    write_h5ad(tmp_path / "t.h5ad", table.astype(np.float32), labels)
    samples = read_samples(Data(table=tmp_path / "t.h5ad", target="status", gene_sets=None))
    np.testing.assert_array_equal(samples.y, labels["status"])
    labels.assign(status=["x", "y"] * 6).to_csv(tmp_path / "l.csv")
    beside = Data(table=tmp_path / "t.h5ad", labels=tmp_path / "l.csv", target="status", gene_sets=None)
    np.testing.assert_array_equal(read_samples(beside).y, ["x", "y"] * 6)
    pd.testing.assert_frame_equal(read_table_alone(tmp_path / "t.h5ad", beside), samples.X)


def test_samples_without_a_label_are_left_out_and_counted(written):
    _, labels = sound()
    labels.loc[["sample3", "sample4"], "status"] = np.nan
    samples = read_samples(written(labels=labels))
    assert len(samples.X) == len(samples.y) == len(samples.groups) == 10
    assert "sample3" not in samples.X.index
    assert samples.notes == ("2 of 12 samples have no status and were left out.",)


def test_without_owners_every_sample_is_its_own(written):
    samples = read_samples(written(group=None))
    assert list(samples.groups) == list(samples.X.index)


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["a", "b"] * 6, "classification", ("a", "b")),
        ([0, 1] * 6, "classification", ("0", "1")),
        ([0, 1] * 5 + [0, np.nan], "classification", ("0", "1")),
        ([0.5, 1.5] * 6, "regression", ()),
        (list(range(12)), "classification", tuple(sorted(str(k) for k in range(12)))),
        (["1.5", "x"] * 6, "classification", ("1.5", "x")),
    ],
)
def test_the_task_follows_from_the_target(values, task, classes, written):
    _, labels = sound()
    samples = read_samples(written(labels=labels.assign(status=values)))
    assert (samples.task, samples.classes) == (task, classes)


def test_whole_numbers_are_values_where_the_user_says_so(written):
    _, labels = sound()
    samples = read_samples(written(labels=labels.assign(status=range(12)), task="regression"))
    assert samples.y.dtype == np.float64
    assert samples.classes == ()
    assert not samples.codes.any()


def test_missing_values_are_refused_or_noted(written):
    table, _ = sound()
    table.iloc[2, 3] = np.nan
    with pytest.raises(InputError, match="row 'sample2', column 'PLANT3'"):
        read_samples(written(table=table))
    samples = read_samples(written(table=table, missing="zero"))
    assert samples.notes == ("1 missing values were taken as the lowest value of their gene.",)


def test_a_sample_that_stands_twice_is_refused_unless_one_owner_has_both(written):
    table, labels = sound()
    table.loc["sample5"] = table.loc["sample4"]
    with pytest.raises(DesignError, match="sample4 = sample5"):
        read_samples(written(table=table))
    labels.loc["sample5", "patient"] = labels.loc["sample4", "patient"]
    assert len(read_samples(written(table=table, labels=labels)).X) == 12


def test_inputs_are_known_by_name_sum_and_size(written, tmp_path):
    entries = read_inputs(written())
    assert [entry["name"] for entry in entries] == ["t.csv", "l.csv"]
    assert [entry["bytes"] for entry in entries] == [(tmp_path / name).stat().st_size for name in ("t.csv", "l.csv")]
    assert len({entry["sha256"] for entry in entries}) == 2


def test_the_packaged_table_and_sets_are_inputs_too():
    assert len(read_inputs(Data())) == 2
    samples = read_samples(Data())
    assert samples.X.shape == (90, 3899)
    assert len(samples.classes) == 2
    require_gene_sets(read_gene_sets(Data()), samples.genes)


def test_gene_sets_of_a_file_are_read_and_none_are_none(written, tmp_path):
    (tmp_path / "s.gmt").write_text("A\td\tG1\tG2\n")
    assert dict(read_gene_sets(written(gene_sets=tmp_path / "s.gmt"))) == {"A": ("G1", "G2")}
    assert read_gene_sets(written()) is None
    require_gene_sets(None, ["G1"])
    with pytest.raises(InputError, match=r"data\.gene_sets: No gene of the sets was measured"):
        require_gene_sets({"A": ("G1", "G2")}, ["X1", "X2"])
