"""The shared instance stage on scenes whose cells are known."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import h_maxima

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.cytology.matching import match_instances
from kotowari.studies.cytology.model.basins import find_basins, merge_basins
from kotowari.studies.cytology.model.instances import InstanceOptions, find_instances, floored_cut

WHOLE = InstanceOptions(edge_share=0, smoothing=0, noise_floor=0)


def discs(centres, radius=9.0, shape=(96, 96), height=1.0):
    rows, columns = np.indices(shape)
    labels = np.zeros(shape, dtype=np.int32)
    nearest = np.full(shape, np.inf)
    for k, (row, column) in enumerate(centres, start=1):
        distance = np.hypot(rows - row, columns - column)
        own = (distance <= radius) & (distance < nearest)
        labels[own], nearest[own] = k, distance[own]
    return labels, (labels > 0) * np.float32(height)


def test_discs_apart_are_found_as_they_are():
    truth, foreground = discs([(20, 20), (20, 70), (70, 45)])
    found = find_instances(foreground, 0.5, WHOLE)
    assert np.array_equal(found.labels > 0, truth > 0)
    assert match_instances(truth, found.labels, 0.999).tp == 3
    assert found.labels.dtype == np.int32
    assert found.confidence.dtype == np.float32
    assert found.confidence.shape == (3,)


def test_touching_discs_are_split_where_plain_labelling_merges_them():
    truth, foreground = discs([(48, 20), (48, 36), (64, 36)])
    assert ndimage.label(foreground > 0.5)[1] == 1  # the wrong object: connected pieces alone
    found = find_instances(foreground, 0.5)
    assert match_instances(truth, found.labels, 0.75).tp == 3


def test_a_split_that_is_asked_to_be_too_deep_merges_them():
    _, foreground = discs([(48, 20), (48, 36), (64, 36)])
    assert find_instances(foreground, 0.5, InstanceOptions(split_depth=5.0)).labels.max() == 1


def test_a_dip_of_intensity_splits_what_the_shape_does_not():
    rows, columns = np.indices((40, 60))
    inside = (np.abs(rows - 20) < 9) & (np.abs(columns - 30) < 18)
    foreground = np.where(inside, 1 - 0.7 * np.exp(-((columns - 30) ** 2) / 18), 0).astype(np.float32)
    assert find_instances(foreground, 0.1, InstanceOptions(intensity_weight=2.0, edge_share=0)).labels.max() == 2
    assert find_instances(foreground, 0.1, InstanceOptions(intensity_weight=0.0, edge_share=0)).labels.max() == 1


def test_nothing_above_the_cut_is_an_empty_result():
    found = find_instances(np.zeros((30, 40)), 0.5)
    assert found.labels.shape == (30, 40)
    assert found.labels.max() == 0
    assert found.confidence.shape == (0,)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 3), (64, 64)])
def test_an_image_that_is_all_cell_does_not_fail(shape):
    found = find_instances(np.ones(shape), 0.5, InstanceOptions(min_area=1))
    assert found.labels.max() <= 1
    assert found.confidence.shape == (found.labels.max(),)


def test_cells_that_all_touch_are_told_apart_by_their_dips():
    rows, columns = np.indices((96, 96))
    waves = 2 + np.cos(2 * np.pi * (rows + 8) / 16) + np.cos(2 * np.pi * (columns + 8) / 16)
    found = find_instances(waves, -1.0, InstanceOptions(noise_floor=0, edge_share=0, intensity_weight=2.0))
    assert found.labels.max() == 36


def test_noise_far_below_the_floor_gives_no_cell_and_without_the_floor_it_does(rng):
    noise = ndimage.gaussian_filter(rng.normal(size=(200, 200)), 2).astype(np.float32)
    cut = float(np.median(noise) + 1.5 * noise.std())
    assert find_instances(noise, cut, InstanceOptions(noise_floor=6.0)).labels.max() == 0
    assert find_instances(noise, cut, InstanceOptions(noise_floor=0.0)).labels.max() > 20


def test_the_floor_never_lowers_a_cut(rng):
    values = rng.normal(size=(50, 50)).astype(np.float32)
    assert floored_cut(values, 9.0, 3.0) == 9.0
    assert floored_cut(values, -99.0, 3.0) == -99.0
    assert floored_cut(values, 0.0, 0.0) == 0.0


def test_small_holes_are_filled_and_large_gaps_are_not():
    _, foreground = discs([(48, 48)], radius=20)
    foreground[45:50, 45:50] = 0
    assert find_instances(foreground, 0.5, WHOLE).labels[47, 47] == 1
    rows, columns = np.indices((96, 96))
    ring = (np.abs(np.hypot(rows - 48, columns - 48) - 38) < 6).astype(np.float32)
    assert find_instances(ring, 0.5, WHOLE).labels[48, 48] == 0


def test_cells_at_the_border_are_kept():
    _, foreground = discs([(2, 40), (50, 50)])
    assert find_instances(foreground, 0.5, WHOLE).labels.max() == 2


def test_specks_are_dropped_by_the_area_of_the_others():
    _, foreground = discs([(20, 20), (20, 70), (70, 45)])
    foreground[80:85, 80:85] = 1
    assert find_instances(foreground, 0.5, WHOLE).labels.max() == 3
    every = InstanceOptions(edge_share=0, smoothing=0, noise_floor=0, area_low=0)
    assert find_instances(foreground, 0.5, every).labels.max() == 4


def test_a_cell_ends_at_its_own_share_of_its_height():
    rows, columns = np.indices((80, 80))
    bump = np.exp(-((rows - 40) ** 2 + (columns - 40) ** 2) / (2 * 8.0**2)).astype(np.float32)
    wide = find_instances(bump, 0.02, InstanceOptions(edge_share=0, noise_floor=0))
    half = find_instances(bump, 0.02, InstanceOptions(edge_share=0.5, noise_floor=0))
    assert (half.labels > 0).sum() < 0.6 * (wide.labels > 0).sum()
    assert half.labels.max() == wide.labels.max() == 1


def test_a_clear_cell_is_surer_than_a_faint_one_and_than_a_shallow_split():
    _, foreground = discs([(20, 20), (20, 70), (70, 30), (70, 44)])
    foreground[:40, 50:] *= 0.4
    found = find_instances(foreground, 0.3, InstanceOptions(noise_floor=0))
    clear, faint, split = (found.confidence[found.labels[at] - 1] for at in ((20, 20), (20, 70), (70, 30)))
    assert clear > faint
    assert clear > split
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_typical_radius_follows_the_size_of_the_cells(scale):
    centres = np.array([(48, 20), (48, 36), (64, 36)])
    truth, foreground = discs(centres * scale * 1.2, radius=9 * scale * 1.2, shape=(200, 200))
    assert match_instances(truth, find_instances(foreground, 0.5).labels, 0.6).tp == 3


def test_merged_basins_are_those_of_the_h_maxima_transform(rng):
    landscape = ndimage.gaussian_filter(rng.random((60, 60)), 2).astype(np.float32)
    landscape = (landscape - landscape.min()) / np.ptp(landscape)
    basins = find_basins(landscape, np.ones(landscape.shape, dtype=np.bool_))
    for depth in (0.05, 0.2):
        n_merged = merge_basins(basins, depth)[0].max() + 1
        # plateaus of the transform, 4-connected as the watershed is
        assert abs(n_merged - ndimage.label(h_maxima(landscape, depth))[1]) <= 0.1 * n_merged
    assert merge_basins(basins, 2.0)[0].max() == 0


def test_bad_input_is_refused_in_words():
    with pytest.raises(ShapeError, match="foreground"):
        find_instances(np.zeros((3, 3, 1)), 0.5)
    with pytest.raises(InputError, match="finite"):
        find_instances(np.full((3, 3), np.nan), 0.5)
    with pytest.raises(InputError, match="finite"):
        find_instances(np.zeros((3, 3)), np.nan)
    with pytest.raises(ValueError, match="area_low"):
        InstanceOptions(area_low=3, area_high=2)
