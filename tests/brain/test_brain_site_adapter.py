"""A site is a few numbers: what a scanner did is undone, age stays, the backbone stays, a null site stays as it is."""

import copy

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.base import clone

from kotowari.core.errors import CapabilityError, DesignError, InputError, ShapeError
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.scanner_model import ScannerModel
from kotowari.studies.brain.model.site_adapter import SiteAdapter
from kotowari.studies.brain.model.site_footprints import site_footprints

SHAPE = (10, 9, 8)
TRUE = np.array([0.08, 0.05, 0.0, -0.04, 0.02])  # gain, bias x, y, z, blur
SITES = np.repeat(["A", "B"], [40, 30])


def make_mask():
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    return sum((axis / 0.9) ** 2 for axis in axes) < 1


def anatomies(n, rng, age):
    """Brains of one template and smooth variation that thin with age; none has been to a scanner."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    template = 0.6 + 0.15 * np.cos(7 * x) * np.cos(6 * y) * np.cos(7 * z)
    varying = gaussian_filter(rng.standard_normal((n, *SHAPE)), (0, 1, 1, 1))
    brains = template * (1 + 0.4 * varying - 0.004 * (age - 40)[:, None, None, None])
    return brains.astype(np.float32)


class World:
    """One encoder of two sites; ``plain`` is what the subjects would look like at site A."""

    def __init__(self, seed=1):
        rng = np.random.default_rng(seed)
        self.mask = make_mask()
        self.covariates = pd.DataFrame({"age": rng.uniform(25, 45, 70) + 15.0 * (SITES == "B")})
        self.plain = anatomies(70, rng, self.covariates["age"].to_numpy()) * self.mask
        self.scanner = ScannerModel(self.mask)
        self.volumes = self.plain.copy()
        self.volumes[40:] = self.scanner.applied(self.plain[40:], TRUE)
        self.encoder = ConvolutionalAutoencoder(
            1, 3, max_epochs=3, mask=self.mask, precision="float32", random_state=0
        ).fit(self.volumes)
        self.footprints = site_footprints(self.encoder, self.scanner, self.plain, rows=np.arange(0, 40, 4))

    def adapter(self, **options):
        return SiteAdapter(self.encoder, **({"footprints": self.footprints, "reference": "A"} | options))


@pytest.fixture(scope="module")
def world():
    return World()


def removed(found, world, rows):
    """Share of the site's effect on the features that is gone, spread by spread."""
    truth, seen = world.encoder.transform(world.plain[rows]), world.encoder.transform(world.volumes[rows])
    sd = world.encoder.transform(world.plain).std(0)
    scale = np.where(sd > 1e-3 * sd.max(), sd, np.inf)
    return 1 - (((found - truth) / scale) ** 2).sum() / (((seen - truth) / scale) ** 2).sum()


def weights(encoder):
    return b"".join(tensor.numpy().tobytes() for tensor in encoder.reconstruction_.network.state_dict().values())


def test_a_scanner_of_zeros_is_the_identity_bit_for_bit(world):
    scanner, zeros = world.scanner, np.zeros(5)
    assert np.array_equal(scanner.undone(world.plain, zeros), world.plain.astype(np.float64))
    assert np.array_equal(scanner.applied(world.plain, zeros), world.plain.astype(np.float64))


@pytest.mark.parametrize("term", range(5))
def test_a_change_is_the_derivative_of_the_scanner(world, term):
    step = np.eye(5)[term] * 1e-6
    slope = (world.scanner.applied(world.plain[:2], step) - world.scanner.applied(world.plain[:2], -step)) / 2e-6
    if term == 4:  # sharpening is one bounded step, blurring the same one at this size
        slope = (world.scanner.applied(world.plain[:2], step) - np.where(world.mask, world.plain[:2], 0)) / 1e-6
    np.testing.assert_allclose(world.scanner.change(world.plain[:2], term), slope, atol=1e-6)


def test_gain_and_bias_are_undone_to_rounding_and_blur_to_first_order(world):
    sharp = TRUE * [1, 1, 1, 1, 0]
    there = world.scanner.undone(world.scanner.applied(world.plain, sharp), sharp)
    np.testing.assert_allclose(there, world.plain, atol=1e-12)
    blurred = world.scanner.applied(world.plain, TRUE)
    left = np.abs(world.scanner.undone(blurred, TRUE) - world.plain).max()
    undeblurred = np.abs(world.scanner.undone(blurred, sharp) - world.plain).max()
    assert left < 0.3 * undeblurred


def test_blur_conserves_tissue_and_sees_nothing_outside_of_the_mask(world):
    dirty = np.where(world.mask, world.plain[:3], np.nan)
    blurred = world.scanner.applied(dirty, [0, 0, 0, 0, 0.7])
    np.testing.assert_allclose(blurred.sum((1, 2, 3)), np.nansum(dirty, (1, 2, 3)), rtol=1e-6)
    assert blurred[:, world.mask].std() < world.plain[:3][:, world.mask].std()


def test_sharpening_at_most_doubles_any_frequency():
    line = np.indices((16, 16, 16)).sum(0) % 2 * 2.0 - 1  # the highest frequency of a grid
    found = ScannerModel(np.ones(line.shape, bool), 0).undone(line, [0.0, 5.0])
    assert 1.5 < np.abs(found).max() <= 2.0


def test_a_site_that_loses_its_signal_is_refused(world):
    with pytest.raises(DesignError, match="gain falls below a fifth"):
        world.scanner.gain([-0.9, 0, 0, 0, 0])
    with pytest.raises(InputError, match="bias_degree must be 0 to 3"):
        ScannerModel(world.mask, 4)
    with pytest.raises(ShapeError):
        world.scanner.undone(world.plain[:, 1:], np.zeros(5))


def test_numbers_that_are_zero_pass_volumes_and_features_bit_for_bit(world):
    for on in ("volumes", "features"):
        born = world.adapter(on=on).fit(world.volumes, SITES, world.covariates)
        born.theta_ = np.zeros_like(born.theta_)
        assert born.transform(world.volumes, SITES).tobytes() == world.encoder.transform(world.volumes).tobytes()


def test_the_reference_passes_bit_for_bit_and_the_backbone_is_not_touched(world):
    before, mean = weights(world.encoder), world.encoder.mean_brain_.copy()
    for on in ("volumes", "features"):
        found = world.adapter(on=on).fit_transform(world.volumes, SITES, world.covariates)
        assert found[:40].tobytes() == world.encoder.transform(world.volumes[:40]).tobytes()
        assert not np.array_equal(found[40:], world.encoder.transform(world.volumes[40:]))
    assert weights(world.encoder) == before
    assert np.array_equal(world.encoder.mean_brain_, mean)


def test_the_planted_gain_and_bias_are_found_within_their_errors(world):
    adapter = world.adapter().fit(world.volumes, SITES, world.covariates)
    error = np.abs(adapter.theta_[1] / np.where(adapter.t_[1] == 0, 1, adapter.t_[1])) / adapter.kept_[1]
    assert adapter.terms_ == ("gain", "bias x", "bias y", "bias z", "blur")
    assert (np.abs(adapter.theta_[1] - TRUE)[:4] < 4 * error[:4] + 0.02).all()
    assert adapter.theta_[1, 0] == pytest.approx(0.08, abs=0.03)


def test_most_of_a_site_effect_is_gone_in_subjects_that_were_not_learned_from(world):
    learn = np.r_[0:25, 40:60]
    rows = np.arange(60, 70)
    adapter = world.adapter().fit(world.volumes, SITES[learn], world.covariates.iloc[learn], rows=learn)
    ours = removed(adapter.transform(world.volumes, SITES[rows], rows=rows), world, rows)
    on_features = world.adapter(on="features").fit(
        world.volumes, SITES[learn], world.covariates.iloc[learn], rows=learn
    )
    theirs = removed(on_features.transform(world.volumes, SITES[rows], rows=rows), world, rows)
    assert ours > 0.7
    assert theirs > 0.4


def test_an_age_difference_between_sites_is_kept_and_without_the_covariate_it_is_lost(world):
    """The wrong object beside the right one: without covariates, thinning by age is taken for the scanner's."""
    plain = world.encoder.transform(world.plain)
    true_gap = np.linalg.norm(plain[40:].mean(0) - plain[:40].mean(0))
    right = world.adapter().fit(world.plain, SITES, world.covariates)
    wrong = world.adapter().fit(world.plain, SITES)
    gaps = []
    for adapter in (right, wrong):
        found = adapter.transform(world.plain, SITES)
        gaps.append(np.linalg.norm(found[40:].mean(0) - found[:40].mean(0)))
    assert gaps[0] == pytest.approx(true_gap, rel=0.05)
    assert gaps[1] < 0.9 * true_gap


def test_a_site_that_does_not_differ_is_left_alone_more_often_than_not(world):
    features, rng = world.encoder.transform(world.plain), np.random.default_rng(3)
    kept = []
    for _ in range(40):
        shuffled = rng.permutation(SITES)
        kept.append(world.adapter(on="features").fit(features, shuffled, world.covariates).kept_[1])
    assert np.median(kept) < 0.4


def test_own_volumes_are_still_reconstructed_through_adapter_and_its_opposite(world):
    adapter = world.adapter(on="features").fit(world.volumes, SITES, world.covariates)
    there = adapter.inverse_transform(adapter.transform(world.volumes, SITES), SITES)
    own = world.encoder.inverse_transform(world.encoder.transform(world.volumes))
    np.testing.assert_allclose(there, own, atol=1e-5)
    adapter = world.adapter().fit(world.volumes, SITES, world.covariates)
    features = adapter.transform(world.volumes, SITES)
    decoded = world.encoder.inverse_transform(features)
    decoded[40:] = world.scanner.applied(decoded[40:], adapter.theta_[1])
    np.testing.assert_allclose(adapter.inverse_transform(features, SITES), decoded, atol=1e-6)


@pytest.mark.parametrize("k", [10, 20])
def test_a_new_site_is_learned_from_k_unlabelled_subjects(world, k):
    adapter = world.adapter().fit(world.volumes[:40], SITES[:40], world.covariates.iloc[:40])
    spent, rows = np.arange(40, 40 + k), np.arange(40 + k, 70)
    adapter.adapt(world.volumes, "B", world.covariates.iloc[spent], rows=spent)
    assert adapter.adapted_ == ("B",)
    assert removed(adapter.transform(world.volumes, SITES[rows], rows=rows), world, rows) > 0.5
    with pytest.raises(InputError, match="known already"):
        adapter.adapt(world.volumes, "B", world.covariates.iloc[spent], rows=spent)


def test_an_unseen_site_is_refused_or_passes_as_the_reference_and_says_so(world):
    adapter = world.adapter().fit(world.volumes, SITES, world.covariates)
    with pytest.raises(InputError, match="no training subject comes from site C"):
        adapter.transform(world.volumes[:1], ["C"])
    lenient = world.adapter(unseen="reference").fit(world.volumes, SITES, world.covariates)
    with pytest.warns(UserWarning, match="site C is not known and passes as if it measured like A"):
        found = lenient.transform(world.volumes[:1], ["C"])
    assert found.tobytes() == world.encoder.transform(world.volumes[:1]).tobytes()


def test_a_site_with_one_subject_is_refused(world):
    with pytest.raises(DesignError, match="site B has fewer than two subjects"):
        world.adapter().fit(world.volumes[:41], SITES[:41])
    adapter = world.adapter().fit(world.volumes, SITES)
    with pytest.raises(DesignError, match="site C has fewer than two subjects"):
        adapter.adapt(world.volumes[:1], "C")


def test_designs_and_options_without_an_answer_are_refused(world):
    told_by_site = pd.DataFrame({"field": (SITES == "B").astype(float)})
    with pytest.raises(DesignError, match="cannot be told from the sites"):
        world.adapter().fit(world.volumes, SITES, told_by_site)
    few = np.r_[0:5, 40:44]
    with pytest.raises(DesignError, match="too few"):
        world.adapter().fit(world.volumes, SITES[few], rows=few)
    with pytest.raises(InputError, match="'Z' is no training site"):
        world.adapter(reference="Z").fit(world.volumes, SITES)
    with pytest.raises(InputError, match="on must be volumes or features"):
        world.adapter(on="both").fit(world.volumes, SITES)
    with pytest.raises(CapabilityError, match="volumes are needed"):
        world.adapter(footprints=None).fit(world.encoder.transform(world.volumes), SITES)
    with pytest.raises(CapabilityError, match="volumes are needed"):
        world.adapter().fit(world.volumes, SITES).transform(world.encoder.transform(world.volumes), SITES)
    with pytest.raises(InputError, match="was fitted with covariates"):
        world.adapter().fit(world.volumes, SITES, world.covariates).adapt(world.volumes[:5], "C")
    with pytest.raises(ShapeError):
        world.adapter().fit(world.volumes, SITES[:-1])
    broken = world.encoder.transform(world.volumes)
    broken[3, 7] = np.nan
    with pytest.raises(InputError, match="feature 7 of row 3"):
        world.adapter(on="features").fit(broken, SITES)


def test_what_was_saved_gives_the_same_bytes_and_belongs_to_its_encoder(world, tmp_path):
    for on in ("volumes", "features"):
        adapter = world.adapter(on=on).fit(world.volumes, SITES, world.covariates)
        adapter.save(tmp_path / on)
        loaded = SiteAdapter.load(tmp_path / on, world.encoder)
        assert loaded.transform(world.volumes, SITES).tobytes() == adapter.transform(world.volumes, SITES).tobytes()
        for one in (adapter, loaded):
            one.adapt(world.volumes[:8], "C", world.covariates.iloc[:8])
        assert np.array_equal(loaded.theta_, adapter.theta_)
    other = copy.deepcopy(world.encoder)
    next(iter(other.reconstruction_.network.parameters())).data += 1
    with pytest.raises(InputError, match="another encoder"):
        SiteAdapter.load(tmp_path / "volumes", other)
    size = sum(file.stat().st_size for file in (tmp_path / "volumes").iterdir())
    assert size < 100_000


def test_on_features_it_stands_where_combat_stands(world):
    features, rng = world.encoder.transform(world.volumes), np.random.default_rng(0)
    y = features[:, features.std(0).argmax()] + 0.1 * rng.standard_normal(70)
    adapter = world.adapter(on="features")
    assert clone(adapter).encoder is world.encoder
    model = LatentRegression(harmoniser=adapter, scale=False).fit(
        features[:60], y[:60], sites=np.resize(["A", "B"], 60)
    )
    by_hand = clone(adapter).fit(features[:60], np.resize(["A", "B"], 60))
    moved = by_hand.transform(features[60:], np.resize(["A", "B"], 10))
    plain = LatentRegression(scale=False).fit(by_hand.transform(features[:60], np.resize(["A", "B"], 60)), y[:60])
    there = model.predict(features[60:], sites=np.resize(["A", "B"], 10))
    np.testing.assert_allclose(there, plain.predict(moved), rtol=1e-6)
