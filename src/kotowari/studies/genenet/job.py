"""One run of the genenet study, as its stages see it: configuration, data and what earlier stages left behind."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.files import read_json
from kotowari.core.job import Job
from kotowari.core.jobs import Arrays, load_arrays
from kotowari.core.options import validated
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Metric, RunFolder
from kotowari.studies.genenet.config import Config, ResponseKind
from kotowari.studies.genenet.data import Samples, read_inputs, read_samples
from kotowari.studies.genenet.fitting import effects_of, make_profiler, make_trip, unpacked_effects
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.model.stack.stack import NetworkStack
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.studies.genenet.preparation import MODULATOR, Preparation, columns_of
from kotowari.trust.comparators import OutOfFold
from kotowari.trust.folds import Fold, splits_from_json

__all__ = ["OURS", "PROFILER", "SUBSPACE", "GenenetJob", "open_job"]

OURS = "TRIP on regulatory effects (kotowari)"
PROFILER = "NetworkProfiler (kotowari)"
SUBSPACE = "TRIP, directions not trained (HOSVD)"

FoundT = TypeVar("FoundT")


class GenenetJob(Job[Config]):
    """What the stages of the genenet study share; see :class:`kotowari.core.job.Job`."""

    @cached_property
    def samples(self) -> Samples:
        """The checked table; a file that has changed since the run began is refused."""
        self.folder.note_inputs(read_inputs(self.config))
        return read_samples(self.config)

    @cached_property
    def folds(self) -> list[Fold]:
        """Outer folds, repeat after repeat, as written by the stage `split`."""
        return splits_from_json(read_json(self.path / "splits.json"))

    @property
    def first_folds(self) -> list[Fold]:
        """Folds of the first repeat, which cover every sample once; the nulls are computed on them."""
        return self.folds[: self.config.validation.n_splits]

    @property
    def all_rows(self) -> npt.NDArray[np.intp]:
        """Numbers of all samples."""
        return np.arange(len(self.samples.X))

    @cached_property
    def whole(self) -> Preparation:
        """What the networks of the report rest on: all samples."""
        return Preparation(self.samples, self.config, self.all_rows)

    @cached_property
    def X(self) -> pd.DataFrame:
        """All samples x genes, adjusted for covariates by all samples."""
        return self.whole.adjusted(self.samples.X, self.samples.covariates)

    @cached_property
    def axis(self) -> npt.NDArray[np.float64]:
        """The modulator of all samples, fitted on all of them."""
        return self.whole.axis(self.X, self.samples.modulator, self.samples.second)

    @property
    def modulator_name(self) -> str:
        """What the samples are ordered by, in words."""
        options = self.config.modulator
        signature = "EMT score" if isinstance(options.signature, str) else f"score of {options.signature.stem}"
        name = options.column or signature
        return name if options.second is None else f"{name}, {options.second}"

    @property
    def response_name(self) -> str:
        """What is predicted, in words."""
        response = str(self.config.prediction.outcome)
        return self.modulator_name if response == MODULATOR else response

    @property
    def task(self) -> ResponseKind:
        """Whether classes, values or survival are predicted; the score of a signature is a value."""
        return self.samples.task or "regression"

    @property
    def network_folder(self) -> Path:
        """Where the networks of all samples lie, block by block."""
        return self.path / "model" / "networks"

    @cached_property
    def profiler(self) -> NetworkProfiler:
        """The networks of all samples, as the stage `networks` left them."""
        profiler: NetworkProfiler = NetworkProfiler.load(self.network_folder)
        return profiler

    def fresh_profiler(self, **options: Any) -> NetworkProfiler:
        """Return an unfitted profiler for refits on changed tables; ``options`` are laid over what is configured.

        It keeps the share of one network that the whole table chose: chosen anew where every relation is broken it
        would rise, and hold the changes by chance too small.
        """
        return make_profiler(self.config, self.seed("networks"), **({"pooling": self.profiler.pooling_} | options))

    def refit(
        self, name: str, title: str, n_refits: int, progress: Progress, function: Callable[..., FoundT], **options: Any
    ) -> FoundT:
        """Refit all networks on changed tables, under a progress bar; refits that are kept are not made again.

        Parameters
        ----------
        name
            Of the batch: its seed and its folder.
        title, n_refits, progress
            What the bar says.
        function
            Called with an unfitted profiler, expression and modulator, and by name with all that refits of this run
            have in common.
        options
            Handed on, over what is common.
        """
        common: dict[str, Any] = {
            "regulators": self.whole.regulators,
            "targets": self.whole.targets,
            "random_state": self.seed(name),
            "shards": self.shards(name.replace(" ", "-")),
            "workers": self.config.workers,
            "cluster": self.cluster,
        }
        profiler = options.pop("profiler", None) or self.fresh_profiler()
        with progress.bar(title, n_refits) as advance:
            return function(profiler, self.X, self.axis, advance=advance, **(common | options))

    @cached_property
    def networks(self) -> NetworkStack:
        """The same, joined from their blocks."""
        return self.profiler.networks()

    @property
    def predicts(self) -> bool:
        """Whether a response was asked for."""
        return self.config.prediction.outcome is not None

    @cached_property
    def y(self) -> npt.NDArray[Any]:
        """Response of every sample: class labels, values (the score of all where it is the modulator), or survival.

        Survival has two columns: time, and 1 where the event was seen.
        """
        if self.config.prediction.response == MODULATOR:
            return columns_of(self.axis)[:, 0]
        if self.samples.y is None:
            raise ValueError("This run predicts nothing.")
        return self.samples.y

    @property
    def main_metric(self) -> str:
        """The score that tests and sentences speak of.

        AUC for two classes, balanced accuracy beyond; R2 for values; the C-index for survival.
        """
        if self.task != "classification":
            return "R2" if self.task == "regression" else "C-index"
        return "AUC" if len(self.samples.classes) == 2 else "balanced accuracy"

    def fold_networks(self, number: int) -> Arrays:
        """Return what the stage `networks` left for one fold."""
        return load_arrays(self.shards("networks") / f"fold-{number}.npz")

    def effects(self, number: int) -> SparseNetworks:
        """Return the regulatory effects of all samples, by the networks of one fold."""
        return unpacked_effects(self.fold_networks(number))

    def trip(self, *path: str | int, **options: Any) -> Any:
        """Return an unfitted estimator of the response, with the seed of a named part of the run."""
        return make_trip(self.config, self.task, self.seed("fit", *path), **options)

    def whole_effects(self) -> SparseNetworks:
        """Return the regulatory effects of all samples, by the networks of all samples."""
        return effects_of([self.networks], self.X, [self.X], self.config)

    def main_first(self, rows: list[Metric]) -> list[Metric]:
        """Return scores with the one first that the sentences speak of."""
        return sorted(rows, key=lambda row: row.metric != self.main_metric)

    def fit_parts(self) -> dict[str, Arrays]:
        """Return what the stage `fit` left for each fold of the first repeat."""
        return self.parts("fit")

    def parts(self, name: str) -> dict[str, Arrays]:
        """Return the results of one batch of fits for each fold of the first repeat."""
        return {f"fold-{k}": load_arrays(self.shards(name) / f"fold-{k}.npz") for k in range(len(self.first_folds))}

    def out_of_fold(self, parts: Mapping[str, Arrays], folds: list[Fold]) -> OutOfFold:
        """Join the scores of folds to what scoring needs."""
        rows = np.concatenate([fold.test for fold in folds])
        number = np.concatenate([np.full(len(fold.test), k) for k, fold in enumerate(folds)])
        scores = np.concatenate([part["scores"] for part in parts.values()]).astype(np.float64)
        if self.task != "classification":
            return OutOfFold(rows, number, scores[:, 0])
        classes = np.array(self.samples.classes)
        return OutOfFold(rows, number, classes[scores.argmax(1)], classes, scores)


def open_job(folder: RunFolder) -> GenenetJob:
    """Open the job of a run folder."""
    return GenenetJob(validated(Config, folder.record["config"], where=str(folder.path / "run.json")), folder)
