"""The whole study on a small table: what it leaves behind, and that stopping it changes nothing."""

import json
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
from small_omics import PLANTED, make_labels, make_sets, make_table, quick_runs, write_files

from kotowari.core.files import read_json
from kotowari.core.runfolder import RunFolder
from kotowari.studies import omics
from typed_words import killed_after, typed

ROLES = {"ours", "comparator", "trivial null", "chance", "untrained"}
# as soon as the networks of the first fold are written, the process dies as if the system had killed it
KILLED = killed_after("fold-0.npz")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        quick_runs(patch)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    table, codes = make_table()
    return write_files(tmp_path_factory.mktemp("study") / "in", table, make_labels(table, codes), make_sets(table))


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    """An unbroken run."""
    return omics.run(files, tmp_path_factory.mktemp("whole") / "run", shown=False)


@pytest.fixture
def laid_out(files, tmp_path):
    """A run stopped after the layout."""
    return omics.run(files, tmp_path / "run", until="layout", shown=False)


def results(path):
    """Every figure of a run: the bytes of the tables and of the metrics."""
    found = {file.name: file.read_bytes() for file in sorted((path / "tables").glob("*.csv"))}
    return found | {"metrics.json": (path / "metrics.json").read_bytes()}


def assert_same_results(path, other):
    ours, theirs = results(path), results(other)
    assert ours.keys() == theirs.keys()
    assert [name for name, content in ours.items() if content != theirs[name]] == []


def test_the_report_names_the_planted_genes(whole):
    page = (whole.path / "report.html").read_text()
    assert [gene for gene in PLANTED if gene not in page] == []
    assert "PLANTED_SET" in page
    genes = pd.read_csv(whole.path / "tables" / "genes.csv")
    assert len(set(genes["gene"][:10]) & set(PLANTED)) >= 8


def test_every_role_is_scored_and_ours_is_above_chance(whole):
    rows = whole.metrics()
    assert {row.role for row in rows} == ROLES
    auc = {row.role: row.value for row in rows if row.metric == "AUC"}
    assert auc["ours"] > 0.9 > auc["untrained"]
    assert auc["chance"] < 0.8
    assert [row.n_null for row in rows if row.role == "ours"] == [2] * 5


def test_every_stage_is_done_and_the_inputs_are_known_by_their_sums(whole, files):
    record = read_json(whole.path / "run.json")
    assert {stage["state"] for stage in record["stages"]} == {"done"}
    assert [entry["name"] for entry in record["inputs"]] == ["table.csv", "labels.csv", "sets.gmt"]
    assert record["inputs"][0]["bytes"] == (files.parent / "table.csv").stat().st_size


def test_the_evidence_holds_every_test_with_its_verdict(whole):
    checks = read_json(whole.path / "evidence" / "genes.json")["checks"]
    assert len(checks) == 7
    assert all(check["sentence"].endswith(".") for check in checks)


def values_found(path, table):
    """Names of the files of a run that hold a value of the table, as text or as numbers."""
    words = [repr(float(value)).encode() for value in table.to_numpy()[:, 15:30].ravel()]
    runs = [row[15:18].astype(kind).tobytes() for row in table.to_numpy() for kind in (np.float32, np.float64)]
    found = []
    for file in (file for file in path.rglob("*") if file.is_file()):
        content = file.read_bytes()
        packed = [b"".join(array.tobytes() for array in np.load(file).values())] if file.suffix == ".npz" else []
        if any(piece in held for held in (content, *packed) for piece in (*words, *runs)):
            found.append(file.name)
    return found


def test_no_values_of_samples_are_copied_into_the_run_folder(whole):
    assert values_found(whole.path, make_table()[0]) == []


def test_a_copied_table_would_be_found(files, tmp_path):
    table = make_table()[0]
    shutil.copy(files.parent / "table.csv", tmp_path / "copy.csv")
    np.savez_compressed(tmp_path / "packed.npz", X=table.to_numpy(np.float32))
    assert sorted(values_found(tmp_path, table)) == ["copy.csv", "packed.npz"]


def test_a_run_stopped_after_a_stage_and_killed_in_another_goes_on_to_the_bytes_of_an_unbroken_one(
    whole, laid_out, monkeypatch, capsys, ready
):
    run = laid_out.path
    assert RunFolder(run).stage_state("fit") == "waiting"
    assert ready.run(KILLED, "resume", run, warned="default").returncode == -signal.SIGKILL
    assert RunFolder(run).stage_state("fit") == "running"
    assert [file.name for file in (run / "work" / "fit").glob("*.npz")] == ["fold-0.npz"]
    assert typed(monkeypatch, "resume", run) == 0
    assert_same_results(run, whole.path)
    assert f"Report: {run / 'report.html'}" in capsys.readouterr().out


def test_another_seed_gives_other_results_so_that_equal_ones_mean_something(whole, files, tmp_path):
    other = omics.run(files_with_seed(files, 1), tmp_path / "run", until="fit", shown=False)
    ours = (whole.path / "tables" / "predictions.csv").read_bytes()
    assert (other.path / "tables" / "predictions.csv").read_bytes() != ours


def files_with_seed(files, seed):
    path = files.with_name(f"seed-{seed}.yaml")
    path.write_text(files.read_text().replace("study: omics", f"study: omics\nseed: {seed}"))
    return path


@pytest.mark.parametrize("file", ["table.csv", "labels.csv", "sets.gmt"])
def test_an_input_changed_between_run_and_resume_is_refused(file, tmp_path, monkeypatch, capsys):
    table, codes = make_table(12, 24)
    yaml = write_files(tmp_path / "in", table, make_labels(table, codes), make_sets(table))
    assert typed(monkeypatch, "run", yaml, "--out", tmp_path / "run", "--until", "split") == 0
    capsys.readouterr()
    changed = tmp_path / "in" / file
    before = changed.read_text()
    changed.write_text(before.replace("8", "9").replace("4", "5"))
    assert typed(monkeypatch, "resume", tmp_path / "run", "--until", "layout") == 1
    assert capsys.readouterr().err == (
        f"kotowari: {file}: is not the file that this run began with (its content has changed). "
        "Put the old file back, or start a new run.\n"
    )
    changed.write_text(before)
    assert typed(monkeypatch, "resume", tmp_path / "run", "--until", "layout") == 0


def test_new_samples_are_predicted_and_explained(whole, tmp_path, monkeypatch, capsys):
    table, codes = make_table(20, seed=9)
    shuffled = table[list(table.columns[::-1])].assign(EXTRA=1.0)
    shuffled.to_csv(tmp_path / "new.csv")
    assert typed(monkeypatch, "apply", whole.path, tmp_path / "new.csv", "--out", tmp_path / "said") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'said' / 'predictions.csv'}\n"
    said = pd.read_csv(tmp_path / "said" / "predictions.csv", index_col="sample")
    assert list(said.index) == list(table.index)
    truth = make_labels(table, codes)["status"]
    assert (said["prediction"] == truth).mean() > 0.9
    np.testing.assert_allclose(said[["p(case)", "p(control)"]].sum(axis=1), 1, atol=1e-6)
    assert (said["completeness gap"] < 0.01).all()
    relevance = pd.read_csv(tmp_path / "said" / "relevance.csv", index_col="sample")
    assert set(relevance.columns) == set(table.columns)
    strongest = relevance.abs().mean().nlargest(10).index
    assert len(set(strongest) & set(PLANTED)) >= 7


def test_the_report_can_be_written_again(whole, tmp_path, monkeypatch, capsys):
    shutil.copytree(whole.path, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    assert typed(monkeypatch, "report", tmp_path / "run") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'run' / 'report.html'}\n"
    assert PLANTED[0] in (tmp_path / "run" / "report.html").read_text()


def test_a_regression_runs_from_end_to_end(tmp_path, monkeypatch, capsys):
    table, codes = make_table()
    labels = make_labels(table, codes)
    labels["age"] += table["GENE12"]
    yaml = write_files(tmp_path / "in", table, labels, make_sets(table), data={"target": "age"})
    assert typed(monkeypatch, "run", yaml, "--out", tmp_path / "run") == 0
    rows = RunFolder(tmp_path / "run").metrics()
    assert {row.role for row in rows} == ROLES
    assert {row.metric for row in rows if row.role == "ours"} == {"R2", "MAE", "Spearman"}
    assert next(row.value for row in rows if row.role == "ours" and row.metric == "Spearman") > 0.5
    said = pd.read_csv(tmp_path / "run" / "tables" / "predictions.csv")
    assert said["prediction"].between(20, 90).all(), "predictions are not in units of the target"
    table[:5].to_csv(tmp_path / "new.csv")
    capsys.readouterr()
    assert typed(monkeypatch, "apply", tmp_path / "run", tmp_path / "new.csv", "--out", tmp_path / "said") == 0
    assert len(pd.read_csv(tmp_path / "said" / "predictions.csv")) == 5


def test_three_classes_without_gene_sets_and_permutations_run_from_end_to_end(tmp_path, monkeypatch):
    table, codes = make_table(42, n_classes=3)
    data = {"group": "patient", "gene_sets": None}
    nothing = {"n_permutations": 0, "n_bootstraps": 0, "implant_repeats": 0}
    yaml = write_files(tmp_path / "in", table, make_labels(table, codes), None, data=data, trust=nothing)
    assert typed(monkeypatch, "run", yaml, "--out", tmp_path / "run") == 0
    rows = RunFolder(tmp_path / "run").metrics()
    assert {row.role for row in rows} == ROLES - {"chance"}
    assert rows[0].metric == "balanced accuracy"
    evidence = sorted(file.name for file in (tmp_path / "run" / "evidence").glob("*.json"))
    assert evidence == ["genes-0.json", "genes-1.json", "genes-2.json", "genes.json"]
    verdicts = {
        check["name"]: check["verdict"] for check in read_json(tmp_path / "run" / "evidence" / "genes.json")["checks"]
    }
    assert verdicts["chance"] == verdicts["stability"] == "not applicable"
    page = (tmp_path / "run" / "report.html").read_text()
    assert "chance was not measured" in page
    assert not list((tmp_path / "run" / "tables").glob("pathways*"))


def test_no_file_of_a_run_is_a_pickle_and_every_json_is_strict(whole):
    for file in whole.path.rglob("*.json"):
        json.loads(file.read_text(), parse_constant=lambda word: pytest.fail(f"holds {word}"))
    for file in whole.path.rglob("*.npz"):
        np.load(file, allow_pickle=False).close()
    suffixes = {file.suffix for file in whole.path.rglob("*") if file.is_file()}
    assert suffixes <= {".json", ".jsonl", ".npz", ".csv", ".png", ".svg", ".html", ".safetensors", ""}
