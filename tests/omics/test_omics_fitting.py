"""The fits of a run: what they may see, and that what they return adds up."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from small_omics import PLANTED, SMALL, make_table

from kotowari.studies.omics import DeepInsightClassifier, DeepInsightTransformer
from kotowari.studies.omics.config import Config
from kotowari.studies.omics.fitting import (
    Drawn,
    class_scores,
    fit_and_explain,
    fit_layout,
    joined_scores,
    make_estimator,
    make_transformer,
    patient_bootstrap,
    permuted_order,
    randomised,
    taken_away,
    with_permuted_pixels,
)
from kotowari.trust.folds import Fold, grouped_folds

CONFIG = Config.model_validate({**SMALL, "data": {"table": "t.csv", "labels": "l.csv"}})


@cache
def drawn_samples():
    table, codes = make_table(40, 60)
    transformer = DeepInsightTransformer(layout="pca").fit(table)
    owners = np.array([f"owner{number}" for number in range(40)])
    return Drawn(transformer, transformer.transform(table), np.array(["a", "b"])[codes], codes, owners, 2)


def one_fold():
    drawn = drawn_samples()
    return grouped_folds(drawn.y, groups=drawn.groups, n_splits=4, random_state=0)[0]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """What a fit left in its folder, and what it returned."""
    folder = tmp_path_factory.mktemp("fit")
    return folder, fit_and_explain(
        make_estimator(CONFIG, "classification", 1), drawn_samples(), one_fold(), "samples", folder
    )


def test_relevance_is_complete_and_finds_the_planted_genes(fitted):
    _, found = fitted
    drawn, fold = drawn_samples(), one_fold()
    assert found["scores"].shape == (len(fold.test), 2)
    assert found["own"].shape == found["predicted"].shape == (len(fold.test), 60)
    assert found["gap"].max() < 0.01
    means, strength = joined_scores({"one": found})
    assert means.shape == (2, 60)
    best = np.argsort(-strength)[:10]
    assert len({drawn.transformer.genes_[gene] for gene in best} & set(PLANTED)) >= 7


def test_a_fit_never_sees_the_rows_kept_aside(fitted, tmp_path):
    drawn, fold = drawn_samples(), one_fold()
    images, y = drawn.images.copy(), drawn.y.copy()
    images[fold.test], y[fold.test] = np.nan, y[fold.test][::-1]
    poisoned = replace(drawn, images=images, y=y)
    fit_and_explain(make_estimator(CONFIG, "classification", 1), poisoned, fold, "none", tmp_path)
    said = DeepInsightClassifier.load(tmp_path).scores_of_images(drawn.images[fold.test])
    np.testing.assert_array_equal(said, DeepInsightClassifier.load(fitted[0]).scores_of_images(drawn.images[fold.test]))


def test_poison_among_the_rows_learned_from_is_noticed(tmp_path):
    drawn, fold = drawn_samples(), one_fold()
    swapped = replace(drawn, y=drawn.y[::-1])
    other = fit_and_explain(make_estimator(CONFIG, "classification", 1), swapped, fold, "none", tmp_path)
    same = fit_and_explain(make_estimator(CONFIG, "classification", 1), drawn, fold, "none", tmp_path)
    assert np.abs(other["scores"] - same["scores"]).max() > 0.1


def test_a_saved_fit_says_what_the_fit_said(fitted):
    folder, found = fitted
    again = DeepInsightClassifier.load(folder).scores_of_images(drawn_samples().images[one_fold().test])
    np.testing.assert_allclose(again, found["scores"], atol=1e-6)


def test_a_network_that_learned_nothing_explains_nothing_alike(fitted):
    folder, found = fitted
    other = randomised(folder, DeepInsightClassifier, drawn_samples(), one_fold(), 3)
    assert other.keys() == {"scores", "sums", "counts"}
    np.testing.assert_array_equal(other["counts"], found["counts"])
    trained, random = (joined_scores({"one": part})[1] for part in (found, other))
    assert abs(pd.Series(trained).corr(pd.Series(random), method="spearman")) < 0.6
    same = randomised(folder, DeepInsightClassifier, drawn_samples(), one_fold(), 3)
    np.testing.assert_array_equal(same["sums"], other["sums"])


def test_taking_the_relevant_genes_away_lowers_the_score_faster_than_random_ones(fitted):
    folder, found = fitted
    curves = taken_away(folder, DeepInsightClassifier, drawn_samples(), one_fold(), found["own"], 0)
    area = np.trapezoid(curves["insertion"], curves["fractions"]) - np.trapezoid(
        curves["deletion"], curves["fractions"]
    )
    assert area > curves["random_gaps"].max()
    against = taken_away(folder, DeepInsightClassifier, drawn_samples(), one_fold(), -found["own"], 0)
    assert against["deletion"].mean() > curves["deletion"].mean()


def test_a_layout_is_fitted_on_its_rows_alone(tmp_path):
    table, _ = make_table(20, 30)
    rows = np.arange(0, 20, 2)
    poisoned = table.copy()
    poisoned.iloc[1::2] = np.nan
    fit_layout(make_transformer(CONFIG, 0), table, rows, tmp_path / "clean")
    fit_layout(make_transformer(CONFIG, 0), poisoned, rows, tmp_path / "poisoned")
    for file in ("transformer.json", "transformer.safetensors"):
        assert (tmp_path / "clean" / file).read_bytes() == (tmp_path / "poisoned" / file).read_bytes()


def test_permuted_pixels_hold_the_same_values_elsewhere():
    drawn = drawn_samples()
    table, _ = make_table(40, 60)
    other = with_permuted_pixels(drawn, table, 0)
    np.testing.assert_array_equal(np.sort(other.images.reshape(40, -1)), np.sort(drawn.images.reshape(40, -1)))
    rows, columns = drawn.transformer.pixels_.T
    moved = (other.images[:, 0, rows, columns] != drawn.images[:, 0, rows, columns]).any(0)
    assert moved.mean() > 0.9
    np.testing.assert_array_equal(with_permuted_pixels(drawn, table, 0).images, other.images)


def test_permuted_labels_stay_inside_their_fold():
    drawn = drawn_samples()
    folds = grouped_folds(drawn.y, groups=drawn.groups, n_splits=4, random_state=0)
    order = permuted_order(folds, drawn.groups, drawn.y, 0)
    assert sorted(order) == list(range(40))
    assert (order != np.arange(40)).sum() > 20
    for fold in folds:
        assert set(order[fold.test]) == set(fold.test)
        np.testing.assert_array_equal(np.sort(drawn.y[order][fold.train]), np.sort(drawn.y[fold.train]))


def test_owners_of_one_label_move_as_wholes():
    owners = np.repeat([f"owner{k}" for k in range(12)], 2)
    y = np.repeat(["a", "b"] * 6, 2)
    folds = grouped_folds(y, groups=owners, n_splits=2, random_state=0)
    permuted = y[permuted_order(folds, owners, y, 1)]
    assert all(len(set(permuted[owners == owner])) == 1 for owner in owners)
    assert (permuted != y).any()
    mixed = np.array(["a", "b"] * 12)
    assert sorted(permuted_order(folds, owners, mixed, 1)) == list(range(24))


def test_a_bootstrap_judges_only_owners_it_did_not_learn_from():
    owners = np.repeat([f"owner{k}" for k in range(15)], 2)
    codes = np.repeat(np.arange(15) % 3, 2)
    for seed in range(50):
        fold = patient_bootstrap(owners, codes, seed)
        assert not set(owners[fold.train]) & set(owners[fold.test])
        assert set(owners[fold.train]) | set(owners[fold.test]) == set(owners)
        assert [len(fold.train[codes[fold.train] == k]) for k in range(3)] == [10, 10, 10]


@pytest.mark.parametrize(("sizes", "left"), [((3, 3), 1), ((2, 9), 1), ((2, 2), 0), ((1, 4), 1)])
def test_a_bootstrap_of_few_owners_can_still_be_stopped_by_one(sizes, left):
    codes = np.repeat(np.arange(2), sizes)
    owners = np.array([f"owner{k}" for k in range(len(codes))])
    for seed in range(50):
        fold = patient_bootstrap(owners, codes, seed)
        for code, size in enumerate(sizes):
            assert len(set(owners[fold.train][codes[fold.train] == code])) >= min(2, size)
        assert len(fold.test) >= left


def test_scores_of_classes_add_up_over_samples():
    relevance, codes = np.arange(12.0).reshape(4, 3), np.array([0, 1, 1, 0])
    found = class_scores(relevance, np.array(list("abba")), codes, 2)
    np.testing.assert_array_equal(found["sums"], [relevance[[0, 3]].sum(0), relevance[[1, 2]].sum(0)])
    np.testing.assert_array_equal(found["counts"], [2, 2])
    values = class_scores(relevance, np.array([1.0, 2.0, 3.0, 4.0]), np.zeros(4, np.int64), 1)
    np.testing.assert_array_equal(values["sums"][0], relevance[2:].sum(0) - relevance[:2].sum(0))
    means, strength = joined_scores({"one": found, "two": found})
    np.testing.assert_allclose(means, found["sums"] / 2)
    np.testing.assert_allclose(strength, np.abs(means).mean(0))


def test_a_rare_class_counts_as_much_as_a_common_one():
    part = {"sums": np.array([[90.0, 0.0], [0.0, 1.0]]), "counts": np.array([90, 1])}
    np.testing.assert_array_equal(joined_scores({"one": part})[1], [0.5, 0.5])


def test_every_option_reaches_the_layout_and_the_estimator():
    layout = {"method": "tsne", "metric": "correlation", "scaling": "norm1", "shape": [9, 8], "assignment": "lsa"}
    network = {"name": "squeeze", "n_members": 2, "n_pairs": 3, "shrink": False, "tune": 4, "noise": 0.5, "mixup": 0.2}
    data = {"missing": "zero", "table": "t.csv", "labels": "l.csv"}
    config = Config.model_validate({"layout": layout | {"n_maps": 2, "blur": 0.5}, "network": network, "data": data})
    made = make_transformer(config, 5).get_params()
    assert {"layout": "tsne", "metric": "correlation", "scaling": "norm1", "shape": (9, 8)}.items() <= made.items()
    assert {"assignment": "lsa", "n_maps": 2, "blur": 0.5, "missing": "zero", "random_state": 5}.items() <= made.items()
    estimator = make_estimator(config, "classification", 6, journal="trials.journal")
    chosen = estimator.get_params()
    assert {"network": "squeeze", "n_members": 2, "n_pairs": 3, "shrink": False, "tune": 4}.items() <= chosen.items()
    assert (estimator.plan.noise, estimator.plan.mixup, chosen["random_state"]) == (0.5, 0.2, 6)
    assert make_estimator(config, "regression", 6).tune == 0, "without a journal nothing is searched"
    assert type(make_estimator(config, "regression", 6)).__name__ == "DeepInsightRegressor"


def test_relabelled_images_are_the_same_images():
    drawn = drawn_samples()
    order = np.roll(np.arange(40), 1)
    other = drawn.relabelled(order)
    assert other.images is drawn.images
    np.testing.assert_array_equal(other.y, drawn.y[order])
    np.testing.assert_array_equal(other.codes, drawn.codes[order])


def test_a_fit_on_values_is_explained_by_one_score():
    drawn, codes = drawn_samples(), np.zeros(40, np.int64)
    y = 3.0 + drawn.codes + np.arange(40) / 100
    values = replace(drawn, y=y, codes=codes, n_outputs=1)
    found = fit_and_explain(make_estimator(CONFIG, "regression", 1), values, Fold(np.arange(30), np.arange(30, 40)))
    assert found["scores"].shape == (10, 1)
    assert found["sums"].shape == (1, 60)
