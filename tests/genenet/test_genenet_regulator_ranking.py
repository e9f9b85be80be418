"""Regulators are ranked by coefficients in standard deviations, whatever their unit, and share with their like."""

import numpy as np
import pandas as pd
import pytest

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.model.stack.regulator_ranking import rank_regulators
from kotowari.studies.genenet.model.stack.stack import NetworkStack

N = 6
SAMPLES = [f"S{k}" for k in range(N)]
REGULATORS, TARGETS = ["A", "B", "C", "T1"], ["T0", "T1"]
EPS = float(np.finfo(np.float32).eps)


def stacked(dense, **options):
    entries = np.argwhere(dense)
    names = {"samples": SAMPLES, "regulators": REGULATORS, "targets": TARGETS, "modulator": None}
    return NetworkStack.from_arrays(*entries.T, dense[tuple(entries.T)], **(names | options))


@pytest.fixture
def dense(rng):
    dense = rng.normal(size=(N, len(REGULATORS), len(TARGETS))).astype(np.float32)
    dense[rng.random(dense.shape) < 0.2] = 0
    return dense


@pytest.fixture
def x(rng):
    return rng.normal(size=(N, len(REGULATORS))) * [1, 3, 0.2, 1]


def scores(table):
    return table.set_index(["target", "regulator"])["score"]


def test_scores_are_dense_arithmetic_over_the_samples_that_have_a_network(dense, x):
    fitted = np.ones((N, len(TARGETS)), dtype=bool)
    fitted[0, 0] = False
    kept = np.where(fitted[:, None, :], dense, 0)
    table = rank_regulators(stacked(kept, fitted=fitted), x, repression=0.25)
    for row in table.itertuples():
        j, k = REGULATORS.index(row.regulator), TARGETS.index(row.target)
        b = kept[fitted[:, k], j, k] * x[:, j].std()
        parts = np.maximum(b, 0).mean(), np.maximum(-b, 0).mean()
        np.testing.assert_allclose([row.activation, row.repression], parts, rtol=16 * EPS)
        np.testing.assert_allclose(row.score, parts[0] + 0.25 * parts[1], rtol=16 * EPS)
        among_all_samples = np.maximum(kept[:, j, k] * x[:, j].std(), 0).mean()
        assert k == 1 or parts[0] == 0 or not np.isclose(row.activation, among_all_samples, rtol=1e-3)


def test_targets_stand_in_the_order_of_the_stack_and_best_regulators_first(dense, x):
    table = rank_regulators(stacked(dense), x)
    assert table["target"].tolist() == sorted(table["target"])
    assert ("T1", "T1") not in scores(table).index
    for _, rows in table.groupby("target"):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert rows["score"].is_monotonic_decreasing
    part = rank_regulators(stacked(dense), x, targets=["T1"])
    pd.testing.assert_frame_equal(part, table[table["target"] == "T1"].reset_index(drop=True))


def test_the_unit_of_a_regulator_does_not_matter(dense, x):
    """The mean coefficient without its standard deviation would put the regulator in the smaller unit first."""
    unit = np.array([1.0, 1e3, 1.0, 1.0])
    rescaled = (dense / unit[None, :, None]).astype(np.float32)
    before, after = rank_regulators(stacked(dense), x), rank_regulators(stacked(rescaled), x * unit)
    assert before["regulator"].tolist() == after["regulator"].tolist()
    np.testing.assert_allclose(before["score"], after["score"], rtol=16 * EPS)
    plain = [np.abs(networks[:, :3, 0]).mean(0).argsort().tolist() for networks in (dense, rescaled)]
    assert plain[0] != plain[1]


def test_a_repressor_counts_as_much_as_it_is_told_to(x):
    dense = np.zeros((N, len(REGULATORS), len(TARGETS)), dtype=np.float32)
    dense[:, 0, 0], dense[:, 1, 0] = 1, -1
    even = x / x.std(0)
    firsts = {share: rank_regulators(stacked(dense), even, repression=share) for share in (0, 0.5, 1)}
    assert firsts[0]["score"].round(5).tolist() == [1, 0]
    assert firsts[0.5]["score"].round(5).tolist() == [1, 0.5]
    assert firsts[0.5]["repression"].round(5).tolist() == [0, 1]
    assert firsts[1]["score"].round(5).tolist() == [1, 1]


def test_equal_scores_share_the_lower_rank():
    dense = np.zeros((N, len(REGULATORS), len(TARGETS)), dtype=np.float32)
    dense[:, :3, 0] = [1, 1, 0.5]
    x = np.repeat(np.arange(N, dtype=float)[:, None], len(REGULATORS), axis=1)
    assert rank_regulators(stacked(dense), x)["rank"].tolist() == [1, 1, 3]


def test_regulators_that_move_together_are_both_found_where_the_quadratic_part_is_large(rng):
    """The adaptive net of small quadratic part keeps one of them and ranks unrelated factors above the other."""
    n = 60
    x = rng.normal(size=(n, 10))
    x[:, 1] = x[:, 0] + 0.1 * rng.normal(size=n)
    table = pd.DataFrame(x, columns=[f"R{k}" for k in range(10)]).assign(T=x[:, 0] + 0.5 * rng.normal(size=n))
    modulator = rng.normal(size=n)

    def ranking(**options):
        profiler = NetworkProfiler(kernel="knn", n_nodes=4, n_lambdas=10, **options)
        profiler.fit(table, modulator, regulators=table.columns[:10], targets=["T"])
        return rank_regulators(profiler.networks(), table)

    grouped = ranking(ridges=(16.0,), max_rounds=1, effective_samples=0.25)
    assert set(grouped["regulator"][:2]) == {"R0", "R1"}
    shares = {}
    for name, result in (("grouped", grouped), ("default", ranking())):
        of = scores(result).droplevel(0)
        shares[name] = of.get("R1", 0.0) / of["R0"]
    assert shares["grouped"] > 0.8
    assert shares["default"] < 0.5


def test_a_named_table_in_any_order_serves_as_the_array_does(dense, x):
    table = pd.DataFrame(x, index=SAMPLES, columns=REGULATORS).sample(frac=1, random_state=0).assign(other=1.0)
    pd.testing.assert_frame_equal(rank_regulators(stacked(dense), table), rank_regulators(stacked(dense), x))


def test_bad_input_is_refused_in_a_sentence(dense, x):
    stack = stacked(dense)
    table = pd.DataFrame(x, index=SAMPLES, columns=REGULATORS)
    with pytest.raises(InputError, match=r"the table lacks 1 regulators \(B\)"):
        rank_regulators(stack, table.drop(columns="B"))
    with pytest.raises(InputError, match=r"the table lacks 1 samples \(S2\)"):
        rank_regulators(stack, table.drop(index="S2"))
    with pytest.raises(InputError, match="the expression of C in S1 is missing"):
        rank_regulators(stack, table.mask((table.index == "S1")[:, None] & (table.columns == "C")))
    with pytest.raises(ShapeError, match="rank_regulators"):
        rank_regulators(stack, x[:, :2])
    with pytest.raises(InputError, match="T9"):
        rank_regulators(stack, x, targets=["T9"])
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="repression must be a number from 0 to 1"):
            rank_regulators(stack, x, repression=wrong)
    with pytest.raises(InputError, match="are 'regulatory effect'"):
        rank_regulators(stack.regulatory_effect(x), x)


def test_networks_without_edges_give_an_empty_table(x):
    empty = rank_regulators(stacked(np.zeros((N, len(REGULATORS), len(TARGETS)), dtype=np.float32)), x)
    assert list(empty.columns) == ["target", "regulator", "rank", "score", "activation", "repression"]
    assert empty.empty
