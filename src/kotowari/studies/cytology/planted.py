"""Simulated images of the stain that was found, whose cells are known: what the same steps find in them."""

import numpy as np

from kotowari.core.evidence import Check
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Metric, Role
from kotowari.studies.cytology.comparison import OTSU, make_otsu
from kotowari.studies.cytology.data import Kind, keep_pages
from kotowari.studies.cytology.detectors import make_detector
from kotowari.studies.cytology.fitting import FindTask, fit_and_find, unpacked_scores
from kotowari.studies.cytology.image_store import ImageStore
from kotowari.studies.cytology.job import OURS, CytologyJob
from kotowari.studies.cytology.phantom import CellPhantom
from kotowari.studies.cytology.scores import ImageScores, pooled_scores
from kotowari.studies.cytology.scoring import metric_rows
from kotowari.studies.cytology.simulated import phantom_like

__all__ = ["planted_checks"]

_WANTED_F1, _MOST_COUNT_ERROR, _MOST_DEBRIS = 0.75, 0.10, 0.05
_HALF = 0.5


def planted_checks(job: CytologyJob, progress: Progress) -> dict[str, list[Check]]:
    """Fit on one half of simulated slides and judge the other, beside Otsu; kind to checks, and rows of scores."""
    if not job.config.trust.n_planted:
        return {}
    phantoms = {kind.word: _phantom(job, kind) for kind in job.kinds}
    tasks = {
        f"{kind.word}-{name}": (task,)
        for kind in job.kinds
        for name, task in _tasks(job, kind, phantoms[kind.word]).items()
    }
    found = job.run(progress, "Simulated images", "planted", fit_and_find, tasks)
    checks, rows = {}, list[Metric]()
    for kind in job.kinds:
        phantom = phantoms[kind.word]
        test = _halves(phantom)[1]
        scores = {
            model: [unpacked_scores(found[f"{kind.word}-{word}"][f"scores-{row}"]) for row in test]
            for word, model in (("ours", OURS), ("otsu", OTSU))
        }
        for model, own in scores.items():
            role: Role = "ours" if model == OURS else "trivial null"
            rows += metric_rows(
                f"{kind.name}: simulated images",
                model,
                role,
                [one for one, _ in own],
                np.array([ap for _, ap in own]),
                phantom.slides[test],
                job.seed("intervals"),
            )
        ours, otsu = ([one for one, _ in scores[model]] for model in (OURS, OTSU))
        labels = [found[f"{kind.word}-ours"][f"labels-{row}"] for row in test]
        checks[kind.word] = _checks(ours, otsu, _debris_share(phantom, test, labels))
    job.folder.write_metrics("planted", rows)
    return checks


def _phantom(job: CytologyJob, kind: Kind) -> CellPhantom:
    shapes = job.table[["height", "width"]].to_numpy(np.int64)[kind.rows]
    height, width = (int(side) for side in np.median(shapes, axis=0))
    n_channels = job.store.channels[int(kind.rows[0])]
    return phantom_like(kind, n_channels, job.config.trust.n_planted, (height, width), job.seed("planted", kind.word))


def _halves(phantom: CellPhantom) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of every other slide to learn from, and the rest."""
    learned = phantom.slides % 2 == 0
    return np.flatnonzero(learned), np.flatnonzero(~learned)


def _tasks(job: CytologyJob, kind: Kind, phantom: CellPhantom) -> dict[str, FindTask]:
    folder = job.path / "work" / "planted-images" / kind.word
    for number, (image, labels) in enumerate(zip(phantom.images, phantom.labels, strict=True)):
        keep_pages(folder / f"{number}.npz", [image], 1.0, [labels], job.config.data)
    places = tuple((str(number), 0) for number in range(len(phantom.images)))
    store = ImageStore(folder, places, tuple(image.shape[2] for image in phantom.images))
    train, test = _halves(phantom)
    planted = Kind(kind.stain, phantom.polarity, np.arange(len(phantom.images)))
    finders = {
        "ours": make_detector(job.config, planted, job.seed("planted detector", kind.word)),
        "otsu": make_otsu(),
    }
    groups = phantom.slides
    return {
        name: FindTask(store, finder, train, test, groups, job.config.instances) for name, finder in finders.items()
    }


def _debris_share(phantom: CellPhantom, rows: np.ndarray, labels: list[np.ndarray]) -> float:
    """Return the share of the objects found that lie in debris, by more than half, and in no cell."""
    n_debris = n_found = 0
    for row, found in zip(rows, labels, strict=True):
        dirt = phantom.debris[row] & (phantom.labels[row] == 0)
        areas = np.bincount(found.ravel())[1:]
        inside = np.bincount(found[dirt].ravel(), minlength=len(areas) + 1)[1:]
        n_found += len(areas)
        n_debris += int((inside > _HALF * areas).sum())
    return n_debris / n_found if n_found else np.nan


def _checks(ours: list[ImageScores], otsu: list[ImageScores], debris: float) -> list[Check]:
    own, other = pooled_scores(ours), pooled_scores(otsu)
    return [
        Check.at_least(
            "planted cells",
            own["f1"],
            _WANTED_F1,
            f"On {len(ours)} simulated images of this stain, fitted on others, F1 is {own['f1']:.2f} (Otsu with the "
            f"same instance stage: {other['f1']:.2f}).",
        ),
        Check.at_most(
            "planted counts",
            own["count_error"],
            _MOST_COUNT_ERROR,
            f"Counts on simulated images are off by {100 * own['count_error']:.0f} % of the cells in sum (Otsu: "
            f"{100 * other['count_error']:.0f} %).",
        ),
        Check.at_most(
            "planted debris",
            debris,
            _MOST_DEBRIS,
            f"{100 * debris:.1f} % of the objects found on simulated images are specks of dirt.",
        ),
    ]
