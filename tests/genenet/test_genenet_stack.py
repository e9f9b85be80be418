"""A stack of networks keeps every edge, gives it back in every form, and adds it up as dense arithmetic would."""

import json
from pathlib import Path

import networkx
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kotowari.core.errors import InputError, RunFolderError, ShapeError
from kotowari.formats.cytoscape import read_cytoscape
from kotowari.formats.h5ad import read_h5ad
from kotowari.studies.genenet.model.stack.stack import NetworkStack
from kotowari.trust.permutation import benjamini_hochberg

N, R, T = 30, 8, 7
EPS = float(np.finfo(np.float32).eps)
NAMES = {
    "samples": [f"S{k}" for k in range(N)],
    "regulators": [f"R{k}" for k in range(R - 3)] + ["T0", "T1", "T2"],  # three genes are both
    "targets": [f"T{k}" for k in range(T)],
}


def dense_networks(rng, share=0.4):
    dense = rng.normal(size=(N, R, T)).astype(np.float32)
    dense[rng.random(dense.shape) > share] = 0
    dense[:, 0, 0] = 0  # one pair that no sample has
    return dense


def stacked(dense, rng=None, **options):
    entries = np.argwhere(dense)
    if rng is not None:
        entries = rng.permutation(entries)
    values = dense[tuple(entries.T)]
    return NetworkStack.from_arrays(*entries.T, values, **(NAMES | {"modulator": np.linspace(0, 1, N)} | options))


@pytest.fixture
def dense(rng):
    return dense_networks(rng)


@pytest.fixture
def stack(dense):
    return stacked(dense)


def own_pairs():
    return np.array(NAMES["regulators"])[:, None] == np.array(NAMES["targets"])


# -- what goes in comes out ---------------------------------------------------------------------------------------


def test_entries_in_any_order_give_the_same_stack(dense, rng):
    first, other = stacked(dense), stacked(dense, rng)
    for name in ("edge_regulator", "edge_target", "starts", "entry_edge", "entry_value"):
        np.testing.assert_array_equal(getattr(first, name), getattr(other, name))
    np.testing.assert_array_equal(first.to_dense(), dense)
    assert first.n_edges == (dense != 0).any(0).sum()
    assert first.n_entries == np.count_nonzero(dense)


def test_sorting_and_a_table_of_cells_number_edges_alike(dense, monkeypatch):
    expected = stacked(dense)
    monkeypatch.setattr("kotowari.studies.genenet.model.stack.arrays._CELLS_AN_ENTRY", 0)
    np.testing.assert_array_equal(stacked(dense).entry_edge, expected.entry_edge)


def test_zeros_are_no_edges():
    stack = NetworkStack.from_arrays([0, 0], [0, 1], [0, 0], [0.0, 2.0], **(NAMES | {"modulator": None}))
    assert (stack.n_edges, stack.n_entries) == (1, 1)


def test_a_stack_cannot_be_changed(stack):
    with pytest.raises(AttributeError):
        stack.samples = ()
    with pytest.raises(ValueError, match="read-only"):
        stack.entry_value[0] = 1


def test_memory_is_eight_bytes_an_entry(stack):
    assert stack.n_bytes == 8 * (stack.n_entries + stack.n_edges) + 8 * (N + 1) + 8 * N


def test_single_networks_and_the_edge_list_agree_with_the_dense_array(stack, dense):
    for k, name in enumerate(NAMES["samples"]):
        np.testing.assert_array_equal(stack.network(name).toarray(), dense[k])
    edges = stack.edge_list()
    np.testing.assert_array_equal(edges.values.toarray(), dense[:, edges.regulator, edges.target])


def test_blocks_of_targets_join_to_the_whole(stack, dense):
    blocks = [stack.select(targets=NAMES["targets"][begin:end]) for begin, end in ((0, 3), (3, 4), (4, T))]
    joined = NetworkStack.join(blocks)
    assert joined.targets == stack.targets
    np.testing.assert_array_equal(joined.to_dense(), dense)
    np.testing.assert_array_equal(joined.edge_target, stack.edge_target)
    with pytest.raises(InputError, match="targets stand more than once"):
        NetworkStack.join([blocks[0], blocks[0]])
    with pytest.raises(InputError, match="differ in samples"):
        NetworkStack.join([blocks[0], blocks[1].select(samples=["S0"])])


def test_masks_and_intercepts_join_too(dense, rng):
    fitted = rng.random((N, T)) > 0.2
    kept = np.where(fitted[:, None, :], dense, 0)
    whole = stacked(kept, fitted=fitted, intercepts=rng.normal(size=(N, T)))
    joined = NetworkStack.join([whole.select(targets=["T0", "T1"]), whole.select(targets=NAMES["targets"][2:])])
    np.testing.assert_array_equal(joined.fitted, fitted)
    np.testing.assert_array_equal(joined.intercepts, whole.intercepts)


def test_a_selection_is_a_stack_of_its_own(stack, dense):
    part = stack.select(samples=["S5", "S2"], regulators=["T1", "R0"], targets=["T4", "T1"])
    np.testing.assert_array_equal(part.to_dense(), dense[np.ix_([5, 2], [6, 0], [4, 1])])
    np.testing.assert_array_equal(part.modulator, stack.modulator[[5, 2]])
    with pytest.raises(InputError, match="no targets called GATA3"):
        stack.select(targets=["GATA3"])


def test_the_table_holds_every_entry_once(stack, dense):
    table = stack.to_frame()
    filled = np.zeros_like(dense)
    filled[table["sample"].cat.codes, table["regulator"].cat.codes, table["target"].cat.codes] = table["coefficient"]
    np.testing.assert_array_equal(filled, dense)
    assert len(table) == stack.n_entries
    one = stack.to_frame(samples=["S3"], targets=["T2"])
    np.testing.assert_array_equal(one["coefficient"], dense[3, :, 2][dense[3, :, 2] != 0])


BAD = {
    "twice": (([0, 0], [1, 1], [2, 2], [1.0, 2.0]), "1 edges stand twice in a sample, such as regulator 1 to target 2"),
    "regulator": (([0], [R], [0], [1.0]), f"regulator must hold positions of regulators, 0 to {R - 1}"),
    "target": (([0], [0], [-1], [1.0]), "target must hold positions"),
    "fraction": (([0.0], [0], [0], [1.0]), "sample must hold positions"),
    "missing": (([0], [0], [0], [np.nan]), "the coefficient of entry 0 is not finite"),
    "huge": (([0], [0], [0], [1e300]), "too large for float32"),
}


@pytest.mark.parametrize(("entries", "told"), BAD.values(), ids=BAD)
def test_entries_that_cannot_be_are_refused(entries, told):
    with pytest.raises(InputError, match=told):
        NetworkStack.from_arrays(*entries, **(NAMES | {"modulator": None}))


def test_names_modulators_and_masks_that_do_not_fit_are_refused(dense, rng):
    with pytest.raises(InputError, match="1 regulators stand more than once"):
        stacked(dense, regulators=["R0", *NAMES["regulators"][:-1]])
    with pytest.raises(ShapeError, match="modulator must have shape"):
        stacked(dense, modulator=[1.0])
    with pytest.raises(InputError, match="the modulator of sample 3 is missing"):
        stacked(dense, modulator=np.where(np.arange(N) == 3, np.nan, 0.0))
    with pytest.raises(InputError, match="an edge stands where no network was fitted"):
        stacked(dense, fitted=rng.random((N, T)) > 0.5)
    with pytest.raises(InputError, match="an intercept is not finite"):
        stacked(dense, intercepts=np.full((N, T), np.nan))


def test_dense_exports_above_the_limit_are_refused_in_one_sentence(stack):
    with pytest.raises(InputError, match=r"one dense array need .* GB, above the limit of .* GB\. Work on edge_list"):
        stack.to_dense(limit_gb=1e-6)
    with pytest.raises(InputError, match=r"as one table need .* Name samples, regulators or targets\."):
        stack.to_frame(limit_gb=1e-6)
    with pytest.raises(InputError, match=r"paths of all samples need .* Name fewer targets"):
        stack.regulatory_effect(np.ones((N, R)), limit_gb=1e-6)


# -- files --------------------------------------------------------------------------------------------------------


def test_a_saved_stack_comes_back_to_the_last_bit(dense, rng, tmp_path):
    fitted = rng.random((N, T)) > 0.1
    kept = np.where(fitted[:, None, :], dense, 0)
    stack = stacked(kept, fitted=fitted, intercepts=rng.normal(size=(N, T)), quantity="x", description="y")
    stack.save(tmp_path / "a")
    back = NetworkStack.load(tmp_path / "a")
    for name in stack.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(back, name), getattr(stack, name))
    stack.save(tmp_path / "b")
    for name in ("networks.npz", "networks.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["networks.json", "networks.npz"]


def test_damaged_folders_are_refused(stack, tmp_path):
    stack.save(tmp_path)
    arrays = tmp_path / "networks.npz"
    whole = arrays.read_bytes()
    arrays.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=r"does not belong to the networks\.json beside it"):
        NetworkStack.load(tmp_path)
    arrays.write_bytes(whole)
    facts = json.loads((tmp_path / "networks.json").read_text())
    (tmp_path / "networks.json").write_text(json.dumps(facts | {"kind": "other"}))
    with pytest.raises(InputError, match="is no saved NetworkStack"):
        NetworkStack.load(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        NetworkStack.load(tmp_path / "none")


def test_a_full_disk_leaves_the_old_file(stack, tmp_path, monkeypatch):
    stack.save(tmp_path)
    whole = (tmp_path / "networks.npz").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunFolderError, match="No space left on device"):
        stack.select(samples=["S0"]).save(tmp_path)
    assert (tmp_path / "networks.npz").read_bytes() == whole
    assert len(list(tmp_path.iterdir())) == 2


def test_h5ad_holds_samples_by_edges(stack, tmp_path):
    stack.to_h5ad(tmp_path / "a.h5ad")
    values, obs = read_h5ad(tmp_path / "a.h5ad")
    edges = stack.edge_list()
    np.testing.assert_array_equal(values, edges.values.toarray())
    assert list(values.columns[:1]) == [f"{stack.regulators[edges.regulator[0]]} -> {stack.targets[edges.target[0]]}"]
    np.testing.assert_array_equal(obs["modulator"], stack.modulator)


def test_graphml_of_one_sample_opens_in_networkx(stack, dense, tmp_path):
    stack.to_graphml(tmp_path / "a.graphml", sample="S4")
    graph = networkx.read_graphml(tmp_path / "a.graphml")
    found = {(a, b): np.float32(row["coefficient"]) for a, b, row in graph.edges(data=True)}
    named = [(NAMES["regulators"][j], NAMES["targets"][k]) for j, k in np.argwhere(dense[4])]
    assert found == dict(zip(named, dense[4][dense[4] != 0], strict=True))
    assert graph.graph["sample"] == "S4"
    assert graph.nodes["T0"]["is_target"]


def test_the_union_tells_mean_share_and_extremes(stack, dense, tmp_path):
    stack.to_cytoscape(tmp_path / "a.cyjs")
    graph = read_cytoscape(tmp_path / "a.cyjs")
    flat = dense[:, stack.edge_regulator, stack.edge_target].astype(np.float64)
    np.testing.assert_allclose(graph.edge_columns["mean"], flat.mean(0), atol=EPS)
    np.testing.assert_allclose(graph.edge_columns["share"], (flat != 0).mean(0))
    np.testing.assert_allclose(graph.edge_columns["lowest"], flat.min(0))
    np.testing.assert_allclose(graph.edge_columns["highest"], flat.max(0))
    few = stack.to_graph(top=3)
    strongest = np.sort(np.abs(flat.mean(0)))[-3:]
    np.testing.assert_allclose(np.sort(np.abs(few.edge_columns["mean"])), strongest, atol=EPS)


# -- sums ---------------------------------------------------------------------------------------------------------


def dense_effects(dense, x):
    """Sums over paths of length 1 and 2 by matrix products over all genes, without paths that come back."""
    genes = list(dict.fromkeys([*NAMES["regulators"], *NAMES["targets"]]))
    rows, columns = ([genes.index(name) for name in NAMES[side]] for side in ("regulators", "targets"))
    effects = np.zeros(dense.shape)
    for a, network in enumerate(dense.astype(np.float64)):
        whole = np.zeros((len(genes), len(genes)))
        whole[np.ix_(rows, columns)] = network
        np.fill_diagonal(whole, 0)
        total = whole + whole @ whole
        np.fill_diagonal(total, 0)
        effects[a] = total[np.ix_(rows, columns)] * x[a][:, None]
    return effects


def test_effects_over_paths_equal_dense_matrix_products(dense, rng):
    dense[:, R - 3 :, :3] = rng.normal(size=(N, 3, 3))  # self-edges and circles, too
    x = rng.normal(size=(N, R))
    effect = stacked(dense).regulatory_effect(x, centred=False)
    np.testing.assert_allclose(effect.to_dense(), dense_effects(dense, x), rtol=8 * EPS, atol=8 * EPS)
    short = stacked(dense).regulatory_effect(x, 1, centred=False)
    direct = np.where(own_pairs(), 0, dense) * x[:, :, None]
    np.testing.assert_allclose(short.to_dense(), direct, rtol=8 * EPS)
    wrong = dense.astype(np.float64) @ np.ones((T, T))
    assert not np.allclose(effect.to_dense(), wrong, rtol=1e-2)
    assert effect.quantity == "regulatory effect"


def test_effects_do_not_depend_on_how_high_a_regulator_stands(dense, rng):
    x, level = rng.normal(size=(N, R)), rng.uniform(5, 12, R)
    stack = stacked(dense)
    low, high = (stack.regulatory_effect(values).to_dense() for values in (x, x + level))
    np.testing.assert_allclose(high, low, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(low, dense_effects(dense, x - x.mean(0)), rtol=8 * EPS, atol=8 * EPS)
    told = stack.regulatory_effect(x + level, centred=False).to_dense()
    assert np.abs(told).sum() > 3 * np.abs(low).sum()


def test_effects_of_some_targets_and_of_a_named_table_are_the_same(stack, dense, rng):
    x = rng.normal(size=(N, R))
    table = pd.DataFrame(x, index=NAMES["samples"], columns=NAMES["regulators"]).sample(frac=1, random_state=0)
    table["other"] = 1.0
    part = stack.regulatory_effect(table, targets=["T5", "T1"])
    np.testing.assert_allclose(
        part.to_dense(), dense_effects(dense, x - x.mean(0))[:, :, [5, 1]], rtol=8 * EPS, atol=8 * EPS
    )
    with pytest.raises(InputError, match=r"the table lacks 1 regulators \(R1\)"):
        stack.regulatory_effect(table.drop(columns="R1"))
    with pytest.raises(InputError, match="the expression of R2 in S1 is missing"):
        stack.regulatory_effect(table.mask((table.index == "S1")[:, None] & (table.columns == "R2")))
    with pytest.raises(InputError, match="max_length must be 1 or 2"):
        stack.regulatory_effect(x, 3)


def test_change_over_samples_is_the_spread_of_the_dense_columns(dense, rng):
    fitted = rng.random((N, T)) > 0.3
    kept = np.where(fitted[:, None, :], dense, 0)
    stack = stacked(kept, fitted=fitted)
    for kind, ends in (("percentile", (5, 95)), ("range", (0, 100))):
        table = stack.change_along_modulator(kind)
        assert table["change"].is_monotonic_decreasing
        for row in table.itertuples():
            j, k = NAMES["regulators"].index(row.regulator), NAMES["targets"].index(row.target)
            column = kept[fitted[:, k], j, k]
            low, high = np.percentile(column, ends)
            np.testing.assert_allclose([row.low, row.high], [low, high], rtol=1e-6, atol=1e-7)
            assert row.share == pytest.approx((column != 0).mean())


def test_hubs_count_what_is_there(stack, dense):
    table = stack.hubs().set_index(["side", "gene"])
    for k, name in enumerate(NAMES["regulators"]):
        row = table.loc["regulators", name]
        assert row["n_partners"] == (dense[:, k] != 0).any(0).sum()
        assert row["mean_edges"] == pytest.approx((dense[:, k] != 0).sum() / N)
        assert row["mean_strength"] == pytest.approx(np.abs(dense[:, k]).sum() / N)
    assert table.loc["targets", "T3"]["mean_edges"] == pytest.approx((dense[:, :, 3] != 0).sum() / N)


def test_welch_agrees_with_scipy(dense, rng):
    fitted = rng.random((N, T)) > 0.2
    kept = np.where(fitted[:, None, :], dense, 0)
    stack = stacked(kept, fitted=fitted)
    in_a = np.arange(N) < 12
    table = stack.difference(NAMES["samples"][:12], ~in_a)
    for row in table.itertuples():
        j, k = NAMES["regulators"].index(row.regulator), NAMES["targets"].index(row.target)
        a, b = (kept[side & fitted[:, k], j, k].astype(np.float64) for side in (in_a, ~in_a))
        assert (row.n_a, row.n_b) == (len(a), len(b))
        assert row.difference == pytest.approx(a.mean() - b.mean(), abs=1e-7)
        assert row.p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, rel=1e-5)
    np.testing.assert_allclose(table["q"], benjamini_hochberg(table["p"]))
    assert table["p"].is_monotonic_increasing


def welch_t(a, b):
    return (a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))


def test_a_planted_difference_stands_first_and_permutations_agree_with_a_plain_loop(dense, rng):
    dense[:15, 3, 5], dense[15:, 3, 5] = 2 + dense[:15, 1, 1], -1 + dense[15:, 1, 1]
    stack = stacked(dense)
    options = {"test": "permutation", "n_permutations": 999, "random_state": 1}
    table = stack.difference(NAMES["samples"][:15], NAMES["samples"][15:], **options)
    assert tuple(table.loc[0, ["regulator", "target", "p"]]) == ("R3", "T5", 0.001)
    for row in table.iloc[5:50:15].itertuples():
        column = dense[:, NAMES["regulators"].index(row.regulator), NAMES["targets"].index(row.target)]
        observed = abs(welch_t(column[:15], column[15:]))
        drawn = [
            abs(welch_t(shuffled[:15], shuffled[15:])) for shuffled in (rng.permutation(column) for _ in range(999))
        ]
        assert abs(row.p - (np.array(drawn) >= observed).mean()) < 4 * np.sqrt(2 * 0.25 / 999)
    pd.testing.assert_frame_equal(table, stack.difference(NAMES["samples"][:15], NAMES["samples"][15:], **options))


def test_permutation_p_values_are_uniform_without_a_difference(rng):
    p = []
    for seed in range(8):
        stack = stacked(dense_networks(rng, share=0.9))
        p.extend(stack.difference(np.arange(N) < 15, np.arange(N) >= 15, test="permutation", random_state=seed)["p"])
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert stats.kstest(np.array(p) ** 2, "uniform").pvalue < 1e-6


def test_groups_that_cannot_be_compared_are_refused(stack):
    with pytest.raises(InputError, match="1 samples stand in both groups"):
        stack.difference(["S0", "S1"], ["S1", "S2"])
    with pytest.raises(InputError, match="group_b has no sample"):
        stack.difference(["S0"], np.zeros(N, bool))
    with pytest.raises(InputError, match="no samples called X"):
        stack.difference(["X"], ["S0"])
    one = stack.difference(["S0"], ["S1", "S2"])
    assert one["p"].isna().all()


def test_enrichment_is_the_one_sided_test_of_fisher(stack, dense):
    sets = {"first": NAMES["regulators"][:4], "mixed": ["R0", "R4", "T0", "elsewhere"]}
    table = stack.enrichment(sets, "regulators", sample="S3", smallest=1, top=3).set_index("set")
    n_edges = (dense[3] != 0).sum(1)
    strength = np.abs(dense[3]).sum(1)
    order = sorted(range(R), key=lambda k: (-n_edges[k], -strength[k]))
    chosen = {NAMES["regulators"][k] for k in order[:3]}
    for name, genes in sets.items():
        own = set(genes) & set(NAMES["regulators"])
        inside = len(own & chosen)
        counts = [[inside, len(chosen) - inside], [len(own) - inside, R - len(own) - len(chosen) + inside]]
        assert table.loc[name, "p"] == pytest.approx(stats.fisher_exact(counts, "greater").pvalue)
    whole = stack.enrichment(sets, smallest=1)
    assert (whole["k"] == whole["size"]).all()
    with pytest.raises(InputError, match="needs side regulators or targets"):
        stack.enrichment(sets, "genes")


def test_an_empty_stack_answers_too(tmp_path):
    stack = NetworkStack.from_arrays([], [], [], [], **(NAMES | {"modulator": None}))
    assert stack.n_edges == 0
    assert stack.to_frame().empty
    assert stack.hubs().empty
    assert stack.change_along_modulator().empty
    assert stack.difference(["S0", "S1"], ["S2", "S3"], test="permutation", n_permutations=9).empty
    assert stack.regulatory_effect(np.ones((N, R))).n_edges == 0
    stack.to_graphml(Path(tmp_path / "a.graphml"))
    assert len(networkx.read_graphml(tmp_path / "a.graphml")) == 0
