"""Classifier and regressor on tables of genes drawn as images, under scikit-learn's contract."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from kotowari.core.errors import InputError
from kotowari.core.files import read_json, write_json
from kotowari.core.seeds import derive_seed
from kotowari.explain.integrated_gradients import integrated_gradients
from kotowari.studies.omics.model.ensemble import (
    Member,
    NetworkName,
    Recipe,
    Targets,
    as_tensor,
    fit_member,
    load_members,
    save_members,
)
from kotowari.studies.omics.model.transformer import DeepInsightTransformer
from kotowari.studies.omics.model.tuning import Tuning, tuned
from kotowari.training.devices import one_thread, require_device
from kotowari.training.plan import TrainingPlan

__all__ = ["DeepInsightClassifier", "DeepInsightRegressor", "class_column", "softmax"]

Array = npt.NDArray[Any]


class _DeepInsight(BaseEstimator, ABC):
    """What classifier and regressor share: images, an ensemble of networks, attributions, files."""

    def __init__(
        self,
        *,
        transformer: DeepInsightTransformer | None = None,
        network: NetworkName = "residual",
        network_options: Mapping[str, Any] | None = None,
        n_members: int = 3,
        shrink: bool = True,
        n_pairs: int = 64,
        validation_fraction: float = 0.2,
        plan: TrainingPlan | None = None,
        tune: int = 0,
        tune_journal: str | Path | None = None,
        device: str = "cpu",
        precision: str = "32-true",
        random_state: Any = 0,
    ) -> None:
        self.transformer = transformer
        self.network = network
        self.network_options = network_options
        self.n_members = n_members
        self.shrink = shrink
        self.n_pairs = n_pairs
        self.validation_fraction = validation_fraction
        self.plan = plan
        self.tune = tune
        self.tune_journal = tune_journal
        self.device = device
        self.precision = precision
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:
        """Fit layout and networks on ``X`` of shape ``(sample, gene)``, a DataFrame or an array.

        Parameters
        ----------
        X
            Table; names of a DataFrame's columns are kept and asked for again.
        y
            Shape ``(sample,)``.
        groups
            Owner of each sample, such as the patient; the inner hold-out never splits an owner. None: each its own.

        Raises
        ------
        InputError
            When the table or the target cannot be used; the sentence names row and column.
        DesignError
            When a class is too small to hold anything out.
        """
        seed = self._seed()
        base = DeepInsightTransformer(random_state=derive_seed(seed, "layout"))
        transformer = base if self.transformer is None else clone(self.transformer)
        transformer.set_params(output="images").fit(X)
        return self.fit_images(transformer, transformer.transform(X), y, groups=groups)

    def fit_images(
        self, transformer: DeepInsightTransformer, images: npt.NDArray[np.float32], y: Any, *, groups: Any = None
    ) -> Self:
        """Fit the networks alone, on images that ``transformer`` has drawn; for callers that refit on other labels."""
        check_consistent_length(images, y, groups)
        if self.n_members < 1 or self.tune < 0:
            raise InputError(f"n_members must be 1 or more and tune 0 or more, got {self.n_members} and {self.tune}.")
        seed, recipe = self._seed(), self._recipe()
        targets, owners = self._targets(y), None if groups is None else np.asarray(groups)
        with one_thread():
            if self.tune:
                journal = None if self.tune_journal is None else Path(self.tune_journal)
                tuning = Tuning(self.tune, derive_seed(seed, "tune"), journal)
                recipe = tuned(images, targets, recipe, groups=owners, tuning=tuning)
            self.members_: list[Member] = [
                fit_member(images, targets, recipe, groups=owners, seed=derive_seed(seed, "member", number))
                for number in range(self.n_members)
            ]
        self.transformer_, self.recipe_ = transformer, recipe
        self._take_names(transformer)
        return self

    def relevance(self, X: Any, output: int | npt.NDArray[np.integer[Any]]) -> tuple[Array, Array]:
        """Return how much every gene moved a score away from the mean training image's, and what is unaccounted for.

        Integrated gradients of each network from its own mean training image, averaged over the networks and brought
        from pixels to genes. The genes of a sample sum to the change of its score, up to the gap.

        Parameters
        ----------
        X
            Shape ``(sample, gene)``.
        output
            Number of the score, one for all samples or one a sample.

        Returns
        -------
        relevance
            Shape ``(sample, gene)``, in score units (log odds for classes).
        gap
            Shape ``(sample,)``, the largest relative completeness gap of the networks, or the share of the change that
            a blur has put into pixels without a gene, where that is larger.
        """
        check_is_fitted(self, "members_")
        return self.relevance_of_images(self.transformer_.transform(X), output)

    def relevance_of_images(
        self,
        images: npt.NDArray[np.float32],
        output: int | npt.NDArray[np.integer[Any]],
        *,
        n_points: int | None = None,
    ) -> tuple[Array, Array]:
        """Do as :meth:`relevance` for images that are drawn already; ``n_points`` fixes the points of the integral."""
        pixels, gap = self.pixel_relevance(images, output, n_points=n_points)
        genes, whole = self.transformer_.decode(pixels), pixels.sum((1, 2, 3))
        lost = np.abs(genes.sum(1) - whole) / np.maximum(np.abs(whole), 1e-6)
        return genes, np.maximum(gap, lost)

    def pixel_relevance(
        self,
        images: npt.NDArray[np.float32],
        output: int | npt.NDArray[np.integer[Any]],
        *,
        n_points: int | None = None,
    ) -> tuple[Array, Array]:
        """Do as :meth:`relevance_of_images` in the shape of the images, before pixels become genes."""
        x, target = as_tensor(images), torch.as_tensor(np.asarray(output))
        points = {} if n_points is None else {"min_points": n_points, "max_points": n_points}
        total, gaps = np.zeros(images.shape, np.float64), []
        with one_thread():
            for member in self.members_:
                found = integrated_gradients(member.network, x, target, reference=member.reference, **points)
                total += found.values.numpy() / len(self.members_)
                gaps.append(found.gap.numpy())
        return total, np.max(gaps, axis=0)

    def scores(self, X: Any) -> npt.NDArray[np.float32]:
        """Return the mean score of the networks, ``(sample, gene) -> (sample, output)``."""
        check_is_fitted(self, "members_")
        return self.scores_of_images(self.transformer_.transform(X))

    def scores_of_images(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Do as :meth:`scores` for images that are drawn already."""
        with one_thread():
            mean: npt.NDArray[np.float32] = np.mean([member.scores(images) for member in self.members_], axis=0)
        return mean

    def save(self, folder: str | Path) -> None:
        """Write layout, networks and words into a folder: JSON and safetensors, no pickles."""
        check_is_fitted(self, "members_")
        self.transformer_.save(Path(folder) / "layout")
        save_members(Path(folder), self.members_)
        write_json(Path(folder) / "estimator.json", {"schema": 1, "kind": type(self).__name__, **self._words()})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; ready to predict and to explain."""
        words = read_json(Path(folder) / "estimator.json")
        kind = words.get("kind") if isinstance(words, dict) else None
        if kind != cls.__name__:
            raise InputError(f"{folder}: holds {'no estimator' if kind is None else kind}, not a {cls.__name__}.")
        estimator = cls()
        estimator.members_ = load_members(Path(folder))
        estimator.transformer_ = DeepInsightTransformer.load(Path(folder) / "layout")
        estimator._take_names(estimator.transformer_)
        estimator._take_words(words)
        return estimator

    @abstractmethod
    def _targets(self, y: Any) -> Targets:
        """Turn the target column into what a network learns."""

    @abstractmethod
    def _words(self) -> dict[str, Any]:
        """Return what the file holds besides layout and networks."""

    @abstractmethod
    def _take_words(self, words: dict[str, Any]) -> None:
        """Put back what :meth:`_words` gave."""

    def _recipe(self) -> Recipe:
        return Recipe(
            network=self.network,
            options=dict(self.network_options or {}),
            shrink=self.shrink,
            n_pairs=self.n_pairs,
            validation_fraction=self.validation_fraction,
            plan=self.plan or TrainingPlan(),
            device=require_device(self.device),
            precision=self.precision,
        )

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _take_names(self, transformer: DeepInsightTransformer) -> None:
        self.n_features_in_ = transformer.n_features_in_
        if hasattr(transformer, "feature_names_in_"):
            self.feature_names_in_ = transformer.feature_names_in_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.transformer is not None and self.transformer.missing == "zero"
        tags.target_tags.required = True
        return tags


class DeepInsightClassifier(ClassifierMixin, _DeepInsight):
    """Classify samples by small networks on images of their genes.

    Parameters
    ----------
    transformer
        How genes become pixels; None for :class:`DeepInsightTransformer` with its defaults.
    network, network_options
        ``"residual"`` (ours), ``"two_branch"`` (DeepInsight) or ``"squeeze"`` (DeepFeature), and keyword arguments of
        the network's class in :mod:`kotowari.networks`.
    n_members
        Networks, each with its own hold-out and first weights; their scores are averaged.
    shrink
        Shrink the gain of genes that no class moves (positive-part James-Stein, fitted on the training part).
    n_pairs
        Most products of two genes offered to the network, chosen by a screen on the training part that leaves out what
        permuted labels reach; finds genes that matter only together. Residual network only.
    validation_fraction
        Share of each class's owners that decides when to stop, 0 up to 0.5; 0 trains all epochs.
    plan
        Settings of the training; None for the defaults of :class:`kotowari.training.TrainingPlan`.
    tune, tune_journal
        Trials of a search over settings inside the training samples, 0 for none; and a file that keeps finished trials.
    device, precision
        Where and in which number format networks are trained.
    random_state
        Seed, 0 or more; a RandomState; or None.

    Attributes
    ----------
    classes_
        Labels in the order of the scores.
    transformer_, members_, recipe_
        The fitted layout, the networks, and the settings that were used.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Source: Sharma et al. 2019, Sci. Rep. 9:11399; class weights, ensemble, shrinkage and pairs are ours.
    """

    def predict_proba(self, X: Any) -> Array:
        """Return the softmax of the mean score, ``(sample, gene) -> (sample, class)``; not calibrated."""
        return softmax(self.scores(X))

    def predict(self, X: Any) -> Array:
        """Return the class of the highest score, ``(sample, gene) -> (sample,)``."""
        scores = self.scores(X)
        predicted: Array = self.classes_[scores.argmax(1)]
        return predicted

    def _targets(self, y: Any) -> Targets:
        self.classes_, codes = np.unique(class_column(y), return_inverse=True)
        return Targets.of_classes(codes.astype(np.int64), len(self.classes_), self.classes_)

    def _words(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist()}

    def _take_words(self, words: dict[str, Any]) -> None:
        self.classes_ = np.array(words["classes"])


class DeepInsightRegressor(RegressorMixin, _DeepInsight):
    """Predict a number by small networks on images of a sample's genes.

    Parameters and attributes are those of :class:`DeepInsightClassifier`, without classes and without pairs; the target
    is standardised on the training samples, and relevance is in standard deviations of it.
    """

    def predict(self, X: Any) -> Array:
        """``(sample, gene) -> (sample,)``, in units of the target."""
        predicted: Array = self.scores(X)[:, 0].astype(np.float64) * self.target_sd_ + self.target_mean_
        return predicted

    def _targets(self, y: Any) -> Targets:
        column = column_or_1d(y, warn=True).astype(np.float64)
        _require_finite(column)
        self.target_mean_, self.target_sd_ = float(column.mean()), float(column.std()) or 1.0
        return Targets(((column - self.target_mean_) / self.target_sd_).astype(np.float32)[:, None], None)

    def _words(self) -> dict[str, Any]:
        return {"target_mean": self.target_mean_, "target_sd": self.target_sd_}

    def _take_words(self, words: dict[str, Any]) -> None:
        self.target_mean_, self.target_sd_ = words["target_mean"], words["target_sd"]


def class_column(y: Any) -> Array:
    """Return the target as a column of two classes or more.

    Raises
    ------
    InputError
        When a number is NaN or infinite, or there is one class.
    """
    column: Array = column_or_1d(y, warn=True)
    if np.issubdtype(column.dtype, np.floating):
        _require_finite(column)
    check_classification_targets(column)
    if (column == column[0]).all():
        raise InputError(f"y holds the one class '{column[0]}'; a classifier needs two classes or more.")
    return column


def softmax(scores: Array) -> Array:
    """``(sample, class)`` scores to probabilities, in double precision."""
    shifted = np.exp(scores.astype(np.float64) - scores.max(1, keepdims=True))
    shares: Array = shifted / shifted.sum(1, keepdims=True)
    return shares


def _require_finite(column: Array) -> None:
    unsound = np.flatnonzero(~np.isfinite(column))
    if len(unsound):
        raise InputError(f"y: row {unsound[0]} is NaN or infinite. Leave the sample out or give its value.")
