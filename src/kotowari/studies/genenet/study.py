"""The job of the genenet study as a list of named stages."""

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError
from kotowari.core.files import write_json
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Role
from kotowari.core.stages import Stage
from kotowari.studies.genenet import fitting
from kotowari.studies.genenet.applying import apply
from kotowari.studies.genenet.baselines.cox_ridge import survival_strata
from kotowari.studies.genenet.baselines.predictors import edge_comparators
from kotowari.studies.genenet.chance import coefficients_against_constant, permute_genes, permute_responses
from kotowari.studies.genenet.guard import judge_prediction
from kotowari.studies.genenet.job import OURS, SUBSPACE, GenenetJob
from kotowari.studies.genenet.judging import judge, verdict_arrays
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.studies.genenet.preparation import Preparation, columns_of
from kotowari.studies.genenet.reasons import export_networks, find_reasons
from kotowari.studies.genenet.story import tell
from kotowari.studies.genenet.target_scores import score_targets
from kotowari.studies.genenet.whole import fit_whole
from kotowari.trust.comparators import cross_validate_inputs, score_table
from kotowari.trust.folds import Fold, grouped_folds, splits_to_json
from kotowari.trust.scores import concordance

__all__ = ["STAGES", "apply"]

_FEWEST = 30
_LARGEST_SHARE = 0.9  # of the samples of a part that effective ones can be
_FEWEST_OF_CLASS = 5  # one in each part that the prediction is tuned on


def read(job: GenenetJob, progress: Progress) -> None:
    """Check the inputs, and that every later stage can work with them, and note their fingerprints."""
    samples, whole = job.samples, job.whole
    _require_possible(job)
    progress.say(
        f"Read {len(samples.X)} samples x {samples.X.shape[1]} genes; {len(whole.regulators)} regulators, "
        f"{len(whole.targets)} targets, modulator {job.modulator_name}."
    )
    for note in samples.notes:
        progress.say(f"Note: {note}")


def split(job: GenenetJob, _progress: Progress) -> None:
    """Write the outer folds, and see that all that is learned before the networks can be learned in each."""
    folds = _outer_folds(job)
    for fold in folds:
        prepared = Preparation(job.samples, job.config, fold.train)
        prepared.adjusted(job.samples.X, job.samples.covariates)
    write_json(job.path / "splits.json", splits_to_json(folds))


def networks(job: GenenetJob, progress: Progress) -> None:
    """Estimate the networks of all samples, and those of every fold from its training rows alone."""
    fit_whole(job, progress)
    export_networks(job)
    jobs = {f"fold-{k}": (job.samples, job.config, fold, job.seed("networks", k)) for k, fold in enumerate(job.folds)}
    parts = job.run(progress, "Networks of the folds", "networks", fitting.fit_networks, jobs)
    job.folder.write_metrics("networks", score_targets(job, parts))


def fit(job: GenenetJob, progress: Progress) -> None:
    """Predict the response from the regulatory effects of each fold, explain it, and fit the final model."""
    if not job.predicts:
        return
    for k, fold in enumerate(job.folds):
        _require_edges(job, job.effects(k)[fold.train], "in the training part of a fold")
    _require_edges(job, job.whole_effects(), "of all samples")
    jobs = {
        f"fold-{k}": (job.trip(k), job.effects(k), job.y, fold, job.samples.groups) for k, fold in enumerate(job.folds)
    }
    parts = job.run(progress, "Prediction on the folds", "fit", fitting.explain_fold, jobs)
    said = job.out_of_fold(parts, job.folds)
    modulators = [job.fold_networks(k)["modulator"] for k in range(len(job.folds))]
    verdict = judge_prediction(
        job.y,
        modulators,
        {OURS: said},
        X=_raw_genes(job),
        folds=job.folds,
        groups=job.samples.groups,
        target=job.response_name,
        metric=None if job.main_metric == "balanced accuracy" else job.main_metric,
        random_state=job.seed("intervals"),
    )
    job.folder.write_metrics("fit", job.main_first(verdict.rows))
    job.keep("verdict", verdict_arrays(verdict, OURS))
    write_table(job.path / "tables" / "predictions.csv", said.to_frame(job.samples.X.index.to_numpy(), job.y))
    final = job.trip("final").fit(job.whole_effects(), job.y, groups=job.samples.groups)
    final.save(job.path / "model" / "final")


def compare(job: GenenetJob, progress: Progress) -> None:
    """Judge what a user would fit on the same edges, and the same model with directions that saw no response."""
    if not job.predicts:
        return
    samples, folds = job.samples, job.folds
    models = edge_comparators(job.task, random_state=job.seed("comparators"))
    with progress.bar("Comparators on the same edges", len(models) * len(folds)) as advance:
        said = cross_validate_inputs(
            models,
            [job.effects(k).values for k in range(len(folds))],
            job.y,
            folds,
            groups=samples.groups,
            shards=job.shards("compare"),
            workers=job.config.workers,
            advance=advance,
            cluster=job.cluster,
        )
    jobs = {
        f"fold-{k}": (job.trip(k, starts=("hosvd",), max_steps=0), job.effects(k), job.y, fold, samples.groups)
        for k, fold in enumerate(folds)
    }
    parts = job.run(progress, "Directions not trained", "subspace", fitting.predict_fold, jobs)
    roles: dict[str, Role] = {**dict.fromkeys(said, "comparator"), SUBSPACE: "untrained"}
    said = {**said, SUBSPACE: job.out_of_fold(parts, folds)}
    rows = score_table(
        job.y,
        said,
        target=job.response_name,
        roles=roles,
        groups=samples.groups,
        random_state=job.seed("intervals"),
    )
    job.folder.write_metrics("compare", job.main_first(rows))


def null(job: GenenetJob, progress: Progress) -> None:
    """Refit networks on permuted genes and on constant coefficients, and the prediction on permuted responses."""
    permute_genes(job, progress)
    coefficients_against_constant(job, progress)
    if job.predicts:
        permute_responses(job, progress)


def reasons(job: GenenetJob, progress: Progress) -> None:
    """Rank the edges by their change along the modulator and by their part in the prediction."""
    find_reasons(job, progress)


def trust(job: GenenetJob, progress: Progress) -> None:
    """Test the reasons."""
    judge(job, progress)


def report(job: GenenetJob, _progress: Progress) -> None:
    """Draw the pictures and write the report."""
    tell(job)


STAGES: tuple[Stage[GenenetJob], ...] = (
    Stage("read", "Read", read),
    Stage("split", "Split", split),
    Stage("networks", "Networks", networks),
    Stage("fit", "Fit", fit),
    Stage("compare", "Compare", compare),
    Stage("null", "Null", null),
    Stage("reasons", "Reasons", reasons),
    Stage("trust", "Trust", trust),
    Stage("report", "Report", report),
)


def _require_possible(job: GenenetJob) -> None:
    """Refuse at once what would stop a later stage after hours."""
    whole, config = job.whole, job.config
    shortest = min(len(whole.regulators), len(whole.targets))
    if job.predicts and config.prediction.core > shortest:
        raise InputError(
            f"prediction.core: {config.prediction.core} directions of {shortest} genes. Set it to {shortest} or fewer."
        )
    if config.network.n_nodes is not None and job.axis.ndim > 1:
        raise InputError("network.n_nodes: nodes lie along one modulator, and modulator.second names two. Drop one.")
    _require_kernel(job)
    least = config.trust.n_subsamples + config.trust.n_edge_permutations
    if least and len(job.samples.X) < _FEWEST:
        raise DesignError(
            f"data.table: {len(job.samples.X)} samples cannot be halved for the stability of edges. Set "
            "trust.n_subsamples and trust.n_edge_permutations to 0, or bring more samples."
        )
    for fold in _outer_folds(job):
        if job.predicts and job.task == "classification":
            _require_classes(job, fold)
        elif job.predicts and job.task == "survival":
            _require_outcomes(job, fold)


def _require_kernel(job: GenenetJob) -> None:
    """Refuse an absolute number of effective samples that a fold or half of the samples cannot reach."""
    wanted, options = job.config.network.effective_samples, job.config.validation
    halves = job.config.trust.n_subsamples > 0
    smallest = len(job.samples.X) * (0.5 if halves else 1 - 1 / options.n_splits)
    if wanted > _LARGEST_SHARE * smallest:
        part = "half of the samples, on which stability is asked," if halves else "the training part of a fold"
        raise InputError(
            f"network.effective_samples: {wanted:g} are wanted, and {part} has {smallest:.0f} samples. Set it to "
            f"{_LARGEST_SHARE * smallest:.0f} or fewer, or to a share below 1."
        )


def _require_edges(job: GenenetJob, effects: SparseNetworks, where: str) -> None:
    if not np.ptp(effects.values, axis=0).any():
        raise DesignError(
            f"{job.response_name}: {where}, no network has an edge, so nothing can be predicted from them. Set "
            "prediction.response to null for networks alone, or offer other regulators and targets."
        )


def _require_classes(job: GenenetJob, fold: Fold) -> None:
    y, groups = job.y[fold.train], job.samples.groups[fold.train]
    for name in job.samples.classes:
        n_owners = len(np.unique(groups[y == name]))
        if n_owners < _FEWEST_OF_CLASS:
            raise DesignError(
                f"{job.response_name}: the class {name!r} has {n_owners} owners in the training part of a fold, and "
                f"the prediction needs {_FEWEST_OF_CLASS}. Leave the class out, or bring more samples of it."
            )


def _require_outcomes(job: GenenetJob, fold: Fold) -> None:
    """Refuse a fold from which no survival can be learned, or on which none can be judged."""
    seen, groups = job.y[:, 1] > 0, job.samples.groups
    for kind, words in {True: "had the event", False: "left before the event"}.items():
        n_owners = len(np.unique(groups[fold.train][seen[fold.train] == kind]))
        if n_owners < _FEWEST_OF_CLASS and (seen == kind).any():
            raise DesignError(
                f"{job.response_name}: {n_owners} owners in the training part of a fold {words}, and the prediction "
                f"needs {_FEWEST_OF_CLASS}. Bring more of them."
            )
    if np.isnan(concordance(job.y[fold.test], np.zeros(len(fold.test)))):
        raise DesignError(
            f"{job.response_name}: in the test part of a fold no sample is known to outlive another, so nothing can be "
            "judged there. Use fewer folds."
        )


def _outer_folds(job: GenenetJob) -> list[Fold]:
    options, samples = job.config.validation, job.samples
    # without a response, folds are balanced along the modulator
    y = job.y if job.predicts else columns_of(job.axis)[:, 0]
    continuous = not job.predicts or job.task == "regression"
    if job.predicts and job.task == "survival":
        y, continuous = survival_strata(y)
    return grouped_folds(
        y,
        groups=samples.groups,
        n_splits=options.n_splits,
        n_repeats=options.n_repeats,
        continuous=continuous,
        random_state=job.seed("folds"),
    )


def _raw_genes(job: GenenetJob) -> npt.NDArray[np.float64]:
    """Return what ridge on the raw genes may see: all genes, less the signature where that is the response."""
    X = job.X
    if job.samples.circular:
        banned = {*job.samples.signature_up, *job.samples.signature_down}
        X = X.drop(columns=[gene for gene in X.columns if gene in banned])
    return np.asarray(X.to_numpy(), dtype=np.float64)
