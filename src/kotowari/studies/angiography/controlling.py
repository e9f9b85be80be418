"""Recordings changed in ways that must, or must not, change what is found in them."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.core.progress import Progress
from kotowari.studies.angiography.beds import implanted_bed
from kotowari.studies.angiography.comparison import middle_grade
from kotowari.studies.angiography.config import Config
from kotowari.studies.angiography.controls import shuffle_frames, with_gain_and_offset
from kotowari.studies.angiography.data import load
from kotowari.studies.angiography.job import AngiographyJob
from kotowari.studies.angiography.layers import separate, shown_to
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from kotowari.studies.angiography.ranking import ranking_scores
from kotowari.studies.angiography.sources import Recording
from kotowari.training.devices import one_thread

__all__ = ["change_recording", "changed_runs"]

_GAIN = 0.8
_MOST_CHANGED = 6


def changed_runs(job: AngiographyJob, progress: Progress) -> dict[str, Arrays]:
    """Change a few recordings, spread over all of them, and find their vessels again."""
    chosen = np.unique(np.linspace(0, len(job.recordings) - 1, _MOST_CHANGED).round().astype(int))
    jobs = {}
    for row in chosen:
        recording = job.recordings[row]
        network = job.network_folder(job.network_of(int(row)))
        jobs[recording.name] = (recording, job.config, network, middle_grade(job), job.seed("changes", recording.name))
    return job.run(progress, "Recordings changed", "changes", change_recording, jobs)


def change_recording(recording: Recording, config: Config, network: object, grade: float, seed: int) -> Arrays:
    """Return what a gain, and a random order of time, do to one recording.

    Returns
    -------
    dict
        ``gain``: Dice of the mask of the fullest frame with that under 0.8 times the light. For runs that vessels can
        be put into, ``ordered`` and ``shuffled``: average precision of the vessel layer in all frames with vessels.
    """
    with one_thread():
        run = load(recording, config).run
        enhancer = VesselEnhancer.load(str(network))
        is_run = len(run.frames) >= config.data.min_run_frames
        maps = []
        for frames in (run.frames, with_gain_and_offset(run.frames, run.levels, _GAIN)):
            layers = separate(frames, run.field, config.separation) if is_run else None
            maps.append(enhancer.enhance(shown_to(enhancer, frames, layers), run.field))
        number = int(maps[0][:, run.field].mean(1).argmax())
        masks = [enhancer.segment(values[number]) & run.field for values in maps]
        n_pixels = int(masks[0].sum() + masks[1].sum())
        told: Arrays = {"gain": np.array(2 * int((masks[0] & masks[1]).sum()) / n_pixels if n_pixels else 1.0)}
        bed = implanted_bed(run, config, grade, seed) if is_run else None
        if bed is None:
            return told
        mixed, order = shuffle_frames(bed.frames, np.random.default_rng(seed))
        vessel = separate(bed.frames, bed.field, config.separation).vessel
        again = separate(mixed, bed.field, config.separation).vessel[np.argsort(order)]
        inside = np.broadcast_to(bed.field, bed.truth.shape)
        for name, values in {"ordered": vessel, "shuffled": again}.items():
            own = values[bed.known]
            told[name] = np.array(ranking_scores(own[bed.truth & inside], own[~bed.truth & inside])[1])
        return told
