"""The report of a run in words: what was asked, what came out, what it does not say; with its pictures and tables."""

from collections.abc import Iterator

import numpy as np

from kotowari.core.evidence import Check, Evidence, Verdict
from kotowari.core.page import Page, Table
from kotowari.report import write as write_report
from kotowari.report.numerals import score_words
from kotowari.studies.cytology.comparison import OTSU
from kotowari.studies.cytology.curves import CURVES
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.figures import draw
from kotowari.studies.cytology.job import OURS, CytologyJob
from kotowari.studies.cytology.pictures import pictures
from kotowari.studies.cytology.scoring import AGREEMENT, F1, FOREGROUND_AP, target_of

__all__ = ["tell"]

_READING = (
    "The detector is a network that learned from images alone: the clearest cells of each image were put into its own "
    "background, where their places are known, and it learned how deep inside of a cell each pixel lies. No outline, "
    "point or count was shown to it. Masks, where there are any, only score. The recipe as published, low rank plus "
    "sparse, stands beside it.",
    "Every image is judged by a detector that saw neither it nor another image of its slide; near copies count as one "
    "slide. The detector in model/ saw all images and is for new ones.",
    "All methods end in the same instance stage (cut, fill, split by watershed), so that a difference between them is "
    "one of foregrounds. The foreground alone is scored by its average precision over pixels.",
    "The matched trivial null is Otsu's threshold with that stage. The untrained network shows what its shape does "
    "without learning.",
    "Blank fields have the shading and the grain of your own background, with random phases, and hold no cell: what is "
    "found on them is false.",
    "Without masks nothing is called accuracy: what is printed is how far two methods, or two seeds, agree.",
    "Intervals are 95 % bootstrap intervals over slides.",
    "A failed test is shown in red beside the result. It does not make the result false, it says what is not shown.",
)
_LIMITS = (
    "Not for clinical use: cells are found and measured, not graded.",
    "The detector learns from what stands out from the background: where dirt or folds stand out as clearly as cells, "
    "it may learn them too.",
    "Cells that lie over each other are split by shape alone; where one hides another, the count is a guess. The "
    "confidence of a cell tells how deep the dip beside it is.",
)


def tell(job: CytologyJob) -> None:
    """Draw the figures, write the page, and render the report."""
    job.keep("pictures", pictures(job))
    figures = draw(job.path)
    n_used = sum(len(kind.rows) for kind in job.kinds)
    simulated = " simulated" if job.config.data.images == "phantom" else ""
    Page(
        title=f"Cells in {n_used}{simulated} images, found without annotation",
        question="Where are the cells, how many are there, and why was each one taken?",
        answers=[*_answers(job)],
        data=[*_facts(job)],
        limits=(*_LIMITS, *job.notes, *_limits_of_run(job)),
        reading=_READING,
        figures=figures,
        tables=_tables(job),
    ).save(job.path)
    write_report(job.folder)


def _answers(job: CytologyJob) -> Iterator[str]:
    for kind in job.kinds:
        yield _count_sentence(job, kind)
        yield _score_sentence(job, kind)
        yield from _told(
            job, kind, ("beyond Otsu", "chance", "blank fields", "stability", "planted cells", "detection limit")
        )


def _told(job: CytologyJob, kind: Kind, names: tuple[str, ...]) -> Iterator[str]:
    checks = {check.name: check for check in _evidence(job, kind).checks}
    for name in names:
        if name in checks and checks[name].verdict is not Verdict.NOT_APPLICABLE:
            yield _sentence(checks[name])


def _sentence(check: Check) -> str:
    failed = f" (fails the test: {check.name})" if check.verdict is Verdict.FAIL else ""
    return f"{check.sentence.removesuffix('.')}{failed}."


def _count_sentence(job: CytologyJob, kind: Kind) -> str:
    counts = np.array([len(own["confidence"]) for own in job.cells(kind).values()])
    empty = int((counts == 0).sum())
    said = (
        f"{kind.name.capitalize()}: {counts.sum():,} cells in {len(counts)} images, {counts.mean():.1f} an image "
        f"({counts.min()} to {counts.max()})"
    )
    none = {0: "", 1: "; 1 image holds none"}.get(empty, f"; {empty} images hold none")
    return f"{said}{none}."


def _score_sentence(job: CytologyJob, kind: Kind) -> str:
    if not job.is_scored(kind):
        rows = [row for row in job.folder.metrics("compare") if row.target == target_of(job, kind)]
        told = ", ".join(f"{row.model} {score_words(row)}" for row in rows if row.metric == AGREEMENT)
        return f"There are no masks, so this is agreement, not accuracy: cells of ours against {told}."
    rows = [row for row in job.folder.metrics() if row.target == kind.name]
    ours = {row.metric: row for row in rows if row.model == OURS}
    others = [row for row in rows if row.metric == F1 and row.role == "comparator" and row.value is not None]
    otsu = {row.metric: row for row in rows if row.model == OTSU}
    best = max(others, key=lambda row: row.value or 0.0) if others else None
    said = (
        f"Against the masks of {ours[F1].n} images F1 is {score_words(ours[F1])} at IoU 0.5 and the foreground's "
        f"average precision {score_words(ours[FOREGROUND_AP])}; Otsu with the same instance stage reaches "
        f"{score_words(otsu[F1])} and {score_words(otsu[FOREGROUND_AP])}"
    )
    if best is not None:
        said += f", the best of {len(others)} comparators, {best.model}, F1 {score_words(best)}"
    return f"{said}."


def _evidence(job: CytologyJob, kind: Kind) -> Evidence:
    return Evidence.load(job.path / "evidence", kind.word)


def _facts(job: CytologyJob) -> Iterator[tuple[str, str]]:
    table, config = job.table, job.config
    source = "simulated smears" if config.data.images == "phantom" else "files"
    yield "Images", f"{len(table)} of {table['slide'].nunique()} slides, {source}"
    for kind in job.kinds:
        own = table.iloc[kind.rows]
        sizes = (own["width"].astype(str) + " x " + own["height"].astype(str)).unique()
        edge = own["um_per_pixel"].dropna().unique()
        scale = f", {edge[0]:g} um a pixel" if len(edge) == 1 else ""
        channels = job.store.channels[int(kind.rows[0])]
        words = "colour" if channels > 1 else "grey"
        yield (
            kind.name.capitalize(),
            f"{len(own)} images in {words}, {sizes[0] if len(sizes) == 1 else f'{len(sizes)} sizes'} pixels{scale}",
        )
    masks = int(job.has_truth.sum())
    yield "Masks", f"{masks}, for scoring only" if masks else "none: agreement only"
    yield "Folds", f"{len(job.all_parts)} over slides, a detector each"
    for kind in job.kinds:
        yield f"Network ({kind.name})" if len(job.kinds) > 1 else "Network", _network_words(job, kind)


def _network_words(job: CytologyJob, kind: Kind) -> str:
    own, network = job.config.detector, job.detector(kind).network_
    n_parameters = 0 if network is None else sum(one.numel() for one in network.parameters())
    recipe = {
        "kotowari": f"{own.n_scenes} scenes of the images' own cells in their own background",
        "published": "low rank plus sparse, as published",
    }
    return f"U-Net of {n_parameters:,} parameters; {recipe[own.recipe]}, {own.max_epochs} epochs, no labels"


def _limits_of_run(job: CytologyJob) -> Iterator[str]:
    trust = job.config.trust
    if job.config.data.images == "phantom":
        yield "These images are simulated: figures on them do not carry over to a microscope."
    yield (
        f"Preset {job.config.preset}: {job.config.detector.max_epochs} epochs, {trust.n_seeds} seeds, {trust.n_blank} "
        f"blank fields an image, {trust.implant_repeats} plantings at every contrast. Presets standard and full train "
        "longer and test more."
    )


def _tables(job: CytologyJob) -> list[Table]:
    described = {
        "counts.csv": ("Counts", "One row an image; flags say what is wrong with it.", "result", 40),
        "cells.csv": (
            "Cells",
            "One row a cell: place, area, shape, stain; why says how far above the cut it stood.",
            "reason",
            20,
        ),
        CURVES: (
            "Curves",
            "F1 and foreground AP on the images of the first fold, by the number of images learned from.",
            "result",
            30,
        ),
        "blank-fields.csv": ("Blank fields", "Objects found where there are none.", "trust", 12),
        "removed-cells.csv": (
            "Cells taken out",
            "Whether the cell was no longer found, and how much the foreground of the others changed.",
            "trust",
            12,
        ),
        "images.csv": (
            "Images",
            "Stain, focus, saturation and slide of every image, and why one was left out.",
            "images",
            40,
        ),
    }
    there = job.path / "tables"
    return [Table(file, *words) for file, words in described.items() if (there / file).exists()]
