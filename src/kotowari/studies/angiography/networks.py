"""The networks of a run: one a fold that never saw its patients, the final one, and their controls."""

from pathlib import Path
from typing import Any

from kotowari.core.progress import Progress
from kotowari.studies.angiography.arms import NETWORK, OF_PRIOR, UNTRAINED
from kotowari.studies.angiography.fitting import NetworkTask, fit_network
from kotowari.studies.angiography.job import FINAL, AngiographyJob

__all__ = ["fit_networks", "networks_for", "seed_folder"]


_FRAMES_OF_RUNS = 3


def fit_networks(job: AngiographyJob, progress: Progress) -> None:
    """Teach all networks; each is kept in a folder of its own.

    A fold's network with an untrained copy, and its twin taught by the prior alone (where there are runs to learn it
    from); the same on all recordings; and further seeds of the final one, for the stability of its maps.
    """
    tasks = {}
    for name, rows in _parts(job).items():
        for word, options in _lessons(job).items():
            if word == "prior" and name == FINAL and job.folds:
                continue  # it is a comparator, and the folds have theirs
            tasks[f"{word}-{name}"] = _task(job, name, word, rows, options)
    for k in range(1, job.config.trust.n_seeds):
        tasks[f"seed-{k}"] = NetworkTask(
            job.recordings, job.config, _layers(job), _options(job), job.seed("network", FINAL, k), seed_folder(job, k)
        )
    job.run(
        progress, "Networks without masks", "networks", fit_network, {name: (task,) for name, task in tasks.items()}
    )


def networks_for(job: AngiographyJob, row: int) -> dict[str, Path]:
    """Return name of a method to its folder, for networks that never saw the patient of a recording."""
    name = job.network_of(row)
    words = {"ours": NETWORK, "prior": OF_PRIOR, "untrained": UNTRAINED}
    return {words[word]: _folder(job, word, name) for word in (*_lessons(job), "untrained")}


def seed_folder(job: AngiographyJob, number: int) -> Path:
    """Return where the final network of another seed is kept; 0 is the final one itself."""
    return job.network_folder() if number == 0 else job.path / "work" / "networks" / f"seed-{number}"


def _parts(job: AngiographyJob) -> dict[str, list[int]]:
    parts = {f"fold-{k}": [int(row) for row in fold.train] for k, fold in enumerate(job.folds)}
    return parts | {FINAL: list(range(len(job.recordings)))}


def _lessons(job: AngiographyJob) -> dict[str, dict[str, Any]]:
    """Return options of each kind of network; a prior needs runs, of whose frames it knows the background."""
    options = _options(job)
    lessons = {"ours": options}
    if job.runs and options["lesson"] != "prior":
        lessons["prior"] = {**options, "lesson": "prior", "n_frames": 1}
    return lessons


def _options(job: AngiographyJob) -> dict[str, Any]:
    options = job.config.enhancer.model_dump()
    if options["n_frames"] == "auto":
        only_runs = len(job.runs) == len(job.recordings)
        options["n_frames"] = _FRAMES_OF_RUNS if only_runs and options["lesson"] != "prior" else 1
    return {**options, "device": job.config.device}


def _task(job: AngiographyJob, name: str, word: str, rows: list[int], options: dict[str, Any]) -> NetworkTask:
    recordings = [job.recordings[row] for row in rows]
    if word == "prior":
        own = {recording.name for recording in job.runs}
        recordings = [recording for recording in recordings if recording.name in own]
    plain = _folder(job, "untrained", name) if word == "ours" else None
    seed = job.seed("network", name, word)
    # the prior finds background and vessels together, so it is shown frames as they are
    layers = {} if options["lesson"] == "prior" else _layers(job)
    return NetworkTask(recordings, job.config, layers, options, seed, _folder(job, word, name), plain)


def _layers(job: AngiographyJob) -> dict[str, Path]:
    return {recording.name: job.shards("layers") / f"{recording.name}.npz" for recording in job.runs}


def _folder(job: AngiographyJob, word: str, name: str) -> Path:
    return job.network_folder(name) if word == "ours" else job.path / "work" / "networks" / f"{word}-{name}"
