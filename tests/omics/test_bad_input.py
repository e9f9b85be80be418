"""Whatever is wrong with the input is told in one sentence, that says what, where, and what to do."""

import errno
import os

import numpy as np
import pandas as pd
import pytest
from small_omics import make_labels, make_sets, make_table, write_files

from kotowari.core.errors import InputError
from kotowari.core.runfolder import RunFolder
from kotowari.formats.h5ad import write_h5ad
from kotowari.studies.omics import DeepInsightTransformer, open_job
from typed_words import typed


@pytest.fixture
def files(tmp_path):
    """Write sound files of 12 samples and 24 genes, with one of them changed; returns the YAML."""
    table, codes = make_table(12, 24)
    sound = {"table": table, "labels": make_labels(table, codes), "sets": make_sets(table)}

    def write(changed="table", content=None, change=None, **sections):
        parts = dict(sound)
        if change is not None:
            parts[changed] = change(parts[changed])
        elif content is not None:
            parts[changed] = content
        return write_files(tmp_path / "in", **parts, **sections)

    return write


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


def with_cell(row, column, value):
    def change(table):
        table = table.astype(object)
        table.loc[row, column] = value
        return table

    return change


def renamed(old, new):
    return lambda table: table.rename(columns={old: new})


def joined(first, second):
    return pd.concat({"expression": first, "methylation": second}, axis=1)


def test_sound_files_are_not_refused(files, out, monkeypatch, capsys):
    assert typed(monkeypatch, "run", files(), "--out", out, "--until", "split") == 0
    assert capsys.readouterr().err == "Read 12 samples x 24 genes; target status.\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed("GENE11", "GENE12"), ["table.csv", "stand more than once (GENE12)", "Make them unique"]),
        (renamed("GENE11", ""), ["table.csv", "1 feature names are empty (number 12", "Fill them in"]),
        (with_cell("sample3", "GENE14", "high"), ["row 'sample3'", "column 'GENE14'", "'high' is not a number"]),
        (with_cell("sample3", "GENE14", ""), ["1 value is missing", "row 'sample3'", "column 'GENE14'", "Fill it in"]),
        (with_cell("sample3", "GENE14", "inf"), ["1 value is infinite", "row 'sample3'", "column 'GENE14'"]),
        (lambda table: table.rename({"sample1": "sample2"}), ["sample names", "(sample2)", "Make them unique"]),
        (lambda table: pd.concat([table, table[:1].set_axis(["twin"])]), ["labels.csv", "1 of 13 samples", "(twin)"]),
        (lambda table: table[:0], ["table.csv", "has a header but no rows"]),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_place(change, words, files, out, refused):
    sentence = refused("run", files("table", change=change), "--out", out)
    assert [word for word in words if word not in sentence] == []
    assert not out.exists()


def test_one_sample_under_two_owners_is_refused(files, out, refused):
    def twins(table):
        table.loc["sample5"] = table.loc["sample4"]
        return table

    assert "sample4 = sample5" in refused("run", files("table", change=twins), "--out", out)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda labels: labels.drop("sample7"), ["labels.csv", "no row for 1 of 12 samples", "(sample7)", "Add"]),
        (lambda labels: labels.drop(columns="status"), ["data.target", "labels.csv", "'status'", "age, patient"]),
        (lambda labels: labels.drop(columns="patient"), ["data.group", "'patient'", "data.group to null"]),
        (with_cell("sample7", "patient", ""), ["labels.csv", "patient is empty for sample7", "needs an owner"]),
        (with_cell("sample7", "status", "rare"), ["class 'rare' has one sample", "Leave the class out"]),
        (lambda labels: labels.assign(status="case"), ["class case", "nothing to tell apart"]),
        (lambda labels: labels.assign(status=""), ["only 0 samples have a status"]),
    ],
)
def test_labels_that_cannot_be_used_are_refused(change, words, files, out, refused):
    sentence = refused("run", files("labels", change=change), "--out", out)
    assert [word for word in words if word not in sentence] == []
    assert not out.exists()


def test_a_class_too_small_to_stop_the_training_by_is_refused_before_anything_is_fitted(files, out, refused):
    labels = with_cell(["sample7", "sample8"], "status", "rare")
    sentence = refused("run", files("labels", change=labels), "--out", out)
    assert "class 'rare' from fewer than 2 owners" in sentence
    assert not out.exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"task": "regression"}, ["labels.csv", "sample 'sample0'", "'control', which is not a number", "data.task"]),
        ({"target": "constant", "task": "regression"}, ["constant has one value", "nothing to predict"]),
    ],
)
def test_values_that_cannot_be_predicted_are_refused(data, words, files, out, refused):
    yaml = files("labels", change=lambda labels: labels.assign(constant=3), data=data)
    sentence = refused("run", yaml, "--out", out)
    assert [word for word in words if word not in sentence] == []


def test_fewer_samples_than_folds_are_refused(files, out, refused):
    sentence = refused("run", files(validation={"n_splits": 20}), "--out", out)
    assert "12 samples cannot fill 20 folds. Lower the folds to 12" in sentence
    assert not out.exists()


def test_constant_genes_are_accepted_and_noted(files, out, monkeypatch):
    yaml = files("table", change=lambda table: table.assign(GENE11=1.5, GENE12=0.0))
    assert typed(monkeypatch, "run", yaml, "--out", out, "--until", "layout") == 0
    (note,) = open_job(RunFolder(out)).samples.notes
    assert note == "2 genes have one value in all samples and can carry nothing (GENE11, GENE12)."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["sets.gmt", "is empty", "at least one gene set"]),
        ("PATHWAY without tabs\n", ["sets.gmt", "line 1 is no gene set", "parted by tabs"]),
        ("A\td\tGENE11\nB\td\n", ["sets.gmt", "line 2 is no gene set"]),
        ("A\td\tGENE11\nA\td\tGENE12\n", ["sets.gmt", "gene sets stand more than once (A)"]),
        (
            "A\td\tENSG1\tENSG2\n",
            ["data.gene_sets", "No gene of the sets was measured", "ENSG1", "PLANT0", "same kind"],
        ),
        ("A\td\tGENE11\tGENE12\n", ["data.gene_sets", "No gene set has 5 to 500 measured genes; the largest has 2"]),
    ],
)
def test_gene_sets_that_cannot_be_asked_are_refused_before_anything_is_fitted(text, words, files, out, refused):
    sentence = refused("run", files("sets", content=text), "--out", out)
    assert [word for word in words if word not in sentence] == []
    assert not out.exists()


def test_a_selection_that_chance_would_fill_is_refused(files, out, refused):
    sentence = refused("run", files(trust={"n_selected": 13}), "--out", out)
    assert "trust.n_selected: 13 of 24 genes" in sentence
    assert "12 or fewer" in sentence


def test_an_h5ad_without_the_named_column_is_refused(tmp_path, out, refused):
    table, codes = make_table(12, 24)
    data = {"table": "table.h5ad", "labels": None}
    yaml = write_files(tmp_path / "in", None, None, make_sets(table), data=data)
    write_h5ad(tmp_path / "in" / "table.h5ad", table, make_labels(table, codes).drop(columns="status"))
    sentence = refused("run", yaml, "--out", out)
    assert "table.h5ad: obs has no column 'status'. There are: age, patient." in sentence


def test_a_table_larger_than_memory_is_refused_with_its_size(files, out, refused, monkeypatch):
    monkeypatch.setattr("kotowari.formats.memory._half_of_memory", lambda: 2000.0)
    sentence = refused("run", files(), "--out", out)
    assert "table.csv: 12 rows of 24 columns" in sentence
    assert "need 2.3e-06 GB, above the limit of 2e-06 GB" in sentence


def test_an_image_too_small_for_the_genes_is_refused(files, out, refused):
    sentence = refused("run", files(layout={"shape": [4, 5]}), "--out", out, after_progress=True)
    assert "4 x 5" in sentence
    assert "24 genes" in sentence


def test_layers_whose_samples_differ_are_refused_with_the_place():
    expression, _ = make_table(12, 24)
    methylation = make_table(12, 24, seed=1)[0].rename({"sample4": "sample40"})
    DeepInsightTransformer(layout="pca").fit(joined(expression, expression))
    with pytest.raises(InputError, match=r"missing, first in row 'sample4', column 'methylation:PLANT0'"):
        DeepInsightTransformer(layout="pca").fit(joined(expression, methylation))


def test_layers_whose_genes_differ_are_refused():
    expression, _ = make_table(12, 24)
    with pytest.raises(InputError, match=r"'expression' and 'methylation' differ in 1 genes \(GENE23\)"):
        DeepInsightTransformer(layout="pca").fit(joined(expression, expression.drop(columns="GENE23")))


@pytest.mark.parametrize("file", ["table.csv", "labels.csv", "sets.gmt"])
def test_a_path_that_leads_nowhere_is_refused(file, files, out, refused, tmp_path):
    yaml = files()
    (tmp_path / "in" / file).unlink()
    assert refused("run", yaml, "--out", out) == f"{tmp_path / 'in' / file}: is not there. Check the path."
    assert not out.exists()


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"tabel": "x.csv"}}, ["study.yaml: data.tabel: there is no such key", "kotowari init"]),
        ({"data": {"path": "x.csv"}}, ["data.path: there is no such key"]),
        ({"sede": 1}, ["study.yaml: sede: there is no such key"]),
        ({"validation": {"n_splits": "five"}}, ["validation.n_splits", "valid integer"]),
        ({"validation": {"n_splits": 1}}, ["validation.n_splits", "greater than or equal to 2"]),
        ({"data": {"table": 7}}, ["data.table: "]),
        ({"layout": {"shape": [4]}}, ["layout.shape"]),
        ({"network": [1, 2]}, ["network: Input should be a valid dictionary"]),
        ({"network": [1, 2], "preset": "standard"}, ["network: Input should be a valid dictionary"]),
        ({"preset": ["quick"]}, ["preset: Input should be 'quick', 'standard' or 'full'"]),
        ({"preset": "huge"}, ["preset: Input should be 'quick', 'standard' or 'full'"]),
        ({"data": {"labels": None}}, ["study.yaml: data.labels: name the table of annotations"]),
        (
            {"study": "weather"},
            ["There is no study 'weather'. There are: angiography, brain, cytology, genenet, omics."],
        ),
        ({"seed": -1, "workers": 0}, ["seed", "(1 more key does not fit either.)"]),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_by_its_key(sections, words, files, out, refused):
    sentence = refused("run", files(**sections), "--out", out)
    assert [word for word in words if word not in sentence] == []
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study: omics\n  data: [", ["study.yaml, line 2", "is not valid YAML", "kotowari init"]),
        ("- a\n- b\n", ["names no study", "study: omics"]),
        ("data: {}\n", ["names no study"]),
        ("", ["names no study"]),
    ],
)
def test_text_that_is_no_configuration_is_refused(text, words, tmp_path, refused):
    (tmp_path / "study.yaml").write_text(text)
    sentence = refused("run", tmp_path / "study.yaml")
    assert [word for word in words if word not in sentence] == []


def test_a_configuration_that_is_not_there_is_refused(tmp_path, refused):
    assert "none.yaml: cannot be read (No such file or directory)" in refused("run", tmp_path / "none.yaml")


def test_an_unknown_stage_is_refused_and_leaves_nothing_behind(files, out, refused):
    sentence = refused("run", files(), "--out", out, "--until", "dream")
    assert "--until dream: there is no such stage. Choose one of read, split" in sentence
    assert not out.exists()


def test_a_device_that_is_not_there_is_refused_before_anything_is_fitted(files, out, refused, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    sentence = refused("run", files(), "--out", out, "--device", "cuda")
    assert "device 'cuda': this machine has none" in sentence
    assert not out.exists()


@pytest.mark.parametrize("words", [["resume"], ["report"], ["apply"]])
def test_a_folder_without_a_run_is_refused(words, tmp_path, refused):
    more = ["new.csv", "--out", tmp_path / "out"] if words == ["apply"] else []
    sentence = refused(*words, tmp_path, *more)
    assert sentence == f"{tmp_path}: is not a run folder (it has no run.json). Name the folder of a run."


def test_a_record_that_someone_broke_is_refused(files, out, monkeypatch, refused, capsys):
    assert typed(monkeypatch, "run", files(), "--out", out, "--until", "read") == 0
    capsys.readouterr()
    record = (out / "run.json").read_text()
    (out / "run.json").write_text(record.replace('"n_splits": 2', '"n_splits": "two"'))
    assert "run.json: validation.n_splits: " in refused("resume", out)
    (out / "run.json").write_text(record[:40])
    assert "run.json: is not valid JSON" in refused("resume", out)


def test_a_model_that_is_not_there_yet_is_not_applied(files, out, monkeypatch, refused, capsys):
    assert typed(monkeypatch, "run", files(), "--out", out, "--until", "split") == 0
    capsys.readouterr()
    assert "has no fitted model yet. Finish it by `kotowari resume" in refused("apply", out, "x.csv", "--out", "y")


def test_a_second_run_in_the_same_folder_is_refused(files, out, monkeypatch, refused, capsys):
    assert typed(monkeypatch, "run", files(), "--out", out, "--until", "split") == 0
    capsys.readouterr()
    assert f"{out}: holds a run already. Go on with it by `kotowari resume {out}`" in refused(
        "run", files(), "--out", out
    )
    assert (out / "splits.json").exists()


def test_a_folder_that_cannot_be_made_is_refused(files, tmp_path, refused):
    (tmp_path / "file").write_text("not a folder")
    assert "is a file. Name a folder." in refused("run", files(), "--out", tmp_path / "file")
    sentence = refused("run", files(), "--out", tmp_path / "file" / "run")
    assert "run.json: cannot be written (Not a directory)" in sentence
    assert "choose another folder" in sentence


def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_once_there_is_room(files, out, monkeypatch, refused):
    real, written = os.fsync, []

    def fsync(handle):
        written.append(handle)
        if len(written) > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as full:
        full.setattr("kotowari.core.files.os.fsync", fsync)
        sentence = refused("run", files(), "--out", out, "--until", "layout", after_progress=True)
    assert f"{out}" in sentence
    assert "cannot be written (No space left on device). Free space or choose another folder" in sentence
    assert not list(out.rglob("*.part"))
    assert typed(monkeypatch, "resume", out, "--until", "layout") == 0


def test_a_failing_disk_inside_a_library_is_told_too(monkeypatch, refused):
    def broken(name):
        raise OSError(errno.ENOSPC, "No space left on device", f"{name}.png")

    monkeypatch.setattr("kotowari.cli.main._study", broken)
    assert refused("init", "omics") == "omics.png: No space left on device. Free space, or choose another folder."


@pytest.mark.parametrize("words", [["run"], ["runn"], ["demo", "--preset", "huge"], ["run", "a", "b"], ["apply", "r"]])
def test_wrong_usage_is_told_by_exit_code_two(words, monkeypatch, capsys):
    assert typed(monkeypatch, *words) == 2
    told = capsys.readouterr().err
    assert told.startswith("Usage: kotowari")
    assert "Traceback" not in told


def test_a_new_table_that_lacks_genes_is_refused(files, out, monkeypatch, refused, capsys, tmp_path):
    yaml = files(network={"max_epochs": 1}, validation={"n_splits": 2})
    assert typed(monkeypatch, "run", yaml, "--out", out, "--until", "fit") == 0
    capsys.readouterr()
    table, _ = make_table(4, 24, seed=5)
    table.drop(columns=["GENE11", "GENE12"]).to_csv(tmp_path / "new.csv")
    sentence = refused("apply", out, tmp_path / "new.csv", "--out", tmp_path / "said")
    assert sentence == "new.csv: lacks 2 genes that the model needs (GENE11, GENE12)."
    table.assign(GENE11=np.nan).to_csv(tmp_path / "new.csv")
    assert "4 values are missing, first in row 'sample0', column 'GENE11'" in refused(
        "apply", out, tmp_path / "new.csv", "--out", tmp_path / "said"
    )
    assert "none.csv" in refused("apply", out, tmp_path / "none.csv", "--out", tmp_path / "said")
    assert not (tmp_path / "said").exists()
