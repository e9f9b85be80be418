"""Where the predictions come from: maps of the final encoder, of those of the folds, and of their controls."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.studies.brain.comparison import answer, encoder_arms
from kotowari.studies.brain.config import Maps
from kotowari.studies.brain.job import FINAL, OURS, BrainJob
from kotowari.studies.brain.maps.brain_score import BrainScore
from kotowari.studies.brain.maps.control_fits import fitted_regression, shuffled_regressions
from kotowari.studies.brain.maps.controls import MapControls, judge_map
from kotowari.studies.brain.maps.gradients import gradient, gradient_times_input, integrated_gradients, smooth_grad
from kotowari.studies.brain.maps.map_stability import MapStability, map_stability
from kotowari.studies.brain.maps.mass_univariate import mass_univariate
from kotowari.studies.brain.maps.occlusion import RegionEffects, occlude_regions
from kotowari.studies.brain.maps.patterns import haufe_pattern
from kotowari.studies.brain.maps.region_table import region_table
from kotowari.studies.brain.maps.voxel_maps import group_maps
from kotowari.studies.brain.model.atlas import Atlas
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.studies.brain.questions import Question
from kotowari.studies.brain.reconstruction import mean_volumes
from kotowari.studies.brain.synthetic import decode_targets
from kotowari.training.devices import one_thread

__all__ = [
    "controls_of",
    "explain_regions",
    "explain_voxels",
    "find_reasons",
    "in_box",
    "map_without_network",
    "occlusion_box",
    "stability_of",
    "voxel_edges",
]

FloatArray = npt.NDArray[np.float64]
_SMOOTH_DRAWS = 4
_SIGNED = {"gradient", "smoothgrad"}


@dataclass(frozen=True, eq=False)
class MapTask:
    """What an encoder is asked: regressions of all targets, explained region by region.

    Parameters
    ----------
    folder
        Of the fitted encoder.
    store, atlas
        Volumes and regions.
    questions
        With the rows to learn from; all internal subjects who count are explained.
    explained
        Rows to explain, one array a question.
    model
        Unfitted regression.
    n_shuffles
        Shuffled targets, each with a regression of its own; 0 for none.
    seed
        Of the shuffles.
    maps
        Which maps are drawn, and how finely.
    """

    folder: Path
    store: VolumeStore
    atlas: Atlas
    questions: tuple[Question, ...]
    explained: tuple[npt.NDArray[np.intp], ...]
    model: LatentRegression
    n_shuffles: int
    seed: int
    maps: Maps


def find_reasons(job: BrainJob, progress: Progress) -> None:
    """Write maps as NIfTI into ``maps/`` and one table of regions a target; keep what the tests of maps need."""
    names = [FINAL, *(f"fold-{k}" for k in range(len(job.first_folds)))]
    tasks = {name: (_task(job, name),) for name in names}
    job.run(progress, "Regions by occlusion", "regions", explain_regions, tasks)
    voxels = {f"question-{k}": (_task(job, FINAL), k) for k in range(len(job.questions))}
    found = job.run(progress, "Maps by gradients", "voxels", explain_voxels, voxels)
    plain = {f"question-{k}": _plain_task(job, question) for k, question in enumerate(job.questions)}
    without = job.run(progress, "Maps without a network", "glm", map_without_network, plain)
    means = {FINAL: (job.encoder_folder(), job.store, job.internal)}
    job.run(progress, "Mean reconstruction", "means", mean_volumes, means)
    decode_targets(job)
    for k, question in enumerate(job.questions):
        word, store = job.file_word(question.name), job.store
        controls, stability = controls_of(job, k), stability_of(job, k)
        box = occlusion_box(job, k)
        store.save_map(job.path / "maps" / f"{word}-occlusion.nii.gz", box)
        for name, values in {**found[f"question-{k}"], **without[f"question-{k}"]}.items():
            if values.shape == store.mask.shape:
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


def explain_regions(task: MapTask) -> Arrays:
    """Occlude every region for all targets, with the trained and the untrained network, and for shuffled targets.

    Returns
    -------
    dict
        For question k: ``ranking-k`` and ``direction-k``, shape ``(1 + shuffle, region)``, the target itself first;
        ``untrained-k``, shape ``(region,)``.
    """
    with one_thread():
        encoder = ConvolutionalAutoencoder.load(task.folder)
        features = encoder.transform(task.store)
        regressions, sizes = [], []
        for question in task.questions:
            own = [fitted_regression(task.model, features, question.target, question.subjects)]
            if task.n_shuffles:
                own += shuffled_regressions(
                    task.model,
                    features,
                    question.target,
                    question.subjects,
                    n_draws=task.n_shuffles,
                    blocks=question.subjects.sites,
                    random_state=task.seed,
                )
            regressions += own
            sizes.append(len(own))
        effects, rows = _occluded(encoder, regressions, task)
        before = encoder.untrained()
        plain = before.transform(task.store)
        untrained, _ = _occluded(
            before, [fitted_regression(task.model, plain, one.target, one.subjects) for one in task.questions], task
        )
        found: Arrays = {}
        start = 0
        for k, size in enumerate(sizes):
            among = _among(effects, rows, task.explained[k], slice(start, start + size))
            found[f"ranking-{k}"], found[f"direction-{k}"] = among.ranking, among.direction
            found[f"untrained-{k}"] = _among(untrained, rows, task.explained[k], slice(k, k + 1)).ranking[0]
            start += size
        return found


def explain_voxels(task: MapTask, number: int) -> Arrays:
    """Return maps of one target by gradients, shape of the box, and the gap of integrated gradients.

    Means over the subjects: signed, but for the gradient times input and integrated gradients, whose parts cancel over
    training subjects; their absolute values are averaged.
    """
    with one_thread():
        encoder = ConvolutionalAutoencoder.load(task.folder)
        question = task.questions[number]
        regression = fitted_regression(task.model, encoder.transform(task.store), question.target, question.subjects)
        score, rows = BrainScore(encoder, [regression]), task.explained[number]
        sites = None if question.subjects.sites is None else question.subjects.sites[rows]
        ways: dict[str, Callable[..., Any]] = {
            "gradient": gradient,
            "gradient_times_input": gradient_times_input,
            "smoothgrad": partial(smooth_grad, n_draws=_SMOOTH_DRAWS, random_state=task.seed),
            "integrated_gradients": partial(integrated_gradients, max_points=task.maps.max_points),
        }
        found: Arrays = {}
        for name in task.maps.methods:
            maps = group_maps(score, task.store, ways[name], rows=rows, sites=sites)
            found[name] = (maps.signed if name in _SIGNED else maps.absolute)[0]
            if maps.gap is not None:
                found["gap"] = maps.gap[0]
        return found


def map_without_network(store: VolumeStore, question: Question, said: Any, options: dict[str, Any]) -> Arrays:
    """Return the pattern of the held-out predictions, and t, family-wise p and threshold of smoothed voxels."""
    with one_thread():
        covariates = question.subjects.covariates
        found: Arrays = {}
        if question.target.kind != "survival":
            pattern = haufe_pattern(store, said, covariates=covariates)
            found["pattern"] = pattern.correlation.astype(np.float32)
        values = _one_number(question)
        tested = mass_univariate(
            store,
            values,
            rows=question.target.rows,
            covariates=covariates,
            blocks=question.subjects.sites,
            **options,
        )
        found |= {"glm-t": tested.t, "glm-p-family": tested.p_family, "threshold": np.array(tested.threshold)}
        return found


def occlusion_box(job: BrainJob, number: int) -> npt.NDArray[np.float32]:
    """Return the map of a target: what each region does to the score, with the sign of its association."""
    part = _regions(job, FINAL)
    strength = part[f"ranking-{number}"][0] * np.sign(part[f"direction-{number}"][0])
    return in_box(job.atlas, strength)


def controls_of(job: BrainJob, number: int) -> MapControls:
    """Hold the map of a target against an untrained network, shuffled targets and the mean grey matter."""
    names = [FINAL, *(f"fold-{k}" for k in range(len(job.first_folds)))]
    parts = [_regions(job, name) for name in names]
    shuffled = parts[0][f"ranking-{number}"][1:]
    return judge_map(
        np.stack([in_box(job.atlas, part[f"ranking-{number}"][0]) for part in parts]),
        np.stack([in_box(job.atlas, part[f"untrained-{number}"]) for part in parts]),
        np.stack([in_box(job.atlas, own) for own in shuffled]),
        job.encoder().mean_brain_,
        job.store.mask & (job.atlas.labels > 0),
        voxel_mm=voxel_edges(job.store),
        atlas=job.atlas,
    )


def stability_of(job: BrainJob, number: int) -> MapStability:
    """Compare the regions of the encoders of all folds."""
    own = [_regions(job, f"fold-{k}")[f"ranking-{number}"][0] for k in range(len(job.first_folds))]
    values = np.stack([strength / max(np.linalg.norm(strength), 1e-300) for strength in own])
    return map_stability(values, n_strongest=min(job.config.trust.n_strongest, len(job.atlas) - 1))


def voxel_edges(store: VolumeStore) -> tuple[float, float, float]:
    """Return the edges of a voxel, mm."""
    x, y, z = np.linalg.norm(store.affine[:3, :3], axis=0)
    return float(x), float(y), float(z)


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
        job.seed("maps"),
        job.config.maps,
    )


def _spread(rows: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
    """Return up to ``n`` rows, spread evenly over all."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(np.intp))]


def _plain_task(job: BrainJob, question: Question) -> tuple[Any, ...]:
    arms = {one.name: encoder_arms(job, one) for one in job.questions}
    said = answer(job, Progress(shown=False), "", "fit", arms)[question.name][OURS]
    trust = job.config.trust
    options = {
        "voxel_mm": voxel_edges(job.store),
        "fwhm_mm": trust.smoothing_mm,
        "n_permutations": trust.n_glm_permutations,
        "random_state": job.seed("glm"),
    }
    return job.store, question, said, options


def _occluded(
    encoder: ConvolutionalAutoencoder, regressions: list[LatentRegression], task: MapTask
) -> tuple[RegionEffects, npt.NDArray[np.intp]]:
    rows = np.unique(np.concatenate(task.explained))
    known = task.questions[0].subjects.sites
    sites = None if known is None else known[rows]
    return occlude_regions(
        BrainScore(encoder, regressions), task.store, task.atlas.labels, rows=rows, sites=sites
    ), rows


def _among(
    effects: RegionEffects, rows: npt.NDArray[np.intp], chosen: npt.NDArray[np.intp], regressions: slice
) -> RegionEffects:
    """Return what regions do to some scores of some subjects."""
    here = np.searchsorted(rows, chosen)
    return replace(effects, effects=effects.effects[regressions][:, here], deviation=effects.deviation[here])


def in_box(atlas: Atlas, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Give every voxel the value of its region, 0 where there is none: ``(region,) -> box``."""
    by_number = np.zeros(max(atlas.numbers) + 1, dtype=np.float32)
    by_number[list(atlas.numbers)] = values
    return by_number[atlas.labels]


def _one_number(question: Question) -> FloatArray:
    """Return one number a row: the target, its logarithm, the time of survival, or the first of several."""
    values = question.target.values
    if values.ndim > 1:
        values = values[:, 0]
    return np.log(values) if question.target.transform == "log" else values
