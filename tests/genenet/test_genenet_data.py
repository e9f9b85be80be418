"""A table, a modulator, genes and a response come in checked and told about, or are refused in one sentence."""

import numpy as np
import pandas as pd
import pytest

from kotowari.core.errors import DesignError, InputError
from kotowari.datasets.factors import load_reactome_factors
from kotowari.formats.h5ad import write_h5ad
from kotowari.formats.tables import write_table
from kotowari.studies.genenet.config import Config
from kotowari.studies.genenet.data import (
    fill_missing,
    read_inputs,
    read_new_table,
    read_samples,
    targets_by_variance,
    varying_genes,
    without_signature,
)
from kotowari.trust.leakage import require_blind

UP, DOWN, FACTORS = ["VIM", "FN1", "SPARC"], ["CDH1", "EPCAM"], ["STAT3", "RELA", "HNF4A"]
GENES = [*UP, *DOWN, *FACTORS, "G1", "G2", "G3", "G4"]


def expression(n=30, seed=0):
    rng = np.random.default_rng(seed)
    score, values = rng.normal(size=n), rng.normal(8, 1, (n, len(GENES)))
    values[:, :3] += score[:, None]
    values[:, 3:5] -= score[:, None]
    return pd.DataFrame(values, index=[f"s{k}" for k in range(n)], columns=GENES)


def annotations(n=30, seed=1):
    rng = np.random.default_rng(seed)
    columns = {
        "patient": [f"p{k}" for k in range(n)],
        "status": ["case", "control"] * (n // 2),
        "dose": rng.normal(size=n),
        "purity": rng.uniform(size=n),
        "cancer": (["lung", "liver", "colon"] * n)[:n],
    }
    return pd.DataFrame(columns, index=[f"s{k}" for k in range(n)])


@pytest.fixture
def config(tmp_path):
    """Write a user's files; returns the options that name them, with some of them changed."""

    def write(X=None, labels=None, **sections):
        write_table(tmp_path / "x.csv", expression() if X is None else X)
        write_table(tmp_path / "a.csv", annotations() if labels is None else labels)
        given = {"data": {}, "modulator": {}, "prediction": {"response": "status"}} | sections
        given["data"] = {"table": tmp_path / "x.csv", "annotations": tmp_path / "a.csv"} | given["data"]
        return Config(**given)

    return write


@pytest.fixture
def listed(tmp_path):
    """Write a list of genes; returns its path."""

    def write(text, name="genes.txt"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def refused(config, error=InputError):
    with pytest.raises(error) as caught:
        read_samples(config)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_a_table_comes_in_with_signature_regulators_and_classes(config):
    samples = read_samples(config())
    pd.testing.assert_frame_equal(samples.X, expression())
    assert (samples.modulator, samples.second, samples.covariates, samples.targets) == (None, None, None, None)
    assert (samples.signature_up, samples.signature_down) == (("VIM", "FN1", "SPARC"), ("CDH1", "EPCAM"))
    assert samples.regulators == ("HNF4A", "RELA", "STAT3")
    assert (samples.classes, samples.task, samples.response) == (("case", "control"), "classification", "status")
    np.testing.assert_array_equal(samples.codes, [0, 1] * 15)
    assert list(samples.groups) == [f"p{k}" for k in range(30)]
    assert not samples.circular
    assert samples.genes == GENES
    assert samples.source == "x.csv"
    assert any("genes of the signature are not in the table (CDH2" in note for note in samples.notes)
    assert "3 of the 675 transcription factors that Reactome names are regulators." in samples.notes


def test_the_packaged_tumours_come_in_by_the_demo():
    samples = read_samples(Config.demo())
    assert samples.X.shape == (90, 3899)
    assert (samples.X.dtypes == np.float64).all()
    assert (len(samples.signature_up), len(samples.signature_down), len(samples.regulators)) == (7, 10, 23)
    assert samples.classes == ("MSI", "MSS")
    assert set(samples.regulators) <= set(load_reactome_factors())
    assert len(read_inputs(Config.demo())) == 3


def test_annotations_are_found_by_name_whatever_their_order(config):
    turned = read_samples(config(labels=annotations()[::-1], modulator={"column": "dose"}))
    np.testing.assert_array_equal(turned.modulator, annotations()["dose"])
    assert list(turned.y) == list(annotations()["status"])
    shifted = annotations().set_axis(np.roll(annotations().index, 1))
    wrong = read_samples(config(labels=shifted, modulator={"column": "dose"}))
    assert (wrong.modulator != annotations()["dose"]).all()


def test_columns_are_modulators_and_need_no_signature(config):
    samples = read_samples(config(modulator={"column": "dose", "second": "purity"}))
    np.testing.assert_array_equal(samples.second, annotations()["purity"])
    assert (samples.signature_up, samples.signature_down) == ((), ())
    assert not any("signature" in note for note in samples.notes)
    assert len(read_inputs(config(modulator={"column": "dose"}))) == 3  # table, annotations, Reactome


def test_samples_without_a_modulator_or_response_are_left_out_and_counted(config):
    labels = annotations()
    labels.loc[["s3", "s4"], "dose"] = np.nan
    labels.loc["s5", "status"] = np.nan
    samples = read_samples(config(labels=labels, modulator={"column": "dose"}))
    assert len(samples.X) == len(samples.modulator) == len(samples.y) == len(samples.groups) == 27
    assert not {"s3", "s4", "s5"} & set(samples.X.index)
    assert samples.notes[:2] == (
        "2 of 30 samples have no dose and were left out.",
        "1 of 30 samples have no status and were left out.",
    )
    labels.loc[labels.index[:11], "dose"] = np.nan
    told = refused(config(labels=labels, modulator={"column": "dose"}), DesignError)
    assert told == "x.csv: 19 samples have all that is asked of them; networks need 20 or more."


def test_ties_of_the_modulator_are_told(config):
    labels = annotations().assign(dose=[0.0, 0.0, *range(1, 29)])
    notes = read_samples(config(labels=labels, modulator={"column": "dose"})).notes
    assert any(note.startswith("2 of 30 samples share their dose with another") for note in notes)


@pytest.mark.parametrize(
    ("change", "modulator", "error", "words"),
    [
        ({}, {"column": "drug"}, InputError, ["modulator.column", "a.csv has no column 'drug'", "patient, status"]),
        ({}, {"column": "dose", "second": "drug"}, InputError, ["modulator.second", "'drug'"]),
        ({}, {"column": "cancer"}, InputError, ["sample 's0' has the modulator 'lung'", "not a number", "leave it"]),
        ({"dose": 1.0}, {"column": "dose"}, DesignError, ["dose has one value", "nothing to vary along"]),
        ({"dose": [np.inf] * 30}, {"column": "dose"}, InputError, ["'s0' has the modulator 'inf'"]),
    ],
)
def test_a_modulator_that_cannot_be_used_is_refused(change, modulator, error, words, config):
    sentence = refused(config(labels=annotations().assign(**change), modulator=modulator), error)
    assert [word for word in words if word not in sentence] == []


@pytest.mark.parametrize(
    ("change", "response", "task"),
    [
        (lambda labels: labels["dose"], "again", "regression"),
        (lambda labels: -np.exp(labels["dose"]), "again", "regression"),
        (lambda labels: np.where(labels["dose"] > 0.3, "high", "low"), "again", "classification"),
        (lambda labels: np.digitize(labels["dose"], [-0.5, 0.5]), "again", "classification"),
    ],
)
def test_a_response_that_is_the_modulator_in_another_form_is_seen(change, response, task, config):
    labels = annotations()
    sections = {"modulator": {"column": "dose"}, "prediction": {"response": response}}
    samples = read_samples(config(labels=labels.assign(again=change(labels)), **sections))
    assert samples.circular
    assert samples.task == task
    assert "The response again is the modulator dose in another form" in samples.notes[-1]


@pytest.mark.parametrize("response", ["status", "purity"])
def test_another_response_is_not_taken_for_the_modulator(response, config):
    samples = read_samples(config(modulator={"column": "dose"}, prediction={"response": response}))
    assert not samples.circular
    swapped = annotations()
    order = np.argsort(swapped["dose"].to_numpy())
    again = swapped["dose"].to_numpy().copy()
    again[order[:2]] = again[order[1::-1]]  # one pair of 30 out of order
    sections = {"modulator": {"column": "dose"}, "prediction": {"response": "again"}}
    assert not read_samples(config(labels=swapped.assign(again=again), **sections)).circular


def test_the_score_itself_as_response_is_circular_and_bars_its_genes(config, listed):
    samples = read_samples(config(prediction={"response": "modulator"}))
    assert (samples.circular, samples.task, samples.y, samples.classes) == (True, "regression", None, ())
    assert without_signature(["VIM", "G1", "CDH1"], samples) == ("G1",)
    data = {"targets": listed("VIM\nCDH1\n")}
    told = refused(config(data=data, prediction={"response": "modulator"}), DesignError)
    assert told.startswith("data.targets: all 2 belong to the signature")
    assert read_samples(config(data=data)).targets == ("VIM", "CDH1")  # to describe, they may be
    column = read_samples(config(modulator={"column": "dose"}, prediction={"response": "modulator"}))
    np.testing.assert_array_equal(column.y, annotations()["dose"])


def test_without_a_response_there_are_networks_only(config):
    samples = read_samples(config(prediction={"response": None}))
    assert (samples.y, samples.task, samples.response, samples.classes) == (None, None, None, ())
    assert not samples.codes.any()


def test_a_table_alone_is_enough_for_networks_along_its_own_signature(tmp_path):
    write_table(tmp_path / "x.csv", expression())
    config = Config(data={"table": tmp_path / "x.csv", "group": None}, prediction={"response": None})
    assert list(read_samples(config).groups) == list(expression().index)
    owned = Config(data={"table": tmp_path / "x.csv"}, prediction={"response": None})
    assert "set data.group to null" in refused(owned)


def test_an_h5ad_holds_its_own_annotations(tmp_path):
    write_h5ad(tmp_path / "x.h5ad", expression(), annotations())
    config = Config(
        data={"table": tmp_path / "x.h5ad"}, modulator={"column": "dose"}, prediction={"response": "status"}
    )
    samples = read_samples(config)
    np.testing.assert_allclose(samples.X, expression(), rtol=1e-6)
    np.testing.assert_array_equal(samples.modulator, annotations()["dose"])
    np.testing.assert_array_equal(read_new_table(tmp_path / "x.h5ad", config).modulator, samples.modulator)


def test_named_genes_are_read_and_those_absent_are_told(config, listed):
    data = {"regulators": listed(" STAT3 \n\nG1\nNONE\nG1\n", "r.txt"), "targets": listed("G2\nG3\nLOST\n", "t.txt")}
    samples = read_samples(config(data=data))
    assert (samples.regulators, samples.targets) == (("STAT3", "G1"), ("G2", "G3"))
    assert "1 of 3 regulators are not in the table (NONE)." in samples.notes
    assert "1 of 3 targets are not in the table (LOST)." in samples.notes
    assert [entry["name"] for entry in read_inputs(config(data=data))][2:4] == ["r.txt", "t.txt"]


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("regulators", "ENSG1\nENSG2\n", ["data.regulators: none of the 2 genes (ENSG1, ENSG2)", "holds VIM, FN1"]),
        ("targets", "ENSG1\n", ["data.targets: none of the 1 genes", "Name them as the table does"]),
        ("targets", "G1,G2\n", ["genes.txt: line 1 holds more than one word ('G1,G2')", "one gene a line"]),
        ("regulators", "\n", ["genes.txt: names no gene"]),
    ],
)
def test_lists_of_genes_that_cannot_be_used_are_refused(key, text, words, config, listed):
    sentence = refused(config(data={key: listed(text)}))
    assert [word for word in words if word not in sentence] == []


def test_constant_genes_are_left_out_and_a_constant_target_is_refused_by_name(config, listed):
    flat = expression().assign(G4=3.0, STAT3=0.0, FN1=1.0)
    samples = read_samples(config(X=flat))
    assert not {"G4", "STAT3", "FN1"} & set(samples.X.columns)
    assert samples.regulators == ("HNF4A", "RELA")
    assert samples.signature_up == ("VIM", "SPARC")
    assert "3 genes have one value in all samples and were left out (FN1, STAT3, G4)." in samples.notes
    assert "1 of 25 genes of the signature have one value in all samples (FN1)." in samples.notes
    regulated = {"regulators": listed("STAT3\nRELA\n")}
    assert (
        "1 of 2 regulators have one value in all samples (STAT3)." in read_samples(config(X=flat, data=regulated)).notes
    )
    assert "data.targets: G4 of genes.txt has one value" in refused(
        config(X=flat, data={"targets": listed("G1\nG4\n")})
    )


def test_a_signature_of_ones_own_needs_three_genes_of_the_table(config, listed):
    own = listed("gene,direction,source\nG1,up,a\nG2,down,b\nG3,down,c\nNONE,up,d\n", "s.csv")
    samples = read_samples(config(modulator={"signature": own}))
    assert (samples.signature_up, samples.signature_down) == (("G1",), ("G2", "G3"))
    few = listed("gene,direction\nG1,up\nG2,down\nX1,up\n", "s.csv")
    assert "2 of its 3 genes are in the table and vary, 1 of them go up" in refused(
        config(modulator={"signature": few})
    )
    falling = listed("gene,direction\nG1,down\nG2,down\nG3,down\nX1,up\n", "s.csv")
    assert "0 of them go up" in refused(config(modulator={"signature": falling}))


def test_missing_values_are_refused_by_place_or_filled_inside_the_fold(config):
    X = expression()
    X.iloc[2, 8] = np.nan
    assert "row 's2', column 'G1'" in refused(config(X=X))
    samples = read_samples(config(X=X, data={"missing": "lowest"}))
    assert "1 missing values are taken as the lowest value of their gene in the training samples." in samples.notes
    train = samples.X.iloc[:20]
    assert fill_missing(samples.X, train).loc["s2", "G1"] == train["G1"].min()
    X.iloc[:20, 9] = np.nan
    assert (fill_missing(X, X.iloc[:20])["G2"][:20] == X.iloc[:20].min().min()).all()
    X.iloc[3, 8] = np.inf
    assert "infinite" in refused(config(X=X, data={"missing": "lowest"}))


def test_filling_with_the_lowest_value_of_all_samples_is_caught():
    X = expression().to_numpy()
    X[2, 8], X[25, 8] = np.nan, -50.0

    def fill(rows, whole):
        table = pd.DataFrame(rows)
        return fill_missing(table.iloc[:20], table if whole else table.iloc[:20]).to_numpy()

    y, test = np.arange(30), np.arange(20, 30)
    require_blind("filling", lambda rows, _: fill(rows, whole=False), X, y, test=test)
    with pytest.raises(DesignError, match="reads the test rows"):
        require_blind("filling", lambda rows, _: fill(rows, whole=True), X, y, test=test)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (expression().rename(columns={"G2": "G1"}), ["x.csv", "stand more than once (G1)"]),
        (expression().rename(index={"s2": "s1"}), ["x.csv", "stand more than once (s1)"]),
        (pd.concat([expression(), expression()[:1].set_axis(["new"])]), ["a.csv", "no row for 1 of 31", "(new)"]),
    ],
)
def test_a_table_whose_names_do_not_fit_is_refused(X, words, config):
    sentence = refused(config(X=X))
    assert [word for word in words if word not in sentence] == []


def test_one_sample_under_two_owners_is_refused(config):
    X = expression()
    X.loc["s5"] = X.loc["s4"]
    assert "s4 = s5" in refused(config(X=X), DesignError)


def test_a_table_of_counts_is_told(config):
    assert any("hardly a log scale" in note for note in read_samples(config(X=2 ** expression())).notes)
    assert not any("log scale" in note for note in read_samples(config()).notes)


def test_covariates_come_in_and_whole_numbers_are_told(config):
    labels = annotations().assign(batch=[1, 2, 3] * 10)
    samples = read_samples(config(labels=labels, data={"adjust": ("cancer", "purity", "batch")}))
    assert list(samples.covariates.columns) == ["cancer", "purity", "batch"]
    assert samples.covariates.index.equals(samples.X.index)
    assert any(note.startswith("batch has 3 whole numbers") for note in samples.notes)


@pytest.mark.parametrize(
    ("change", "adjust", "error", "words"),
    [
        ({}, "status", InputError, ["data.adjust: status is the response"]),
        ({}, "organ", InputError, ["data.adjust", "'organ'"]),
        ({"cancer": ["lung", None] + ["liver"] * 28}, "cancer", InputError, ["cancer is empty for s1"]),
        ({"cancer": ["rare"] + ["liver"] * 29}, "cancer", DesignError, ["categories of one owner (rare)", "Join them"]),
    ],
)
def test_covariates_that_cannot_be_regressed_out_are_refused(change, adjust, error, words, config):
    sentence = refused(config(labels=annotations().assign(**change), data={"adjust": (adjust,)}), error)
    assert [word for word in words if word not in sentence] == []


def test_new_samples_come_with_what_the_run_needs_of_them(config, tmp_path):
    plain = config()
    new = read_new_table(tmp_path / "x.csv", plain)
    assert (new.modulator, new.second, new.covariates) == (None, None, None)
    pd.testing.assert_frame_equal(new.X, expression())
    asked = config(modulator={"column": "dose", "second": "purity"}, data={"adjust": ("cancer",)})
    with pytest.raises(InputError, match=r"x\.csv: the run needs dose, purity, cancer of each sample"):
        read_new_table(tmp_path / "x.csv", asked)
    labels = annotations().drop(columns=["status", "patient"])  # the response of new samples is not known
    write_table(tmp_path / "new.csv", labels[::-1])
    new = read_new_table(tmp_path / "x.csv", asked, tmp_path / "new.csv")
    np.testing.assert_array_equal(new.modulator, labels["dose"])
    np.testing.assert_array_equal(new.second, labels["purity"])
    assert list(new.covariates["cancer"]) == list(labels["cancer"])
    labels.loc["s7", "dose"] = np.nan
    write_table(tmp_path / "new.csv", labels)
    with pytest.raises(InputError, match=r"new\.csv: dose is empty for s7"):
        read_new_table(tmp_path / "x.csv", asked, tmp_path / "new.csv")


def test_targets_are_those_of_largest_variance_with_ties_in_the_order_of_the_table():
    X = pd.DataFrame(
        {"A": [0.0, 1, 0, 1], "B": [0.0, 4, 0, 4], "C": [1.0, 0, 1, 0], "D": [2.0] * 4, "E": [0.0, 9, 9, 0]}
    )
    assert targets_by_variance(X, 3) == ("E", "B", "A")
    assert targets_by_variance(X, 9) == ("E", "B", "A", "C")
    assert targets_by_variance(X[["C", "A", "B"]], 2) == ("B", "C")
    assert targets_by_variance(X, 2, exclude={"E", "NONE"}) == ("B", "A")
    assert varying_genes(["D", "A"], X) == ("A",)
    with pytest.raises(DesignError, match="no gene varies"):
        targets_by_variance(X, 2, exclude="ABCE")


def test_targets_chosen_on_all_rows_are_caught(rng):
    X = rng.normal(size=(30, 8))
    X[20:, 7] *= 30
    test = np.arange(20, 30)

    def choose(rows, train):
        return np.array(targets_by_variance(pd.DataFrame(rows[train]), 3), dtype=np.int64)

    require_blind("targets", lambda rows, _: choose(rows, np.arange(20)), X, np.arange(30), test=test)
    with pytest.raises(DesignError, match="reads the test rows"):
        require_blind("targets", lambda rows, _: choose(rows, np.arange(30)), X, np.arange(30), test=test)


@pytest.mark.field_data
def test_the_tumours_of_eleven_organs_come_in_as_a_user_writes_them(field_data, tmp_path):
    with np.load(field_data / "omics" / "tcga11_expression.npz") as packed:
        X = pd.DataFrame(packed["X"], index=packed["barcode"], columns=packed["genes"])
    labels = pd.read_csv(field_data / "omics" / "tcga11_samples.csv", index_col=0)
    tumours = labels[labels["tissue"] == "tumour"]
    write_table(tmp_path / "x.parquet", X.loc[tumours.index].clip(lower=-2).fillna(-2).round(2))
    write_table(tmp_path / "a.csv", tumours)
    source = field_data / "omics" / "emt_signatures.csv"
    sections = {"data": {"table": tmp_path / "x.parquet", "annotations": tmp_path / "a.csv", "adjust": ("cancer",)}}
    with pytest.raises(InputError, match="direction 'epithelial', which is neither up nor down"):
        read_samples(Config(**sections, modulator={"signature": source}, prediction={"response": "modulator"}))
    signatures = pd.read_csv(source, keep_default_na=False)
    own = signatures[signatures["signature"] == "KS_tumour"].replace({"mesenchymal": "up", "epithelial": "down"})
    own.to_csv(tmp_path / "s.csv", index=False)
    config = Config(**sections, modulator={"signature": tmp_path / "s.csv"}, prediction={"response": "modulator"})
    samples = read_samples(config)
    assert samples.X.shape == (391, 3556)
    assert (len(samples.signature_up), len(samples.signature_down)) == (75, 39)
    assert len(samples.regulators) == 197
    assert samples.covariates["cancer"].nunique() == 11
    assert (samples.X.to_numpy() >= -2).all()
