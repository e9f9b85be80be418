"""The tests of a run: its score against chance and the trivial null, its reasons against everything that could fool."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.evidence import Check
from kotowari.core.jobs import Arrays, load_arrays, map_jobs
from kotowari.core.progress import Progress
from kotowari.studies.omics import fitting
from kotowari.studies.omics.job import OmicsJob
from kotowari.studies.omics.phantom import ModuleImplant
from kotowari.studies.omics.reasons import evidence_of, null_parts, top_mask, top_selections
from kotowari.trust.comparators import OutOfFold, chance_rows, paired_scores, point_scores
from kotowari.trust.completeness import completeness_check
from kotowari.trust.faithfulness import FaithfulnessResult, faithfulness_check
from kotowari.trust.folds import hold_out
from kotowari.trust.implants import detection_limit, run_implants
from kotowari.trust.randomisation import randomisation_check
from kotowari.trust.stability import selection_stability, stability_check

__all__ = ["judge_reasons", "score_chance"]

CHANCE = "permuted labels"
_LEVEL = 0.05
_FOUND_SHARE = 0.5  # of the planted genes among the selected ones


def score_chance(job: OmicsJob) -> None:
    """Give our scores their p values, and write what permuted labels reach."""
    observed = _fitted(job)
    nulls = []
    for number, parts in enumerate(null_parts(job)):
        y = job.samples.y[job.permuted_order(number)]
        nulls.append(point_scores(y, job.out_of_fold(parts, job.first_folds, y)))
    if not nulls:
        return
    points = point_scores(job.samples.y, observed)
    ours = [row for row in job.folder.metrics() if row.role == "ours"]
    rows, chance = chance_rows(ours, points, nulls, model=CHANCE)
    job.folder.write_metrics("fit", rows)
    job.folder.write_metrics("null", chance)
    kept: Arrays = {name: np.array([null[name] for null in nulls]) for name in points}
    job.keep("null", kept | {f"observed {name}": np.array(value) for name, value in points.items()})


def judge_reasons(job: OmicsJob, progress: Progress) -> None:
    """Run every test of the reasons, and write the evidence with its verdicts."""
    checks = [_chance_check(job), _layout_check(job)]
    parts = job.fit_parts()
    checks.append(completeness_check(np.concatenate([part["gap"] for part in parts.values()])))
    checks.append(_randomisation(job, parts))
    checks.append(_stability(job))
    checks.append(_faithfulness(job, progress))
    if job.config.trust.implant_repeats:
        checks.append(_implants(job, progress))
    for name, evidence in evidence_of(job, checks).items():
        evidence.save(job.path / "evidence", name)


def _fitted(job: OmicsJob) -> OutOfFold:
    return job.out_of_fold(job.fit_parts(), job.first_folds, job.samples.y)


def _chance_check(job: OmicsJob) -> Check:
    (row,) = (row for row in job.folder.metrics() if row.role == "ours" and row.metric == job.main_metric)
    if row.p is None:
        return Check.not_applicable("chance", "No refits on permuted labels were asked for, so chance is not known.")
    words = "better than" if row.p <= _LEVEL else "not distinguishable from"
    sentence = (
        f"The {row.metric} of {row.value:.3f} is {words} {row.n_null} full refits on permuted labels (p = {row.p:.2g})."
    )
    return Check.at_most("chance", row.p, _LEVEL, sentence)


def _layout_check(job: OmicsJob) -> Check:
    parts = {
        f"fold-{k}": load_arrays(job.shards("permuted-pixels") / f"fold-{k}.npz") for k in range(len(job.first_folds))
    }
    other = job.out_of_fold(parts, job.first_folds, job.samples.y)
    gain = paired_scores(
        job.samples.y,
        _fitted(job),
        other,
        metric=job.main_metric,
        groups=job.samples.groups,
        random_state=job.seed("layout check"),
    )
    low, high = gain.low, gain.high
    words = "helps" if low > 0 else "does not measurably help"
    return Check.at_least(
        "trivial null: permuted pixels",
        low,
        0.0,
        f"Placing alike genes side by side {words}: {job.main_metric} {gain.value:+.3f} over the same network on "
        f"permuted pixels (95 % interval {low:+.3f} to {high:+.3f}).",
    )


def _randomisation(job: OmicsJob, parts: dict[str, Arrays]) -> Check:
    """Hold the maps of trained networks against those of untrained ones, fold by fold on the same samples."""
    home = job.shards("untrained")
    untrained = [load_arrays(home / f"fold-{k}.npz") for k in range(len(job.first_folds))]
    trained_maps = np.array([fitting.joined_scores({"one": part})[1] for part in parts.values()])
    random_maps = np.array([fitting.joined_scores({"one": part})[1] for part in untrained])
    job.keep("randomisation", {"random_strength": random_maps.mean(0)})
    return randomisation_check(trained_maps, random_maps)


def _stability(job: OmicsJob) -> Check:
    selections = top_selections(job)
    if len(selections) < 2:
        return Check.not_applicable("stability", "Fewer than two bootstraps were asked for, so stability is not known.")
    stability = selection_stability(selections)
    ends = np.array([stability.index, stability.low, stability.high])
    job.keep("stability", {"stability": ends, "n_selections": np.array(len(selections))})
    return stability_check(stability)


def _faithfulness(job: OmicsJob, progress: Progress) -> Check:
    jobs = {
        f"fold-{k}": (
            job.path / "model" / f"fold-{k}",
            job.estimator_kind,
            job.drawn(f"fold-{k}"),
            fold,
            load_arrays(job.shards("fit") / f"fold-{k}.npz")["own"],
            job.seed("faithfulness"),
        )
        for k, fold in enumerate(job.first_folds)
    }
    with progress.bar("Genes taken away and given back", len(jobs)) as advance:
        found = map_jobs(
            fitting.taken_away, jobs, shards=job.shards("faithfulness"), workers=job.config.workers, advance=advance
        )
    mean: Arrays = {
        name: np.mean([part[name] for part in found.values()], axis=0) for name in next(iter(found.values()))
    }
    job.keep("faithfulness", mean)
    result = FaithfulnessResult(
        fractions=mean["fractions"],
        deletion=mean["deletion"],
        insertion=mean["insertion"],
        deletion_area=float(np.trapezoid(mean["deletion"], mean["fractions"])),
        insertion_area=float(np.trapezoid(mean["insertion"], mean["fractions"])),
        random_gaps=mean["random_gaps"],
        univariate_gap=float(mean["univariate_gap"]),
    )
    return faithfulness_check(result)


def _implants(job: OmicsJob, progress: Progress) -> Check:
    """Plant graded effects into the table and see which are found."""
    trust, n_genes = job.config.trust, min(job.config.trust.implant_genes, len(job.samples.genes))
    with progress.bar("Effects planted into the table", len(trust.implant_shifts) * trust.implant_repeats) as advance:
        shares = run_implants(
            ModuleImplant(job.samples.X, n_genes, groups=job.samples.groups),
            Analyse(job),
            trust.implant_shifts,
            n_repeats=trust.implant_repeats,
            random_state=job.seed("implants"),
            shards=job.shards("implants"),
            workers=job.config.workers,
            advance=advance,
        )
    limit = detection_limit(trust.implant_shifts, shares >= _FOUND_SHARE)
    job.keep("implants", limit.arrays())
    return limit.check(
        limit.sentence(
            f"these {len(job.samples.X)} samples",
            f"a module of {n_genes} genes shifted by {{grade}} sd in half of them",
        )
        + f" Found means: half of its genes among the {trust.n_selected} highest scores of one fit.",
    )


class Analyse:
    """Refit layout apart (genes keep their pixels), scaling, networks and relevance, and see what is found."""

    def __init__(self, job: OmicsJob) -> None:
        self.transformer = job.drawn("final").transformer
        self.estimator = fitting.make_estimator(job.config, "classification", job.seed("implant fit"))
        self.groups = job.samples.groups
        self.n_selected = job.config.trust.n_selected
        self.seed = job.seed("implant hold-out")

    def __call__(self, data: tuple[pd.DataFrame, npt.NDArray[np.bool_]], truth: npt.NDArray[np.bool_]) -> float:
        """Return the share of the shifted genes among the highest scores."""
        X, labels = data[0], data[1].astype(np.int64)
        fold = hold_out(labels, groups=self.groups, fraction=0.3, random_state=self.seed)
        drawn = fitting.Drawn(self.transformer, self.transformer.transform(X), labels, labels, self.groups, 2)
        found = fitting.fit_and_explain(self.estimator, drawn, fold)
        strength = fitting.joined_scores({"one": found})[1]
        return float(top_mask(strength, self.n_selected)[truth].mean())
