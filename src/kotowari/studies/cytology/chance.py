"""What chance gives: cells found where there are none, and cells of other images that match by their place alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.jobs import Arrays
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Metric, Role
from kotowari.studies.cytology.blank_fields import blank_field
from kotowari.studies.cytology.comparison import OTSU, make_otsu
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.detectors import fold_folder
from kotowari.studies.cytology.fitting import Finder, find_cells, unpacked_scores
from kotowari.studies.cytology.image_store import ImageStore
from kotowari.studies.cytology.job import OURS, CytologyJob, Part
from kotowari.studies.cytology.matching import match_instances
from kotowari.studies.cytology.model.detector import CellDetector
from kotowari.studies.cytology.model.instances import InstanceOptions
from kotowari.studies.cytology.scoring import F1
from kotowari.training.devices import one_thread
from kotowari.trust.intervals import bootstrap_interval

__all__ = ["BLANK", "CHANCE", "blank_target", "count_on_blank_fields", "look_at_chance", "others_first"]

BLANK, CHANCE = "error: objects a blank field", "cells of other images"
_MOST_IMAGES = 64
_N_ORDERS, _MOST_TRIES = 199, 20
_CENTRAL = (0.025, 0.975)
_LARGEST_SEED = 2**31


def blank_target(kind: Kind) -> str:
    """Return the words above the counts on blank fields."""
    return f"{kind.name}: blank fields"


def look_at_chance(job: CytologyJob, progress: Progress) -> None:
    """Write ``tables/blank-fields.csv`` and the rows of chance, and give the F1 of ours its p value."""
    jobs = {part.name: _blank_task(job, part) for part in job.all_parts}
    counted = job.run(progress, "Blank fields", "blank", count_on_blank_fields, jobs)
    rows: list[Metric] = []
    tables = []
    for kind in job.kinds:
        parts = [counted[part.name] for part in job.parts(kind)]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        rows += _blank_rows(job, kind, joined)
        tables.append(_blank_table(job, joined))
        if job.is_scored(kind):
            rows.append(_placement(job, kind))
    write_table(job.path / "tables" / "blank-fields.csv", pd.concat(tables, ignore_index=True))
    job.folder.write_metrics("null", rows)


def count_on_blank_fields(
    store: ImageStore,
    detector: Path,
    otsu: Finder,
    options: InstanceOptions,
    cells: Mapping[int, npt.NDArray[np.bool_]],
    seeds: npt.NDArray[np.int64],
) -> Arrays:
    """Count what ours and Otsu find on blank fields made of the background of each image.

    Parameters
    ----------
    store
        All images.
    detector
        Folder of a detector that never saw these images.
    otsu
        The matched trivial null, fitted on the same images.
    options
        Of the instance stage.
    cells
        Row to a mask of all that may be a cell.
    seeds
        Of the fields of every image.

    Returns
    -------
    dict
        ``row``, ``ours`` and ``otsu``, one entry a field.
    """
    counts = []
    with one_thread():
        finders: tuple[Finder, ...] = (CellDetector.load(detector), otsu)
        for row, mask in cells.items():
            image = store.image(row)
            for seed in seeds:
                field = blank_field(image, mask, np.random.default_rng([int(seed), row]))
                if field is not None:
                    found = [find_cells(finder, field, options) for finder in finders]
                    counts.append((row, *(len(own.instances.confidence) for own in found)))
    columns = np.array(counts, np.int64).reshape(-1, 3).T
    return dict(zip(("row", "ours", "otsu"), columns, strict=True))


def _blank_task(job: CytologyJob, part: Part) -> tuple[object, ...]:
    ours, otsu = (job.shard(batch, name) for batch, name in (("fit", part.name), ("compare", f"otsu-{part.name}")))
    cells = {
        row: (ours[f"labels-{row}"] > 0) | (otsu[f"labels-{row}"] > 0) | _true_cells(job, row)
        for row in part.fold.test.tolist()
    }
    # a method that takes half of an image for cells must not leave it without a background
    cells = {
        row: mask if mask.mean() < 0.5 else (ours[f"labels-{row}"] > 0) | _true_cells(job, row)
        for row, mask in cells.items()
    }
    otsu_finder = make_otsu().fit(job.store.images(part.fold.train))
    seeds = np.random.default_rng(job.seed("blank", part.name)).integers(_LARGEST_SEED, size=job.config.trust.n_blank)
    return job.store, fold_folder(job, part), otsu_finder, job.config.instances, cells, seeds


def _true_cells(job: CytologyJob, row: int) -> npt.NDArray[np.bool_]:
    """Return the cells of a mask: those that were missed must not become background."""
    truth = job.store.truth(row)
    return np.zeros(job.store.image(row).shape[:2], np.bool_) if truth is None else truth > 0


def _blank_rows(job: CytologyJob, kind: Kind, counted: Arrays) -> list[Metric]:
    rows = []
    for name, model in (("ours", OURS), ("otsu", OTSU)):
        values = counted[name].astype(np.float64)
        if not len(values):
            continue
        groups = job.groups[counted["row"]]
        low = high = None
        if len(np.unique(groups)) > 1:
            interval = bootstrap_interval(np.mean, values, groups=groups, random_state=job.seed("blank intervals"))
            low, high = (None if not np.isfinite(end) else end for end in (interval.low, interval.high))
        role: Role = "ours" if name == "ours" else "trivial null"
        rows.append(
            Metric(blank_target(kind), BLANK, model, role, float(values.mean()), low=low, high=high, n=len(values))
        )
    return rows


def _blank_table(job: CytologyJob, counted: Arrays) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": [job.name_of(int(row)) for row in counted["row"]],
            "objects found by ours": counted["ours"],
            "objects found by Otsu": counted["otsu"],
        }
    )


def _placement(job: CytologyJob, kind: Kind) -> Metric:
    """Hold each image's cells against the mask of another: how many match by chance; gives the F1 of ours its p."""
    masked = kind.rows[job.has_truth[kind.rows]]
    rows = masked[
        np.unique(np.linspace(0, len(masked) - 1, min(len(masked), _MOST_IMAGES)).round().astype(np.intp))
    ].tolist()
    cells = job.cells(kind)
    pairs = _pair_counts([cells[row]["labels"] for row in rows], [job.store.truth(row) for row in rows])
    orders = others_first(len(rows), _N_ORDERS, job.seed("placement", kind.word))
    null = np.array([_f1(pairs[np.arange(len(rows)), order]) for order in orders])
    known = null[np.isfinite(null)]
    own = [unpacked_scores(cells[row]["scores"])[0] for row in rows]
    observed = _f1(np.array([(scores.tp[0], scores.n_truth + scores.n_found) for scores in own]))
    p = float((1 + (known >= observed).sum()) / (1 + len(known))) if np.isfinite(observed) else None
    job.keep(f"placement-{kind.word}", {"null": known, "observed": np.array(observed)})
    _give_p(job, kind, p, len(known))
    low, high = (float(end) for end in np.quantile(known, _CENTRAL)) if len(known) else (None, None)
    value = float(known.mean()) if len(known) else None
    return Metric(kind.name, F1, CHANCE, "chance", value, low=low, high=high, n=len(rows), n_null=len(known))


def others_first(n: int, n_orders: int, random_state: int) -> list[npt.NDArray[np.intp]]:
    """Return up to ``n_orders`` different orders of ``n`` things, in none of which a thing stands at its own place."""
    rng = np.random.default_rng(random_state)
    found: dict[bytes, npt.NDArray[np.intp]] = {}
    for _ in range(_MOST_TRIES * n_orders):
        order = rng.permutation(n)
        if len(found) < n_orders and (order != np.arange(n)).all():
            found.setdefault(order.tobytes(), order)
    return list(found.values())


def _pair_counts(
    cells: Sequence[npt.NDArray[np.integer]], truths: Sequence[npt.NDArray[np.integer] | None]
) -> npt.NDArray[np.int64]:
    """Return matches and objects of the cells of each image in the mask of each, ``(image, mask, 2)``.

    Images of unlike sizes are cut to what both have.
    """
    counts = np.zeros((len(cells), len(truths), 2), np.int64)
    for row, own in enumerate(cells):
        for column, truth in enumerate(truths):
            if truth is None or row == column:
                continue
            height, width = np.minimum(own.shape, truth.shape)
            match = match_instances(truth[:height, :width], own[:height, :width])
            counts[row, column] = match.tp, 2 * match.tp + match.fp + match.fn
    return counts


def _f1(counts: npt.NDArray[np.int64]) -> float:
    hits, objects = counts.sum(0)
    return float(2 * hits / objects) if objects else np.nan


def _give_p(job: CytologyJob, kind: Kind, p: float | None, n_null: int) -> None:
    def told(row: Metric) -> Metric:
        return replace(row, p=p, n_null=n_null) if (row.target, row.metric) == (kind.name, F1) else row

    job.folder.write_metrics("fit", [told(row) for row in job.folder.metrics("fit")])
