"""The detectors of a run: one a fold, the final one of each kind, and those that tell how stable the first fold is."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.progress import Progress
from kotowari.studies.cytology.config import Config
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.fitting import FindTask, fit_and_find
from kotowari.studies.cytology.job import FINAL, CytologyJob, Part
from kotowari.studies.cytology.model.detector import CellDetector

__all__ = [
    "detector_task",
    "fit_detectors",
    "fold_folder",
    "make_detector",
    "published_detector",
    "seed_name",
    "untrained_detector",
]

Rows = npt.NDArray[np.intp]
_PUBLISHED_WIDTH = 16


def make_detector(config: Config, kind: Kind, seed: int, **options: Any) -> CellDetector:
    """Return an unfitted detector as configured for a kind of images; ``options`` are laid over."""
    own = config.detector
    settings: dict[str, Any] = {
        "recipe": own.recipe,
        "polarity": kind.polarity,
        "max_epochs": own.max_epochs,
        "width": own.n_channels,
        "patch": own.patch,
        "n_scenes": own.n_scenes,
        "instances": config.instances,
        "random_state": seed,
        "device": config.device,
    }
    return CellDetector(**(settings | options))


def published_detector(config: Config, kind: Kind, seed: int, **options: Any) -> CellDetector:
    """Return the low-rank and sparse recipe as it was published, unfitted."""
    epochs = config.detector.published_epochs
    return make_detector(config, kind, seed, recipe="published", max_epochs=epochs, width=_PUBLISHED_WIDTH, **options)


def untrained_detector(config: Config, kind: Kind, seed: int) -> CellDetector:
    """Return the same network with its first weights, which learns nothing."""
    return make_detector(config, kind, seed, max_epochs=0)


def detector_task(
    job: CytologyJob,
    kind: Kind,
    rows: tuple[Rows, Rows],
    seed: int,
    *,
    folder: Path | None = None,
    with_maps: bool = False,
    **options: Any,
) -> FindTask:
    """Return what a detector learns from and judges; ``rows`` are those to learn from and those kept aside."""
    return FindTask(
        job.store,
        make_detector(job.config, kind, seed, **options),
        *rows,
        job.groups,
        job.config.instances,
        folder=folder,
        with_maps=with_maps,
    )


def fit_detectors(job: CytologyJob, progress: Progress) -> None:
    """Fit a detector for every fold and kind, the final one on all images of a kind, and other seeds on first folds."""
    tasks = {}
    for kind in job.kinds:
        parts = job.parts(kind)
        first = parts[0]
        for part in parts:
            rows, seed = (part.fold.train, part.fold.test), job.seed("detector", part.name)
            tasks[part.name] = detector_task(job, kind, rows, seed, folder=fold_folder(job, part), with_maps=True)
        for number in range(1, job.config.trust.n_seeds):
            rows, seed = (first.fold.train, first.fold.test), job.seed("detector", first.name, number)
            home = fold_folder(job, first, number)
            tasks[seed_name(first, number)] = detector_task(job, kind, rows, seed, folder=home)
        name = f"{kind.word}-{FINAL}"
        rows = (kind.rows, kind.rows[:0])
        tasks[name] = detector_task(job, kind, rows, job.seed("detector", name), folder=job.detector_folder(kind))
    job.run(progress, "Detectors", "fit", fit_and_find, {name: (task,) for name, task in tasks.items()})


def fold_folder(job: CytologyJob, part: Part, number: int = 0) -> Path:
    """Where the detector of a fold is kept; ``number`` above 0: one that differs in its seed alone."""
    return job.path / "work" / "detectors" / (seed_name(part, number) if number else part.name)


def seed_name(part: Part, number: int) -> str:
    """Name of a fit that differs from that of a fold in its seed alone."""
    return f"{part.name}-seed-{number}"
