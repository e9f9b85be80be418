"""Uncertainty of edges: selection on half samples, and bootstrap intervals."""

from threading import Lock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.genenet.model.edges import bootstrap as bootstrap_module
from kotowari.studies.genenet.model.edges import selection_frequency as selection_module
from kotowari.studies.genenet.model.edges.bootstrap import bootstrap_edges
from kotowari.studies.genenet.model.edges.refits import RefitTable
from kotowari.studies.genenet.model.edges.selection_frequency import complementary_halves, selection_frequency
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.phantom import simulate_networks
from kotowari.trust.scores import auroc
from kotowari.trust.stability import selection_stability

QUICK = NetworkProfiler(n_lambdas=6, max_rounds=1, n_nodes=6)
PLAIN = NetworkProfiler(n_lambdas=6, max_rounds=1)


@pytest.fixture(scope="module")
def phantom():
    return simulate_networks(
        n_samples=90, n_regulators=20, n_targets=6, n_active=1, n_relays=0, noise=0.3, random_state=2
    )


def ends(phantom):
    return {"regulators": phantom.regulators, "targets": phantom.targets}


def unrelated(seed, n=60, drift=0.0):
    """Ten regulators and two targets that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    m = np.sort(np.arange(n) % 10) / 9  # few places are quick
    genes = [f"R{k}" for k in range(10)] + ["T0", "T1"]
    X = pd.DataFrame(rng.normal(size=(n, 12)) + drift * np.outer(m, rng.normal(size=12)), columns=genes)
    return X, m, {"regulators": genes[:10], "targets": genes[10:]}


def pair(rng, n=80, slope=1.0, noise=1.0):
    """One regulator, one target."""
    m = rng.random(n)
    X = pd.DataFrame({"R": rng.normal(size=n)})
    X["T"] = slope * X["R"] + noise * rng.normal(size=n)
    return X, m, {"regulators": ["R"], "targets": ["T"]}


def same(a, b):
    pd.testing.assert_frame_equal(a.to_frame(), b.to_frame(), check_exact=True)


# ------------------------------------------------------------------------------------------------ selection frequency


def test_the_bound_holds_where_nothing_is_related():
    """Mean number of stable edges over tables without any, against the mean bound of least assumptions but one."""
    stable, worst = [], []
    for seed in range(6):
        X, m, sides = unrelated(seed)
        found = selection_frequency(PLAIN, X, m, **sides, n_pairs=6, n_top=4, random_state=seed)
        assert found.mean_selected <= 4
        bound = found.false_selections(0.75)
        stable.append(bound.n_stable)
        worst.append(bound.unimodal)
    assert np.mean(stable) <= np.mean(worst)


def test_halves_that_share_patients_make_chance_look_stable():
    together, torn = [], []
    for seed in range(3):
        X, m, sides = unrelated(seed, n=30)
        twice, axis, owner = pd.concat([X, X + 1e-3], ignore_index=True), np.tile(m, 2), np.tile(np.arange(30), 2)
        options = {**sides, "n_pairs": 6, "n_top": 4, "random_state": seed}
        together.append(selection_frequency(PLAIN, twice, axis, groups=owner, **options).simultaneous.sum())
        torn.append(selection_frequency(PLAIN, twice, axis, **options).simultaneous.sum())
    assert np.mean(torn) > 1.5 * np.mean(together)


def test_planted_edges_are_selected_again_and_again(phantom):
    found = selection_frequency(QUICK, phantom.X, phantom.modulator, **ends(phantom), n_pairs=6, n_top=6)
    planted = set(zip(phantom.shapes["regulator"], phantom.shapes["target"], strict=True))
    table = found.to_frame().set_index(["regulator", "target"])["frequency"]
    everywhere = [(r, t) for r in phantom.regulators for t in phantom.targets]
    scores = np.array([table.get(edge, 0.0) for edge in everywhere])
    assert auroc(np.array([int(edge in planted) for edge in everywhere]), np.column_stack([-scores, scores])) > 0.95
    assert found.n_possible == 120
    assert (found.frequency[:-1] >= found.frequency[1:]).all()
    assert (found.simultaneous <= found.frequency).all()
    broken = phantom.X.copy()
    broken[list(phantom.targets)] = broken[list(phantom.targets)].to_numpy()[::-1]
    chance = selection_frequency(QUICK, broken, phantom.modulator, **ends(phantom), n_pairs=6, n_top=6)
    assert chance.false_selections(0.75).n_stable < found.false_selections(0.75).n_stable


def test_frequency_and_stability_are_those_of_the_selections(phantom):
    found = selection_frequency(QUICK, phantom.X, phantom.modulator, **ends(phantom), n_pairs=4, n_top=5)
    np.testing.assert_allclose(found.frequency, found.selected.mean(0))
    np.testing.assert_allclose(found.simultaneous, (found.selected[::2] & found.selected[1::2]).mean(0))
    assert found.mean_selected == 5
    every = np.zeros((8, 120), dtype=bool)
    every[:, : len(found.frequency)] = found.selected
    assert found.stability() == selection_stability(every)


def test_what_selected_means_can_be_told_apart(phantom):
    def chosen(**options):
        return selection_frequency(QUICK, phantom.X, phantom.modulator, **ends(phantom), n_pairs=2, **options)

    anywhere, half = chosen(least_share=0.0), chosen(least_share=0.5)
    assert anywhere.mean_selected > half.mean_selected > 0
    assert "50 % of the fitted samples" in half.rule
    changing = chosen(statistic="change")
    assert 0 < changing.mean_selected <= anywhere.mean_selected
    tops = [chosen(statistic=name, n_top=15) for name in ("edge", "change")]
    assert not tops[0].to_frame().equals(tops[1].to_frame())


def test_no_edge_at_all_is_an_answer(phantom):
    table = RefitTable.of(QUICK, phantom.X, phantom.modulator, phantom.regulators, phantom.targets)
    rule = selection_module._Rule("edge", None, 0.1, 2)
    found = selection_module._counted(table, [np.empty(0, dtype=np.int64)] * 4, rule)
    assert found.to_frame().empty
    assert found.mean_selected == found.false_selections(0.75).worst_case == found.false_selections(0.75).concave == 0
    assert np.isnan(found.stability().index)


@given(st.integers(0, 10_000), st.integers(12, 41), st.booleans())
def test_halves_are_disjoint_and_cover_the_modulator_alike(seed, n_units, several):
    rng = np.random.default_rng(seed)
    units = np.sort(rng.permutation(np.r_[np.arange(n_units), rng.integers(n_units, size=n_units * several)]))
    modulator = rng.random(n_units)[units]
    first, second = complementary_halves(modulator, units, rng)
    owners = [np.unique(units[rows]) for rows in (first, second)]
    assert len(owners[0]) == len(owners[1]) == n_units // 2
    assert not np.intersect1d(*owners).size
    assert len(first) + len(second) == np.isin(units, np.concatenate(owners)).sum()
    places = [np.sort(modulator[np.searchsorted(units, own)]) for own in owners]
    inside = (places[0][1:] >= places[1][:-1]) & (places[1][1:] >= places[0][:-1])
    assert inside.all()  # one of each couple of neighbours
    uneven = np.sort(modulator)[: n_units // 2], np.sort(modulator)[-(n_units // 2) :]
    assert not (uneven[0][1:] >= uneven[1][:-1]).all()


def test_a_gene_that_is_constant_in_a_half_has_no_edge_there():
    X, m, sides = unrelated(1, n=40)
    X["R3"], X["T1"] = 0.0, 2.0
    X.loc[[4, 9], "R3"], X.loc[30, "T1"] = 1.0, 5.0
    found = selection_frequency(QUICK, X, m, **sides, n_pairs=3, least_share=0.0)
    assert found.n_possible == 20
    bootstrapped = bootstrap_edges(QUICK, X, m, **sides, n_bootstraps=12, edges=[("R3", "T0"), ("R0", "T1")])
    assert bootstrapped.n_fitted[0].min() >= 10  # none at places beyond the samples drawn
    assert 0 < bootstrapped.n_fitted[1].max() < 12


def test_penalty_factors_follow_the_genes_that_are_left(rng):
    X, m, sides = unrelated(1, n=40)
    X["T1"] = X["R0"] + X["R5"] + 0.1 * rng.normal(size=40)
    X["R3"] = 0.0
    X.loc[4, "R3"] = 1.0
    factors = np.ones((2, 10))
    factors[1, 5] = np.inf
    barred = NetworkProfiler(n_lambdas=8, max_rounds=1, n_nodes=6, penalty_factors=factors)
    found = selection_frequency(barred, X, m, **sides, n_pairs=3).to_frame()
    assert ("R0", "T1") in set(zip(found["regulator"], found["target"], strict=True))
    assert ("R5", "T1") not in set(zip(found["regulator"], found["target"], strict=True))


# -------------------------------------------------------------------------------------------------- bootstrap intervals


def test_a_single_edge_has_the_interval_of_least_squares(rng):
    """One regulator, a kernel that sees all samples alike, hardly any penalty: the textbook standard error."""
    X, m, sides = pair(rng)
    profiler = NetworkProfiler(
        bandwidth=1e6, n_lambdas=5, lambda_ratio=1e-3, ridges=(0.0,), criterion="bic", max_rounds=1
    )
    found = bootstrap_edges(profiler, X, m, **sides, places=[0.5], n_bootstraps=150)
    design = np.column_stack([np.ones(80), X["R"]])
    solution, residual, *_ = np.linalg.lstsq(design, X["T"].to_numpy(), rcond=None)
    error = np.sqrt(residual[0] / 78 * np.linalg.inv(design.T @ design)[1, 1])
    assert found.estimate[0, 0] == pytest.approx(solution[1], rel=0.01)
    width = found.percentile_high[0, 0] - found.percentile_low[0, 0]
    assert width == pytest.approx(2 * 1.96 * error, rel=0.25)
    band = found.band_high[0, 0] - found.band_low[0, 0]
    assert band == pytest.approx(width, rel=0.25)  # one place: the band is an interval
    np.testing.assert_allclose(found.basic_low, 2 * found.estimate - found.percentile_high)
    assert found.share_nonzero[0] == 1.0


def test_patients_drawn_as_single_samples_make_intervals_too_narrow(rng):
    X, m, sides = pair(rng, n=40)
    fourfold, axis = pd.concat([X] * 4, ignore_index=True), np.tile(m, 4)
    profiler = NetworkProfiler(bandwidth=1e6, n_lambdas=5, lambda_ratio=1e-2, max_rounds=1)
    widths = []
    for groups in (np.tile(np.arange(40), 4), None):
        found = bootstrap_edges(profiler, fourfold, axis, **sides, places=[0.5], n_bootstraps=50, groups=groups)
        widths.append(found.percentile_high[0, 0] - found.percentile_low[0, 0])
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.3)


def test_the_band_holds_a_planted_course_and_is_wider_than_one_interval(rng):
    n = 90
    m = np.sort(rng.random(n))
    X = pd.DataFrame(rng.normal(size=(n, 5)), columns=[f"R{k}" for k in range(5)])
    X["T"] = (2 + m) * X["R0"] + 0.7 * rng.normal(size=n)
    profiler = NetworkProfiler(bandwidth=0.1, n_lambdas=8, lambda_ratio=0.01, max_rounds=1)
    found = bootstrap_edges(profiler, X, m, regulators=list(X)[:5], targets=["T"], n_bootstraps=50)
    row = found.regulator.tolist().index("R0")
    truth = 2 + found.places[:, 0]
    assert ((found.band_low[row] <= truth) & (truth <= found.band_high[row])).all()
    assert (found.band_high[row] - found.band_low[row] > found.percentile_high[row] - found.percentile_low[row]).all()
    assert not ((found.band_low[row] <= 1) & (found.band_high[row] >= 1)).any()
    assert found.share_nonzero[row] == 1.0
    assert np.delete(found.share_nonzero, row).mean() < 1.0
    assert len(found.to_frame()) == found.estimate.size


def test_nothing_is_told_where_bootstraps_do_not_reach(rng):
    X, m, sides = pair(rng)
    found = bootstrap_edges(QUICK, X, m, **sides, places=[m.min(), 0.5, m.max()], n_bootstraps=30)
    assert found.n_fitted[0, 1] == 30
    assert (found.n_fitted[0, [0, 2]] < 24).all()
    assert (found.n_fitted[0, [0, 2]] > 5).all()
    assert np.isfinite(found.estimate).all()
    for name in ("percentile_low", "basic_high", "band_low"):
        np.testing.assert_array_equal(np.isnan(getattr(found, name)[0]), [True, False, True])
    lax = bootstrap_edges(QUICK, X, m, **sides, places=[m.min(), 0.5], n_bootstraps=30, least_fitted=0.2)
    assert np.isfinite(lax.percentile_low).all()


def test_estimates_are_the_profilers_and_nodes_do_not_change_them(phantom):
    profiler = NetworkProfiler(n_lambdas=8, max_rounds=1)
    found = bootstrap_edges(profiler, phantom.X, phantom.modulator, **ends(phantom), n_bootstraps=2)
    fitted = profiler.fit(phantom.X, phantom.modulator, **ends(phantom))
    dense = fitted.coefficients(found.places[:, 0]).to_dense()
    rows = [phantom.regulators.index(name) for name in found.regulator]
    columns = [phantom.targets.index(name) for name in found.target]
    np.testing.assert_array_equal(found.estimate, dense[:, rows, columns].T)
    assert len(found.regulator) == fitted.networks().n_edges
    table = RefitTable.of(profiler, phantom.X, phantom.modulator, phantom.regulators, phantom.targets)
    rows = np.arange(90)
    slow, quick = (bootstrap_module._coefficients(table, rows, found.places, whole) for whole in (True, False))
    np.testing.assert_array_equal(slow["coefficient"], quick["coefficient"])


def test_only_the_edges_asked_for_are_told(phantom):
    wanted = [("R003", "T002"), ("R001", "T000")]
    found = bootstrap_edges(QUICK, phantom.X, phantom.modulator, **ends(phantom), edges=wanted, n_bootstraps=2)
    assert list(zip(found.regulator, found.target, strict=True)) == [wanted[1], wanted[0]]
    axes = np.column_stack([phantom.modulator, phantom.nuisance])
    two = bootstrap_edges(
        NetworkProfiler(n_lambdas=5, max_rounds=1), phantom.X, axes, **ends(phantom), edges=wanted, n_bootstraps=2
    )
    assert {"modulator_0", "modulator_1"} <= set(two.to_frame())


# ------------------------------------------------------------------------------------------- killed runs, and bad input


def test_a_refit_takes_neither_folder_nor_cluster_nor_threads(tmp_path):
    """A cluster object cannot be copied; nor may it give refits another name."""
    X, m, sides = unrelated(0)
    bound = NetworkProfiler(n_lambdas=6, max_rounds=1, folder=tmp_path, n_jobs=2, cluster=Lock(), verbose=True)
    tables = [RefitTable.of(one, X, m, sides["regulators"], sides["targets"]) for one in (bound, PLAIN)]
    assert tables[0].key("refit", 1) == tables[1].key("refit", 1) != tables[1].key("refit", 2)
    tables[0].fit(X.to_numpy(), m[:, None])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["selection", "bootstrap"])
def test_a_killed_run_goes_on_and_ends_alike(name, phantom, tmp_path, monkeypatch):
    def run(**options):
        if name == "selection":
            return selection_frequency(QUICK, phantom.X, phantom.modulator, **ends(phantom), n_pairs=3, **options)
        return bootstrap_edges(QUICK, phantom.X, phantom.modulator, **ends(phantom), n_bootstraps=5, **options)

    unbroken, made = run(), []

    def killed(units=1):
        made.extend([1] * units)
        if len(made) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(shards=tmp_path, advance=killed)
    module, job = (selection_module, "_select") if name == "selection" else (bootstrap_module, "_coefficients")
    own, refitted = getattr(module, job), []
    monkeypatch.setattr(module, job, lambda *arguments: refitted.append(1) or own(*arguments))
    same(run(shards=tmp_path), unbroken)
    assert len(refitted) == 3
    same(run(shards=tmp_path, random_state=1), run(random_state=1))


def test_shards_of_another_table_are_not_taken(tmp_path):
    X, m, sides = unrelated(0)
    selection_frequency(PLAIN, X, m, **sides, n_pairs=2, shards=tmp_path)
    other = X + 0.5 * X[["R0"]].to_numpy() * (np.arange(12) == 10)
    options = {**sides, "n_pairs": 2}
    same(
        selection_frequency(PLAIN, other, m, **options, shards=tmp_path),
        selection_frequency(PLAIN, other, m, **options),
    )
    wider = NetworkProfiler(n_lambdas=6, max_rounds=1, effective_samples=20)
    same(selection_frequency(wider, X, m, **options, shards=tmp_path), selection_frequency(wider, X, m, **options))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"n_pairs": 0}, InputError, "n_pairs"),
        ({"statistic": "size"}, InputError, "edge or change"),
        ({"workers": 2}, InputError, "folder for shards"),
        ({"groups": np.arange(60) // 6}, DesignError, "10 samples or groups"),
        ({"groups": np.arange(59)}, ShapeError, "groups"),
        ({"groups": [None] * 60}, InputError, "row 0 is missing"),
        ({"targets": ["T9"]}, InputError, "T9"),
    ],
)
def test_a_selection_that_cannot_be_made_is_refused(options, error, said):
    X, m, sides = unrelated(0)
    with pytest.raises(error, match=said):
        selection_frequency(PLAIN, X, m, **(sides | options))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"n_bootstraps": 1}, InputError, "n_bootstraps"),
        ({"edges": [("R0", "nobody")]}, InputError, "'nobody' is not among the targets"),
        ({"edges": []}, InputError, "one pair"),
        ({"edges": [("R0", "R0")]}, InputError, "no regulator of itself"),
        ({"places": [2.0]}, InputError, "nothing is extrapolated"),
        ({"places": np.ones((3, 2))}, ShapeError, "places"),
        ({"groups": np.arange(60) % 5}, DesignError, "5 groups"),
    ],
)
def test_a_bootstrap_that_cannot_be_made_is_refused(options, error, said):
    X, m, sides = unrelated(0)
    with pytest.raises(error, match=said):
        bootstrap_edges(PLAIN, X, m, **(sides | {"n_bootstraps": 3} | options))


def test_cross_validation_within_a_bootstrap_is_warned_of():
    X, m, sides = unrelated(0)
    with pytest.warns(UserWarning, match="copies of a drawn sample"):
        bootstrap_edges(
            NetworkProfiler(n_lambdas=3, criterion="cv", n_folds=2, n_nodes=2), X, m, **sides, n_bootstraps=2
        )
