"""Contrast arrival, the picture of the whole tree, and devices."""

import numpy as np
import pytest

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.arrival import contrast_arrival, find_device, maximum_contrast

_FRAME_S = 0.1
_TIMES = np.arange(40) * _FRAME_S


def _front(rng, noise=0.02):
    """A front that crosses the columns, 0.05 s each, and rises over 0.5 s."""
    begin = 1.0 + 0.05 * np.arange(30)
    rise = np.clip((_TIMES[:, None] - begin) / 0.5, 0, 1)
    layers = np.zeros((40, 20, 30), np.float32)
    layers[:, 8:12] = 0.4 * rise[:, None]
    layers += rng.normal(0, noise, layers.shape).astype(np.float32)
    truth = np.full((20, 30), np.nan)
    truth[8:12] = begin
    return layers, truth


@pytest.mark.parametrize(("at", "share"), [("half-maximum", 0.5), ("onset", 0.2)])
def test_arrival_is_the_time_of_the_front_at_its_share_of_the_rise(at, share, rng):
    layers, truth = _front(rng)
    found = contrast_arrival(layers, _TIMES, np.ones((20, 30), np.bool_), before=_TIMES < 0.9, at=at)
    error = found.arrival_s[8:12] - (truth[8:12] + share * 0.5)
    assert np.median(np.abs(error)) < 0.5 * _FRAME_S
    assert np.isfinite(error).mean() > 0.98
    np.testing.assert_allclose(np.median(found.rise[8:12]), 0.4, atol=0.06)


def test_background_gets_no_time(rng):
    layers, truth = _front(rng)
    found = contrast_arrival(layers, _TIMES, np.ones((20, 30), np.bool_), before=_TIMES < 0.9)
    assert np.isnan(found.arrival_s[np.isnan(truth)]).mean() > 0.99
    # with no bar at all noise arrives everywhere
    loose = contrast_arrival(layers, _TIMES, np.ones((20, 30), np.bool_), before=_TIMES < 0.9, least_rise=0)
    assert np.isfinite(loose.arrival_s[np.isnan(truth)]).mean() > 0.6


def test_order_of_frames_carries_the_time(rng):
    layers, truth = _front(rng)
    field = np.ones((20, 30), np.bool_)
    shuffled = contrast_arrival(layers[rng.permutation(40)], _TIMES, field)
    error = np.abs(shuffled.arrival_s[8:12] - truth[8:12])
    assert (error < 5 * _FRAME_S).mean() < 0.5
    ordered = contrast_arrival(layers, _TIMES, field)
    assert (np.abs(ordered.arrival_s[8:12] - truth[8:12]) < 5 * _FRAME_S).mean() > 0.95


def test_one_bright_frame_is_no_arrival(rng):
    layers, _ = _front(rng)
    flashed = layers.copy()
    flashed[4, 8:12] = 2
    field = np.ones((20, 30), np.bool_)
    one, other = (contrast_arrival(values, _TIMES, field) for values in (layers, flashed))
    assert np.nanmax(np.abs(one.arrival_s[8:12] - other.arrival_s[8:12])) < 1.5 * _FRAME_S
    np.testing.assert_allclose(maximum_contrast(flashed, field)[8:12], one.rise[8:12], atol=0.15)


def test_what_was_there_from_the_start_has_no_arrival(rng):
    layers = rng.normal(0, 0.01, (40, 6, 6)).astype(np.float32)
    layers[:, 2] += 1
    layers[:, 4] += np.linspace(1, 0, 40, dtype=np.float32)[:, None]  # washed out only
    found = contrast_arrival(layers, _TIMES, np.ones((6, 6), np.bool_), least_rise=0.3)
    assert np.isnan(found.arrival_s).all()


def test_field_alone_is_timed(rng):
    layers, _ = _front(rng)
    field = np.zeros((20, 30), np.bool_)
    field[9:11] = True
    found = contrast_arrival(layers, _TIMES, field)
    assert np.isnan(found.arrival_s[~field]).all()
    assert (maximum_contrast(layers, field)[~field] == 0).all()


def test_device_is_what_was_found_before_contrast():
    found = np.zeros((10, 5, 5), np.bool_)
    found[:, 1] = True  # a catheter
    found[5:, 3] = True  # a vessel
    found[1, 4] = True  # noise
    before = np.arange(10) < 5
    np.testing.assert_array_equal(find_device(found, before)[:, 0], [False, True, False, False, False])
    assert not find_device(found, np.zeros(10, np.bool_)).any()


def test_wrong_arguments_are_refused(rng):
    layers, _ = _front(rng)
    field = np.ones((20, 30), np.bool_)
    with pytest.raises(InputError, match="5 frames or more"):
        contrast_arrival(layers[:4], _TIMES[:4], field)
    with pytest.raises(ShapeError, match="frame_s"):
        contrast_arrival(layers, _TIMES[:4], field)
    with pytest.raises(InputError, match="half-maximum or onset"):
        contrast_arrival(layers, _TIMES, field, at="peak")
    with pytest.raises(ShapeError, match="before"):
        find_device(layers > 0, np.ones(3, np.bool_))
