"""Norm-1 and norm-2: known ranges, training rows only, and the way back."""

import numpy as np
import pytest

from kotowari.core.errors import InputError
from kotowari.studies.omics.model.scaling import SCALINGS, Norm1, Norm2, scaler_class

CASES = {"norm1": Norm1, "norm2": Norm2}


@pytest.fixture
def train():
    return np.random.default_rng(0).normal(5.0, 3.0, (12, 7))


def test_every_scaling_has_a_case():
    assert CASES == SCALINGS


@pytest.mark.parametrize("scaling", CASES.values(), ids=CASES)
def test_scaled_values_are_float32_between_0_and_1_for_any_row(scaling, train):
    far = np.concatenate([train, train * 100, train - 1000])
    scaled = scaling.fit(train).scale(far)
    assert scaled.dtype == np.float32
    assert scaled.min() >= 0
    assert scaled.max() <= 1


def test_norm1_takes_the_training_range_of_every_feature_to_0_and_1(train):
    scaled = Norm1.fit(train).scale(train)
    np.testing.assert_array_equal(scaled.min(0), 0)
    np.testing.assert_array_equal(scaled.max(0), 1)


def test_norm2_is_the_formula_of_the_paper(train):
    test = train * 1.7 - 3
    lower = train.min(0)
    peak = np.log(train + np.abs(lower) + 1).max()
    expected = np.minimum(np.log(np.maximum(test, lower) + np.abs(lower) + 1) / peak, 1)
    np.testing.assert_allclose(Norm2.fit(train).scale(test), expected, rtol=1e-6, atol=1e-7)


def test_norm2_with_one_scale_a_feature_is_another_thing(train):
    train[:, 0] *= 50
    alone = np.hstack([Norm2.fit(column).scale(column) for column in np.split(train, 7, axis=1)])
    assert np.abs(alone - Norm2.fit(train).scale(train)).max() > 0.1


@pytest.mark.parametrize("scaling", CASES.values(), ids=CASES)
def test_unscaling_gives_training_values_back(scaling, train):
    fitted = scaling.fit(train)
    np.testing.assert_allclose(fitted.unscale(fitted.scale(train)), train, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scaling", CASES.values(), ids=CASES)
def test_values_beyond_the_training_range_come_back_at_its_edge(scaling, train):
    fitted = scaling.fit(train)
    below = fitted.unscale(fitted.scale(train - 1000))
    np.testing.assert_allclose(below, np.tile(train.min(0), (12, 1)), atol=1e-5)


@pytest.mark.parametrize("scaling", CASES.values(), ids=CASES)
def test_constant_features_are_0_remembered_and_given_back(scaling, train):
    train[:, 2] = 4.5
    fitted = scaling.fit(train)
    np.testing.assert_array_equal(fitted.constant, np.arange(7) == 2)
    np.testing.assert_array_equal(fitted.scale(train + 1)[:, 2], 0)
    np.testing.assert_array_equal(fitted.unscale(fitted.scale(train))[:, 2], 4.5)


@pytest.mark.parametrize("scaling", CASES.values(), ids=CASES)
def test_missing_values_become_0_and_leave_the_ranges_alone(scaling, train):
    holed = train.copy()
    holed[3, 1] = np.nan
    holed[:, 4] = np.nan
    fitted = scaling.fit(holed)
    assert fitted.lower[1] == np.delete(train[:, 1], 3).min()
    assert fitted.constant[4]
    scaled = fitted.scale(holed)
    assert scaled[3, 1] == 0
    np.testing.assert_array_equal(scaled[:, 4], 0)


@pytest.mark.parametrize("scaling", CASES.values(), ids=CASES)
def test_a_table_of_constants_is_all_0(scaling):
    table = np.full((3, 2), 7.0)
    np.testing.assert_array_equal(scaling.fit(table).scale(table), 0)


def test_an_unknown_scaling_is_refused():
    with pytest.raises(InputError, match="norm1, norm2, got 'zscore'"):
        scaler_class("zscore")
