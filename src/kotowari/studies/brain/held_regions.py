"""Which regions carry what is foretold of subjects kept aside: their part in the score, held against the target."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.core.progress import Progress
from kotowari.studies.brain.job import BrainJob
from kotowari.studies.brain.maps.brain_score import BrainScore
from kotowari.studies.brain.maps.family_wise import ShuffledNull, family_wise_p, largest_allowed
from kotowari.studies.brain.maps.occlusion import occlude_regions
from kotowari.studies.brain.model.atlas import Atlas
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import model_for
from kotowari.studies.brain.model.regression_permutation import permuted_outcomes
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.studies.brain.questions import Question
from kotowari.training.devices import one_thread
from kotowari.trust.folds import Fold

__all__ = ["contribute", "regions_against_chance", "run_held_regions"]

FloatArray = npt.NDArray[np.float64]
_BATCH = "held-regions"
_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class HeldTask:
    """What the encoder of a fold is asked of the subjects kept aside.

    Parameters
    ----------
    folder
        Of the fitted encoder.
    store, atlas
        Volumes and regions.
    questions, folds
        Targets, and the fold cut to each.
    model
        Unfitted regression.
    n_shuffles, seed
        Shuffled targets, the same in all folds.
    """

    folder: Path
    store: VolumeStore
    atlas: Atlas
    questions: tuple[Question, ...]
    folds: tuple[Fold, ...]
    model: LatentRegression
    n_shuffles: int
    seed: int


def run_held_regions(job: BrainJob, progress: Progress) -> None:
    """Occlude the regions of every subject kept aside, for the targets and for shuffled ones."""
    asked = tuple(question for question in job.questions if _is_one_number(question))
    cut = [job.folds_of(question, job.first_folds) for question in asked]
    jobs = {}
    for k in range(len(job.first_folds)):
        jobs[f"fold-{k}"] = (
            HeldTask(
                job.encoder_folder(f"fold-{k}"),
                job.store,
                job.atlas,
                asked,
                tuple(folds[k] for folds in cut),
                job.model(),
                job.config.trust.n_map_shuffles,
                job.seed("held regions"),
            ),
        )
    job.run(progress, "Regions of subjects kept aside", _BATCH, contribute, jobs)


def contribute(task: HeldTask) -> Arrays:
    """Return what each region adds to the score of the subjects kept aside.

    Returns
    -------
    dict
        ``parts-k`` for question k, shape ``(1 + shuffle, subject, region)``: score less that with the region replaced
        by the mean training brain, the target itself first.
    """
    with one_thread():
        encoder = ConvolutionalAutoencoder.load(task.folder)
        features = encoder.transform(task.store)
        regressions: list[LatentRegression] = []
        for question, fold in zip(task.questions, task.folds, strict=True):
            there = question.subjects.rows(fold.train)
            outcomes = [values[fold.train] for values in _outcomes(question, task.n_shuffles, task.seed)]
            known = {"sites": there.sites, "covariates": there.covariates, "groups": there.groups}
            regressions += model_for(task.model, question.target).fit_each(features[fold.train], outcomes, **known)
        rows = np.unique(np.concatenate([fold.test for fold in task.folds]))
        sites = task.questions[0].subjects.sites
        effects = occlude_regions(
            BrainScore(encoder, regressions),
            task.store,
            task.atlas.labels,
            rows=rows,
            sites=None if sites is None else sites[rows],
        ).effects
        size = 1 + task.n_shuffles
        return {
            f"parts-{k}": effects[k * size : (k + 1) * size][:, np.searchsorted(rows, fold.test)].astype(np.float32)
            for k, fold in enumerate(task.folds)
        }


def regions_against_chance(job: BrainJob, question: Question) -> ShuffledNull | None:
    r"""Hold each region's part in the predictions of subjects kept aside against shuffled targets.

    .. math:: r_j = \mathrm{corr}_i(e_{ij}, y_i), \quad \text{both centred within the fold}

    with the part e of region j in the score of subject i. A region counts where its part goes along with the target.
    The size of the part alone is no test: regressions of shuffled targets, which need small axes of the features,
    have larger weights than that of a target which the large ones foretell.

    Returns
    -------
    ShuffledNull or None
        Family-wise over regions by the largest r of each shuffle; None for survival and several targets at once.

    Source: our own; maximum over regions as Westfall and Young 1993.
    """
    asked = [one for one in job.questions if _is_one_number(one)]
    if question not in asked:
        return None
    place, folds = asked.index(question), job.folds_of(question, job.first_folds)
    outcomes = _outcomes(question, job.config.trust.n_map_shuffles, job.seed("held regions"))
    parts, truths = [], []
    for k, fold in enumerate(folds):
        own = job.shard(_BATCH, f"fold-{k}")[f"parts-{place}"].astype(np.float64)
        truth = np.stack([_scaled(question, values[fold.test]) for values in outcomes])
        parts.append(own - own.mean(1, keepdims=True))
        truths.append(truth - truth.mean(1, keepdims=True))
    found = _correlations(np.concatenate(parts, axis=1), np.concatenate(truths, axis=1))
    maxima = found[1:].max(1)
    threshold = np.full(found.shape[1], largest_allowed(maxima, _LEVEL))
    return ShuffledNull(family_wise_p(found[0], maxima), threshold, len(maxima), _LEVEL)


def _correlations(parts: FloatArray, truths: FloatArray) -> FloatArray:
    """Return r over subjects, ``(draw, subject, region), (draw, subject) -> (draw, region)``; 0 where it is flat."""
    products = np.einsum("bij,bi->bj", parts, truths)
    scale = np.sqrt((parts**2).sum(1) * (truths**2).sum(1)[:, None])
    found: FloatArray = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    return found


def _outcomes(question: Question, n_shuffles: int, seed: int) -> list[FloatArray]:
    """Return the target and its permutations, of all rows."""
    return permuted_outcomes(
        question.target,
        range(n_shuffles + 1),
        question.subjects,
        blocks=question.subjects.sites,
        random_state=seed,
    )


def _scaled(question: Question, values: FloatArray) -> FloatArray:
    return np.log(values) if question.target.transform == "log" else values


def _is_one_number(question: Question) -> bool:
    return question.target.kind in {"number", "class"}
