"""h5ad files give the named values and annotations, dense or sparse, or say what there is instead."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kotowari.core.errors import InputError
from kotowari.formats import TableBlocks, read_h5ad, write_h5ad

STORED = {"dense": np.asarray, "by rows": sparse.csr_matrix, "by columns": sparse.csc_matrix}
SAMPLES, GENES = ["S1", "S2", "S3", "S4"], ["TP53", "KRAS", "APC"]


@pytest.fixture
def values():
    return np.array([[0, 1, 0], [2, 0, 0], [0, 0, 3], [0.5, 0, 0]], dtype=np.float32)


@pytest.fixture
def obs():
    return pd.DataFrame({"label": ["x", "y", None, "x"], "patient": [1, 1, 2, 2]}, index=SAMPLES)


def saved(path, values, obs, **parts):
    table = anndata.AnnData(values, obs=obs, var=pd.DataFrame(index=GENES), **parts)
    table.write_h5ad(path)
    return path


def test_values_and_annotations_come_back(values, obs, tmp_path):
    frame = pd.DataFrame(values, index=SAMPLES, columns=GENES)
    write_h5ad(tmp_path / "a.h5ad", frame, obs)
    X, back = read_h5ad(tmp_path / "a.h5ad", label="label", groups="patient")
    pd.testing.assert_frame_equal(X, frame, check_exact=True)
    assert back["label"].astype(object).where(back["label"].notna(), None).tolist() == obs["label"].tolist()
    assert back["patient"].tolist() == obs["patient"].tolist()


def test_anndata_reads_what_was_written(values, obs, tmp_path):
    write_h5ad(tmp_path / "a.h5ad", pd.DataFrame(values, index=SAMPLES, columns=GENES), obs)
    table = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(table.X, values)
    assert list(table.var_names) == GENES


@pytest.mark.parametrize("stored", STORED.values(), ids=STORED)
def test_dense_and_sparse_give_the_same_values(stored, values, obs, tmp_path):
    path = saved(tmp_path / "a.h5ad", stored(values), obs, layers={"counts": stored(values * 2)})
    np.testing.assert_array_equal(read_h5ad(path)[0], values)
    np.testing.assert_array_equal(read_h5ad(path, layer="counts")[0], values * 2)
    blocks = TableBlocks(path, rows=3, layer="counts")
    assert [len(samples) for samples, _ in blocks] == [3, 1]
    np.testing.assert_array_equal(np.concatenate([part for _, part in blocks]), values * 2)


def test_a_column_or_layer_that_is_not_there_is_told_with_those_that_are(values, obs, tmp_path):
    path = saved(tmp_path / "a.h5ad", values, obs, layers={"counts": values})
    for wanted in ({"label": "class"}, {"groups": "class"}):
        with pytest.raises(InputError, match=r"a\.h5ad: obs has no column 'class'\. There are: label, patient\."):
            read_h5ad(path, **wanted)
    with pytest.raises(InputError, match=r"a\.h5ad: has no layer 'raw'\. There are: counts\."):
        read_h5ad(path, layer="raw")
    bare = saved(tmp_path / "b.h5ad", values, obs[[]])
    with pytest.raises(InputError, match=r"obs has no column 'class'\. There are: none\."):
        read_h5ad(bare, label="class")
    with pytest.raises(InputError, match=r"has no layer 'raw'\. There are: none\."):
        TableBlocks(bare, layer="raw")


def test_a_file_without_x_names_its_layers(values, obs, tmp_path):
    path = saved(tmp_path / "a.h5ad", None, obs, layers={"counts": values})
    with pytest.raises(InputError, match=r"has no X\. Name a layer; there are: counts\."):
        read_h5ad(path)
    np.testing.assert_array_equal(read_h5ad(path, layer="counts")[0], values)


def test_names_that_stand_twice_are_refused(values, obs, tmp_path):
    path = saved(tmp_path / "a.h5ad", values, obs)
    with h5py.File(path, "r+") as file:
        file["var/_index"][1] = "TP53"
    with pytest.raises(InputError, match=r"1 gene names stand more than once \(TP53\)"):
        read_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["var/_index"][1] = "KRAS"
        file["obs/_index"][3] = "S1"
    with pytest.raises(InputError, match=r"1 sample names stand more than once \(S1\)"):
        TableBlocks(path)


def test_values_that_do_not_fit_their_names_are_refused(values, obs, tmp_path):
    path = saved(tmp_path / "a.h5ad", values, obs)
    with h5py.File(path, "r+") as file:
        del file["X"]
        file["X"] = values[:3]
    with pytest.raises(InputError, match=r"values of shape \(3, 3\) stand beside 4 samples and 3 genes"):
        read_h5ad(path)
    with h5py.File(path, "r+") as file:
        del file["X"]
        file.create_group("X")
    with pytest.raises(InputError, match=r"its values are no array, dense or sparse"):
        read_h5ad(path)


def test_annotations_that_anndata_does_not_know_are_refused(values, obs, tmp_path):
    path = saved(tmp_path / "a.h5ad", values, obs)
    with h5py.File(path, "r+") as file:
        file["obs"].attrs["encoding-version"] = "99.0"
    with pytest.raises(InputError, match=r"/obs cannot be read by the installed anndata"):
        read_h5ad(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.h5ad: is not there"):
        read_h5ad(tmp_path / "none.h5ad")
    (tmp_path / "text.h5ad").write_text("sample,TP53\n")
    with pytest.raises(InputError, match=r"text\.h5ad: is not a whole h5ad file"):
        read_h5ad(tmp_path / "text.h5ad")
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["data"] = [1, 2]
    with pytest.raises(InputError, match=r"is HDF5 but not h5ad \(it has no obs and no var\)"):
        read_h5ad(tmp_path / "other.h5ad")


def test_annotations_of_other_samples_are_not_written(values, obs, tmp_path):
    frame = pd.DataFrame(values, index=SAMPLES[::-1], columns=GENES)
    with pytest.raises(InputError, match="the rows of obs are not the samples of the table"):
        write_h5ad(tmp_path / "a.h5ad", frame, obs)
    assert list(tmp_path.iterdir()) == []
