"""Comparators equal what their papers define, and say so where the paper's own null is wrong."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import ElasticNet

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.genenet import baselines
from kotowari.studies.genenet.baselines import (
    ModulatorSpline,
    global_elastic_net,
    kernel_correlation,
    lioness,
    spline_interaction_lasso,
    ssn,
    ssn_p,
)
from kotowari.studies.genenet.baselines.pairs import gene_pairs, stack_of

N = 40
REGULATORS, TARGETS = ["R0", "R1", "R2", "T0"], ["T0", "T1", "T2"]


@pytest.fixture
def table(rng):
    names = ["R0", "R1", "R2", "T0", "T1", "T2"]
    values = rng.normal(size=(N, 3))
    targets = values @ rng.normal(size=(3, 3)) + rng.normal(size=(N, 3))
    return pd.DataFrame(8 + np.hstack([values, targets]), index=[f"S{k}" for k in range(N)], columns=names)


@pytest.fixture
def modulator(rng):
    return rng.random(N)


def pearson(table):
    return table.corr().loc[REGULATORS, TARGETS].to_numpy()


OWN = np.array(REGULATORS)[:, None] == np.array(TARGETS)


# -- LIONESS ------------------------------------------------------------------------------------------------------


def test_lioness_is_the_difference_of_two_refits(table):
    found = lioness(table, REGULATORS, TARGETS).to_dense()
    whole = pearson(table)
    for k in (0, 7, N - 1):
        expected = N * whole - (N - 1) * pearson(table.drop(index=f"S{k}"))
        np.testing.assert_allclose(found[k], np.where(OWN, 0, expected), rtol=1e-5, atol=1e-6)


def test_lioness_networks_average_to_that_of_all_by_its_identity(table):
    mean = lioness(table, REGULATORS, TARGETS).to_dense().astype(np.float64).mean(0)
    whole = pearson(table)
    without = np.mean([pearson(table.drop(index=name)) for name in table.index], axis=0)
    identity = whole + (N - 1) * (whole - without)  # mean over q of the definition
    np.testing.assert_allclose(mean, np.where(OWN, 0, identity), atol=2e-6)
    # the average of leave-one-out correlations is their value but for O(1/n^2), so the mean is nearly the whole
    assert np.abs(mean - np.where(OWN, 0, whole)).max() < 2 / N
    wrong = np.where(OWN, 0, without)
    assert np.abs(mean - wrong).max() > 1e-4


def test_a_gene_that_varies_in_one_sample_only_is_named(table):
    table["R1"] = np.where(np.arange(N) == 3, 9.0, 8.0)
    with pytest.raises(DesignError, match=r"1 genes vary in one sample only \(R1\)"):
        lioness(table, REGULATORS, TARGETS)


# -- SSN ----------------------------------------------------------------------------------------------------------


def test_ssn_is_the_change_of_a_refit_with_one_more_sample(table):
    reference, one = table.iloc[:30], table.iloc[33:34]
    found = ssn(one, REGULATORS, TARGETS, reference=reference).to_dense()[0]
    before = pearson(reference)
    change = pearson(pd.concat([reference, one])) - before
    expected = change[~OWN] / ((1 - before[~OWN] ** 2) / 29)
    np.testing.assert_allclose(found[~OWN], expected, rtol=1e-5)


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_ssn_z_has_unit_variance_but_the_tails_of_a_product(rng, correlation):
    n, covariance = 400, [[1, correlation], [correlation, 1]]
    names = ["A", "B"]
    reference = pd.DataFrame(rng.multivariate_normal([5, 5], covariance, n), columns=names).rename("N{}".format)
    samples = pd.DataFrame(rng.multivariate_normal([5, 5], covariance, 8000), columns=names)
    z = ssn(samples, ["A"], ["B"], reference=reference).entry_value
    assert abs(z.mean()) < 0.1
    assert 0.85 < z.std() < 1.15
    assert stats.kstest(ssn_p(z, "product"), "uniform").statistic < 0.04
    assert stats.kstest(ssn_p(z, "normal"), "uniform").statistic > 0.08
    assert 0.022 < (ssn_p(z, "normal") < 0.01).mean() < 0.045  # three times the nominal rate; derived: 0.032
    assert 0.005 < (ssn_p(z, "product") < 0.01).mean() < 0.017


def test_product_p_values_are_those_of_two_normals(rng):
    product = rng.normal(size=200_000) * rng.normal(size=200_000)
    for level in (0.5, 1.0, 2.0, 4.0):
        assert ssn_p(level, "product") == pytest.approx((np.abs(product) > level).mean(), abs=0.005)


def test_ssn_keeps_the_edges_below_p(table):
    whole = ssn(table.iloc[30:], REGULATORS, TARGETS, reference=table.iloc[:30])
    cut = ssn(table.iloc[30:], REGULATORS, TARGETS, reference=table.iloc[:30], p=0.2)
    assert 0 < cut.n_entries < whole.n_entries
    assert (ssn_p(cut.entry_value) <= 0.2).all()
    assert cut.n_entries == (ssn_p(whole.entry_value) <= 0.2).sum()
    assert "p <= 0.2" in cut.description
    with pytest.raises(InputError, match="10 samples stand in the reference too"):
        ssn(table.iloc[30:], reference=table)
    with pytest.raises(InputError, match="null must be one of normal, product"):
        ssn(table.iloc[30:], reference=table.iloc[:30], null="t")


# -- one net, splines, kernels ------------------------------------------------------------------------------------


def test_the_global_net_is_scikit_learns_on_the_raw_scale(table):
    stack = global_elastic_net(table, REGULATORS, TARGETS)
    assert len(np.unique(stack.values.toarray(), axis=0)) == 1
    x = table[REGULATORS].to_numpy()
    for k, name in enumerate(TARGETS):
        coefficient = stack.network("S0").toarray()[:, k].astype(np.float64)
        others = [j for j, gene in enumerate(REGULATORS) if gene != name]
        assert coefficient[OWN[:, k]].sum() == 0
        fitted = stack.intercepts[0, k] + x @ coefficient
        assert fitted.mean() == pytest.approx(table[name].mean(), abs=1e-4)
        # the optimality conditions, at the one lambda that the active columns agree on
        scaled = (x[:, others] - x[:, others].mean(0)) / x[:, others].std(0)
        slope = scaled.T @ (table[name].to_numpy() - fitted) / N
        b = coefficient[others] * x[:, others].std(0)
        active = b != 0
        lambdas = (slope[active] / (0.9 * np.sign(b[active]) + 0.1 * b[active])).round(3)
        assert np.ptp(lambdas) <= 0.003
        theirs = ElasticNet(alpha=lambdas.mean(), l1_ratio=0.9).fit(scaled, table[name])
        np.testing.assert_allclose(theirs.coef_, b, atol=5e-3)


def test_the_spline_lasso_follows_a_coefficient_that_changes(rng):
    n = 300
    m, x = rng.random(n), rng.normal(size=(n, 4))
    beta = np.sin(2 * np.pi * m)
    table = pd.DataFrame(x, columns=[f"R{k}" for k in range(4)])
    table["T"] = 5 * m + beta * x[:, 0] + 0.8 * x[:, 1] + 0.2 * rng.normal(size=n)
    stack = spline_interaction_lasso(table, m, [f"R{k}" for k in range(4)], ["T"])
    found = stack.to_dense()[:, :, 0]
    assert np.sqrt(np.mean((found[:, 0] - beta) ** 2)) < 0.12
    assert np.sqrt(np.mean((found[:, 1] - 0.8) ** 2)) < 0.12
    assert np.abs(found[:, 2:]).mean() < 0.06
    assert np.sqrt(np.mean((global_elastic_net(table, ["R0"], ["T"]).to_dense()[:, 0, 0] - beta) ** 2)) > 0.5


def test_kernel_correlation_with_a_wide_kernel_is_pearson(table, modulator):
    wide = kernel_correlation(table, modulator, REGULATORS, TARGETS, effective_size=N - 1e-9)
    np.testing.assert_allclose(wide.to_dense(), np.tile(np.where(OWN, 0, pearson(table)), (N, 1, 1)), atol=1e-5)
    narrow = kernel_correlation(table, modulator, REGULATORS, TARGETS, effective_size=10)
    assert np.abs(narrow.to_dense() - wide.to_dense()).max() > 0.1


def test_kernel_correlation_of_one_pair_is_the_weighted_one_of_numpy(table, modulator):
    stack = kernel_correlation(table, modulator, ["R0"], ["T1"], effective_size=12)
    squares = (modulator[:, None] - modulator) ** 2
    low, high = 1e-6, 1e3
    for _ in range(100):  # the width at which the median effective size is 12, found apart
        h = np.sqrt(low * high)
        w = np.exp(-squares / h)
        low, high = (low, h) if np.median(w.sum(1) ** 2 / (w**2).sum(1)) >= 12 else (h, high)
    for row in (0, 11):
        cov = np.cov(table["R0"], table["T1"], aweights=w[row])
        assert stack.to_dense()[row, 0, 0] == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]), abs=1e-6)


def test_kernel_correlation_keeps_the_edges_below_p(table, modulator):
    cut = kernel_correlation(table, modulator, REGULATORS, TARGETS, p=0.05)
    whole = kernel_correlation(table, modulator, REGULATORS, TARGETS)
    assert 0 < cut.n_entries < whole.n_entries
    assert "p <= 0.05" in cut.description
    with pytest.raises(InputError, match="effective_size must lie between 4 and the 40 samples"):
        kernel_correlation(table, modulator, effective_size=100)
    with pytest.raises(ShapeError, match="modulator must have shape"):
        kernel_correlation(table, modulator[1:])


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_splines_of_the_modulator_hold_every_straight_line(rng, scale):
    m = scale * rng.normal(size=(50, 2))
    basis = ModulatorSpline(n_knots=5).fit(m)
    far = scale * 3 * rng.normal(size=(20, 2))
    line, there = (1 + 2 * part[:, 0] - part[:, 1] + part[:, 0] * part[:, 1] / scale for part in (m, far))
    weights = np.linalg.lstsq(basis.transform(m), line, rcond=None)[0]
    np.testing.assert_allclose(basis.transform(far) @ weights, there, rtol=1e-6, atol=1e-6 * np.abs(there).max())
    np.testing.assert_allclose(basis.transform(m)[:, :7].sum(1), 1)


def test_splines_of_tied_and_constant_modulators():
    tied = np.repeat([0.0, 0.0, 0.0, 1.0, 2.0], 6)[:, None]
    assert np.isfinite(ModulatorSpline().fit_transform(tied)).all()
    with pytest.raises(DesignError, match="The modulator is 2 in every sample"):
        ModulatorSpline().fit(np.full((9, 1), 2.0))
    with pytest.raises(InputError, match="needs 2 knots"):
        ModulatorSpline(n_knots=1).fit(tied)


# -- what all share -----------------------------------------------------------------------------------------------


def normal_tissue(table):
    return (table.ffill() + np.sin(np.arange(table.size)).reshape(table.shape)).rename("N{}".format)


CASES = {
    "lioness": lambda table, m, **cut: lioness(table, modulator=m, **cut),
    "ssn": lambda table, m, **cut: ssn(table, reference=normal_tissue(table), modulator=m, **cut),
    "global_elastic_net": lambda table, m: global_elastic_net(table, modulator=m),
    "spline_interaction_lasso": spline_interaction_lasso,
    "kernel_correlation": kernel_correlation,
}


def test_every_comparator_has_a_case():
    assert set(CASES) == set(baselines.__all__) - {"ModulatorSpline", "ssn_p"}


@pytest.mark.parametrize("estimate", CASES.values(), ids=CASES)
def test_every_comparator_gives_the_same_bytes_twice_and_no_edge_to_itself(estimate, table, modulator):
    first, second = estimate(table, modulator), estimate(table, modulator)
    np.testing.assert_array_equal(first.to_dense(), second.to_dense())
    assert first.samples == tuple(table.index)
    assert not first.to_dense()[:, np.arange(6), np.arange(6)].any()
    assert first.description
    np.testing.assert_array_equal(first.modulator, modulator)


@pytest.mark.parametrize("name", ["lioness", "ssn", "kernel_correlation"])
def test_top_keeps_the_largest_of_every_sample(name, table, modulator):
    whole = np.abs(CASES[name](table, modulator).to_dense()).reshape(N, -1)
    kept = np.abs(CASES[name](table, modulator, top=5).to_dense()).reshape(N, -1)
    np.testing.assert_array_equal((kept > 0).sum(1), 5)
    np.testing.assert_array_equal(np.sort(kept, axis=1)[:, -5:], np.sort(whole, axis=1)[:, -5:])


@pytest.mark.parametrize("estimate", CASES.values(), ids=CASES)
def test_tables_that_cannot_be_used_are_refused(estimate, table, modulator):
    with pytest.raises(InputError, match=r"R1 of sample S3 is missing"):
        estimate(table.mask((table.index == "S3")[:, None] & (table.columns == "R1")), modulator)
    if estimate is not CASES["ssn"]:
        with pytest.raises(InputError, match=r"1 genes are constant \(T1\)"):
            estimate(table.assign(T1=8.0), modulator)


def test_names_that_are_not_there_are_told(table):
    with pytest.raises(InputError, match=r"lioness: 1 regulators are not in the table \(GATA3\)"):
        lioness(table, ["GATA3"])
    with pytest.raises(DesignError, match="3 samples are too few"):
        lioness(table.iloc[:3])
    with pytest.raises(InputError, match="top must be 1 or more"):
        lioness(table, top=0)


def test_a_stack_that_would_not_fit_is_refused_before_it_is_made(table, monkeypatch):
    pairs = gene_pairs("x", table, None, None)
    monkeypatch.setattr("kotowari.formats.memory._half_of_memory", lambda: 1e3)
    with pytest.raises(InputError, match=r"30 edges in each of 40 samples need .* Keep fewer by top"):
        stack_of(pairs, iter(()), modulator=None, top=None, quantity="x", description="y")
