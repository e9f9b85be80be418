"""A profiler in a folder: saved and loaded, prepared and fitted block by block, cut short, mixed up."""

import errno
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from kotowari.core.errors import InputError, RunFolderError
from kotowari.studies.genenet.cluster.numbered import array_index, fit_numbered_block, missing_blocks
from kotowari.studies.genenet.model.profile import saved as saved_module
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler

QUICK = {"kernel": "knn", "n_lambdas": 8, "max_rounds": 2, "block_size": 4}


@pytest.fixture
def table(rng):
    X = pd.DataFrame(rng.normal(size=(50, 10)), [f"P{k}" for k in range(50)], [f"G{k}" for k in range(10)])
    m = np.sort(rng.random(50))
    X["G5"] = X["G0"] * (2 * m - 1) * 2 + X["G1"] + 0.3 * rng.normal(size=50)
    return X, m


@pytest.fixture
def run(table, tmp_path):
    """The folder of a fit with three blocks."""
    return NetworkProfiler(folder=tmp_path / "run", **QUICK).fit(*table)._folder


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def fill(disk, after):
    """Let a disk have room for some files more."""
    written = []

    def full(_):
        written.append(1)
        if len(written) > after:
            raise OSError(errno.ENOSPC, "No space left on device")

    disk.setattr(os, "fsync", full)


# ------------------------------------------------------------------------------------------------- saved and loaded

OPTIONS = {
    "plain": {},
    "gaussian": {"kernel": "gaussian", "bandwidth": 0.1 + 0.2},
    "nodes": {"n_nodes": 12},
    "folds": {"criterion": "cv", "n_folds": 3, "random_state": 5},
    "bandwidths": {"bandwidth": "cv", "bandwidths": [12, np.int64(18), 24], "max_rounds": 1},
    "factors": {"penalty_factors": [1, 2, np.inf, 0.5] + [1] * 6, "ridges": [0.01, np.float64(0.1)]},
}


@pytest.mark.filterwarnings("ignore:NetworkProfiler. the (first|last) of 3 bandwidths")
@pytest.mark.parametrize("name", OPTIONS)
def test_a_loaded_profiler_answers_as_the_saved_one(name, table, tmp_path):
    X, m = table
    profiler = NetworkProfiler(**(QUICK | OPTIONS[name])).fit(X, m)
    profiler.save(tmp_path / "saved")
    loaded = NetworkProfiler.load(tmp_path / "saved")
    for make in (
        lambda p: p.networks().to_dense(),
        lambda p: p.networks().intercepts,
        lambda p: p.coefficients([0.3, 0.7], targets=["G5", "G1"]).to_dense(),
        lambda p: p.predict(X.iloc[:5], m[:5]),
        lambda p: p.effective_samples_,
        lambda p: p.places_,
    ):
        np.testing.assert_array_equal(make(loaded), make(profiler))
    pd.testing.assert_frame_equal(loaded.fit_table(), profiler.fit_table())
    assert loaded.networks().description == profiler.networks().description
    assert loaded.kernels_ == profiler.kernels_
    assert loaded.node_gap_ == profiler.node_gap_
    assert loaded.feature_names_in_.tolist() == list(X.columns)
    assert (loaded.bandwidth_errors_ is None) == (profiler.bandwidth_errors_ is None)
    again = loaded.fit(X, m)  # with the options that were saved
    np.testing.assert_array_equal(again.networks().to_dense(), profiler.networks().to_dense())


def test_two_modulators_and_a_table_without_names_are_kept(rng, tmp_path):
    X, m = rng.normal(size=(50, 4)), rng.random((50, 2))
    profiler = NetworkProfiler(effective_samples=20, n_lambdas=5, max_rounds=1).fit(X, m, targets=[3])
    profiler.save(tmp_path / "saved")
    loaded = NetworkProfiler.load(str(tmp_path / "saved"))
    np.testing.assert_array_equal(loaded.networks().to_dense(), profiler.networks().to_dense())
    assert loaded.networks().modulator.shape == (50, 2)
    assert not hasattr(loaded, "feature_names_in_")


def test_saved_in_memory_or_written_as_it_comes_there_is_one_layout(table, run, tmp_path):
    memory = NetworkProfiler(n_jobs=2, verbose=False, **QUICK).fit(*table)
    memory.save(tmp_path / "memory")
    written = NetworkProfiler.load(run)
    written.save(tmp_path / "copy")
    written.save(run)  # nothing is left to do
    assert bytes_of(tmp_path / "memory") == bytes_of(run) == bytes_of(tmp_path / "copy")
    shutil.rmtree(run)
    assert NetworkProfiler.load(tmp_path / "copy").networks().n_edges > 0  # refers to nothing outside


def test_nothing_in_a_folder_is_pickled(run):
    arrays = sorted(run.glob("*.npz"))
    assert len(arrays) == 4
    for path in arrays:
        with np.load(path, allow_pickle=False) as content:
            assert all(content[name].dtype != object for name in content.files)


def test_a_folder_of_something_else_is_refused(table, run, tmp_path):
    X, m = table
    other = NetworkProfiler(**QUICK).fit(X.rename(columns={"G0": "TP53"}), m)  # the same numbers under other names
    with pytest.raises(RunFolderError, match="networks of other data or options"):
        other.save(run)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty, and holds no networks"):
        other.save(tmp_path / "notes")
    with pytest.raises(NotFittedError):
        NetworkProfiler().save(tmp_path / "new")


# -------------------------------------------------------------------------------------------------- numbered blocks


@pytest.mark.parametrize("options", [{}, {"n_nodes": 12}])
def test_numbered_blocks_in_any_order_are_a_fit(options, table, tmp_path):
    X, m = table
    options = QUICK | options
    profiler = NetworkProfiler(folder=tmp_path / "jobs", **options)
    assert profiler.prepare(X, m) == 3
    with pytest.raises(NotFittedError):
        profiler.networks()
    for number in (2, 0, 1):
        assert number in missing_blocks(tmp_path / "jobs")
        assert fit_numbered_block(tmp_path / "jobs", number, n_jobs=1 + number % 2).is_file()
    assert missing_blocks(tmp_path / "jobs") == []
    merged = NetworkProfiler.load(tmp_path / "jobs")
    whole = NetworkProfiler(folder=tmp_path / "run", **options).fit(X, m)
    assert bytes_of(tmp_path / "jobs") == bytes_of(tmp_path / "run")
    np.testing.assert_array_equal(merged.networks().to_dense(), whole.networks().to_dense())
    assert merged.node_gap_ == whole.node_gap_
    assert NetworkProfiler(folder=tmp_path / "jobs", **options).fit(X, m).node_gap_ == whole.node_gap_


def test_missing_blocks_are_named_with_the_command_that_makes_them(table, tmp_path):
    folder = tmp_path / "jobs"
    NetworkProfiler(folder=folder, **(QUICK | {"block_size": 1})).prepare(*table)
    fit_numbered_block(folder, 4)
    with pytest.raises(RunFolderError, match=r"9 blocks are missing \(0, 1, 2, 3, 5, 6, 7, 8, 9\).* by `kotowari"):
        NetworkProfiler.load(folder)


def test_a_block_that_stands_is_left_alone(run):
    kept = (run / "block-00001.npz").stat().st_mtime_ns
    fit_numbered_block(run, 1)
    assert (run / "block-00001.npz").stat().st_mtime_ns == kept


def test_preparing_again_changes_nothing_and_other_data_are_refused(table, tmp_path):
    X, m = table
    profiler = NetworkProfiler(folder=tmp_path / "jobs", **QUICK)
    profiler.prepare(X, m)
    before = bytes_of(tmp_path / "jobs")
    assert profiler.prepare(X, m) == 3
    assert bytes_of(tmp_path / "jobs") == before
    with pytest.raises(RunFolderError, match="networks of other data or options"):
        profiler.prepare(X * 2, m)


def test_what_cannot_be_a_block_is_told(table, run, tmp_path):
    with pytest.raises(InputError, match="has blocks 0 to 2, and no block 3"):
        fit_numbered_block(run, 3)
    with pytest.raises(InputError, match="has blocks 0 to 2, and no block -1"):
        fit_numbered_block(run, -1)
    with pytest.raises(InputError, match=r"profile\.json: cannot be read"):
        fit_numbered_block(tmp_path, 0)
    with pytest.raises(InputError, match="NetworkProfiler has no folder"):
        NetworkProfiler(**QUICK).prepare(*table)


def test_progress_of_a_block_is_shown(table, tmp_path, capsys):
    NetworkProfiler(folder=tmp_path, **QUICK).prepare(*table)
    fit_numbered_block(tmp_path, 2, verbose=True)
    assert "Block 2: done" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "number"),
    [
        ({"SLURM_ARRAY_TASK_ID": "0"}, 0),
        ({"PBS_ARRAY_INDEX": "11"}, 11),
        ({"PBS_ARRAYID": "7"}, 7),
        ({"SGE_TASK_ID": "1"}, 0),
        ({"LSB_JOBINDEX": "12"}, 11),
        ({"SLURM_ARRAY_TASK_ID": "4", "SGE_TASK_ID": "undefined", "LSB_JOBINDEX": "0"}, 4),
    ],
)
def test_every_scheduler_counts_to_the_same_blocks(environ, number):
    assert array_index({"HOME": "/home/a"} | environ) == number


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "no array job: none of SLURM_ARRAY_TASK_ID, .* is set"),
        ({"SGE_TASK_ID": "undefined"}, "no array job"),
        ({"SLURM_ARRAY_TASK_ID": "two"}, "SLURM_ARRAY_TASK_ID=two: gives no number of a block"),
        ({"SGE_TASK_ID": "0"}, "SGE_TASK_ID=0: gives no number"),
        ({"SLURM_ARRAY_TASK_ID": "4", "SGE_TASK_ID": "4"}, "SLURM_ARRAY_TASK_ID=4, SGE_TASK_ID=4: gives no number"),
    ],
)
def test_an_environment_without_a_number_is_told(environ, sentence):
    with pytest.raises(InputError, match=sentence):
        array_index(environ)


# ------------------------------------------------------------------------------------------ damaged, cut short, mixed


def test_a_damaged_or_missing_task_is_told(run):
    (run / "task.npz").write_bytes(b"PK cut short")
    with pytest.raises(InputError, match=r"task\.npz: is missing or damaged"):
        NetworkProfiler.load(run)
    (run / "task.npz").unlink()
    with pytest.raises(InputError, match=r"task\.npz: is missing or damaged"):
        fit_numbered_block(run, 0)
    (run / "profile.json").write_text("[]")
    with pytest.raises(InputError, match="is no NetworkProfiler that this version reads"):
        missing_blocks(run)


def test_a_task_of_other_data_beside_the_facts_is_caught(table, run, tmp_path):
    X, m = table
    NetworkProfiler(folder=tmp_path / "other", **QUICK).prepare(X * 2, m)
    shutil.copy(tmp_path / "other" / "task.npz", run)
    with pytest.raises(InputError, match=r"does not belong to the profile\.json beside it"):
        NetworkProfiler.load(run)


def test_blocks_of_two_versions_are_not_mixed(table, run, monkeypatch):
    monkeypatch.setattr(saved_module.metadata, "version", lambda _: "9.9")
    with pytest.raises(RunFolderError, match=r"was begun by kotowari .*, and this is 9\.9"):
        fit_numbered_block(run, 0)
    with pytest.raises(RunFolderError, match=r"was begun by kotowari .*, and this is 9\.9"):
        NetworkProfiler(folder=run, **QUICK).fit(*table)
    assert NetworkProfiler.load(run).networks().n_edges > 0  # reading is no matter of versions


def test_preparation_that_was_killed_goes_on(table, tmp_path):
    folder = tmp_path / "jobs"
    NetworkProfiler(folder=folder, **QUICK).prepare(*table)
    whole = bytes_of(folder)
    (folder / "profile.json").rename(folder / ".profile.json.1.part")
    NetworkProfiler(folder=folder, **QUICK).prepare(*table)
    (folder / ".profile.json.1.part").unlink()
    assert bytes_of(folder) == whole


def test_a_full_disk_is_told_and_nothing_written_is_lost(run, tmp_path, monkeypatch):
    whole = bytes_of(run)
    profiler = NetworkProfiler.load(run)
    for after in range(5):
        folder = tmp_path / str(after)
        with monkeypatch.context() as disk:
            fill(disk, after)
            with pytest.raises(RunFolderError, match=r"cannot be written \(No space left on device\)\. Free space"):
                profiler.save(folder)
        found = bytes_of(folder)
        assert len(found) == after
        assert found.items() <= whole.items()
        profiler.save(folder)
        assert bytes_of(folder) == whole


def test_a_full_disk_under_a_numbered_block_leaves_no_half_of_it(table, run, tmp_path, monkeypatch):
    NetworkProfiler(folder=tmp_path / "jobs", **QUICK).prepare(*table)
    with monkeypatch.context() as disk:
        fill(disk, 0)
        with pytest.raises(RunFolderError, match="No space left"):
            fit_numbered_block(tmp_path / "jobs", 0)
    assert sorted(bytes_of(tmp_path / "jobs")) == ["profile.json", "task.npz"]
    fit_numbered_block(tmp_path / "jobs", 0)
    assert bytes_of(tmp_path / "jobs").items() <= bytes_of(run).items()


def test_options_of_a_machine_are_not_saved(table, tmp_path):
    NetworkProfiler(n_jobs=2, cluster=None, verbose=False, folder=tmp_path / "run", **QUICK).fit(*table)
    told = json.loads((tmp_path / "run" / "profile.json").read_text())
    assert not {"n_jobs", "cluster", "verbose", "folder"} & told["options"].keys()
    assert str(tmp_path) not in json.dumps(told)
