"""The packaged data are those of their sources, and stand with their origin and licence."""

import os
import runpy
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kotowari.datasets import load_reactome, load_tcga_colorectal

HOME = files("kotowari.datasets")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "package_datasets.py"

SOURCE_COLUMNS = {
    "msi_status": "MSI_status_TCGAPaper_twogroup",
    "site": "Cancer",
    "gender": "gender",
    "age": "age_at_initial_pathologic_diagnosis",
    "stage": "tumor_stage",
}


@pytest.fixture
def source():
    if "KOTOWARI_DATA" not in os.environ:
        pytest.skip("KOTOWARI_DATA is not set, so the source files are not at hand")
    return Path(os.environ["KOTOWARI_DATA"]) / "omics"


def test_the_tumours_have_their_shape_and_labels():
    tumours = load_tcga_colorectal()
    assert tumours.X.shape == (90, 3899)
    assert (tumours.X.dtypes == np.float32).all()
    assert tumours.X.index.is_unique
    assert tumours.X.columns.is_unique
    assert tumours.X.index.equals(tumours.annotations.index)
    assert tumours.annotations["patient"].tolist() == tumours.X.index.tolist()
    assert tumours.annotations["msi_status"].value_counts().to_dict() == {"MSS": 71, "MSI": 19}
    assert tumours.annotations["site"].value_counts(dropna=False).to_dict() == {"colon": 60, "rectum": 29, np.nan: 1}
    assert tumours.annotations["age"].between(35, 90).all()


def test_the_values_are_the_nearest_float32_to_two_decimals():
    values = load_tcga_colorectal().X.to_numpy()
    texts = np.char.mod("%.2f", values)
    np.testing.assert_array_equal(texts.astype(np.float64).astype(np.float32), values)
    assert values.min() == 0
    assert values.max() == np.float32(10.76)


def test_rpl22l1_is_higher_in_tumours_with_unstable_microsatellites():
    tumours = load_tcga_colorectal()
    unstable = tumours.annotations["msi_status"] == "MSI"
    expression = tumours.X["RPL22L1"]
    assert expression[unstable].median() > expression[~unstable].quantile(0.75)


def test_the_pathways_are_whole_and_meet_the_genes():
    pathways = load_reactome()
    assert len(pathways) == 2216
    assert all(name.startswith("R-HSA-") for name in pathways)
    assert sum(map(len, pathways.values())) == 108_840 - 292 - 102 - 20  # three lines of the source stood twice
    measured = set(load_tcga_colorectal().X.columns)
    assert len(measured.intersection(*[set().union(*pathways.values())])) == 2867


@pytest.mark.parametrize(
    ("folder", "contents"),
    [
        ("tcga_colorectal", {"tcga_colorectal.npz", "ORIGIN.md", "LICENSE"}),
        ("reactome", {"reactome_2019-03.gmt.gz", "ORIGIN.md", "LICENSE", "LICENSE-CC-BY-4.0"}),
    ],
)
def test_origin_and_licence_stand_beside_the_data(folder, contents):
    assert {entry.name for entry in (HOME / folder).iterdir()} == contents
    origin = (HOME / folder / "ORIGIN.md").read_text(encoding="utf-8")
    assert all(f"**{part}.**" in origin for part in ("Where it comes from", "What was changed", "Licence"))


def test_the_packaged_files_are_small_and_nothing_else_is_packaged():
    folders = sorted(entry.name for entry in HOME.iterdir() if entry.is_dir() and entry.name != "__pycache__")
    assert folders == ["emt_markers", "reactome", "tcga_colorectal"]
    sizes = {
        entry.name: len(entry.read_bytes())
        for folder in folders
        for entry in (HOME / folder).iterdir()
        if entry.name.endswith(("npz", "gz", "csv"))
    }
    assert sizes["tcga_colorectal.npz"] < 400_000
    assert sizes["reactome_2019-03.gmt.gz"] < 300_000
    assert sizes["emt_markers.csv"] < 3_000


def test_no_array_holds_an_object():
    with (HOME / "tcga_colorectal" / "tcga_colorectal.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        assert all(arrays[name].dtype != object for name in arrays.files)


@pytest.mark.field_data
def test_the_tumours_are_those_of_the_source(source):
    tumours = load_tcga_colorectal()
    X = pd.read_csv(source / "tcga_colorectal_expression.csv.gz", index_col=0, float_precision="round_trip").T
    assert tumours.X.index.tolist() == X.index.tolist()
    assert tumours.X.columns.tolist() == X.columns.tolist()
    np.testing.assert_array_equal(tumours.X, X.to_numpy().astype(np.float32))
    labels = pd.read_csv(source / "tcga_colorectal_annotation.csv.gz", index_col=0).loc[X.index]
    for name, column in SOURCE_COLUMNS.items():
        pd.testing.assert_series_equal(
            tumours.annotations[name], labels[column], check_names=False, check_dtype=False, obj=name
        )


@pytest.mark.field_data
def test_the_pathways_are_those_of_the_source(source):
    lines = (source / "gene_sets" / "reactome_2019-03.gmt").read_text(encoding="utf-8").splitlines()
    fields = [line.split("\t") for line in lines]
    pathways = load_reactome()
    assert list(dict.fromkeys(row[0] for row in fields)) == list(pathways)
    assert all(pathways[row[0]] == tuple(row[2:]) for row in fields)


@pytest.mark.field_data
def test_the_script_makes_the_packaged_files_again(source):
    script = runpy.run_path(str(SCRIPT))
    made = script["packed"](script["tcga_colorectal"](source.parent))
    assert made == script["packed"](script["tcga_colorectal"](source.parent))
    assert made == (HOME / "tcga_colorectal" / "tcga_colorectal.npz").read_bytes()
    pathways = script["gzip"].compress(script["reactome"](source.parent), mtime=0)
    assert pathways == (HOME / "reactome" / "reactome_2019-03.gmt.gz").read_bytes()


def test_a_third_decimal_is_refused_and_not_cut():
    hundredths = runpy.run_path(str(SCRIPT))["_hundredths"]
    assert [hundredths(cell) for cell in ("3", "3.9", "3.89")] == [300, 390, 389]
    with pytest.raises(ValueError, match=r"'3\.891' has more than two decimals"):
        hundredths("3.891")
