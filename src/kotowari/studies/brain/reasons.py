"""Where the predictions come from: maps of the final encoder, of those of the folds, and of their controls."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.studies.brain.comparison import said_by_encoders
from kotowari.studies.brain.explaining import (
    MapTask,
    explain_regions,
    explain_voxels,
    in_box,
    map_without_network,
)
from kotowari.studies.brain.held_regions import regions_against_chance, run_held_regions
from kotowari.studies.brain.job import FINAL, OURS, BrainJob
from kotowari.studies.brain.maps.controls import MapControls, judge_map
from kotowari.studies.brain.maps.map_similarity import similarity_table
from kotowari.studies.brain.maps.map_stability import MapStability, map_stability
from kotowari.studies.brain.maps.region_table import region_table
from kotowari.studies.brain.model.regression_scores import HeldOut
from kotowari.studies.brain.questions import Question
from kotowari.studies.brain.reconstruction import mean_volumes
from kotowari.studies.brain.synthetic import decode_targets

__all__ = ["controls_of", "find_reasons", "map_rows", "occlusion_box", "stability_of", "voxel_controls_of"]


def find_reasons(job: BrainJob, progress: Progress) -> None:
    """Write maps as NIfTI into ``maps/`` and one table of regions a target; keep what the tests of maps need."""
    names = [FINAL, *job.fold_names]
    tasks = {name: (_task(job, name),) for name in names}
    job.run(progress, "Regions by occlusion", "regions", explain_regions, tasks)
    run_held_regions(job, progress)
    voxels = {f"question-{k}": (_task(job, FINAL), k) for k in range(len(job.questions))}
    found = job.run(progress, "Maps by gradients", "voxels", explain_voxels, voxels)
    said = said_by_encoders(job)
    plain = {
        f"question-{k}": _plain_task(job, question, said[question.name][OURS])
        for k, question in enumerate(job.questions)
    }
    without = job.run(progress, "Maps without a network", "glm", map_without_network, plain)
    means = {FINAL: (job.encoder_folder(), job.store, job.internal)}
    job.run(progress, "Mean reconstruction", "means", mean_volumes, means)
    decode_targets(job)
    for k, question in enumerate(job.questions):
        word, store = job.file_word(question.name), job.store
        controls, stability = controls_of(job, k), stability_of(job, k)
        box = occlusion_box(job, k)
        store.save_map(job.path / "maps" / f"{word}-occlusion.nii.gz", box)
        shown = {str(name): found[f"question-{k}"][name] for name in job.config.maps.methods}
        shown |= {name: values for name, values in without[f"question-{k}"].items() if values.ndim == box.ndim}
        for name, values in shown.items():
            store.save_map(job.path / "maps" / f"{word}-{name.replace('_', '-')}.nii.gz", values.astype(np.float32))
        part = _regions(job, FINAL)
        table = region_table(
            job.atlas,
            box,
            strength=part[f"ranking-{k}"][0],
            direction=part[f"direction-{k}"][0],
            p=None if controls.regions is None else controls.regions.p,
            selection_frequency=stability.frequency,
        )
        write_table(job.path / "tables" / f"regions-{word}.csv", table)


def occlusion_box(job: BrainJob, number: int) -> npt.NDArray[np.float32]:
    """Return the map of a target: what each region does to the score, with the sign of its association."""
    part = _regions(job, FINAL)
    strength = part[f"ranking-{number}"][0] * np.sign(part[f"direction-{number}"][0])
    return in_box(job.atlas, strength)


def controls_of(job: BrainJob, number: int) -> MapControls:
    """Hold the map of a target against an untrained network, shuffled targets and the mean grey matter."""
    names = [FINAL, *job.fold_names]
    parts = [_regions(job, name) for name in names]
    shuffled = parts[0][f"ranking-{number}"][1:]
    return judge_map(
        np.stack([in_box(job.atlas, part[f"ranking-{number}"][0]) for part in parts]),
        np.stack([in_box(job.atlas, part[f"untrained-{number}"]) for part in parts]),
        np.stack([in_box(job.atlas, own) for own in shuffled]),
        job.mean_brain,
        job.store.mask & (job.atlas.labels > 0),
        voxel_mm=job.store.grid.voxel_mm,
        atlas=job.atlas,
        region_null=regions_against_chance(job, job.questions[number]),
    )


def voxel_controls_of(job: BrainJob, number: int) -> MapControls | None:
    """Hold the smoothed gradient of a target against its controls; None where it was not asked for."""
    part, name = job.shard("voxels", f"question-{number}"), "smoothed_gradient"
    if name not in part:
        return None
    return judge_map(
        part[name][None],
        part[f"untrained {name}"][None],
        part[f"shuffled {name}"],
        job.mean_brain,
        job.store.mask,
        voxel_mm=job.store.grid.voxel_mm,
    )


def map_rows(job: BrainJob, number: int) -> list[dict[str, Any]]:
    """Return how like each map of a target is to its control from the untrained network, and to the grey matter."""
    part, mask, mean = job.shard("voxels", f"question-{number}"), job.store.mask, job.mean_brain
    regions = _regions(job, FINAL)
    maps = {str(name): (part[name], part[f"untrained {name}"]) for name in job.config.maps.methods}
    pair = (regions[f"ranking-{number}"][0], regions[f"untrained-{number}"])
    maps["occlusion"] = (in_box(job.atlas, pair[0]), in_box(job.atlas, pair[1]))
    rows = []
    for name, (own, untrained) in maps.items():
        controls = {"untrained": untrained, "grey matter": mean}
        table = similarity_table(own, controls, mask, voxel_mm=job.store.grid.voxel_mm)
        broad, fine = (table[column].to_numpy(np.float64) for column in ("spearman", "spearman_high_pass"))
        rows.append(
            {
                "target": job.questions[number].name,
                "map": name.replace("_", " "),
                "rank correlation with untrained network": broad[0],
                "without broad shape": fine[0],
                "rank correlation with grey matter": broad[1],
            }
        )
    return rows


def stability_of(job: BrainJob, number: int) -> MapStability:
    """Compare the regions of the encoders of all folds."""
    own = [_regions(job, name)[f"ranking-{number}"][0] for name in job.fold_names]
    values = np.stack([strength / max(np.linalg.norm(strength), 1e-300) for strength in own])
    return map_stability(values, n_strongest=min(job.config.trust.n_strongest, len(job.atlas) - 1))


def _regions(job: BrainJob, name: str) -> Arrays:
    return job.shard("regions", name)


def _task(job: BrainJob, name: str) -> MapTask:
    rows = job.internal if name == FINAL else job.folds[int(name.removeprefix("fold-"))].train
    asked = [
        replace(question, target=replace(question.target, rows=np.intersect1d(question.target.rows, rows)))
        for question in job.questions
    ]
    return MapTask(
        job.encoder_folder(name),
        job.store,
        job.atlas,
        tuple(asked),
        tuple(_spread(question.target.rows, job.config.maps.n_explained) for question in job.questions),
        job.model(),
        job.config.trust.n_map_shuffles if name == FINAL else 0,
        job.config.trust.n_voxel_shuffles,
        job.seed("maps"),
        job.config.maps,
    )


def _spread(rows: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
    """Return up to ``n`` rows, spread evenly over all."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(np.intp))]


def _plain_task(job: BrainJob, question: Question, said: HeldOut) -> tuple[Any, ...]:
    trust = job.config.trust
    options = {
        "voxel_mm": job.store.grid.voxel_mm,
        "fwhm_mm": trust.smoothing_mm,
        "n_permutations": trust.n_glm_permutations,
        "random_state": job.seed("glm"),
    }
    return job.store, question, said, options
