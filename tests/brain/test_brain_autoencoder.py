"""Features are learned in the mask alone, repeat to the byte, beat the mean brain, and come back after a kill."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from kotowari.core.errors import DesignError, InputError, RunFolderError, ShapeError
from kotowari.studies.brain.model import autoencoder as module
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.autoencoder_grid import fit_grid, grid_folder
from kotowari.studies.brain.model.autoencoder_input import mask_window
from kotowari.studies.brain.model.autoencoder_network import BrainReconstruction, ReconstructionError

SHAPE = (9, 10, 8)


def make_mask():
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    return sum((axis / 0.8) ** 2 for axis in axes) < 1


def make_brains(n=16, seed=0):
    """A mean brain, and three smooth ways to deviate from it; 7 outside of the mask."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    ways = np.stack([np.cos(2 * x), np.sin(2 * y), np.cos(x + 2 * z)])
    brains = 0.5 + 0.1 * np.tensordot(rng.standard_normal((n, 3)), ways, 1) + 0.005 * rng.standard_normal((n, *SHAPE))
    return np.where(make_mask(), brains, 7.0).astype(np.float32)


def small(**options):
    settings = {"n_blocks": 2, "n_channels": 2, "max_epochs": 3, "mask": make_mask(), "precision": "float32"}
    return ConvolutionalAutoencoder(**(settings | options))


class Store:
    """What a store of volumes offers, and a memory of what was read."""

    def __init__(self, values, mask):
        self.values, self.mask, self.read = values, mask, []
        self.subjects = tuple(f"sub-{number:02d}" for number in range(len(values)))

    def volumes(self, rows):
        self.read.append(np.asarray(rows))
        return self.values[rows].astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    return small().fit(make_brains())


def weights(estimator):
    return b"".join(tensor.numpy().tobytes() for tensor in estimator.reconstruction_.network.state_dict().values())


def gradient_gap(estimator, gradient, x, direction, w, step=1e-8):
    """Relative gap between what a gradient says of a direction and the slope of the weighted features along it."""
    part, window = copy.deepcopy(estimator.reconstruction_).double(), (slice(None), *mask_window(make_mask()))
    volumes, along = (torch.tensor(values[window]).double()[:, None] for values in (x, direction))
    with torch.no_grad():
        ahead, behind = (part.encode(volumes + sign * step * along).numpy() @ w for sign in (1, -1))
    slope, told = (ahead - behind) / (2 * step), (gradient * direction).reshape(len(x), -1).sum(1)
    return np.abs(slope - told).max() / np.abs(told).max()


def test_shapes_of_features_and_volumes(fitted):
    x = make_brains(5, seed=1)
    features = fitted.transform(x)
    assert features.shape == (5, math.prod(fitted.feature_shape_)) == (5, 2 * 2 * 2 * 2)
    assert features.dtype == np.float32
    back = fitted.inverse_transform(features)
    assert back.shape == x.shape
    assert not back[:, ~make_mask()].any()
    np.testing.assert_allclose(np.abs(back - x)[:, make_mask()].mean(1), fitted.errors(x), rtol=1e-4)
    assert fitted.score(x) == pytest.approx(-fitted.errors(x).mean())
    assert list(fitted.get_feature_names_out()[:1]) == ["convolutionalautoencoder0"]


def test_features_carry_more_than_the_mean_brain_after_a_short_training():
    x = make_brains(32)
    model = small(n_channels=4, max_epochs=30, patience=30).fit(x)
    fresh = make_brains(12, seed=1)
    assert model.errors(fresh).mean() < 0.8 * model.mean_brain_errors(fresh).mean()
    untrained = model.untrained()
    assert untrained.errors(fresh).mean() == pytest.approx(model.mean_brain_errors(fresh).mean(), rel=1e-5)
    assert model.mae_.shape == (32,)
    assert model.mae_.mean() < 0.8 * model.mean_brain_mae_


def test_the_mean_brain_is_that_of_the_subjects_learned_from():
    x = make_brains()
    model = small(validation_fraction=0.0).fit(x)
    np.testing.assert_allclose(model.mean_brain_[make_mask()], x.mean(0)[make_mask()], rtol=1e-5)
    expected = np.abs(x - x.mean(0))[:, make_mask()].mean()
    assert model.mean_brain_mae_ == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(model.mean_brain_errors(x).mean(), expected, rtol=1e-4)


def test_the_untrained_network_has_the_first_weights_and_no_others(fitted):
    untrained = fitted.untrained()
    assert weights(untrained) != weights(fitted)
    assert weights(untrained) == weights(fitted.untrained())
    assert weights(small(random_state=1).fit(make_brains()).untrained()) != weights(untrained)
    assert np.array_equal(untrained.mean_brain_, fitted.mean_brain_)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0], ids=str)
def test_what_lies_outside_of_the_mask_never_enters(fitted, value):
    x = make_brains()
    x[:, ~make_mask()] = value
    other = small().fit(x)
    assert weights(other) == weights(fitted)
    assert np.array_equal(other.transform(x), fitted.transform(make_brains()))


def test_a_voxel_inside_of_the_mask_does_enter(fitted):
    x = make_brains()
    x[0, 4, 5, 4] += 1.0
    assert not np.array_equal(fitted.transform(x)[0], fitted.transform(make_brains())[0])


def test_rows_that_are_not_given_are_never_read(fitted):
    x = np.concatenate([make_brains(), np.full((3, *SHAPE), np.nan, np.float32)])
    store = Store(x, make_mask())
    model = small(mask=None).fit(store, rows=np.arange(16))
    assert np.concatenate(store.read).max() == 15
    assert max(len(rows) for rows in store.read) <= 4 * model.batch_size
    assert weights(model) == weights(fitted)
    chosen = np.arange(len(x)) < 16
    assert weights(small(mask=None).fit(store, rows=chosen)) == weights(fitted)


def test_a_half_precision_store_gives_the_features_of_its_array():
    x = make_brains().astype(np.float16)
    store = Store(x, make_mask())
    model = small(mask=None).fit(store)
    assert np.array_equal(model.transform(store, rows=[2, 5]), model.transform(x.astype(np.float32))[[2, 5]])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(fitted):
    torch.manual_seed(7)
    assert weights(small().fit(make_brains())) == weights(fitted)
    assert weights(clone(small()).fit(make_brains(), np.arange(16))) == weights(fitted)
    assert weights(small(random_state=1).fit(make_brains())) != weights(fitted)


def test_no_owner_is_on_both_sides_of_the_validation(monkeypatch):
    seen = []
    train = module.train

    def spied(*args, **options):
        seen.append((options["train_index"], options["validation_index"]))
        return train(*args, **options)

    monkeypatch.setattr(module, "train", spied)
    owners = np.arange(16) // 4
    small(validation_fraction=0.25, max_epochs=1).fit(make_brains(), groups=owners)
    ((learned, stopped),) = seen
    assert sorted([*learned, *stopped]) == list(range(16))
    assert not set(owners[learned]) & set(owners[stopped])
    assert 0 < len(stopped) <= 8


@pytest.mark.parametrize(
    "options",
    [
        {"residual": "none"},
        {"stem": "strided"},
        {"mask_ratio": 0.5},
        {"beta": 0.1},
        {"noise": 0.1},
        {"learning_rate": 1e-3},
        {"batch_size": 8},
    ],
    ids=str,
)
def test_each_option_changes_what_is_learned_and_is_saved(fitted, options, tmp_path):
    x = make_brains()
    model = small(**options).fit(x)
    assert weights(model) != weights(fitted)
    assert np.isfinite(model.transform(x)).all()
    model.save(tmp_path)
    again = ConvolutionalAutoencoder.load(tmp_path)
    assert np.array_equal(again.transform(x), model.transform(x))
    assert np.array_equal(again.untrained().transform(x), model.untrained().transform(x))
    assert (again.mae_.tolist(), again.history_) == (model.mae_.tolist(), model.history_)


def test_extremes_rectified_are_the_map_and_hold_more_than_it():
    brains = make_brains()
    plain, both = (small(extraction=kind).fit(brains) for kind in ("map", "extremes"))
    assert weights(plain) == weights(both)
    features, extremes = plain.transform(brains), both.transform(brains)
    largest, smallest = np.split(extremes, 2, axis=1)
    np.testing.assert_array_equal(np.maximum(largest, 0), features)
    assert (smallest <= largest).all()
    assert (smallest < 0).any()
    np.testing.assert_array_equal(both.inverse_transform(extremes), plain.inverse_transform(features))
    assert both.feature_shape_ == (2 * plain.feature_shape_[0], *plain.feature_shape_[1:])
    assert np.abs(np.maximum(-smallest, 0) - features).max() > 0.1, "the smaller half is not the larger one turned"


@pytest.mark.parametrize("options", [{"stem": "strided", "n_blocks": 1}, {"beta": 0.1}])
def test_extremes_need_a_pool_and_no_draws(options):
    with pytest.raises(InputError, match="extraction = 'extremes' is out of range"):
        small(extraction="extremes", **options).fit(make_brains())


def test_the_gradient_is_the_slope_of_the_weighted_features(fitted, rng):
    x = make_brains(2, seed=1)
    w = rng.standard_normal(fitted.transform(x).shape[1]).astype(np.float32)
    direction = rng.standard_normal(x.shape).astype(np.float32) * make_mask()
    before = weights(fitted)
    kept = [parameter.grad for parameter in fitted.reconstruction_.parameters()]
    gradient = fitted.input_gradient(x, w)
    assert gradient.shape == x.shape
    assert not gradient[:, ~make_mask()].any()
    assert gradient_gap(fitted, gradient, x, direction, w) < 1e-4
    assert gradient_gap(fitted, gradient * 1.1, x, direction, w) > 0.05  # a wrong scale is caught
    own = fitted.input_gradient(x, np.stack([w, 2 * w]))
    np.testing.assert_allclose(own, gradient * np.array([1, 2])[:, None, None, None], rtol=1e-4, atol=1e-7)
    assert weights(fitted) == before
    left = [parameter.grad for parameter in fitted.reconstruction_.parameters()]
    assert all(one is other for one, other in zip(left, kept, strict=True))


def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    left = [30]
    call = ReconstructionError.__call__

    def killed(self, outputs, targets):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return call(self, outputs, targets)

    options = {"checkpoint": tmp_path, "checkpoint_seconds": 0.0, "max_epochs": 12}
    expected = small(max_epochs=12).fit(make_brains())
    monkeypatch.setattr(ReconstructionError, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        small(**options).fit(make_brains())
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    left[0] = 10_000
    going_on = small(**options).fit(make_brains())
    assert 10_000 - left[0] < 12 * 6  # it did go on, and not begin anew
    assert weights(going_on) == weights(expected)
    assert going_on.history_ == expected.history_
    assert not list(tmp_path.glob("*.safetensors"))


def test_hidden_cubes_show_the_mean_brain_and_only_in_training():
    model = small(mask_ratio=0.5).fit(make_brains())
    part = model.reconstruction_
    x = torch.full((400, 1, *part.mask.shape), 9.0)
    torch.manual_seed(0)
    hidden = part.hidden(x) != x
    assert hidden.float().mean().item() == pytest.approx(0.5, abs=0.02)
    cubes = hidden[:, 0, :2, :2, :2].flatten(1)
    assert ((cubes.sum(1) == 0) | (cubes.sum(1) == 8)).all()
    assert torch.equal(part(x[:2]), part(x[:2]))
    assert torch.equal(part.train()(x[:2]), part(x[:2])) is False


def test_the_loss_of_the_mean_brain_is_one_and_the_divergence_of_a_standard_normal_is_none(rng):
    targets = torch.tensor(rng.standard_normal((4, 5)))
    error = targets.abs().mean().item()
    assert ReconstructionError(error)(torch.zeros(4, 5), targets).item() == pytest.approx(1.0)
    outputs = torch.cat([targets, torch.full((4, 1), 3.0)], 1)
    assert ReconstructionError(2.0, beta=0.5)(outputs, targets).item() == pytest.approx(0.75)
    assert ReconstructionError(2.0)(outputs, targets).item() == 0.0


def test_the_divergence_is_that_of_torch():
    mask = torch.ones(4, 4, 4, dtype=torch.bool)
    network = module.Autoencoder3d(1, 2, variational=True)
    part = BrainReconstruction(network, mask, torch.zeros(64), 1.0).eval()
    x = torch.rand(3, 1, 4, 4, 4)
    mean, log_variance = network.posterior(x)
    found = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(found, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1) / 64
    torch.testing.assert_close(part(x)[:, -1], expected)


def test_the_window_is_the_smallest_box_of_the_mask():
    mask = np.zeros((6, 7, 8), bool)
    mask[1:4, 5, 2:8:5] = True
    assert mask_window(mask) == (slice(1, 4), slice(5, 6), slice(2, 8))


def test_the_precision_and_its_reason_are_recorded(fitted):
    assert (fitted.precision_.precision, fitted.precision_.reason) == ("32-true", "float32: as asked for.")
    short = small(precision="bfloat16", max_epochs=1).fit(make_brains())
    assert short.precision_.precision == "bf16-mixed"
    assert "so small" in small(precision="auto", max_epochs=1).fit(make_brains()).precision_.reason


def test_the_grid_is_one_table_and_goes_on_where_it_was_killed(tmp_path, monkeypatch):
    x = make_brains(20)
    settings = {"model": small(max_epochs=2), "rows": np.arange(14), "test_rows": np.arange(14, 20)}
    sizes = {"blocks": (1, 2), "channels": (1, 3)}
    table = fit_grid(x, folder=tmp_path / "whole", **sizes, **settings)
    assert table[["n_blocks", "n_channels"]].to_numpy().tolist() == [[1, 1], [1, 3], [2, 1], [2, 3]]
    np.testing.assert_allclose(table["mae_over_mean_brain"], table["test_mae"] / table["test_mean_brain_mae"])
    model = ConvolutionalAutoencoder.load(grid_folder(tmp_path / "whole", 2, 3))
    assert model.errors(x[14:]).mean() == pytest.approx(table["test_mae"].iloc[3])

    fits, fit = [], ConvolutionalAutoencoder.fit

    def counted(self, *args, **options):
        if len(fits) == 2:
            raise KeyboardInterrupt
        fits.append(self.n_channels)
        return fit(self, *args, **options)

    monkeypatch.setattr(ConvolutionalAutoencoder, "fit", counted)
    for _ in range(2):
        try:
            again = fit_grid(x, folder=tmp_path / "killed", **sizes, **settings)
        except KeyboardInterrupt:
            fits.clear()
    assert len(fits) == 2
    pd.testing.assert_frame_equal(again, table)
    assert (tmp_path / "killed" / "grid.csv").read_bytes() == (tmp_path / "whole" / "grid.csv").read_bytes()
    with pytest.raises(RunFolderError, match="holds a model of other volumes, rows or options"):
        fit_grid(x + 0.1, folder=tmp_path / "whole", **sizes, **settings)


def test_a_grid_that_tests_on_what_it_learned_from_is_refused(tmp_path):
    with pytest.raises(DesignError, match="row 3 is both learned from and tested on"):
        fit_grid(make_brains(), folder=tmp_path, model=small(), rows=[1, 2, 3], test_rows=[3, 4])
    with pytest.raises(InputError, match="random_state must be a number"):
        fit_grid(make_brains(), folder=tmp_path, model=small(random_state=None))


@pytest.mark.parametrize(("value", "words"), [(np.nan, "NaN or infinite"), (0.0, "0 everywhere")])
def test_an_unsound_volume_is_named(value, words):
    x = make_brains()
    x[5] = value
    with pytest.raises(InputError, match=f"row 5: the volume .*{words}"):
        small().fit(x)


def test_what_cannot_be_learned_from_is_refused(fitted):
    with pytest.raises(DesignError, match="1 volume cannot be learned from"):
        small().fit(make_brains(1))
    with pytest.raises(DesignError, match="all training volumes are alike"):
        small().fit(np.repeat(make_brains(1), 8, axis=0))
    with pytest.raises(ShapeError, match=r"volumes must have shape \(subject, 9, 10, 8\), got \(3, 4, 4, 4\)"):
        small().fit(np.ones((3, 4, 4, 4)))
    with pytest.raises(ShapeError, match=r"features must have shape \(subject, 16\), got \(2, 3\)"):
        fitted.inverse_transform(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"weights must have shape \(16\), got \(3,\)"):
        fitted.input_gradient(make_brains(2), np.ones(3))
    with pytest.raises(InputError, match="rows must be numbers from 0 to 15"):
        fitted.transform(make_brains(), rows=[16])
    with pytest.raises(InputError, match="mask is empty"):
        small(mask=np.zeros(SHAPE)).fit(make_brains())


@pytest.mark.parametrize(
    "options",
    [{"residual": "some"}, {"mask_ratio": 1.0}, {"beta": -1.0}, {"validation_fraction": 0.7}, {"max_epochs": 0}],
    ids=str,
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=f"{next(iter(options))} = .* is out of range"):
        small(**options).fit(make_brains())


def test_a_damaged_or_foreign_folder_is_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    (tmp_path / "network.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"network.safetensors: does not belong"):
        ConvolutionalAutoencoder.load(tmp_path)
    (tmp_path / "autoencoder.json").write_text("[]")
    with pytest.raises(InputError, match="is no saved ConvolutionalAutoencoder"):
        ConvolutionalAutoencoder.load(tmp_path)
