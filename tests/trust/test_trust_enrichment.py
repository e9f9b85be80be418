"""Enrichment against SciPy, against planted sets, and against regions of the same shape."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import fisher_exact, kstest

from kotowari.core import InputError, ShapeError
from kotowari.trust import layout_aware_p, over_representation, preranked_gsea

GENES = [f"GENE{k}" for k in range(300)]


def random_sets(rng, n_sets=20, size=25):
    return {f"set {k:02d}": list(rng.choice(GENES, size, replace=False)) for k in range(n_sets)}


def test_over_representation_equals_fishers_exact_test():
    rng = np.random.default_rng(0)
    sets, selected = random_sets(rng), set(rng.choice(GENES, 40, replace=False))
    table = over_representation(selected, GENES, sets)
    for row in table.itertuples():
        k, members = row.k, set(sets[row.set])
        square = [[k, len(members) - k], [40 - k, 300 - len(members) - 40 + k]]
        assert row.p == pytest.approx(fisher_exact(square, alternative="greater").pvalue, rel=1e-9)
        assert set(row.genes.split(";")) - {""} == members & selected
        assert row.expected == pytest.approx(25 * 40 / 300)
    assert table["p"].is_monotonic_increasing


def test_a_planted_set_comes_first_and_unmeasured_genes_do_not_help():
    rng = np.random.default_rng(1)
    sets = random_sets(rng) | {"planted": [*GENES[:20], *(f"ELSEWHERE{k}" for k in range(1000))]}
    table = over_representation(GENES[:15] + GENES[100:120], GENES, sets)
    assert table.loc[0, "set"] == "planted"
    assert table.loc[0, "size"] == 20
    assert table.loc[0, "q"] < 1e-6
    assert (table["q"][1:] > 0.05).all()


def test_a_whole_genome_background_would_find_too_much():
    sets = {"a set": GENES[:20] + GENES[250:]}
    selected = GENES[10:40]
    measured = over_representation(selected, GENES, sets)["p"][0]
    genome = over_representation(selected, GENES + [f"ELSEWHERE{k}" for k in range(20_000)], sets)["p"][0]
    assert measured > 0.05
    assert genome < 1e-6


def test_sets_of_unfit_size_are_left_out():
    sets = {"small": GENES[:4], "fit": GENES[:10], "large": GENES[:60]}
    table = over_representation(GENES[:5], GENES, sets, smallest=5, largest=50)
    assert list(table["set"]) == ["fit"]


@pytest.mark.parametrize(
    ("selected", "sets", "words"),
    [
        (["GENE0"], {"a": ["ENSG01", "ENSG02"]}, "the sets name ENSG01, ENSG02, the table GENE0, GENE1, GENE2"),
        (["GENE0"], {}, "There are no gene sets"),
        (["GENE0"], {"a": GENES[:3]}, "No gene set has 5 to 500 measured genes; the largest has 3"),
        (["XIST"], {"a": GENES[:9]}, "1 selected genes were not measured"),
    ],
)
def test_unusable_sets_are_refused(selected, sets, words):
    with pytest.raises(InputError, match=words):
        over_representation(selected, GENES, sets)


def smooth(rng, side):
    return gaussian_filter(rng.normal(size=(side, side)), 3, mode="wrap")


def layout(rng, side, n_genes):
    places = np.argwhere(np.ones((side, side), dtype=bool))[rng.permutation(side * side)[:n_genes]]
    return [f"g{k}" for k in range(n_genes)], places


def region_and_set(rng, side, genes, places):
    field = smooth(rng, side)
    tide = smooth(rng, side)[tuple(places.T)]
    members = np.argsort(-(tide / tide.std() + rng.normal(size=len(genes))))[: len(genes) // 4]
    return field > np.quantile(field, 0.85), {"s": [genes[k] for k in members]}


@pytest.mark.parametrize("fill", [1.0, 0.5])
def test_layout_null_is_calibrated_on_null_regions_where_counting_is_not(fill):
    rng, side = np.random.default_rng(0), 32
    genes, places = layout(rng, side, int(fill * side**2))
    aware, counted = [], []
    for _ in range(200):
        mask, sets = region_and_set(rng, side, genes, places)
        selected = [gene for gene, place in zip(genes, places, strict=True) if mask[tuple(place)]]
        aware.append(layout_aware_p(mask, genes, places, sets, n_draws=99, rng=rng)["p"][0])
        counted.append(over_representation(selected, genes, sets)["p"][0])
    assert kstest(aware, "uniform").pvalue > 0.01
    assert np.mean(np.array(aware) <= 0.05) <= 0.09
    assert kstest(counted, "uniform").pvalue < 1e-3
    assert np.mean(np.array(counted) <= 0.05) > 0.15


def test_layout_null_finds_a_set_that_fills_the_region():
    rng, side = np.random.default_rng(8), 30
    genes, places = layout(rng, side, 600)
    mask = np.zeros((side, side), dtype=bool)
    mask[5:12, 8:15] = True
    inside = [gene for gene, place in zip(genes, places, strict=True) if mask[tuple(place)]]
    sets = {"inside": inside, "anywhere": list(rng.choice(genes, 30, replace=False))}
    table = layout_aware_p(mask, genes, places, sets, n_draws=199, rng=rng).set_index("set")
    assert table.loc["inside", "p"] <= 0.01
    assert table.loc["anywhere", "p"] > 0.05
    assert table.loc["inside", "k"] == len(inside) > table.loc["inside", "expected"]


def test_layout_null_works_on_frames_that_are_not_square_and_repeats_itself():
    places = np.argwhere(np.ones((6, 20), dtype=bool))
    genes = [f"g{k}" for k in range(120)]
    mask = np.zeros((6, 20), dtype=bool)
    mask[:, :5] = True
    sets = {"left": genes[:10] + genes[20:25], "right": genes[10:20] + genes[30:35]}
    one, same = (layout_aware_p(mask, genes, places, sets, rng=np.random.default_rng(0)) for _ in range(2))
    pd.testing.assert_frame_equal(one, same)
    everything = layout_aware_p(np.ones((6, 20), bool), genes, places, sets, n_draws=9, rng=np.random.default_rng(0))
    assert (everything["p"] == 1.0).all()


def test_genes_outside_the_frame_are_refused():
    with pytest.raises(InputError, match="outside the frame of 4 x 4"):
        layout_aware_p(np.ones((4, 4), bool), ["a"], [[4, 0]], {"s": ["a"]}, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="must be a boolean"):
        layout_aware_p(np.ones((4, 4)), ["a"], [[1, 1]], {"s": ["a"]}, rng=np.random.default_rng(0))
    with pytest.raises(ShapeError, match="pixels_of_genes"):
        layout_aware_p(np.ones((4, 4), bool), ["a"], [[1, 1], [2, 2]], {"s": ["a"]}, rng=np.random.default_rng(0))


def enrichment_score(ranked, members):
    hit = np.isin(ranked.index, members)
    weight = np.where(hit, ranked.abs(), 0.0)
    walk = np.cumsum(weight / weight.sum() - ~hit / (~hit).sum())
    return walk[np.argmax(np.abs(walk))]


def test_gsea_walks_the_published_sum_and_finds_both_ends():
    rng = np.random.default_rng(2)
    scores = pd.Series(rng.normal(size=300), index=GENES)
    order = scores.sort_values(ascending=False)
    sets = random_sets(rng, 6) | {"top": list(order.index[:20]), "bottom": list(order.index[-20:])}
    table = preranked_gsea(scores, sets, n_permutations=200, random_state=0).set_index("set")
    for name, members in sets.items():
        assert table.loc[name, "es"] == pytest.approx(enrichment_score(order, members), abs=1e-6)
    assert table.loc["top", "nes"] > 0 > table.loc["bottom", "nes"]
    assert table.loc[["top", "bottom"], "q"].max() < 0.05
    assert table["p"].min() >= 1 / 201
    assert set(table.loc["top", "leading_edge"].split(";")) <= set(sets["top"])


def test_gsea_orders_ties_by_name_and_repeats_itself_in_any_order_of_input():
    rng = np.random.default_rng(3)
    scores = pd.Series(np.round(rng.normal(size=300), 0), index=GENES)
    sets = random_sets(rng, 8)
    one = preranked_gsea(scores, sets, n_permutations=50, random_state=1)
    turned = preranked_gsea(scores[::-1], dict(reversed(sets.items())), n_permutations=50, random_state=1)
    pd.testing.assert_frame_equal(one, turned)
    other = preranked_gsea(scores, sets, n_permutations=50, random_state=2)
    assert not one.equals(other)


def test_gsea_keeps_names_of_any_case():
    names = [f"gene-{k}" if k % 2 else f"GENE;{k}" for k in range(60)]
    table = preranked_gsea(
        dict(zip(names, range(60), strict=True)), {"s": names[50:]}, n_permutations=20, random_state=0
    )
    assert set(table.loc[0, "leading_edge"].split(";")) <= {part for name in names for part in name.split(";")}


@pytest.mark.parametrize("scores", [np.zeros(300), np.full(300, np.nan)])
def test_gsea_refuses_scores_without_a_ranking(scores):
    with pytest.raises(InputError, match="finite and not all equal"):
        preranked_gsea(pd.Series(scores, index=GENES), {"s": GENES[:10]}, random_state=0)
