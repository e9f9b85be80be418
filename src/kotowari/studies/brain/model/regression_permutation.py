"""Whether models predict better than chance: everything that saw the target refitted on permuted targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Advance
from kotowari.core.seeds import derive_seed
from kotowari.studies.brain.model.nuisance import NuisanceRegression
from kotowari.studies.brain.model.regression_cv import Arm, fold_predictions, joined, model_for, run_jobs
from kotowari.studies.brain.model.regression_scores import main_statistic
from kotowari.studies.brain.model.regression_targets import Target
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.model.target_coding import TargetCoding
from kotowari.trust.folds import Fold
from kotowari.trust.permutation import max_t_p, permutation_p, permuted, smallest_p_sentence

__all__ = ["PermutationResult", "permutation_test", "permuted_outcomes"]

FloatArray = npt.NDArray[np.float64]
Scheme = Literal["residuals", "values"]


@dataclass(frozen=True, eq=False)
class PermutationResult:
    """Every model on every target, held against refits on permuted targets.

    Parameters
    ----------
    table
        ``target``, ``model``, ``statistic`` (r, area under the curve, or C), ``p``, ``p_family`` (max-T over all rows).
    null
        Shape ``(refit, row of the table)``.
    sentence
        How many refits stand behind p.
    """

    table: pd.DataFrame
    null: FloatArray
    sentence: str


def permutation_test(
    arms: Mapping[str, Mapping[str, Arm]],
    targets: Sequence[Target],
    folds: Mapping[str, Sequence[Fold]],
    subjects: Mapping[str, Subjects],
    *,
    n_permutations: int,
    blocks: npt.ArrayLike | None = None,
    scheme: Scheme = "residuals",
    n_adapt: int = 0,
    chunk: int = 50,
    shards: Path | None = None,
    workers: int = 1,
    advance: Advance | None = None,
    random_state: int,
) -> PermutationResult:
    r"""Permute targets and refit everything that sees them, the choice of penalties included.

    What sees no target (features, harmonising, covariates out of features, the decomposition) is the same for all
    permutations, so it is computed once for ``chunk`` of them. One permutation moves all targets of the same subjects
    alike, so that their correlation stays in the null.

    Statistics of different kinds are brought to one scale before the maximum is taken: each is centred and divided by
    mean and standard deviation over the refits and the observed value together, which keeps them exchangeable.

    Parameters
    ----------
    arms, folds, subjects
        Target's name to what :func:`kotowari.studies.brain.model.regression_cv.cross_validated` takes for it: a target
        may have covariates and comparators of its own.
    targets
        One or more, of different names.
    n_permutations
        199 as a standard, 999 for claims.
    blocks
        Such as sites, a row each of the whole table: targets change places only within them.
    scheme
        ``"residuals"``: of numbers, what covariates leave is permuted and added to what they explain (Freedman and
        Lane). ``"values"``: targets as they are. Classes and survival are always permuted as they are.
    chunk
        Permutations in one job.
    n_adapt, shards, workers, advance
        As in ``cross_validated``.
    random_state
        Seed of the permutations.

    Returns
    -------
    PermutationResult

    Source: Westfall and Young 1993 (max-T); Freedman and Lane 1983, J. Bus. Econ. Stat. 1:292-298.
    """
    names = [target.name for target in targets]
    if len(set(names)) < len(names) or not names or n_permutations < 1:
        raise InputError("permutation_test: needs targets of different names, and one permutation or more.")
    pairs = [(target, name) for target in targets for name in arms[target.name]]
    jobs: dict[str, tuple[Any, ...]] = {}
    for target, name in pairs:
        draw = _Draw(tuple(folds[target.name]), subjects[target.name], blocks, scheme, n_adapt, random_state)
        for start in range(0, n_permutations + 1, chunk):
            numbers = tuple(range(start, min(start + chunk, n_permutations + 1)))  # number 0 is the target as it is
            jobs[f"{name}-{target.name}-{start}"] = (arms[target.name][name], target, numbers, draw)
    done = run_jobs(_statistics, jobs, shards=shards, workers=workers, advance=advance)
    columns = [
        np.concatenate(
            [done[f"{name}-{target.name}-{start}"]["statistics"] for start in range(0, n_permutations + 1, chunk)]
        )
        for target, name in pairs
    ]
    drawn = np.column_stack(columns)
    return _judged(pairs, drawn[0], drawn[1:])


def permuted_outcomes(
    target: Target,
    numbers: Sequence[int],
    subjects: Subjects,
    *,
    blocks: npt.ArrayLike | None = None,
    scheme: Scheme = "residuals",
    random_state: int,
) -> list[FloatArray]:
    """Return the target after each of the numbered permutations, of all rows; number 0 leaves it as it is.

    Raises
    ------
    InputError
        When an owner of several rows has several values, so that they cannot move together.
    """
    values, there = target.values[target.rows], subjects.rows(target.rows)
    where = None if blocks is None else np.asarray(blocks)[target.rows]
    coding = TargetCoding(target.kind, target.transform)
    expected: FloatArray = np.zeros_like(values)
    moving = values
    by_residuals = scheme == "residuals" and there.covariates is not None and target.kind in {"number", "several"}
    if by_residuals:
        scaled = coding.scaled(values).reshape(len(values), -1)
        left = NuisanceRegression().fit(scaled, there.covariates).transform(scaled, there.covariates)
        expected, moving = (scaled - left).reshape(values.shape), left.reshape(values.shape)
    outcomes = []
    for number in numbers:
        changed = values
        if number:
            rng = np.random.default_rng(derive_seed(random_state, "permutation", number))
            moved = _moved(moving, where, there.groups, rng)
            changed = coding.in_units(expected + moved) if by_residuals else moved
        full = target.values.copy()
        full[target.rows] = changed
        outcomes.append(full)
    return outcomes


def _moved(values: FloatArray, blocks: Any, groups: npt.NDArray[Any] | None, rng: np.random.Generator) -> FloatArray:
    shared = groups is not None and len(np.unique(groups)) < len(groups)
    found: FloatArray = permuted(values, blocks=blocks, units=groups if shared else None, rng=rng)
    return found


@dataclass(frozen=True, eq=False)
class _Draw:
    """What all permutations of a target share."""

    folds: tuple[Fold, ...]
    subjects: Subjects
    blocks: Any
    scheme: Scheme
    n_adapt: int
    random_state: int


def _statistics(arm: Arm, target: Target, numbers: tuple[int, ...], draw: _Draw) -> Arrays:
    model = model_for(arm.model, target)
    options: dict[str, Any] = {"blocks": draw.blocks, "scheme": draw.scheme, "random_state": draw.random_state}
    outcomes = permuted_outcomes(target, numbers, draw.subjects, **options)
    parts = [
        fold_predictions(model, arm.of_fold(k), outcomes, draw.subjects, fold, draw.n_adapt)
        for k, fold in enumerate(draw.folds)
    ]
    found = [main_statistic(joined(parts, number, target)) for number in range(len(numbers))]
    # a prediction that does not vary is worth nothing, which is what chance gives
    none = 0.0 if target.kind in {"number", "several"} else 0.5
    return {"statistics": np.nan_to_num(np.array(found), nan=none)}


def _judged(pairs: Sequence[tuple[Target, str]], observed: FloatArray, null: FloatArray) -> PermutationResult:
    both = np.vstack([observed, null])
    spread = both.std(0)
    standard = (both - both.mean(0)) / np.where(spread > 0, spread, 1.0)
    table = pd.DataFrame(
        {
            "target": [target.name for target, _ in pairs],
            "model": [name for _, name in pairs],
            "statistic": observed,
            "p": [permutation_p(value, draws) for value, draws in zip(observed, null.T, strict=True)],
            "p_family": max_t_p(standard[0], standard[1:]),
        }
    )
    return PermutationResult(table, null, smallest_p_sentence(len(null)))
