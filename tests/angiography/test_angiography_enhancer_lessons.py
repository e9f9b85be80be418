"""Frames freed of their vessels, and vessels put into them."""

import numpy as np
import pytest
import torch

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.model.enhancer_backgrounds import find_backgrounds, recent_frames
from kotowari.studies.angiography.model.enhancer_lessons import ImplantLessons
from kotowari.studies.angiography.model.enhancer_recordings import recordings
from kotowari.studies.angiography.model.enhancer_removal import (
    connected_vessels,
    narrow_part,
    remove_pixels,
    suspected_vessels,
    without_vessels,
)
from kotowari.studies.angiography.model.enhancer_trees import TreeLaw

FIELD = np.ones((150, 150), np.bool_)


@pytest.fixture
def vessel():
    mask = np.zeros((150, 150), np.bool_)
    mask[20:130, 70:75] = True
    return mask


@pytest.fixture
def frame(rng, vessel):
    ramp = np.linspace(0, 2, 150)[:, None]
    return (ramp + 0.02 * rng.standard_normal(vessel.shape) + 0.4 * vessel).astype(np.float32)


def test_a_vessel_is_suspected_and_removed_with_its_grain_kept(frame, vessel, rng):
    assert suspected_vessels(frame, FIELD)[vessel].mean() > 0.95
    empty = without_vessels(frame, FIELD, rng)
    expected = np.broadcast_to(np.linspace(0, 2, 150)[:, None], vessel.shape)
    assert abs((empty - expected)[vessel].mean()) < 0.02
    assert 0.01 < (empty - expected)[vessel].std() < 0.03
    assert narrow_part(empty)[vessel].mean() < 0.2 * narrow_part(frame)[vessel].mean()


def test_pixels_beside_those_removed_stay_as_they_are(frame, vessel, rng):
    empty = remove_pixels(frame, vessel, FIELD, rng)
    assert np.array_equal(empty[~vessel], frame[~vessel])
    assert np.array_equal(remove_pixels(frame, np.zeros_like(vessel), FIELD, rng), frame)


def test_filling_without_grain_would_be_caught(frame, vessel):
    flat = np.where(vessel, frame[~vessel].mean(), frame)
    assert flat[vessel].std() < 0.01


def test_isolated_bits_are_no_vessels():
    probability = np.zeros((300, 300), np.float32)
    probability[40:240, 100:104] = 0.9
    probability[20:24, 20:24] = 0.9
    found = connected_vessels(probability, low=0.25, high=0.6, least_area=250)
    assert found[100, 102]
    assert not found[22, 22]


def test_a_field_of_another_shape_is_refused(frame, rng):
    with pytest.raises(ShapeError, match="field"):
        without_vessels(frame, FIELD[:10], rng)


def test_the_first_frame_stands_before_the_first_frame():
    frames = np.arange(4, dtype=np.float32)[:, None, None]
    assert recent_frames(frames, 0, 3).ravel().tolist() == [0, 0, 0]
    assert recent_frames(frames, 3, 3).ravel().tolist() == [1, 2, 3]


def lessons(frame, **options):
    settings = {"n_rows": 5, "side": 96, "raw_share": 0.5, "seed": 1} | options
    return ImplantLessons(find_backgrounds(frame[None], FIELD, "a", 1, 0), TreeLaw().scaled(0.5), **settings)


def test_a_row_is_the_same_whenever_it_is_asked_for(frame):
    one, other = lessons(frame), lessons(frame)
    rows = torch.tensor([4, 1])
    assert torch.equal(one.inputs[rows], other.inputs[torch.tensor([4, 1])])
    assert torch.equal(one.targets[rows], other.targets[rows])
    assert one.inputs.shape == (5, 2, 96, 96)
    assert one.targets.shape == (5, 2, 96, 96)
    assert not torch.equal(one.inputs[torch.tensor([0])], lessons(frame, seed=2).inputs[torch.tensor([0])])


def test_implants_attenuate_where_the_truth_says(frame):
    rows = [lessons(frame, raw_share=0.0, seed=seed).row(0) for seed in range(12)]
    gains = [narrow_part(x[0])[y[0] > 0].mean() - narrow_part(x[0])[y[0] == 0].mean() for x, y in rows if y[0].any()]
    assert np.mean(np.array(gains) > 0.02) > 0.8


def test_own_vessels_never_count_as_background(frame):
    moment = find_backgrounds(frame[None], FIELD, "a", 1, 0)[0]
    assert moment.has_contrast
    for seed in range(5):
        truth, weight = lessons(frame, raw_share=1.0, seed=seed, side=150).row(0)[1]
        assert (weight == 0).sum() <= moment.doubt.sum()
        assert (weight == 0).sum() >= moment.doubt.sum() - (truth > 0).sum()
        assert weight[truth > 0].all()


def test_bad_recordings_are_refused_in_a_sentence(frame):
    with pytest.raises(InputError, match="run 1: some pixels are not finite"):
        recordings([frame, np.where(FIELD, np.nan, frame)], None, None)
    with pytest.raises(ShapeError, match="groups"):
        recordings([frame], None, ["a", "b"])
    with pytest.raises(ShapeError, match="fields"):
        recordings([frame], [FIELD, FIELD], None)
    with pytest.raises(InputError, match="empty"):
        recordings([frame], [~FIELD], None)
    with pytest.raises(ShapeError, match="32 pixels"):
        recordings([frame[:10]], None, None)
