"""What the pictures of a run are drawn from, collected as arrays."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.jobs import Arrays
from kotowari.studies.cytology.comparison import OTSU, otsu_finds, published_training
from kotowari.studies.cytology.controls import control_maps
from kotowari.studies.cytology.curves import CURVES
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.figures.arrays import MOST_KINDS, PLACES
from kotowari.studies.cytology.fitting import unpacked_scores
from kotowari.studies.cytology.job import FINAL, CytologyJob
from kotowari.studies.cytology.overlay import outlined, shown
from kotowari.studies.cytology.scores import score_image

__all__ = ["pictures", "ranked_rows"]

_LARGEST_SHOWN = 320


def pictures(job: CytologyJob) -> Arrays:
    """Collect what the figures are drawn from."""
    found: Arrays = {"kind_names": np.array([kind.name for kind in job.kinds])}
    for k, kind in enumerate(job.kinds[:MOST_KINDS]):
        found |= _overlays(job, kind, k) | _counts(job, kind, k) | _training(job, kind, k) | _areas(job, kind, k)
        found |= _blank(job, kind, k) | _controls(job, kind, k)
        for name in (f"placement-{kind.word}", f"sensitivity-{kind.word}"):
            if job.holds(name):
                word = name.partition("-")[0]
                found |= {_numbered(word, k, key): own for key, own in job.kept(name).items()}
    found |= _curves(job)
    if job.holds("implants"):
        found |= job.kept("implants")
    return found


def ranked_rows(job: CytologyJob, kind: Kind) -> tuple[list[int], npt.NDArray[np.float64], str]:
    """Return the images of a kind from the best to the worst, their F1, and what it is held against.

    Images in which neither side has a cell are left out.
    """
    cells = job.cells(kind)
    if job.is_scored(kind):
        rows = [row for row, own in cells.items() if "scores" in own]
        f1 = np.array([unpacked_scores(cells[row]["scores"])[0].f1 for row in rows])
        by = "F1 at IoU 0.5 against the masks"
    else:
        rows, otsu = list(cells), otsu_finds(job, kind)
        f1 = np.array([score_image(otsu[row]["labels"], cells[row]["labels"]).f1 for row in rows])
        by = "agreement with Otsu (F1 at IoU 0.5), since there are no masks"
    order = np.argsort(-f1, kind="stable")
    order = order[np.isfinite(f1[order])]
    return [rows[place] for place in order], f1[order], by


def _overlays(job: CytologyJob, kind: Kind, k: int) -> Arrays:
    rows, f1, by = ranked_rows(job, kind)
    if not rows:
        return {}
    cells, scored = job.cells(kind), job.is_scored(kind)
    found: Arrays = {
        f"overlay_{k}_by": np.array(by),
        f"overlay_{k}_beside": np.array("the masks" if scored else "cells by Otsu"),
    }
    words = []
    for name, place in zip(PLACES, (0, len(rows) // 2, len(rows) - 1), strict=True):
        row = rows[place]
        own = cells[row]
        other = job.store.truth(row) if scored else otsu_finds(job, kind)[row]["labels"]
        window = _window(own["labels"].shape)
        strength = np.clip(own["foreground"].astype(np.float32) / max(float(own["cut"]), 1e-12), 0, None)
        picture, labels, beside = (
            _enlarged(pixels[window]) for pixels in (shown(job.store.image(row)), own["labels"], _or_none(other, own))
        )
        parts = {"image": picture, "cells": outlined(picture, labels, beside), "map": _enlarged(strength[window])}
        found |= {f"overlay_{k}_{name}_{part}": pixels for part, pixels in parts.items()}
        n_other = len(np.unique(other[other > 0])) if other is not None else 0
        words.append(f"F1 {f1[place]:.2f}, {len(own['confidence'])} cells, {n_other} in {'mask' if scored else 'Otsu'}")
    return found | {f"overlay_{k}_words": np.array(words)}


def _window(shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the middle of a large image, so that outlines stay visible."""
    starts = [max(0, (side - _LARGEST_SHOWN) // 2) for side in shape[:2]]
    return slice(starts[0], starts[0] + _LARGEST_SHOWN), slice(starts[1], starts[1] + _LARGEST_SHOWN)


def _enlarged(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a small picture with every pixel repeated, so that outlines are thin beside a cell."""
    times = max(1, round(_LARGEST_SHOWN / max(pixels.shape[:2])))
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _or_none(other: npt.NDArray[Any] | None, own: Arrays) -> npt.NDArray[Any]:
    return np.zeros_like(own["labels"]) if other is None else other


def _counts(job: CytologyJob, kind: Kind, k: int) -> Arrays:
    cells, scored = job.cells(kind), job.is_scored(kind)
    if scored:
        pairs = [unpacked_scores(own["scores"])[0] for own in cells.values() if "scores" in own]
        ours, other = [own.n_found for own in pairs], [own.n_truth for own in pairs]
    else:
        otsu = otsu_finds(job, kind)
        ours = [len(own["confidence"]) for own in cells.values()]
        other = [len(otsu[row]["confidence"]) for row in cells]
    return {
        f"counts_{k}_ours": np.array(ours, np.int64),
        f"counts_{k}_other": np.array(other, np.int64),
        f"counts_{k}_beside": np.array("the masks" if scored else OTSU),
    }


def _training(job: CytologyJob, kind: Kind, k: int) -> Arrays:
    names = [*(part.name for part in job.parts(kind)), f"{kind.word}-{FINAL}"]
    shards = [job.shard("fit", name) for name in names]
    curves = [shard["loss"] for shard in shards if "loss" in shard]
    if not curves:
        return {}
    longest = max(len(curve) for curve in curves)
    rows = [np.concatenate([curve, np.full(longest - len(curve), np.nan)]) for curve in curves]
    found: Arrays = {f"loss_{k}": np.stack(rows)}
    told = published_training(job, kind)
    if told is not None:
        found |= {
            f"published_{k}_loss": told["loss"],
            f"published_{k}_optimum": told["optimum"],
            f"published_{k}_reached": told["objective"],
        }
    return found


def _areas(job: CytologyJob, kind: Kind, k: int) -> Arrays:
    table = job.cell_table
    own = table[table["kind"] == kind.name]
    known = len(own) > 0 and bool(own["area_um2"].notna().all())
    return {
        f"areas_{k}": own["area_um2" if known else "area_px"].to_numpy(np.float64),
        f"areas_{k}_unit": np.array("square micrometres" if known else "pixels"),
    }


def _blank(job: CytologyJob, kind: Kind, k: int) -> Arrays:
    parts = [job.shard("blank", part.name) for part in job.parts(kind)]
    otsu = otsu_finds(job, kind)
    found: Arrays = {f"blank_{k}_{who}": np.concatenate([part[who] for part in parts]) for who in ("ours", "otsu")}
    found[f"seen_{k}_ours"] = np.array([len(own["confidence"]) for own in job.cells(kind).values()])
    found[f"seen_{k}_otsu"] = np.array([len(own["confidence"]) for own in otsu.values()])
    return found


def _controls(job: CytologyJob, kind: Kind, k: int) -> Arrays:
    controls = control_maps(job, kind)
    window = _window(controls.maps.shape[1:])
    return {
        f"control_{k}_names": np.array(controls.names),
        f"control_{k}_maps": controls.maps[(slice(None), *window)],
        f"control_{k}_rank": controls.rank,
    }


def _curves(job: CytologyJob) -> Arrays:
    path = job.path / "tables" / CURVES
    table = pd.read_csv(path) if path.stat().st_size > 1 else pd.DataFrame()
    if not len(table):
        return {}
    columns = {
        "f1": "F1",
        "low": "F1 low",
        "high": "F1 high",
        "least": "F1 lowest seed",
        "most": "F1 highest seed",
    }
    found: Arrays = {f"curve_{name}": table[column].to_numpy(np.float64) for name, column in columns.items()}
    return found | {
        "curve_kind": table["kind"].to_numpy(str),
        "curve_model": table["model"].to_numpy(str),
        "curve_images": table["images"].to_numpy(np.int64),
        "curve_of": table["compared with"].to_numpy(str),
    }


def _numbered(word: str, k: int, key: str) -> str:
    return f"{word}_{k}" if key == "values" else f"{word}_{k}_{key}"
