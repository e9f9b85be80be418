"""The job of the cytology study as a list of named stages."""

import numpy as np

from kotowari.core.files import write_json
from kotowari.core.jobs import Arrays
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.core.stages import Stage
from kotowari.studies.cytology.applying import apply
from kotowari.studies.cytology.chance import look_at_chance
from kotowari.studies.cytology.comparison import compare_finders
from kotowari.studies.cytology.curves import draw_curves
from kotowari.studies.cytology.data import files_of, image_table, input_fingerprints, read_file
from kotowari.studies.cytology.detectors import fit_detectors
from kotowari.studies.cytology.image_files import ImageFile
from kotowari.studies.cytology.job import OURS, CytologyJob
from kotowari.studies.cytology.judging import judge
from kotowari.studies.cytology.reasons import tell_cells
from kotowari.studies.cytology.scoring import score_rows
from kotowari.studies.cytology.simulated import keep_simulated
from kotowari.studies.cytology.story import tell
from kotowari.training.devices import require_device
from kotowari.trust.folds import Fold, grouped_folds, splits_to_json

__all__ = ["STAGES", "apply"]


def read(job: CytologyJob, progress: Progress) -> None:
    """Read all images with their masks, find stains, look at their quality, and note all fingerprints."""
    require_device(job.config.device)
    files, parts = _simulated(job) if job.config.data.images == "phantom" else _from_files(job, progress)
    table, notes = image_table(files, parts, apart=job.config.data.pages == "apart")
    write_table(job.path / "tables" / "images.csv", table)
    job.keep("notes", {"notes": np.array(notes, dtype=np.str_)})
    kinds = "; ".join(f"{len(kind.rows)} of {kind.name}" for kind in job.kinds)
    n_masks = int(job.has_truth.sum())
    masks = "no masks" if not n_masks else f"{n_masks} with masks, which only score"
    progress.say(f"Read {len(table)} images of {table['slide'].nunique()} slides: {kinds}; {masks}.")
    for note in notes:
        progress.say(f"Note: {note}")


def split(job: CytologyJob, _progress: Progress) -> None:
    """Write the folds over slides, kind after kind."""
    write_json(
        job.path / "splits.json", splits_to_json([fold for kind in job.kinds for fold in _folds(job, kind.rows)])
    )


def fit(job: CytologyJob, progress: Progress) -> None:
    """Fit a detector on every fold and on all images of a kind, and find cells in the images kept aside."""
    fit_detectors(job, progress)
    rows = [
        row for kind in job.kinds if job.is_scored(kind) for row in score_rows(job, kind, job.cells(kind), OURS, "ours")
    ]
    job.folder.write_metrics("fit", rows)


def compare(job: CytologyJob, progress: Progress) -> None:
    """Judge what a user would take instead, all with the same instance stage, on the same folds."""
    compare_finders(job, progress)


def curves(job: CytologyJob, progress: Progress) -> None:
    """Fit detectors on fewer images, and see what more images give."""
    draw_curves(job, progress)


def null(job: CytologyJob, progress: Progress) -> None:
    """Count what is found on blank fields, and what cells of other images would match."""
    look_at_chance(job, progress)


def reasons(job: CytologyJob, progress: Progress) -> None:
    """Write masks, tables and COCO, and say of each cell why it was taken."""
    tell_cells(job, progress)


def trust(job: CytologyJob, progress: Progress) -> None:
    """Test the result."""
    judge(job, progress)


def report(job: CytologyJob, _progress: Progress) -> None:
    """Draw the pictures and write the report."""
    tell(job)


STAGES: tuple[Stage[CytologyJob], ...] = (
    Stage("read", "Read", read),
    Stage("split", "Split", split),
    Stage("fit", "Fit", fit),
    Stage("compare", "Compare", compare),
    Stage("curves", "Curves", curves),
    Stage("null", "Null", null),
    Stage("reasons", "Reasons", reasons),
    Stage("trust", "Trust", trust),
    Stage("report", "Report", report),
)


def _from_files(job: CytologyJob, progress: Progress) -> tuple[list[ImageFile], dict[str, Arrays]]:
    files = files_of(job.config)
    job.folder.note_inputs(input_fingerprints(job.config))
    jobs = {file.name: (file, job.config.data, job.shards("images")) for file in files}
    return files, job.run(progress, "Images", "looks", read_file, jobs)


def _simulated(job: CytologyJob) -> tuple[list[ImageFile], dict[str, Arrays]]:
    return keep_simulated(job.config, job.shards("images"))


def _folds(job: CytologyJob, rows: np.ndarray) -> list[Fold]:
    """Return folds over the slides of some images, as many as asked for or as there are slides."""
    groups = job.groups[rows]
    # strata of size: every fold sees small and large images
    size = (job.table["height"] * job.table["width"]).to_numpy(np.float64)[rows]
    folds = grouped_folds(
        size,
        groups=groups,
        n_splits=min(job.config.validation.n_splits, len(np.unique(groups))),
        continuous=True,
        random_state=job.seed("folds"),
    )
    return [Fold(rows[fold.train], rows[fold.test]) for fold in folds]
