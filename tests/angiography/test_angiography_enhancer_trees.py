"""Trees that vessels are learned from."""

from dataclasses import replace

import numpy as np
import pytest

from kotowari.core.errors import InputError
from kotowari.studies.angiography.model.enhancer_trees import TreeLaw, draw_trees

SHAPE = (120, 140)
LAW = TreeLaw(radii=(2.0, 6.0), n_trees=(1, 1), least_drawn=0.1)


def drawn(law, seed=3):
    return draw_trees(SHAPE, law, np.random.default_rng(seed))


def test_equal_seeds_draw_equal_trees():
    assert drawn(LAW).attenuation.tobytes() == drawn(LAW).attenuation.tobytes()
    assert drawn(LAW).mask.any()
    assert not np.array_equal(drawn(LAW).mask, drawn(LAW, seed=4).mask)


def test_attenuation_is_within_its_law_and_only_where_vessels_are():
    trees = drawn(replace(LAW, attenuation=(0.3, 0.3), outline=1.0))
    assert trees.attenuation.min() == 0
    assert 0.1 < trees.attenuation.max() <= 0.3 * 1.5
    far = ~np.pad(trees.mask, 6)[6:-6, 6:-6]
    for _ in range(6):
        far &= ~(np.roll(trees.mask, 1, 0) | np.roll(trees.mask, -1, 0) | trees.mask)
    assert trees.attenuation[trees.mask].mean() > 20 * trees.attenuation[far].mean()


def test_a_tube_outlined_at_half_its_path_is_narrower_by_the_root_of_three_quarters():
    areas = np.array(
        [[drawn(replace(LAW, outline=share), seed).mask.sum() for share in (0.75**0.5, 1.0)] for seed in range(8)]
    )
    narrow, whole = areas.sum(0)
    assert narrow / whole == pytest.approx(0.75**0.5, abs=0.04)


def test_vessels_that_readers_leave_out_attenuate_all_the_same():
    trees = drawn(replace(LAW, least_drawn=50.0))
    assert trees.attenuation.max() > 0
    assert not trees.mask.any()


def test_a_law_scales_its_widest_vessels_and_its_thinnest_only_downwards():
    assert LAW.scaled(2.0) == replace(LAW, radii=(2.0, 12.0))
    assert LAW.scaled(0.5) == replace(LAW, radii=(1.0, 3.0), least_drawn=0.05)


@pytest.mark.parametrize(
    "wrong",
    [{"radii": (3.0, 2.0)}, {"n_trees": (0, 2)}, {"outline": 1.2}, {"attenuation": (0.0, 1.0)}, {"length": 0.0}],
)
def test_a_law_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        TreeLaw(**wrong)
