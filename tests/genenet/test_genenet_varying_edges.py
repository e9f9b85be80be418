"""p values of changing coefficients: right where they are constant, wrong under wrong nulls, and what is kept."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from kotowari.core.errors import DesignError, InputError
from kotowari.studies.genenet import changing_coefficients as module
from kotowari.studies.genenet.changing_coefficients import varying_edges
from kotowari.studies.genenet.constant_null import ConstantNull, split_roles
from kotowari.studies.genenet.gene_permutation import edge_permutation
from kotowari.studies.genenet.model.edges.p_values import FoundEdges, own_p, pooled_p_of_found
from kotowari.studies.genenet.model.edges.refits import RefitTable
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.trust.permutation import permutation_p, pooled_p, sequential_p

QUICK = NetworkProfiler(kernel="knn", effective_samples=0.5, n_lambdas=6, max_rounds=1)
NEVER = 1000


def steady(seed, n=63, n_regulators=5, noise=0.7):
    """Constant coefficients; mean, spread and correlation of the regulators, and the noise, follow the modulator."""
    rng = np.random.default_rng(seed)
    m = np.sort(np.arange(n) % 6) / 5  # few places are quick
    shared = rng.normal(size=(n, 1)) * rng.choice([-1, 1], n_regulators)
    sources = (rng.normal(size=(n, n_regulators)) + 1.5 * m[:, None] * shared) * (0.4 + 1.6 * m[:, None])
    sources += np.outer(np.sin(3 * m), rng.normal(size=n_regulators))
    skewed = rng.exponential(size=(n, 2)) - 1
    ends = noise * (1.3 - m[:, None]) * skewed + np.outer(np.cos(3 * m), [1.0, -1.0])
    ends[:, 0] += 0.9 * sources[:, 0]
    ends[:, 1] -= 0.6 * sources[:, 1]
    return _table(sources + 8, ends + 8, m)


def widening(seed, n=64, noise=0.5):
    """Constant coefficients of regulators whose spread grows with the modulator, and noise that does not."""
    rng = np.random.default_rng(seed)
    m = np.arange(n) % 4 / 3
    sources = rng.normal(size=(n, 3)) * (0.05 + m[:, None] ** 2)
    return _table(sources, sources[:, :2] + noise * rng.normal(size=(n, 2)), m)


def turning(seed=0, n=66):
    """Unrelated regulators; R0 to T0 is strong and constant, R1 to T1 turns its sign."""
    rng = np.random.default_rng(seed)
    m = np.sort(np.arange(n) % 6) / 5
    sources = rng.normal(size=(n, 5))
    ends = np.column_stack([1.5 * sources[:, 0], 2.4 * (m - 0.5) * sources[:, 1]])
    return _table(sources, ends + 0.5 * rng.normal(size=(n, 2)), m)


def _table(sources, ends, m):
    regulators, targets = ([f"{side}{k}" for k in range(part.shape[1])] for side, part in (("R", sources), ("T", ends)))
    X = pd.DataFrame(np.hstack([sources, ends]), columns=regulators + targets)
    return X, m, {"regulators": regulators, "targets": targets}


def p_of(found, regulator, target, column="p"):
    rows = found.to_frame().set_index(["regulator", "target"])[column]
    return rows.get((regulator, target), 1.0)


def null_of(X, m, sides, profiler=QUICK):
    roles = split_roles(RefitTable.of(profiler, X, m, **sides))
    fitted = roles.fit(roles.values, roles.modulator)
    return roles, ConstantNull.of(roles, fitted, roles.networks_of(fitted))


# ------------------------------------------------------------------------------------------------ the null is the null


def test_p_is_not_too_small_where_coefficients_are_constant(rng):
    p = []
    for simulate in (steady, widening):
        for seed in range(5):
            X, m, sides = simulate(seed)
            found = varying_edges(QUICK, X, m, **sides, n_draws=19, n_exceeding=NEVER, random_state=seed)
            p.append(found.p.min(initial=1.0))
    p = np.array(p)
    # conservative is allowed: p may be larger than uniform, not smaller
    assert kstest(p - rng.random(10) / 20, "uniform", alternative="greater").pvalue > 0.01
    assert (p <= 0.05).sum() <= 3  # 0.5 expected of 10; 4 and more with a chance of 0.1 %


def test_a_null_of_shuffled_modulators_is_caught():
    p = []
    for seed in range(5):
        X, m, sides = widening(seed)
        roles = split_roles(RefitTable.of(QUICK, X, m, **sides))
        changes = []
        for number in range(10):
            axis = m if number == 0 else np.random.default_rng([seed, number]).permutation(m)
            stack = roles.networks_of(roles.fit(roles.values, axis[:, None]))
            changes.append(module._changes(roles, stack)["value"].max(initial=0.0))
        p.append(permutation_p(changes[0], changes[1:]))
    assert (np.array(p) <= 0.1).sum() >= 4  # 0.5 expected of 5


def test_a_constant_edge_is_a_relation_but_no_change():
    X, m, sides = turning()
    related = edge_permutation(QUICK, X, m, **sides, n_permutations=19, n_exceeding=NEVER)
    changing = varying_edges(QUICK, X, m, **sides, n_draws=39, n_exceeding=NEVER)
    assert p_of(related, "R0", "T0") == 1 / 20
    assert p_of(changing, "R0", "T0", "own_p") > 0.1
    assert p_of(changing, "R1", "T1") == p_of(changing, "R1", "T1", "own_p") == 1 / 40
    first = changing.to_frame().iloc[0]
    assert (first["regulator"], first["target"]) == ("R1", "T1")
    assert first["low"] < -0.2
    assert first["high"] > 0.1
    assert first["change"] == pytest.approx(first["high"] - first["low"])
    assert p_of(changing, "R1", "T1", "q") <= 0.05
    assert p_of(changing, "R0", "T0", "q") > 0.05
    assert "39 refits" in changing.sentence()


# ------------------------------------------------------------------------------------------------- how it is rebuilt


def test_targets_of_a_steady_network_without_noise_are_rebuilt_as_they_were_whatever_the_signs(rng):
    X, m, sides = widening(0, noise=0.0)
    roles, null = null_of(X, m, sides, NetworkProfiler(bandwidth=0.2, lambda_ratio=1e-4, ridges=(0.0,), max_rounds=1))
    targets = roles.values[:, -2:]
    # the penalty shrinks a little
    np.testing.assert_allclose(null.constant, targets, atol=0.002 * targets.std())
    np.testing.assert_allclose(null.targets(rng.choice([-1.0, 1.0], len(m))), targets, atol=0.002 * targets.std())


def test_coefficients_that_change_stay_out_of_the_residuals():
    X, m, sides = turning()
    roles, null = null_of(X, m, sides, NetworkProfiler(kernel="knn", effective_samples=0.25, n_lambdas=6, max_rounds=1))
    left = roles.values[:, -1] - null.constant[:, -1]
    assert left.std() > 0.75  # what one network leaves of T1
    assert 0.45 < null.residual[:, -1].std() < 0.65  # its noise is 0.5


def test_signs_are_one_a_sample_for_all_targets():
    X, m, sides = steady(1)
    _, null = null_of(X, m, sides)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], len(m))
    drawn = null.targets(signs) - null.constant
    np.testing.assert_allclose(np.abs(drawn), np.abs(null.residual))
    np.testing.assert_allclose(drawn.prod(1), null.residual.prod(1))


def test_samples_of_an_owner_share_their_sign(monkeypatch):
    X, m, sides = steady(1)
    owners, seen = np.random.default_rng(0).permutation(np.arange(63) // 3), []
    own = ConstantNull.targets
    monkeypatch.setattr(ConstantNull, "targets", lambda self, signs: seen.append(signs) or own(self, signs))
    found = varying_edges(QUICK, X, m, **sides, groups=owners, n_draws=2)
    assert found.n_units == 21
    assert "21 random signs" in found.sentence()
    for signs in seen:
        assert all(len(set(signs[owners == owner])) == 1 for owner in range(21))
        assert set(signs) == {-1.0, 1.0}
    assert (seen[0] != seen[1]).any()


def test_a_gene_on_both_sides_stays_as_regulator_and_is_none_of_itself():
    X, m, _ = steady(0)
    table = RefitTable.of(QUICK, X, m, list(X)[:4], list(X)[2:6])
    roles = split_roles(table)
    factors = np.asarray(roles.profiler.penalty_factors)
    assert np.argwhere(np.isinf(factors)).tolist() == [[0, 2], [1, 3]]
    fitted, whole = roles.fit(roles.values, roles.modulator), table.fit(table.values, table.modulator)
    np.testing.assert_array_equal(
        roles.edge_cells(roles.networks_of(fitted)), table.edge_cells(table.networks_of(whole))
    )
    found = varying_edges(QUICK, X, m, regulators=list(X)[:4], targets=list(X)[2:6], n_draws=2)
    assert found.n_possible == 4 * 4 - 2
    assert (found.regulator != found.target).all()


def test_excluded_edges_are_not_possible():
    X, m, sides = steady(0)
    factors = np.ones((2, 5))
    factors[0, :2] = np.inf
    profiler = NetworkProfiler(**(QUICK.get_params() | {"penalty_factors": factors}))
    found = varying_edges(profiler, X, m, **sides, n_draws=1)
    assert found.n_possible == 8
    assert p_of(found, "R0", "T0") == 1.0


def test_samples_without_a_network_have_a_residual_all_the_same():
    X, m, sides = steady(0)
    m = np.where(m == 1, 40.0, m)  # far off, and too few
    lone = np.flatnonzero(m == 40.0)[1:]
    m, X = np.delete(m, lone), X.drop(index=lone)
    _, null = null_of(X, m, sides, NetworkProfiler(bandwidth=0.3, n_lambdas=6, max_rounds=1))
    assert np.isfinite(null.residual).all()
    assert np.isfinite(null.constant).all()


def test_the_level_of_genes_does_not_matter():
    X, m, sides = turning()
    low, high = (varying_edges(QUICK, X + level, m, **sides, n_draws=3).to_frame() for level in (0.0, 1e5))
    pd.testing.assert_frame_equal(low, high, rtol=1e-4, atol=1e-5)


def test_two_modulators_and_a_gene_that_only_follows_one_are_taken(rng):
    X, m, sides = steady(0)
    X["R4"] = 2 * m
    found = varying_edges(QUICK, X, np.column_stack([m, rng.random(63)]), **sides, n_draws=1)
    assert np.isfinite(found.value).all()


# ------------------------------------------------------------------------------- p values, early stop, kept refits


def test_p_values_are_those_of_their_formulas(rng):
    observed = FoundEdges(np.array([1, 4, 7, 9]), np.array([0.3, 0.9, 0.2, 0.5]))
    dense = np.where(rng.random((7, 12)) < 0.5, rng.random((7, 12)), 0.0)
    draws = [FoundEdges(np.flatnonzero(row), row[row > 0]) for row in dense]
    wide = np.zeros(12)
    wide[observed.cell] = observed.value
    np.testing.assert_allclose(pooled_p_of_found(observed.value, draws, 12), pooled_p(wide, dense)[observed.cell])
    alone = [permutation_p(value, dense[:, cell]) for cell, value in zip(*observed, strict=True)]
    np.testing.assert_allclose(own_p(observed, draws), alone)
    X, m, sides = steady(3)
    found = varying_edges(QUICK, X, m, **sides, n_draws=7, n_exceeding=NEVER)
    np.testing.assert_allclose(found.p, [permutation_p(value, found.maxima) for value in found.value])
    assert (found.own_p <= found.p).all()
    assert (np.diff(found.value) <= 0).all()


def test_few_draws_give_no_q():
    X, m, sides = turning()
    few = varying_edges(QUICK, X, m, **sides, n_draws=1)
    assert few.to_frame()["q"].isna().all()
    assert "No q value" in few.sentence()


def test_drawing_stops_when_even_the_strongest_edge_is_chance():
    X, m, sides = steady(5)
    whole = varying_edges(QUICK, X, m, **sides, n_draws=12, n_exceeding=NEVER)
    short = varying_edges(QUICK, X, m, **sides, n_draws=12, n_exceeding=2)
    assert short.stopped_early
    assert "stopped early" in short.sentence()
    np.testing.assert_array_equal(short.maxima, whole.maxima[: short.n_refits])
    wanted = [sequential_p(value, whole.maxima, n_exceeding=2, max_draws=12).p for value in short.value]
    np.testing.assert_allclose(short.p, wanted)


def test_a_killed_run_goes_on_and_the_batch_changes_nothing(tmp_path, monkeypatch):
    X, m, sides = steady(5)
    options = {**sides, "n_draws": 6, "n_exceeding": 3}
    unbroken, made = varying_edges(QUICK, X, m, **options).to_frame(), []

    def killed(units=1):
        made.extend([1] * units)
        if len(made) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        varying_edges(QUICK, X, m, **options, shards=tmp_path, advance=killed)
    again = []
    rest = varying_edges(QUICK, X, m, **options, shards=tmp_path, advance=lambda units=1: again.extend([1] * units))
    pd.testing.assert_frame_equal(rest.to_frame(), unbroken, check_exact=True)
    assert len(list(tmp_path.glob("*.npz"))) == 1 + rest.n_refits

    def in_memory(function, jobs, *, shards, workers, advance, cluster):
        del shards, workers, advance, cluster
        return {key: function(*arguments) for key, arguments in jobs.items()}

    monkeypatch.setattr(module, "run_refits", in_memory)
    at_once = varying_edges(QUICK, X, m, **options, shards=tmp_path, workers=4).to_frame()
    pd.testing.assert_frame_equal(at_once, unbroken, check_exact=True)


def test_other_owners_are_other_refits(tmp_path):
    X, m, sides = steady(5)
    alone, owned = (
        varying_edges(QUICK, X, m, **sides, n_draws=2, groups=groups, shards=tmp_path)
        for groups in (None, np.arange(63) // 2)
    )
    np.testing.assert_array_equal(alone.value, owned.value)
    assert (alone.maxima != owned.maxima).any()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"n_draws": 0}, InputError, "n_draws"),
        ({"n_exceeding": 0}, InputError, "n_exceeding"),
        ({"groups": np.arange(63) // 8}, DesignError, "8 groups are too few"),
        ({"workers": 2}, InputError, "folder for shards"),
        ({"cluster": "local"}, InputError, "folder"),
        ({"regulators": ["nobody"]}, InputError, "nobody"),
    ],
)
def test_a_test_that_cannot_be_made_is_refused(options, error, said):
    X, m, sides = steady(0)
    with pytest.raises(error, match=said):
        varying_edges(QUICK, X, m, **(sides | {"n_draws": 2} | options))


def test_too_few_samples_for_the_courses_are_refused():
    X, _, sides = steady(0)
    with pytest.raises(DesignError, match=r"20 samples are too few.*21 or more"):
        varying_edges(QUICK, X[:20], np.arange(20.0), **sides, n_draws=1)
