"""The search over settings: starts at the recipe, survives a break without a trace, keeps to its rows."""

from dataclasses import replace

import numpy as np
import pytest

from kotowari.studies.omics.model import tuning as tuning_module
from kotowari.studies.omics.model.ensemble import Recipe, Targets
from kotowari.studies.omics.model.tuning import Tuning, tuned
from kotowari.training.plan import TrainingPlan

LABELS = np.arange(48) % 2
TARGETS = Targets.of_classes(LABELS.astype(np.int64), 2)
IMAGES = np.random.default_rng(0).random((48, 1, 4, 4)).astype(np.float32)
BEST_RATE = 4e-3


class KilledError(BaseException):
    """Not an Exception: leaves a trial unfinished, as a killed process does."""


class FakeFits:
    """In place of trainings: the nearer the learning rate lies to the best, the surer the scores."""

    def __init__(self):
        self.recipes, self.groups, self.rows, self.killed_at = [], [], [], None

    def __call__(self, images, targets, recipe, *, groups, seed):
        del targets, seed
        if len(self.recipes) == self.killed_at:
            raise KilledError
        self.recipes.append(recipe)
        self.groups.append(groups)
        self.rows.append(images)
        return self

    def scores(self, images):
        off = abs(np.log(self.recipes[-1].plan.learning_rate / BEST_RATE))
        truth = np.array([np.flatnonzero((image == IMAGES).all((1, 2, 3)))[0] for image in images])
        sign = np.where(LABELS[truth] == 1, 1.0, -1.0) / (0.1 + off)
        return np.stack([-sign, sign], 1).astype(np.float32)


@pytest.fixture
def fits(monkeypatch):
    fake = FakeFits()
    monkeypatch.setattr(tuning_module, "fit_member", fake)
    return fake


def search(n_trials, *, journal=None, recipe=None, images=IMAGES, groups=None, seed=0):
    recipe = recipe or Recipe(plan=TrainingPlan(learning_rate=1e-3))
    return tuned(images, TARGETS, recipe, groups=groups, tuning=Tuning(n_trials, seed, journal))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(network="squeeze", options={"width": 8}, plan=TrainingPlan(mixup=0.2)),
        # no trial could draw these, and the first one takes them all the same
        Recipe(options={"width": 12, "dropout": 0.9}, plan=TrainingPlan(learning_rate=0.5, weight_decay=0.0)),
    ],
)
def test_the_first_trial_is_the_given_recipe(fits, recipe):
    assert search(1, recipe=recipe) == recipe
    assert fits.recipes == [recipe]


def test_the_search_finds_better_settings(fits):
    start = Recipe(plan=TrainingPlan(learning_rate=3e-4))
    found = search(12, recipe=start)
    rates = np.array([recipe.plan.learning_rate for recipe in fits.recipes])
    assert len(rates) == 12
    assert found.plan.learning_rate == rates[np.abs(np.log(rates / BEST_RATE)).argmin()] != 3e-4


def test_a_recipe_that_no_trial_beats_is_kept(fits):
    best = Recipe(plan=TrainingPlan(learning_rate=BEST_RATE))
    assert search(8, recipe=best) == best
    assert len(set(map(repr, fits.recipes))) == 8


@pytest.mark.parametrize("broken_at", [0, 1, 4, 7])
def test_a_broken_search_ends_as_an_unbroken_one(fits, tmp_path, broken_at):
    unbroken = search(9, journal=tmp_path / "whole.log")
    whole, fits.recipes, fits.killed_at = fits.recipes, [], broken_at
    with pytest.raises(KilledError):
        search(9, journal=tmp_path / "sub" / "broken.log")
    fits.killed_at = None
    assert search(9, journal=tmp_path / "sub" / "broken.log") == unbroken
    assert fits.recipes == whole  # no trial was lost, none ran twice


def test_a_finished_journal_runs_nothing_again_and_can_be_prolonged(fits, tmp_path):
    search(5, journal=tmp_path / "j.log")
    before = len(fits.recipes)
    first = search(5, journal=tmp_path / "j.log")
    assert len(fits.recipes) == before == 5
    search(7, journal=tmp_path / "j.log")
    assert len(fits.recipes) == 7
    assert first == search(5)


def test_a_journal_of_other_samples_or_settings_is_not_taken_over(fits, tmp_path):
    search(3, journal=tmp_path / "j.log")
    search(3, journal=tmp_path / "j.log", images=np.ascontiguousarray(IMAGES[::-1]))
    search(3, journal=tmp_path / "j.log", recipe=Recipe(shrink=False))
    search(3, journal=tmp_path / "j.log", seed=1)
    assert len(fits.recipes) == 12


def test_equal_seeds_give_equal_trials_and_other_seeds_others(fits):
    for seed in (0, 0, 1):
        search(4, seed=seed)
    assert fits.recipes[:4] == fits.recipes[4:8] != fits.recipes[8:]


def test_the_hold_out_tears_no_owner_apart(fits):
    owners = np.repeat(np.arange(12), 4)
    search(1, groups=owners)
    learned = set(fits.groups[0])
    rows = {np.flatnonzero((image == IMAGES).all((1, 2, 3)))[0] for image in fits.rows[0]}
    assert rows == set(np.flatnonzero(np.isin(owners, list(learned))))
    assert 0 < len(learned) < 12


def test_every_trial_learns_from_the_same_rows(fits):
    search(4)
    assert len({rows.tobytes() for rows in fits.rows}) == 1


def test_values_are_tuned_as_classes_are():
    values = (IMAGES[:, 0, 0, 0:1] - IMAGES[:, 0, 0, 0].mean()).astype(np.float32)
    start = Recipe(plan=TrainingPlan(max_epochs=2), n_pairs=0)
    found = tuned(IMAGES, Targets(values, None), start, groups=None, tuning=Tuning(2, 0))
    assert replace(found, options={}, plan=start.plan, shrink=True) == start
