"""What is done in a process of its own: a background, a network, the maps of all methods. Arrays come back."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kotowari.core.jobs import Arrays
from kotowari.studies.angiography.arms import NETWORK, Maps, TunedFilters, maps_of
from kotowari.studies.angiography.attenuation import XrayRun
from kotowari.studies.angiography.beds import Bed, BedKind, contrast_free, implanted_bed, masked_bed
from kotowari.studies.angiography.config import Config
from kotowari.studies.angiography.data import load
from kotowari.studies.angiography.filters import all_filters
from kotowari.studies.angiography.layers import Layers, separate
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from kotowari.studies.angiography.ranking import ranking_scores
from kotowari.studies.angiography.scores import VesselScores, score_map
from kotowari.studies.angiography.sources import Recording
from kotowari.training.devices import one_thread
from kotowari.trust.randomisation import randomised_copy

__all__ = [
    "SCORES",
    "BedTask",
    "NetworkTask",
    "fit_network",
    "judge_bed",
    "look_at",
    "separate_recording",
    "tune_filters",
]

SCORES = tuple(field.name for field in fields(VesselScores))
_MOST_SCORED = 8
_TUNED_ON = 4  # frames of a run, or a few more
_MIRRORS: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1))


@dataclass(frozen=True)
class NetworkTask:
    """What a network learns from, without masks, and where it is kept.

    Parameters
    ----------
    recordings, config
        Which recordings.
    layers
        Name of a run to what :func:`separate_recording` left of it; single frames have none.
    options, seed
        Of the network.
    folder, plain
        Where it is kept, and a copy with drawn weights; None keeps none.
    """

    recordings: Sequence[Recording]
    config: Config
    layers: Mapping[str, Path]
    options: Mapping[str, Any]
    seed: int
    folder: Path
    plain: Path | None = None


@dataclass(frozen=True)
class BedTask:
    """What all methods are judged on.

    Parameters
    ----------
    recording, config
        Which recording.
    kind
        Its masks, or vessels put into it.
    grade, seed
        Of vessels put in.
    networks
        Name of a method to the folder of a network that never saw the patient.
    tuned
        Scales and thresholds of filters, from masks of other patients.
    """

    recording: Recording
    config: Config
    kind: BedKind
    networks: Mapping[str, Path]
    grade: float = 0.0
    seed: int = 0
    tuned: TunedFilters | None = None


def look_at(recording: Recording, config: Config) -> Arrays:
    """Read a recording and say what it is: frames, size, field, contrast-free frames, exposure, notes."""
    material = load(recording, config)
    run = material.run
    inside = run.frames[:, run.field]
    free = contrast_free(run, config)
    return {
        "n_frames": np.array(len(run.frames)),
        "shape": np.array(run.field.shape),
        "field_share": np.array(run.field.mean()),
        "n_free": np.array(int(free.sum())),
        "frame_s": np.array(np.nan if run.frame_s is None else float(np.diff(run.frame_s).mean())),
        "pixel_mm": np.array(np.nan if run.pixel_mm is None else run.pixel_mm),
        "has_truth": np.array(material.truth is not None),
        "attenuation": np.percentile(inside, [1, 50, 99]),
        "flat": np.array(bool(np.ptp(inside) == 0)),
        "notes": np.array(run.notes, dtype=np.str_),
    }


def separate_recording(recording: Recording, config: Config) -> Arrays:
    """Part a run into background, vessels and rest.

    Returns
    -------
    dict
        As of :meth:`kotowari.studies.angiography.layers.Layers.arrays`.
    """
    with one_thread():
        run = load(recording, config).run
        return separate(run.frames, run.field, config.separation).arrays()


def fit_network(task: NetworkTask) -> Arrays:
    """Teach a network on recordings without their masks, and keep it.

    Returns
    -------
    dict
        ``loss`` by epoch, round after round; ``threshold``, and ``implant_dice`` that it reaches on fresh implants.
    """
    with one_thread():
        runs = [_shown(recording, task) for recording in task.recordings]
        enhancer = VesselEnhancer(**task.options, random_state=task.seed)
        enhancer.fit(runs, groups=[recording.patient for recording in task.recordings])
        enhancer.save(task.folder)
        loss = np.concatenate([history.train_loss for history in enhancer.history_])
        told = {
            "loss": loss,
            "threshold": np.array(enhancer.threshold_),
            "implant_dice": np.array(enhancer.implant_dice_),
        }
        if task.plain is not None:
            generator = torch.Generator().manual_seed(task.seed)
            drawn: Any = randomised_copy(enhancer.network_, generator=generator).eval()
            enhancer.network_ = drawn
            enhancer.save(task.plain)
        return told


def _shown(recording: Recording, task: NetworkTask) -> XrayRun:
    """Return a recording as a network is shown it: a run less its background."""
    run = load(recording, task.config).run
    if recording.name not in task.layers:
        return run
    return replace(run, frames=Layers.read(task.layers[recording.name]).without_background(run.frames))


def tune_filters(recordings: Sequence[Recording], config: Config) -> Arrays:
    """Choose scales and thresholds of the filters on the masks of a training part.

    Returns
    -------
    dict
        ``scales-<k>`` and ``threshold-<k>`` of the k-th filter.
    """
    frames, truth, inside = [], [], []
    for recording in recordings:
        bed = masked_bed(load(recording, config), config)
        if bed is not None:
            for place in range(0, len(bed.known), max(1, len(bed.known) // _TUNED_ON)):
                frames.append(bed.frames[bed.known[place]])
                truth.append(bed.truth[place])
                inside.append(bed.field)
    told: Arrays = {}
    for k, own in enumerate(all_filters()):
        own.fit(frames, truth, inside)
        told |= {f"scales-{k}": np.array(own.scales_), f"threshold-{k}": np.array(own.threshold_)}
    return told


def judge_bed(task: BedTask) -> Arrays:
    """Score the maps of all methods where the vessels are known.

    Returns
    -------
    dict
        For the k-th method ``name-<k>``, ``rule-<k>`` and ``scores-<k>``, shape ``(frame, score)`` with columns
        :data:`SCORES`; where there are frames without contrast ``false-<k>``, the share of each that is called vessel;
        ``mirrored``, the average precision of our network against the vessels as they are and turned over three ways.
        Nothing at all where no bed can be made of the recording.
    """
    with one_thread():
        material = load(task.recording, task.config)
        bed = (
            masked_bed(material, task.config)
            if task.kind == "masks"
            else implanted_bed(material.run, task.config, task.grade, task.seed)
        )
        if bed is None or not len(bed.known):
            return {}
        is_run = len(bed.frames) >= task.config.data.min_run_frames
        told: Arrays = {"frames": _scored_frames(bed)}
        made = maps_of(bed, task.config.separation, task.networks, task.tuned or {}, is_run=is_run)
        for k, maps in enumerate(made):
            found = maps.threshold.mask(maps.values, bed.field)
            rows = [
                astuple(
                    score_map(maps.values[number], bed.truth[place], bed.field, maps.threshold.low, found=found[number])
                )
                for place, number in enumerate(bed.known)
                if number in told["frames"]
            ]
            told |= {f"name-{k}": np.array(maps.name), f"scores-{k}": np.array(rows, np.float64)}
            told[f"rule-{k}"] = np.array(maps.threshold.rule)
            if maps.name == NETWORK:
                told["mirrored"] = _against_mirrored(maps, bed, told["frames"])
            if bed.free.any():
                told[f"false-{k}"] = found[bed.free][:, bed.field].mean(1)
        return told


def _against_mirrored(maps: Maps, bed: Bed, numbers: np.ndarray) -> np.ndarray:
    """Hold maps against true vessels turned over: how well they do where vessels merely might have been."""
    told = np.full((len(numbers), len(_MIRRORS)), np.nan)
    for row, number in enumerate(numbers):
        truth = bed.truth[int(np.flatnonzero(bed.known == number)[0])]
        for column, axes in enumerate(_MIRRORS):
            there = np.flip(truth, axes) & bed.field
            values = maps.values[number]
            told[row, column] = ranking_scores(values[there], values[bed.field & ~there])[1]
    return np.asarray(np.nanmean(told, axis=0))


def _scored_frames(bed: Bed) -> np.ndarray:
    """Return frames spread over those whose vessels are known."""
    places = np.unique(np.linspace(0, len(bed.known) - 1, min(_MOST_SCORED, len(bed.known))).round().astype(int))
    chosen: np.ndarray = bed.known[places]
    return chosen
