"""What the phantom plants is there, what it must not leak is not, and the baselines reach the figures that lock it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.datasets import load_tcga_colorectal
from kotowari.studies.omics.baselines import comparators, tree_shap_scores, univariate_scores
from kotowari.studies.omics.phantom import ModuleImplant, implant_module, planted_table
from kotowari.trust import detection_limit, run_implants

SMALL = {"n_samples": 200, "n_genes": 800}


def average_precision(score, truth, others):
    """AP of ``truth`` among the genes that are in no other way planted."""
    kept = ~others
    return average_precision_score(truth[kept], np.asarray(score)[kept])


def products_tell_the_bit(phantom):
    """Share of samples whose bit is the sign of the product of the two halves of the interaction genes."""
    values = phantom.X.to_numpy()[:, phantom.interaction]
    z = (values - values.mean(0)) / values.std(0)
    first = np.corrcoef(z.T)[0] > 0.15  # genes of one sign hang together
    guess = (z[:, first].mean(1) * z[:, ~first].mean(1) > 0).astype(int)
    return max((guess == phantom.bits).mean(), (guess != phantom.bits).mean())


@pytest.mark.parametrize("truth", ["modules", "scattered", "mixed"])
def test_sixty_genes_of_two_kinds_are_planted(truth):
    phantom = planted_table(**SMALL, truth=truth, random_state=0)
    assert phantom.X.shape == (200, 800)
    assert (phantom.X.dtypes == np.float32).all()
    assert phantom.X.columns[12] == "G00012"
    assert (phantom.marginal.sum(), phantom.interaction.sum(), phantom.planted.sum()) == (40, 20, 60)
    assert np.bincount(phantom.y).tolist() == [20] * 10
    np.testing.assert_array_equal(2 * phantom.types + phantom.bits, phantom.y)
    table = phantom.modules
    assert table["gene"].tolist() == phantom.X.columns.tolist()
    np.testing.assert_array_equal(table["kind"] == "marginal", phantom.marginal)
    np.testing.assert_array_equal(table["kind"] == "interaction", phantom.interaction)
    assert "20 genes tell a bit" in phantom.description


def test_shapes_of_truth_differ_in_the_modules_they_touch():
    largest = {}
    for truth in ("modules", "mixed", "scattered"):
        phantom = planted_table(truth=truth, random_state=3, n_samples=20)
        largest[truth] = phantom.modules["module"][phantom.interaction].value_counts().iloc[0]
    assert largest["modules"] == 10
    assert 5 <= largest["mixed"] <= 7
    assert largest["scattered"] <= 2


def test_one_seed_gives_one_table():
    first, again, other = (planted_table(**SMALL, random_state=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.X, again.X, check_exact=True)
    np.testing.assert_array_equal(first.y, again.y)
    assert not first.X.equals(other.X)


def test_effects_change_the_planted_genes_alone():
    none, full = (planted_table(**SMALL, effect=effect, random_state=0) for effect in (0, 1))
    np.testing.assert_array_equal(none.y, full.y)
    np.testing.assert_array_equal((none.X != full.X).any().to_numpy(), full.planted)


def test_without_effect_there_is_no_truth_and_no_signal():
    empty = planted_table(effect=0, random_state=0, n_samples=300)
    assert not empty.planted.any()
    assert set(empty.modules["kind"]) == {"null"}
    assert "no gene" in empty.description
    assert univariate_scores(empty.X, empty.y).mean() == pytest.approx(1.0, abs=0.1)


def test_genes_of_a_module_are_correlated():
    phantom = planted_table(**SMALL, effect=0, random_state=0)
    correlation = np.corrcoef(phantom.X.to_numpy().T)
    member = phantom.modules["module"].to_numpy()
    same = (member[:, None] == member[None]) & ~np.eye(len(member), dtype=bool)
    assert np.median(correlation[same]) > 0.25
    assert np.median(correlation[member[:, None] != member[None]]) < 0.15


def test_every_gene_has_the_marginal_of_a_real_gene():
    real = np.sort(load_tcga_colorectal().X.to_numpy(dtype=np.float64), axis=0)
    phantom = planted_table(n_samples=90, n_genes=400, random_state=0)
    simulated = np.sort(phantom.X.to_numpy(), axis=0)
    distances = [np.abs(real - column[:, None]).max(0).min() for column in simulated.T]
    assert max(distances) < 1e-5


def test_given_marginals_are_used_and_constant_ones_left_out():
    lent = pd.DataFrame({"flat": np.zeros(50), "counts": np.arange(50) % 3})
    values = planted_table(**SMALL, marginals=lent, random_state=0).X.to_numpy()
    assert values.min() == 0
    assert values.max() == 2
    assert (values.max(0) == 2).all()


def test_library_size_moves_all_genes_and_knows_no_label():
    phantom = planted_table(**SMALL, random_state=0)
    level = phantom.X.rank().mean(axis=1)
    assert np.corrcoef(level, phantom.nuisance)[0, 1] > 0.8
    assert univariate_scores(phantom.nuisance[:, None], phantom.y)[0] < 3.0


def test_f_finds_most_marginal_genes_and_no_interaction():
    marginal, interaction = [], []
    for seed in range(3):
        phantom = planted_table(random_state=seed)
        score = univariate_scores(phantom.X, phantom.y)
        marginal.append(average_precision(score, phantom.marginal, phantom.interaction))
        interaction.append(average_precision(score, phantom.interaction, phantom.marginal))
    assert all(0.90 <= value <= 1.0 for value in marginal)
    assert 0.93 <= np.mean(marginal) <= 0.995
    assert max(interaction) < 0.03


@pytest.fixture(scope="module")
def phantom():
    return planted_table(random_state=1)


LEARNED, HELD = np.arange(400), np.arange(400, 500)


@pytest.mark.parametrize(("name", "low", "high"), [("logistic L2", 0.25, 0.45), ("elastic net", 0.5, 0.9)])
def test_logistic_regression_tells_types_as_well_as_stated(name, low, high, phantom):
    model = comparators("classification", n_features=6000, random_state=0)[name]
    model.fit(phantom.X.iloc[LEARNED], phantom.types[LEARNED])
    assert low <= model.score(phantom.X.iloc[HELD], phantom.types[HELD]) <= high


@pytest.mark.parametrize("name", ["random forest", "gradient boosting"])
def test_trees_do_not_find_the_interaction(name, phantom):
    boosted = name == "gradient boosting"
    if boosted:
        pytest.importorskip("lightgbm", reason="the figure was measured with LightGBM")
    model = comparators("classification", n_features=6000, random_state=0, quick=True)[name]
    model.fit(phantom.X.iloc[LEARNED], phantom.y[LEARNED])
    assert 0.35 <= (model.predict(phantom.X.iloc[HELD]) % 2 == phantom.bits[HELD]).mean() <= 0.65
    score = tree_shap_scores(model, phantom.X.iloc[HELD]) if boosted else model[-1].feature_importances_
    assert average_precision(score, phantom.marginal, phantom.interaction) > 0.4
    assert average_precision(score, phantom.interaction, phantom.marginal) < 0.02


def test_a_leaking_interaction_would_be_caught(phantom):
    leaking = phantom.X.copy()
    leaking.loc[phantom.bits == 1, phantom.interaction] += 0.5 * leaking.loc[:, phantom.interaction].std()
    score = univariate_scores(leaking, phantom.y)
    assert average_precision(score, phantom.interaction, phantom.marginal) > 0.5


@pytest.mark.parametrize("truth", ["modules", "scattered", "mixed"])
def test_the_interaction_is_there_for_who_looks_at_products(truth):
    assert products_tell_the_bit(planted_table(truth=truth, random_state=0)) > 0.85
    assert products_tell_the_bit(planted_table(effect=0.2, truth=truth, random_state=0)) < 0.7


def test_implant_shifts_one_correlated_module_of_the_positive_samples():
    tumours = load_tcga_colorectal().X
    before = tumours.copy()
    positive = np.arange(len(tumours)) % 2 == 0
    table, truth = implant_module(tumours, positive, genes=20, shift_sd=0.8, rng=np.random.default_rng(0))
    pd.testing.assert_frame_equal(tumours, before, check_exact=True)
    assert truth.sum() == 20
    shift = (table - tumours).to_numpy()
    expected = 0.8 * tumours.to_numpy(dtype=np.float64).std(0) * truth
    np.testing.assert_allclose(shift[positive], np.broadcast_to(expected, shift[positive].shape), atol=1e-5)
    assert not shift[~positive].any()
    assert (table.dtypes == np.float32).all()
    correlation = np.corrcoef(tumours.to_numpy()[:, truth].T)
    others = np.corrcoef(tumours.to_numpy()[:, :200].T)
    assert correlation[np.triu_indices(20, 1)].mean() > others[np.triu_indices(200, 1)].mean() + 0.2


def test_implant_keeps_missing_values_and_leaves_constant_genes():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(30, 6)))
    table[3] = 1.0
    table.iloc[2, 1] = np.nan
    planted, truth = implant_module(table, np.arange(30) < 15, genes=5, shift_sd=1.0, rng=rng)
    assert truth.tolist() == [True, True, True, False, True, True]
    assert planted.isna().sum().sum() == 1


def test_one_stream_gives_one_place_at_every_grade():
    implant = ModuleImplant(load_tcga_colorectal().X, genes=10)
    (weak, first), truth = implant(0.5, np.random.default_rng(4))
    (strong, second), same = implant(1.0, np.random.default_rng(4))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(truth, same)
    np.testing.assert_allclose((strong - implant.X).to_numpy(), 2 * (weak - implant.X).to_numpy(), atol=1e-4)


def test_labels_of_an_implant_keep_owners_together_and_their_share():
    owners = np.repeat(np.arange(30), 3)
    (_, positive), _ = ModuleImplant(load_tcga_colorectal().X, share=0.2, groups=owners)(0.0, np.random.default_rng(0))
    assert (positive.reshape(30, 3) == positive.reshape(30, 3)[:, :1]).all()
    assert positive.sum() == 18


def best_genes_are_the_module(data, truth):
    """Whether half of the planted genes stand above nearly all others by F: a plain pipeline."""
    table, positive = data
    score = univariate_scores(table, positive)
    return np.median(score[truth]) > np.quantile(score[~truth], 0.999)


def test_detection_limit_of_the_f_test_in_the_users_table(tmp_path):
    implant = ModuleImplant(load_tcga_colorectal().X)
    grades = [0.0, 0.4, 0.8, 1.2, 1.6]
    found = run_implants(implant, best_genes_are_the_module, grades, n_repeats=12, random_state=0, shards=tmp_path)
    limit = detection_limit(grades, found > 0.5)
    assert limit.frequency[0] <= 0.1
    assert limit.frequency[-1] == 1.0
    assert 0.4 <= limit.limit <= 1.6


def test_impossible_phantoms_and_implants_are_refused():
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(10, 4)))
    half, rng = np.arange(10) < 5, np.random.default_rng(0)
    with pytest.raises(InputError, match="20 samples and 400 genes"):
        planted_table(n_samples=10, random_state=0)
    with pytest.raises(InputError, match="effect must be 0 or more"):
        planted_table(effect=-1.0, random_state=0)
    with pytest.raises(InputError, match="truth must be one of modules"):
        planted_table(truth="rings", random_state=0)
    with pytest.raises(InputError, match="marginals must be a finite table"):
        planted_table(**SMALL, marginals=[[np.nan], [1.0]], random_state=0)
    with pytest.raises(InputError, match="no column of marginals varies"):
        planted_table(**SMALL, marginals=np.ones((5, 3)), random_state=0)
    with pytest.raises(ShapeError, match="positive"):
        implant_module(table, half[:5], shift_sd=1.0, rng=rng)
    with pytest.raises(InputError, match="true for some samples, not for all"):
        implant_module(table, np.ones(10, dtype=bool), genes=2, shift_sd=1.0, rng=rng)
    with pytest.raises(InputError, match="genes >= 1 and shift_sd >= 0"):
        implant_module(table, half, genes=2, shift_sd=-1.0, rng=rng)
    with pytest.raises(DesignError, match="4 genes vary, fewer than the 20"):
        implant_module(table, half, shift_sd=1.0, rng=rng)
    with pytest.raises(InputError, match="share must lie between"):
        ModuleImplant(table, share=1.0)
    with pytest.raises(ShapeError, match="groups"):
        ModuleImplant(table, groups=np.arange(3))
