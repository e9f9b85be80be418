"""The models that a user would otherwise take, ready for the same folds."""

import warnings
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from kotowari.core.errors import InputError
from kotowari.core.seeds import derive_seed
from kotowari.studies.omics.baselines.perceptron import PerceptronClassifier, PerceptronRegressor
from kotowari.studies.omics.baselines.scores import univariate_scores
from kotowari.trust.folds import grouped_folds

__all__ = ["SettledLogistic", "boosting_library", "comparators"]

Task = Literal["classification", "regression"]
IndexArray = npt.NDArray[np.intp]

_SELECTED = 1000
_INNER_FOLDS = 3
_GRIDS: dict[Task, dict[str, tuple[str, dict[str, list[Any]]]]] = {
    "classification": {
        "logistic L2": ("neg_log_loss", {"model__C": [1e-4, 1e-3, 1e-2, 1e-1, 1.0]}),
        "elastic net": ("neg_log_loss", {"model__C": [0.03, 0.1, 0.3]}),
        "linear SVM": ("balanced_accuracy", {"model__C": [1e-3, 1e-2, 1.0]}),
        "k nearest neighbours": ("balanced_accuracy", {"model__n_neighbors": [3, 5, 7, 15]}),
    },
    "regression": {
        "ridge": ("r2", {"regressor__model__alpha": [1.0, 1e2, 1e3, 1e4]}),
        "elastic net": ("r2", {"regressor__model__alpha": [0.03, 0.1, 0.3]}),
        "linear SVR": ("r2", {"regressor__model__C": [1e-4, 1e-3, 1e-2, 1.0]}),
        "k nearest neighbours": ("r2", {"regressor__model__n_neighbors": [3, 5, 7, 15]}),
    },
}


def comparators(
    task: Task, *, n_features: int, random_state: int, quick: bool = False, tune: bool = False
) -> dict[str, Any]:
    """Return unfitted scikit-learn models by name, each with all that it learns inside.

    Missing values become the mean of the training rows, and every gene is standardised there. Classes weigh alike,
    except for the nearest neighbours, which know no weights. The linear SVM gives margins, which rank samples; it is
    given no probabilities, because a softmax of margins would only look like them.

    Parameters
    ----------
    task
        ``"classification"`` or ``"regression"``.
    n_features
        Genes of the table, 1 or more. The elastic net sees the 1,000 with the largest F of its own training rows, and
        so does scikit-learn's boosting, which would take minutes on all.
    random_state
        Seed of everything that draws.
    quick
        A fifth of the trees and half of the epochs; the linear models stay as they are.
    tune
        Choose the penalty of the linear models, and the neighbours, by 3 inner folds, grouped where ``fit`` is given
        groups. The others keep their settings.

    Raises
    ------
    InputError
        When the task is none of these, or there is no gene.

    Without tuning, logistic L2 has C = 40 / genes (1 at most: the penalty that fits falls with the squared length of a
    sample), the SVM C = 1, the elastic net C = 0.1 with half L1; there are 7 neighbours, 500 trees, 200 rounds of
    boosting (100 in scikit-learn's) and 128 hidden units. This was set once on colorectal tumours and eleven cancers of
    TCGA; if anything, it flatters the comparators there.
    """
    if task not in ("classification", "regression") or n_features < 1:
        raise InputError(
            f"comparators: needs classification or regression of 1 gene or more, got {task}, {n_features}."
        )
    seed = derive_seed(random_state, "comparators")
    make = _classifiers if task == "classification" else _regressors
    models, grids = make(n_features, seed, quick=quick), _GRIDS[task]
    if not tune:
        return models
    return {
        name: GridSearchCV(model, grids[name][1], scoring=grids[name][0], cv=_InnerFolds(task, seed))
        if name in grids
        else model
        for name, model in models.items()
    }


def boosting_library() -> str:
    """Name the library behind ``"gradient boosting"``: LightGBM where it is installed, else scikit-learn."""
    return "LightGBM" if find_spec("lightgbm") else "scikit-learn"


class SettledLogistic(LogisticRegression):
    """Logistic regression that records in ``converged_`` whether its solver settled, where scikit-learn warns."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit on ``X`` of shape ``(sample, feature)`` and ``y`` of shape ``(sample,)``."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y, sample_weight)
        self.converged_ = bool((self.n_iter_ < self.max_iter).all())
        return self


class _InnerFolds:
    """Inner folds of a search over settings, which keep a group on one side."""

    def __init__(self, task: Task, random_state: int) -> None:
        self.task = task
        self.random_state = random_state

    def split(self, X: Any, y: Any, groups: Any = None) -> Iterator[tuple[IndexArray, IndexArray]]:
        """Yield training and test rows."""
        del X
        for fold in grouped_folds(
            y,
            groups=groups,
            n_splits=_INNER_FOLDS,
            continuous=self.task == "regression",
            random_state=self.random_state,
        ):
            yield fold.train, fold.test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Count the folds, as scikit-learn asks."""
        del X, y, groups
        return _INNER_FOLDS


def _classifiers(n_features: int, seed: int, *, quick: bool) -> dict[str, Any]:
    best = SelectKBest(partial(univariate_scores, continuous=False), k=min(_SELECTED, n_features))
    trees = RandomForestClassifier(
        100 if quick else 500, min_samples_leaf=3, class_weight="balanced_subsample", random_state=seed
    )
    return {
        "logistic L2": _scaled(SettledLogistic(C=min(1.0, 40 / n_features), class_weight="balanced", max_iter=2000)),
        "elastic net": _scaled(SettledLogistic(**_elastic_net(seed)), select=best),
        "linear SVM": _scaled(SVC(kernel="linear", C=1.0, class_weight="balanced")),
        "random forest": _scaled(trees),
        "gradient boosting": _boosted("classification", best, seed, quick=quick),
        "k nearest neighbours": _scaled(KNeighborsClassifier(7)),
        "MLP": _scaled(PerceptronClassifier(max_epochs=25 if quick else 50, random_state=seed)),
    }


def _regressors(n_features: int, seed: int, *, quick: bool) -> dict[str, Any]:
    best = SelectKBest(partial(univariate_scores, continuous=True), k=min(_SELECTED, n_features))
    trees = RandomForestRegressor(100 if quick else 500, min_samples_leaf=3, max_features=1 / 3, random_state=seed)
    models = {
        "ridge": _scaled(Ridge(alpha=n_features / 4)),
        "elastic net": _scaled(ElasticNet(alpha=0.1, l1_ratio=0.5, max_iter=20_000), select=best),
        "linear SVR": _scaled(SVR(kernel="linear", C=min(1.0, 4 / n_features))),
        "random forest": _scaled(trees),
        "gradient boosting": _boosted("regression", best, seed, quick=quick),
        "k nearest neighbours": _scaled(KNeighborsRegressor(7)),
        "MLP": _scaled(PerceptronRegressor(max_epochs=25 if quick else 50, random_state=seed)),
    }
    return {name: TransformedTargetRegressor(model, transformer=StandardScaler()) for name, model in models.items()}


def _scaled(model: Any, select: Any = None) -> Pipeline:
    chosen = [] if select is None else [("select", select)]
    imputer = SimpleImputer(keep_empty_features=True)
    return Pipeline([("impute", imputer), ("scale", StandardScaler()), *chosen, ("model", model)])


def _elastic_net(seed: int) -> dict[str, Any]:
    options = {"C": 0.1, "l1_ratio": 0.5, "solver": "saga", "tol": 1e-3, "max_iter": 2000}
    if LogisticRegression().penalty == "l2":  # until scikit-learn 1.8 the mixture had to be asked for by name
        options["penalty"] = "elasticnet"
    return options | {"class_weight": "balanced", "random_state": seed}


def _boosted(task: Task, best: SelectKBest, seed: int, *, quick: bool) -> Pipeline:
    weights: dict[str, Any] = {"class_weight": "balanced"} if task == "classification" else {}
    shared: dict[str, Any] = {"random_state": seed, **weights}
    shape: dict[str, Any]
    if boosting_library() == "LightGBM":
        import lightgbm

        kind = lightgbm.LGBMClassifier if task == "classification" else lightgbm.LGBMRegressor
        shape = {"n_estimators": 40 if quick else 200, "num_leaves": 8, "min_child_samples": 5, "max_bin": 63}
        fixed: dict[str, Any] = {"n_jobs": 1, "deterministic": True, "force_col_wise": True, "verbose": -1}
        return _scaled(kind(colsample_bytree=0.1, **shape, **fixed, **shared))
    own = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    shape = {"max_iter": 20 if quick else 100, "max_leaf_nodes": 8, "min_samples_leaf": 5, "max_bins": 63}
    # it draws up histograms of all genes for every tree, which takes minutes on thousands of them
    return _scaled(own(max_features=0.1, early_stopping=False, **shape, **shared), select=best)
