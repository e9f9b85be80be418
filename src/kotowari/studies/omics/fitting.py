"""The independent fits of a run, as functions of plain arguments that any worker can call."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.feature_selection import f_classif, f_regression

from kotowari.core.jobs import Arrays
from kotowari.core.seeds import derive_seed
from kotowari.formats.labelled import Task
from kotowari.studies.omics.baselines.pixels import permuted_pixels
from kotowari.studies.omics.config import Config
from kotowari.studies.omics.model.ensemble import Member
from kotowari.studies.omics.model.estimators import DeepInsightClassifier, DeepInsightRegressor
from kotowari.studies.omics.model.images import PixelMap
from kotowari.studies.omics.model.statistics import pixel_scaling
from kotowari.studies.omics.model.transformer import DeepInsightTransformer
from kotowari.training.devices import require_device
from kotowari.training.plan import TrainingPlan
from kotowari.trust.faithfulness import deletion_insertion
from kotowari.trust.folds import Fold
from kotowari.trust.permutation import permuted
from kotowari.trust.randomisation import randomised_copy

__all__ = [
    "Drawn",
    "class_scores",
    "fit_and_explain",
    "fit_layout",
    "joined_scores",
    "make_estimator",
    "make_transformer",
    "patient_bootstrap",
    "permuted_order",
    "randomised",
    "taken_away",
    "with_permuted_pixels",
]

Estimator = DeepInsightClassifier | DeepInsightRegressor
Rows = npt.NDArray[np.intp]
Explain = Literal["none", "means", "samples"]
_FEWEST_OWNERS = 2  # of a class in a bootstrap: one to learn from, one to stop by
_RANDOM_ORDERS = 19  # the fewest that can give p = 0.05
_NULL_POINTS = 8  # of integrated gradients where only mean scores of genes are wanted; their error is under 1 %


@dataclass(frozen=True)
class Drawn:
    """A table drawn as images, with what is to be learned; everything that one fit needs.

    Parameters
    ----------
    transformer
        The fitted layout.
    images
        All samples, shape ``(sample, channel, height, width)``.
    y, codes
        Labels or values, and the number of the score that belongs to each sample; shape ``(sample,)``.
    groups
        Owners, shape ``(sample,)``.
    n_outputs
        Number of scores.
    """

    transformer: DeepInsightTransformer
    images: npt.NDArray[np.float32]
    y: npt.NDArray[Any]
    codes: npt.NDArray[np.int64]
    groups: npt.NDArray[Any]
    n_outputs: int

    def relabelled(self, order: Rows) -> "Drawn":
        """Return the same images with permuted targets."""
        return replace(self, y=self.y[order], codes=self.codes[order])


def with_permuted_pixels(drawn: Drawn, X: pd.DataFrame, seed: int) -> Drawn:
    """Return the images with the genes dealt out anew over the occupied pixels: the same values, no neighbourhood."""
    rng = np.random.default_rng(seed)
    transformer = copy(drawn.transformer)
    transformer.maps_ = tuple(PixelMap(permuted_pixels(one.pixels, rng), one.shape) for one in transformer.maps_)
    return replace(drawn, transformer=transformer, images=transformer.transform(X))


def patient_bootstrap(groups: npt.NDArray[Any], codes: npt.NDArray[np.int64], seed: int) -> Fold:
    """Draw owners with replacement, class by class; learn from the drawn rows, judge the owners left out.

    A draw that holds one owner of a class alone, or leaves nobody out, is drawn again: nothing could be stopped by or
    judged on it.
    """
    rng = np.random.default_rng(seed)
    owners, first = np.unique(groups, return_index=True)
    classes = [owners[codes[first] == code] for code in np.unique(codes[first])]
    spare = any(len(same) > _FEWEST_OWNERS for same in classes)
    while True:
        picked = [rng.choice(same, len(same)) for same in classes]
        drawn = np.concatenate(picked)
        lonely = any(len(np.unique(own)) < min(_FEWEST_OWNERS, len(own)) for own in picked)
        if not lonely and not (spare and np.isin(owners, drawn).all()):
            break
    rows_of = {owner: np.flatnonzero(groups == owner) for owner in owners}
    return Fold(np.concatenate([rows_of[owner] for owner in drawn]), np.flatnonzero(~np.isin(groups, drawn)))


def permuted_order(folds: Sequence[Fold], groups: npt.NDArray[Any], y: npt.NDArray[Any], seed: int) -> Rows:
    """Return row numbers that give every sample the label of another sample of the same test fold.

    Moving labels inside test folds keeps the share of each class in every training part, which a small class needs.
    Owners whose samples have one label move as wholes.
    """
    block = np.zeros(len(y), np.int64)
    for number, fold in enumerate(folds):
        block[fold.test] = number
    _, owner = np.unique(groups, return_inverse=True)
    one_label = all(len(np.unique(y[owner == number])) == 1 for number in np.unique(owner))
    same_size = len(np.unique(np.bincount(owner))) == 1
    rng = np.random.default_rng(seed)
    if not (one_label and same_size) or len(np.unique(owner)) == len(y):
        return permuted(np.arange(len(y)), blocks=block, rng=rng)
    first = np.unique(owner, return_index=True)[1]
    moved = permuted(np.arange(len(first)), blocks=block[first], rng=rng)
    members = np.argsort(owner, kind="stable").reshape(len(first), -1)
    order = np.empty(len(y), np.intp)
    order[members] = members[moved]
    return order


def make_transformer(config: Config, seed: int) -> DeepInsightTransformer:
    """Return the layout that the configuration asks for, not fitted."""
    layout = config.layout
    return DeepInsightTransformer(
        scaling=layout.scaling,
        layout=layout.method,
        metric=layout.metric,
        shape=layout.shape,
        assignment=layout.assignment,
        n_maps=layout.n_maps,
        blur=layout.blur,
        missing=config.data.missing,
        random_state=seed,
    )


def make_estimator(config: Config, task: Task, seed: int, journal: Path | None = None) -> Estimator:
    """Return the classifier or regressor that the configuration asks for, not fitted."""
    network = config.network
    kind = DeepInsightClassifier if task == "classification" else DeepInsightRegressor
    names = (
        "max_epochs",
        "patience",
        "batch_size",
        "learning_rate",
        "weight_decay",
        "mixup",
        "interpolation",
        "noise",
    )
    return kind(
        network=network.name,
        n_members=network.n_members,
        shrink=network.shrink,
        n_pairs=network.n_pairs,
        validation_fraction=network.validation_fraction,
        plan=TrainingPlan(**{name: getattr(network, name) for name in names}),
        tune=network.tune if journal is not None else 0,
        tune_journal=journal,
        device=require_device(config.device),
        precision=config.precision,
        random_state=seed,
    )


def fit_layout(transformer: DeepInsightTransformer, X: pd.DataFrame, rows: Rows, folder: Path) -> Arrays:
    """Fit a layout on ``rows`` alone and write it to ``folder``."""
    fitted = clone(transformer).fit(X.iloc[rows])
    fitted.save(folder)
    return {"shift": fitted.shifts_}


def fit_and_explain(
    estimator: Estimator, drawn: Drawn, fold: Fold, explain: Explain = "means", save_to: Path | None = None
) -> Arrays:
    """Fit on the training rows, then score and explain the rows kept aside.

    Parameters
    ----------
    estimator
        Not fitted; a clone is used.
    drawn
        Images and targets.
    fold
        Rows to learn from and rows to judge.
    explain
        ``"none"``; ``"means"`` for the relevance of the genes summed a class; ``"samples"`` for every sample's too.
    save_to
        Folder for the fitted estimator.

    Returns
    -------
    dict of arrays
        ``scores`` ``(row, output)``; ``sums`` ``(output, gene)`` of the relevance for the rows' own classes, ``counts``
        ``(output,)`` behind them; for ``"samples"`` also ``own`` and ``predicted`` ``(row, gene)``, relevance for the
        own and for the predicted class, and ``gap`` ``(row,)``.
    """
    owners = drawn.groups[fold.train]
    fitted = clone(estimator).fit_images(
        drawn.transformer, drawn.images[fold.train], drawn.y[fold.train], groups=owners
    )
    if save_to is not None:
        fitted.save(save_to)
    images, codes = drawn.images[fold.test], drawn.codes[fold.test]
    found: Arrays = {"scores": fitted.scores_of_images(images)}
    if explain == "none":
        return found
    n_points = None if explain == "samples" else _NULL_POINTS
    own, gap = fitted.relevance_of_images(images, codes, n_points=n_points)
    found |= class_scores(own, drawn.y[fold.test], codes, drawn.n_outputs)
    if explain == "samples":
        said = found["scores"].argmax(1)
        predicted, _ = fitted.relevance_of_images(images, said) if drawn.n_outputs > 1 else (own, gap)
        found |= {"own": own.astype(np.float32), "predicted": predicted.astype(np.float32), "gap": gap}
    return found


def class_scores(
    relevance: npt.NDArray[Any], y: npt.NDArray[Any], codes: npt.NDArray[np.int64], n_outputs: int
) -> Arrays:
    """Add up relevance over the samples of each class; for values, over samples above less those below the mean."""
    if n_outputs == 1:
        side = np.sign(y.astype(np.float64) - y.astype(np.float64).mean())
        return {"sums": (side[:, None] * relevance).sum(0, keepdims=True), "counts": np.array([len(y)])}
    own = np.eye(n_outputs)[codes]
    return {"sums": own.T @ relevance, "counts": own.sum(0)}


def randomised(folder: Path, kind: type[Estimator], drawn: Drawn, fold: Fold, seed: int) -> Arrays:
    """Explain the rows kept aside by copies of the networks that have learned nothing: fresh weights, plain gains.

    Returns ``scores``, ``sums`` and ``counts`` as :func:`fit_and_explain` does.
    """
    fitted = kind.load(folder)
    generator = torch.Generator().manual_seed(derive_seed(seed, "random weights"))
    learning = drawn.images[fold.train]
    plain = pixel_scaling(learning, np.zeros((len(learning), 1), np.float32), shrink=False)
    fitted.members_ = [
        Member(randomised_copy(member.network, generator=generator).eval(), member.description)
        for member in fitted.members_
    ]
    for member in fitted.members_:
        member.scaling.gain.copy_(torch.as_tensor(plain.gain))
    images, codes = drawn.images[fold.test], drawn.codes[fold.test]
    own, _ = fitted.relevance_of_images(images, codes, n_points=_NULL_POINTS)
    found = class_scores(own, drawn.y[fold.test], codes, drawn.n_outputs)
    return {"scores": fitted.scores_of_images(images), **found}


def taken_away(
    folder: Path, kind: type[Estimator], drawn: Drawn, fold: Fold, relevance: npt.NDArray[np.float32], seed: int
) -> Arrays:
    """Replace genes by their training mean, the most relevant first, and watch the score of each sample's own class.

    Genes are replaced in the image, where a gene without company in its pixel is that pixel.
    """
    fitted = kind.load(folder)
    place = tuple(drawn.transformer.pixels_.T)
    own = drawn.images[fold.test]
    values, mean = own[:, 0][:, place[0], place[1]], drawn.images[fold.train, 0].mean(0)[place]

    def score(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        images = own.copy()
        images[:, 0, place[0], place[1]] = rows
        return fitted.scores_of_images(images)[np.arange(len(rows)), drawn.codes[fold.test]].astype(np.float64)

    test = f_classif if drawn.n_outputs > 1 else f_regression
    learning = drawn.images[fold.train, 0][:, place[0], place[1]]
    varying = learning.std(0) > 0
    univariate = np.zeros(learning.shape[1])
    univariate[varying] = test(learning[:, varying], drawn.y[fold.train])[0]
    result = deletion_insertion(
        score, values, relevance, reference=mean, univariate=univariate, n_random=_RANDOM_ORDERS, random_state=seed
    )
    return {
        "fractions": result.fractions,
        "deletion": result.deletion,
        "insertion": result.insertion,
        "random_gaps": result.random_gaps,
        "univariate_gap": np.array(result.univariate_gap),
    }


def joined_scores(parts: Mapping[str, Arrays]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean relevance ``(output, gene)`` over all samples of a class, and the strength of every gene ``(gene,)``.

    A gene's strength is the mean over classes of the absolute mean relevance, so that rare classes count alike.
    """
    total = np.sum([part["sums"] for part in parts.values()], axis=0)
    count = np.sum([part["counts"] for part in parts.values()], axis=0)
    means = total / np.maximum(count, 1)[:, None]
    return means, np.abs(means).mean(0)
