"""Survival is scored by pairs of which it is known who was first, on the folds that all models share."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from kotowari.trust.comparators import OutOfFold, chance_rows, cross_validate, paired_scores, point_scores, score_table
from kotowari.trust.folds import Fold
from kotowari.trust.permutation import permuted
from kotowari.trust.scores import concordance


def simulated(n=60, seed=0):
    """Times in whole units, so that some are tied, their events, and the log hazard behind them."""
    rng = np.random.default_rng(seed)
    hazard = rng.normal(size=n)
    time, end = rng.exponential(4 * np.exp(-hazard)), rng.exponential(6, n)
    return np.column_stack([np.ceil(np.minimum(time, end)), time <= end]).astype(float), hazard


def by_pairs(truth, risk):
    """Harrell's C as a loop over pairs."""
    pairs, wins = 0, 0.0
    for (time, event), own in zip(truth, risk, strict=True):
        for (other_time, other_event), other in zip(truth, risk, strict=True):
            if event and (time < other_time or (time == other_time and not other_event)):
                pairs += 1
                wins += 1.0 if own > other else 0.5 if own == other else 0.0
    return wins / pairs


def without_censoring(truth, risk):
    """The wrong figure: every time is taken for an event."""
    return by_pairs(np.column_stack([truth[:, 0], np.ones(len(truth))]), risk)


def test_the_index_counts_pairs_of_which_it_is_known_who_was_first():
    truth, hazard = simulated()
    for risk in (hazard, hazard.round()):  # rounded ones are tied
        assert concordance(truth, risk) == pytest.approx(by_pairs(truth, risk), abs=1e-12)
    assert abs(without_censoring(truth, hazard) - by_pairs(truth, hazard)) > 0.02
    assert concordance(truth, np.zeros(60)) == 0.5
    assert concordance(truth, -hazard) == pytest.approx(1 - concordance(truth, hazard), abs=1e-12)


def test_an_event_comes_before_an_end_of_observation_at_the_same_time():
    risk = np.array([2.0, 1.0])
    assert concordance(np.array([[3.0, 1], [3.0, 0]]), risk) == 1
    assert np.isnan(concordance(np.array([[3.0, 1], [3.0, 1]]), risk))
    assert np.isnan(concordance(np.array([[3.0, 0], [4.0, 1]]), risk)), "the first left before anyone had the event"


def test_pairs_across_folds_are_not_compared():
    truth, hazard = simulated()
    fold = np.arange(60) % 3
    shifted = hazard + 100 * fold
    counts = [(truth[fold == k], hazard[fold == k]) for k in range(3)]
    own = [concordance(*part) for part in counts]
    assert min(own) <= concordance(truth, shifted, fold) <= max(own)
    assert concordance(truth, shifted, fold) == concordance(truth, hazard, fold)
    assert abs(concordance(truth, shifted) - concordance(truth, hazard)) > 0.02


def test_two_columns_are_scored_as_survival_with_intervals_and_chance():
    truth, hazard = simulated()
    rows, fold = np.arange(60), np.arange(60) % 3
    good, none = OutOfFold(rows, fold, hazard), OutOfFold(rows, fold, np.zeros(60))
    options = {"n_draws": 200, "random_state": 0}
    (row,) = score_table(truth, {"good": good}, target="survival", roles={"good": "ours"}, **options)
    assert row.metric == "C-index"
    assert 0.5 < row.low < row.value < row.high
    gain = paired_scores(truth, good, none, metric="C-index", **options)
    assert gain.value == pytest.approx(row.value - 0.5, abs=1e-12)
    rng = np.random.default_rng(1)
    nulls = [point_scores(permuted(truth, blocks=fold, rng=rng), good) for _ in range(19)]
    (with_p,), (chance,) = chance_rows([row], point_scores(truth, good), nulls, model="chance")
    assert with_p.p == pytest.approx(0.05)
    assert 0.4 < chance.value < 0.6


def test_time_and_event_are_permuted_together():
    truth, _ = simulated()
    shuffled = permuted(truth, rng=np.random.default_rng(0))
    assert sorted(map(tuple, shuffled)) == sorted(map(tuple, truth))
    assert (shuffled != truth).any()


class _FirstColumn(BaseEstimator):
    """What it was fitted on has two columns; the log hazard is the first column of the rows."""

    def fit(self, X, y):
        assert y.shape == (len(X), 2)
        return self

    def predict(self, X):
        return X[:, 0]


def test_models_of_survival_run_on_the_folds_and_their_table_holds_time_and_event():
    truth, hazard = simulated()
    folds = [Fold(np.arange(20, 60), np.arange(20)), Fold(np.arange(20), np.arange(20, 60))]
    said = cross_validate({"model": _FirstColumn()}, hazard[:, None], truth, folds)["model"]
    table = said.to_frame([f"s{k}" for k in range(60)], truth)
    assert list(table.columns) == ["sample", "fold", "time", "event", "prediction"]
    np.testing.assert_array_equal(table[["time", "event"]].to_numpy(), truth)
