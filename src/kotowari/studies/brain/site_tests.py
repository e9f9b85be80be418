"""Questions to any harmonising: whether the site can still be told, and whether what must survive is still there."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from kotowari.core.errors import DesignError, InputError
from kotowari.core.seeds import derive_seed
from kotowari.solvers.likelihood_ridge import BinaryLikelihood, likelihood_path
from kotowari.studies.brain.model.coordinates import GramCoordinates
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import model_for
from kotowari.studies.brain.model.regression_scores import HeldOut, correlation, paired_gain
from kotowari.studies.brain.model.regression_targets import Target
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.site_arm import SiteArm, SiteTest
from kotowari.trust import scores
from kotowari.trust.folds import Fold, grouped_folds
from kotowari.trust.intervals import bootstrap_interval
from kotowari.trust.permutation import permutation_p

__all__ = ["effect_kept", "site_gap", "site_told", "site_told_in_new_subjects"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Score = tuple[FloatArray, IndexArray]
_PENALTY = 0.1  # of the squared length of a mean row


def site_told(
    arms: Mapping[str, SiteArm],
    sites: npt.ArrayLike,
    *,
    covariates: Any = None,
    n_splits: int = 5,
    n_permutations: int = 99,
    n_draws: int = 2000,
    random_state: int,
) -> list[SiteTest]:
    """Ask whether a classifier that learns from the subjects who set the harmonising can tell the site of others.

    Harmoniser and classifier learn from the training rows of each fold. **0.5 and less are no proof of success**: once
    training means are equal, the classifier has nothing to learn, or learns the harmoniser's errors the wrong way
    round. Ask :func:`site_told_in_new_subjects`, too, which sees those errors.

    Parameters
    ----------
    arms
        Name to features: raw, harmonised, volumes, covariates only.
    sites
        Site of each row.
    covariates
        What harmonisers preserve, a row each.
    n_splits
        Stratified folds.
    n_permutations
        Permutations of the sites, with which everything is fitted anew; 0 for none.
    n_draws
        Draws of the bootstrap.
    random_state
        Seed.

    Returns
    -------
    list of SiteTest
        For each arm ``site AUC`` and ``site balanced accuracy``; p belongs to the first.

    Raises
    ------
    DesignError
        When there is one site, or one with fewer subjects than folds.
    """
    subjects, codes = _sites(sites, covariates)
    rows = []
    for name, arm in arms.items():
        question = _InFolds(arm, codes, subjects, n_splits)
        rows += _told_rows(name, question, codes, (n_permutations, n_draws), random_state)
    return rows


def site_told_in_new_subjects(
    arms: Mapping[str, SiteArm],
    sites: npt.ArrayLike,
    *,
    covariates: Any = None,
    n_splits: int = 5,
    n_permutations: int = 99,
    n_draws: int = 2000,
    random_state: int,
) -> list[SiteTest]:
    """Ask whether the site can be told among subjects who had no part in setting the harmonising.

    The harmoniser learns from one half of the subjects and is applied to the other, within which a classifier is
    cross-validated; then the halves change places. This is how a harmoniser is used: whatever it has wrongly learned is
    added to every new subject of a site, and becomes the site's mark. Permutations shuffle the sites of the harmonised
    subjects for the classifier; the harmoniser stays.

    Takes, returns and raises what :func:`site_told` does; tests are called ``..., new subjects``.
    """
    subjects, codes = _sites(sites, covariates)
    halves = grouped_folds(codes, n_splits=2, random_state=derive_seed(random_state, "halves"))
    rows = []
    for name, arm in arms.items():
        question = _InNewSubjects(arm, codes, subjects, halves, n_splits)
        rows += _told_rows(name, question, codes, (n_permutations, n_draws), random_state)
    return rows


def effect_kept(
    arms: Mapping[str, SiteArm],
    target: Target,
    folds: Sequence[Fold],
    sites: npt.ArrayLike,
    *,
    covariates: Any = None,
    model: LatentRegression | None = None,
    n_draws: int = 2000,
    random_state: int,
) -> list[SiteTest]:
    """Ask whether a target is predicted as well after harmonising as before.

    Parameters
    ----------
    arms
        Name to features; the first is what the others are compared with.
    target
        A number, such as age in all or the dose in patients.
    folds
        From :func:`kotowari.studies.brain.model.regression_targets.target_folds`, best with sites.
    sites, covariates
        Of all rows. Harmonisers preserve the covariates; the regression removes them. The target may not be among them.
    model
        Unfitted, without a harmoniser; None for ridge on features as they are.
    n_draws, random_state
        Of the bootstrap.

    Returns
    -------
    list of SiteTest
        For each arm ``r of <target>``; for all but the first also ``r of <target>, gain``, paired, whose interval
        shows what was lost or won.

    Raises
    ------
    DesignError
        When the target is among the covariates.
    InputError
        When the target is no number.
    """
    if target.kind != "number":
        raise InputError(f"effect_kept: {target.name} must be a number, got a target of the kind {target.kind}.")
    subjects = Subjects.of(len(target.values), sites=sites, covariates=covariates)
    head = model_for(model or LatentRegression(scale=False), target)
    head.require_sound(target.values[target.rows], subjects.rows(target.rows))
    held = {name: _predicted(arm, head, target, folds, subjects) for name, arm in arms.items()}
    first, rows = next(iter(held)), []
    for name, said in held.items():
        options: dict[str, Any] = {"n_draws": n_draws, "random_state": random_state}
        found = bootstrap_interval(correlation, said.truth, said.prediction, groups=said.rows, **options)
        n = len(np.unique(said.rows))
        rows.append(SiteTest(name, f"r of {target.name}", found.value, found.low, found.high, None, n))
        if name != first:
            gain = paired_gain(said, held[first], **options)
            rows.append(SiteTest(name, f"r of {target.name}, gain", gain.value, gain.low, gain.high, None, n))
    return rows


def site_gap(
    arms: Mapping[str, SiteArm],
    target: Target,
    folds: Sequence[Fold],
    sites: npt.ArrayLike,
    *,
    covariates: Any = None,
    n_draws: int = 2000,
    random_state: int,
) -> list[SiteTest]:
    r"""Ask whether a difference between sites survives: by how much predictions differ at equal truth.

    .. math:: \hat y_{ij} = a + b\, y_{ij} + c_i

    with :math:`\hat y` out of fold; the gap is :math:`c` of the second site less that of the first, in units of the
    target. 0 is the goal. Where a site has older people, a harmoniser that wrongly takes the difference for an effect
    of the site leaves a gap of :math:`-b` times the difference, and a site effect that stays leaves one of either sign.

    Parameters
    ----------
    arms, folds, sites, n_draws, random_state
        As in :func:`effect_kept`.
    target
        A number that differs between two sites, such as age.
    covariates
        What harmonisers preserve, the target included if it is to survive; the regression does not see them.

    Returns
    -------
    list of SiteTest
        ``site gap of <target>``, for each arm.

    Raises
    ------
    DesignError
        When there are not two sites.
    """
    subjects = Subjects.of(len(target.values), sites=sites, covariates=covariates)
    names = np.unique(np.asarray(sites).astype(np.str_)[target.rows])
    if len(names) != 2:
        raise DesignError(f"site_gap: compares two sites, got {len(names)}. Choose two.")
    head = model_for(LatentRegression(scale=False, nuisance="none"), target)
    rows = []
    for name, arm in arms.items():
        said = _predicted(arm, head, target, folds, subjects)
        at_second = (np.asarray(sites).astype(np.str_)[said.rows] == names[1]).astype(np.float64)
        arrays = (said.truth, said.prediction, at_second)
        options: dict[str, Any] = {"n_draws": n_draws, "random_state": random_state}
        found = bootstrap_interval(_gap, *arrays, groups=said.rows, method="percentile", **options)
        n = len(np.unique(said.rows))
        rows.append(SiteTest(name, f"site gap of {target.name}", found.value, found.low, found.high, None, n))
    return rows


def _gap(truth: FloatArray, prediction: FloatArray, at_second: FloatArray) -> float:
    if at_second.min() == at_second.max():
        return np.nan
    design = np.column_stack([np.ones(len(truth)), truth - truth.mean(), at_second])
    return float((np.linalg.pinv(design) @ prediction)[2])


def _predicted(
    arm: SiteArm, head: LatentRegression, target: Target, folds: Sequence[Fold], subjects: Subjects
) -> HeldOut:
    removes = subjects.covariates is not None and head.nuisance != "none"
    parts = []
    for number, fold in enumerate(folds):
        everyone = np.concatenate([fold.train, fold.test])
        values, n_train = arm.harmonised(fold.train, everyone, subjects), len(fold.train)
        own: list[dict[str, Any]] = [
            {"covariates": subjects.rows(rows).covariates} if removes else {} for rows in (fold.train, fold.test)
        ]
        fitted = clone(head).fit(values[:n_train], target.values[fold.train], **own[0])
        said = fitted.predict(values[n_train:], **own[1])
        truth = fitted.truth(target.values[fold.test], **own[1])
        parts.append((fold.test, np.full(len(fold.test), number), truth, said))
    rows, fold_of_row, truth, said = (np.concatenate(column) for column in zip(*parts, strict=True))
    return HeldOut(rows, fold_of_row, truth, said, target.kind)


class _Question(Protocol):
    suffix: str

    def scored(self, labels: IndexArray, seed: int) -> Score:
        """Return scores of all rows, ``(row, site)``, and the number of the fit behind each."""

    def shuffled(self, rng: np.random.Generator) -> IndexArray:
        """Return sites as they could be if they had nothing to do with the features."""


class _InFolds:
    """Harmoniser and classifier learn from the training rows of each fold."""

    suffix = ""

    def __init__(self, arm: SiteArm, codes: IndexArray, subjects: Subjects, n_splits: int) -> None:
        self._arm, self._codes, self._subjects, self._n_splits = arm, codes, subjects, n_splits
        self._names = np.unique(np.asarray(subjects.sites))

    def scored(self, labels: IndexArray, seed: int) -> Score:
        where = Subjects(self._names[labels], self._subjects.covariates)
        said, fold = np.empty((len(labels), len(self._names))), np.empty(len(labels), np.intp)
        for number, part in enumerate(grouped_folds(labels, n_splits=self._n_splits, random_state=seed)):
            n_train = len(part.train)
            values = self._arm.harmonised(part.train, np.concatenate([part.train, part.test]), where)
            said[part.test] = _site_scores(values[:n_train], labels[part.train], values[n_train:])
            fold[part.test] = number
        return said, fold

    def shuffled(self, rng: np.random.Generator) -> IndexArray:
        return rng.permutation(self._codes)


class _InNewSubjects:
    """The harmoniser has learned from the other half; a classifier is cross-validated within this one."""

    suffix = ", new subjects"

    def __init__(
        self, arm: SiteArm, codes: IndexArray, subjects: Subjects, halves: Sequence[Fold], n_splits: int
    ) -> None:
        self._codes, self._halves, self._n_splits = codes, halves, n_splits
        self._values = [arm.harmonised(half.train, half.test, subjects) for half in halves]

    def scored(self, labels: IndexArray, seed: int) -> Score:
        said, fold = np.empty((len(labels), int(self._codes.max()) + 1)), np.empty(len(labels), np.intp)
        for number, (half, values) in enumerate(zip(self._halves, self._values, strict=True)):
            own = labels[half.test]
            for k, part in enumerate(grouped_folds(own, n_splits=self._n_splits, random_state=seed)):
                rows = half.test[part.test]
                said[rows] = _site_scores(values[part.train], own[part.train], values[part.test])
                fold[rows] = number * self._n_splits + k
        return said, fold

    def shuffled(self, rng: np.random.Generator) -> IndexArray:
        labels = self._codes.copy()
        for half in self._halves:
            labels[half.test] = rng.permutation(labels[half.test])
        return labels


def _told_rows(
    name: str, question: _Question, codes: IndexArray, n_times: tuple[int, int], random_state: int
) -> list[SiteTest]:
    n_permutations, n_draws = n_times
    options: dict[str, Any] = {"n_draws": n_draws, "random_state": random_state}
    said, fold = question.scored(codes, derive_seed(random_state, "folds"))
    area = bootstrap_interval(scores.auroc, codes, said, fold, **options)
    right = bootstrap_interval(scores.balanced_accuracy, codes, said.argmax(1), **options)
    null = []
    for number in range(n_permutations):
        seed = derive_seed(random_state, "null", number)
        labels = question.shuffled(np.random.default_rng(seed))
        null.append(scores.auroc(labels, *question.scored(labels, seed)))
    p = permutation_p(area.value, null) if null else None
    return [
        SiteTest(name, f"site AUC{question.suffix}", area.value, area.low, area.high, p, len(codes)),
        SiteTest(
            name,
            f"site balanced accuracy{question.suffix}",
            right.value,
            right.low,
            right.high,
            None,
            len(codes),
        ),
    ]


def _site_scores(values: FloatArray, codes: IndexArray, others: FloatArray) -> FloatArray:
    """Return the log odds of each site against the rest over its share, ``(other row, site)``."""
    axes = GramCoordinates().fit(values)
    weight = _PENALTY * axes.eigenvalues.sum() / len(values)
    held, said = axes.transform(others), np.empty((len(others), int(codes.max()) + 1))
    n_sites = said.shape[1]
    for site in range(1, 2) if n_sites == 2 else range(n_sites):
        own = (codes == site).astype(np.float64)
        (fit,) = likelihood_path(axes.coordinates, BinaryLikelihood(own), [weight])
        share = own.mean()
        said[:, site] = held @ fit.coef + fit.intercept - np.log(share / (1 - share))
    if n_sites == 2:
        said[:, 0] = -said[:, 1]
    return said


def _sites(sites: npt.ArrayLike, covariates: Any) -> tuple[Subjects, IndexArray]:
    subjects = Subjects.of(len(np.asarray(sites)), sites=sites, covariates=covariates)
    names, codes = np.unique(np.asarray(sites).astype(np.str_), return_inverse=True)
    if len(names) < 2:
        raise DesignError(f"site tests: all subjects come from site {names[0]}, which cannot be told from another.")
    return subjects, codes.astype(np.intp)
