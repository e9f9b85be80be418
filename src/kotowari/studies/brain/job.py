"""One run of the brain study, as its stages see it: configuration, volumes and what earlier stages left behind."""

import hashlib
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.files import read_json
from kotowari.core.job import Job
from kotowari.core.jobs import Arrays, load_arrays
from kotowari.core.options import validated
from kotowari.core.runfolder import RunFolder
from kotowari.studies.brain.config import Config
from kotowari.studies.brain.data import lay_atlas, read_brains, read_inputs
from kotowari.studies.brain.fitting import EncoderTask, blocks_of, make_regression
from kotowari.studies.brain.model.atlas import Atlas
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.studies.brain.participants import Cohort
from kotowari.studies.brain.questions import Question, external_rows, questions_of
from kotowari.trust.folds import Fold, splits_from_json

__all__ = ["FINAL", "LABEL_TRAINED", "OURS", "UNTRAINED", "BrainJob", "open_job"]

OURS = "label-free autoencoder (kotowari)"
UNTRAINED = "same network, untrained"
LABEL_TRAINED = "same encoder, label-trained"
FINAL = "final"


class BrainJob(Job[Config]):
    """What the stages of the brain study share; see :class:`kotowari.core.job.Job`."""

    @cached_property
    def cohort(self) -> Cohort:
        """The participants; a file that has changed since the run began is refused."""
        cohort = read_brains(self.config)
        # before the stage `read` is done, a store that a refused start left may yet give way to another
        is_read = self.folder.stage_state("read") == "done"
        self.folder.note_inputs(self.input_fingerprints() if is_read else read_inputs(self.config))
        return cohort

    def input_fingerprints(self) -> list[dict[str, Any]]:
        """Return name, sha256 and size of every input file; of all volumes together, whose names may be patients'."""
        found = read_inputs(self.config)
        inputs = self.store.inputs
        if inputs:
            sums = "".join(str(entry["sha256"]) for entry in inputs)
            found.append(
                {
                    "name": f"{len(inputs)} volumes",
                    "sha256": hashlib.sha256(sums.encode()).hexdigest(),
                    "bytes": sum(int(entry["bytes"]) for entry in inputs),
                }
            )
        return found

    @property
    def store_folder(self) -> Path:
        """Where the volumes lie, cropped; it holds subjects, so it is not for handing on."""
        return self.path / "work" / "volumes"

    @cached_property
    def store(self) -> VolumeStore:
        """The volumes, as the stage `read` left them."""
        return VolumeStore.open(self.store_folder)

    @cached_property
    def atlas(self) -> Atlas:
        """The regions, laid onto the store."""
        return lay_atlas(self.config, self.store, self.path / "work")

    @cached_property
    def questions(self) -> list[Question]:
        """What is predicted, in whom."""
        return questions_of(self.config, self.cohort)

    @cached_property
    def external(self) -> npt.NDArray[np.bool_]:
        """Mark the subjects of the sites kept aside."""
        return external_rows(self.config, self.cohort)

    @property
    def internal(self) -> npt.NDArray[np.intp]:
        """Rows that may be learned from."""
        return np.flatnonzero(~self.external)

    @cached_property
    def site_labels(self) -> npt.NDArray[np.str_]:
        """Site of every row; one without name where there is no such column."""
        column = self.config.cohort.site
        return np.full(len(self.cohort.table), "") if column is None else self.cohort.labels(column)

    @cached_property
    def diagnosis(self) -> npt.NDArray[np.str_] | None:
        """Label of every row; None without such a column."""
        column = self.config.cohort.diagnosis
        return None if column is None else self.cohort.labels(column)

    @property
    def knows_diagnosis(self) -> bool:
        """Whether an encoder can be trained on it: two classes or more among those who may be learned from."""
        return self.diagnosis is not None and len(np.unique(self.diagnosis[self.internal])) > 1

    @cached_property
    def groups(self) -> npt.NDArray[Any]:
        """Owner of every row, as numbers from 0."""
        column = self.config.cohort.group
        names = np.array(self.cohort.subjects) if column is None else self.cohort.labels(column)
        return np.unique(names, return_inverse=True)[1]

    @cached_property
    def folds(self) -> list[Fold]:
        """Folds over all internal subjects, repeat after repeat, as written by the stage `split`."""
        return splits_from_json(read_json(self.path / "splits.json"))

    @property
    def first_folds(self) -> list[Fold]:
        """Folds of the first repeat, which cover every internal subject once; the nulls are computed on them."""
        return self.folds[: self.config.validation.n_splits]

    @property
    def fold_names(self) -> list[str]:
        """Names of the encoders of these folds."""
        return [f"fold-{k}" for k in range(len(self.first_folds))]

    def folds_of(self, question: Question, folds: list[Fold] | None = None) -> list[Fold]:
        """Return the folds cut to the subjects in whom the target is asked."""
        rows = question.target.rows
        chosen = self.folds if folds is None else folds
        return [Fold(np.intersect1d(fold.train, rows), np.intersect1d(fold.test, rows)) for fold in chosen]

    def encoder_task(self, name: str, rows: npt.NDArray[np.intp]) -> EncoderTask:
        """Return what an encoder is fitted on, and where it is kept; ``name`` is ``fold-k`` or ``final``."""
        seed, home = self.seed("encoder", name), self.encoder_folder(name)
        return EncoderTask(self.store, self.config, rows, self.groups, seed, home)

    def encoder_folder(self, name: str = FINAL) -> Path:
        """Where an autoencoder is kept."""
        return self.path / ("model/encoder" if name == FINAL else f"work/encoders/{name}")

    def encoder(self, name: str = FINAL) -> ConvolutionalAutoencoder:
        """Return a fitted autoencoder."""
        return ConvolutionalAutoencoder.load(self.encoder_folder(name))

    @cached_property
    def mean_brain(self) -> npt.NDArray[np.float32]:
        """Mean of all internal subjects, shape of the box."""
        return self.encoder().mean_brain_

    def shard(self, batch: str, name: str) -> Arrays:
        """Return what one fit of a batch left."""
        return load_arrays(self.shards(batch) / f"{name}.npz")

    def encoded(self, name: str, *, labels: bool = False) -> Arrays:
        """Return what the stage `features` left for one encoder; ``labels``: the one trained on the diagnosis."""
        return self.shard("features", f"{'diagnosis-' if labels else ''}{name}")

    @staticmethod
    def file_word(name: str) -> str:
        """Return a target's name as a word for files."""
        return "-".join(re.findall(r"[\w.]+", name))

    def regression_folder(self, question: Question) -> Path:
        """Where the final regression of a target is kept."""
        return self.path / "model" / "regressions" / self.file_word(question.name)

    def regression(self, question: Question) -> LatentRegression:
        """Return the final regression of a target, on the features of the final encoder."""
        return LatentRegression.load(self.regression_folder(question))

    @property
    def n_blocks(self) -> int:
        """Blocks of the autoencoder."""
        return blocks_of(self.config, self.store)

    def model(self) -> LatentRegression:
        """Return the unfitted regression that all arms share."""
        return make_regression(self.config, self.seed("regression"))


def open_job(folder: RunFolder) -> BrainJob:
    """Open the job of a run folder."""
    return BrainJob(validated(Config, folder.record["config"], where=str(folder.path / "run.json")), folder)
