"""What is kept aside has no part in what is learned: poisoned, it changes no byte of encoders and regressions."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from small_brains import NO_GRID, ONE_QUESTION, quick_fits, write_files

from kotowari.core.errors import InputError
from kotowari.core.progress import Progress
from kotowari.studies import brain
from kotowari.studies.brain import ComBat, VolumeStore, open_job
from kotowari.studies.brain.fitting import fit_autoencoder, make_autoencoder
from kotowari.studies.brain.model.diagnosis_encoder import DiagnosisEncoder
from kotowari.studies.brain.model.regression_cv import fold_predictions, model_for
from kotowari.studies.brain.study import features
from kotowari.trust.folds import Fold

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A run whose encoders are fitted, and the encoders alone."""
    folder = tmp_path_factory.mktemp("isolation")
    yaml = write_files(folder / "in", targets=ONE_QUESTION, features=NO_GRID)
    with pytest.MonkeyPatch.context() as patch:
        quick_fits(patch)
        run = brain.run(yaml, folder / "run", until="features", shown=False)
    return open_job(run)


@pytest.fixture
def poisoned(job, tmp_path):
    """Return a copy of the store in which some rows hold another value."""

    def poison(rows, value=np.nan):
        shutil.copytree(job.store_folder, tmp_path / "volumes")
        values = np.load(tmp_path / "volumes" / "values.npy", mmap_mode="r+")
        values[rows] = value
        values.flush()
        return VolumeStore.open(tmp_path / "volumes")

    return poison


def aside(job, fold):
    """Every row that the fold does not learn from: those to foretell, and the external site's."""
    return np.setdiff1d(np.arange(len(job.store)), fold.train)


def weights(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_the_autoencoder_of_a_fold_is_the_same_to_the_byte_when_all_else_is_nan(job, poisoned, tmp_path):
    fold, task = job.folds[0], job.encoder_task("fold-0", job.folds[0].train)
    store = poisoned(aside(job, fold))
    model = make_autoencoder(job.config, store, task.seed)
    model.fit(store, rows=fold.train, groups=job.groups[fold.train])
    model.save(tmp_path / "again")
    ours, theirs = weights(tmp_path / "again"), weights(job.encoder_folder("fold-0"))
    assert [name for name, content in ours.items() if content != theirs[name]] == []
    assert len(ours) == 3
    np.testing.assert_array_equal(
        model.transform(store, rows=fold.train), job.encoder("fold-0").transform(job.store, rows=fold.train)
    )


def test_an_encoder_that_learned_from_all_rows_would_be_caught(job, poisoned, tmp_path):
    fold, task = job.folds[0], job.encoder_task("fold-0", job.folds[0].train)
    store = poisoned(fold.test)
    with pytest.raises(InputError, match="NaN"):
        make_autoencoder(job.config, store, task.seed).fit(store, rows=job.internal)
    careless = make_autoencoder(job.config, job.store, task.seed).fit(job.store, rows=job.internal)
    careless.save(tmp_path / "careless")
    ours, theirs = weights(tmp_path / "careless"), weights(job.encoder_folder("fold-0"))
    assert [name for name in ours if ours[name] == theirs[name]] == []


def test_the_encoder_that_sees_the_diagnosis_sees_that_of_its_training_rows_alone(job, poisoned):
    fold, task = job.folds[0], job.encoder_task("fold-0", job.folds[0].train)
    rows, store = aside(job, fold), poisoned(aside(job, fold))
    labels = job.diagnosis.astype(object)
    labels[rows] = None

    def trained(volumes, told):
        model = DiagnosisEncoder.like(make_autoencoder(job.config, volumes, task.seed, beta=0.0))
        model.fit(volumes, told[fold.train], rows=fold.train, groups=job.groups[fold.train])
        return model.transform(volumes, rows=fold.train)

    np.testing.assert_array_equal(trained(store, labels.astype(str)), trained(job.store, job.diagnosis))


@pytest.mark.parametrize("harmoniser", [None, ComBat()], ids=["no harmonising", "combat"])
def test_harmonising_covariates_and_regression_of_a_fold_see_nothing_of_rows_in_neither_part(job, harmoniser):
    (question,) = job.questions
    fold, one = job.folds[0], job.folds[0].test[:1]
    X = job.encoder("fold-0").transform(job.store).astype(np.float64)
    sites = np.where(np.arange(len(X)) % 2 == 0, "A", "B")
    model = model_for(job.model().set_params(harmoniser=harmoniser), question.target)
    subjects = replace(question.subjects, sites=sites)

    def said(features, values, covariates):
        known = replace(subjects, covariates=covariates)
        return fold_predictions(model, features, [values], known, Fold(fold.train, one))["prediction"]

    plain = said(X, question.target.values, subjects.covariates)
    others = np.setdiff1d(aside(job, fold), one)
    spoilt, values, covariates = X.copy(), question.target.values.copy(), subjects.covariates.copy()
    spoilt[others], covariates.iloc[others, 0] = np.nan, None
    values[aside(job, fold)] = np.nan
    np.testing.assert_array_equal(said(spoilt, values, covariates), plain)
    leaking = Fold(np.union1d(fold.train, others[:1]), one)
    with pytest.raises(InputError, match="NaN"):
        fold_predictions(model, spoilt, [values], replace(subjects, covariates=covariates), leaking)


def test_what_is_said_of_one_subject_does_not_hang_on_the_others_kept_aside(job, poisoned, tmp_path):
    """From volumes to the prediction: coordinates of features turn with every volume, what is said of one does not."""
    (question,) = job.questions
    fold, one = job.folds[0], job.folds[0].test[:1]
    others = np.setdiff1d(aside(job, fold), one)
    noise = np.random.default_rng(0).uniform(0, 1, job.store.values[others].shape)
    task = job.encoder_task("fold-0", fold.train)
    part = fit_autoencoder(replace(task, store=poisoned(others, noise), folder=tmp_path / "encoder"))
    model = model_for(job.model(), question.target)
    plain, again = (
        fold_predictions(model, own["features"], [question.target.values], question.subjects, Fold(fold.train, one))
        for own in (job.encoded("fold-0"), part)
    )
    assert abs(part["features"][others] - job.encoded("fold-0")["features"][others]).max() > 0.1, "they were changed"
    np.testing.assert_allclose(again["prediction"], plain["prediction"], rtol=1e-6)
    np.testing.assert_array_equal(part["mae"][fold.train], job.encoded("fold-0")["mae"][fold.train])


def test_a_stage_that_is_done_again_on_a_spoilt_external_site_says_the_same_inside(job, tmp_path):
    """The whole stage, not its parts: the features of internal subjects and the encoders are those of before."""
    before = {name: weights(job.encoder_folder(name)) for name in ("final", "fold-0", "fold-1")}
    shutil.copytree(job.path, tmp_path / "run")
    again = open_job(type(job.folder)(tmp_path / "run"))
    values = np.load(again.store_folder / "values.npy", mmap_mode="r+")
    values[again.external] = values[again.external][::-1] * 2
    values.flush()
    for name in ("features", "encoders", "grid"):
        shutil.rmtree(again.path / "work" / name, ignore_errors=True)
    shutil.rmtree(again.path / "model")
    features(again, Progress(shown=False))
    for name, files in before.items():
        assert weights(again.encoder_folder(name)) == files
    own = again.internal
    for name in before:
        np.testing.assert_array_equal(again.encoded(name)["mae"][own], job.encoded(name)["mae"][own])
