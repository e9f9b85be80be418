"""What a user would otherwise predict with: splines of the modulator, ridge on genes, models on edges."""

import warnings
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import KernelPCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import InputError
from kotowari.studies.genenet.baselines.cox_ridge import CoxRidge
from kotowari.studies.genenet.baselines.deviance_components import DevianceComponents
from kotowari.studies.genenet.baselines.modulator_spline import ModulatorSpline
from kotowari.studies.genenet.config import ResponseKind

__all__ = ["edge_comparators", "ridge_predictor", "spline_predictor"]


_COMPONENTS, _HIDDEN, _EPOCHS, _SHRINKAGE = 8, 16, 500, 1e-2
_INNER_FOLDS = 5
_PENALTIES = np.logspace(-4, 6, 21)


def edge_comparators(task: ResponseKind, *, random_state: int) -> dict[str, Any]:
    """Return unfitted models by name, each with scaling and choice of penalties inside.

    Ridge and a Gaussian kernel machine on the edges, penalties chosen by inner cross-validation; and a small
    perceptron on partial least squares components. For survival all three are Cox's model with a ridge penalty: on the
    edges, on all components of a Gaussian kernel, and on partial least squares components of deviance residuals. They
    are fitted with groups, the owners of samples, which the inner folds do not tear apart.

    Parameters
    ----------
    task
        What the response is.
    random_state
        Seed of the perceptron's weights, and of the inner folds for survival.

    Raises
    ------
    InputError
        When the task is unknown.
    """
    _require_task(task)
    if task == "survival":
        components = Pipeline([("scale", StandardScaler()), ("kernel", KernelPCA(kernel="rbf"))])
        return {
            "Cox ridge on edges": CoxRidge(random_state=random_state),
            # the components keep their lengths, so that the penalty is that of a kernel machine
            "Cox, Gaussian kernel on edges": CoxRidge(components, scale=False, random_state=random_state),
            "PLS + Cox on edges": CoxRidge(DevianceComponents(_COMPONENTS), random_state=random_state),
        }
    kernel: Any = KernelRidge(kernel="rbf")
    inner: Any = GroupKFold(_INNER_FOLDS)
    grid: dict[str, list[float]] = {"model__alpha": [1e-2, 1e-1, 1.0, 10.0]}
    if task == "classification":
        inner = StratifiedGroupKFold(_INNER_FOLDS)
        kernel, grid = SVC(kernel="rbf", class_weight="balanced"), {"model__C": [0.1, 1.0, 10.0, 100.0]}
    machine = Pipeline([("scale", StandardScaler()), ("model", kernel)])
    perceptron = _ComponentClassifier if task == "classification" else _ComponentRegressor
    return {
        "ridge on edges": ridge_predictor(task),
        "Gaussian kernel on edges": GridSearchCV(machine, grid, cv=inner),
        "PLS + perceptron on edges": perceptron(random_state=random_state),
    }


def spline_predictor(task: ResponseKind = "regression", *, n_knots: int = 8) -> Any:
    """Return ridge on splines of the modulator, unfitted: what is there to be had without any gene.

    Fits on ``(sample, modulator)``. Knots lie at the quantiles of the training rows; several modulators are multiplied
    with each other too. Outside their range the prediction stays as it is at their end. The penalty is chosen within
    the training rows: by leave-one-out, and of Cox's model, for survival, by its cross-validated partial likelihood.
    """
    spline = ModulatorSpline(n_knots=n_knots, beyond="constant")
    return CoxRidge(spline) if task == "survival" else Pipeline([("spline", spline), *_ridge(task)])


def ridge_predictor(task: ResponseKind = "regression") -> Any:
    """Return ridge on standardised genes, unfitted; the penalty is chosen as in :func:`spline_predictor`."""
    return CoxRidge() if task == "survival" else Pipeline(_ridge(task))


def _ridge(task: ResponseKind) -> list[tuple[str, Any]]:
    _require_task(task)
    model = RidgeClassifierCV if task == "classification" else RidgeCV
    return [("scale", StandardScaler()), ("ridge", model(alphas=_PENALTIES))]


def _require_task(task: str) -> None:
    if task not in get_args(ResponseKind):
        raise InputError(f"The task must be one of {', '.join(get_args(ResponseKind))}, got {task}.")


class _Components(BaseEstimator):
    """A perceptron on partial least squares components of standardised edges."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def _fit(self, X: npt.ArrayLike, targets: npt.NDArray[np.float64]) -> None:
        edges = np.asarray(X, dtype=np.float64)
        self._scaler = StandardScaler().fit(edges)
        scaled = self._scaler.transform(edges)
        n_components = min(_COMPONENTS, len(edges) - 1, edges.shape[1])
        self._pls = PLSRegression(n_components, scale=False).fit(scaled, targets)
        self._unit = StandardScaler().fit(self._pls.transform(scaled))
        seed = self.random_state
        self._net = MLPRegressor(
            hidden_layer_sizes=_HIDDEN,
            activation="tanh",
            alpha=_SHRINKAGE,
            solver="lbfgs",
            max_iter=_EPOCHS,
            random_state=seed,
        )
        inputs = self._unit.transform(self._pls.transform(scaled))
        with warnings.catch_warnings():
            # the limit of steps is part of the recipe: networks that are trained to the end fit noise
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._net.fit(inputs, targets[:, 0] if targets.shape[1] == 1 else targets)
        self.n_features_in_ = edges.shape[1]

    def _outputs(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        check_is_fitted(self, "n_features_in_")
        scaled = self._scaler.transform(np.asarray(X, dtype=np.float64))
        said = np.asarray(self._net.predict(self._unit.transform(self._pls.transform(scaled))))
        return said.reshape(len(scaled), -1)


class _ComponentRegressor(RegressorMixin, _Components):
    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        values = np.asarray(y, dtype=np.float64)
        self._mean, self._sd = values.mean(), values.std() or 1.0
        self._fit(X, ((values - self._mean) / self._sd)[:, None])
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.asarray(self._mean + self._sd * self._outputs(X)[:, 0])


class _ComponentClassifier(ClassifierMixin, _Components):
    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        self._fit(X, np.eye(len(self.classes_))[codes])
        return self

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        said = self._outputs(X)
        return np.asarray(said[:, 1] - said[:, 0]) if said.shape[1] == 2 else said

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        return np.asarray(self.classes_[self._outputs(X).argmax(1)])
