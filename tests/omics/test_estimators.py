"""Classifier and regressor: scikit-learn's contract, planted signals, scores that genes add up to, plain files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.utils.estimator_checks import check_estimators_overwrite_params, estimator_checks_generator

from kotowari.core.errors import DesignError, InputError
from kotowari.studies.omics.model import ensemble as ensemble_module
from kotowari.studies.omics.model.ensemble import NetworkName
from kotowari.studies.omics.model.estimators import DeepInsightClassifier, DeepInsightRegressor, softmax
from kotowari.studies.omics.model.selector import DeepFeatureSelector
from kotowari.studies.omics.model.transformer import DeepInsightTransformer
from kotowari.training.loop import History
from kotowari.training.plan import TrainingPlan

SHORT = TrainingPlan(max_epochs=8, learning_rate=1e-2)
LAYOUT = DeepInsightTransformer(layout="pca")


def classifier(**options):
    return DeepInsightClassifier(**({"transformer": LAYOUT, "n_members": 1, "plan": SHORT, "n_pairs": 0} | options))


def regressor(**options):
    return DeepInsightRegressor(**({"transformer": LAYOUT, "n_members": 1, "plan": SHORT} | options))


CHECKED = [
    LAYOUT,
    classifier(n_pairs=4),
    regressor(),
    DeepFeatureSelector(estimator=classifier(plan=TrainingPlan(max_epochs=1)), n_features=1),
]
# name of a check -> why it cannot apply; whoever adds one adds a test of what stands instead
NOT_APPLICABLE: dict[str, str] = {}


def checks():
    for estimator in CHECKED:
        for _, check in estimator_checks_generator(estimator, expected_failed_checks=NOT_APPLICABLE):
            yield pytest.param(estimator, check, id=f"{type(estimator).__name__}-{check.func.__name__}")


def planted(samples=120, genes=60, classes=3, effect=1.5, seed=0):
    """Every class is raised in four genes of its own; the first genes of the table."""
    rng = np.random.default_rng(seed)
    values, labels = rng.normal(size=(samples, genes)), np.arange(samples) % classes
    for klass in range(classes):
        values[np.ix_(labels == klass, range(4 * klass, 4 * klass + 4))] += effect
    names = [f"G{number}" for number in range(genes)]
    return pd.DataFrame(values, [f"P{number}" for number in range(samples)], names), np.array(list("abcde"))[labels]


def bytes_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# ------------------------------------------------------------------------------------------ scikit-learn's battery


@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_scikit_learn_finds_nothing_to_complain_about(estimator, check):
    check(estimator)


def test_array_dispatch_changes_nothing():
    """The one check that is skipped above: it wants an environment variable before SciPy is loaded."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from sklearn.utils.estimator_checks import check_array_api_input as check\n"
        "from test_estimators import CHECKED\n"
        "for one in CHECKED:\n"
        "    check(type(one).__name__, one, array_namespace='numpy', expect_only_array_outputs=False)\n"
    )
    environment = os.environ | {"SCIPY_ARRAY_API": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", script, str(Path(__file__).parent)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_an_estimator_that_breaks_the_contract_is_caught():
    class Forgetful(DeepInsightClassifier):
        def fit(self, X, y, *, groups=None):
            self.n_members = 2  # a hyperparameter is not for fit to change
            return super().fit(X, y, groups=groups)

    wrong = Forgetful(transformer=LAYOUT, n_members=1, plan=TrainingPlan(max_epochs=1), n_pairs=0)
    with pytest.raises(AssertionError, match="n_members"):
        check_estimators_overwrite_params("Forgetful", wrong)


# ---------------------------------------------------------------------------------------------------- what is learned


def test_a_planted_signal_is_learned_and_its_genes_lead():
    table, labels = planted()
    model = classifier(plan=TrainingPlan(max_epochs=30, learning_rate=3e-3)).fit(table[:90], labels[:90])
    assert model.score(table[90:], labels[90:]) > 0.75
    codes = np.searchsorted(model.classes_, labels[90:])
    relevance, _ = model.relevance(table[90:], codes)
    assert set(np.argsort(-relevance.mean(0))[:8]) <= set(range(12))


def test_shuffled_labels_are_learned_at_chance():
    table, labels = planted()
    shuffled = np.random.default_rng(1).permutation(labels)
    model = classifier().fit(table[:90], shuffled[:90])
    assert model.score(table[90:], labels[90:]) < 0.6


def test_two_genes_that_matter_only_together_need_pairs():
    rng = np.random.default_rng(0)
    sign = rng.choice([-1, 1], size=(300, 2))
    values = rng.normal(size=(300, 400))
    values[:, [3, 250]] = sign + 0.3 * rng.normal(size=(300, 2))
    labels = (sign[:, 0] != sign[:, 1]).astype(int)
    leaders, scores = {}, {}
    for n_pairs in (0, 64):
        plan = TrainingPlan(max_epochs=15, learning_rate=1e-2)
        model = classifier(n_pairs=n_pairs, plan=plan).fit(values[:200], labels[:200])
        images = model.transformer_.transform(values[200:])
        relevance, _ = model.relevance_of_images(images, labels[200:], n_points=32)
        leaders[n_pairs] = set(np.argsort(-relevance.mean(0))[:2])
        scores[n_pairs] = model.score(values[200:], labels[200:])
    assert leaders[64] == {3, 250} != leaders[0]
    assert scores[64] > 0.85
    assert scores[0] < 0.6


def test_predictions_are_in_units_of_the_target():
    table, _ = planted(samples=160)
    target = 100 + 7 * table.iloc[:, :10].sum(axis=1).to_numpy()
    model = regressor(plan=TrainingPlan(max_epochs=40, learning_rate=3e-3)).fit(table[:120], target[:120])
    trivial = DummyRegressor().fit(table[:120], target[:120])
    assert model.score(table[120:], target[120:]) > 0.4 > trivial.score(table[120:], target[120:])
    assert abs(model.predict(table[120:]).mean() - target.mean()) < 10
    shifted = clone(model).fit(table[:120], 1e3 * target[:120] - 5)
    np.testing.assert_allclose(shifted.predict(table), 1e3 * model.predict(table) - 5, rtol=1e-3)


def test_scores_of_standardised_values_are_not_taken_for_predictions():
    table, _ = planted()
    target = 100 + 7 * table.iloc[:, 0].to_numpy()
    model = regressor().fit(table, target)
    assert not np.allclose(model.scores(table)[:, 0], model.predict(table))
    np.testing.assert_allclose(
        model.predict(table), target.mean() + target.std() * model.scores(table)[:, 0], rtol=1e-6
    )


def test_probabilities_are_the_softmax_of_the_mean_score():
    table, labels = planted()
    model = classifier(n_members=2).fit(table, labels)
    images = model.transformer_.transform(table)
    mean = (model.members_[0].scores(images) + model.members_[1].scores(images)) / 2
    np.testing.assert_allclose(model.predict_proba(table), softmax(mean), rtol=1e-5)
    np.testing.assert_allclose(model.predict_proba(table).sum(1), 1)
    assert (model.predict(table) == model.classes_[mean.argmax(1)]).all()


# --------------------------------------------------------------------------------------------------- relevance


@pytest.mark.parametrize("options", [{}, {"n_maps": 2, "layout": "tsne"}, {"assignment": "bin", "shape": (16, 16)}])
def test_genes_sum_to_the_change_of_the_score(options):
    table, labels = planted()
    layout = DeepInsightTransformer(**({"layout": "pca"} | options))
    model = classifier(transformer=layout, n_members=2, n_pairs=8).fit(table, labels)
    images = model.transformer_.transform(table[:8])
    relevance, gap = model.relevance(table[:8], 1)
    start = np.mean([member.scores(member.reference[None].numpy())[0, 1] for member in model.members_])
    change = model.scores(table[:8])[:, 1] - start
    assert relevance.shape == (8, 60)
    assert np.abs(relevance.sum(1) - change).max() < 2e-3 * np.abs(change).max()
    assert np.median(gap) < 1e-3
    np.testing.assert_array_equal(relevance, model.relevance_of_images(images, 1)[0])


def test_relevance_for_another_class_does_not_sum_to_this_one():
    table, labels = planted()
    model = classifier().fit(table, labels)
    start = model.members_[0].scores(model.members_[0].reference[None].numpy())[0, 1]
    change = model.scores(table[:8])[:, 1] - start
    wrong, _ = model.relevance(table[:8], 0)
    assert np.abs(wrong.sum(1) - change).max() > 0.1 * np.abs(change).max()


def test_each_sample_may_ask_for_its_own_class():
    table, labels = planted()
    model = classifier().fit(table, labels)
    each, _ = model.relevance(table[:6], np.array([0, 1, 2, 0, 1, 2]))
    for klass in range(3):
        same, _ = model.relevance(table[:6], klass)
        np.testing.assert_allclose(each[klass::3], same[klass::3], atol=1e-6)


def test_the_gap_owns_up_to_what_a_blur_has_spread():
    table, labels = planted(genes=40)
    layout = DeepInsightTransformer(layout="pca", blur=1.0, shape=(12, 12))
    model = classifier(transformer=layout).fit(table, labels)
    images = model.transformer_.transform(table[:8])
    _, of_networks = model.pixel_relevance(images, 1)
    _, gap = model.relevance(table[:8], 1)
    assert np.median(gap) > 10 * np.median(of_networks)


@pytest.mark.parametrize("output", [3, -1])
def test_a_class_that_is_not_there_has_no_relevance(output):
    table, labels = planted()
    with pytest.raises(InputError):
        classifier(plan=TrainingPlan(max_epochs=1)).fit(table, labels).relevance(table[:2], output)


# ------------------------------------------------------------------------------------------ seeds, names, rows, files


@pytest.mark.parametrize("make", [classifier, regressor])
def test_equal_seeds_give_equal_bytes(make, tmp_path):
    table, labels = planted()
    target = labels if make is classifier else table["G0"].to_numpy()
    for name, seed in (("first", 4), ("second", 4), ("other", 5)):
        make(random_state=seed).fit(table, target).save(tmp_path / name)
    first, second, other = (bytes_of(tmp_path / name) for name in ("first", "second", "other"))
    assert first == second
    assert first["member-0.safetensors"] != other["member-0.safetensors"]


@pytest.mark.parametrize("make", [classifier, regressor])
def test_saved_and_loaded_estimators_predict_and_explain_alike(make, tmp_path):
    table, labels = planted()
    model = make().fit(table, labels if make is classifier else table["G0"].to_numpy())
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    assert (loaded.predict(table) == model.predict(table)).all()
    assert loaded.scores(table).tobytes() == model.scores(table).tobytes()
    assert loaded.relevance(table[:3], 0)[0].tobytes() == model.relevance(table[:3], 0)[0].tobytes()
    assert loaded.feature_names_in_.tolist() == list(table.columns)
    suffixes = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}
    other = DeepInsightRegressor if make is classifier else DeepInsightClassifier
    with pytest.raises(InputError, match=f"not a {other.__name__}"):
        other.load(tmp_path / "model")


def test_a_folder_without_an_estimator_is_refused(tmp_path):
    (tmp_path / "estimator.json").write_text(json.dumps([1, 2]))
    with pytest.raises(InputError, match="holds no estimator"):
        DeepInsightClassifier.load(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        DeepInsightClassifier.load(tmp_path / "nowhere")


@pytest.mark.parametrize("make", [classifier, lambda **options: DeepFeatureSelector(estimator=classifier(), **options)])
def test_a_random_state_object_serves_as_a_seed(make):
    table, labels = planted(samples=30, genes=20)
    first, second = (make(random_state=np.random.RandomState(7)).fit(table, labels) for _ in range(2))
    one, two = (model.scores(table) if make is classifier else model.scores_ for model in (first, second))
    assert one.tobytes() == two.tobytes()


def test_names_are_kept_and_another_order_is_refused():
    table, labels = planted()
    model = classifier(plan=TrainingPlan(max_epochs=1)).fit(table, labels)
    assert model.feature_names_in_.tolist() == list(table.columns)
    with pytest.raises(ValueError, match="must be in the same order"):
        model.predict(table[table.columns[::-1]])
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table.rename(columns={"G3": "other"}))


def test_rows_outside_of_the_fit_are_never_read(tmp_path):
    table, labels = planted()
    poisoned = table.copy()
    poisoned.iloc[80:] = np.nan
    for name, source in (("clean", table), ("poisoned", poisoned)):
        classifier().fit(source.iloc[:80], labels[:80]).save(tmp_path / name)
    assert bytes_of(tmp_path / "clean") == bytes_of(tmp_path / "poisoned")
    with pytest.raises(InputError, match="row 'P80', column 'G0'"):
        classifier().fit(poisoned, labels)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_owners_are_never_torn_by_the_inner_hold_out(make, monkeypatch):
    table, labels = planted()
    owners, calls = np.repeat([f"patient {n}" for n in range(40)], 3)[np.argsort(labels, kind="stable")], []

    def record(network, inputs, targets, **settings):
        del inputs, targets
        calls.append((set(owners[settings["train_index"]]), set(owners[settings["validation_index"]])))
        network.eval()
        return History()

    monkeypatch.setattr(ensemble_module, "train", record)
    make(n_members=5).fit(table, labels if make is classifier else table["G0"].to_numpy(), groups=owners)
    assert len(calls) == 5
    assert all(stopping and not learning & stopping for learning, stopping in calls)
    assert len({frozenset(stopping) for _, stopping in calls}) > 1  # every network has a hold-out of its own


def test_tuning_stays_inside_the_fit_and_keeps_its_journal(tmp_path):
    table, labels = planted(samples=60, genes=30)
    options = {"tune": 2, "tune_journal": tmp_path / "trials.log", "plan": TrainingPlan(max_epochs=2)}
    first = classifier(**options).fit(table, labels)
    finished = (tmp_path / "trials.log").read_text().count('"values"')
    again = classifier(**options).fit(table, labels)
    assert (tmp_path / "trials.log").read_text().count('"values"') == finished >= 2
    assert again.recipe_ == first.recipe_
    assert again.scores(table).tobytes() == first.scores(table).tobytes()


@pytest.mark.parametrize("network", NetworkName.__args__)
def test_every_network_fits_and_predicts(network):
    table, labels = planted(samples=45)
    layout = DeepInsightTransformer(layout="pca", shape=(16, 16))
    model = classifier(network=network, transformer=layout, plan=TrainingPlan(max_epochs=1)).fit(table, labels)
    assert set(model.predict(table)) <= set("abc")


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        ({"n_members": 0}, None, "n_members must be 1 or more"),
        ({"tune": -1}, None, "tune 0 or more"),
        ({"n_pairs": -1}, None, "n_pairs must be 0 or more"),
        ({"network": "resnet"}, None, "choose residual"),
        ({"device": "tpu"}, None, "choose one of auto"),
        ({}, ["a"] * 12, "one class 'a'"),
        ({}, [0.0, np.inf] * 6, "row 1 is NaN or infinite"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(options, labels, message):
    table, own = planted(samples=12, genes=12)
    with pytest.raises(InputError, match=message):
        classifier(**options).fit(table, own if labels is None else labels)


def test_a_class_of_one_sample_is_refused():
    table, labels = planted(samples=30)
    labels[0] = "e"
    with pytest.raises(DesignError, match="class 'e' has one sample"):
        classifier().fit(table, labels)
