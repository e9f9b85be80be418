"""The whole study on a small cohort: what it leaves behind, that stopping it changes nothing, and its other ways."""

import json
import shutil
import signal

import nibabel
import numpy as np
import pandas as pd
import pytest
from small_brains import N_SUBJECTS, NO_GRID, NO_TRUST, ONE_QUESTION, REGIONS, quick_fits, volume_path, write_files

from kotowari.core.evidence import Evidence
from kotowari.core.files import read_json, write_json
from kotowari.core.jobs import load_arrays
from kotowari.core.runfolder import RunFolder
from kotowari.studies import brain
from kotowari.studies.brain import VolumeStore, open_job
from kotowari.studies.brain.job import FINAL, LABEL_TRAINED, OURS, UNTRAINED
from typed_words import killed_after, typed

ROLES = {"ours", "comparator", "trivial null", "chance", "untrained"}
STAGES = ["read", "split", "features", "fit", "compare", "null", "reasons", "trust", "report"]
QUESTIONS = ["age", "dose", "dose (log scale)", "dose and positive"]
WORDS = ["age", "dose", "dose-and-positive"]  # files of the targets on their own scale
# as soon as the encoder of the first fold is written, the process dies as if the system had killed it
KILLED = killed_after("fold-0.npz")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        quick_fits(patch)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("study") / "in")


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    """An unbroken run."""
    return brain.run(files, tmp_path_factory.mktemp("whole") / "run", shown=False)


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Run a changed configuration without pictures, which the unbroken run draws; returns its folder."""

    def run(table=None, *, until=None, **changes):
        monkeypatch.setattr("kotowari.studies.brain.story.draw", lambda _: [])
        return brain.run(write_files(tmp_path / "in", table, **changes), tmp_path / "run", until=until, shown=False)

    return run


def results(path):
    """Every figure of a run, as bytes by file."""
    found = [path / "metrics.json", path / "splits.json"]
    for folder, pattern in {
        "tables": "*",
        "evidence": "*",
        "maps": "*",
        "work": "**/*.npz",
        "work/volumes": "*",
        "work/encoders": "**/*",
        "model": "**/*",
    }.items():
        found += [file for file in sorted((path / folder).glob(pattern)) if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in found}


def assert_same_results(path, other):
    ours, theirs = results(path), results(other)
    assert ours.keys() == theirs.keys()
    assert [name for name, content in ours.items() if content != theirs[name]] == []


def table_of(run, name):
    return pd.read_csv(run.path / "tables" / f"{name}.csv")


def set_workers(run, n_workers):
    record = read_json(run.path / "run.json")
    record["config"]["workers"] = n_workers
    write_json(run.path / "run.json", record)


# what an unbroken run leaves behind


def test_every_stage_is_done_and_the_inputs_are_known_by_their_sums(whole, files):
    record = read_json(whole.path / "run.json")
    assert [(stage["name"], stage["state"]) for stage in record["stages"]] == [(name, "done") for name in STAGES]
    sizes = {entry["name"]: entry["bytes"] for entry in record["inputs"]}
    assert list(sizes) == ["atlas.nii.gz", "atlas.tsv", "participants.tsv", f"{N_SUBJECTS} volumes"]
    volumes = [volume_path(files.parent, number).stat().st_size for number in range(1, N_SUBJECTS + 1)]
    assert sizes[f"{N_SUBJECTS} volumes"] == sum(volumes)


def test_the_record_of_a_run_names_no_participant(whole):
    text = (whole.path / "run.json").read_text() + (whole.path / "events.jsonl").read_text()
    names = open_job(whole).cohort.subjects
    assert [name for name in names if f"sub-{name}" in text or f'"{name}"' in text] == []
    assert f"sub-{names[0]}" in (whole.path / "work" / "volumes" / "store.json").read_text(), (
        "the store is not the record"
    )


def test_every_role_is_scored_and_every_row_stands_once(whole):
    rows = whole.metrics()
    assert {row.role for row in rows} == ROLES
    keys = [(row.target, row.metric, row.model) for row in rows]
    assert len(set(keys)) == len(keys)
    for name in QUESTIONS:
        assert {row.role for row in rows if row.target == name} == ROLES, name
        models = {row.model for row in rows if row.target == f"{name}, external sites"}
        assert {OURS, UNTRAINED, LABEL_TRAINED, "average pooling by 2", "covariates only"} <= models, name
        (ours,) = [row for row in rows if (row.target, row.metric, row.model) == (name, "r", OURS)]
        assert 0.25 <= ours.p <= 1, "three refits reach no smaller p"
        assert ours.n_null == 3
    errors = {row.model for row in rows if row.target == "reconstruction"}
    assert {OURS, UNTRAINED, "mean training brain", "principal components, n - 1"} == errors


def test_dose_is_asked_of_patients_and_age_of_all_and_external_subjects_are_never_learned_from(whole):
    job = open_job(whole)
    patients, external = job.diagnosis == "patient", job.external
    asked = {question.name: question.target.rows for question in job.questions}
    assert list(asked) == QUESTIONS
    np.testing.assert_array_equal(asked["age"], np.flatnonzero(~external))
    np.testing.assert_array_equal(asked["dose"], np.flatnonzero(patients & ~external))
    for fold in job.folds:
        assert not external[[*fold.train, *fold.test]].any()
        assert not set(fold.train) & set(fold.test)
    said = table_of(whole, "predictions-dose")
    assert (said["where"] == "external sites").sum() == (patients & external).sum()
    assert (said["where"] == "out of fold").sum() == (patients & ~external).sum()


def test_the_evidence_holds_every_test_with_its_verdict(whole):
    for word in WORDS:
        evidence = Evidence.load(whole.path / "evidence", word)
        names = [check.name for check in evidence.checks]
        assert len(set(names)) == len(names)
        assert {"chance", "beyond the untrained network", "model randomisation", "shuffled target", "stability"} <= set(
            names
        )
        assert ("detection limit" in names) == (word == "dose")
        assert all(check.sentence.endswith((".", ".)")) for check in evidence.checks)
        assert sorted(evidence.parts["name"]) == sorted(REGIONS)
    assert not (whole.path / "evidence" / "dose-log-scale.json").exists()


def test_maps_lie_on_the_grid_of_the_volumes_to_the_voxel(whole, files):
    source = nibabel.load(volume_path(files.parent, 1))
    store = open_job(whole).store
    inside = store.to_full(store.mask)
    found = sorted((whole.path / "maps").iterdir())
    names = {file.name.removesuffix(".nii.gz") for file in found}
    kinds = ("occlusion", "gradient", "integrated-gradients", "pattern", "glm-t", "glm-p-family")
    assert {f"{word}-{kind}" for word in WORDS for kind in kinds} <= names
    for file in found:
        image = nibabel.load(file)
        assert image.shape == source.shape
        np.testing.assert_array_equal(image.affine, source.affine)
        values = image.get_fdata()
        assert np.isfinite(values).all()
        assert not values[~inside].any() or "glm-p" in file.name or "synthetic" in file.name, file.name


def test_the_map_of_a_region_is_the_row_of_its_table(whole):
    job = open_job(whole)
    values = nibabel.load(whole.path / "maps" / "age-occlusion.nii.gz").get_fdata()[job.store.box]
    table = table_of(whole, "regions-age").set_index("name")
    for name, own in job.atlas.masks():
        (value,) = np.unique(values[own])
        sign = {"+": 1, "-": -1, "0": 0}[table.loc[name, "sign"]]
        assert value == pytest.approx(sign * table.loc[name, "strength"], rel=1e-5)
        assert table.loc[name, "side"] == name[-1]
    assert table["strength"].is_monotonic_decreasing


def test_the_tables_are_those_of_the_run(whole):
    grid = table_of(whole, "grid")
    assert list(zip(grid["blocks"], grid["channels"], strict=True)) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert grid["MAE over mean brain"].between(0.5, 2).all()
    assert {*QUESTIONS, *(f"{name}, external sites" for name in QUESTIONS)} <= set(grid.columns)
    gains = table_of(whole, "gains")
    assert set(gains["target"]) == set(QUESTIONS)
    assert (gains["low"] <= gains["difference"]).all()
    assert (gains["difference"] <= gains["high"]).all()
    chance = table_of(whole, "chance")
    assert (chance["p_family"] >= chance["p"] - 1e-12).all()
    volumes = table_of(whole, "volumes")
    assert len(volumes) == N_SUBJECTS
    assert not (whole.path / "tables" / "planted.csv").exists(), "the brains of a user have no truth"


def is_one_of(volumes, values):
    """Whether an array is a subject's volume, however it is scaled."""
    if values.shape != volumes.shape[1:] or not np.ptp(values):
        return False
    return max(abs(np.corrcoef(values.ravel(), own.ravel())[0, 1]) for own in volumes) > 0.9999


def planes(arrays, shape):
    """Every array of the box's shape, also those that lie in stacks."""
    for values in arrays.values():
        if values.shape[-3:] == shape and values.dtype.kind == "f":
            yield from values.reshape(-1, *shape)


def test_no_volume_of_a_subject_is_drawn_written_as_a_map_or_kept_as_evidence(whole):
    store = open_job(whole).store
    volumes, shape = store.volumes(slice(None)), store.mask.shape
    drawn = list(planes(load_arrays(whole.path / "work" / "pictures.npz"), shape))
    drawn += [nibabel.load(file).get_fdata()[store.box] for file in (whole.path / "maps").iterdir()]
    drawn += [Evidence.load(whole.path / "evidence", word).map for word in WORDS]
    assert len(drawn) > 20
    assert not any(is_one_of(volumes, values) for values in drawn)
    smuggled = planes({"template": np.stack([volumes[3] * 2])}, shape)
    assert any(is_one_of(volumes, values) for values in smuggled), "a subject's volume would be seen"


def test_the_report_shows_the_answers_and_asks_for_nothing_outside(whole):
    page, told = (whole.path / "report.html").read_text(), read_json(whole.path / "page.json")
    for words in ("Do features learned without labels foretell age, dose", REGIONS[0], "Preset quick", "2 blocks"):
        assert words in page or words == "2 blocks"
    assert any("within patients, against the same encoder trained on the diagnosis" in said for said in told["answers"])
    assert dict(told["data"])["Kept aside whole"].endswith("subjects of site B")
    assert 'src="http' not in page
    assert "nan" not in " ".join(told["answers"])
    for figure in told["figures"]:
        assert (whole.path / "figures" / figure["file"]).stat().st_size > 0
    assert len(told["figures"]) > 15


def test_no_file_of_a_run_is_a_pickle_and_every_json_is_strict(whole):
    for file in whole.path.rglob("*.json"):
        json.loads(file.read_text(), parse_constant=lambda word: pytest.fail(f"holds {word}"))
    for file in whole.path.rglob("*.npz"):
        assert load_arrays(file)  # reads every array, and refuses pickled ones


# going on


@pytest.fixture(scope="module")
def killed(files, tmp_path_factory, ready):
    """A run that the system killed between the encoder of the first fold and that of the second."""
    run = brain.run(files, tmp_path_factory.mktemp("killed") / "run", until="split", shown=False)
    assert ready.run(KILLED, "resume", run.path, warned="default").returncode == -signal.SIGKILL
    return run


def test_a_killed_run_stopped_after_every_stage_and_spread_over_processes_ends_in_the_bytes_of_an_unbroken_one(
    killed, whole, tmp_path, monkeypatch
):
    shutil.copytree(killed.path, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    set_workers(run, 2)
    monkeypatch.setattr("kotowari.studies.brain.story.draw", lambda _: [])
    assert RunFolder(run.path).stage_state("features") == "running"
    assert [file.name for file in sorted((run.path / "work" / "features").iterdir())] == ["final.npz", "fold-0.npz"]
    for name in STAGES[2:]:
        assert typed(monkeypatch, "resume", run.path, "--until", name) == 0
        states = [stage["state"] for stage in read_json(run.path / "run.json")["stages"]]
        assert states == ["done"] * (STAGES.index(name) + 1) + ["waiting"] * (len(STAGES) - STAGES.index(name) - 1)
    assert_same_results(run.path, whole.path)


def test_stages_that_are_done_again_give_the_same_bytes(whole, tmp_path, monkeypatch):
    """As after a kill at the very end of each of them: what they left stands, and is not counted twice."""
    shutil.copytree(whole.path, tmp_path / "run")
    record = read_json(tmp_path / "run" / "run.json")
    for stage in record["stages"][1:]:
        stage["state"] = "waiting"
    write_json(tmp_path / "run" / "run.json", record)
    monkeypatch.setattr("kotowari.studies.brain.story.draw", lambda _: [])
    assert typed(monkeypatch, "resume", tmp_path / "run") == 0
    assert_same_results(tmp_path / "run", whole.path)


def test_another_seed_draws_otherwise_so_that_equal_bytes_mean_something(whole, ran):
    other = ran(seed=1, until="split")
    assert (other.path / "splits.json").read_bytes() != (whole.path / "splits.json").read_bytes()
    store = "work/volumes/values.npy"
    assert (other.path / store).read_bytes() == (whole.path / store).read_bytes(), "nothing is drawn"
    assert open_job(other).seed("encoder", FINAL) != open_job(whole).seed("encoder", FINAL)


# other ways


def test_until_read_leaves_a_store_on_disk_and_no_more(ran):
    run = ran(until="read", layout="spm")
    assert [stage["state"] for stage in run.record["stages"]] == ["done"] + ["waiting"] * 8
    store = VolumeStore.open(run.path / "work" / "volumes")
    assert len(store) == N_SUBJECTS
    assert sorted(file.name for file in run.path.iterdir() if file.is_dir()) == ["tables", "work"]
    assert [file.name for file in (run.path / "tables").iterdir()] == ["volumes.csv"]


def test_without_sites_diagnosis_grid_and_nulls_there_is_still_a_report(ran):
    run = ran(
        layout="table",
        cohort={"site": None, "external_sites": [], "diagnosis": None, "covariates": []},
        targets=ONE_QUESTION,
        features=NO_GRID,
        trust=NO_TRUST,
    )
    rows = run.metrics()
    assert {row.target for row in rows} == {"age", "reconstruction"}
    assert {row.role for row in rows} == ROLES - {"chance"}
    assert not {LABEL_TRAINED, "covariates only"} & {row.model for row in rows}
    assert all(row.p is None for row in rows)
    checks = {check.name: check for check in Evidence.load(run.path / "evidence", "age").checks}
    assert "beyond the label-trained encoder" not in checks
    assert "No refits on permuted targets were asked for" in checks["chance"].sentence
    told = read_json(run.path / "page.json")
    assert dict(told["data"])["Covariates"] == "none"
    assert "Kept aside whole" not in dict(told["data"])
    assert not any("permuted" in table["file"] or table["file"] == "grid.csv" for table in told["tables"])


def with_outcomes(table):
    rng, n = np.random.default_rng(2), len(table)
    months, ill = rng.exponential(20, n).round(1) + 1, rng.permutation(["1", "0"] * (n // 2))
    return table.assign(months=months, ill=ill, hand=["L", "R"] * (n // 2))


def test_classes_and_survival_are_foretold_with_scores_of_their_own(ran):
    targets = {"everyone": [], "patients": [], "logarithm": [], "together": []}
    run = ran(
        with_outcomes,
        n_subjects=64,
        targets=targets | {"classes": ["hand"], "survival": ["months:ill"]},
        features=NO_GRID,
        trust={"n_map_shuffles": 1, "n_permutations": 1, "implant_repeats": 0},
    )
    rows = run.metrics()
    main = {row.target: row for row in rows if row.model == OURS and row.metric in {"AUC", "C"}}
    assert {"hand", "months"} <= main.keys()
    assert main["hand"].metric == "AUC"
    assert main["months"].metric == "C"
    assert all(0 <= row.value <= 1 for row in main.values())
    assert all(main[name].p is not None for name in ("hand", "months"))
    for name in ("hand", "months"):
        assert (run.path / "maps" / f"{name}-occlusion.nii.gz").exists()
        assert (run.path / "evidence" / f"{name}.json").exists()
    assert set(table_of(run, "predictions-hand")["truth"]) == {0, 1}


def test_two_internal_sites_are_harmonised_inside_the_fold(ran):
    run = ran(
        cohort={"external_sites": [], "harmonise": "combat", "covariates": ["age", "sex"]},
        targets={"patients": ["dose"], "everyone": [], "logarithm": [], "together": []},
        features=NO_GRID,
        trust=NO_TRUST,
    )
    job = open_job(run)
    sites = job.cohort.labels("site")
    for fold in job.folds:
        assert set(sites[fold.train]) == set(sites[fold.test]) == {"A", "B"}
    assert job.regression(job.questions[0]).harmoniser is not None
    assert dict(read_json(run.path / "page.json")["data"])["Regression"] == "ridge; harmonising: combat"
    assert not [row for row in run.metrics() if "external" in row.target]


def test_an_external_site_is_harmonised_by_subjects_that_are_then_not_scored(ran):
    run = ran(
        cohort={"harmonise": "combat", "n_adapt": 4},
        targets=ONE_QUESTION,
        features=NO_GRID,
        trust=NO_TRUST,
        until="fit",
    )
    n_external = int(open_job(run).external.sum())
    (row,) = [row for row in run.metrics() if (row.target, row.metric, row.model) == ("age, external sites", "r", OURS)]
    assert row.n == n_external - 4


def test_simulated_brains_need_no_files_and_their_maps_are_held_against_the_truth(ran):
    run = ran(
        data={"volumes": "phantom", "atlas": "parcels", "atlas_names": None},
        phantom={"n_subjects": 64, "voxel_mm": 12},
        cohort={"covariates": ["age"]},
        features=NO_GRID,
        targets={"everyone": [], "patients": ["dose"], "logarithm": [], "together": []},
        trust={"n_map_shuffles": 2, "n_permutations": 2, "implant_repeats": 0, "n_strongest": 5},
    )
    assert read_json(run.path / "run.json")["inputs"] == []
    sites = table_of(run, "sites")
    assert set(sites["features"]) == {"as measured", "ComBat", "site adapter"}
    assert "r of dose" in " ".join(sites["test"])
    assert Evidence.load(run.path / "evidence", "sites").checks
    assert "site_steps" in load_arrays(run.path / "work" / "pictures.npz")
    planted = table_of(run, "planted")
    assert set(planted["target"]) == {"dose"}
    assert {"occlusion by region", "smoothed voxels, GLM", "CONTROL mean grey matter"} <= set(planted["map"])
    assert any("The brains are simulated" in limit for limit in read_json(run.path / "page.json")["limits"])
