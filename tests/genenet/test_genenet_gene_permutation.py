"""Permutation p values of edges: right under the right null, wrong under wrong ones, early stop, resuming."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from kotowari.core.errors import DesignError, InputError
from kotowari.studies.genenet import gene_permutation as module
from kotowari.studies.genenet.gene_permutation import edge_permutation
from kotowari.studies.genenet.model.edges.bootstrap import bootstrap_edges
from kotowari.studies.genenet.model.edges.p_values import FoundEdges, pooled_p_of_found
from kotowari.studies.genenet.model.edges.selection_frequency import selection_frequency
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.trust.permutation import permutation_p, pooled_p, sequential_p

QUICK = NetworkProfiler(bandwidth=0.08, n_lambdas=6, max_rounds=1)
NEVER = 1000


def drifting(seed, n=60, n_regulators=10, n_targets=2):
    """Genes that follow the modulator closely, up or down, and have nothing else to do with each other."""
    rng = np.random.default_rng(seed)
    m = np.sort(np.arange(n) % 10) / 9  # few places are quick; bins of ten samples lie across them
    sign = rng.choice([-1.0, 1.0], n_regulators + n_targets)
    course = 1.5 * np.sin(3 * m) + 3 * (m - 0.5)
    genes = [f"R{k}" for k in range(n_regulators)] + [f"T{k}" for k in range(n_targets)]
    X = pd.DataFrame(rng.normal(size=(n, len(genes))) + np.outer(course, sign), columns=genes)
    return X, m, {"regulators": genes[:n_regulators], "targets": genes[n_regulators:]}


def related(seed=0, n=80):
    """The same with one steady edge, R0 to T0, and one that turns its sign, R1 to T1."""
    X, m, sides = drifting(seed, n, n_targets=3)
    X["T0"] += 1.2 * X["R0"]
    X["T1"] += 6 * (m - 0.5) * X["R1"]
    return X, m, sides


def p_of(found, regulator, target, column="p"):
    rows = found.to_frame().set_index(["regulator", "target"])[column]
    return rows.get((regulator, target), 1.0)


def same(a, b):
    pd.testing.assert_frame_equal(a.to_frame(), b.to_frame(), check_exact=True)


# ------------------------------------------------------------------------------------------------ the null is the null


def smallest_p_values(n_tables, n_bins=None, **options):
    """Family-wise p of the strongest edge of each table, which is exact where the null is right: 1/20, ..., 1."""
    values = []
    for seed in range(n_tables):
        X, m, sides = drifting(seed)
        found = edge_permutation(
            QUICK, X, m, **sides, n_permutations=19, n_exceeding=NEVER, n_bins=n_bins, random_state=seed, **options
        )
        values.append(found.p.min(initial=1.0))
    return np.array(values)


def spread(p, rng):
    """Discrete p as continuous ones, for the test of Kolmogorov and Smirnov."""
    return p - rng.random(len(p)) / 20


def test_p_is_uniform_where_genes_only_follow_the_modulator(rng):
    p = smallest_p_values(30)
    assert kstest(spread(p, rng), "uniform").pvalue > 0.01
    assert (p <= 0.05).mean() <= 0.15  # 1.5 expected of 30; 5 and more with a chance of 2 %


def test_a_null_that_ignores_the_modulator_is_caught(rng):
    p = smallest_p_values(12, n_bins=1)
    assert kstest(spread(p, rng), "uniform").pvalue < 1e-4
    assert (p <= 0.2).mean() > 0.5


def test_a_null_of_shuffled_rows_finds_nothing_even_where_there_is_much(monkeypatch):
    X, m, sides = related()
    options = {**sides, "n_permutations": 19, "n_exceeding": NEVER}
    right = edge_permutation(QUICK, X, m, **options)

    def rows(values, modulator, n_bins, rng):
        order = np.arange(len(values))
        for members in np.array_split(np.argsort(modulator, kind="stable"), n_bins):
            order[members] = rng.permutation(members)
        return values[order]

    monkeypatch.setattr(module, "permute_within_bins", rows)
    wrong = edge_permutation(QUICK, X, m, **options)
    assert p_of(right, "R0", "T0") == 0.05
    assert p_of(wrong, "R0", "T0") > 0.1


# ------------------------------------------------------------------------------------------------------- what it finds


def test_planted_edges_are_significant_and_others_are_not():
    X, m, sides = related()
    strong, changing = (
        edge_permutation(QUICK, X, m, **sides, statistic=name, n_permutations=39) for name in ("strength", "change")
    )
    assert p_of(strong, "R0", "T0") == 1 / 40
    assert p_of(changing, "R1", "T1") <= 0.05
    planted = {("R0", "T0"), ("R1", "T1")}
    for found in (strong, changing):
        table = found.to_frame()
        small = table[table["p"] <= 0.05]
        assert set(zip(small["regulator"], small["target"], strict=True)) <= planted
        assert (np.diff(table[found.statistic]) <= 0).all()
        assert (np.diff(table["p"]) >= 0).all()
    assert p_of(strong, "R0", "T0", "q") <= 0.05
    assert "39 refits" in strong.sentence()


def test_p_values_are_those_of_their_formulas():
    X, m, sides = drifting(3)
    found = edge_permutation(QUICK, X, m, **sides, n_permutations=12, n_exceeding=NEVER)
    assert found.n_refits == 12
    assert not found.stopped_early
    assert found.n_possible == 20
    np.testing.assert_allclose(found.p, [permutation_p(value, found.maxima) for value in found.value])


def test_pooled_p_is_that_of_the_dense_table(rng):
    null = np.where(rng.random((7, 30)) < 0.3, rng.random((7, 30)), 0.0)
    observed = np.sort(rng.random(5))[::-1]
    wide = np.r_[observed, np.zeros(25)]
    draws = [FoundEdges(np.flatnonzero(row), row[row > 0]) for row in null]
    got = pooled_p_of_found(observed, draws, 30)
    np.testing.assert_allclose(got, pooled_p(wide, null)[:5])


def test_few_refits_give_no_q():
    X, m, sides = drifting(3)
    found = edge_permutation(QUICK, X, m, **sides, n_permutations=2)
    assert found.q.q is None
    assert found.to_frame()["q"].isna().all()


def test_a_gene_on_both_sides_is_permuted_once_and_is_no_regulator_of_itself():
    X, m, _ = drifting(0)
    found = edge_permutation(QUICK, X, m, regulators=list(X)[:6], targets=list(X)[4:9], n_permutations=2)
    assert found.n_possible == 6 * 5 - 2
    assert (found.regulator != found.target).all()


def test_two_modulators_make_bins_of_both(rng):
    X, m, sides = drifting(0)
    axes = np.column_stack([m, rng.random(60)])
    found = edge_permutation(NetworkProfiler(n_lambdas=4, max_rounds=1), X, axes, **sides, n_permutations=2)
    assert found.n_bins == 3  # and 3 of the second in each
    mixed = module._permuted(X.to_numpy(), axes, 2, rng)
    low = axes[:, 0] < np.median(axes[:, 0])
    for half in (low, ~low):
        corner = half & (axes[:, 1] < np.median(axes[half, 1]))
        np.testing.assert_allclose(np.sort(mixed[corner], axis=0), np.sort(X.to_numpy()[corner], axis=0))


# -------------------------------------------------------------------------------------- early stop, shards, workers


def test_drawing_stops_when_even_the_strongest_edge_is_chance():
    X, m, sides = drifting(5)
    whole = edge_permutation(QUICK, X, m, **sides, n_permutations=60, n_exceeding=NEVER)
    short = edge_permutation(QUICK, X, m, **sides, n_permutations=60, n_exceeding=3)
    assert short.stopped_early
    assert short.n_refits < 60
    assert (short.maxima >= short.value.max()).sum() == 3
    np.testing.assert_array_equal(short.maxima, whole.maxima[: short.n_refits])
    wanted = [sequential_p(value, whole.maxima, n_exceeding=3, max_draws=60).p for value in short.value]
    np.testing.assert_allclose(short.p, wanted)
    assert short.p[0] == 3 / short.n_refits


def test_a_killed_run_goes_on_and_both_statistics_are_kept(tmp_path, monkeypatch):
    X, m, sides = drifting(5)
    options = {**sides, "n_permutations": 6}
    unbroken = {name: edge_permutation(QUICK, X, m, statistic=name, **options) for name in ("strength", "change")}
    made = []

    def killed(units=1):
        made.extend([1] * units)
        if len(made) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edge_permutation(QUICK, X, m, **options, shards=tmp_path, advance=killed)
    own, refitted = module._refit, []
    monkeypatch.setattr(module, "_refit", lambda *arguments: refitted.append(1) or own(*arguments))
    same(edge_permutation(QUICK, X, m, **options, shards=tmp_path), unbroken["strength"])
    assert len(refitted) == 7 - 4
    same(edge_permutation(QUICK, X, m, statistic="change", **options, shards=tmp_path), unbroken["change"])
    assert len(refitted) == 7 - 4
    edge_permutation(QUICK, X, m, **(options | {"n_permutations": 8}), shards=tmp_path)
    assert len(refitted) == 9 - 4


def test_the_stop_does_not_depend_on_how_many_refits_are_made_at_once(tmp_path, monkeypatch):
    X, m, sides = drifting(5)
    options = {**sides, "n_permutations": 30, "n_exceeding": 2}
    alone, made = edge_permutation(QUICK, X, m, **options), []

    def in_memory(function, jobs, *, shards, workers, advance, cluster):
        del shards, workers, advance, cluster
        made.append(len(jobs))
        return {key: function(*arguments) for key, arguments in jobs.items()}

    monkeypatch.setattr(module, "run_refits", in_memory)
    for workers in (3, 4):
        same(edge_permutation(QUICK, X, m, **options, shards=tmp_path, workers=workers), alone)
    assert alone.stopped_early
    assert {3, 4} <= set(made)


def test_workers_change_nothing(tmp_path):
    X, m, sides = drifting(5)
    calls = {
        "permutation": lambda **kept: edge_permutation(QUICK, X, m, **sides, n_permutations=3, **kept),
        "selection": lambda **kept: selection_frequency(QUICK, X, m, **sides, n_pairs=2, **kept),
        "bootstrap": lambda **kept: bootstrap_edges(QUICK, X, m, **sides, n_bootstraps=3, **kept),
    }
    for name, call in calls.items():
        same(call(shards=tmp_path / name, workers=2), call())


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"n_permutations": 0}, InputError, "n_permutations"),
        ({"statistic": "edge"}, InputError, "strength or change"),
        ({"n_bins": 30}, InputError, "n_bins"),
        ({"groups": np.arange(60) // 2}, DesignError, "30 groups hold several samples"),
        ({"workers": 2}, InputError, "folder for shards"),
        ({"regulators": ["nobody"]}, InputError, "nobody"),
    ],
)
def test_a_test_that_cannot_be_made_is_refused(options, error, said):
    X, m, sides = drifting(0)
    with pytest.raises(error, match=said):
        edge_permutation(QUICK, X, m, **(sides | {"n_permutations": 2} | options))
