"""What a user types around a run: a configuration, new volumes for a finished model, the report once more."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from small_brains import (
    NO_GRID,
    NO_TRUST,
    brains,
    change_table,
    quick_fits,
    volume_path,
    write_files,
)

from kotowari.core.files import read_json
from kotowari.studies import brain
from kotowari.studies.brain import VolumeStore, open_job, simulate_brains
from kotowari.studies.brain.config import Config
from kotowari.studies.brain.phantom_files import write_brains
from typed_words import typed

TARGETS = {"everyone": ["age"], "patients": ["dose"], "logarithm": [], "together": []}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A run up to its fitted model."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        quick_fits(patch)
        path = write_files(folder / "in", targets=TARGETS, features=NO_GRID, trust=NO_TRUST)
        return brain.run(path, folder / "run", until="fit", shown=False)


@pytest.fixture
def home(fitted):
    return fitted.path.parent / "in"


@pytest.fixture
def new(tmp_path):
    """Six brains that the run has not seen."""
    drawn = brains(38)
    later = replace(drawn, volumes=drawn.volumes[32:], participants=drawn.participants[32:])
    return write_brains(later, tmp_path / "new" / "brains")


def test_what_init_prints_is_read_back_and_names_every_option(monkeypatch, capsys, tmp_path):
    assert typed(monkeypatch, "init", "brain") == 0
    text = capsys.readouterr().out
    assert Config.model_validate(yaml.safe_load(text)) == Config.demo()
    config = yaml.safe_load(text) | {"phantom": {"n_subjects": 36, "voxel_mm": 12}, "workers": 1}
    config["cohort"] = {"covariates": ["age"]}
    config["validation"] = {"n_splits": 2}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    assert typed(monkeypatch, "run", tmp_path / "study.yaml", "--out", tmp_path / "run", "--until", "split") == 0
    assert "Read 36 volumes of 16 x 19 x 16 voxels" in capsys.readouterr().err


def test_the_study_is_listed(monkeypatch, capsys):
    assert typed(monkeypatch, "studies") == 0
    assert f"brain      {brain.SUMMARY}" in capsys.readouterr().out


def test_new_volumes_are_encoded_and_their_targets_foretold_by_the_model_as_it_is(
    fitted, new, tmp_path, monkeypatch, capsys
):
    said = tmp_path / "said"
    assert typed(monkeypatch, "apply", fitted.path, new, "--out", said) == 0
    assert capsys.readouterr().out == f"{said / 'predictions.csv'}\n"
    table = pd.read_csv(said / "predictions.csv", dtype={"subject": str})
    assert table["subject"].tolist() == [f"{number:04d}" for number in range(33, 39)]
    job, own = open_job(fitted), brains(38)
    store = VolumeStore.open(said / "volumes")
    np.testing.assert_array_equal(store.mask, job.store.mask)
    features = job.encoder().transform(own.volumes[32:][(slice(None), *job.store.box)].astype(np.float16))
    np.testing.assert_allclose(np.load(said / "features.npy"), features, rtol=1e-4, atol=1e-5)
    (age,) = [question for question in job.questions if question.name == "age"]
    known = pd.DataFrame({"sex": own.participants["sex"][32:].to_numpy(str)})
    expected = job.regression(age).predict(np.load(said / "features.npy"), covariates=known)
    np.testing.assert_allclose(table["age"], expected)
    assert table["dose"].notna().all()
    assert (table["reconstruction error over mean brain's"] > 0).all()


def test_external_subjects_of_the_run_get_the_predictions_that_stand_in_its_tables(fitted):
    """By a model that never saw them, though they are subjects of the run: the way to compare is its own table."""
    said = pd.read_csv(fitted.path / "tables" / "predictions-age.csv", dtype={"subject": str})
    beyond = said[said["where"] == "external sites"].set_index("subject")["prediction"]
    job = open_job(fitted)
    (age,) = [question for question in job.questions if question.name == "age"]
    rows = np.flatnonzero(job.external)
    again = job.regression(age).predict(
        job.encoder().transform(job.store)[rows], covariates=age.subjects.covariates.iloc[rows]
    )
    np.testing.assert_allclose(beyond[[job.cohort.subjects[row] for row in rows]], again, rtol=1e-5)


def test_subjects_of_the_run_are_refused(fitted, new, home, tmp_path, refused):
    shutil.copy(volume_path(home, 3), volume_path(new.parent, 35))
    sentence = refused("apply", fitted.path, new, "--out", tmp_path / "said")
    assert "0035 (1 in all) is among the subjects of the run. Leave them out" in sentence
    assert not (tmp_path / "said").exists()


def test_a_missing_covariate_is_refused_and_a_target_need_not_be_known(
    fitted, new, tmp_path, refused, monkeypatch, capsys
):
    words = ["apply", fitted.path, new, "--out", tmp_path / "said"]
    change_table(new.parent, lambda table: table.drop(columns=["dose", "positive", "diagnosis"]))
    assert typed(monkeypatch, *words) == 0
    shutil.rmtree(tmp_path / "said")
    capsys.readouterr()
    change_table(new.parent, lambda table: table.assign(sex=["F", "n/a", "F", "M", "M", "F"]))
    assert "the covariate sex is missing for 0034" in refused(*words)
    change_table(new.parent, lambda table: table.drop(columns="sex"))
    assert "participants.tsv: has no column 'sex'" in refused(*words)
    assert not (tmp_path / "said").exists()


def test_volumes_on_another_grid_are_refused(fitted, tmp_path, monkeypatch, capsys):
    other = write_brains(simulate_brains(2, seed=9, voxel_mm=10), tmp_path / "other")
    assert typed(monkeypatch, "apply", fitted.path, other, "--out", tmp_path / "said") == 1
    told = capsys.readouterr().err
    assert "Another shape than the reference: 2 of 2 volumes" in told
    assert "Traceback" not in told
    assert not (tmp_path / "said" / "predictions.csv").exists()


def test_a_run_without_its_model_is_not_applied(home, new, tmp_path, refused, monkeypatch, capsys):
    assert typed(monkeypatch, "run", home / "study.yaml", "--out", tmp_path / "run", "--until", "split") == 0
    capsys.readouterr()
    sentence = refused("apply", tmp_path / "run", new, "--out", tmp_path / "said")
    assert (
        sentence == f"{tmp_path / 'run'}: has no fitted model yet. Finish it by `kotowari resume {tmp_path / 'run'}`."
    )


def test_the_report_of_a_finished_run_can_be_written_again(fitted, tmp_path, monkeypatch, capsys):
    shutil.copytree(fitted.path, tmp_path / "run")
    with monkeypatch.context() as patch:
        quick_fits(patch)
        patch.setattr("kotowari.studies.brain.story.draw", lambda _: [])
        assert typed(monkeypatch, "resume", tmp_path / "run") == 0
    assert read_json(tmp_path / "run" / "run.json")["stages"][-1]["state"] == "done"
    (tmp_path / "run" / "report.html").unlink()
    capsys.readouterr()
    assert typed(monkeypatch, "report", tmp_path / "run") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'run' / 'report.html'}\n"
    assert "Do features learned without labels foretell age and dose" in (tmp_path / "run" / "report.html").read_text()
