"""Two decoded ends: they move by what was asked, they say that they are synthetic, and they own up when it is lost."""

import numpy as np
import pytest

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.evidence import Verdict
from kotowari.studies.brain.model.clinical_axis import clinical_axis
from kotowari.studies.brain.model.latent_regression import LatentRegression

SHAPE = (4, 5, 6)
PLANTED = np.zeros(SHAPE, bool)
PLANTED[1:3, 1:3, 1:3] = True


class LinearEncoder:
    """Features are a rotation of the voxels, and decoding turns back: nothing is lost, so everything is known."""

    feature_shape_ = (1, *SHAPE)
    mask_ = np.ones(SHAPE, bool)
    mean_brain_mae_ = 0.2

    def __init__(self, loss=0.0):
        self.turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(120, 120)))
        self.loss, self.mae_ = loss, np.full(3, 0.1)

    def transform(self, X):
        return (np.asarray(X).reshape(len(X), -1) @ self.turn).astype(np.float32)

    def inverse_transform(self, features):
        volumes = (features @ self.turn.T).reshape(-1, *SHAPE)
        return (volumes * (1 - self.loss)).astype(np.float32)


def cohort(rng, n=80):
    dose = rng.uniform(0, 1500, n)
    volumes = 1 + 0.1 * rng.normal(size=(n, *SHAPE))
    volumes[:, PLANTED] -= 0.2 * (dose / 1500)[:, None]
    return volumes, dose


def fitted(encoder, volumes, dose, **options):
    features = encoder.transform(volumes)
    return LatentRegression(scale=False, name="dose", **options).fit(features, dose), features


def test_without_loss_the_prediction_moves_from_one_quantile_to_the_other(rng):
    encoder = LinearEncoder()
    volumes, dose = cohort(rng)
    model, features = fitted(encoder, volumes, dose)
    axis = clinical_axis(encoder, model, features, dose)
    wanted = np.quantile(dose, [0.1, 0.9])
    assert [axis.low_value, axis.high_value] == pytest.approx(wanted)
    said = model.predict(encoder.transform(np.stack([axis.low, axis.high])))
    assert said == pytest.approx(wanted, rel=1e-3)
    assert axis.returned == pytest.approx(1, abs=1e-3)
    assert axis.faithful
    assert axis.stamp == "Synthetic: decoded from features; no subject looks like this."
    assert np.array_equal(axis.difference, axis.high - axis.low)
    assert (axis.decoder_error, axis.mean_brain_error) == pytest.approx((0.1, 0.2))


def test_the_direction_is_the_covariance_with_the_score(rng):
    encoder = LinearEncoder()
    volumes, dose = cohort(rng)
    model, features = fitted(encoder, volumes, dose)
    score = features.astype(float) @ model.coef_
    expected = [np.cov(column, score)[0, 1] / score.var(ddof=1) for column in features.T.astype(float)]
    np.testing.assert_allclose(clinical_axis(encoder, model, features, dose).direction, expected, atol=1e-10)


def test_the_difference_lies_where_the_dose_acts_and_the_weights_as_direction_would_hide_it(rng):
    """A voxel that only carries the noise of another has a weight and no pattern."""
    encoder = LinearEncoder()
    volumes, dose = cohort(rng)
    distractor = (3, 4, 5)
    noise = 0.3 * rng.normal(size=len(dose))
    volumes[:, 3, 4, 5] = 1 + noise
    volumes[:, PLANTED] += noise[:, None]
    model, features = fitted(encoder, volumes, dose)
    found = np.abs(clinical_axis(encoder, model, features, dose).difference)
    naive = np.abs((encoder.turn @ model.coef_).reshape(SHAPE))
    assert naive[distractor] > naive[PLANTED].max()
    assert found[distractor] < found[PLANTED].min()


def test_a_decoder_that_loses_the_change_is_stamped(rng):
    volumes, dose = cohort(rng)
    lossy = LinearEncoder(loss=0.7)
    model, features = fitted(lossy, volumes, dose)
    axis = clinical_axis(lossy, model, features, dose)
    assert axis.returned == pytest.approx(0.3, abs=0.01)
    assert not axis.faithful
    assert axis.check.verdict is Verdict.FAIL
    assert axis.stamp.startswith("Synthetic: ")
    assert axis.stamp.endswith("Not faithful: encoded again, less than 50% of the change comes back.")
    assert clinical_axis(lossy, model, features, dose, threshold=0.2).faithful


def test_covariates_are_taken_out_of_the_direction(rng):
    encoder = LinearEncoder()
    volumes, dose = cohort(rng)
    age = 40 + 10 * (dose - dose.mean()) / dose.std() + 5 * rng.normal(size=len(dose))
    volumes[:, 3, 4, 5] -= 0.05 * (age - 40)
    table = {"age": age}
    features = encoder.transform(volumes)
    model = LatentRegression(scale=False, name="dose", nuisance="both").fit(features, dose, covariates=table)
    freed = np.abs(clinical_axis(encoder, model, features, dose, covariates=table).difference)
    mixed = np.abs(clinical_axis(encoder, model, features, dose).difference)
    share = [map_[3, 4, 5] / map_[PLANTED].mean() for map_ in (freed, mixed)]
    assert share[0] < 0.5 * share[1]


def test_a_score_from_outside_takes_the_place_of_the_fitted_one(rng):
    encoder = LinearEncoder()
    volumes, dose = cohort(rng)
    model, features = fitted(encoder, volumes, dose)
    axis = clinical_axis(encoder, model, features, dose, score=dose)
    slope = ((dose - dose.mean()) @ (features - features.mean(0))) / ((dose - dose.mean()) ** 2).sum()
    np.testing.assert_allclose(axis.direction, slope, rtol=1e-5, atol=1e-11)
    with pytest.raises(DesignError, match="does not raise the prediction"):
        clinical_axis(encoder, model, features, dose, score=-dose)


def test_how_far_the_ends_leave_the_cohort_is_told(rng):
    encoder = LinearEncoder()
    volumes, dose = cohort(rng)
    model, features = fitted(encoder, volumes, dose, weights=(1e5,))  # far too much shrinkage: the ends are far out
    near, _ = fitted(encoder, volumes, dose)
    assert clinical_axis(encoder, model, features, dose).outside > clinical_axis(encoder, near, features, dose).outside


def test_what_does_not_fit_is_refused(rng):
    encoder = LinearEncoder()
    volumes, dose = cohort(rng)
    model, features = fitted(encoder, volumes, dose)
    with pytest.raises(ShapeError):
        clinical_axis(encoder, model, features[:, 1:], dose)
    with pytest.raises(ShapeError):
        clinical_axis(encoder, model, features, dose[1:])
    with pytest.raises(ShapeError):
        clinical_axis(encoder, model, features, dose, score=dose[1:])
    with pytest.raises(InputError, match="shares must rise"):
        clinical_axis(encoder, model, features, dose, shares=(0.9, 0.1))
    with pytest.raises(InputError, match="must be finite"):
        clinical_axis(encoder, model, features, np.where(dose > 700, np.nan, dose))
    with pytest.raises(InputError, match="row 0 is not finite"):
        clinical_axis(encoder, model, features, dose, score=np.full(80, np.nan))
    with pytest.raises(DesignError, match="does not vary beside the covariates"):
        clinical_axis(encoder, model, features, dose, score=np.ones(80))
    with pytest.raises(DesignError, match="does not vary between"):
        clinical_axis(encoder, model, features, np.full(80, 3.0))
    told = LatentRegression(target="class").fit(features, dose > 700)
    with pytest.raises(InputError, match="regression of one number"):
        clinical_axis(encoder, told, features, dose)
