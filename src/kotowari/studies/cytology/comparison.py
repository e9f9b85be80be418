"""What a user would take instead, on the same folds and with the same instance stage."""

from collections.abc import Iterator

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Role
from kotowari.studies.cytology.baselines.background import LargeMedian, LocalThreshold, Otsu
from kotowari.studies.cytology.baselines.installed import InstalledCellpose, InstalledStarDist
from kotowari.studies.cytology.baselines.low_rank import LowRankBackground
from kotowari.studies.cytology.baselines.supervised import SupervisedUNet
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.detectors import published_detector, untrained_detector
from kotowari.studies.cytology.fitting import Finder, FindTask, fit_and_find
from kotowari.studies.cytology.job import CytologyJob, Part
from kotowari.studies.cytology.scoring import score_rows

__all__ = [
    "OTSU",
    "PUBLISHED",
    "UNTRAINED",
    "compare_finders",
    "finds_of",
    "make_otsu",
    "otsu_finds",
    "published_training",
    "supervised_finds",
]

OTSU, UNTRAINED, PUBLISHED = "Otsu", "same network, untrained", "L+S recipe as published"
_LOW_OTSU = 0.7
_ROLES: dict[str, Role] = {"otsu": "trivial null", "untrained": "untrained"}


def make_otsu() -> Finder:
    """Return the matched trivial null."""
    return Otsu()


def compare_finders(job: CytologyJob, progress: Progress) -> None:
    """Fit and judge every comparator on every fold, and write the rows of their scores."""
    tasks = {f"{word}-{part.name}": (task,) for part in job.all_parts for word, task in _tasks(job, part)}
    job.run(progress, "Comparators", "compare", fit_and_find, tasks)
    rows = []
    for kind in job.kinds:
        for word, model in _models(job, kind).items():
            found = job.found("compare", kind, f"{word}-")
            rows += score_rows(job, kind, found, model, _ROLES.get(word, "comparator"))
    job.folder.write_metrics("compare", rows)


def finds_of(job: CytologyJob, kind: Kind, model: str) -> dict[int, Arrays]:
    """Return what a comparator found in the images kept aside: row to its arrays."""
    word = next(word for word, name in _models(job, kind).items() if name == model)
    return job.found("compare", kind, f"{word}-")


def otsu_finds(job: CytologyJob, kind: Kind) -> dict[int, Arrays]:
    """Return what the matched trivial null found."""
    return finds_of(job, kind, OTSU)


def supervised_finds(job: CytologyJob, part: Part) -> dict[int, Arrays]:
    """Return what supervised networks found on a fold, by the number of masks they learned from."""
    return {n: job.shard("compare", f"{_taught(n)}-{part.name}") for n in _mask_numbers(job, part.kind)}


def published_training(job: CytologyJob, kind: Kind) -> Arrays | None:
    """Return how the published recipe was trained on the first fold; None where it was not run."""
    if not job.config.detector.published_epochs:
        return None
    shard = job.shard("compare", f"published-{job.parts(kind)[0].name}")
    return {name: shard[name] for name in ("loss", "objective", "optimum")}


def _models(job: CytologyJob, kind: Kind) -> dict[str, str]:
    """Return the comparators that judge a kind: word in names of files to name in the report."""
    found = {
        "otsu": OTSU,
        "low-otsu": f"Otsu x {_LOW_OTSU:g}",
        "local": LocalThreshold.name,
        "median": LargeMedian.name,
        "pca": LowRankBackground.name,
        "untrained": UNTRAINED,
    }
    if job.config.detector.published_epochs:
        found["published"] = PUBLISHED
    for word, model, finder in (
        ("cellpose", job.config.validation.cellpose, InstalledCellpose),
        ("stardist", job.config.validation.stardist, InstalledStarDist),
    ):
        if model is not None:
            found[word] = finder.name
    return found | {_taught(n): f"U-Net taught by {n} masks" for n in _mask_numbers(job, kind)}


def _finder(job: CytologyJob, part: Part, word: str) -> Finder:
    """Return an unfitted comparator that learns without masks."""
    kind, seed, validation = part.kind, job.seed("comparator", part.name, word), job.config.validation
    if word == "published":
        return published_detector(job.config, kind, seed)
    if word == "untrained":
        return untrained_detector(job.config, kind, seed)
    if word == "cellpose" and validation.cellpose is not None:
        return InstalledCellpose(validation.cellpose)
    if word == "stardist" and validation.stardist is not None:
        return InstalledStarDist(validation.stardist)
    plain: dict[str, Finder] = {
        "otsu": make_otsu(),
        "low-otsu": Otsu(_LOW_OTSU),
        "local": LocalThreshold(),
        "median": LargeMedian(),
        "pca": LowRankBackground(),
    }
    return plain[word]


def _tasks(job: CytologyJob, part: Part) -> Iterator[tuple[str, FindTask]]:
    fold, options = part.fold, job.config.instances
    taught = {_taught(n): n for n in _mask_numbers(job, part.kind)}
    for word in _models(job, part.kind):
        rows, finder = fold.train, None
        if word in taught:
            masked = fold.train[job.has_truth[fold.train]]
            order = np.random.default_rng(job.seed("masks", part.name)).permutation(masked)
            rows = order[: taught[word]]
            finder = _supervised(job, part, rows)
        yield word, FindTask(job.store, finder or _finder(job, part, word), rows, fold.test, job.groups, options)


def _supervised(job: CytologyJob, part: Part, rows: np.ndarray) -> SupervisedUNet:
    masks = [job.store.truth(int(row)) for row in rows]
    epochs = job.config.validation.labelled_epochs
    return SupervisedUNet(
        [mask for mask in masks if mask is not None], max_epochs=epochs, random_state=job.seed("taught", part.name)
    )


def _taught(n_masks: int) -> str:
    return f"taught-{n_masks}"


def _mask_numbers(job: CytologyJob, kind: Kind) -> list[int]:
    """Return how many masks supervised networks learn from, as far as every fold has so many."""
    if not job.is_scored(kind):
        return []
    fewest = min(int(job.has_truth[part.fold.train].sum()) for part in job.parts(kind))
    return [n for n in job.config.validation.n_labelled if n <= fewest]
