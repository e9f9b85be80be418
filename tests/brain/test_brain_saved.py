"""What is saved comes back to the byte, and what is damaged, foreign or changed is told from it."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.decomposition import PCA

from kotowari.core.errors import CapabilityError, InputError
from kotowari.studies.brain.maps.brain_score import BrainScore
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.latent_regression import LatentRegression

CASES = {
    "ridge on numbers": {},
    "linear": {"method": "linear", "scale": False},
    "pls": {"method": "pls", "max_components": 3},
    "log dose, generalised": {"target_transform": "log1p", "inner": "generalised", "nuisance": "none"},
    "residual dose": {"nuisance": "both", "weights": (np.float64(1.0), 100.0)},
    "classes": {"target": "class", "weights": (50.0,), "inner": 3},
    "survival": {"target": "survival", "weights": (50.0, 500.0), "inner": 3, "random_state": np.int64(4)},
    "several by pls": {"target": "several", "method": "pls"},
    "several residuals by cca": {"target": "several", "method": "cca", "nuisance": "both", "inner": 3},
}
HARMONISERS = {"plain": None, "ComBat": ComBat(unseen="reference"), "to a reference": ComBat(reference="A")}


def make_cohort(n=48, seed=0):
    """Features of which one is constant, and all that may be known of their subjects."""
    rng = np.random.default_rng(seed)
    sites = np.where(np.arange(n) % 3 == 0, "B", "A")
    X = rng.normal(size=(n, 60)) + (sites == "B")[:, None]
    X[:, 7] = 3.0
    covariates = pd.DataFrame({"age": rng.uniform(20, 60, n), "sex": np.where(rng.random(n) < 0.5, "F", "M")})
    dose = 400 + 80 * X[:, 0] + 40 * rng.normal(size=n)
    targets = {
        "number": dose,
        "class": np.where(X[:, 1] + rng.normal(size=n) > 0.3, "patient", "control"),
        "survival": np.column_stack([rng.exponential(np.exp(-X[:, 2])) + 0.1, rng.random(n) < 0.7]).astype(float),
        "several": np.column_stack([dose, X[:, 3] + rng.normal(size=n), rng.normal(size=n)]),
    }
    return X, targets, {"sites": sites, "covariates": covariates}


@pytest.fixture
def saved(tmp_path):
    X, targets, known = make_cohort()
    LatentRegression(harmoniser=ComBat()).fit(X, targets["number"], **known).save(tmp_path)
    return tmp_path


def change_one_weight(path, name):
    arrays = load_file(path)
    arrays[name].flat[0] += 1e-6
    save_file(arrays, path)


@pytest.mark.parametrize("harmoniser", HARMONISERS.values(), ids=HARMONISERS)
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_a_loaded_regression_predicts_to_the_byte(tmp_path, options, harmoniser):
    X, targets, known = make_cohort()
    new, others, strangers = make_cohort(20, seed=1)
    model = LatentRegression(harmoniser=harmoniser, **options).fit(X, targets[options.get("target", "number")], **known)
    model.save(tmp_path)
    again = LatentRegression.load(tmp_path)
    truth = others[model.target]
    assert again.predict(new, **strangers).tobytes() == model.predict(new, **strangers).tobytes()
    for method in ("decision_scores", "predict_proba"):
        if hasattr(model, method):
            found, expected = getattr(again, method)(new, **strangers), getattr(model, method)(new, **strangers)
            assert found.tobytes() == expected.tobytes()
    covariates = strangers["covariates"]
    assert again.truth(truth, covariates=covariates).tobytes() == model.truth(truth, covariates=covariates).tobytes()
    assert again.score(new, truth, **strangers) == model.score(new, truth, **strangers)
    given = model.get_params() | {"harmoniser": None}
    assert again.get_params() | {"harmoniser": None} == given
    for name in ("coef_", "intercept_", "choice_", "target_weights_", "classes_", "n_subjects_", "n_features_in_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))


def test_options_come_back_as_plain_values_and_a_clone_learns_the_same(tmp_path):
    X, targets, known = make_cohort()
    model = LatentRegression(
        harmoniser=ComBat(tol=np.float64(1e-5)), weights=(np.float64(3.0), 30.0), random_state=np.int64(2), name="dose"
    ).fit(X, targets["number"], **known)
    model.save(tmp_path)
    again = LatentRegression.load(tmp_path)
    options = again.get_params()
    assert (options["weights"], options["random_state"], options["name"]) == ((3.0, 30.0), 2, "dose")
    assert options["harmoniser__tol"] == 1e-5
    refit = clone(again).fit(X, targets["number"], **known)
    assert refit.predict(X, **known).tobytes() == model.predict(X, **known).tobytes()


@pytest.mark.parametrize("bring", [np.asfortranarray, lambda X: X[:, ::-1], np.float32], ids=["Fortran", "back", "32"])
def test_the_layout_in_memory_of_what_was_learned_from_does_not_matter(tmp_path, bring):
    X, targets, known = make_cohort()
    for harmoniser in (None, ComBat()):
        model = LatentRegression(harmoniser=harmoniser, nuisance="both").fit(bring(X), targets["number"], **known)
        model.save(tmp_path)
        found = LatentRegression.load(tmp_path).predict(bring(X), **known)
        assert found.tobytes() == model.predict(bring(X), **known).tobytes()


def test_names_of_columns_come_back_and_other_columns_are_refused(tmp_path):
    X, targets, _ = make_cohort()
    table = pd.DataFrame(X, columns=[f"feature {number}" for number in range(X.shape[1])])
    model = LatentRegression().fit(table, targets["number"])
    model.save(tmp_path)
    again = LatentRegression.load(tmp_path)
    assert again.predict(table).tobytes() == model.predict(table).tobytes()
    with pytest.raises(ValueError, match="feature names"):
        again.predict(table.rename(columns={"feature 0": "another"}))


def test_a_loaded_regression_adapts_to_a_new_site_as_the_first_does(tmp_path):
    X, targets, known = make_cohort()
    new, _, strangers = make_cohort(20, seed=1)
    model = LatentRegression(harmoniser=ComBat()).fit(X, targets["number"], **known)
    model.save(tmp_path / "before")
    again = LatentRegression.load(tmp_path / "before")
    with pytest.raises(InputError, match="no training subject comes from site C"):
        again.predict(new, sites=["C"] * 20, covariates=strangers["covariates"])
    for one in (model, again):
        one.adapt(new[:10], "C", covariates=strangers["covariates"][:10])
    again.save(tmp_path / "after")
    rest = {"sites": ["C"] * 10, "covariates": strangers["covariates"][10:]}
    expected = model.predict(new[10:], **rest)
    assert again.predict(new[10:], **rest).tobytes() == expected.tobytes()
    adapted = LatentRegression.load(tmp_path / "after")
    assert adapted.predict(new[10:], **rest).tobytes() == expected.tobytes()
    assert adapted.preparation_.harmoniser.adapted_ == ("C",)


@pytest.mark.parametrize("shape", [(6,), (2, 3)], ids=str)
@pytest.mark.parametrize("options", [{}, {"reference": "B"}, {"empirical_bayes": False}], ids=str)
def test_loaded_harmonising_gives_the_same_bytes(tmp_path, options, shape):
    X, _, known = make_cohort()
    values = X[:, 3:9].reshape(-1, *shape)
    combat = ComBat(**options).fit(values, **known)
    combat.save(tmp_path)
    again = ComBat.load(tmp_path)
    assert again.transform(values, **known).tobytes() == combat.transform(values, **known).tobytes()
    assert again.get_params() == combat.get_params()
    assert (again.sites_, again.covariates_.terms_) == (combat.sites_, combat.covariates_.terms_)
    with pytest.raises(InputError, match="site C"):
        again.transform(values, ["C"] * len(values), known["covariates"])
    with pytest.raises(InputError, match="was fitted with covariates"):
        again.transform(values, known["sites"])


def test_harmonising_without_covariates_comes_back(tmp_path):
    X, _, known = make_cohort()
    combat = ComBat().fit(X, known["sites"])
    combat.save(tmp_path)
    again = ComBat.load(tmp_path)
    assert again.transform(X, known["sites"]).tobytes() == combat.transform(X, known["sites"]).tobytes()


def test_a_regression_keeps_its_own_encoder(tmp_path):
    rng = np.random.default_rng(0)
    volumes = rng.uniform(0.5, 1.0, size=(12, 6, 5, 4)).astype(np.float32)
    encoder = ConvolutionalAutoencoder(1, 2, max_epochs=1, precision="float32")
    model = LatentRegression(features=encoder).fit(volumes, volumes[:, 2, 2, 2])
    model.save(tmp_path)
    again = LatentRegression.load(tmp_path)
    assert again.predict(volumes).tobytes() == model.predict(volumes).tobytes()
    own = again.preparation_.features
    assert BrainScore(own, [again]).slopes.numpy().tobytes() == again.coef_.tobytes()
    (tmp_path / "features" / "autoencoder.json").unlink()
    with pytest.raises(InputError, match=r"autoencoder.json: cannot be read"):
        LatentRegression.load(tmp_path)


def test_a_transformer_that_cannot_be_saved_is_named(tmp_path):
    X, targets, _ = make_cohort()
    model = LatentRegression(features=PCA(3)).fit(X, targets["number"])
    with pytest.raises(CapabilityError, match="PCA turns volumes into features, and cannot be saved"):
        model.save(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("regression.safetensors", "weights"),
        ("regression.safetensors", "offset"),
        ("regression.safetensors", "of_features/coef"),
        ("harmoniser/combat.safetensors", "shift_"),
    ],
)
def test_one_changed_weight_is_caught(saved, path, name):
    LatentRegression.load(saved)
    change_one_weight(saved / path, name)
    with pytest.raises(InputError, match=rf"{path}: does not belong to .*json\. Copy or save the folder again"):
        LatentRegression.load(saved)


def test_the_harmonising_of_another_regression_is_caught(saved, tmp_path):
    X, _, known = make_cohort(seed=3)
    ComBat().fit(X, **known).save(tmp_path / "harmoniser")
    ComBat.load(tmp_path / "harmoniser")  # sound in itself
    with pytest.raises(InputError, match=r"harmoniser/combat.json: does not belong to regression.json"):
        LatentRegression.load(saved)


def test_edited_words_are_caught(saved):
    facts = json.loads((saved / "regression.json").read_text())
    facts["options"]["nuisance"] = "none"
    (saved / "regression.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"regression.json: was changed after it was saved"):
        LatentRegression.load(saved)


def test_damaged_and_foreign_folders_are_refused_in_one_sentence(saved, tmp_path):
    with pytest.raises(InputError, match=r"regression.json: cannot be read"):
        LatentRegression.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"combat.json: cannot be read"):
        ComBat.load(saved)
    facts = (saved / "harmoniser" / "combat.json").read_text()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "regression.json").write_text(facts)
    with pytest.raises(InputError, match=r"regression.json: is no saved LatentRegression that this version reads"):
        LatentRegression.load(tmp_path / "foreign")
    (saved / "regression.safetensors").write_bytes((saved / "regression.safetensors").read_bytes()[:100])
    with pytest.raises(InputError, match=r"regression.safetensors: does not belong"):
        LatentRegression.load(saved)
    (saved / "regression.json").write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        LatentRegression.load(saved)


def test_nothing_is_saved_before_it_is_fitted(tmp_path):
    for one in (LatentRegression(), ComBat()):
        with pytest.raises(ValueError, match="not fitted"):
            one.save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_saving_twice_writes_the_same_bytes(saved, tmp_path):
    LatentRegression.load(saved).save(tmp_path / "again")
    files = [f"{stem}.{end}" for stem in ("regression", "harmoniser/combat") for end in ("json", "safetensors")]
    for path in files:
        assert (tmp_path / "again" / path).read_bytes() == (saved / path).read_bytes()
