"""What could have been found: cells of graded contrast put into these very images."""

from pathlib import Path

import numpy as np

from kotowari.core.errors import DesignError
from kotowari.core.evidence import Check
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Progress
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.detectors import fold_folder
from kotowari.studies.cytology.fitting import find_cells
from kotowari.studies.cytology.image_store import ImageStore
from kotowari.studies.cytology.implant import CellImplant
from kotowari.studies.cytology.job import CytologyJob
from kotowari.studies.cytology.matching import match_instances
from kotowari.studies.cytology.model.detector import CellDetector
from kotowari.studies.cytology.model.instances import InstanceOptions
from kotowari.training.devices import one_thread
from kotowari.trust.implants import detection_limit

__all__ = ["find_planted", "implant_checks"]

_MOST_IMAGES = 6
_CELLS_EACH = 3


def implant_checks(job: CytologyJob, progress: Progress) -> dict[str, list[Check]]:
    """Plant cells of graded contrast into images of the first fold of each kind, and look for them; kind to checks.

    The detector is not trained again: it saw neither these images nor the planted cells. A planted cell is one repeat.
    """
    trust = job.config.trust
    if not trust.implant_repeats:
        return {}
    jobs = {
        _name(kind, grade, repeat): _task(job, kind, grade, repeat)
        for kind in job.kinds
        for grade in trust.implant_contrasts
        for repeat in range(trust.implant_repeats)
    }
    found = job.run(progress, "Cells planted into the images", "implants", find_planted, jobs)
    return {kind.word: [_check(job, kind, found)] for kind in job.kinds}


def find_planted(  # noqa: PLR0917  (what is planted, where, and who looks for it)
    store: ImageStore,
    detector: Path,
    options: InstanceOptions,
    rows: list[int],
    occupied: list[np.ndarray],
    polarity: str,
    grade: float,
    seed: int,
) -> Arrays:
    """Plant cells of one contrast into images at places without one, and find cells.

    Parameters
    ----------
    store
        All images.
    detector
        Folder of one that never saw these images.
    options
        Of the instance stage.
    rows
        Images to plant into.
    occupied
        Where something is already, labels image by image.
    polarity
        Of the cells.
    grade
        Contrast, as a share of that of the image's own cells.
    seed
        Of places and shapes; the same at every grade.

    Returns
    -------
    dict
        ``found``, one entry a planted cell: whether a cell was found that shares half of the union of both; empty where
        the images have no free place, or no cell of their own to measure.
    """
    with one_thread():
        finder = CellDetector.load(detector)
        images = store.images(rows)
        implant = CellImplant(images, occupied, "bright" if polarity == "bright" else "dark", n_cells=_CELLS_EACH)
        try:
            changed, planted = implant(grade, np.random.default_rng(seed))
        except DesignError:  # no room, or no unit of contrast: then nothing is known, which the check says
            return {"found": np.zeros(0, np.bool_)}
        hits = []
        for image, labels in zip(changed, planted.labels, strict=True):
            match = match_instances(labels, find_cells(finder, image, options).instances.labels)
            numbers = np.unique(labels[labels > 0])
            hits.append(np.isin(numbers, match.pairs[:, 0]))
        return {"found": np.concatenate(hits)}


def _task(job: CytologyJob, kind: Kind, grade: float, repeat: int) -> tuple[object, ...]:
    part = job.parts(kind)[0]
    rows = part.fold.test.tolist()[:_MOST_IMAGES]
    cells = job.cells(kind)
    occupied = []
    for row in rows:
        truth = job.store.truth(row)
        occupied.append(cells[row]["labels"].astype(np.int32) if truth is None else truth)
    seed = job.seed("implants", kind.word, repeat)
    options = job.config.instances
    return job.store, fold_folder(job, part), options, rows, occupied, kind.polarity, float(grade), seed


def _check(job: CytologyJob, kind: Kind, found: dict[str, Arrays]) -> Check:
    trust = job.config.trust
    by_grade = [
        np.concatenate([found[_name(kind, grade, repeat)]["found"] for repeat in range(trust.implant_repeats)])
        for grade in trust.implant_contrasts
    ]
    n_cells = min(len(own) for own in by_grade)
    if not n_cells:
        return Check.not_applicable(
            "detection limit", "No cell could be planted: the images have no free place, or no cell to measure by."
        )
    limit = detection_limit(trust.implant_contrasts, np.stack([own[:n_cells] for own in by_grade]))
    if kind is job.kinds[0]:
        job.keep("implants", limit.arrays())
    n_images = min(_MOST_IMAGES, len(job.parts(kind)[0].fold.test))
    said = limit.sentence(f"{n_images} of these images", "a lone cell of {grade} times the contrast of your own cells")
    return limit.check(said.replace("repeats", "planted cells"))


def _name(kind: Kind, grade: float, repeat: int) -> str:
    return f"{kind.word}-contrast-{grade:g}-{repeat}"
