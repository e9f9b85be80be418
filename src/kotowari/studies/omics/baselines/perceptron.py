"""A network of one hidden layer on the table itself, as scikit-learn estimators."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from kotowari.core.seeds import derive_seed
from kotowari.training.loop import Loss, train
from kotowari.training.losses import class_weights, squared_error, weighted_cross_entropy
from kotowari.training.plan import TrainingPlan

__all__ = ["PerceptronClassifier", "PerceptronRegressor"]

FloatArray = npt.NDArray[np.float64]

_BATCH = 16  # small, so that tables of a few dozen samples get steps enough


class _Perceptron(BaseEstimator):
    def __init__(self, *, hidden: int = 128, dropout: float = 0.5, max_epochs: int = 50, random_state: int = 0) -> None:
        self.hidden = hidden
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.random_state = random_state

    def _train(self, X: npt.NDArray[np.float32], targets: torch.Tensor, loss: Loss) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.random_state, "weights"))
            self.network_ = nn.Sequential(
                nn.Linear(X.shape[1], self.hidden),
                nn.ReLU(),
                nn.Dropout(self.dropout),
                nn.Linear(self.hidden, targets.shape[1]),
            )
        plan = TrainingPlan(
            max_epochs=self.max_epochs, batch_size=_BATCH, seed=derive_seed(self.random_state, "training")
        )
        rows, none = np.arange(len(X)), np.arange(0)
        train(self.network_, torch.as_tensor(X), targets, train_index=rows, validation_index=none, loss=loss, plan=plan)

    @torch.no_grad()
    def _outputs(self, X: Any) -> torch.Tensor:
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float32, reset=False)
        outputs: torch.Tensor = self.network_(torch.as_tensor(values))
        return outputs


class PerceptronClassifier(ClassifierMixin, _Perceptron):
    """One hidden layer on the table, all epochs run, classes weighted alike.

    Parameters
    ----------
    hidden
        Hidden units, 1 or more.
    dropout
        Share of them left out in training, 0 up to but not including 1.
    max_epochs
        Passes over the training rows, 1 or more. No rows are kept aside for stopping.
    random_state
        Seed.

    Attributes
    ----------
    classes_
        Class labels in order.
    network_
        The trained ``nn.Sequential``, which gives one score a class.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on ``X`` of shape ``(sample, feature)``, standardised, and ``y`` of shape ``(sample,)``."""
        X, y = validate_data(self, X, y, dtype=np.float32)
        self.classes_, codes = np.unique(y, return_inverse=True)
        n_classes = len(self.classes_)
        targets = torch.as_tensor(np.eye(n_classes, dtype=np.float32)[codes])
        self._train(X, targets, weighted_cross_entropy(class_weights(codes, n_classes)))
        return self

    def predict_proba(self, X: Any) -> FloatArray:
        """``(sample, feature) -> (sample, class)``, rows summing to 1."""
        probability: FloatArray = self._outputs(X).double().softmax(1).numpy()
        return probability

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """``(sample, feature) -> (sample,)``, class labels."""
        labels: npt.NDArray[Any] = self.classes_[self.predict_proba(X).argmax(1)]
        return labels


class PerceptronRegressor(RegressorMixin, _Perceptron):
    """One hidden layer on the table, all epochs run; parameters as in :class:`PerceptronClassifier`."""

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on ``X`` of shape ``(sample, feature)`` and ``y`` of shape ``(sample,)``, both standardised."""
        X, y = validate_data(self, X, y, dtype=np.float32, y_numeric=True)
        self._train(X, torch.as_tensor(np.asarray(y, dtype=np.float32)[:, None]), squared_error)
        return self

    def predict(self, X: Any) -> FloatArray:
        """``(sample, feature) -> (sample,)``."""
        values: FloatArray = self._outputs(X)[:, 0].double().numpy()
        return values
