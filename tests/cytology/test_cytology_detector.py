"""The cell detector: what it learns from unlabelled images, keeps, refuses and gives back."""

import json
import warnings

import numpy as np
import pytest

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.cytology.instance_options import InstanceOptions
from kotowari.studies.cytology.matching import match_instances
from kotowari.studies.cytology.model.detector import CellDetector

_TINY = {"width": 4, "patch": 48, "n_scenes": 48, "max_epochs": 12, "learning_rate": 1e-2}


def planted(rng, n_images=6, side=64, n_cells=6, dark=False, n_channels=1):
    """Soft discs of known place on an uneven background with noise."""
    images, truths = [], []
    y, x = np.mgrid[:side, :side]
    for _ in range(n_images):
        light, truth = np.zeros((side, side)), np.zeros((side, side), int)
        for number in range(1, n_cells + 1):
            while True:
                row, column, radius = *rng.uniform(8, side - 8, 2), rng.uniform(4, 6)
                distance = np.hypot(y - row, x - column)
                if not (truth[distance < radius + 2] > 0).any():
                    break
            light = np.maximum(light, rng.uniform(0.3, 0.6) / (1 + np.exp(2 * (distance - radius))))
            truth[distance < radius] = number
        image = 0.1 + 0.05 * x / side + light + rng.normal(0, 0.01, light.shape)
        image = np.clip(1 - image if dark else image, 0, 1).astype(np.float32)
        images.append(np.repeat(image[..., None], n_channels, 2))
        truths.append(truth)
    return images, truths


@pytest.fixture(scope="module")
def smears():
    return planted(np.random.default_rng(0))


@pytest.fixture(scope="module")
def fitted(smears):
    return CellDetector(**_TINY).fit(smears[0])


@pytest.fixture(scope="module")
def published(smears):
    return CellDetector("published", width=4, patch=32, max_epochs=3).fit(smears[0])


def counted(detector, images, truths):
    pairs = zip(images, truths, strict=True)
    found = [match_instances(truth, detector.predict(image).labels) for image, truth in pairs]
    hits = sum(match.tp for match in found)
    return 2 * hits / sum(2 * match.tp + match.fp + match.fn for match in found)


def test_planted_cells_are_found_on_images_never_seen(fitted):
    images, truths = planted(np.random.default_rng(1))
    assert counted(fitted, images, truths) >= 0.9


def test_dark_cells_in_colour_are_found_with_the_polarity_dark_and_not_with_bright(rng):
    images, truths = planted(rng, dark=True, n_channels=3)
    assert counted(CellDetector(polarity="dark", **_TINY).fit(images), images, truths) >= 0.9
    with pytest.raises(DesignError, match="Check polarity"):
        CellDetector(polarity="bright", **_TINY).fit(images)


def test_the_network_has_learned_what_no_untrained_one_says(fitted, smears):
    alone = CellDetector(**(fitted.options() | {"contrast_share": 0.0}))
    alone.build(1)
    alone.network_ = fitted.network_
    truth = smears[1][0] > 0

    def contrast(detector):
        told = detector.foreground(smears[0][0])
        return told[truth].mean() - told[~truth].mean()

    assert contrast(alone) > 0.1
    assert abs(contrast(alone.untrained(3))) < 0.02


@pytest.mark.parametrize("recipe", ["kotowari", "published"])
def test_layers_add_up_to_the_image(recipe, fitted, published, smears):
    detector = {"kotowari": fitted, "published": published}[recipe]
    image = smears[0][0]
    assert np.abs(detector.sparse(image) + detector.background(image) - image).max() <= 1e-6


def test_the_sparse_layer_holds_the_cells_and_little_else(fitted, smears):
    sparse, truth = np.abs(fitted.sparse(smears[0][0]))[..., 0], smears[1][0]
    assert sparse[truth > 0].mean() > 5 * sparse[truth == 0].mean()


def test_foregrounds_are_float32_in_the_unit_interval(fitted, published, smears):
    for detector in (fitted, published):
        told = detector.foreground(smears[0][0])
        assert told.dtype == np.float32
        assert told.shape == (64, 64)
        assert 0 <= told.min() <= told.max() <= 1


def test_equal_seeds_give_equal_bytes_and_other_seeds_others(smears):
    options = _TINY | {"n_scenes": 16, "max_epochs": 1}
    told = [CellDetector(random_state=seed, **options).fit(smears[0]).foreground(smears[0][0]) for seed in (1, 1, 2)]
    assert told[0].tobytes() == told[1].tobytes()
    assert told[0].tobytes() != told[2].tobytes()


@pytest.mark.parametrize("recipe", ["kotowari", "published"])
def test_a_saved_detector_comes_back_with_options_history_and_bytes(recipe, fitted, published, smears, tmp_path):
    detector = {"kotowari": fitted, "published": published}[recipe]
    detector.save(tmp_path)
    again = CellDetector.load(tmp_path)
    assert again.foreground(smears[0][0]).tobytes() == detector.foreground(smears[0][0]).tobytes()
    assert again.options() == detector.options()
    assert again.history_.train_loss == detector.history_.train_loss
    assert not list(tmp_path.rglob("*.p*k*l*"))


def test_a_changed_or_missing_file_is_refused(fitted, tmp_path):
    with pytest.raises(InputError, match="no saved cell detector"):
        CellDetector.load(tmp_path)
    fitted.save(tmp_path)
    weights = tmp_path / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="does not belong"):
        CellDetector.load(tmp_path)
    words = tmp_path / "detector.json"
    words.write_text(json.dumps(json.loads(words.read_text()) | {"kind": "other"}))
    with pytest.raises(InputError, match="no saved CellDetector"):
        CellDetector.load(tmp_path)


def test_the_published_loss_falls_and_stays_above_the_convex_optimum(published):
    history = published.history_
    assert history.train_loss[-1] < history.train_loss[0]
    assert history.ratio >= 1 - 1e-3
    assert history.bound <= history.optimum * (1 + 1e-6)
    assert history.objective == pytest.approx(sum(history.parts.values()))
    assert 0 < history.share < 1


@pytest.mark.parametrize("face", ["eps", "moreau", "target"])
def test_every_face_of_the_published_loss_trains(face, smears):
    detector = CellDetector("published", face=face, width=2, patch=32, max_epochs=1)
    assert np.isfinite(detector.fit(smears[0][:2]).history_.objective)


def test_a_weight_far_too_large_is_told_as_trivial(smears):
    detector = CellDetector("published", width=2, patch=32, max_epochs=10, learning_rate=3e-2, weights=(1e3, 1.0))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        history = detector.fit(smears[0][:2]).history_
    assert history.share < 0.5
    assert history.share >= 1e-3 or any("trivially" in str(warning.message) for warning in said)


def test_slides_keep_their_batches_and_sizes_may_differ(smears):
    images = [*smears[0][:5], smears[0][0][:50, :58]]
    groups = ["a"] * 4 + ["b"] * 2
    detector = CellDetector("published", width=2, patch=32, max_epochs=1).fit(images, groups)
    assert detector.foreground(images[-1]).shape == (50, 58)


def test_a_training_that_was_stopped_leaves_no_checkpoint_behind(smears, tmp_path):
    CellDetector(**(_TINY | {"max_epochs": 1, "checkpoint": tmp_path})).fit(smears[0])
    assert not list(tmp_path.iterdir())


def test_an_image_of_one_value_has_no_cell(fitted, published):
    blank = np.full((64, 64, 1), 0.3, np.float32)
    assert fitted.predict(blank).labels.max() == 0
    assert fitted.foreground(blank).max() == 0
    assert published.cut(np.zeros((8, 8))) > 0


def test_no_epoch_leaves_the_network_untrained(smears):
    assert CellDetector(max_epochs=0, width=2).fit(smears[0]).history_.train_loss == []


def test_images_without_a_single_cell_are_refused():
    with pytest.raises(DesignError, match="no image shows a single cell"):
        CellDetector(**_TINY).fit([np.full((64, 64, 1), 0.5, np.float32)] * 3)
    with pytest.raises(DesignError, match="one image or more"):
        CellDetector().fit([])


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((32, 32)), ShapeError),
        (np.zeros((32, 32, 2)), ShapeError),
        (np.zeros((32, 32, 3)), ShapeError),
        (np.zeros((8, 32, 1)), ShapeError),
        (np.full((32, 32, 1), np.nan), InputError),
        (np.full((32, 32, 1), 255.0), InputError),
    ],
)
def test_what_is_no_image_of_this_detector_is_refused(fitted, image, error):
    with pytest.raises(error, match="CellDetector"):
        fitted.foreground(image)


@pytest.mark.parametrize(
    "option",
    [{"recipe": "best"}, {"polarity": "left"}, {"max_epochs": -1}, {"width": 0}, {"patch": 40}, {"n_scenes": 1},
     {"contrast_share": 2.0}, {"weights": (0.0, 1.0)}, {"random_state": -1}],
)  # fmt: skip
def test_options_out_of_range_are_refused(option):
    with pytest.raises(InputError, match=next(iter(option))):
        CellDetector(**option)


def test_cells_cannot_be_asked_for_before_fitting_nor_groups_left_out(smears):
    with pytest.raises(InputError, match="call fit"):
        CellDetector().foreground(smears[0][0])
    with pytest.raises(ShapeError, match="groups"):
        CellDetector().fit(smears[0], ["a"])


def test_instance_options_reach_the_prediction(fitted, smears):
    large = CellDetector(**(fitted.options() | {"instances": InstanceOptions(min_area=5000)}))
    large.build(1)
    large.network_ = fitted.network_
    assert large.predict(smears[0][0]).labels.max() == 0
