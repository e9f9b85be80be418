"""What an encoder is asked in a process of its own: maps of all targets, of itself untrained, of shuffled targets."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.studies.brain.config import Maps
from kotowari.studies.brain.maps.brain_score import BrainScore
from kotowari.studies.brain.maps.control_fits import fitted_regression, shuffled_regressions, untrained_score
from kotowari.studies.brain.maps.gradients import gradient, gradient_times_input, integrated_gradients, smooth_grad
from kotowari.studies.brain.maps.mass_univariate import mass_univariate
from kotowari.studies.brain.maps.occlusion import RegionEffects, occlude_regions
from kotowari.studies.brain.maps.patterns import haufe_pattern
from kotowari.studies.brain.maps.smoothed import smooth_map
from kotowari.studies.brain.maps.voxel_maps import group_maps
from kotowari.studies.brain.model.atlas import Atlas
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.studies.brain.questions import Question
from kotowari.training.devices import one_thread

__all__ = ["MapTask", "explain_regions", "explain_voxels", "in_box", "map_without_network"]

FloatArray = npt.NDArray[np.float64]
_SMOOTH_DRAWS = 4
_SIGNED = {"gradient", "smoothed_gradient", "smoothgrad"}


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
    n_shuffles, n_voxel_shuffles
        Shuffled targets, each with a regression of its own, for maps by region (0 for none) and by smoothed gradient.
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
    n_voxel_shuffles: int
    seed: int
    maps: Maps


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
    """Return maps of one target by gradients, trained and untrained, and the gap of integrated gradients.

    Means over the subjects: signed, but for the gradient times input and integrated gradients, whose parts cancel over
    training subjects; their absolute values are averaged.

    Returns
    -------
    dict
        For each method its name and ``untrained <name>``, shape of the box; ``gap`` of integrated gradients; ``shuffled
        smoothed_gradient``, shape ``(shuffle, *box)``.
    """
    with one_thread():
        encoder = ConvolutionalAutoencoder.load(task.folder)
        question, rows = task.questions[number], task.explained[number]
        features = encoder.transform(task.store)
        own = fitted_regression(task.model, features, question.target, question.subjects)
        score = BrainScore(encoder, [own])
        before = untrained_score(encoder, task.model, task.store, question.target, question.subjects)
        sites = None if question.subjects.sites is None else question.subjects.sites[rows]
        found: Arrays = {}
        for name in task.maps.methods:
            for word, one in (("", score), ("untrained ", before)):
                maps = group_maps(one, task.store, _way(name, task), rows=rows, sites=sites)
                signed = name in _SIGNED
                found[f"{word}{name}"] = _finished(name, (maps.signed if signed else maps.absolute)[0], task)
                if maps.gap is not None and not word:
                    found["gap"] = maps.gap[0]
        if "smoothed_gradient" in task.maps.methods:
            drawn = shuffled_regressions(
                task.model,
                features,
                question.target,
                question.subjects,
                n_draws=task.n_voxel_shuffles,
                blocks=question.subjects.sites,
                random_state=task.seed,
            )
            maps = group_maps(BrainScore(encoder, drawn), task.store, gradient, rows=rows, sites=sites)
            found["shuffled smoothed_gradient"] = _finished("smoothed_gradient", maps.signed, task)
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


def in_box(atlas: Atlas, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Give every voxel the value of its region, 0 where there is none: ``(region,) -> box``."""
    by_number = np.zeros(max(atlas.numbers) + 1, dtype=np.float32)
    by_number[list(atlas.numbers)] = values
    return by_number[atlas.labels]


def _way(name: str, task: MapTask) -> Callable[..., Any]:
    ways: dict[str, Callable[..., Any]] = {
        "smoothed_gradient": gradient,
        "gradient": gradient,
        "gradient_times_input": gradient_times_input,
        "smoothgrad": partial(smooth_grad, n_draws=_SMOOTH_DRAWS, random_state=task.seed),
        "integrated_gradients": partial(integrated_gradients, max_points=task.maps.max_points),
    }
    return ways[name]


def _finished(name: str, values: npt.NDArray[np.float32], task: MapTask) -> npt.NDArray[np.float32]:
    if name != "smoothed_gradient":
        return values
    edges = task.store.grid.voxel_mm
    return smooth_map(values, task.store.mask, voxel_mm=edges, fwhm_mm=task.maps.smoothing_mm)


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


def _one_number(question: Question) -> FloatArray:
    """Return one number a row: the target, its logarithm, the time of survival, or the first of several."""
    values = question.target.values
    if values.ndim > 1:
        values = values[:, 0]
    return np.log(values) if question.target.transform == "log" else values
