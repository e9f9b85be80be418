"""Genes chosen in stages: explain, keep what passes, lay out and fit again, until few are left or it costs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from kotowari.core.errors import InputError
from kotowari.core.files import read_json, write_json
from kotowari.core.seeds import derive_seed
from kotowari.formats.tables import require_numeric_table
from kotowari.studies.omics.model.estimators import DeepInsightClassifier, class_column
from kotowari.studies.omics.model.frame import collision_free_side
from kotowari.studies.omics.model.intake import flat_columns, require_finite
from kotowari.studies.omics.model.layers import find_layers
from kotowari.studies.omics.model.selection import (
    RELEVANCES,
    THRESHOLDS,
    Relevance,
    Stage,
    ThresholdOf,
    balanced_loss,
    class_peaks,
    passing,
)
from kotowari.studies.omics.model.transformer import DeepInsightTransformer
from kotowari.trust.folds import Fold, hold_out

__all__ = ["DeepFeatureSelector"]

_SMALLEST_SIDE = 16  # pixels; what the published networks need


class DeepFeatureSelector(SelectorMixin, BaseEstimator):
    r"""Choose genes in stages by the regions of the images that speak for a class.

    A stage fits ``estimator`` on the genes that are left, with a new layout, and maps for every training sample how
    much each pixel speaks for the sample's own class. Pixels above a threshold are united over the samples of a class,
    then over classes and maps, and **all** genes in them go on. Maps stay in score units: none is rescaled, coloured or
    laid over its image, so one threshold means the same in every sample of a class.

    Stages end when ``n_features`` genes or fewer are left; when the loss on rows kept aside, the same in all stages,
    exceeds the lowest loss so far by more than the standard error of that (the stage before is then kept, and more than
    ``n_features`` genes may be chosen); or when a threshold lets all genes pass, or none.

    Rows kept aside decide when to stop and nothing else. Scores of the chosen genes on any row given to ``fit`` are
    flattered: test them on others.

    Parameters
    ----------
    estimator
        A :class:`DeepInsightClassifier`; None for one with its defaults.
    n_features
        Wanted number of genes, 1 or more; a gene counts once, however many layers it has.
    relevance
        ``"integrated_gradients"`` has a value for every pixel and adds up to the score. ``"cam"`` is the published map,
        the class activation map of the last feature layer. That layer is coarse (about 8 x 8 for the residual network),
        so it decides about blocks of pixels, some hundred genes at once where there are 6,000, and a gene passes
        because its neighbours do. Hence the default.
    threshold
        What the value of a pixel must exceed, by ``threshold_of``, above 0 and below 1. None for the quantile at which
        half of the genes pass, so that every stage has at most half the genes of the one before; or for 0.6 of the
        largest value, as published.
    threshold_of
        ``"quantile"``: level among the occupied pixels' largest values over the samples of a class. A class always has
        its share of pixels, however weak its maps. ``"largest"``: share of the largest value of the class over all its
        samples and pixels; one outlying sample moves it, and few genes may pass.
    validation_fraction
        Share of every class's owners kept aside, above 0 and below 1.
    random_state
        Seed, 0 or more; a RandomState; or None. Of the rows kept aside, and of the estimator where None is given.

    Attributes
    ----------
    stages_
        A :class:`Stage` for each fit: number of genes, loss, its standard error, and whether it was taken.
    support_
        Shape ``(feature,)``, bool: chosen. A gene's layers are chosen together.
    scores_
        Shape ``(feature,)``: largest map value at the gene's pixel over maps, classes and their samples, in score
        units (log odds), in the last stage that the gene took part in and that was taken.
    ranking_
        Shape ``(feature,)``: 1 for chosen, 2 for those dropped last, and so on.
    estimator_
        The classifier of the last stage taken, fitted on the chosen columns of the rows that were not kept aside.
    fold_
        Rows that were learned from (``train``) and kept aside (``test``).
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Source: Sharma et al. 2021, Brief. Bioinform. 22, bbab297 (staged selection, union of regions, element decoder).
    The thresholds on the map itself, integrated gradients and the rule of one standard error are ours; the latter after
    Breiman et al. 1984, Classification and Regression Trees, 3.4.3.
    """

    def __init__(
        self,
        *,
        estimator: DeepInsightClassifier | None = None,
        n_features: int = 1200,
        relevance: Relevance = "integrated_gradients",
        threshold: float | None = None,
        threshold_of: ThresholdOf = "quantile",
        validation_fraction: float = 0.2,
        random_state: Any = 0,
    ) -> None:
        self.estimator = estimator
        self.n_features = n_features
        self.relevance = relevance
        self.threshold = threshold
        self.threshold_of = threshold_of
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:
        """Choose genes of ``X``, shape ``(sample, feature)``, that tell the classes ``y`` apart.

        Parameters
        ----------
        X
            DataFrame or array, as :class:`DeepInsightClassifier` takes it.
        y
            Shape ``(sample,)``, classes; each with three owners or more.
        groups
            Owner of each sample, such as the patient; no owner is both learned from and kept aside. None: each its own.

        Raises
        ------
        InputError
            When a hyperparameter is not allowed, or table or target cannot be used.
        DesignError
            When a class is too small to keep anything aside.
        """
        self._require_options()
        table = self._checked(X, reset=True)
        classes, labels = np.unique(class_column(y), return_inverse=True)
        check_consistent_length(table, labels, groups)
        seed, owners = self._seed(), None if groups is None else np.asarray(groups)
        base = DeepInsightClassifier(random_state=derive_seed(seed, "estimator"))
        base = base if self.estimator is None else self.estimator
        layers = None if base.transformer is None else base.transformer.layers
        columns = find_layers(X, self._names(), layers).columns
        self.fold_ = hold_out(
            classes[labels],
            groups=owners,
            fraction=self.validation_fraction,
            continuous=False,
            random_state=derive_seed(seed, "hold-out"),
        )
        stages = _Stages(base, table, classes, labels.astype(np.int64), owners, self.fold_, columns)
        self._run(stages)
        return self

    def transform(self, X: Any) -> Any:
        """Return the chosen columns, ``(sample, feature) -> (sample, chosen)``; a DataFrame keeps its names."""
        check_is_fitted(self, "support_")
        table = self._checked(X, reset=False)
        return table.loc[:, self.support_] if isinstance(table, pd.DataFrame) else table[:, self.support_]

    def save(self, folder: str | Path) -> None:
        """Write the choice and the last classifier into a folder: JSON and safetensors, no pickles."""
        check_is_fitted(self, "support_")
        self.estimator_.save(Path(folder) / "estimator")
        facts = {
            "schema": 1,
            "kind": type(self).__name__,
            "names": [str(name) for name in getattr(self, "feature_names_in_", ())],
            "support": self.support_.tolist(),
            "scores": self.scores_.tolist(),
            "ranking": self.ranking_.tolist(),
            "stages": [stage._asdict() for stage in self.stages_],
            "train": self.fold_.train.tolist(),
            "test": self.fold_.test.tolist(),
        }
        write_json(Path(folder) / "selector.json", facts)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; ready to transform."""
        facts = read_json(Path(folder) / "selector.json")
        if not isinstance(facts, dict) or facts.get("kind") != cls.__name__:
            raise InputError(f"{folder}: holds no saved {cls.__name__}.")
        selector = cls()
        selector.estimator_ = DeepInsightClassifier.load(Path(folder) / "estimator")
        selector.support_ = np.array(facts["support"], dtype=bool)
        selector.scores_, selector.ranking_ = np.array(facts["scores"]), np.array(facts["ranking"])
        selector.stages_ = [Stage(**stage) for stage in facts["stages"]]
        selector.fold_ = Fold(np.array(facts["train"], np.intp), np.array(facts["test"], np.intp))
        selector.n_features_in_ = len(selector.support_)
        if facts["names"]:
            selector.feature_names_in_ = np.array(facts["names"], dtype=object)
        return selector

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._takes_missing()
        tags.target_tags.required = True
        return tags

    def _get_support_mask(self) -> npt.NDArray[np.bool_]:
        check_is_fitted(self, "support_")
        return self.support_

    def _run(self, stages: "_Stages") -> None:
        """Go from stage to stage and set the fitted attributes."""
        n_genes = stages.columns.shape[1]
        scores, last = np.zeros(n_genes), np.zeros(n_genes, np.int64)
        kept, self.stages_ = np.arange(n_genes), list[Stage]()
        while True:
            estimator, loss, se = stages.fit(kept)
            best = min(self.stages_, key=lambda stage: stage.loss, default=None)
            taken = best is None or loss <= best.loss + best.se
            self.stages_.append(Stage(len(kept), loss, se, taken))
            if not taken:
                break
            self.estimator_, chosen = estimator, kept
            peaks = stages.peaks(estimator, kept, self.relevance)
            scores[kept], last[kept] = peaks.max((0, 1)), len(self.stages_)
            passed = passing(
                peaks,
                estimator.transformer_.maps_,
                threshold=self.threshold,
                threshold_of=self.threshold_of,
            )
            if len(kept) <= self.n_features or passed.all() or not passed.any():
                break
            kept = kept[passed]
        self.support_ = np.zeros(self.n_features_in_, bool)
        self.scores_, self.ranking_ = np.zeros(self.n_features_in_), np.zeros(self.n_features_in_, np.int64)
        self.support_[stages.columns[:, chosen]] = True
        self.scores_[stages.columns] = scores
        self.ranking_[stages.columns] = 1 + last.max() - last

    def _require_options(self) -> None:
        allowed = {"relevance": tuple(RELEVANCES), "threshold_of": THRESHOLDS}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise InputError(f"{name} must be one of {', '.join(values)}, got {getattr(self, name)!r}.")
        if self.n_features < 1:
            raise InputError(f"n_features must be 1 or more, got {self.n_features}.")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise InputError(f"threshold must lie between 0 and 1, got {self.threshold}.")
        if self.estimator is not None and not isinstance(self.estimator, DeepInsightClassifier):
            raise InputError(f"estimator must be a DeepInsightClassifier, got a {type(self.estimator).__name__}.")

    def _checked(self, X: Any, *, reset: bool) -> Any:
        """Return the table as it came, a DataFrame, or an array of floats, after the checks at the door."""
        flat, missing = flat_columns(X), self._takes_missing()
        if isinstance(flat, pd.DataFrame) and len(flat.columns):
            require_numeric_table(flat, where="X", allow_missing=missing)
        floating = (np.float64, np.float32)
        values = validate_data(
            self, flat, reset=reset, dtype=floating, ensure_all_finite=False, ensure_min_samples=2 if reset else 1
        )
        require_finite(values, self._names(), allow_missing=missing)
        return X if isinstance(X, pd.DataFrame) else values

    def _names(self) -> list[str]:
        named = getattr(self, "feature_names_in_", None)
        return [f"x{number}" for number in range(self.n_features_in_)] if named is None else [str(n) for n in named]

    def _takes_missing(self) -> bool:
        layout = getattr(self.estimator, "transformer", None)
        return layout is not None and layout.missing == "zero"

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))


@dataclass(frozen=True, eq=False)
class _Stages:
    """The data of a selection, and how a stage sees a part of its genes."""

    base: DeepInsightClassifier
    table: Any
    classes: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    owners: npt.NDArray[Any] | None
    fold: Fold
    columns: npt.NDArray[np.int64]

    def fit(self, kept: npt.NDArray[np.intp]) -> tuple[DeepInsightClassifier, float, float]:
        """Fit on the rows to learn from; return the classifier, and loss and standard error on the others."""
        learned, judged = self.fold.train, self.fold.test
        estimator = self._estimator(kept)
        owners = None if self.owners is None else self.owners[learned]
        estimator.fit(self._part(learned, kept), self.classes[self.labels[learned]], groups=owners)
        scores = estimator.scores(self._part(judged, kept))
        others = None if self.owners is None else self.owners[judged]
        return estimator, *balanced_loss(scores, self.labels[judged], others)

    def peaks(
        self, estimator: DeepInsightClassifier, kept: npt.NDArray[np.intp], relevance: Relevance
    ) -> npt.NDArray[np.float64]:
        """Return the largest relevance of every gene kept, on the rows learned from; see :func:`class_peaks`."""
        images = estimator.transformer_.transform(self._part(self.fold.train, kept))
        return class_peaks(estimator, images, self.labels[self.fold.train], relevance=relevance)

    def _part(self, rows: npt.NDArray[np.intp], kept: npt.NDArray[np.intp]) -> Any:
        columns = np.sort(self.columns[:, kept], axis=None)
        return self.table.iloc[rows, columns] if isinstance(self.table, pd.DataFrame) else self.table[rows][:, columns]

    def _estimator(self, kept: npt.NDArray[np.intp]) -> DeepInsightClassifier:
        """Return a new classifier whose layout knows the genes kept alone."""
        estimator: DeepInsightClassifier = clone(self.base)
        layout = estimator.transformer or DeepInsightTransformer(random_state=self.base.random_state)
        if layout.layers is not None:
            layout.set_params(layers={name: [own[gene] for gene in kept] for name, own in layout.layers.items()})
        if layout.coordinates is not None and not isinstance(layout.coordinates, pd.DataFrame):
            layout.set_params(coordinates=np.asarray(layout.coordinates)[kept])
        if layout.shape == "auto" and estimator.network != "residual":
            layout.set_params(shape=(max(_SMALLEST_SIDE, collision_free_side(len(kept))),) * 2)
        estimator.transformer = layout
        return estimator
