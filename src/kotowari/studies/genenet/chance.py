"""What chance gives: networks of permuted genes, and predictions of permuted responses."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import DesignError
from kotowari.core.jobs import Arrays, load_arrays
from kotowari.core.progress import Progress
from kotowari.studies.genenet.changing_coefficients import VaryingEdges, varying_edges
from kotowari.studies.genenet.fitting import explain_fold
from kotowari.studies.genenet.gene_permutation import EdgePermutation, edge_permutation
from kotowari.studies.genenet.guard import GENES_ROW, SPLINE_ROW
from kotowari.studies.genenet.job import OURS, GenenetJob
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.trust.comparators import chance_rows, point_scores
from kotowari.trust.folds import Fold
from kotowari.trust.permutation import permuted

__all__ = [
    "CHANCE",
    "coefficients_against_constant",
    "edges_against_chance",
    "may_permute_genes",
    "null_parts",
    "permute_genes",
    "permute_responses",
]

CHANCE = "permuted responses"


def permute_genes(job: GenenetJob, progress: Progress) -> None:
    """Refit all networks on genes permuted within bins of the modulator; each refit is kept."""
    if may_permute_genes(job):
        edges_against_chance(job, progress)


def may_permute_genes(job: GenenetJob) -> bool:
    """Whether the null of the edges was asked for and is one: several samples of an owner are not exchangeable."""
    groups = job.samples.groups
    return job.config.trust.n_edge_permutations > 0 and len(np.unique(groups)) == len(groups)


def edges_against_chance(job: GenenetJob, progress: Progress) -> EdgePermutation:
    """Return the change of every edge against networks of permuted genes; refits that are kept are not made again."""
    n_permutations = job.config.trust.n_edge_permutations
    return job.refit(
        "edge permutations",
        "Networks of permuted genes",
        1 + n_permutations,
        progress,
        edge_permutation,
        statistic="change",
        n_permutations=n_permutations,
        path_length=job.config.network.path_length,
    )


def coefficients_against_constant(job: GenenetJob, progress: Progress) -> VaryingEdges | str:
    """Return which coefficients change, against networks in which none does, or why that is not known.

    Refits that are kept are not made again.
    """
    if not job.config.trust.n_constant_refits:
        return "No networks of constant coefficients were asked for, so it is not known which coefficients change."
    n_draws = job.config.trust.n_constant_refits
    try:
        return job.refit(
            "constant coefficients",
            "Networks of constant coefficients",
            1 + n_draws,
            progress,
            varying_edges,
            # one network drawn into all of them is constant, and would only shrink what is asked for
            profiler=job.fresh_profiler(pooling=0.0),
            n_draws=n_draws,
            groups=job.samples.groups,
        )
    except DesignError as few:
        return f"It is not known which coefficients change. {few}"


def permute_responses(job: GenenetJob, progress: Progress) -> None:
    """Refit the prediction of every fold on permuted responses, and give our scores their p values."""
    effects = [job.effects(k) for k in range(len(job.first_folds))]  # read once, not once a permutation
    jobs = {
        f"permutation-{b}-fold-{k}": (job.trip(k), effects[k], _response(job, b), fold, job.samples.groups)
        for b in range(job.config.trust.n_permutations)
        for k, fold in enumerate(job.first_folds)
    }
    job.run(progress, "Refits on permuted responses", "null", _refit, jobs)
    nulls = [
        point_scores(_response(job, b), job.out_of_fold(parts, job.first_folds))
        for b, parts in enumerate(null_parts(job))
    ]
    if not nulls:
        return
    observed = point_scores(job.y, job.out_of_fold(job.fit_parts(), job.first_folds))
    models = {OURS, SPLINE_ROW, GENES_ROW}
    fitted = [row for row in job.folder.metrics() if row.target == job.response_name and row.model in models]
    ours, chance = chance_rows([row for row in fitted if row.model == OURS], observed, nulls, model=CHANCE)
    job.folder.write_metrics("fit", [*ours, *(row for row in fitted if row.model != OURS)])
    job.folder.write_metrics("null", chance)
    kept: Arrays = {name: np.array([null[name] for null in nulls]) for name in observed}
    job.keep("null", kept | {f"observed {name}": np.array(value) for name, value in observed.items()})


def null_parts(job: GenenetJob) -> list[dict[str, Arrays]]:
    """Return, for every permuted response, what its refits gave on each fold of the first repeat."""
    home = job.shards("null")
    return [
        {f"fold-{k}": load_arrays(home / f"permutation-{b}-fold-{k}.npz") for k in range(len(job.first_folds))}
        for b in range(job.config.trust.n_permutations)
    ]


def _response(job: GenenetJob, number: int) -> npt.NDArray[Any]:
    """Shuffle within test parts, which keeps small classes in training; owners of one response each move as wholes."""
    block, groups = np.zeros(len(job.y), dtype=np.intp), job.samples.groups
    for k, fold in enumerate(job.first_folds):
        block[fold.test] = k
    as_wholes = bool((pd.DataFrame(job.y).groupby(groups).nunique() == 1).all(axis=None))
    rng = np.random.default_rng(job.seed("permutation", number))
    return permuted(job.y, blocks=block, units=groups if as_wholes else None, rng=rng)


def _refit(estimator: Any, effects: SparseNetworks, y: npt.NDArray[Any], fold: Fold, groups: Any) -> Arrays:
    found = explain_fold(estimator, effects, y, fold, groups)
    return {name: found[name] for name in ("scores", "importance")}
