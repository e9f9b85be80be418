"""One run of the angiography study, as its stages see it: configuration, recordings and what earlier stages left."""

from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.files import read_json
from kotowari.core.job import Job
from kotowari.core.jobs import Arrays, load_arrays
from kotowari.core.options import validated
from kotowari.core.runfolder import RunFolder
from kotowari.studies.angiography.config import Config
from kotowari.studies.angiography.data import Material, load, read_inputs, recordings_of
from kotowari.studies.angiography.sources import Recording
from kotowari.trust.folds import Fold, splits_from_json

__all__ = ["FINAL", "AngiographyJob", "open_job"]

FINAL = "final"


class AngiographyJob(Job[Config]):
    """What the stages of the angiography study share; see :class:`kotowari.core.job.Job`."""

    @cached_property
    def recordings(self) -> tuple[Recording, ...]:
        """All runs and single frames; a file that has changed since the run began is refused."""
        found = recordings_of(self.config)
        self.folder.note_inputs(read_inputs(found))
        return found

    def material(self, recording: Recording) -> Material:
        """Read one recording; nothing of it is kept, since inputs are not copied into a run folder."""
        return load(recording, self.config)

    @property
    def facts(self) -> Arrays:
        """What the stage `read` noted of every recording, by name, in their order."""
        return self.kept("recordings")

    @property
    def n_frames(self) -> npt.NDArray[np.int64]:
        """Frames of every recording."""
        return np.asarray(self.facts["n_frames"])

    @property
    def has_truth(self) -> npt.NDArray[np.bool_]:
        """Whether a recording has masks, which only score."""
        return np.asarray(self.facts["has_truth"])

    @property
    def runs(self) -> list[Recording]:
        """Recordings long enough for a background of their own."""
        long = self.n_frames >= self.config.data.min_run_frames
        return [recording for recording, own in zip(self.recordings, long, strict=True) if own]

    @property
    def groups(self) -> npt.NDArray[np.str_]:
        """Patient of every recording."""
        return np.array([recording.patient for recording in self.recordings])

    @cached_property
    def folds(self) -> list[Fold]:
        """Folds over recordings by patient, as written by the stage `split`; none for a single patient."""
        return splits_from_json(read_json(self.path / "splits.json"))

    def network_of(self, row: int) -> str:
        """Name of the network that never saw a recording; the final one where there is one patient only."""
        return next((f"fold-{k}" for k, fold in enumerate(self.folds) if row in fold.test), FINAL)

    def network_folder(self, name: str = FINAL) -> Path:
        """Where a network is kept."""
        return self.path / ("model/enhancer" if name == FINAL else f"work/networks/{name}")

    def shard(self, batch: str, name: str) -> Arrays:
        """Return what one piece of independent work left."""
        return load_arrays(self.shards(batch) / f"{name}.npz")


def open_job(folder: RunFolder) -> AngiographyJob:
    """Open the job of a run folder."""
    return AngiographyJob(validated(Config, folder.record["config"], where=str(folder.path / "run.json")), folder)
