"""Staged selection: raw maps, unions as defined, all genes of a pixel, stages that end for a stated reason."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, log_loss

from kotowari.core.errors import DesignError, InputError
from kotowari.explain.cam import class_activation_map
from kotowari.explain.integrated_gradients import integrated_gradients
from kotowari.explain.upsample import upsample
from kotowari.studies.omics.model import selector as selector_module
from kotowari.studies.omics.model.estimators import DeepInsightClassifier, DeepInsightRegressor
from kotowari.studies.omics.model.images import PixelMap
from kotowari.studies.omics.model.selection import RELEVANCES, balanced_loss, class_peaks, passing
from kotowari.studies.omics.model.selector import DeepFeatureSelector
from kotowari.studies.omics.model.transformer import DeepInsightTransformer
from kotowari.training.plan import TrainingPlan

PLAN = TrainingPlan(max_epochs=20, learning_rate=3e-3)
SHORT = TrainingPlan(max_epochs=2)


def classifier(layout="pca", plan=SHORT, **options):
    transformer = DeepInsightTransformer(**({"layout": layout} if isinstance(layout, str) else layout))
    return DeepInsightClassifier(**({"transformer": transformer, "n_members": 1, "plan": plan, "n_pairs": 0} | options))


def selector(estimator=None, **options):
    return DeepFeatureSelector(estimator=estimator or classifier(), **options)


def planted(samples=120, genes=300, signal=15, effect=1.5, seed=0):
    """Three classes, each raised in a third of the planted genes, which lie anywhere in the table."""
    rng = np.random.default_rng(seed)
    values, labels = rng.normal(size=(samples, genes)), np.arange(samples) % 3
    truth = rng.choice(genes, signal, replace=False)
    for klass in range(3):
        values[np.ix_(labels == klass, truth[klass::3])] += effect
    return pd.DataFrame(values, columns=[f"G{n}" for n in range(genes)]), labels, np.isin(np.arange(genes), truth)


def fitted_on_grid(network="residual", side=16, **options):
    """One gene a pixel, row by row; the gene in the middle is raised in class 1."""
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(90, side**2)), np.arange(90) % 3
    middle = side * (side // 2) + side // 2
    values[labels == 1, middle] += 4
    grid = np.stack(np.divmod(np.arange(side**2), side), 1).astype(float)
    layout = {"coordinates": grid, "shape": (side, side), "assignment": "lsa"}
    model = classifier(layout, network=network, **options).fit(values, labels)
    return model, model.transformer_.transform(values), labels, middle


@pytest.fixture
def given_losses(monkeypatch):
    """Put a course of losses in place of those that the stages have."""

    def give(*losses, se=0.1):
        course = iter(losses)
        monkeypatch.setattr(selector_module, "balanced_loss", lambda *_: (next(course), se))

    return give


# --------------------------------------------------------------------------------------------------- maps to genes


@pytest.mark.parametrize("relevance", RELEVANCES)
def test_a_peak_is_the_largest_raw_value_over_the_samples_of_a_class(relevance):
    model, images, labels, _ = fitted_on_grid()
    network, (pixel_map,) = model.members_[0].network, model.transformer_.maps_
    x = torch.as_tensor(images[labels == 1])
    if relevance == "cam":
        maps = upsample(class_activation_map(network, x, 1), (16, 16))
    else:
        found = integrated_gradients(network, x, 1, reference=model.members_[0].reference, min_points=32, max_points=32)
        maps = found.values[:, 0]
    peaks = class_peaks(model, images, labels, relevance=relevance)
    assert peaks.shape == (3, 1, 256)
    np.testing.assert_allclose(peaks[1, 0], pixel_map.table(maps.numpy()).max(0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("relevance", RELEVANCES)
def test_a_weaker_sample_stays_weaker(relevance):
    model, images, labels, _ = fitted_on_grid(plan=PLAN)
    mean = model.members_[0].reference.numpy()
    faint = mean + 0.5 * (images - mean)
    whole, half = (class_peaks(model, given, labels, relevance=relevance) for given in (images, faint))
    # maps stretched image by image would give both the same range
    assert np.ptp(half) < 0.9 * np.ptp(whole)


def test_the_published_map_decides_about_blocks_and_integrated_gradients_about_pixels():
    model, images, labels, middle = fitted_on_grid(plan=PLAN)
    beside = middle + np.array([-1, 1, -16, 16])
    share = {}
    for relevance in RELEVANCES:
        peaks = class_peaks(model, images, labels, relevance=relevance)[1, 0]
        background = np.median(peaks)
        share[relevance] = (peaks[beside].max() - background) / (peaks[middle] - background)
    assert share["cam"] > 0.5 > 3 * share["integrated_gradients"]


def test_a_union_over_samples_and_classes_is_what_passes():
    rng = np.random.default_rng(0)
    pixels = np.stack(np.divmod(np.arange(30), 6), 1)
    maps, labels = rng.normal(size=(40, 30)), np.arange(40) % 2
    peaks = np.stack([maps[labels == klass].max(0) for klass in (0, 1)])[:, None]
    for threshold_of, threshold in (("quantile", 0.8), ("largest", 0.7)):
        union = np.zeros(30, bool)
        for klass in (0, 1):
            own = peaks[klass, 0]
            limit = np.quantile(own, threshold) if threshold_of == "quantile" else threshold * own.max()
            for sample in maps[labels == klass]:
                union |= sample > limit
        passed = passing(peaks, [PixelMap(pixels, (5, 6))], threshold=threshold, threshold_of=threshold_of)
        np.testing.assert_array_equal(passed, union)
        assert 0 < union.sum() < 30


def test_all_genes_of_a_pixel_pass_and_the_pixel_counts_once():
    pixels = np.array([[0, 0]] * 12 + [[0, 1], [0, 2], [0, 3]])
    peaks = np.array([4.0] * 12 + [3.0, 2.0, 1.0])[None, None]
    for threshold, expected in ((0.9, 12), (0.5, 13)):
        passed = passing(peaks, [PixelMap(pixels, (1, 4))], threshold=threshold, threshold_of="quantile")
        assert passed.sum() == expected  # by genes, not pixels, the median would be 4 and nothing would pass
        assert passed[:12].all()


@pytest.mark.parametrize("n_classes", [2, 5, 11])
def test_half_of_the_genes_pass_by_default_however_many_classes_there_are(n_classes):
    peaks = np.random.default_rng(0).normal(size=(n_classes, 1, 400))
    pixels = np.stack(np.divmod(np.arange(400), 20), 1)
    passed = passing(peaks, [PixelMap(pixels, (20, 20))], threshold=None, threshold_of="quantile")
    assert passed.sum() == pytest.approx(200, abs=n_classes)


def test_a_class_that_nothing_speaks_for_lets_nothing_pass():
    peaks = np.stack([[-1.0, -2.0, -3.0], [1.0, 0.1, 0.2]])[:, None]
    passed = passing(
        peaks, [PixelMap(np.array([[0, 0], [0, 1], [0, 2]]), (1, 3))], threshold=None, threshold_of="largest"
    )
    assert passed.tolist() == [True, False, False]


# --------------------------------------------------------------------------------------------------------- the loss


def test_the_loss_is_the_balanced_log_loss_with_the_textbook_error(rng):
    scores, labels = rng.normal(size=(40, 3)).astype(np.float32), rng.choice(3, 40, p=[0.6, 0.3, 0.1])
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    weights = 40 / (3 * np.bincount(labels)[labels])
    loss, se = balanced_loss(scores, labels, None)
    assert loss == pytest.approx(log_loss(labels, shares, sample_weight=weights), rel=1e-5)
    each = -weights * np.log(shares[np.arange(40), labels])
    assert se == pytest.approx(each.std(ddof=1) / 40**0.5, rel=1e-5)


def test_samples_given_twice_make_the_error_smaller_only_where_the_owner_is_hidden(rng):
    scores, labels = rng.normal(size=(40, 2)).astype(np.float32), np.arange(40) % 2
    once = balanced_loss(scores, labels, None)
    told = balanced_loss(np.repeat(scores, 2, 0), np.repeat(labels, 2), np.repeat(np.arange(40), 2))
    hidden = balanced_loss(np.repeat(scores, 2, 0), np.repeat(labels, 2), None)
    assert told == pytest.approx(once)
    assert hidden[1] < 0.8 * once[1]


# ----------------------------------------------------------------------------------------------------------- stages


def test_planted_genes_are_kept_and_lead():
    table, labels, truth = planted()
    chosen = selector(classifier(plan=PLAN), n_features=150).fit(table, labels)
    assert len(chosen.stages_) == 2
    assert 140 <= chosen.support_.sum() <= 150
    assert truth[chosen.support_].sum() >= 14
    assert average_precision_score(truth, chosen.scores_) > 0.5


def test_shuffled_labels_keep_planted_genes_at_chance():
    table, labels, truth = planted()
    shuffled = np.random.default_rng(1).permutation(labels)
    chosen = selector(classifier(plan=PLAN), n_features=150).fit(table, shuffled)
    assert average_precision_score(truth, chosen.scores_) < 0.2


def test_stages_halve_until_few_enough_are_left(given_losses):
    table, labels, _ = planted(samples=45)
    given_losses(1.0, 1.05, 0.9, 0.95, 0.99)
    chosen = selector(n_features=40).fit(table, labels)
    sizes = np.array([stage.n_genes for stage in chosen.stages_])
    assert len(sizes) == 4
    assert (sizes[1:] <= sizes[:-1] / 2).all()
    assert (sizes[1:] >= 0.4 * sizes[:-1]).all()
    assert all(stage.taken for stage in chosen.stages_)
    assert chosen.support_.sum() == sizes[-1]
    assert [(chosen.ranking_ >= rank).sum() for rank in (1, 2, 3, 4)] == [300, *(300 - sizes[:0:-1])]
    assert ((chosen.ranking_ == 1) == chosen.support_).all()
    assert chosen.estimator_.n_features_in_ == sizes[-1]
    assert chosen.estimator_.feature_names_in_.tolist() == chosen.get_feature_names_out().tolist()


def test_a_loss_above_one_standard_error_gives_the_stage_before(given_losses):
    table, labels, _ = planted(samples=45)
    given_losses(1.0, 0.8, 0.95)  # 0.8 + 0.1 is passed
    chosen = selector(n_features=10).fit(table, labels)
    assert [stage.taken for stage in chosen.stages_] == [True, True, False]
    assert chosen.support_.sum() == chosen.stages_[1].n_genes == chosen.estimator_.n_features_in_ < 300
    assert chosen.ranking_.max() == 2


def test_small_losses_one_after_the_other_do_not_add_up_unseen(given_losses):
    table, labels, _ = planted(samples=45)
    given_losses(1.0, 1.09, 1.12, 1.2)  # each within 0.1 of the one before, the third not of the best
    chosen = selector(n_features=10).fit(table, labels)
    assert [stage.taken for stage in chosen.stages_] == [True, True, False]


def test_a_map_of_one_cell_cannot_choose_and_ends_the_stages():
    table, labels, _ = planted(samples=45)
    estimator = classifier(network="two_branch", network_options={"filters": 2, "kernels": (3, 5)})
    chosen = selector(estimator, relevance="cam", n_features=10).fit(table, labels)
    assert len(chosen.stages_) == 1
    assert chosen.support_.all()


@pytest.mark.parametrize("network", ["squeeze", "two_branch"])
def test_published_networks_keep_the_frame_that_they_need(network, given_losses):
    table, labels, _ = planted(samples=45)
    given_losses(*[1.0] * 9)
    options = {"squeeze": {"width": 8}, "two_branch": {"filters": 2, "kernels": (3, 5)}}[network]
    chosen = selector(classifier(network=network, network_options=options), n_features=40).fit(table, labels)
    assert chosen.support_.sum() <= 40
    assert chosen.estimator_.transformer_.shape_ == (16, 16)


@pytest.mark.parametrize("relevance", RELEVANCES)
def test_several_maps_are_united(relevance, given_losses):
    table, labels, _ = planted(samples=45, genes=80)
    given_losses(1.0, 1.0)
    estimator = classifier({"layout": "tsne", "n_maps": 2})
    chosen = selector(estimator, relevance=relevance, n_features=60).fit(table, labels)
    assert 20 <= chosen.support_.sum() <= 40


def test_layers_of_a_gene_are_chosen_together(given_losses):
    table, labels, _ = planted(samples=45, genes=60)
    pairs = pd.concat({"rna": table, "dna": table + 1}, axis=1)
    mapping = {"rna": [f"rna:G{n}" for n in range(60)], "dna": [f"dna:G{n}" for n in range(60)]}
    flat = pairs.set_axis([f"{layer}:{gene}" for layer, gene in pairs.columns], axis=1)
    chosen = {}
    for name, given, layers in (("pairs", pairs, None), ("mapping", flat, mapping)):
        given_losses(1.0, 1.0)
        chosen[name] = selector(classifier({"layout": "pca", "layers": layers}), n_features=30).fit(given, labels)
        support = chosen[name].support_.reshape(2, 60)
        assert (support[0] == support[1]).all()
        assert chosen[name].stages_[-1].n_genes == support[0].sum() <= 30
    assert (chosen["pairs"].support_ == chosen["mapping"].support_).all()
    assert chosen["pairs"].transform(pairs).columns.nlevels == 2


def test_given_places_go_with_their_genes(given_losses):
    table, labels, _ = planted(samples=45, genes=60)
    places = np.random.default_rng(0).random((60, 2))
    support = []
    for given in (places, pd.DataFrame(places, index=table.columns)):
        given_losses(1.0, 1.0)
        chosen = selector(classifier({"coordinates": given}), n_features=30).fit(table, labels)
        support.append(chosen.support_)
        assert len(chosen.stages_) == 2
    assert (support[0] == support[1]).all()


# ------------------------------------------------------------------------------------------------- rows kept aside


def test_rows_kept_aside_give_no_map():
    table, labels, _ = planted(samples=45, genes=40)
    first = selector(n_features=40).fit(table, labels)
    poisoned = table.copy()
    poisoned.iloc[first.fold_.test] *= 100
    second = selector(n_features=40).fit(poisoned, labels)
    assert first.scores_.tobytes() == second.scores_.tobytes()
    assert first.stages_ != second.stages_
    poisoned.iloc[first.fold_.train[0]] *= 100  # a row that is learned from would be seen
    assert first.scores_.tobytes() != selector(n_features=40).fit(poisoned, labels).scores_.tobytes()


def test_no_owner_is_both_learned_from_and_kept_aside():
    table, labels, _ = planted(samples=60, genes=30)
    owners = np.repeat(np.arange(20), 3)[np.argsort(labels, kind="stable")]
    fold = selector(n_features=30).fit(table, labels, groups=owners).fold_
    assert not set(owners[fold.train]) & set(owners[fold.test])
    alone = selector(n_features=30).fit(table, labels).fold_
    assert set(owners[alone.train]) & set(owners[alone.test])


# ---------------------------------------------------------------------------------------- names, seeds, files, errors


def test_names_are_kept_and_another_order_is_refused():
    table, labels, _ = planted(samples=45, genes=40)
    chosen = selector(n_features=20).fit(table, labels)
    small = chosen.transform(table)
    pd.testing.assert_frame_equal(small, table.loc[:, chosen.get_feature_names_out()])
    assert chosen.get_support(indices=True).tolist() == np.flatnonzero(chosen.get_support()).tolist()
    np.testing.assert_array_equal(
        selector(n_features=20).fit(table.to_numpy(), labels).transform(table.to_numpy()), small
    )
    with pytest.raises(ValueError, match="must be in the same order"):
        chosen.transform(table[table.columns[::-1]])


def test_equal_seeds_give_equal_choices():
    table, labels, _ = planted(samples=45, genes=60)
    runs = [selector(n_features=30, random_state=seed).fit(table, labels) for seed in (3, 3, 4)]
    assert runs[0].scores_.tobytes() == runs[1].scores_.tobytes() != runs[2].scores_.tobytes()
    assert runs[0].stages_ == runs[1].stages_


def test_a_saved_choice_comes_back_without_pickles(tmp_path):
    table, labels, _ = planted(samples=45, genes=60)
    chosen = selector(n_features=30).fit(table, labels)
    chosen.save(tmp_path / "choice")
    loaded = DeepFeatureSelector.load(tmp_path / "choice")
    pd.testing.assert_frame_equal(loaded.transform(table), chosen.transform(table))
    assert loaded.stages_ == chosen.stages_
    assert (loaded.ranking_ == chosen.ranking_).all()
    assert loaded.scores_.tobytes() == chosen.scores_.tobytes()
    small = chosen.transform(table)
    assert loaded.estimator_.scores(small).tobytes() == chosen.estimator_.scores(small).tobytes()
    assert {p.suffix for p in (tmp_path / "choice").rglob("*") if p.is_file()} == {".json", ".safetensors"}
    (tmp_path / "selector.json").write_text("{}")
    with pytest.raises(InputError, match="no saved DeepFeatureSelector"):
        DeepFeatureSelector.load(tmp_path)


def test_the_default_classifier_is_made_from_the_seed():
    table, labels, _ = planted(samples=24, genes=20)
    chosen = DeepFeatureSelector(n_features=20).fit(table, labels)
    assert isinstance(chosen.estimator_, DeepInsightClassifier)
    assert chosen.support_.all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relevance": "jet"}, "relevance must be one of integrated_gradients, cam"),
        ({"threshold_of": "image"}, "threshold_of must be one of quantile, largest"),
        ({"threshold": 1.0}, "threshold must lie between 0 and 1"),
        ({"n_features": 0}, "n_features must be 1 or more"),
        ({"validation_fraction": 0.0}, "fraction must lie between 0 and 1"),
        ({"estimator": DeepInsightRegressor()}, "must be a DeepInsightClassifier, got a DeepInsightRegressor"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(options, message):
    table, labels, _ = planted(samples=24, genes=20)
    with pytest.raises(InputError, match=message):
        selector(**options).fit(table, labels)


def test_a_class_that_cannot_be_held_out_is_refused_by_name():
    table, labels, _ = planted(samples=24, genes=20)
    names = np.array(["luad", "lusc", "brca"])[labels]
    names[0] = "rare"
    with pytest.raises(DesignError, match="'rare' has one sample"):
        selector().fit(table, names)


def test_missing_values_are_taken_where_the_layout_takes_them():
    table, labels, _ = planted(samples=45, genes=30)
    table.iloc[3, 7] = np.nan
    with pytest.raises(InputError, match="column 'G7'"):
        selector(n_features=30).fit(table, labels)
    chosen = selector(classifier({"layout": "pca", "missing": "zero"}), n_features=15).fit(table, labels)
    assert chosen.transform(table).shape[0] == 45
