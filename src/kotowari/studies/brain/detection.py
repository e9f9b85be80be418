"""What could have been found: tissue loss planted into these very volumes, as much as it takes to be foretold."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.evidence import Check
from kotowari.core.progress import Progress
from kotowari.studies.brain.compact import same_products
from kotowari.studies.brain.implant import BrainImplant, PlantedLoss
from kotowari.studies.brain.job import BrainJob
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.covariate_design import CovariateDesign
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import Arm
from kotowari.studies.brain.model.regression_permutation import permutation_test
from kotowari.studies.brain.model.regression_targets import Target, target_folds
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.questions import Question
from kotowari.training.devices import one_thread
from kotowari.trust.implants import detection_limit, run_implants

__all__ = ["FindPlanted", "implant_check", "planted_question"]

_PLANTED = "planted score"
_LEVEL = 0.05
_PERMUTATIONS = 39
_SPLITS = 5


class FindPlanted:
    """Encode volumes with planted loss, and ask whether the score that it follows is foretold better than by chance.

    The label-free encoder is not trained again: it saw these brains without the loss, and no score. Regression, choice
    of penalty and folds are done anew for each planting.
    """

    def __init__(
        self, encoder: ConvolutionalAutoencoder, model: LatentRegression, covariates: pd.DataFrame | None
    ) -> None:
        self.encoder, self.model = encoder, model
        self.covariates = covariates

    def __call__(self, volumes: npt.NDArray[np.float32], truth: PlantedLoss) -> bool:
        """Return whether p is at most 0.05 by 39 permutations."""
        with one_thread():
            features = same_products(self.encoder.transform(volumes))
            target = Target.of(_PLANTED, truth.score)
            subjects = Subjects.of(len(features), covariates=self.covariates)
            folds = target_folds(target, n_splits=_SPLITS, random_state=0)
            found = permutation_test(
                {_PLANTED: {"ours": Arm(self.model, features)}},
                [target],
                {_PLANTED: folds},
                {_PLANTED: subjects},
                n_permutations=_PERMUTATIONS,
                random_state=0,
            )
            return bool(found.table["p"][0] <= _LEVEL)


def planted_question(job: BrainJob) -> Question:
    """Return the target in whose subjects losses are planted: the first that is asked of patients, else the first."""
    return next((question for question in job.questions if question.in_patients), job.questions[0])


def implant_check(job: BrainJob, progress: Progress) -> Iterator[Check]:
    """Plant graded losses into the internal patients' volumes (all internal subjects' without a diagnosis)."""
    trust, store = job.config.trust, job.store
    if not trust.implant_repeats:
        return
    asked = planted_question(job)
    rows = asked.target.rows
    covariates = asked.subjects.covariates
    plant = BrainImplant(
        store.volumes(rows) * store.mask,
        store.mask,
        store.box_grid.affine,
        volume_cm3=trust.implant_cm3,
    )
    analyse = FindPlanted(
        job.encoder(),
        job.model().set_params(harmoniser=None),
        None if covariates is None else _coded(covariates.iloc[rows]),
    )
    with progress.bar("Losses planted into the volumes", len(trust.implant_losses) * trust.implant_repeats) as advance:
        found = run_implants(
            plant,
            analyse,
            trust.implant_losses,
            n_repeats=trust.implant_repeats,
            random_state=job.seed("implants"),
            shards=job.shards("implants"),
            workers=job.config.workers,
            advance=advance,
        )
    limit = detection_limit(trust.implant_losses, found > 0)
    job.keep("implants", limit.arrays())
    who = "patients" if asked.in_patients else "subjects"
    yield limit.check(
        limit.sentence(
            f"these {len(rows)} {who}",
            f"a score whose highest value goes with a loss of {{grade}} of the tissue in {trust.implant_cm3:g} cm3",
        )
        + f" Found means: foretold out of fold with p <= {_LEVEL} by {_PERMUTATIONS} permutations."
    )


def _coded(covariates: pd.DataFrame) -> pd.DataFrame:
    """Return covariates as numbers, coded once: a fold of a planting may not hold a rare label."""
    design = CovariateDesign().fit(covariates)
    return pd.DataFrame(design.transform(covariates), columns=list(design.terms_))
