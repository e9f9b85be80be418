"""The markers and factors that the package knows are well formed, have references, and meet the packaged tumours."""

import re
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from kotowari.datasets.factors import load_reactome_factors
from kotowari.datasets.packaged import load_emt_markers, load_reactome, load_tcga_colorectal, packaged_files

HOME = files("kotowari.datasets") / "emt_markers"
ABSENT = {"CDH2", "SNAI1", "SNAI2", "TWIST1", "ZEB1", "ZEB2", "CLDN7", "OCLN"}
NUMBERED = re.compile(r"(ZNF|ZFP|ZKSCAN|ZSCAN|ZIM|ZIK|HKR)\d+\w*")


@pytest.fixture(scope="module")
def factors():
    return load_reactome_factors()


def test_the_markers_stand_once_with_a_reference_each():
    markers = load_emt_markers()
    assert (len(markers.up), len(markers.down)) == (13, 12)
    assert len(set(markers.genes)) == 25
    assert set(markers.references) == set(markers.genes)
    form = re.compile(r"\w+ (19|20)\d\d, [A-Z][\w ]+ \d+:\d+, doi:10\.\d{4}/\S+")
    parts = [part for reference in markers.references.values() for part in reference.split("; ")]
    assert [part for part in parts if not form.fullmatch(part)] == []


def test_the_packaged_tumours_hold_all_markers_but_eight():
    measured = set(load_tcga_colorectal().X.columns)
    assert set(load_emt_markers().genes) - measured == ABSENT


def test_mesenchymal_markers_go_together_in_the_packaged_tumours_and_against_epithelial_ones():
    X, markers = load_tcga_colorectal().X, load_emt_markers()
    z = (X - X.mean()) / X.std()
    up, down = ([gene for gene in way if gene in z.columns] for way in (markers.up, markers.down))
    together = z[up].corr().to_numpy()[np.triu_indices(len(up), 1)]
    assert together.mean() > 0.3
    assert z[up].mean(axis=1).corr(z[down].mean(axis=1)) < -0.1


def test_the_origin_names_every_marker_and_the_licence_stands_beside():
    assert {entry.name for entry in HOME.iterdir()} == {"emt_markers.csv", "ORIGIN.md", "LICENSE"}
    origin = (HOME / "ORIGIN.md").read_text(encoding="utf-8")
    assert all(f"**{part}.**" in origin for part in ("Where it comes from", "What was changed", "Licence"))
    assert [gene for gene in load_emt_markers().genes if not re.search(rf"\b{gene}\b", origin)] == []
    for reference in load_emt_markers().references.values():
        volume = re.search(r"\d+:\d+", reference).group()
        assert volume in origin or volume.split(":")[1] in origin
    assert packaged_files()["emt_markers"].read_text(encoding="utf-8").startswith("gene,direction,reference\n")


def test_every_factor_stands_in_a_pathway_and_half_are_numbered_zinc_fingers(factors):
    assert len(factors) == 675
    assert list(factors) == sorted(set(factors))
    pathways = load_reactome()
    assert set(factors) <= set().union(*pathways.values())
    assert sum(bool(NUMBERED.fullmatch(gene)) for gene in factors) == 337
    assert len(set(factors) & set(load_tcga_colorectal().X.columns)) == 23


@pytest.mark.parametrize(
    ("genes", "kept"),
    [
        ("STAT3 RELA NFKB1 HNF4A SMAD2 SMAD3 CREB1 SATB2 TP53 MYC ESR1 FOXA1 ZEB1 KLF4 GATA3 JUN", True),
        # cofactors, basal factors, kinases, histones, the proteasome, and names that only look alike
        ("CREBBP EP300 CTNNB1 TBP MED1 CDK9 POLR2A PSMA1 HIST1H4A RELN ZFP36 SP100 MYCBP2 SMAD7 CREBZF ESRP1", False),
    ],
)
def test_factors_are_told_from_what_stands_beside_them(genes, kept, factors):
    assert [gene for gene in genes.split() if (gene in factors) is not kept] == []


@pytest.mark.field_data
def test_most_regulators_of_dorothea_that_reactome_names_are_factors(factors, field_data):
    dorothea = set(pd.read_csv(field_data / "omics" / "dorothea_abc.csv.gz")["tf"])
    named = set().union(*load_reactome().values())
    assert len(dorothea & named) == 201
    assert len(dorothea & set(factors)) >= 190
