"""Where maps are judged: frames whose vessels are known, because they were drawn, simulated or put there."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kotowari.core.seeds import derive_seed
from kotowari.studies.angiography.attenuation import XrayRun
from kotowari.studies.angiography.config import Config
from kotowari.studies.angiography.contrast_free import find_contrast_free
from kotowari.studies.angiography.data import Material
from kotowari.studies.angiography.implant import VesselImplant, implant_frame
from kotowari.studies.angiography.model.enhancer_removal import without_vessels

__all__ = ["FEWEST_FREE", "Bed", "BedKind", "contrast_free", "implanted_bed", "masked_bed"]

BedKind = Literal["masks", "implants"]
BoolArray = npt.NDArray[np.bool_]
FloatFrames = npt.NDArray[np.float32]

FEWEST_FREE = 4
_MOST_FRAMES = 60


@dataclass(frozen=True, eq=False)
class Bed:
    """Frames with known vessels.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)``, attenuation.
    truth
        Shape ``(n_known, height, width)``: the vessels in the frames ``known``.
    known
        Numbers of the frames whose vessels are known.
    field
        Shape ``(height, width)``.
    free
        Shape ``(time,)``: frames without contrast; all False where there are none.
    vessel
        Attenuation put in, shape of the frames; None where vessels were drawn by hand.
    """

    frames: FloatFrames
    truth: BoolArray
    known: npt.NDArray[np.intp]
    field: BoolArray
    free: BoolArray
    vessel: FloatFrames | None = None


def contrast_free(run: XrayRun, config: Config) -> BoolArray:
    """Return which frames hold no contrast, shape ``(time,)``: as the configuration says, else guessed.

    A recording too short for a background of its own has none: of a single frame it cannot be told.
    """
    n = len(run.frames)
    if n < config.data.min_run_frames:
        return np.zeros(n, np.bool_)
    if config.data.contrast_free is not None:
        return np.arange(n) < config.data.contrast_free
    return find_contrast_free(run.frames, run.field)


def masked_bed(material: Material, config: Config) -> Bed | None:
    """Return a recording with the masks that its user has, or its simulated truth; None where it has none."""
    run, truth = material.run, material.truth
    if truth is None:
        return None
    known = np.arange(len(truth)) if material.truth_frame is None else np.array([material.truth_frame])
    told = (truth & run.field).any((1, 2))
    vessel = None if material.planted is None else material.planted.vessel
    return Bed(run.frames, truth[told], known[told], run.field, contrast_free(run, config), vessel)


def implanted_bed(run: XrayRun, config: Config, grade: float, seed: int) -> Bed | None:
    """Put vessels of a known attenuation into a recording.

    Into the contrast-free frames of a run, continued in time; a single frame loses its own vessels first, as far as
    they are found. None where a run has too few frames without contrast.

    Parameters
    ----------
    run
        Any recording.
    config
        Options of the job.
    grade
        Attenuation of the thickest vessel through its middle.
    seed
        Of the tree, its motion and the noise; equal seeds plant the same tree at every grade.
    """
    levels = int(run.levels)
    if len(run.frames) < config.data.min_run_frames:
        return _single(run, grade, seed)
    free = contrast_free(run, config)
    if free.sum() < FEWEST_FREE:
        return None
    step = 1 / 15 if run.frame_s is None else float(np.diff(run.frame_s).mean())
    n_frames = min(len(run.frames), _MOST_FRAMES)
    plant = VesselImplant(run.frames[free], run.field, n_frames=n_frames, frame_s=step, full_scale=levels)
    frames, planted = plant(grade, np.random.default_rng(seed))
    seen = planted.mask.any((1, 2))
    before = np.arange(n_frames) < int(np.argmax(seen))
    known = np.flatnonzero(seen)
    return Bed(frames, planted.mask[known], known, run.field, before, planted.vessel)


def _single(run: XrayRun, grade: float, seed: int) -> Bed:
    rows = []
    for number, frame in enumerate(run.frames):
        own = derive_seed(seed, "frame", number)
        empty = without_vessels(frame, run.field, np.random.default_rng(own))
        rows.append(implant_frame(empty, own, attenuation=grade, field=run.field, full_scale=int(run.levels)))
    frames, vessel, mask = (np.stack(arrays) for arrays in zip(*rows, strict=True))
    known = np.flatnonzero(mask.any((1, 2)))
    return Bed(frames, mask[known], known, run.field, np.zeros(len(frames), np.bool_), vessel)
