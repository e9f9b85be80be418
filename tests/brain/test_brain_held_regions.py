"""Regions count where their part in the score of subjects kept aside goes along with the target."""

from types import SimpleNamespace

import numpy as np
import pytest

from kotowari.studies.brain import held_regions
from kotowari.studies.brain.held_regions import regions_against_chance
from kotowari.studies.brain.model.regression_targets import Target
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.questions import Question
from kotowari.trust.folds import Fold

N, REGIONS, SHUFFLES = 40, 6, 59


def question(values, kind="number", transform="none"):
    return Question(Target.of("dose", values, kind=kind, transform=transform), None, Subjects(), False)


def job_of(asked, parts):
    """A job of two folds whose parts of regions stand as given, ``(1 + shuffle, subject, region)``."""
    rows = np.arange(N)
    folds = [Fold(rows[rows % 2 == k], rows[rows % 2 != k]) for k in (1, 0)]
    return SimpleNamespace(
        questions=[asked],
        first_folds=folds,
        folds_of=lambda _question, own: own,
        shard=lambda _batch, name: {"parts-0": parts[:, folds[int(name[-1])].test].astype(np.float32)},
        seed=lambda *_: 3,
        config=SimpleNamespace(trust=SimpleNamespace(n_map_shuffles=SHUFFLES)),
    )


def test_the_region_that_goes_along_is_found_and_no_other(rng):
    y = rng.normal(size=N)
    asked = question(y)
    parts = rng.normal(size=(1 + SHUFFLES, N, REGIONS))
    parts[0, :, 2] += 3 * y
    found = regions_against_chance(job_of(asked, parts), asked)
    assert found.n_draws == SHUFFLES
    assert found.p[2] == pytest.approx(1 / (1 + SHUFFLES))
    assert np.delete(found.p, 2).min() > 0.05
    parts[0, :, 2] *= -1
    assert regions_against_chance(job_of(asked, parts), asked).p[2] > 0.5, "a part that goes against the target"


def test_a_region_that_only_tells_the_fold_is_not_found(rng):
    y = rng.normal(size=N) + 5 * (np.arange(N) % 2)
    asked = question(y)
    parts = rng.normal(size=(1 + SHUFFLES, N, REGIONS))
    parts[:, :, 0] += 50 * (np.arange(N) % 2)
    assert regions_against_chance(job_of(asked, parts), asked).p[0] > 0.05


def test_large_parts_that_go_along_with_nothing_are_not_found(rng):
    y = rng.normal(size=N)
    asked = question(y)
    parts = rng.normal(size=(1 + SHUFFLES, N, REGIONS))
    parts[0] *= 100
    assert regions_against_chance(job_of(asked, parts), asked).p.min() > 0.05


def test_p_of_nothing_is_even_and_a_pair_of_numbers_is_not_asked(rng):
    p = []
    for _ in range(40):
        asked = question(rng.normal(size=N))
        parts = rng.normal(size=(1 + SHUFFLES, N, REGIONS))
        p.append(regions_against_chance(job_of(asked, parts), asked).p.min())
    assert 0.35 < np.mean(p) < 0.65
    assert np.mean(np.array(p) <= 0.05) <= 0.15
    both = question(rng.normal(size=(N, 2)), kind="several")
    assert regions_against_chance(job_of(both, parts), both) is None


def test_r_is_that_of_numpy_with_every_fold_centred(rng):
    parts, truths = rng.normal(size=(3, 20, 4)), rng.normal(size=(3, 20))
    parts -= parts.mean(1, keepdims=True)
    truths -= truths.mean(1, keepdims=True)
    found = held_regions._correlations(parts, truths)
    for draw in range(3):
        for region in range(4):
            expected = np.corrcoef(parts[draw, :, region], truths[draw])[0, 1]
            assert found[draw, region] == pytest.approx(expected)
    parts[:, :, 1] = 0
    assert (held_regions._correlations(parts, truths)[:, 1] == 0).all(), "a region that adds nothing has no r"
