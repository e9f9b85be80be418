"""Features turned into as few numbers as there are subjects say what the features say; quality and truth are told."""

import numpy as np
import pandas as pd
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from kotowari.studies.brain.compact import same_products

TRAIN, TEST = slice(0, 20), slice(20, 30)


@pytest.fixture
def X(rng):
    return rng.normal(size=(30, 200)) * np.geomspace(0.01, 10, 200) + rng.normal(size=200)


@pytest.fixture
def y(rng, X):
    return X[:, -5:].sum(1) + rng.normal(size=len(X))


def said(model, features, y):
    return model.fit(features[TRAIN], y[TRAIN]).predict(features[TEST]).ravel()


MODELS = {
    "ridge": Ridge(alpha=3.0),
    "partial least squares": PLSRegression(n_components=3, scale=False),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_regression_that_sees_features_through_products_says_the_same(model, X, y):
    np.testing.assert_allclose(said(model, same_products(X), y), said(model, X, y), rtol=1e-7, atol=1e-9)


def test_principal_components_are_the_same_up_to_sign(X):
    ours, theirs = (PCA(5).fit(own[TRAIN]).transform(own[TEST]) for own in (same_products(X), X))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), rtol=1e-6, atol=1e-8)


def test_what_looks_at_features_one_by_one_does_not_say_the_same(X, y):
    """Unit variance feature by feature, as ComBat does: there the features themselves must be given."""
    scaled = PLSRegression(n_components=3, scale=True)
    assert np.abs(said(scaled, same_products(X), y) - said(scaled, X, y)).max() > 0.1


def test_products_and_distances_are_kept_and_nothing_is_wider_than_the_subjects(X):
    turned = same_products(X)
    assert turned.shape == (30, 30)
    np.testing.assert_allclose(turned @ turned.T, X @ X.T, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(same_products(X), turned)
    np.testing.assert_array_equal(same_products(X[:, :20]), X[:, :20])
    np.testing.assert_array_equal(same_products(X.reshape(30, 10, 20)), turned)


def test_subjects_that_repeat_leave_axes_of_nothing_and_no_nan(X):
    turned = same_products(np.vstack([X[:3], X[:3]]))
    assert np.isfinite(turned).all()
    np.testing.assert_allclose(turned[:3], turned[3:], atol=1e-6)
    assert np.abs(turned[:, 3:]).max() < 1e-5


# volumes and planted truth, looked at by the study


class Looked:
    """What quality and planted truth ask of a job."""

    def __init__(self, store, path, internal):
        self.store, self.path, self.internal = store, path, internal
        self.kept_arrays = {}
        self.cohort = type("Cohort", (), {"subjects": store.subjects})

    def keep(self, name, arrays):
        self.kept_arrays[name] = arrays


def test_a_volume_unlike_the_others_is_marked_and_grey_matter_is_in_ml(rng, tmp_path):
    from kotowari.studies.brain import VolumeStore
    from kotowari.studies.brain.quality import look_at_volumes

    mean = rng.uniform(0.2, 1, (6, 6, 6))
    volumes = [mean + 0.05 * rng.normal(size=mean.shape) for _ in range(12)]
    volumes[4] = mean[::-1].copy()
    mask = np.ones(mean.shape, bool)
    mask[0] = False
    affine = np.diag([10.0, 10, 10, 1])
    names = [f"s{number}" for number in range(12)]
    store = VolumeStore.from_arrays(volumes, mask, affine, tmp_path / "store", subjects=names)
    job = Looked(store, tmp_path, np.arange(10))
    look_at_volumes(job)
    table = pd.read_csv(tmp_path / "tables" / "volumes.csv")
    np.testing.assert_allclose(table["grey matter ml"], [own[mask].sum() for own in volumes], rtol=1e-3)
    expected = [np.corrcoef(own[mask], np.mean(volumes[:10], 0)[mask])[0, 1] for own in volumes]
    np.testing.assert_allclose(table["r with mean brain"], expected, atol=1e-3)
    assert table.loc[table["unlike"], "subject"].tolist() == ["s4"]


def test_planted_places_are_those_of_the_phantom_and_the_positive_score_has_both(tmp_path):
    from small_brains import brains

    from kotowari.studies.brain import Config, VolumeStore
    from kotowari.studies.brain.data import planted_truth
    from kotowari.studies.brain.phantom import plant_truth

    own = brains()
    store = VolumeStore.from_arrays(
        list(own.volumes[:2]), own.mask, own.affine, tmp_path / "store", subjects=["a", "b"]
    )
    config = Config.model_validate({"phantom": {"seed": 1, "voxel_mm": 12}})
    for name, linked in (("dose", False), ("positive", True), ("age", False)):
        expected = (plant_truth(own, name, linked=linked) & own.mask)[store.box]
        np.testing.assert_array_equal(planted_truth(config, name, store), expected)
        assert expected.any()
    np.testing.assert_array_equal(
        planted_truth(config, "dose (log scale)", store), planted_truth(config, "dose", store)
    )
    assert planted_truth(config, "tiv", store) is None
    nowhere = Config.model_validate({"phantom": {"seed": 1, "voxel_mm": 12, "plants": "none"}})
    assert planted_truth(nowhere, "dose", store) is None
