"""Comparators: filters of single frames and subtractions in runs."""

import numpy as np
import pytest
from PIL import Image

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.attenuation import to_attenuation
from kotowari.studies.angiography.field import field_of_view
from kotowari.studies.angiography.filters import VesselFilter, all_filters, fill_outside, top_hat_filter
from kotowari.studies.angiography.ranking import ranking_scores
from kotowari.studies.angiography.robust_background import robust_pca_layers
from kotowari.studies.angiography.scores import score_map
from kotowari.studies.angiography.subtraction import all_subtractions, minus_first, minus_gaussian, minus_median

_WHOLE = np.ones((64, 64), np.bool_)


def _picture(rng, shift=0):
    row, column = np.mgrid[:64, :64]
    truth = np.abs(row - 30 - shift - 0.3 * column) < 2.5
    background = 1 + 0.5 * np.sin(row / 20) + column / 100
    return (background + 0.3 * truth + rng.normal(0, 0.03, truth.shape)).astype(np.float32), truth


def _run(rng, n_frames=16, begin=8):
    """A static background and contrast from one frame on."""
    picture, truth = _picture(rng)
    bare = picture - np.float32(0.3) * truth
    filled = (np.arange(n_frames) >= begin)[:, None, None] & truth
    noise = rng.normal(0, 0.02, filled.shape)
    return (bare + 0.3 * filled + noise).astype(np.float32), filled


@pytest.mark.parametrize("vessel_filter", all_filters(), ids=lambda one: one.name)
def test_filter_finds_bright_ridges_and_not_dark_ones(vessel_filter, rng):
    picture, truth = _picture(rng)
    found = vessel_filter.enhance(picture[None], _WHOLE)[0]
    assert ranking_scores(found[truth], found[~truth])[0] > 0.95
    dark = vessel_filter.enhance(-picture[None], _WHOLE)[0]
    assert ranking_scores(dark[truth], dark[~truth])[0] < 0.7


@pytest.mark.parametrize("vessel_filter", all_filters(), ids=lambda one: one.name)
def test_rim_of_the_field_does_not_light_up(vessel_filter):
    row, column = np.mgrid[:64, :64]
    field = np.hypot(row - 32, column - 32) < 26
    frame = np.where(field, np.float32(1), np.float32(5)) + 0.2 * (np.abs(row - 32) < 2)
    found = vessel_filter.enhance(frame[None].astype(np.float32), field)[0]
    rim = field & (np.hypot(row - 32, column - 32) > 22) & (np.abs(row - 32) > 10)
    assert found[rim].max() < 0.1 * found[field].max()
    assert (found[~field] == 0).all()
    # with the surround left as it is, the vessel is no longer what stands out
    line = field & (np.abs(row - 32) < 2) & (np.hypot(row - 32, column - 32) < 20)
    bare = vessel_filter.enhance(frame[None].astype(np.float32), _WHOLE)[0]
    assert bare[line].mean() < 0.5 * found[line].mean()


def test_tuning_takes_the_scales_and_the_threshold_that_serve_the_training_pictures(rng):
    pictures, truths = zip(*(_picture(rng, shift) for shift in (-8, 0)), strict=True)
    tuned = VesselFilter("ridge", top_hat_filter().response, ((1.0,), (5.0, 8.0)))
    tuned.fit(pictures, truths)
    assert tuned.scales_ == (5.0, 8.0)
    picture, truth = _picture(rng, 6)
    found = tuned.enhance(picture[None], _WHOLE)[0]
    reached = score_map(found, truth, _WHOLE, tuned.threshold_).dice
    assert reached > 0.8
    assert score_map(found, truth, _WHOLE, tuned.threshold_ / 4).dice < reached - 0.1


def test_threshold_of_a_filter_stands_whatever_the_gain_of_the_picture(rng):
    picture, _ = _picture(rng)
    hat = top_hat_filter()
    np.testing.assert_allclose(
        hat.enhance(3 * picture[None] + 1, _WHOLE), hat.enhance(picture[None], _WHOLE), rtol=0, atol=2e-5
    )


def test_blank_frame_gives_a_blank_map():
    for vessel_filter in all_filters():
        assert (vessel_filter.enhance(np.ones((1, 64, 64), np.float32), _WHOLE) == 0).all(), vessel_filter.name


def test_outside_of_the_field_the_nearest_inside_continues():
    frame = np.arange(25, dtype=np.float32).reshape(5, 5)
    field = np.zeros((5, 5), np.bool_)
    field[1:4, 1:4] = True
    filled = fill_outside(frame[None], field)[0]
    assert filled[0, 2] == frame[1, 2]
    np.testing.assert_array_equal(filled[field], frame[field])


@pytest.mark.parametrize("subtraction", all_subtractions(), ids=lambda one: one.name)
def test_subtraction_finds_contrast_over_a_static_background(subtraction, rng):
    frames, truth = _run(rng)
    found = subtraction.enhance(frames, _WHOLE)
    assert found.shape == frames.shape
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert ranking_scores(found[12][truth[12]], found[12][~truth[12]])[0] > (
        0.8 if "Gaussian" in subtraction.name else 0.97
    )


def test_minus_first_is_the_vessel_itself_over_a_static_background(rng):
    frames, truth = _run(rng)
    found = minus_first(8).enhance(frames, _WHOLE)
    assert found[8:][truth[8:]].mean() == pytest.approx(0.3, abs=0.01)
    # frames of contrast among the first ones take the vessel away
    assert minus_first(16).enhance(frames[4:], _WHOLE)[6:][truth[10:]].mean() < 0.25


def test_field_alone_counts(rng):
    frames, _ = _run(rng)
    field = _WHOLE.copy()
    field[:, :20] = False
    lit = frames.copy()
    lit[:, :, :20] = 50
    for one in all_subtractions():
        np.testing.assert_array_equal(one.enhance(lit, field), one.enhance(frames, field), err_msg=one.name)


def test_robust_background_of_some_frames_serves_the_others(rng):
    frames, truth = _run(rng, 24, begin=18)
    every = robust_pca_layers(frames, _WHOLE)
    some = robust_pca_layers(frames, _WHOLE, most_frames=12)
    late = truth.any((1, 2))
    areas = [ranking_scores(layers[late][truth[late]], layers[late][~truth[late]])[0] for layers in (every, some)]
    assert min(areas) > 0.97
    # contrast that stays for most of the run is background to a low rank
    frames, truth = _run(rng, 24, begin=4)
    assert ranking_scores(robust_pca_layers(frames, _WHOLE)[12][truth[12]], np.zeros(1))[0] < 0.9


def test_wrong_shapes_and_runs_too_short_are_refused(rng):
    picture, truth = _picture(rng)
    with pytest.raises(InputError, match="3 frames or more"):
        minus_median().enhance(picture[None], _WHOLE)
    with pytest.raises(ShapeError):
        minus_gaussian().enhance(picture, _WHOLE)
    with pytest.raises(ShapeError):
        top_hat_filter().enhance(picture[None], _WHOLE[:5])
    with pytest.raises(InputError, match="one truth and one field"):
        top_hat_filter().fit([picture], [])
    with pytest.raises(InputError, match="both vessel and background"):
        top_hat_filter().fit([picture], [~_WHOLE])
    with pytest.raises(InputError, match="field of view is empty"):
        top_hat_filter().enhance(picture[None], ~_WHOLE)
    assert truth.any()


@pytest.mark.field_data
def test_filters_reach_on_real_angiograms_what_is_known_of_them(field_data):
    folder = field_data / "angiography" / "cimat"
    numbers = range(1, 41, 4)
    light = [np.asarray(Image.open(folder / f"{number}.png")) for number in numbers]
    truth = [np.asarray(Image.open(folder / f"{number}_gt.png")) > 127 for number in numbers]
    fields = [field_of_view(picture) for picture in light]
    assert min(field[true].mean() for field, true in zip(fields, truth, strict=True)) > 0.999
    hat = top_hat_filter()
    maps = [hat.enhance(to_attenuation(i, 255)[None], f)[0] for i, f in zip(light, fields, strict=True)]
    areas = [ranking_scores(m[f & t], m[f & ~t])[0] for m, t, f in zip(maps, truth, fields, strict=True)]
    assert np.mean(areas) > 0.95
