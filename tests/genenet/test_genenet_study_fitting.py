"""The fits of one fold: nothing that is judged may be learned from, and what comes back adds up."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from small_genenet import DOWN, OTHERS, REGULATORS, SMALL, TARGETS, UP, make_annotations, make_table

from kotowari.core.errors import DesignError
from kotowari.studies.genenet.config import Config
from kotowari.studies.genenet.data import Samples
from kotowari.studies.genenet.fitting import (
    effects_of,
    explain_fold,
    fit_networks,
    make_profiler,
    make_trip,
    one_network_for_all,
    predict_fold,
    unpacked_effects,
)
from kotowari.studies.genenet.preparation import Preparation
from kotowari.trust.folds import Fold
from kotowari.trust.leakage import require_blind

DATA = {"table": "t.csv", "annotations": "a.csv", "regulators": "r.txt", "targets": "t.txt"}
CONFIG = Config.model_validate({**SMALL, "data": DATA})
FOLD = Fold(np.arange(10, 40), np.arange(10))
SIGNATURE = [*UP, *DOWN]


def make_samples(**changes):
    """Return the small table as the stage `read` hands it on."""
    table = make_table()
    annotations = make_annotations(table)
    whole = Samples(
        X=table,
        modulator=None,
        second=None,
        signature_up=tuple(UP),
        signature_down=tuple(DOWN),
        y=annotations["status"].to_numpy(str),
        task="classification",
        response="status",
        circular=False,
        groups=annotations["patient"].to_numpy(str),
        covariates=None,
        regulators=tuple(REGULATORS),
        targets=tuple(TARGETS),
        source="t.csv",
        notes=(),
    )
    return replace(whole, **changes)


def poisoned(table, rows, genes):
    """Return the table with other values in some cells."""
    changed = table.copy()
    changed.loc[changed.index[rows], genes] = changed.loc[changed.index[rows], genes].to_numpy()[::-1] * 3 + 5
    return changed


def learned(samples, config=CONFIG):
    """Return what the networks of a fold hold for the rows that they were learned from."""
    found = fit_networks(samples, config, FOLD, seed=0)
    effects = unpacked_effects(found)[FOLD.train]
    return {"effects": effects.values, "edges": effects.edges, "targets": np.arange(len(found["targets"]))}


@cache
def networks():
    return fit_networks(make_samples(), CONFIG, FOLD, seed=0)


def changes(kind):
    """Return samples whose fit needs every part of the preparation."""
    annotations = make_annotations(make_table())
    return {
        "signature": {},
        "column": {"modulator": annotations["purity"].to_numpy()},
        "two": {"second": annotations["purity"].to_numpy()},
        "adjusted": {"covariates": annotations[["cancer"]]},
        "targets by variance": {"targets": None},
        "circular": {"circular": True},
    }[kind]


@pytest.mark.parametrize("kind", ["signature", "column", "two", "adjusted", "targets by variance", "circular"])
def test_the_networks_of_a_fold_never_read_the_rows_kept_aside(kind):
    clean = make_samples(**changes(kind))
    config = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"n_targets": 6})})
    axis = clean.modulator if clean.modulator is not None else clean.second
    labels = np.arange(40.0) if axis is None else axis

    def fit(X, y):
        table = pd.DataFrame(X, index=clean.X.index, columns=clean.X.columns)
        own = replace(clean, X=table, y=np.roll(clean.y, int(y[0])))
        if clean.modulator is not None:
            own = replace(own, modulator=y)
        elif clean.second is not None:
            own = replace(own, second=y)
        return learned(own, config)

    require_blind(f"the fold, {kind}", fit, clean.X.to_numpy(), labels, test=FOLD.test)


def test_a_signature_scored_on_all_rows_would_be_caught():
    clean = make_samples()

    def fit(X, y):
        del y
        table = pd.DataFrame(X, index=clean.X.index, columns=clean.X.columns).fillna(0.0)
        whole = Preparation(replace(clean, X=table), CONFIG, np.arange(40))
        return learned(replace(clean, X=table, modulator=whole.axis(table, None, None)))

    with pytest.raises(DesignError, match="reads the test rows"):
        require_blind("a leak", fit, clean.X.to_numpy(), np.arange(40.0), test=FOLD.test)


def test_the_own_score_of_a_held_out_sample_is_not_used_where_it_is_the_response():
    clean = make_samples(circular=True)
    changed = replace(clean, X=poisoned(clean.X, FOLD.test, SIGNATURE))
    ours, theirs = (fit_networks(own, CONFIG, FOLD, seed=0) for own in (clean, changed))
    np.testing.assert_array_equal(ours["effects"], theirs["effects"])
    np.testing.assert_array_equal(ours["varying"], theirs["varying"])
    assert (ours["modulator"][FOLD.test] != theirs["modulator"][FOLD.test]).all(), "the poison did not reach the score"


def test_elsewhere_the_own_score_of_a_held_out_sample_chooses_its_network():
    clean = make_samples()
    changed = replace(clean, X=poisoned(clean.X, FOLD.test, SIGNATURE))
    theirs = fit_networks(changed, CONFIG, FOLD, seed=0)
    same = (networks()["effects"] == theirs["effects"]).all(axis=1)
    assert same[FOLD.train].all()
    assert not same[FOLD.test].all()


def test_other_genes_of_a_held_out_sample_place_it_where_the_score_is_the_response():
    clean = make_samples(circular=True)
    changed = replace(clean, X=poisoned(clean.X, FOLD.test, OTHERS))
    ours, theirs = (fit_networks(own, CONFIG, FOLD, seed=0) for own in (clean, changed))
    np.testing.assert_array_equal(ours["effects"][FOLD.train], theirs["effects"][FOLD.train])
    assert (ours["effects"][FOLD.test] != theirs["effects"][FOLD.test]).any()


def test_genes_of_the_signature_are_neither_regulators_nor_targets_of_its_own_score():
    wide = {"regulators": (*REGULATORS, *UP), "targets": (*TARGETS, *DOWN)}
    named = Preparation(make_samples(**wide), CONFIG, FOLD.train)
    assert set(UP) < set(named.regulators)
    barred = Preparation(make_samples(circular=True, **wide), CONFIG, FOLD.train)
    assert barred.regulators == tuple(REGULATORS)
    assert barred.targets == tuple(TARGETS)


def test_held_out_samples_beyond_the_training_range_are_held_at_its_ends():
    given = Preparation(make_samples(), CONFIG, FOLD.train)
    axis = given.axis(make_table(), None, None)
    low, high = axis[FOLD.train].min(), axis[FOLD.train].max()
    places, n_beyond = given.places(np.array([low - 1, (low + high) / 2, high + 1]), make_table()[:3])
    np.testing.assert_array_equal(places, [low, (low + high) / 2, high])
    assert n_beyond == 2


def test_a_gene_that_is_constant_in_training_rows_is_left_out_there():
    table = make_table()
    table.loc[table.index[FOLD.train], ["TF3", "T4"]] = 1.5
    given = Preparation(make_samples(X=table), CONFIG, FOLD.train)
    assert "TF3" not in given.regulators
    assert "T4" not in given.targets
    found = fit_networks(make_samples(X=table), CONFIG, FOLD, seed=0)
    assert found["varying"].shape == (len(FOLD.test), 9)


def test_effects_count_from_the_mean_regulator_in_deviations_of_the_target():
    table = make_table()
    axis = np.linspace(-1, 1, 40)
    names = {"regulators": ["TF0", "TF5"], "targets": ["T0", "T5"]}
    stack = make_profiler(CONFIG, 0).fit(table, axis, **names).networks()
    direct = CONFIG.model_copy(update={"network": CONFIG.network.model_copy(update={"path_length": 1})})
    effects = effects_of([stack], table, [table], direct)
    dense = stack.to_dense()
    for column, (regulator, target) in enumerate(effects.edges):
        genes = stack.regulators[regulator], stack.targets[target]
        centred = table[genes[0]] - table[genes[0]].mean()
        wanted = dense[:, regulator, target] * centred / table[genes[1]].std(ddof=0)
        np.testing.assert_allclose(effects.values[:, column], wanted, atol=1e-5)


def test_one_network_for_all_is_the_same_everywhere_and_the_profiler_is_not():
    table, axis = make_table(), np.linspace(-1, 1, 40)
    names = {"regulators": REGULATORS, "targets": TARGETS}
    single = one_network_for_all(CONFIG, 0).fit(table, axis, **names).networks().to_dense()
    np.testing.assert_allclose(single, np.broadcast_to(single[:1], single.shape), atol=1e-6)
    varying = make_profiler(CONFIG, 0, pooling=0.0).fit(table, axis, **names).networks().to_dense()
    assert np.ptp(varying, axis=0).max() > 0.1


def test_the_mean_stands_in_where_a_held_out_sample_has_no_network():
    purity = make_annotations(make_table())["purity"].to_numpy().copy()
    purity[FOLD.train[0]] = 9.0
    purity[FOLD.test[0]] = 8.0
    network = CONFIG.network.model_copy(update={"kernel": "gaussian", "bandwidth": 0.05})
    config = CONFIG.model_copy(update={"network": network})
    with pytest.warns(UserWarning, match="have too few neighbours"):
        found = fit_networks(make_samples(modulator=purity), config, FOLD, seed=0)
    np.testing.assert_array_equal(found["varying"][0], found["mean"][0])
    assert (found["varying"][1:] != found["mean"][1:]).any()
    assert np.isfinite(found["effects"]).all()


@pytest.fixture(scope="module")
def explained():
    """An estimator after :func:`explain_fold`, and what that returned."""
    samples, effects = make_samples(), unpacked_effects(networks())
    estimator = make_trip(CONFIG, "classification", 0)
    return estimator, explain_fold(estimator, effects, samples.y, FOLD, samples.groups)


def test_a_prediction_never_reads_the_rows_kept_aside(explained):
    estimator, _ = explained
    samples, effects = make_samples(), unpacked_effects(networks())
    values, y = effects.values.copy(), samples.y.copy()
    values[FOLD.test] = values[FOLD.test] * 100 + 1
    y[FOLD.test] = y[FOLD.test][::-1]
    other = make_trip(CONFIG, "classification", 0)
    predict_fold(other, replace(effects, values=values), y, FOLD, samples.groups)
    np.testing.assert_array_equal(estimator.predict_proba(effects), other.predict_proba(effects))


def test_poison_among_the_rows_learned_from_is_noticed(explained):
    estimator, _ = explained
    samples, effects = make_samples(), unpacked_effects(networks())
    other = make_trip(CONFIG, "classification", 0)
    predict_fold(other, effects, samples.y[::-1], FOLD, samples.groups)
    assert np.abs(estimator.predict_proba(effects) - other.predict_proba(effects)).max() > 0.1


def test_the_parts_of_the_edges_add_up_to_the_change_of_the_prediction(explained):
    _, found = explained
    assert found["contributions"].shape == (len(FOLD.test), len(networks()["edges"]))
    np.testing.assert_allclose(found["contributions"].sum(axis=1), found["change"], atol=1e-3)
    assert found["gap"].max() < 0.01
    assert found["importance"].shape == (len(networks()["edges"]),)
    np.testing.assert_allclose(found["scores"].sum(axis=1), 1, atol=1e-6)


def test_every_option_reaches_the_profiler_and_the_estimator():
    network = {"kernel": "knn", "bandwidth": 12, "effective_samples": 0.4, "criterion": "bic", "n_lambdas": 9}
    network |= {"ridges": [0.1, 0.2], "max_rounds": 3, "n_nodes": 7}
    prediction = {"core": 3, "head": "linear", "n_members": 2, "starts": ["pls"], "reconstruction_weight": 0.5}
    config = Config.model_validate({"network": network, "prediction": prediction})
    made = make_profiler(config, 5, n_jobs=1).get_params()
    assert network | {"ridges": (0.1, 0.2), "random_state": 5} == {
        name: made[name] for name in [*network, "random_state"]
    }
    chosen = make_trip(config, "regression", 6, max_steps=3).get_params()
    wanted = {"core_shape": 3, "head": "linear", "n_members": 2, "starts": ("pls",), "reconstruction_weight": 0.5}
    assert wanted | {"max_steps": 3, "random_state": 6} == {
        name: chosen[name] for name in [*wanted, "max_steps", "random_state"]
    }
    assert type(make_trip(config, "regression", 6)).__name__ == "TensorReconstructionRegressor"
    assert type(make_trip(config, "classification", 6)).__name__ == "TensorReconstructionClassifier"
