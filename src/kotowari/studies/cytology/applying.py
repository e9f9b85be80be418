"""A finished run on new images: masks, counts and a cell table, with a flag where the run knows nothing of a stain."""

from pathlib import Path

import numpy as np

from kotowari.core.checks import few
from kotowari.core.errors import InputError
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Progress
from kotowari.core.runfolder import RunFolder
from kotowari.formats.image import read_pages
from kotowari.formats.png import write_png
from kotowari.studies.cytology.data import Kind, describe_images, kind_name
from kotowari.studies.cytology.fitting import find_cells
from kotowari.studies.cytology.image_files import ImageFile, find_images
from kotowari.studies.cytology.image_store import with_channels
from kotowari.studies.cytology.job import CytologyJob, open_job
from kotowari.studies.cytology.model.detector import CellDetector
from kotowari.studies.cytology.overlay import outlined, shown
from kotowari.studies.cytology.results import ResultFiles
from kotowari.training.devices import one_thread

__all__ = ["apply"]

_UNSEEN = "stain not seen by the run"


def apply(folder: RunFolder, table: Path, out: Path, annotations: Path | None = None) -> Path:
    """Find cells in new images with the final detectors of a run; nothing is fitted again.

    An image of a stain that the run has not seen is given to a detector of the same polarity and flagged; where there
    is none, no cell is sought in it.

    Parameters
    ----------
    folder
        The run.
    table
        New images: a file, a folder, or a table of paths.
    out
        Folder for ``counts.csv`` (a row an image), ``cells.csv`` (a row a cell), ``coco.json``, ``masks`` (label TIFF
        and PNG) and ``overlays``.
    annotations
        Refused: the detector reads images alone.

    Raises
    ------
    InputError
        When the run is not far enough, or an image cannot be read.
    """
    if annotations is not None:
        raise InputError(f"{annotations}: the cytology study finds cells in images alone. Leave the annotations out.")
    job = open_job(folder)
    if folder.stage_state("fit") != "done":
        raise InputError(f"{folder.path}: has no fitted detector yet. Finish it by `kotowari resume {folder.path}`.")
    files = find_images(table)
    detectors = {kind.word: job.detector(kind) for kind in job.kinds}
    results, progress = ResultFiles(out / "masks"), Progress()
    with progress.bar("Cells in new images", len(files)) as advance, one_thread():
        for file in files:
            _find_in_file(job, detectors, file, results, out / "overlays")
            advance(1)
    results.write(out, out / "coco.json")
    unseen = [row["image"] for row in results.counts if _UNSEEN in row["flags"]]
    if unseen:
        progress.say(f"Note: the run has not seen the stain of {few(unseen, 3)}; counts.csv says so.")
    return out / "counts.csv"


def _find_in_file(
    job: CytologyJob, detectors: dict[str, CellDetector], file: ImageFile, results: ResultFiles, overlays: Path
) -> None:
    data = job.config.data
    pages = read_pages(file.path, channel=data.channel)
    edge = data.um_per_pixel if data.um_per_pixel is not None else pages.um_per_pixel
    seen = describe_images(list(pages.unit), data)
    for page, image in enumerate(pages.unit):
        name = file.name if len(pages.values) == 1 else f"{file.name}-page-{page + 1}"
        kind, flags = _kind_for(job, seen, page)
        if kind is None:
            results.skip(name, flags)
            continue
        fitting = with_channels(image, job.store.channels[int(kind.rows[0])])
        found = find_cells(detectors[kind.word], fitting, job.config.instances)
        arrays = {
            "labels": found.instances.labels,
            "confidence": found.instances.confidence,
            "foreground": found.foreground,
            "cut": np.array(found.cut),
        }
        results.add(name, kind.name, fitting, arrays, np.nan if edge is None else edge, flags)
        write_png(overlays / f"{name}.png", outlined(shown(fitting), found.instances.labels))


def _kind_for(job: CytologyJob, seen: Arrays, page: int) -> tuple[Kind | None, str]:
    """Return the detector's kind for an image, and what is to be said of that; None where no cell can be sought."""
    if seen["constant"][page]:
        return None, "one value"
    stain, polarity = str(seen["stain"][page]), str(seen["polarity"][page])
    for kind in job.kinds:
        if (kind.stain, kind.polarity) == (stain, polarity):
            return kind, ""
    flag = f"{_UNSEEN} ({kind_name(stain, polarity)})"
    near = [kind for kind in job.kinds if kind.polarity == polarity]
    return (near[0], flag) if near else (None, flag)
