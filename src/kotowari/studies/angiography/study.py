"""The job of the angiography study as a list of named stages."""

import numpy as np

from kotowari.core.errors import InputError
from kotowari.core.files import write_json
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.core.stages import Stage
from kotowari.studies.angiography.applying import apply
from kotowari.studies.angiography.chance import look_at_chance
from kotowari.studies.angiography.comparison import compare_methods
from kotowari.studies.angiography.fitting import look_at, separate_recording
from kotowari.studies.angiography.job import AngiographyJob
from kotowari.studies.angiography.judging import judge
from kotowari.studies.angiography.looks import facts_of, recordings_table
from kotowari.studies.angiography.networks import fit_networks
from kotowari.studies.angiography.reasons import tell_vessels
from kotowari.studies.angiography.story import tell
from kotowari.training.devices import require_device
from kotowari.trust.folds import Fold, grouped_folds, splits_to_json

__all__ = ["STAGES", "apply"]


def read(job: AngiographyJob, progress: Progress) -> None:
    """Read every recording once, say what it is, and note all fingerprints."""
    require_device(job.config.device)
    jobs = {recording.name: (recording, job.config) for recording in job.recordings}
    looked = job.run(progress, "Recordings", "looks", look_at, jobs)
    flat = [name for name, own in looked.items() if own["flat"]]
    if flat:
        raise InputError(f"{flat[0]}: every pixel in its field of view has one value. Leave the recording out.")
    job.keep("recordings", facts_of(looked))
    table = recordings_table(job, looked)
    write_table(job.path / "tables" / "recordings.csv", table)
    n_runs, n_masked = len(job.runs), int(job.has_truth.sum())
    masks = f"{n_masked} with masks, which only score" if n_masked else "no masks"
    progress.say(
        f"Read {len(table)} recordings of {table['patient'].nunique()} patients: {n_runs} runs, {len(table) - n_runs} "
        f"single frames; {masks}."
    )


def split(job: AngiographyJob, _progress: Progress) -> None:
    """Write folds over patients; a single patient has none, and its network sees its own frames, never a mask."""
    n_patients = len(np.unique(job.groups))
    folds: list[Fold] = []
    if n_patients > 1:
        folds = grouped_folds(
            job.n_frames.astype(np.float64),
            groups=job.groups,
            n_splits=min(job.config.validation.n_splits, n_patients),
            continuous=True,
            random_state=job.seed("folds"),
        )
    write_json(job.path / "splits.json", splits_to_json(folds))


def separate(job: AngiographyJob, progress: Progress) -> None:
    """Part every run into background, vessels and rest."""
    jobs = {recording.name: (recording, job.config) for recording in job.runs}
    job.run(progress, "Runs into background and vessels", "layers", separate_recording, jobs)


def fit(job: AngiographyJob, progress: Progress) -> None:
    """Teach the networks, none of which sees a mask."""
    fit_networks(job, progress)


def compare(job: AngiographyJob, progress: Progress) -> None:
    """Judge all methods where the vessels are known: the user's masks, and vessels put into the user's frames."""
    compare_methods(job, progress)


def null(job: AngiographyJob, _progress: Progress) -> None:
    """Hold maps against vessels turned over."""
    look_at_chance(job)


def reasons(job: AngiographyJob, progress: Progress) -> None:
    """Write maps, centrelines, arrival, DICOM and video of every recording."""
    tell_vessels(job, progress)


def trust(job: AngiographyJob, progress: Progress) -> None:
    """Test the maps."""
    judge(job, progress)


def report(job: AngiographyJob, _progress: Progress) -> None:
    """Draw the pictures and write the report."""
    tell(job)


STAGES: tuple[Stage[AngiographyJob], ...] = (
    Stage("read", "Read", read),
    Stage("split", "Split", split),
    Stage("separate", "Separate", separate),
    Stage("fit", "Fit", fit),
    Stage("compare", "Compare", compare),
    Stage("null", "Null", null),
    Stage("reasons", "Reasons", reasons),
    Stage("trust", "Trust", trust),
    Stage("report", "Report", report),
)
