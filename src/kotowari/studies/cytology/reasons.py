"""Cells as a user takes them away: masks, tables and COCO, with the reason why each was taken."""

import numpy as np
import pandas as pd

from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.studies.cytology.controls import middle_row
from kotowari.studies.cytology.counterfactual import remove_cells
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.detectors import fold_folder
from kotowari.studies.cytology.job import CytologyJob, Part
from kotowari.studies.cytology.randomised import control_foregrounds
from kotowari.studies.cytology.results import ResultFiles

__all__ = ["tell_cells"]

_N_UNTRAINED = 5


def tell_cells(job: CytologyJob, progress: Progress) -> None:
    """Write ``maps/``, ``tables/cells.csv``, ``tables/counts.csv`` and ``coco.json``; and what tests of maps need."""
    _write(job, progress)
    removed = {part.name: _removal(job, part) for part in job.all_parts}
    found = job.run(progress, "Cells taken out", "removed", remove_cells, removed)
    joined = {
        name: np.concatenate([part[name] for part in found.values()]) for name in ("row", "label", "gone", "change")
    }
    table = pd.DataFrame(
        {
            "image": [job.name_of(int(row)) for row in joined["row"]],
            "label": joined["label"].astype(np.int64),
            "no longer found": joined["gone"] > 0,
            "change of the others": joined["change"],
        }
    )
    write_table(job.path / "tables" / "removed-cells.csv", table)
    maps = {kind.word: _maps(job, kind) for kind in job.kinds}
    job.run(progress, "Maps of controls", "randomised", control_foregrounds, maps)


def _write(job: CytologyJob, progress: Progress) -> None:
    """Write what is found in every image, in the order of the table; an image without cells is a result as well."""
    kinds = {int(row): kind for kind in job.kinds for row in kind.rows}
    cells = {kind.word: job.cells(kind) for kind in job.kinds}
    files = ResultFiles(job.path / "maps")
    with progress.bar("Masks and tables", len(job.table)) as advance:
        for row in range(len(job.table)):
            facts = job.table.iloc[row]
            flags = "; ".join(
                word for word in (f"left out: {facts['left_out']}" if facts["left_out"] else "", facts["flags"]) if word
            )
            if row not in kinds:
                files.skip(job.name_of(row), flags)
            else:
                kind = kinds[row]
                own = cells[kind.word][row]
                files.add(job.name_of(row), kind.name, job.store.image(row), own, float(facts["um_per_pixel"]), flags)
            advance(1)
    files.write(job.path / "tables", job.path / "coco.json")


def _removal(job: CytologyJob, part: Part) -> tuple[object, ...]:
    """Return what to take out: cells spread over the images of a fold, and over the sizes in each."""
    cells = job.cells(part.kind)
    rows = [row for row in part.fold.test.tolist() if len(cells[row]["confidence"]) > 1]
    wanted = -(-job.config.trust.n_removed // len(job.all_parts))
    each = -(-wanted // max(len(rows), 1))
    chosen: dict[int, list[int]] = {}
    for row in rows[: -(-wanted // each)]:
        n = len(cells[row]["confidence"])
        chosen[row] = np.unique(np.linspace(1, n, min(each, n)).round().astype(int)).tolist()
    labels = {row: cells[row]["labels"] for row in chosen}
    return job.store, fold_folder(job, part), job.config.instances, labels, chosen


def _maps(job: CytologyJob, kind: Kind) -> tuple[object, ...]:
    first = job.parts(kind)[0]
    folders = [fold_folder(job, first, number) for number in range(job.config.trust.n_seeds)]
    seeds = [job.seed("untrained", kind.word, number) for number in range(_N_UNTRAINED)]
    return job.store, folders, middle_row(job, kind), seeds
