"""Maps of encoder and regression are exact where the answer is known, add up, and do not depend on how they are run."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.core.evidence import Verdict
from kotowari.explain.completeness import completeness_gap
from kotowari.explain.occlusion import occlusion as explained_occlusion
from kotowari.studies.brain.baselines.principal_components import PrincipalComponents
from kotowari.studies.brain.maps.brain_score import BrainScore
from kotowari.studies.brain.maps.gradients import gradient, gradient_times_input, integrated_gradients, smooth_grad
from kotowari.studies.brain.maps.occlusion import cube_labels, occlude_regions
from kotowari.studies.brain.maps.voxel_maps import group_maps, subject_maps
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.autoencoder_input import mask_window
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.latent_regression import LatentRegression

SHAPE = (8, 9, 7)
N = 24


def make_mask():
    mask = np.zeros(SHAPE, bool)
    mask[1:7, 1:8, 1:6] = True
    mask[1, 1] = mask[6, 7, 2:4] = False
    return mask


def make_volumes(n=N, seed=0):
    """Smooth deviations from a mean brain; 7 outside of the mask."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    ways = np.stack([np.cos(2 * x), np.sin(2 * y), np.cos(x + 2 * z), x * y])
    brains = 0.5 + 0.1 * np.tensordot(rng.standard_normal((n, 4)), ways, 1) + 0.01 * rng.standard_normal((n, *SHAPE))
    return np.where(make_mask(), brains, 7.0).astype(np.float32)


class LinearNetwork(nn.Module):
    """Features that are weighted sums of voxels."""

    def __init__(self, weights):
        super().__init__()
        self.layer = nn.Linear(weights.shape[1], len(weights), bias=False)
        self.layer.weight.data = torch.from_numpy(weights)
        self.sd = 0.1

    def encode(self, x):
        return self.layer(x.flatten(1))


class LinearEncoder:
    """What maps ask of an encoder, with weights that are known."""

    def __init__(self, rng, n_features=12):
        self.mask_ = make_mask()
        self.window = mask_window(self.mask_)
        weights = rng.standard_normal((n_features, *self.mask_[self.window].shape)).astype(np.float32)
        self.weights = weights * self.mask_[self.window]
        self.reconstruction_ = LinearNetwork(self.weights.reshape(n_features, -1))
        self.mean_brain_ = np.where(self.mask_, make_volumes().mean(0), 0).astype(np.float32)

    def transform(self, X):
        flat = np.where(self.mask_, X, 0)[(slice(None), *self.window)].reshape(len(X), -1)
        return flat @ self.weights.reshape(len(self.weights), -1).T

    def voxel_weights(self, coef):
        box = np.zeros(SHAPE)
        box[self.window] = np.tensordot(coef, self.weights, 1)
        return box


def covariates_of(x, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"age": rng.uniform(20, 60, len(x)), "sex": np.where(np.arange(len(x)) % 3, "F", "M")})


@pytest.fixture(scope="module")
def linear():
    """A linear encoder, two regressions on its features, and what they were fitted on."""
    rng = np.random.default_rng(3)
    encoder, x = LinearEncoder(rng), make_volumes()
    features = encoder.transform(x)
    fits = [
        LatentRegression().fit(features, rng.standard_normal(N), covariates=covariates_of(x)),
        LatentRegression(nuisance="none", weights=(2.0,)).fit(features, features[:, 0] + rng.standard_normal(N)),
    ]
    return encoder, fits, x


@pytest.fixture(scope="module")
def trained():
    """A trained encoder of two blocks and a regression of the second way in which the volumes differ."""
    x = make_volumes()
    target = x[:, 3, 6, 3] - x[:, 3, 2, 3]
    encoder = ConvolutionalAutoencoder(2, 3, max_epochs=15, precision="float32", mask=make_mask()).fit(x)
    return encoder, LatentRegression().fit(encoder.transform(x), target), x


@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_the_gradient_of_a_linear_pair_is_its_weights(linear, batch_size):
    encoder, fits, x = linear
    found = group_maps(BrainScore(encoder, fits), x, gradient, batch_size=batch_size)
    for number, fit in enumerate(fits):
        known = encoder.voxel_weights(fit.coef_)
        np.testing.assert_allclose(found.signed[number], known, atol=1e-5 * np.abs(known).max())
        np.testing.assert_allclose(found.absolute[number], np.abs(known), atol=1e-5 * np.abs(known).max())
    assert found.gap is None
    assert found.completeness.verdict is Verdict.NOT_APPLICABLE


def test_gradient_times_input_and_integrated_gradients_of_a_linear_pair_are_its_parts(linear):
    encoder, fits, x = linear
    known = encoder.voxel_weights(fits[0].coef_)
    score = BrainScore(encoder, fits[:1])
    times = dict(subject_maps(score, x, gradient_times_input))
    along = dict(subject_maps(score, x, integrated_gradients))
    scale = 1e-5 * np.abs(known).max()
    for row in range(N):
        np.testing.assert_allclose(times[row][0], np.where(make_mask(), known * x[row], 0), atol=scale)
        np.testing.assert_allclose(along[row][0], known * (x[row] - encoder.mean_brain_), atol=scale)
    assert group_maps(score, x, integrated_gradients).gap.max() < 1e-3


def test_occluding_a_region_of_a_linear_pair_takes_away_its_part(linear):
    encoder, fits, x = linear
    labels = cube_labels(make_mask(), 3) * 1000
    found = occlude_regions(BrainScore(encoder, fits), x, labels, batch_size=3)
    assert found.numbers == tuple(range(1000, 1000 * len(found.numbers) + 1, 1000))
    for number, fit in enumerate(fits):
        part = encoder.voxel_weights(fit.coef_) * (x - encoder.mean_brain_)
        known = np.stack([part[:, labels == region].sum(1) for region in found.numbers], axis=1)
        np.testing.assert_allclose(found.effects[number], known, atol=1e-5 * np.abs(known).max())
    np.testing.assert_allclose(found.effects.sum(2)[0], part_of_all(encoder, fits[0], x), rtol=1e-3, atol=1e-5)
    boxes = found.to_box(found.direction)
    assert boxes.shape == (2, *SHAPE)
    assert not boxes[:, ~make_mask()].any()
    assert found.to_box(np.arange(len(found.numbers)))[labels == 4000].max() == 3
    np.testing.assert_allclose(found.ranking, found.absolute / np.sqrt(np.unique(labels, return_counts=True)[1][1:]))


def part_of_all(encoder, fit, x):
    return ((x - encoder.mean_brain_) * encoder.voxel_weights(fit.coef_))[:, make_mask()].sum(1)


def test_the_mean_effect_is_blind_to_an_association_whose_direction_is_told(linear):
    encoder, _, x = linear
    fit = LatentRegression(weights=(1.0,)).fit(encoder.transform(x), -np.where(make_mask(), x, 0).sum((1, 2, 3)))
    whole = make_mask().astype(int)
    # all subjects of training lie around the mean brain, so their mean effect says nothing
    found = occlude_regions(BrainScore(encoder, [fit]), x, whole)
    assert abs(found.signed[0, 0]) < 1e-3 * found.absolute[0, 0]
    assert found.direction[0, 0] < 0


def test_scores_change_as_the_regression_says_with_covariates_and_sites(linear):
    encoder, _, x = linear
    rng = np.random.default_rng(5)
    sites = np.where(np.arange(N) % 2, "A", "B")
    features = encoder.transform(x) * np.where(sites == "A", 1.0, 3.0)[:, None]
    covariates = covariates_of(x)
    fit = LatentRegression(harmoniser=ComBat()).fit(
        features, rng.standard_normal(N), sites=sites, covariates=covariates
    )
    score = BrainScore(encoder, [fit])
    moved = x + np.where(make_mask(), 0.1 * rng.standard_normal(x.shape), 0).astype(np.float32)
    said = {
        name: fit.decision_scores(encoder.transform(volumes), sites=sites, covariates=covariates)
        for name, volumes in {"before": x, "after": moved}.items()
    }
    told = []
    for volumes in (moved, x):
        (block,) = score.blocks(volumes, sites=sites, batch_size=N)
        told.append(score(block.x).gather(1, score.column(0, block.sites)[:, None])[:, 0].detach().numpy())
    np.testing.assert_allclose(told[0] - told[1], said["after"] - said["before"], rtol=1e-3, atol=1e-6)
    forgets_the_site = (encoder.transform(moved) - encoder.transform(x)) @ fit.coef_
    assert np.abs(forgets_the_site - (said["after"] - said["before"])).max() > 0.1 * np.abs(forgets_the_site).max()
    with pytest.raises(InputError, match="site C is unknown"):
        list(score.blocks(x, sites=["C"] * N))
    with pytest.raises(InputError, match="Give the site of every subject"):
        list(score.blocks(x))


def test_the_gradient_of_a_trained_pair_is_that_of_the_encoder(trained):
    encoder, fit, x = trained
    known, done = encoder.input_gradient(x, fit.coef_), []
    found = np.stack([values[0] for _, values in subject_maps(BrainScore(encoder, [fit]), x, gradient)])
    np.testing.assert_allclose(found, known, atol=1e-4 * np.abs(known).max())
    summary = group_maps(BrainScore(encoder, [fit]), x, gradient, advance=lambda n: done.append(n))
    assert sum(done) == N
    np.testing.assert_allclose(summary.signed[0], known.mean(0), atol=1e-4 * np.abs(known).max())
    np.testing.assert_allclose(summary.absolute[0], np.abs(known).mean(0), atol=1e-4 * np.abs(known).max())
    assert not summary.absolute[:, ~make_mask()].any()
    some = group_maps(BrainScore(encoder, [fit]), x, gradient, rows=[4, 1])
    np.testing.assert_allclose(some.signed[0], known[[4, 1]].mean(0), atol=1e-4 * np.abs(known).max())


def test_integrated_gradients_of_a_smooth_pair_add_up_and_plain_gradients_do_not(linear):
    x = linear[2]
    bent = LinearEncoder(np.random.default_rng(7))
    encode = bent.reconstruction_.encode
    bent.reconstruction_.encode = lambda volumes: torch.tanh(0.2 * encode(volumes))
    fit = LatentRegression().fit(np.tanh(0.2 * bent.transform(x)), np.arange(N))
    score = BrainScore(bent, [fit])
    found = group_maps(score, x, integrated_gradients)
    assert found.gap.shape == (1, N)
    assert found.gap.max() < 1e-3
    assert found.completeness.verdict is Verdict.PASS
    both = np.concatenate([x, bent.mean_brain_[None]])
    *said, reference = fit.decision_scores(np.tanh(0.2 * bent.transform(both)))
    maps = np.stack([values[0] for _, values in subject_maps(score, x, integrated_gradients)])
    change = torch.tensor(np.array(said) - reference)
    assert completeness_gap(torch.tensor(maps), change).max() < 2e-3
    plain = np.stack([values[0] for _, values in subject_maps(score, x, gradient)]) * (x - bent.mean_brain_)
    assert completeness_gap(torch.tensor(np.where(make_mask(), plain, 0)), change).median() > 1e-2


def test_integrated_gradients_of_a_trained_pair_add_up_but_for_its_kinks(trained):
    encoder, fit, x = trained
    score, rows = BrainScore(encoder, [fit]), np.arange(6)
    few, many = (
        group_maps(score, x, partial(integrated_gradients, max_points=points), rows=rows) for points in (16, 256)
    )
    said = fit.decision_scores(encoder.transform(np.concatenate([x[rows], encoder.mean_brain_[None]])))
    # the gap is relative to each subject's change, which may be nearly nothing; held against all changes it is small
    change = np.abs(said[:-1] - said[-1])
    assert (many.gap[0] * change).max() < 1e-3 * change.max()
    assert many.gap.max() < 0.2 * few.gap.max()


def test_smooth_gradients_without_noise_are_gradients_and_repeat_in_any_batch(trained):
    encoder, fit, x = trained
    score = BrainScore(encoder, [fit, fit])
    plain = group_maps(score, x, gradient).signed
    still = group_maps(score, x, partial(smooth_grad, noise=0.0, n_draws=2)).signed
    scale = np.abs(plain).max()
    np.testing.assert_allclose(still, plain, atol=1e-4 * scale)
    found = [group_maps(score, x, partial(smooth_grad, n_draws=3), batch_size=size).signed for size in (1, 7)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-4 * scale)
    np.testing.assert_allclose(found[0][0], found[0][1], atol=1e-6 * scale)
    assert np.abs(found[0] - plain).max() > 1e-2 * scale
    other = group_maps(score, x, partial(smooth_grad, n_draws=3, random_state=1)).signed
    assert np.abs(found[0] - other).max() > 1e-3 * scale
    with pytest.raises(InputError, match="n_draws"):
        group_maps(score, x, partial(smooth_grad, n_draws=0))


def test_occlusion_of_a_trained_pair_is_that_of_the_explaining_room(trained):
    encoder, fit, x = trained
    score, labels = BrainScore(encoder, [fit, fit]), cube_labels(make_mask(), 4)
    found = occlude_regions(score, x, labels)
    (block,) = score.blocks(x, batch_size=N)
    regions = torch.from_numpy(labels[score.window].astype(np.int64))
    known, _ = explained_occlusion(score, block.x, 0, regions - 1, reference=score.reference)
    np.testing.assert_allclose(found.effects[0], known, atol=1e-4 * float(known.abs().max()))
    np.testing.assert_allclose(found.effects[0], found.effects[1])
    assert found.deviation.shape == found.effects.shape[1:]


def test_explaining_leaves_the_encoder_as_it_was(trained):
    encoder, fit, x = trained
    before = {name: tensor.clone() for name, tensor in encoder.reconstruction_.state_dict().items()}
    for parameter in encoder.reconstruction_.parameters():
        parameter.grad = None
    group_maps(BrainScore(encoder, [fit]), x, integrated_gradients, rows=[0])
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.reconstruction_.state_dict().items())
    assert not encoder.reconstruction_.training
    assert all(parameter.grad is None for parameter in encoder.reconstruction_.parameters())


def test_a_pair_that_does_not_fit_is_refused(linear, trained):
    encoder, fits, x = linear
    with pytest.raises(ShapeError, match="weights must have shape"):
        BrainScore(trained[0], fits)
    inside = LatentRegression(features=PrincipalComponents()).fit(encoder.transform(x), np.arange(N))
    with pytest.raises(CapabilityError, match="PrincipalComponents stands between"):
        BrainScore(encoder, [inside])
    with pytest.raises(InputError, match="no regression"):
        BrainScore(encoder, [])
    own = ConvolutionalAutoencoder(1, 1, max_epochs=1, precision="float32", mask=make_mask())
    whole = LatentRegression(features=own).fit(x, np.arange(N))
    assert BrainScore(whole.preparation_.features, [whole]).n_scores == 1


def test_bad_volumes_and_regions_are_refused(linear):
    encoder, fits, x = linear
    score, wrong = BrainScore(encoder, fits), x.copy()
    wrong[6, 3, 3, 3] = np.nan
    with pytest.raises(InputError, match="row 6: the volume holds NaN"):
        group_maps(score, wrong, gradient)
    group_maps(score, wrong, gradient, rows=[0, 1])
    with pytest.raises(InputError, match="no subjects to explain"):
        group_maps(score, x, gradient, rows=[])
    with pytest.raises(InputError, match="batch_size"):
        group_maps(score, x, gradient, batch_size=0)
    with pytest.raises(ShapeError, match="labels"):
        occlude_regions(score, x, np.ones((2, 2, 2), int))
    with pytest.raises(InputError, match="whole numbers"):
        occlude_regions(score, x, np.ones(SHAPE))
    with pytest.raises(InputError, match="no region to replace"):
        occlude_regions(score, x, (~make_mask()).astype(int))
    with pytest.raises(InputError, match="edge"):
        cube_labels(make_mask(), 0)
