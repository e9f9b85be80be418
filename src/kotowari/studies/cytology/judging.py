"""The tests of a run: against simple methods and chance, of the map, of its seeds, and what could have been found."""

from collections.abc import Iterator

import numpy as np

from kotowari.core.evidence import Check, Evidence, Frame
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Metric
from kotowari.studies.cytology.chance import blank_target
from kotowari.studies.cytology.comparison import OTSU, UNTRAINED, finds_of, published_training
from kotowari.studies.cytology.controls import middle_row
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.detection import implant_checks
from kotowari.studies.cytology.detectors import seed_name
from kotowari.studies.cytology.job import OURS, CytologyJob
from kotowari.studies.cytology.planted import planted_checks
from kotowari.studies.cytology.scoring import F1, agreement, f1_difference, score_rows
from kotowari.studies.cytology.sensitivity import sensitivity_checks
from kotowari.trust.intervals import Interval
from kotowari.trust.randomisation import randomisation_check

__all__ = ["STABLE", "judge", "seed_agreement"]

STABLE = 0.9
_LEVEL = 0.05
_COMPLETE = 1e-6
_UNCHANGED = 0.01
_MOST_BLANK = 0.05
_NEAR_OPTIMUM = 1.1


def judge(job: CytologyJob, progress: Progress) -> None:
    """Run every test, and write the evidence of each kind with its verdicts."""
    planted = planted_checks(job, progress)
    implants = implant_checks(job, progress)
    varied = sensitivity_checks(job, progress)
    rows: list[Metric] = []
    for kind in job.kinds:
        checks = [
            *_chance(job, kind),
            *_gains(job, kind),
            *_stability(job, kind),
            *_map(job, kind),
            *_counterfactual(job, kind),
            *_training(job, kind),
            *(check for own in (planted, implants, varied) for check in own.get(kind.word, ())),
        ]
        _evidence(job, kind, checks).save(job.path / "evidence", kind.word)
        if not job.is_scored(kind):
            rows += _seed_rows(job, kind)
    job.folder.write_metrics("trust", rows)


def seed_agreement(job: CytologyJob, kind: Kind) -> list[Interval]:
    """Return how far the cells of other seeds agree with those of the first, on the images of the first fold."""
    part = job.parts(kind)[0]
    cells = job.cells(kind)
    own = {row: cells[row] for row in part.fold.test.tolist()}
    others = [job.shard("fit", seed_name(part, number)) for number in range(1, job.config.trust.n_seeds)]
    return [agreement(job, own, {row: {"labels": shard[f"labels-{row}"]} for row in own})[0] for shard in others]


def _seed_rows(job: CytologyJob, kind: Kind) -> list[Metric]:
    part = job.parts(kind)[0]
    shard = job.shard("fit", seed_name(part, 1))
    found = {row: {"labels": shard[f"labels-{row}"]} for row in part.fold.test.tolist()}
    return score_rows(job, kind, found, "ours, another seed (first fold)", "ours")


def _chance(job: CytologyJob, kind: Kind) -> Iterator[Check]:
    found = [row for row in job.folder.metrics("fit") if (row.target, row.metric) == (kind.name, F1)]
    if found and found[0].value is not None and found[0].p is not None:
        row = found[0]
        p = row.p if row.p is not None else np.nan
        words = "more than" if p <= _LEVEL else "not more than"
        yield Check.at_most(
            "chance",
            p,
            _LEVEL,
            f"F1 {row.value:.2f} against the masks is {words} cells reach against the masks of other images "
            f"({row.n_null} orders of the masks, p = {p:.2g}).",
        )
    else:
        yield Check.not_applicable("accuracy", "There are no masks: nothing here says how many cells are right.")
    rows = {row.model: row.value for row in job.folder.metrics("null") if row.target == blank_target(kind)}
    mean = float(np.mean([len(own["confidence"]) for own in job.cells(kind).values()]))
    blank, otsu = (rows.get(model) for model in (OURS, OTSU))
    if blank is None or mean == 0:
        yield Check.not_applicable("blank fields", "No blank field could be made, or no cell was found in any image.")
        return
    beside = "" if otsu is None else f"; Otsu with the same instance stage finds {otsu:.1f}"
    yield Check.at_most(
        "blank fields",
        blank / mean,
        _MOST_BLANK,
        f"{blank:.1f} objects are found on a blank field with the shading and grain of these images, {mean:.1f} in an "
        f"image{beside}.",
    )


def _gains(job: CytologyJob, kind: Kind) -> Iterator[Check]:
    """Hold ours against each control: a gain is told only where its interval leaves 0 out."""
    if not job.is_scored(kind):
        return
    cells = job.cells(kind)
    for name, model in {"beyond Otsu": OTSU, "beyond the untrained network": UNTRAINED}.items():
        f1, ap = f1_difference(job, cells, finds_of(job, kind, model))
        yield Check.at_least(
            name, f1.low, 0.0, f"Against {model}: {_gain_words(f1, 'F1')}; {_gain_words(ap, 'foreground AP')}."
        )


def _gain_words(gain: Interval, metric: str) -> str:
    words = "better" if gain.low > 0 else "worse" if gain.high < 0 else "not distinguishable"
    return f"{words} in {metric} ({gain.value:+.3f}, 95 % interval {gain.low:+.3f} to {gain.high:+.3f})"


def _stability(job: CytologyJob, kind: Kind) -> Iterator[Check]:
    values = [interval.value for interval in seed_agreement(job, kind)]
    known = [value for value in values if np.isfinite(value)]
    if not known:
        yield Check.not_applicable("stability", "No seed found a cell in the images of the first fold.")
        return
    least = min(known)
    stamp = "" if least >= STABLE else " UNSTABLE: another seed would have given other cells."
    yield Check.at_least(
        "stability",
        least,
        STABLE,
        f"Cells of {1 + len(known)} seeds agree with F1 {least:.2f} or more at IoU 0.5 in images of the first fold."
        f"{stamp}",
    )


def _map(job: CytologyJob, kind: Kind) -> Iterator[Check]:
    gap = float(job.shard("randomised", kind.word)["completeness"].max())
    yield Check.at_most(
        "completeness", gap, _COMPLETE, f"Background and foreground add up to the image: largest difference {gap:.1g}."
    )
    kept = job.shard("randomised", kind.word)
    own = job.cells(kind)[middle_row(job, kind)]["foreground"].astype(np.float32)
    yield randomisation_check(np.stack([own, *kept["trained"]]), kept["untrained"])


def _counterfactual(job: CytologyJob, kind: Kind) -> Iterator[Check]:
    parts = [job.shard("removed", part.name) for part in job.parts(kind)]
    joined: Arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    changes = joined["change"][np.isfinite(joined["change"])]
    if not len(changes):
        yield Check.not_applicable("one cell taken out", "No image holds two cells, so no other one could change.")
        return
    near = joined["near"][np.isfinite(joined["near"])]
    beside = f", that of cells within 32 px by {100 * near.mean():.1f} %" if len(near) else ""
    yield Check.at_most(
        "one cell taken out",
        float(changes.mean()),
        _UNCHANGED,
        f"{len(joined['gone'])} cells were taken out of the images one by one: {int(joined['gone'].sum())} were no "
        f"longer found, and the foreground of the other cells changed by {100 * changes.mean():.2f} % on "
        f"average{beside}.",
    )


def _training(job: CytologyJob, kind: Kind) -> Iterator[Check]:
    """Say how near the published recipe came to the least value of its own loss."""
    told = published_training(job, kind)
    if told is None or not np.isfinite(told["optimum"]):
        yield Check.not_applicable("convex optimum", "The published recipe was not run, so its loss is not told.")
        return
    ratio = float(told["objective"] / told["optimum"])
    yield Check.at_most(
        "convex optimum",
        ratio,
        _NEAR_OPTIMUM,
        f"The published recipe, a comparator, stops at {ratio:.2f} times the least value of its loss on its first "
        "batch, by a convex solver.",
    )


def _evidence(job: CytologyJob, kind: Kind, checks: list[Check]) -> Evidence:
    table = job.cell_table
    own = table[table["kind"] == kind.name]
    row = middle_row(job, kind)
    shown = job.cells(kind)[row]
    foreground = shown["foreground"].astype(np.float32) / max(float(shown["cut"]), 1e-12)
    height, width = foreground.shape
    sign = 1 if kind.polarity == "bright" else -1
    return Evidence(
        target=kind.name,
        parts={
            "name": (own["image"] + " #" + own["label"].astype(str)).to_numpy(str),
            "score": own["contrast_over_cut"].to_numpy(np.float64),
            "sign": np.full(len(own), sign),
            "group": own["image"].to_numpy(str),
        },
        method="mean foreground of a cell in units of the cut above which a pixel is taken",
        map=foreground,
        frame=Frame(("height", "width"), ("pixel", "pixel"), (height, width)),
        checks=tuple(checks),
        reference="a pixel at the cut, as likely cell as background",
        derived_from=("images",),
    )
