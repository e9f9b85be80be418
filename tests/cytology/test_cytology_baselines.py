"""Each simple method on scenes that it should and should not manage."""

import sys

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from kotowari.core.errors import DesignError, InputError, MissingExtraError, ShapeError
from kotowari.studies.cytology.baselines.background import LargeMedian, LocalThreshold, Otsu, otsu_cut
from kotowari.studies.cytology.baselines.installed import InstalledCellpose, InstalledStarDist
from kotowari.studies.cytology.baselines.low_rank import LowRankBackground
from kotowari.studies.cytology.baselines.supervised import SupervisedUNet
from kotowari.studies.cytology.scores import foreground_average_precision


def scene(seed, ramp=0.0, side=96):
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((side, side))
    labels = np.zeros((side, side), dtype=np.int32)
    for k, (row, column) in enumerate(rng.integers(6, side - 6, (8, 2)), start=1):
        labels[np.hypot(rows - row, columns - column) < 6] = k
    cells = 0.2 * ndimage.gaussian_filter((labels > 0).astype(float), 1)
    image = 0.08 + ramp * columns / side + cells + rng.normal(0, 0.01, labels.shape)
    return image[..., None].clip(0, 1).astype(np.float32), labels


def ap(finder, seed, ramp):
    image, labels = scene(seed, ramp)
    return foreground_average_precision(finder.foreground(image), labels)


def test_otsu_is_scikit_images_and_a_share_lowers_it():
    image, labels = scene(0)
    finder = Otsu().fit([image])
    found = finder.foreground(image)
    assert finder.cut(found) == pytest.approx(threshold_otsu(found))
    assert Otsu(0.7).cut(found) < finder.cut(found)
    assert ((found > finder.cut(found)) == (labels > 0)).mean() > 0.95


def test_a_map_of_one_value_has_nothing_above_its_cut():
    flat = np.full((5, 5), 0.25, dtype=np.float32)
    assert not (flat > otsu_cut(flat)).any()


@pytest.mark.parametrize("finder", [LocalThreshold(), LargeMedian()], ids=lambda finder: finder.name)
def test_a_ramp_that_blinds_otsu_is_taken_away(finder):
    image, _ = scene(1, ramp=0.6)
    fitted = finder.fit([image])
    assert ap(fitted, 1, 0.6) > 0.9 > 0.6 > ap(Otsu(), 1, 0.6)
    assert np.isfinite(fitted.cut(fitted.foreground(image)))


def test_a_background_common_to_the_batch_is_taken_from_an_image_not_seen():
    finder = LowRankBackground(shape=(48, 48)).fit([scene(seed, ramp=0.5)[0] for seed in range(12)])
    assert ap(finder, 99, 0.5) > 0.9 > ap(Otsu(), 99, 0.5)
    assert finder.foreground(scene(99, 0.5, side=70)[0]).shape == (70, 70)


def test_a_taught_network_finds_cells_of_an_image_not_seen_and_repeats_itself():
    images, masks = zip(*(scene(seed) for seed in range(2)), strict=True)
    settings = {"crop": 32, "n_crops": 32, "max_epochs": 6, "width": 4, "random_state": 0}
    finder = SupervisedUNet(masks, **settings).fit(images)
    image, labels = scene(7)
    found = finder.foreground(image)
    assert finder.name == "U-Net taught by 2 outlined images"
    assert foreground_average_precision(found, labels) > 0.9
    assert np.array_equal(found, SupervisedUNet(masks, **settings).fit(images).foreground(image))


def test_wrong_masks_teach_the_wrong_thing():
    images, masks = zip(*(scene(seed) for seed in range(2)), strict=True)
    turned = [(mask == 0).astype(np.int32) for mask in masks]
    finder = SupervisedUNet(turned, crop=32, n_crops=32, max_epochs=6, width=4).fit(images)
    image, labels = scene(7)
    assert foreground_average_precision(finder.foreground(image), labels) < 0.5


def test_what_cannot_be_fitted_is_refused_in_words():
    image, labels = scene(0)
    with pytest.raises(DesignError, match="2 images"):
        LowRankBackground().fit([image])
    with pytest.raises(DesignError, match="call fit"):
        LowRankBackground().foreground(image)
    with pytest.raises(DesignError, match="call fit"):
        SupervisedUNet([labels]).foreground(image)
    with pytest.raises(DesignError, match="masks for"):
        SupervisedUNet([labels, labels]).fit([image])
    with pytest.raises(ShapeError, match="mask"):
        SupervisedUNet([labels[1:]]).fit([image])
    with pytest.raises(InputError, match="crop"):
        SupervisedUNet([labels], crop=8)
    for make in (Otsu, LocalThreshold, LargeMedian):
        with pytest.raises(InputError, match="share"):
            make(share=0)


@pytest.mark.parametrize(("make", "library"), [(InstalledCellpose, "cellpose"), (InstalledStarDist, "stardist")])
def test_networks_of_others_say_what_is_missing(make, library, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist"):
        make(tmp_path / "nowhere")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=library):
        make(tmp_path)
    assert "trained on such images" in make.name
