"""The encoder of the autoencoder, trained on a diagnosis: it finds one that is there, and none that is not."""

import copy
import math

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from kotowari.core.errors import CapabilityError, DesignError, InputError, ShapeError
from kotowari.studies.brain.maps.brain_score import BrainScore
from kotowari.studies.brain.model import autoencoder as autoencoder_module
from kotowari.studies.brain.model import diagnosis_encoder as module
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.autoencoder_input import mask_window
from kotowari.studies.brain.model.diagnosis_encoder import DiagnosisEncoder
from kotowari.studies.brain.model.latent_regression import LatentRegression

SHAPE = (9, 10, 8)
N = 24


def make_mask():
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    return sum((axis / 0.8) ** 2 for axis in axes) < 1


def make_patients(n=N, seed=0, size=0.1, n_classes=2):
    """Brains that deviate from their mean in smooth ways, and those of a class in a ball of its own; 7 outside."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    ways = np.stack([np.cos(2 * x), np.sin(2 * y), np.cos(x + 2 * z)])
    brains = 0.5 + 0.1 * np.tensordot(rng.standard_normal((n, 3)), ways, 1) + 0.005 * rng.standard_normal((n, *SHAPE))
    codes = np.arange(n) % n_classes
    blobs = [(0, 0, 0), (-0.3, 0, 0), (0.3, 0.3, 0)]
    for code, (a, b, c) in enumerate(blobs[1:], start=1):
        brains[codes == code] += size * ((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < 0.15)
    return np.where(make_mask(), brains, 7.0).astype(np.float32), np.array(["control", "patient", "relative"])[codes]


def small(**options):
    settings = {"n_blocks": 2, "n_channels": 2, "max_epochs": 3, "mask": make_mask(), "precision": "float32"}
    return DiagnosisEncoder(**(settings | options))


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
    return small().fit(*make_patients())


def weights(encoder):
    return b"".join(tensor.numpy().tobytes() for tensor in encoder.reconstruction_.state_dict().values())


def auc(encoder, volumes, labels):
    return roc_auc_score(labels == "patient", encoder.predict_proba(volumes)[:, 1])


@pytest.fixture(scope="module")
def trained():
    """One encoder that saw the diagnosis, and three that saw shuffled ones; and the volumes of other subjects."""
    volumes, labels = make_patients(48, size=0.2)
    options = {"n_channels": 4, "max_epochs": 15}
    seeing = small(**options).fit(volumes, labels)
    blind = []
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(labels)
        blind.append(small(random_state=seed, **options).fit(volumes, shuffled))
    return seeing, blind, make_patients(80, seed=1, size=0.2)


def test_a_planted_diagnosis_is_found_in_other_subjects(trained):
    seeing, _, (volumes, labels) = trained
    assert auc(seeing, volumes, labels) > 0.95
    assert (seeing.predict(volumes) == labels).mean() > 0.85
    assert seeing.history_.train_loss[-1] < 0.5 * math.log(2)


def test_shuffled_labels_are_told_at_chance_in_other_subjects(trained):
    _, blind, (volumes, labels) = trained
    found = np.array([auc(encoder, volumes, labels) for encoder in blind])
    # the error of an AUC of 40 against 40 at chance is 0.065, and a net may lean to one side by chance of its labels
    assert abs(found.mean() - 0.5) < 0.15
    assert found.max() < 0.8


def test_features_answer_to_the_diagnosis_and_those_of_shuffled_labels_less(trained):
    seeing, blind, (volumes, labels) = trained

    def distance(encoder):
        features = encoder.transform(volumes).astype(float)
        groups = [features[labels == name] for name in ("patient", "control")]
        spread = np.sqrt(np.mean([group.var(0).sum() for group in groups]))
        return np.linalg.norm(groups[0].mean(0) - groups[1].mean(0)) / spread

    assert distance(seeing) > 1.5 * max(distance(encoder) for encoder in blind)


def test_first_weights_and_input_are_those_of_the_autoencoder():
    volumes, labels = make_patients()
    autoencoder = ConvolutionalAutoencoder(
        2, 2, max_epochs=1, mask=make_mask(), precision="float32", validation_fraction=0.0, stem="strided"
    ).fit(volumes)
    encoder = DiagnosisEncoder.like(autoencoder).fit(volumes, labels)
    assert np.array_equal(encoder.mean_brain_, autoencoder.mean_brain_)
    assert encoder.feature_shape_ == autoencoder.feature_shape_
    first = autoencoder.untrained().transform(volumes)
    assert encoder.untrained().transform(volumes).tobytes() == first.tobytes()
    assert encoder.transform(volumes).tobytes() != first.tobytes()  # both did learn
    assert autoencoder.transform(volumes).tobytes() != first.tobytes()
    other = DiagnosisEncoder.like(autoencoder).set_params(random_state=1).fit(volumes, labels)
    assert other.untrained().transform(volumes).tobytes() != first.tobytes()  # another seed is told from it


def test_all_options_of_the_autoencoder_are_taken_over():
    given = {
        "n_blocks": 2, "n_channels": 3, "stem": "strided", "residual": "none", "mask_ratio": 0.2, "noise": 0.1,
        "max_epochs": 7, "patience": 4, "batch_size": 5, "learning_rate": 1e-3, "validation_fraction": 0.2,
        "precision": "float32", "random_state": 9, "checkpoint_seconds": 1.0,
    }  # fmt: skip
    options = DiagnosisEncoder.like(ConvolutionalAutoencoder(**given)).get_params()
    assert {name: options[name] for name in given} == given
    assert set(ConvolutionalAutoencoder().get_params()) - set(options) == {"beta"}
    defaults = ConvolutionalAutoencoder().get_params()
    del defaults["beta"]
    assert DiagnosisEncoder().get_params() == defaults
    with pytest.raises(CapabilityError, match="variational autoencoder has no counterpart"):
        DiagnosisEncoder.like(ConvolutionalAutoencoder(beta=0.1))


def test_epochs_and_steps_are_those_of_the_autoencoder(monkeypatch):
    calls = []
    for place in (module, autoencoder_module):
        train = place.train

        def spied(*args, train=train, **options):
            calls.append(options)
            return train(*args, **options)

        monkeypatch.setattr(place, "train", spied)
    volumes, labels = make_patients()
    encoder = small(validation_fraction=0.25).fit(volumes, labels)
    ConvolutionalAutoencoder(**encoder.get_params()).fit(volumes)
    ours, theirs = calls
    assert ours["plan"] == theirs["plan"]
    assert ours["precision"] == theirs["precision"]
    assert abs(len(ours["validation_index"]) - len(theirs["validation_index"])) <= 1  # whole subjects of every class


def test_validation_holds_every_class_and_tears_no_owner_apart(monkeypatch):
    seen, train = [], module.train

    def spied(*args, **options):
        seen.append((options["train_index"], options["validation_index"]))
        return train(*args, **options)

    monkeypatch.setattr(module, "train", spied)
    volumes, _ = make_patients()
    owners = np.arange(N) // 2
    labels = np.where(owners % 4 == 0, "patient", "control")  # a quarter
    small(validation_fraction=0.25, max_epochs=1).fit(volumes, labels, groups=owners)
    ((learned, stopped),) = seen
    assert sorted([*learned, *stopped]) == list(range(N))
    assert not set(owners[learned]) & set(owners[stopped])
    assert set(labels[learned]) == set(labels[stopped]) == {"patient", "control"}


def test_every_class_counts_alike():
    volumes, _ = make_patients()
    labels = np.where(np.arange(N) < 4, "patient", "control")
    encoder = small(max_epochs=1, validation_fraction=0.0, learning_rate=1e-9).fit(volumes, labels)
    assert encoder.history_.train_loss[0] == pytest.approx(math.log(2), rel=1e-4)
    np.testing.assert_allclose(encoder.predict_proba(volumes), 0.5, atol=1e-4)
    # equal shares cost the same however classes are weighted, so they are tilted
    part = copy.deepcopy(encoder.reconstruction_)
    part.bias.data = torch.tensor([0.0, 1.0])
    losses = [math.log(1 + math.exp(sign)) for sign in (1, -1)]
    shares = torch.nn.functional.one_hot(torch.tensor([0] * 20 + [1] * 4), 2).float()
    loss = module.weighted_cross_entropy(module.class_weights(np.array([0] * 20 + [1] * 4), 2))
    with torch.no_grad():
        part.weight.zero_()
        found = loss(part(torch.zeros(N, 1, *part.mask.shape)), shares).item()
    assert found == pytest.approx(np.mean(losses), rel=1e-5)
    assert found != pytest.approx((20 * losses[0] + 4 * losses[1]) / 24, rel=1e-2)


def test_more_than_two_classes_are_told_apart():
    volumes, labels = make_patients(60, size=0.3, n_classes=3)
    encoder = small(n_channels=4, max_epochs=15).fit(volumes, labels)
    fresh, truth = make_patients(45, seed=1, size=0.3, n_classes=3)
    shares = encoder.predict_proba(fresh)
    assert encoder.classes_.tolist() == ["control", "patient", "relative"]
    assert shares.shape == (45, 3)
    np.testing.assert_allclose(shares.sum(1), 1.0, rtol=1e-6)
    assert (encoder.predict(fresh) == truth).mean() > 0.75


def test_the_same_seed_gives_the_same_bytes_and_another_seed_or_target_others(fitted):
    volumes, labels = make_patients()
    torch.manual_seed(7)
    assert weights(small().fit(volumes, labels)) == weights(fitted)
    assert weights(clone(fitted).fit(volumes, labels.tolist())) == weights(fitted)
    assert weights(small().fit(volumes, labels == "patient")) == weights(fitted)  # names do not matter, order does
    assert weights(small(random_state=1).fit(volumes, labels)) != weights(fitted)
    assert weights(small().fit(volumes, labels[::-1])) != weights(fitted)


@pytest.mark.parametrize("options", [{"residual": "none"}, {"mask_ratio": 0.5}, {"noise": 0.1}, {"stem": "strided"}])
def test_each_option_changes_what_is_learned_and_is_saved(fitted, options, tmp_path):
    volumes, labels = make_patients()
    encoder = small(**options).fit(volumes, labels)
    assert weights(encoder) != weights(fitted)
    encoder.save(tmp_path)
    again = DiagnosisEncoder.load(tmp_path)
    assert again.transform(volumes).tobytes() == encoder.transform(volumes).tobytes()
    assert again.predict_proba(volumes).tobytes() == encoder.predict_proba(volumes).tobytes()
    assert again.predict(volumes).tolist() == encoder.predict(volumes).tolist()
    assert again.untrained().transform(volumes).tobytes() == encoder.untrained().transform(volumes).tobytes()
    assert (again.history_, again.precision_) == (encoder.history_, encoder.precision_)


@pytest.mark.parametrize("labels", [np.arange(N) % 2, np.arange(N) % 2 == 1, (np.arange(N) % 2) * 1.5], ids=str)
def test_classes_keep_their_kind_when_they_are_saved(labels, tmp_path):
    encoder = small(max_epochs=1).fit(make_patients()[0], labels)
    encoder.save(tmp_path)
    again = DiagnosisEncoder.load(tmp_path)
    assert (again.classes_.dtype, again.classes_.tolist()) == (encoder.classes_.dtype, sorted(set(labels.tolist())))


def test_rows_that_are_not_given_are_never_read(fitted):
    volumes, labels = make_patients()
    store = Store(np.concatenate([volumes, np.full((3, *SHAPE), np.nan, np.float32)]), make_mask())
    encoder = small(mask=None).fit(store, labels, rows=np.arange(N))
    assert np.concatenate(store.read).max() == N - 1
    assert max(len(rows) for rows in store.read) <= 4 * encoder.batch_size
    assert weights(encoder) == weights(fitted)
    with pytest.raises(InputError, match="sub-24: the volume holds NaN"):  # a poisoned row that is given is told
        small(mask=None).fit(store, [*labels, "patient"], rows=np.arange(N + 1))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0], ids=str)
def test_what_lies_outside_of_the_mask_never_enters(fitted, value):
    volumes, labels = make_patients()
    volumes[:, ~make_mask()] = value
    assert weights(small().fit(volumes, labels)) == weights(fitted)


def test_the_decoder_is_never_touched(fitted):
    trained, first = (encoder.reconstruction_.network.state_dict() for encoder in (fitted, fitted.untrained()))
    for name in trained:
        same = torch.equal(trained[name], first[name])
        assert same == name.startswith(("decoders", "head")), name


def test_a_killed_training_goes_on_to_the_same_bytes_and_not_with_other_labels(tmp_path, monkeypatch):
    volumes, labels = make_patients()
    settings = {"max_epochs": 8, "checkpoint": tmp_path, "checkpoint_seconds": 0.0}
    expected = small(max_epochs=8).fit(volumes, labels)
    left, forward = [30], module.BrainClassifier.forward

    def killed(self, x):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return forward(self, x)

    monkeypatch.setattr(module.BrainClassifier, "forward", killed)
    with pytest.raises(KeyboardInterrupt):
        small(**settings).fit(volumes, labels)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    left[0] = 10_000
    swapped = np.where(np.arange(N) < 4, labels[::-1], labels)
    assert weights(small(**settings).fit(volumes, swapped)) != weights(expected)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1  # still that of the first labels
    left[0] = 10_000
    going_on = small(**settings).fit(volumes, labels)
    assert 10_000 - left[0] < 8 * 7  # it did go on, and not begin anew
    assert weights(going_on) == weights(expected)
    assert not list(tmp_path.glob("*.safetensors"))


def test_maps_and_regressions_take_it_as_an_encoder(fitted, rng):
    volumes, _ = make_patients()
    features = fitted.transform(volumes)
    assert features.shape == (N, math.prod(fitted.feature_shape_))
    regression = LatentRegression(scale=False, nuisance="none").fit(features, rng.normal(size=N))
    score = BrainScore(fitted, [regression])
    x = torch.from_numpy(volumes[(slice(None), *mask_window(make_mask()))])[:, None]
    np.testing.assert_allclose(score(x).detach()[:, 0], features.astype(float) @ regression.coef_, rtol=1e-5, atol=1e-5)
    gradient = fitted.input_gradient(volumes, regression.coef_)
    assert gradient.shape == volumes.shape
    assert gradient[:, make_mask()].any()
    assert not gradient[:, ~make_mask()].any()
    assert list(fitted.get_feature_names_out()[:1]) == ["diagnosisencoder0"]


def test_labels_that_cannot_be_learned_are_refused():
    volumes, labels = make_patients()
    with pytest.raises(DesignError, match="all subjects are patient; there is nothing to tell apart"):
        small().fit(volumes, ["patient"] * N)
    for fraction in (0.0, 0.1):
        with pytest.raises(DesignError, match="the class patient has 1 subject to learn from"):
            small(validation_fraction=fraction).fit(volumes, ["control"] * (N - 1) + ["patient"])
    with pytest.raises(DesignError, match="the class patient has 1 subject to learn from"):  # the other one is held out
        small().fit(volumes, ["control"] * (N - 2) + ["patient"] * 2)
    owners = [*range(N - 2), "twice", "twice"]
    with pytest.raises(DesignError, match="the class patient has 1 subject to learn from"):
        small(validation_fraction=0.0).fit(volumes, ["control"] * (N - 2) + ["patient"] * 2, groups=owners)
    for nothing in (None, np.nan, ""):
        lacking = labels.astype(object)
        lacking[[2, 5]] = nothing
        with pytest.raises(InputError, match="the class is missing for row 2, row 5"):
            small().fit(volumes, lacking)
    with pytest.raises(InputError, match="some classes are words and some are numbers"):
        small().fit(volumes, np.array([*labels[1:], 1], dtype=object))
    with pytest.raises(InputError, match="target y is None"):
        small().fit(volumes, None)
    with pytest.raises(ShapeError, match=r"y must have shape \(24\), got \(3,\)"):
        small().fit(volumes, labels[:3])
    with pytest.raises(ShapeError, match=r"y must have shape \(10\), got \(24,\)"):
        small().fit(volumes, labels, rows=np.arange(10))
    with pytest.raises(ShapeError, match=r"groups must have shape \(24\), got \(3,\)"):
        small().fit(volumes, labels, groups=[1, 2, 3])


def test_options_out_of_range_and_unsound_volumes_are_refused():
    volumes, labels = make_patients()
    with pytest.raises(InputError, match=r"DiagnosisEncoder: mask_ratio = 1\.5 is out of range"):
        small(mask_ratio=1.5).fit(volumes, labels)
    volumes[3] = np.nan
    with pytest.raises(InputError, match="row 3: the volume holds NaN"):
        small().fit(volumes, labels)
    with pytest.raises(DesignError, match="all training volumes are alike"):
        small().fit(np.repeat(volumes[:1], N, axis=0), labels)


def test_a_damaged_or_foreign_folder_is_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    with pytest.raises(InputError, match=r"autoencoder.json: cannot be read"):
        ConvolutionalAutoencoder.load(tmp_path)
    content = bytearray((tmp_path / "network.safetensors").read_bytes())
    content[-1] ^= 1  # one bit of one weight
    (tmp_path / "network.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"network.safetensors: does not belong to diagnosis_encoder.json"):
        DiagnosisEncoder.load(tmp_path)
    (tmp_path / "diagnosis_encoder.json").write_text('{"kind": "ConvolutionalAutoencoder", "schema": 2}')
    with pytest.raises(InputError, match="is no saved DiagnosisEncoder"):
        DiagnosisEncoder.load(tmp_path)
