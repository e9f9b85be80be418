"""The job of the brain study as a list of named stages."""

from dataclasses import replace

import numpy as np
import pandas as pd

from kotowari.core.files import write_json
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Role
from kotowari.core.stages import Stage
from kotowari.studies.brain.applying import apply
from kotowari.studies.brain.chance import permute_targets
from kotowari.studies.brain.comparison import (
    EXTERNAL,
    INTERNAL,
    answer,
    diagnosis_rows,
    encoder_arms,
    external_answer,
    final_features,
    fixed_arms,
    fixed_features,
    held_out_rows,
)
from kotowari.studies.brain.data import build_store
from kotowari.studies.brain.design import planned_folds
from kotowari.studies.brain.fitting import fit_autoencoder, fit_diagnosis_encoder
from kotowari.studies.brain.gains import compare_pairs
from kotowari.studies.brain.grid import fit_models, score_models
from kotowari.studies.brain.job import FINAL, OURS, BrainJob
from kotowari.studies.brain.judging import judge
from kotowari.studies.brain.model.regression_scores import HeldOut
from kotowari.studies.brain.quality import look_at_volumes
from kotowari.studies.brain.reasons import find_reasons
from kotowari.studies.brain.reconstruction import principal_errors, reconstruction_rows
from kotowari.studies.brain.regressions import fit_regressions
from kotowari.studies.brain.story import tell
from kotowari.training.devices import require_device
from kotowari.trust.folds import splits_to_json

__all__ = ["STAGES", "apply"]


def read(job: BrainJob, progress: Progress) -> None:
    """Build the store of volumes, check everything that later stages need, and note all fingerprints."""
    require_device(job.config.device)
    cohort, questions = job.cohort, job.questions
    planned_folds(job)
    store = build_store(job.config, cohort, job.store_folder, progress)
    atlas = job.atlas
    job.folder.note_inputs(job.input_fingerprints())
    look_at_volumes(job)
    progress.say(
        f"Read {len(store)} volumes of {' x '.join(map(str, store.shape))} voxels, {store.n_voxels:,} in the mask; "
        f"{len(job.internal)} subjects to learn from, {int(job.external.sum())} at sites kept aside; "
        f"{len(questions)} targets, {len(atlas)} regions."
    )
    for note in (*cohort.notes, *store.notes, *atlas.notes):
        progress.say(f"Note: {note}")


def split(job: BrainJob, _progress: Progress) -> None:
    """Write the folds over all internal subjects, and see that each target can be learned in each."""
    write_json(job.path / "splits.json", splits_to_json(planned_folds(job)))


def features(job: BrainJob, progress: Progress) -> None:
    """Fit the label-free encoder of every fold and of all internal subjects, those that see the diagnosis, the grid."""
    tasks = {FINAL: job.encoder_task(FINAL, job.internal)}
    tasks |= {f"fold-{k}": job.encoder_task(f"fold-{k}", fold.train) for k, fold in enumerate(job.folds)}
    job.run(
        progress, "Label-free encoders", "features", fit_autoencoder, {name: (task,) for name, task in tasks.items()}
    )
    if job.knows_diagnosis:
        home = job.path / "work" / "encoders"
        told = {
            f"diagnosis-{name}": (replace(task, folder=home / f"diagnosis-{name}"), job.diagnosis)
            for name, task in tasks.items()
        }
        job.run(progress, "Encoders trained on the diagnosis", "features", fit_diagnosis_encoder, told)
    fit_models(job, progress)


def fit(job: BrainJob, progress: Progress) -> None:
    """Foretell every target from the features, out of fold and at the sites kept aside; keep the final regressions."""
    arms = encoder_arms(job)
    said = answer(job, progress, "Targets from features", "fit", arms)
    rows = []
    for question in job.questions:
        roles: dict[str, Role] = {name: arm.role for name, arm in arms[question.name].items()}
        rows += held_out_rows(job, question, said[question.name], roles)
        beyond = {
            name: there
            for name, X in final_features(job, question).items()
            if (there := external_answer(job, question, arms[question.name][name], X)) is not None
        }
        rows += held_out_rows(job, question, beyond, roles, external=True)
        _write_predictions(job, question.name, said[question.name][OURS], beyond.get(OURS))
    job.folder.write_metrics("fit", rows + diagnosis_rows(job))
    fit_regressions(job)


def compare(job: BrainJob, progress: Progress) -> None:
    """Judge what a user would take instead, and how well volumes are given back."""
    fixed_features(job)
    arms = fixed_arms(job)
    said = answer(job, progress, "Comparators", "compare", arms)
    rows = []
    for question in job.questions:
        own = arms[question.name]
        roles: dict[str, Role] = {name: arm.role for name, arm in own.items()}
        rows += held_out_rows(job, question, said[question.name], roles)
        beyond = {
            name: there
            for name, arm in own.items()
            if (there := external_answer(job, question, arm, arm.X)) is not None
        }
        rows += held_out_rows(job, question, beyond, roles, external=True)
    jobs = {f"fold-{k}": (job.store, fold) for k, fold in enumerate(job.first_folds)}
    parts = job.run(progress, "Components of the volumes", "components", principal_errors, jobs)
    rows += reconstruction_rows(job, parts)
    rows += score_models(job, progress)
    job.folder.write_metrics("compare", rows)
    compare_pairs(job)


def null(job: BrainJob, progress: Progress) -> None:
    """Refit every regression on permuted targets; the label-free encoders never saw one."""
    permute_targets(job, progress)


def reasons(job: BrainJob, progress: Progress) -> None:
    """Draw where the predictions come from, by every encoder, with the maps of the controls."""
    find_reasons(job, progress)


def trust(job: BrainJob, progress: Progress) -> None:
    """Test the reasons."""
    judge(job, progress)


def report(job: BrainJob, _progress: Progress) -> None:
    """Draw the pictures and write the report."""
    tell(job)


STAGES: tuple[Stage[BrainJob], ...] = (
    Stage("read", "Read", read),
    Stage("split", "Split", split),
    Stage("features", "Features", features),
    Stage("fit", "Fit", fit),
    Stage("compare", "Compare", compare),
    Stage("null", "Null", null),
    Stage("reasons", "Reasons", reasons),
    Stage("trust", "Trust", trust),
    Stage("report", "Report", report),
)


def _write_predictions(job: BrainJob, name: str, said: HeldOut, beyond: HeldOut | None) -> None:
    """Write what ours says of each subject kept aside, out of fold and at external sites."""
    frames = [_frame(job, said, INTERNAL)]
    if beyond is not None:
        frames.append(_frame(job, beyond, EXTERNAL))
    write_table(job.path / "tables" / f"predictions-{job.file_word(name)}.csv", pd.concat(frames, ignore_index=True))


def _frame(job: BrainJob, said: HeldOut, where: str) -> pd.DataFrame:
    names = np.array(job.cohort.subjects)
    truth = said.truth if said.truth.ndim == 1 else said.truth[:, 0]
    return pd.DataFrame(
        {
            "subject": names[said.rows],
            "where": where,
            "fold": said.fold,
            "truth": truth,
            "prediction": said.prediction,
        }
    )
