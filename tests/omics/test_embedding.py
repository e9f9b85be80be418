"""Layouts of genes: exact neighbours, exact gradient, no worse than the libraries, every gene somewhere."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.decomposition import KernelPCA
from sklearn.metrics import pairwise_distances

from kotowari.core.errors import InputError, MissingExtraError
from kotowari.studies.omics.model.embedding import LAYOUTS, affinities, embed, given_places, kl_divergence
from kotowari.studies.omics.model.kernel import gaussian_components
from kotowari.studies.omics.model.neighbours import METRICS, gene_distances, gene_vectors, nearest_neighbours
from kotowari.studies.omics.model.repulsion import TreeGradient

INSTALLED = [layout for layout in LAYOUTS if layout != "umap"]


def profiles(genes=120, samples=30, modules=6, seed=0):
    """Genes in correlated modules, scaled to [0, 1]."""
    rng = np.random.default_rng(seed)
    module = np.arange(genes) % modules
    values = rng.normal(size=(samples, modules))[:, module] + 0.4 * rng.normal(size=(samples, genes))
    return ((values - values.min(0)) / np.ptp(values, axis=0)).T


def exact_gradient(joint, places):
    """The textbook formula, over all pairs in double precision."""
    gaps = places[:, None] - places[None]
    weight = 1 / (1 + (gaps**2).sum(-1))
    np.fill_diagonal(weight, 0)
    pull = (joint.toarray() * weight)[..., None] * gaps
    push = (weight**2 / weight.sum())[..., None] * gaps
    return (pull - push).sum(1)


def gradient_error(gradient, joint, places):
    exact = exact_gradient(joint, places)
    return np.linalg.norm(gradient - exact) / np.linalg.norm(exact)


@pytest.fixture
def joint():
    return affinities(profiles()).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_are_those_of_scikit_learn(metric):
    rows = profiles(genes=150)
    indices, squared = nearest_neighbours(gene_vectors(rows, metric), 10)
    distances = pairwise_distances(rows, metric=metric)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(indices, np.argsort(distances, axis=1)[:, :10])
    np.testing.assert_allclose(gene_distances(squared, metric), np.sort(distances, axis=1)[:, :10], rtol=1e-4)


def test_neighbours_by_another_metric_are_others():
    rows = profiles(genes=150) * np.random.default_rng(0).uniform(0.2, 1, (150, 1))
    cosine, euclidean = (nearest_neighbours(gene_vectors(rows, m), 10)[0] for m in ("cosine", "euclidean"))
    assert (cosine != euclidean).any()


def test_affinities_are_symmetric_and_sum_to_1():
    found = affinities(profiles())
    assert abs(found - found.T).max() < 1e-12
    assert found.sum() == pytest.approx(1)


def test_gradient_without_opening_is_the_textbook_formula(joint):
    places = np.random.default_rng(1).normal(0, 5, (120, 2))
    _, gradient = TreeGradient(120, opening=0.0, leaf=8)(places, joint)
    assert gradient_error(gradient, joint, places) < 1e-4


def test_gradient_is_the_better_the_less_the_tree_is_trusted(joint):
    places = np.random.default_rng(1).normal(0, 5, (120, 2))
    gradients = [TreeGradient(120, opening=opening, leaf=4)(places, joint)[1] for opening in (0.2, 0.4, 0.6)]
    errors = [gradient_error(gradient, joint, places) for gradient in gradients]
    assert 0 < errors[0] < errors[1] < errors[2] < 0.03


def test_gradient_with_doubled_attraction_is_caught(joint):
    places = np.random.default_rng(1).normal(0, 5, (120, 2))
    _, gradient = TreeGradient(120, opening=0.0, leaf=8)(places, 2 * joint)
    assert gradient_error(gradient, joint, places) > 0.1


def test_divergence_of_the_optimiser_is_the_exact_one(joint):
    places = np.random.default_rng(1).normal(0, 5, (120, 2))
    error, _ = TreeGradient(120, opening=0.0)(places, joint, should_eval_error=True)
    assert error == pytest.approx(kl_divergence(joint, places), rel=1e-4)


def test_divergence_is_the_sum_over_all_pairs():
    places = np.random.default_rng(0).normal(size=(40, 2))
    weight = 1 / (1 + pairwise_distances(places, metric="sqeuclidean"))
    np.fill_diagonal(weight, 0)
    p = np.random.default_rng(1).random((40, 40))
    np.fill_diagonal(p, 0)
    p /= p.sum()
    off = p > 0
    expected = (p[off] * np.log(p[off] / (weight / weight.sum())[off])).sum()
    assert kl_divergence(sp.csr_matrix(7 * p), places) == pytest.approx(expected)


def test_divergence_is_0_where_the_map_has_the_affinities():
    places = np.random.default_rng(0).normal(size=(40, 2))
    weight = 1 / (1 + pairwise_distances(places, metric="sqeuclidean"))
    np.fill_diagonal(weight, 0)
    assert kl_divergence(sp.csr_matrix(weight), places) == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_tsne_is_no_worse_than_opentsne_on_the_same_affinities():
    from openTSNE import TSNEEmbedding, initialization
    from openTSNE.affinity import PrecomputedAffinities

    rows = profiles(genes=400, samples=60, modules=10)
    found = affinities(rows)
    theirs = TSNEEmbedding(
        initialization.pca(rows, random_state=0),
        PrecomputedAffinities(found.copy(), normalize=False),
        negative_gradient_method="bh",
        n_jobs=1,
    )
    theirs.optimize(250, exaggeration=12, momentum=0.5, inplace=True)
    theirs.optimize(500, momentum=0.8, inplace=True)
    assert kl_divergence(found, embed(rows)) < 1.02 * kl_divergence(found, theirs)


def test_tsne_keeps_modules_together_and_pca_of_noise_does_not():
    rows = profiles()

    def share_of_own_module(places):
        gaps = pairwise_distances(places)
        np.fill_diagonal(gaps, np.inf)
        return (np.argsort(gaps, axis=1)[:, :10] % 6 == np.arange(120)[:, None] % 6).mean()

    assert share_of_own_module(embed(rows)) > 0.95
    assert share_of_own_module(embed(np.random.default_rng(0).random(rows.shape), layout="pca")) < 0.5


def test_kernel_components_are_those_of_scikit_learn():
    vectors = gene_vectors(profiles(), "euclidean")
    ours = gaussian_components(vectors, width=3.0)
    theirs = KernelPCA(2, kernel="rbf", gamma=0.5 / 3.0**2).fit_transform(vectors.astype(float))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-4 * np.abs(theirs).max())


def test_kernel_components_of_another_width_are_others():
    vectors = gene_vectors(profiles(), "euclidean")
    narrow, wide = (np.abs(gaussian_components(vectors, width=width)) for width in (0.5, 3.0))
    assert np.abs(narrow / narrow.max() - wide / wide.max()).max() > 0.05


@pytest.mark.parametrize("layout", INSTALLED)
def test_same_seed_gives_the_same_bytes(layout):
    first, again = (embed(profiles(), layout=layout, random_state=3) for _ in range(2))
    assert first.tobytes() == again.tobytes()


def test_another_seed_gives_another_map():
    assert not np.array_equal(embed(profiles(), random_state=0), embed(profiles(), random_state=1))


@pytest.mark.parametrize("layout", INSTALLED)
def test_constant_genes_stand_in_the_lowest_corner_of_the_others(layout):
    rows = profiles(genes=60)
    rows[[3, 17]] = 0
    rows[40] = 0.5
    constant = np.isin(np.arange(60), [3, 17, 40])
    places = embed(rows, layout=layout)
    assert np.isfinite(places).all()
    np.testing.assert_array_equal(places[constant], np.tile(places[~constant].min(0), (3, 1)))
    np.testing.assert_array_equal(places[~constant], embed(rows[~constant], layout=layout))


@pytest.mark.parametrize("layout", INSTALLED)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("genes", [1, 2, 4, 5, 8])
def test_few_genes_get_finite_places(layout, metric, genes):
    places = embed(np.random.default_rng(0).random((genes, 3)), layout=layout, metric=metric)
    assert places.shape == (genes, 2)
    assert np.isfinite(places).all()


@pytest.mark.parametrize("layout", INSTALLED)
def test_genes_with_twins_get_finite_places(layout):
    places = embed(np.repeat(profiles(genes=20), 4, axis=0), layout=layout)
    assert np.isfinite(places).all()


def test_only_constant_genes_all_stand_in_one_place():
    np.testing.assert_array_equal(embed(np.ones((5, 4))), np.zeros((5, 2)))


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="layout must be one of tsne"):
        embed(profiles(), layout="isomap")
    with pytest.raises(InputError, match="metric must be one of cosine"):
        embed(profiles(), metric="hamming")


def test_umap_without_its_library_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(MissingExtraError, match="pip install umap-learn"):
        embed(profiles(), layout="umap")


def test_given_places_are_taken_by_name():
    frame = pd.DataFrame([[1, 2], [3, 4], [5, 6]], index=["c", "a", "b"])
    np.testing.assert_array_equal(given_places(frame, ["a", "c"]), [[3, 4], [1, 2]])
    np.testing.assert_array_equal(given_places([[3, 4], [1, 2]], ["a", "c"]), [[3, 4], [1, 2]])


def test_given_places_that_cannot_be_used_are_refused():
    frame = pd.DataFrame([[1.0, 2.0], [3.0, np.nan]], index=["a", "b"])
    with pytest.raises(InputError, match=r"1 genes have no place \(TP53\)"):
        given_places(frame, ["a", "TP53"])
    with pytest.raises(InputError, match=r"not finite \(b\)"):
        given_places(frame, ["a", "b"])
    with pytest.raises(InputError, match=r"shape \(3, 2\)"):
        given_places(np.ones((2, 2)), ["a", "b", "c"])
    with pytest.raises(InputError, match="more than once"):
        given_places(pd.concat([frame, frame]), ["a"])
