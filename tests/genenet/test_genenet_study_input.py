"""Whatever is wrong with what comes in is told in one sentence, that says what, where, and what to do."""

import errno
import os
import re
import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from small_genenet import (
    NETWORKS_ONLY,
    NO_REFITS,
    UP,
    make_annotations,
    make_table,
    quick_fits,
    with_one_steady_regulator,
    with_unrelated_targets,
    write_files,
)

from kotowari.core.files import read_json
from kotowari.core.runfolder import RunFolder
from kotowari.studies.genenet import open_job
from typed_words import typed

QUICK = {"trust": NO_REFITS | {"implant_repeats": 0}}
COLUMN = {"modulator": {"column": "purity"}}


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        quick_fits(patch)
        yield


@pytest.fixture
def files(tmp_path):
    """Write a user's files with some of them changed, and return the YAML; a function changes the sound one."""

    def write(changed=None, **sections):
        table = make_table()
        sound = {"table.csv": table, "annotations.csv": make_annotations(table)}
        own = {name: new(sound[name]) if callable(new) else new for name, new in (changed or {}).items()}
        return write_files(tmp_path / "in", own, **sections)

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


@contextmanager
def told_while():
    """Catch what is warned of; yields a function that returns the sentences."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lambda: [str(one.message) for one in caught]


def notes_of(out):
    return open_job(RunFolder(out)).samples.notes


def test_sound_files_are_not_refused(files, out, monkeypatch, capsys):
    assert typed(monkeypatch, "run", files(), "--out", out, "--until", "split") == 0
    assert capsys.readouterr().err == (
        "Read 40 samples x 30 genes; 8 regulators, 10 targets, modulator score of signature.\n"
    )


# genes


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"regulators.txt": "ENSG1\nENSG2\n"}, ["data.regulators", "none of the 2 genes (ENSG1, ENSG2)", "UP0"]),
        ({"targets.txt": "ENSG1\n"}, ["data.targets", "none of the 1 genes (ENSG1)", "Name them as the table does"]),
        ({"regulators.txt": ""}, ["regulators.txt", "names no gene"]),
        ({"targets.txt": "T0 T1\n"}, ["targets.txt", "line 1 holds more than one word", "one gene a line"]),
        ({"table.csv": lambda table: table.assign(T4=1.5)}, ["data.targets", "T4", "one value in all samples"]),
        ({"table.csv": lambda table: table.drop(columns=UP)}, ["modulator.signature", "3 of its 6", "0 of them go up"]),
        ({"table.csv": lambda table: table.assign(**dict.fromkeys(UP, 1.0))}, ["modulator.signature", "and vary"]),
        ({"signature.csv": "gene,direction\nUP0,sideways\n"}, ["signature.csv", "line 2", "sideways"]),
        ({"table.csv": with_cell("sample3", "T4", "high")}, ["row 'sample3'", "column 'T4'", "'high' is not a number"]),
        ({"table.csv": with_cell("sample3", "T4", "")}, ["1 value is missing", "row 'sample3'", "column 'T4'"]),
        ({"table.csv": with_cell("sample3", "T4", "inf")}, ["1 value is infinite", "row 'sample3'"]),
        ({"table.csv": lambda table: table.rename(columns={"T4": "T5"})}, ["stand more than once (T5)"]),
        ({"table.csv": lambda table: table[:12]}, ["table.csv", "12 samples", "networks need 20 or more"]),
        ({"annotations.csv": lambda known: known.drop("sample7")}, ["annotations.csv", "sample7"]),
        ({"annotations.csv": lambda known: known.drop(columns="patient")}, ["data.group", "'patient'"]),
    ],
)
def test_genes_and_samples_that_cannot_be_used_are_refused_with_the_place(changed, words, files, out, refused):
    sentence = refused("run", files(changed), "--out", out)
    assert [word for word in words if word not in sentence] == []
    assert not out.exists()


def test_genes_that_are_absent_or_constant_are_left_out_and_noted(files, out, monkeypatch):
    changed = {
        "table.csv": lambda table: table.assign(TF3=1.5),
        "regulators.txt": "TF0\nTF1\nTF3\nENSG1\n",
        "targets.txt": "T0\nT1\nENSG2\n",
    }
    assert typed(monkeypatch, "run", files(changed), "--out", out, "--until", "split") == 0
    told = " ".join(notes_of(out))
    for words in (
        "1 genes have one value in all samples and were left out (TF3).",
        "1 of 4 regulators have one value in all samples (TF3).",
        "1 of 4 regulators are not in the table (ENSG1).",
        "1 of 3 targets are not in the table (ENSG2).",
    ):
        assert words in told


def test_genes_of_the_signature_alone_cannot_predict_their_own_score(files, out, refused):
    changed = {"regulators.txt": "\n".join(UP)}
    sentence = refused("run", files(changed, prediction={"response": "modulator"}), "--out", out)
    assert "data.regulators: all 3 belong to the signature, and its own genes may not predict its score" in sentence
    assert not out.exists()


def test_more_directions_than_genes_are_refused(files, out, refused):
    sentence = refused("run", files({"regulators.txt": "TF0\n"}), "--out", out)
    assert sentence == "prediction.core: 2 directions of 1 genes. Set it to 1 or fewer."
    assert not out.exists()


# samples and response


@pytest.mark.parametrize(
    ("change", "sections", "words"),
    [
        (lambda own: own.drop(columns="status"), {}, ["prediction.response", "annotations.csv", "'status'", "dose"]),
        (lambda own: own.assign(status="case"), {}, ["class case", "nothing to tell apart"]),
        (with_cell(["sample0", "sample1"], "status", "rare"), {}, ["status: the class 'rare'", "prediction needs 5"]),
        (lambda own: own.assign(dose=1.0), {"prediction": {"response": "dose", "task": "regression"}}, ["dose", "one"]),
        (lambda own: own, {"validation": {"n_splits": 50}}, ["cannot fill 50 folds", "Lower the folds"]),
        (lambda own: own, {"data": {"adjust": ["status"]}}, ["data.adjust", "status is the response"]),
        (lambda own: own, {"data": {"adjust": ["weather"]}}, ["data.adjust", "'weather'"]),
        (with_cell("sample3", "cancer", ""), {"data": {"adjust": ["cancer"]}}, ["cancer is empty for sample3"]),
    ],
)
def test_a_response_or_covariate_that_cannot_be_used_is_refused_before_anything_is_fitted(
    change, sections, words, files, out, refused
):
    sentence = refused("run", files({"annotations.csv": change}, **sections), "--out", out)
    assert [word for word in words if word not in sentence] == []
    assert not out.exists()


def test_samples_too_few_to_be_halved_are_refused_before_anything_is_fitted(files, out, refused, monkeypatch):
    few = {"table.csv": lambda table: table[:24], "annotations.csv": lambda own: own[:24]}
    sentence = refused("run", files(few, prediction={"response": None}), "--out", out)
    assert "24 samples cannot be halved for the stability of edges. Set trust.n_subsamples" in sentence
    assert not out.exists()
    assert typed(monkeypatch, "run", files(few, **NETWORKS_ONLY), "--out", out, "--until", "networks") == 0


# the modulator


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda own: own.drop(columns="purity"), ["modulator.column", "annotations.csv", "'purity'"]),
        (with_cell("sample3", "purity", "much"), ["sample3", "'much'", "not a number", "leaves the sample out"]),
        (with_cell("sample3", "purity", "inf"), ["sample3"]),
        (lambda own: own.assign(purity=0.5), ["purity has one value", "nothing to vary along"]),
        (lambda own: own.assign(purity=[0.1 * k if k < 15 else np.nan for k in range(40)]), ["15 samples have all"]),
    ],
)
def test_a_modulator_that_cannot_be_used_is_refused(change, words, files, out, refused):
    sentence = refused("run", files({"annotations.csv": change}, **COLUMN), "--out", out)
    assert [word for word in words if word not in sentence] == []
    assert not out.exists()


def test_gaps_and_ties_of_the_modulator_are_noted_and_the_run_goes_on(files, out, monkeypatch):
    def change(own):
        purity = (own["purity"] * 5).round()
        purity[["sample3", "sample4"]] = np.nan
        return own.assign(purity=purity)

    yaml = files({"annotations.csv": change}, **COLUMN, **NETWORKS_ONLY)
    assert typed(monkeypatch, "run", yaml, "--out", out, "--until", "reasons") == 0
    told = " ".join(notes_of(out))
    assert "2 of 40 samples have no purity and were left out." in told
    assert "38 of 38 samples share their purity with another" in told
    job = open_job(RunFolder(out))
    stack = job.profiler.networks()
    assert len(stack.samples) == 38
    dense, value = stack.to_dense(), job.axis
    for own in np.unique(value):
        np.testing.assert_array_equal(
            dense[value == own], np.broadcast_to(dense[value == own][:1], dense[value == own].shape)
        )


def gap(own):
    """Return annotations in which one sample stands alone, far beyond all others."""
    return own.assign(purity=[9.0, *own["purity"][1:]])


def test_a_sample_with_hardly_a_neighbour_is_told_and_gets_no_network(files, out, monkeypatch):
    network = {"kernel": "gaussian", "bandwidth": 0.02, "n_lambdas": 8}
    yaml = files({"annotations.csv": gap}, **COLUMN, **NETWORKS_ONLY, network=network)
    with told_while() as told:
        assert typed(monkeypatch, "run", yaml, "--out", out) == 0
    assert any("1 of 40 samples (modulator 9 to 9) have too few neighbours" in sentence for sentence in told())
    stack = open_job(RunFolder(out)).profiler.networks()
    assert list(np.flatnonzero(~stack.fitted.any(axis=1))) == [0]
    assert (out / "report.html").is_file()


def test_a_kernel_of_nearest_samples_reaches_a_sample_that_stands_alone(files, out, monkeypatch):
    network = {"kernel": "knn", "n_lambdas": 8}
    yaml = files({"annotations.csv": gap}, **COLUMN, **NETWORKS_ONLY, network=network)
    assert typed(monkeypatch, "run", yaml, "--out", out, "--until", "networks") == 0
    assert (open_job(RunFolder(out)).profiler.networks().n_fitted() == 40).all()


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"kernel": "gaussian", "bandwidth": 1e-9}, ["at most two effective neighbours", "Raise the bandwidth"]),
        ({"kernel": "gaussian", "bandwidth": -1.0}, ["bandwidth must be above 0"]),
        ({"effective_samples": 0.04}, ["effective_samples must be above 2", "0.04 of 40 samples"]),
        ({"effective_samples": 400}, ["network.effective_samples: 400 are wanted", "Set it to 18 or fewer"]),
        ({"kernel": "knn", "bandwidth": 2.5}, ["one number of neighbours, 2 to 40", "got 2.5"]),
    ],
)
def test_kernels_that_leave_no_network_are_refused(network, words, files, out, refused):
    sentence = refused("run", files(network=network, **COLUMN), "--out", out, after_progress=True)
    assert [word for word in words if word not in sentence] == []


def test_nodes_between_two_modulators_are_refused(files, out, refused):
    yaml = files(network={"n_nodes": 4}, modulator={"second": "purity"})
    sentence = refused("run", yaml, "--out", out, after_progress=True)
    assert "network.n_nodes: nodes lie along one modulator, and modulator.second names two." in sentence


def test_bandwidths_of_which_the_widest_is_best_are_told(files, out, monkeypatch):
    network = {"kernel": "gaussian", "bandwidth": "cv", "n_lambdas": 8}
    yaml = files({"table.csv": with_one_steady_regulator}, network=network, prediction={"response": None})
    with told_while() as told:
        assert typed(monkeypatch, "run", yaml, "--out", out, "--until", "networks") == 0
    assert any("the last of 5 bandwidths" in sentence and "Widen bandwidths" in sentence for sentence in told())


def test_fits_with_too_few_neighbours_are_marked_and_the_others_keep_to_the_bound(files, out, monkeypatch):
    network = {"kernel": "gaussian", "effective_samples": 4, "n_lambdas": 8}
    yaml = files(network=network, **COLUMN, prediction={"response": None})
    with told_while() as told:
        assert typed(monkeypatch, "run", yaml, "--out", out, "--until", "networks") == 0
    assert any("have too few neighbours" in sentence for sentence in told())
    fits = open_job(RunFolder(out)).profiler.fit_table()
    assert set(fits["status"]) == {"fitted", "too few neighbours"}
    marked, fitted = fits["status"] == "too few neighbours", fits["status"] == "fitted"
    assert (fits["effective_samples"][marked] <= 2).all()
    assert (fits["n_edges"][marked] == 0).all()
    assert (fits["effective_samples"][fitted] > fits["df"][fitted] + 2).all()


NO_EDGE = {
    "network": {"kernel": "gaussian", "criterion": "bic", "effective_samples": 0.9, "n_lambdas": 8},
    "trust": NO_REFITS | {"n_subsamples": 1, "n_edge_permutations": 1},
}
UNRELATED = {"table.csv": with_unrelated_targets, "regulators.txt": "TF2\n", "targets.txt": "T4\nT5\n"}


def test_where_no_network_has_an_edge_the_report_says_so(files, out, monkeypatch):
    with told_while() as told:
        assert typed(monkeypatch, "run", files(UNRELATED, prediction={"response": None}, **NO_EDGE), "--out", out) == 0
    assert any("no network has an edge" in sentence for sentence in told())
    assert pd.read_csv(out / "tables" / "edges.csv").empty
    assert "No network has an edge: in every fit the criterion chose no regulator." in (out / "report.html").read_text()


def test_networks_without_an_edge_that_shall_predict_are_refused(files, out, refused):
    yaml = files(UNRELATED, prediction={"response": "status", "core": 1}, **NO_EDGE)
    with told_while():
        sentence = refused("run", yaml, "--out", out, after_progress=True)
    assert "no network has an edge, so nothing can be predicted from them." in sentence
    assert RunFolder(out).stage_state("networks") == "done"


# the run


@pytest.mark.parametrize("file", ["table.csv", "annotations.csv", "regulators.txt", "targets.txt", "signature.csv"])
def test_a_path_that_leads_nowhere_is_refused(file, files, out, refused, tmp_path):
    yaml = files()
    (tmp_path / "in" / file).unlink()
    assert refused("run", yaml, "--out", out) == f"{tmp_path / 'in' / file}: is not there. Check the path."
    assert not out.exists()


@pytest.mark.parametrize("file", ["table.csv", "annotations.csv", "regulators.txt", "targets.txt", "signature.csv"])
def test_an_input_changed_between_run_and_resume_is_refused(file, files, out, monkeypatch, refused, capsys):
    yaml = files()
    assert typed(monkeypatch, "run", yaml, "--out", out, "--until", "split") == 0
    capsys.readouterr()
    changed = yaml.parent / file
    before = changed.read_text()
    changed.write_text(before + before.splitlines()[-1] + "\n")
    assert refused("resume", out) == (
        f"{file}: is not the file that this run began with (its content has changed). Put the old file back, or start "
        "a new run."
    )
    changed.write_text(before)
    assert typed(monkeypatch, "resume", out, "--until", "split") == 0


def test_a_new_table_that_lacks_genes_is_refused(files, out, monkeypatch, refused, capsys, tmp_path):
    yaml = files(**NETWORKS_ONLY)
    assert typed(monkeypatch, "run", yaml, "--out", out, "--until", "split") == 0
    capsys.readouterr()
    table = make_table(4, seed=5)
    table.drop(columns=["T4", "TF3"]).to_csv(tmp_path / "new.csv")
    words = ["apply", out, tmp_path / "new.csv", "--out", tmp_path / "said"]
    assert refused(*words) == f"{out}: has no fitted model yet. Finish it by `kotowari resume {out}`."
    assert typed(monkeypatch, "resume", out, "--until", "networks") == 0
    capsys.readouterr()
    sentence = refused(*words)
    assert re.search(r"new\.csv: lacks 2 of the \d+ genes that the run uses \(TF3, T4\)\. Add them, or run", sentence)
    table.assign(T4=np.nan).to_csv(tmp_path / "new.csv")
    assert "4 values are missing, first in row 'sample0', column 'T4'" in refused(*words)
    assert "none.csv" in refused("apply", out, tmp_path / "none.csv", "--out", tmp_path / "said")
    assert not (tmp_path / "said").exists()


def test_a_run_without_its_prediction_is_not_applied(files, out, monkeypatch, refused, capsys, tmp_path):
    assert typed(monkeypatch, "run", files(**QUICK), "--out", out, "--until", "networks") == 0
    capsys.readouterr()
    make_table(4).to_csv(tmp_path / "new.csv")
    sentence = refused("apply", out, tmp_path / "new.csv", "--out", tmp_path / "said")
    assert sentence == f"{out}: has no fitted model yet. Finish it by `kotowari resume {out}`."


@pytest.mark.parametrize("room", [3, 8, 14])
def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_once_there_is_room(room, files, out, monkeypatch, refused):
    real, written = os.fsync, []

    def fsync(handle):
        written.append(handle)
        if len(written) > room:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    yaml = files(**NETWORKS_ONLY)
    with monkeypatch.context() as full:
        full.setattr("kotowari.core.files.os.fsync", fsync)
        sentence = refused("run", yaml, "--out", out, "--until", "networks", after_progress=True)
    assert f"{out}" in sentence
    assert "No space left on device" in sentence
    assert "Free space" in sentence
    assert not list(out.rglob("*.part"))
    if not out.exists():  # nothing was finished, so nothing was kept
        assert typed(monkeypatch, "run", yaml, "--out", out, "--until", "networks") == 0
    else:
        assert typed(monkeypatch, "resume", out, "--until", "networks") == 0
    assert read_json(out / "run.json")["stages"][2]["state"] == "done"


def test_a_second_run_in_the_same_folder_is_refused(files, out, monkeypatch, refused, capsys):
    assert typed(monkeypatch, "run", files(), "--out", out, "--until", "read") == 0
    capsys.readouterr()
    assert f"{out}: holds a run already. Go on with it by `kotowari resume {out}`" in refused(
        "run", files(), "--out", out
    )


def test_columns_without_a_table_are_refused_by_their_key(files, out, refused):
    sentence = refused("run", files(data={"annotations": None}), "--out", out)
    assert "study.yaml: data.annotations: name the table that holds status (only h5ad holds its own)." in sentence
    assert not out.exists()


def test_a_device_is_no_option_of_networks(files, out, refused):
    assert "study.yaml: device: there is no such key" in refused("run", files(), "--out", out, "--device", "cpu")


def test_an_unknown_stage_is_refused_and_leaves_nothing_behind(files, out, refused):
    sentence = refused("run", files(), "--out", out, "--until", "dream")
    assert "--until dream: there is no such stage. Choose one of read, split, networks, fit" in sentence
    assert not out.exists()
