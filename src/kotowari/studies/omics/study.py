"""The job of the omics study as a list of named stages, and a finished model on new data."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError
from kotowari.core.files import write_json
from kotowari.core.jobs import load_arrays
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Metric, Role, RunFolder
from kotowari.core.stages import Stage
from kotowari.studies.omics import fitting
from kotowari.studies.omics.baselines import comparators
from kotowari.studies.omics.data import read_table_alone, require_gene_sets
from kotowari.studies.omics.job import OURS, PERMUTED_PIXELS, UNTRAINED, OmicsJob, open_job
from kotowari.studies.omics.judging import judge_reasons, score_chance
from kotowari.studies.omics.model.estimators import DeepInsightClassifier
from kotowari.studies.omics.reasons import find_reasons
from kotowari.studies.omics.story import tell
from kotowari.training.devices import require_device
from kotowari.trust.comparators import OutOfFold, cross_validate, paired_scores, score_table
from kotowari.trust.folds import Fold, grouped_folds, splits_to_json

__all__ = ["STAGES", "apply"]

_FEWEST_OWNERS = 2  # of a class in a training part: one to learn from, one to stop by


def read(job: OmicsJob, progress: Progress) -> None:
    """Check the inputs, and that every later stage can work with them, and note their fingerprints."""
    samples = job.samples
    _require_possible(job)
    progress.say(f"Read {len(samples.X)} samples x {samples.X.shape[1]} genes; target {samples.target}.")


def split(job: OmicsJob, _progress: Progress) -> None:
    """Write the outer folds."""
    write_json(job.path / "splits.json", splits_to_json(_outer_folds(job)))


def layout(job: OmicsJob, progress: Progress) -> None:
    """Fit a layout on the training rows of every fold, and on all rows for the final model and the bootstraps."""
    parts: dict[str, tuple[npt.NDArray[np.intp], int]] = {
        f"fold-{k}": (fold.train, 0) for k, fold in enumerate(job.folds)
    }
    parts |= {job.layout_name(k): (job.all_rows, k) for k in range(job.config.trust.n_layouts)}
    jobs = {
        name: (
            fitting.make_transformer(job.config, job.seed("layout", number)),
            job.samples.X,
            rows,
            job.path / "model" / name / "layout",
        )
        for name, (rows, number) in parts.items()
    }
    job.run(progress, "Layout of the genes", "layout", fitting.fit_layout, jobs)


def fit(job: OmicsJob, progress: Progress) -> None:
    """Fit and explain on every fold, and fit the final model on all samples."""
    jobs = {
        f"fold-{k}": (
            job.estimator("fit", k, journal=job.path / "model" / f"fold-{k}" / "tune.journal"),
            job.drawn(f"fold-{k}"),
            fold,
            "samples",
            job.path / "model" / f"fold-{k}",
        )
        for k, fold in enumerate(job.folds)
    }
    final = job.path / "model" / "final"
    whole = Fold(job.all_rows, job.all_rows)
    estimator = job.estimator("fit", "final", journal=final / "tune.journal")
    jobs["final"] = (estimator, job.drawn("final"), whole, "none", final)
    parts = job.run(progress, "Networks on the folds", "fit", fitting.fit_and_explain, jobs)
    parts.pop("final")
    said = job.out_of_fold(parts, job.folds, job.samples.y)
    job.folder.write_metrics("fit", _scored(job, {OURS: said}, "ours"))
    write_table(job.path / "tables" / "predictions.csv", said.to_frame(job.samples.X.index.to_numpy(), job.samples.y))


def compare(job: OmicsJob, progress: Progress) -> None:
    """Judge what a user would take instead, the trivial null and the untrained network, on the same folds."""
    samples = job.samples
    models = comparators(
        samples.task,
        n_features=samples.X.shape[1],
        random_state=job.seed("comparators"),
        tune=job.config.validation.tune_comparators,
    )
    with progress.bar("Comparators on the same folds", len(models) * len(job.folds)) as advance:
        said = cross_validate(
            models,
            samples.X,
            samples.y,
            job.folds,
            groups=samples.groups,
            shards=job.shards("compare"),
            workers=job.config.workers,
            advance=advance,
        )
    rows = _scored(job, said, "comparator")
    _keep_differences(job, said)
    trivial = {
        f"fold-{k}": (
            job.estimator("fit", k),
            fitting.with_permuted_pixels(job.drawn(f"fold-{k}"), samples.X, job.seed("permuted pixels", k)),
            fold,
            "none",
        )
        for k, fold in enumerate(job.folds)
    }
    parts = job.run(progress, "Networks on permuted pixels", "permuted-pixels", fitting.fit_and_explain, trivial)
    plain = job.out_of_fold(parts, job.folds, samples.y)
    rows += _scored(job, {PERMUTED_PIXELS: plain}, "trivial null")
    untrained = {
        f"fold-{k}": (job.path / "model" / f"fold-{k}", job.estimator_kind, job.drawn(f"fold-{k}"), fold, job.seed(k))
        for k, fold in enumerate(job.folds)
    }
    parts = job.run(progress, "Untrained networks", "untrained", fitting.randomised, untrained)
    rows += _scored(job, {UNTRAINED: job.out_of_fold(parts, job.folds, samples.y)}, "untrained")
    job.folder.write_metrics("compare", rows)


def null(job: OmicsJob, progress: Progress) -> None:
    """Refit everything that saw the labels on permuted labels."""
    jobs = {}
    for b in range(job.config.trust.n_permutations):
        order = fitting.permuted_order(job.first_folds, job.samples.groups, job.samples.y, job.seed("permutation", b))
        for k, fold in enumerate(job.first_folds):
            drawn = job.drawn(f"fold-{k}").relabelled(order)
            jobs[f"permutation-{b}-fold-{k}"] = (job.estimator("fit", k), drawn, fold, "means")
    job.run(progress, "Refits on permuted labels", "null", fitting.fit_and_explain, jobs)
    score_chance(job)


def reasons(job: OmicsJob, progress: Progress) -> None:
    """Find the genes and pathways that decide, and how stable the choice is."""
    jobs = {}
    for b in range(job.config.trust.n_bootstraps):
        drawn = job.drawn(job.layout_name(b % job.config.trust.n_layouts))
        fold = fitting.patient_bootstrap(job.samples.groups, job.samples.codes, job.seed("bootstrap", b))
        jobs[f"bootstrap-{b}"] = (job.estimator("bootstrap", b), drawn, fold, "means")
    job.run(progress, "Bootstraps of the patients", "bootstrap", fitting.fit_and_explain, jobs)
    find_reasons(job)


def trust(job: OmicsJob, progress: Progress) -> None:
    """Test the reasons."""
    judge_reasons(job, progress)


def report(job: OmicsJob, _progress: Progress) -> None:
    """Draw the pictures and write the report."""
    tell(job)


STAGES: tuple[Stage[OmicsJob], ...] = (
    Stage("read", "Read", read),
    Stage("split", "Split", split),
    Stage("layout", "Layout", layout),
    Stage("fit", "Fit", fit),
    Stage("compare", "Compare", compare),
    Stage("null", "Null", null),
    Stage("reasons", "Reasons", reasons),
    Stage("trust", "Trust", trust),
    Stage("report", "Report", report),
)


def apply(folder: RunFolder, table: Path, out: Path, annotations: Path | None = None) -> Path:
    """Predict new samples with the final model of a finished run, and say which genes spoke for and against.

    Parameters
    ----------
    folder
        The run.
    table
        New samples, laid out as the table of the run; other genes are ignored, missing ones refused.
    out
        Folder for ``predictions.csv`` and ``relevance.csv`` (sample x gene, for the predicted class, in log odds).
    annotations
        Refused: the model reads genes alone.
    """
    if annotations is not None:
        raise InputError(f"{annotations}: the omics study predicts from the table alone. Leave the annotations out.")
    job = open_job(folder)
    if folder.stage_state("fit") != "done":
        raise InputError(f"{folder.path}: has no fitted model yet. Finish it by `kotowari resume {folder.path}`.")
    estimator = job.estimator_kind.load(folder.path / "model" / "final")
    X = read_table_alone(table, job.config.data)
    absent = [gene for gene in estimator.feature_names_in_ if gene not in X.columns]
    if absent:
        raise InputError(f"{table.name}: lacks {len(absent)} genes that the model needs ({few(absent)}).")
    X = X[list(estimator.feature_names_in_)]
    predictions = pd.DataFrame({"sample": X.index, "prediction": estimator.predict(X)})
    if isinstance(estimator, DeepInsightClassifier):
        for k, name in enumerate(estimator.classes_):
            predictions[f"p({name})"] = estimator.predict_proba(X)[:, k]
        target = np.searchsorted(estimator.classes_, predictions["prediction"].to_numpy())
    else:
        target = np.zeros(len(X), np.int64)
    relevance, gap = estimator.relevance(X, target)
    predictions["completeness gap"] = gap
    write_table(out / "predictions.csv", predictions)
    named = pd.DataFrame(relevance.astype(np.float32), columns=X.columns)
    named.insert(0, "sample", X.index.to_numpy())
    write_table(out / "relevance.csv", named)
    return out / "predictions.csv"


def _require_possible(job: OmicsJob) -> None:
    """Refuse at once what would stop a later stage after hours."""
    genes, n_selected = job.samples.genes, job.config.trust.n_selected
    require_device(job.config.device)
    require_gene_sets(job.gene_sets, genes)
    if 2 * n_selected > len(genes):
        raise InputError(
            f"trust.n_selected: {n_selected} of {len(genes)} genes would be called selected, and chance alone would "
            f"find most. Set it to {len(genes) // 2} or fewer."
        )
    _outer_folds(job)


def _outer_folds(job: OmicsJob) -> list[Fold]:
    options, samples = job.config.validation, job.samples
    folds = grouped_folds(
        samples.y,
        groups=samples.groups,
        n_splits=options.n_splits,
        n_repeats=options.n_repeats,
        continuous=samples.task == "regression",
        random_state=job.seed("folds"),
    )
    for fold in folds:
        for code in np.unique(samples.codes):
            rows = fold.train[samples.codes[fold.train] == code]
            if len(np.unique(samples.groups[rows])) < _FEWEST_OWNERS:
                name = f"class {samples.classes[code]!r}" if samples.classes else "target"
                raise DesignError(
                    f"{samples.target}: the training part of a fold would hold the {name} from fewer than "
                    f"{_FEWEST_OWNERS} owners, and one must be kept aside to stop the training. Raise "
                    "validation.n_splits, leave the class out, or bring more samples of it."
                )
    return folds


def _scored(job: OmicsJob, said: Mapping[str, OutOfFold], role: Role) -> list[Metric]:
    rows = score_table(
        job.samples.y,
        said,
        target=job.samples.target,
        roles=dict.fromkeys(said, role),
        groups=job.samples.groups,
        random_state=job.seed("intervals"),
    )
    return sorted(rows, key=lambda row: row.metric != job.main_metric)  # the score that the sentences speak of first


def _keep_differences(job: OmicsJob, said: Mapping[str, OutOfFold]) -> None:
    """Keep what we are above each comparator in the main metric, pair by pair, with its interval."""
    parts = {f"fold-{k}": load_arrays(job.shards("fit") / f"fold-{k}.npz") for k in range(len(job.folds))}
    ours = job.out_of_fold(parts, job.folds, job.samples.y)
    gains = [
        paired_scores(
            job.samples.y,
            ours,
            other,
            metric=job.main_metric,
            groups=job.samples.groups,
            random_state=job.seed("differences"),
        )
        for other in said.values()
    ]
    ends = {end: np.array([getattr(gain, end) for gain in gains]) for end in ("value", "low", "high")}
    job.keep("differences", {"names": np.array(list(said)), **ends})
