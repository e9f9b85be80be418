"""One run of the omics study, as its stages see it: configuration, data and what earlier stages left behind."""

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.files import read_json
from kotowari.core.job import Job
from kotowari.core.jobs import Arrays, load_arrays
from kotowari.core.options import validated
from kotowari.core.runfolder import RunFolder
from kotowari.studies.omics.config import Config
from kotowari.studies.omics.data import Samples, read_gene_sets, read_inputs, read_samples
from kotowari.studies.omics.fitting import Drawn, Estimator, make_estimator, permuted_order
from kotowari.studies.omics.model.estimators import DeepInsightClassifier, DeepInsightRegressor
from kotowari.studies.omics.model.transformer import DeepInsightTransformer
from kotowari.trust.comparators import OutOfFold
from kotowari.trust.folds import Fold, splits_from_json

__all__ = ["OURS", "PERMUTED_PIXELS", "UNTRAINED", "OmicsJob", "open_job"]

OURS = "DeepInsight (kotowari)"
PERMUTED_PIXELS = "DeepInsight, permuted pixels"
UNTRAINED = "untrained network"


class OmicsJob(Job[Config]):
    """What the stages of the omics study share; see :class:`kotowari.core.job.Job`."""

    @cached_property
    def samples(self) -> Samples:
        """The checked table and target; a file that has changed since the run began is refused."""
        self.folder.note_inputs(read_inputs(self.config.data))
        return read_samples(self.config.data)

    @cached_property
    def gene_sets(self) -> Mapping[str, Any] | None:
        """Gene sets, or None."""
        return read_gene_sets(self.config.data)

    @cached_property
    def folds(self) -> list[Fold]:
        """Outer folds, repeat after repeat, as written by the stage `split`."""
        return splits_from_json(read_json(self.path / "splits.json"))

    @property
    def first_folds(self) -> list[Fold]:
        """Folds of the first repeat, which cover every sample once; the nulls are computed on them."""
        return self.folds[: self.config.validation.n_splits]

    @property
    def n_outputs(self) -> int:
        """Scores of a network: one a class, or one."""
        return max(1, len(self.samples.classes))

    @property
    def all_rows(self) -> npt.NDArray[np.intp]:
        """Numbers of all samples."""
        return np.arange(len(self.samples.X))

    @property
    def main_metric(self) -> str:
        """The score that tests and sentences speak of: AUC for two classes, balanced accuracy beyond, R2 for values."""
        if self.samples.task == "regression":
            return "R2"
        return "AUC" if self.n_outputs == 2 else "balanced accuracy"

    def permuted_order(self, number: int) -> npt.NDArray[np.intp]:
        """Return the row whose label each sample gets in one permutation."""
        samples = self.samples
        return permuted_order(self.first_folds, samples.groups, samples.y, self.seed("permutation", number))

    def layout_name(self, number: int) -> str:
        """Name of the folder of the layout fitted on all samples; number 0 belongs to the final model."""
        return "final" if number == 0 else f"final-{number}"

    @cache  # noqa: B019  (a job lives as long as the process that runs it)
    def drawn(self, layout: str) -> Drawn:
        """All samples drawn by the layout in ``model/<layout>/layout``, which was fitted on training rows alone."""
        transformer = DeepInsightTransformer.load(self.path / "model" / layout / "layout")
        samples = self.samples
        images = transformer.transform(samples.X)
        return Drawn(transformer, images, samples.y, samples.codes, samples.groups, self.n_outputs)

    def estimator(self, *path: str | int, journal: Path | None = None) -> Estimator:
        """Return an estimator that is not fitted, with the seed of a named part of the run."""
        return make_estimator(self.config, self.samples.task, self.seed(*path), journal)

    @property
    def estimator_kind(self) -> type[Estimator]:
        """The class of the estimators of this run."""
        return DeepInsightClassifier if self.samples.task == "classification" else DeepInsightRegressor

    def fit_parts(self) -> dict[str, Arrays]:
        """Return what the stage `fit` left for each fold of the first repeat."""
        return {f"fold-{k}": load_arrays(self.shards("fit") / f"fold-{k}.npz") for k in range(len(self.first_folds))}

    def out_of_fold(self, parts: Mapping[str, Arrays], folds: list[Fold], y: npt.NDArray[Any]) -> OutOfFold:
        """Join the scores of folds to what scoring needs; ``y`` are the labels that the fits learned from."""
        rows = np.concatenate([fold.test for fold in folds])
        number = np.concatenate([np.full(len(fold.test), k) for k, fold in enumerate(folds)])
        scores = np.concatenate([part["scores"] for part in parts.values()]).astype(np.float64)
        if self.samples.task == "regression":
            # networks predict standardised values; the constants are those of each fold's training rows
            own = [y[fold.train].astype(np.float64) for fold in folds]
            mean = np.concatenate([np.full(len(f.test), v.mean()) for f, v in zip(folds, own, strict=True)])
            sd = np.concatenate([np.full(len(f.test), v.std() or 1.0) for f, v in zip(folds, own, strict=True)])
            return OutOfFold(rows, number, scores[:, 0] * sd + mean)
        classes = np.array(self.samples.classes)
        shifted = np.exp(scores - scores.max(1, keepdims=True))
        probability = shifted / shifted.sum(1, keepdims=True)
        return OutOfFold(rows, number, classes[scores.argmax(1)], classes, probability)


def open_job(folder: RunFolder) -> OmicsJob:
    """Open the job of a run folder."""
    return OmicsJob(validated(Config, folder.record["config"], where=str(folder.path / "run.json")), folder)
