"""What stands beside the trained network: pooling, smoothing, components, covariates."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.networks.autoencoder3d import Autoencoder3d
from kotowari.studies.brain.baselines.arms import COVARIATES_ONLY, table_arms, volume_arms
from kotowari.studies.brain.baselines.average_pooling import AveragePooling
from kotowari.studies.brain.baselines.principal_components import PrincipalComponents
from kotowari.studies.brain.baselines.smoothed_voxels import SmoothedVoxels
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import cross_validated
from kotowari.studies.brain.model.regression_scores import correlation
from kotowari.studies.brain.model.regression_targets import Target, target_folds
from kotowari.studies.brain.model.subjects import Subjects


@pytest.mark.parametrize("n_blocks", [1, 2, 3])
def test_pooling_is_the_mean_over_the_cubes_of_the_encoder(rng, n_blocks):
    volumes = rng.random((3, 13, 9, 11)).astype(np.float32)
    pooled = AveragePooling(n_blocks).fit_transform(volumes)
    _, *grid = Autoencoder3d(n_blocks, 1).feature_shape((13, 9, 11))
    padding = []
    for side, cells in zip((11, 9, 13), grid[::-1], strict=True):
        extra = cells * 2**n_blocks - side
        padding += [extra // 2, extra - extra // 2]
    padded = torch.nn.functional.pad(torch.from_numpy(volumes), padding)
    inside = torch.nn.functional.pad(torch.ones(volumes.shape), padding)
    sums, counts = (torch.nn.functional.avg_pool3d(part[:, None], 2**n_blocks) for part in (padded, inside))
    expected = (sums / counts).flatten(1).numpy()
    np.testing.assert_allclose(pooled, expected[:, np.isfinite(expected[0])], rtol=1e-5)


def test_pooling_counts_the_voxels_of_the_mask_only(rng):
    volumes = rng.random((2, 8, 8, 8))
    mask = rng.random((8, 8, 8)) < 0.4
    mask[0, 0, 0] = mask[7, 7, 7] = True
    spoilt = np.where(mask, volumes, np.nan)
    pooling = AveragePooling(2, mask=mask).fit(volumes)
    np.testing.assert_array_equal(pooling.transform(spoilt), pooling.transform(volumes))
    assert pooling.counts_.sum() == mask.sum()


def test_spreading_pooled_means_gives_back_a_constant_and_a_slope():
    x = np.arange(16.0)[:, None, None] * np.ones((16, 16, 16))
    pooling = AveragePooling(2).fit(x[None])
    back = pooling.inverse_transform(pooling.transform(np.stack([x, np.full_like(x, 3.0)])))
    np.testing.assert_allclose(back[1], 3.0, rtol=1e-6)
    np.testing.assert_allclose(back[0, 2:14], x[2:14], atol=1e-5)  # beyond the outermost centres it stays level
    assert pooling.score(x[None]) == pytest.approx(-np.abs(back[0] - x).mean(), rel=1e-5)


def test_smoothing_is_a_gaussian_of_that_width(rng):
    volumes = rng.random((2, 9, 9, 9)).astype(np.float32)
    smoothed = SmoothedVoxels(8.0, voxel_mm=4.0).fit_transform(volumes)
    sd = 8 / 2.3548200450309493 / 4
    expected = np.stack([gaussian_filter(volume, sd, mode="constant") for volume in volumes])
    np.testing.assert_allclose(smoothed, expected.reshape(2, -1), rtol=1e-5)
    plain = SmoothedVoxels(0.0, voxel_mm=4.0).fit_transform(volumes)
    np.testing.assert_array_equal(plain, volumes.reshape(2, -1))


def test_components_are_those_of_scikit_learn(rng):
    X = rng.normal(size=(20, 300))
    ours, theirs = PrincipalComponents(), PCA(19)
    scores, expected = ours.fit_transform(X), theirs.fit_transform(X)
    np.testing.assert_allclose(np.abs(scores), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(ours.variances_, theirs.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(ours.inverse_transform(scores), X, atol=1e-9)
    assert ours.errors(X).max() < 1e-9
    new = rng.normal(size=(4, 300))
    np.testing.assert_allclose(np.abs(ours.transform(new)), np.abs(theirs.transform(new)), atol=1e-9)


def test_whitened_components_have_unit_variance(rng):
    X = rng.normal(size=(30, 4, 4, 4)) * 3
    scores = PrincipalComponents(5, whiten=True).fit(X)
    np.testing.assert_allclose(scores.transform(X).var(0, ddof=1), 1.0, rtol=1e-10)
    assert scores.inverse_transform(scores.transform(X)).shape == X.shape


def test_baselines_stand_in_scikit_learn_pipelines(rng):
    volumes, y = rng.random((20, 8, 8, 8)), rng.normal(size=20)
    for step in (AveragePooling(1), SmoothedVoxels(8, voxel_mm=8.0), PrincipalComponents()):
        said = make_pipeline(step, Ridge()).fit(volumes, y).predict(volumes)
        assert correlation(y, said) > 0.3


def test_arms_of_volumes_and_tables_find_an_atrophy_and_covariates_alone_do_not(rng):
    n = 80
    loss, age = rng.normal(size=n), rng.uniform(20, 60, n)
    volumes = rng.normal(0.5, 0.1, (n, 12, 10, 9)).astype(np.float32)
    volumes[:, 2:8, 2:8, 2:6] -= 0.03 * loss[:, None, None, None].astype(np.float32)
    covariates = pd.DataFrame({"age": age, "sex": np.where(rng.random(n) < 0.5, "F", "M")})
    target = Target.of("dose", loss)
    folds = target_folds(target, n_splits=4, random_state=0)
    arms = volume_arms(LatentRegression(), volumes, covariates, voxel_mm=8.0)
    assert len(arms) == 8
    subjects = Subjects.of(n, covariates=covariates)
    r = {name: correlation(h.truth, h.prediction) for name, h in cross_validated(arms, target, folds, subjects).items()}
    assert r["average pooling by 4"] > 0.6
    assert r["voxels, 12 mm"] > 0.6
    assert abs(r[COVARIATES_ONLY]) < 0.35
    table = volumes.reshape(n, -1)[:, ::50]
    assert list(table_arms(LatentRegression(), table, covariates)) == [
        "regions",
        "components of regions",
        COVARIATES_ONLY,
    ]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda v: AveragePooling(0).fit(v), InputError, "n_blocks must be 1"),
        (lambda v: AveragePooling(1, mask=np.zeros((4, 4, 4))).fit(v), InputError, "mask is empty"),
        (lambda v: AveragePooling(1, mask=np.ones((4, 4, 5))).fit(v), ShapeError, "mask must have shape"),
        (lambda v: AveragePooling(1).fit(v[:, 0]), ShapeError, "volumes must have shape"),
        (lambda v: AveragePooling(1).fit(v).transform(np.where(v > 0.9, np.nan, v)), InputError, "row 0 holds NaN"),
        (lambda v: AveragePooling(1).fit(v).inverse_transform(v[:, 0, 0]), ShapeError, "features must have shape"),
        (lambda v: SmoothedVoxels(-1, voxel_mm=2).fit(v), InputError, "fwhm_mm must be 0 or more"),
        (lambda v: PrincipalComponents().fit(v[:1]), DesignError, "1 subject has no components"),
        (lambda v: PrincipalComponents(0).fit(v), InputError, "n_components must be 1"),
        (lambda v: PrincipalComponents().fit(v).transform(v[:, 1:]), ShapeError, "X must have shape"),
    ],
)
def test_bad_input_is_told_in_one_sentence(rng, make, error, words):
    with pytest.raises(error, match=words):
        make(rng.random((3, 4, 4, 4)))
