"""Networks in numbered blocks, as array jobs compute them, and what is typed around them."""

import shutil

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from small_genenet import (
    NO_REFITS,
    REGULATORS,
    TARGETS,
    make_annotations,
    make_table,
    quick_fits,
    write_files,
)

from kotowari.core.files import read_json
from kotowari.core.runfolder import RunFolder
from kotowari.studies import genenet
from kotowari.studies.genenet import NetworkStack
from typed_words import typed

WAYS = {
    "modulator": {"column": "purity"},
    "prediction": {"response": "dose"},
    "data": {"adjust": ["cancer"]},
    "trust": NO_REFITS | {"implant_repeats": 0},
}
BLOCKS = ("model/networks/block-00000.npz", "networks/stack/networks.npz", "work/networks/fold-0.npz")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        quick_fits(patch)
        yield


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A run on values along a column, adjusted for another, up to the final model."""
    folder = tmp_path_factory.mktemp("here")
    return genenet.run(write_files(folder / "in", **WAYS), folder / "run", until="fit", shown=False)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """The same run up to the networks, which others shall compute as numbered blocks."""
    folder = tmp_path_factory.mktemp("waiting")
    yaml = write_files(folder / "in", **WAYS, network={"numbered_blocks": True, "n_lambdas": 8})
    return genenet.run(yaml, folder / "run", until="split", shown=False)


@pytest.fixture
def blocks(waiting, tmp_path):
    shutil.copytree(waiting.path, tmp_path / "run")
    return tmp_path / "run" / "model" / "networks"


def test_blocks_that_wait_are_told_with_the_words_to_type(blocks, refused):
    run = blocks.parent.parent
    sentence = refused("resume", run, after_progress=True)
    assert sentence == (
        f"{blocks}: 1 numbered blocks wait, 0 to 0. Compute each by `kotowari block {blocks} NUMBER` on any machine "
        f"that sees this folder, then go on by `kotowari resume {run}`."
    )
    assert RunFolder(run).stage_state("networks") == "running"


def test_a_run_that_waits_for_blocks_is_not_taken_back(waiting, tmp_path, refused):
    yaml = waiting.path.parent / "in" / "study.yaml"
    assert "numbered blocks wait" in refused("run", yaml, "--out", tmp_path / "new", after_progress=True)
    assert RunFolder(tmp_path / "new").stage_state("split") == "done"


def test_blocks_that_others_computed_end_in_the_bytes_of_a_run_here(blocks, here, refused, monkeypatch, capsys):
    run = blocks.parent.parent
    refused("resume", run, after_progress=True)
    assert typed(monkeypatch, "block", blocks, "0") == 0
    assert capsys.readouterr().out == f"{blocks / 'block-00000.npz'}\n"
    assert typed(monkeypatch, "resume", run, "--until", "networks") == 0
    found = {name: (run / name).read_bytes() for name in BLOCKS}
    assert [name for name, content in found.items() if content != (here.path / name).read_bytes()] == []


def test_an_array_job_knows_its_own_number(blocks, refused, monkeypatch, capsys):
    refused("resume", blocks.parent.parent, after_progress=True)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    assert typed(monkeypatch, "block", blocks, "--threads", "1") == 0
    assert (blocks / "block-00000.npz").is_file()
    assert "Block 0" in capsys.readouterr().err


def test_blocks_that_cannot_be_computed_are_refused(blocks, refused, monkeypatch, tmp_path):
    refused("resume", blocks.parent.parent, after_progress=True)
    assert refused("block", blocks, "1") == f"{blocks} has blocks 0 to 0, and no block 1."
    assert "This is no array job" in refused("block", blocks)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "5")
    assert "no block 5" in refused("block", blocks)
    assert "profile.json: cannot be read (No such file or directory)." in refused("block", tmp_path, "0")


def test_merging_says_which_blocks_are_missing(blocks, refused, tmp_path):
    refused("resume", blocks.parent.parent, after_progress=True)
    sentence = refused("merge", blocks, "--out", tmp_path / "merged")
    assert sentence == f"{blocks}: 1 blocks are missing (0). Make each of them by `kotowari block {blocks} NUMBER`."
    assert not (tmp_path / "merged").exists()


def test_merged_blocks_are_the_networks_of_the_run(here, tmp_path, monkeypatch, capsys):
    assert typed(monkeypatch, "merge", here.path / "model" / "networks", "--out", tmp_path / "merged") == 0
    stack = NetworkStack.load(tmp_path / "merged")
    assert capsys.readouterr().out == f"{tmp_path / 'merged'}: 40 networks, {stack.n_edges} edges in all\n"
    own = NetworkStack.load(here.path / "networks" / "stack")
    np.testing.assert_array_equal(stack.to_dense(), own.to_dense())
    graph = nx.read_graphml(tmp_path / "merged" / "networks.graphml")
    assert graph.number_of_edges() == stack.n_edges
    assert set(graph.nodes) <= {*REGULATORS, *TARGETS}


def test_new_samples_bring_their_modulator_and_covariates(here, tmp_path, monkeypatch):
    table = make_table(20, seed=9)
    annotations = make_annotations(table, seed=7)
    annotations.loc["sample0", "purity"] = 5.0
    table.to_csv(tmp_path / "new.csv")
    annotations[["purity", "cancer"]].iloc[::-1].to_csv(tmp_path / "known.csv")
    words = ["apply", here.path, tmp_path / "new.csv", "--out", tmp_path / "said"]
    assert typed(monkeypatch, *words, "--annotations", tmp_path / "known.csv") == 0
    said = pd.read_csv(tmp_path / "said" / "predictions.csv", index_col="sample")
    np.testing.assert_array_equal(said["modulator"], annotations["purity"])
    low, high = make_annotations(make_table())["purity"].agg(["min", "max"])
    beyond = (annotations["purity"] < low) | (annotations["purity"] > high)
    assert list(said["beyond the run's samples"]) == list(beyond)
    assert beyond["sample0"]
    assert np.corrcoef(said["prediction"], annotations["dose"])[0, 1] > 0.4


def test_new_samples_without_their_modulator_are_refused(here, tmp_path, refused):
    table = make_table(4, seed=9)
    table.to_csv(tmp_path / "new.csv")
    words = ["apply", here.path, tmp_path / "new.csv", "--out", tmp_path / "said"]
    assert "new.csv: the run needs purity, cancer of each sample. Name the table of annotations" in refused(*words)
    known = make_annotations(table)
    for change, told in {
        "absent": (known.drop(columns="purity"), "known.csv has no column 'purity'"),
        "empty": (known.assign(purity=[0.5, np.nan, 0.5, 0.5]), "known.csv: purity is empty for sample1. Fill it in."),
        "unseen": (known.assign(cancer="brain"), "cancer: sample sample0 has 'brain', which no training sample has"),
        "row": (known.drop("sample2"), "sample2"),
    }.values():
        change.to_csv(tmp_path / "known.csv")
        assert told in refused(*words, "--annotations", tmp_path / "known.csv")
    assert not (tmp_path / "said").exists()


def test_a_scheduler_that_is_not_there_is_told_and_the_run_goes_on_without_it(tmp_path, refused, monkeypatch):
    monkeypatch.setattr("kotowari.core.cluster_client._CONNECT_SECONDS", 0.5)
    yaml = write_files(tmp_path / "in", **WAYS, cluster="tcp://127.0.0.1:1")
    sentence = refused("run", yaml, "--out", tmp_path / "run", after_progress=True)
    assert "tcp://127.0.0.1:1" in sentence
    assert RunFolder(tmp_path / "run").stage_state("networks") == "running"
    record = (tmp_path / "run" / "run.json").read_text()
    (tmp_path / "run" / "run.json").write_text(record.replace('"tcp://127.0.0.1:1"', "null"))
    assert typed(monkeypatch, "resume", tmp_path / "run", "--until", "networks") == 0
    assert read_json(tmp_path / "run" / "run.json")["stages"][2]["state"] == "done"
