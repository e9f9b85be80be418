"""Prediction from networks by projections that keep the data: numbers, classes and survival times (TRIP)."""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.genenet.model.trip.base import TensorReconstruction
from kotowari.studies.genenet.model.trip.responses import ClassResponse, NumberResponse, Response, SurvivalResponse
from kotowari.trust.scores import concordance

__all__ = ["TensorReconstructionClassifier", "TensorReconstructionCox", "TensorReconstructionRegressor"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]


class TensorReconstructionRegressor(RegressorMixin, TensorReconstruction):
    r"""Predict a number from one network a sample, and say which edges did it.

    .. math:: \min_{C, \theta} \frac1n \sum_i l(y_i, f(\bar X_i; \theta)) + \lambda R(C) + \tfrac\eta2 |\theta|^2,
        \quad \bar X_i = X_i \times_1 C_1' \dots \times_K C_K', \quad C_k'C_k = I

    with :math:`R(C) = 1 - \sum |\bar X_i|^2 / \sum |X_i|^2`, the share of the data that the projections lose. Where
    nothing is held out, large :math:`\lambda` gives the subspaces of HOOI, and 0 a supervised multilinear projection; a
    hold-out stops by the prediction loss alone, and a large :math:`\lambda` may then change little. Networks are
    centred by the training mean and divided by one standard deviation; the target is standardised.

    Several models are fitted, each with another part of the samples held out for stopping, and their scores averaged.
    A model is the best, on its held-out samples, of several starts. Results do not depend on the number of threads.

    Parameters
    ----------
    core_shape
        Columns :math:`J_k` of the projections: one number for all modes, or one a mode.
    head
        f: ``"linear"``, or ``"perceptron"``: a layer of tanh units beside the linear map.
    n_hidden
        Units of the perceptron.
    reconstruction_weight
        :math:`\lambda`, 0 or more, per variance of the target (numbers) or nats (classes, survival).
    head_weight
        :math:`\eta`, 0 or more.
    starts
        Any of ``"hosvd"``, ``"pls"``, ``"kernel"``, ``"random"``; a repeated ``"random"`` is drawn anew.
    retraction
        ``"free"`` moves free matrices whose thin QR gives the projections, by Adam; ``"qr"``, ``"polar"`` and
        ``"cayley"`` move along the manifold.
    step
        Step size of Adam, above 0; falls to 0 as a half cosine while projections and head are trained together.
    head_steps, max_steps
        Most steps for the head alone, and then for both together.
    patience
        Steps without a smaller held-out loss after which a training ends.
    validation_fraction
        Share held out by each model, 0 to 0.5, rounded to one over a whole number; 0 takes all steps, unwatched.
    n_members
        Models, 1 or more.
    dtype
        ``"float32"`` or ``"float64"`` while fitting; predictions and explanations are in float64.
    device
        Where models are fitted: ``"cpu"`` or ``"cuda"``; predictions and explanations are made on the CPU.
    random_state
        Seed, 0 or more; a RandomState; or None.

    Attributes
    ----------
    members_
        The fitted models, each with ``projections``, ``head``, ``loss``, ``start`` and ``n_steps``.
    projections_
        Those of the member with the smallest held-out loss: float64 arrays of shape ``(I, J)``, orthonormal columns, in
        the gauge of the HOSVD. Compare fits by :func:`~kotowari.studies.genenet.model.trip.stiefel.subspace_agreement`.
    loss_
        Mean held-out loss of the members: of the standardised target, in nats, or per event.
    frame_
        Shape, mean and scale of the training networks.

    Notes
    -----
    scikit-learn's ``check_estimator`` feeds tables; a network has two modes or more beside the samples, and tables are
    refused. Its checks that do not depend on that are mirrored in the tests.

    Source: Maruhashi et al. 2020, arXiv 2007.03912, and Park et al. 2020, PLoS ONE 15:e0241508 (model and purpose). The
    objective is our reconstruction: it follows "maximise accuracy while retaining as much of the data as possible", but
    the published weighing of the two terms is not known to us. Ours as well: the kernel start, training the head before
    the projections move, the ensemble, and the choice of the start on held-out samples.
    """

    _fitted_names: ClassVar[tuple[str, ...]] = ("target_mean_", "target_sd_")

    def predict(self, X: Any) -> FloatArray:
        """``(sample, I1, .., IK) -> (sample,)``, in units of the target."""
        return self.scores(X)[:, 0]

    def _response(self, y: Any, like: torch.Tensor) -> tuple[Response, Array, bool]:
        column = _finite_column(y)
        self.target_mean_, self.target_sd_ = float(column.mean()), float(column.std())
        if not self.target_sd_ > 0:
            raise DesignError("y: all samples have the same value, so there is nothing to predict.")
        standard = (column - self.target_mean_) / self.target_sd_
        return NumberResponse(torch.as_tensor(standard).to(like)), column, True

    def _unit(self) -> float:
        return self.target_sd_

    def _offset(self) -> float:
        return self.target_mean_


class TensorReconstructionClassifier(ClassifierMixin, TensorReconstruction):
    """Predict a class from one network a sample, by cross-entropy, and say which edges did it.

    Model, source, parameters and attributes are those of :class:`TensorReconstructionRegressor`, and

    Attributes
    ----------
    classes_
        Labels in the order of the scores. Two classes have one score, the log odds of the second.
    """

    _fitted_names: ClassVar[tuple[str, ...]] = ("classes_",)

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the class shares of the mean score, ``(sample, I1, .., IK) -> (sample, class)``; not calibrated."""
        scores = self.scores(X)
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], 1)
        shifted = np.exp(scores - scores.max(1, keepdims=True))
        shares: FloatArray = shifted / shifted.sum(1, keepdims=True)
        return shares

    def decision_function(self, X: Any) -> FloatArray:
        """Return the log odds of the second class, shape ``(sample,)``, or one score a class."""
        scores = self.scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> Array:
        """Return the class of the largest share, ``(sample, I1, .., IK) -> (sample,)``."""
        predicted: Array = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[predicted])

    def _response(self, y: Any, like: torch.Tensor) -> tuple[Response, Array, bool]:
        column = column_or_1d(y, warn=True)
        if column.dtype.kind == "f":
            _finite_column(column)
        check_classification_targets(column)
        self.classes_, codes = np.unique(column, return_inverse=True)
        if len(self.classes_) < 2:
            raise DesignError(f"y holds the one class '{column[0]}'; a classifier needs two classes or more.")
        response = ClassResponse(torch.as_tensor(codes, device=like.device), len(self.classes_), like=like)
        return response, codes, False

    def _output_weights(self, output: Any) -> FloatArray:
        if len(self.classes_) == 2:
            return super()._output_weights(output)
        chosen = np.flatnonzero(self.classes_ == output)
        if len(chosen) != 1:
            raise InputError(f"output={output!r}: give one of the classes {', '.join(map(str, self.classes_))}.")
        weights: FloatArray = np.eye(len(self.classes_))[chosen[0]]
        return weights


class TensorReconstructionCox(TensorReconstruction):
    """Predict the log hazard ratio from one network a sample, by Cox's partial likelihood, and say which edges did it.

    ``y`` has two columns: the time (0 or more) and 1 where the event was seen, 0 where observation ended before it.
    Model, source, parameters and attributes are those of :class:`TensorReconstructionRegressor`.
    """

    def predict(self, X: Any) -> FloatArray:
        """Return log hazard ratios up to a constant, ``(sample, I1, .., IK) -> (sample,)``; higher is earlier."""
        return self.scores(X)[:, 0]

    def score(self, X: Any, y: Any) -> float:
        """Return Harrell's concordance index of the predictions, 0 to 1, chance 0.5."""
        return concordance(np.column_stack(_survival_columns(y)), self.predict(X))

    def _response(self, y: Any, like: torch.Tensor) -> tuple[Response, Array, bool]:
        time, event = _survival_columns(y)
        if event.sum() < 2:
            raise DesignError(f"y: {int(event.sum())} events were seen; Cox's model needs two or more.")
        response = SurvivalResponse(torch.as_tensor(time).to(like), torch.as_tensor(event).to(like))
        # folds need both kinds on every side only where both exist
        strata = event.astype(np.int64) if 0 < event.mean() < 1 else time
        return response, strata, bool(event.mean() == 1)


def _finite_column(y: Any) -> FloatArray:
    try:
        column: FloatArray = column_or_1d(y, warn=True).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"y must be one number a sample ({error}).") from error
    unsound = np.flatnonzero(~np.isfinite(column))
    if len(unsound):
        raise InputError(f"y: row {unsound[0]} is NaN or infinite. Leave the sample out or give its value.")
    return column


def _survival_columns(y: Any) -> tuple[FloatArray, FloatArray]:
    table = np.asarray(y)
    if table.ndim != 2 or table.shape[1] != 2 or table.dtype.kind not in "biuf":
        raise ShapeError(f"y must have two numeric columns, time and event, got shape {table.shape}.")
    time, event = table.astype(np.float64).T
    unsound = np.flatnonzero(~(np.isfinite(time) & (time >= 0) & np.isin(event, (0, 1))))
    if len(unsound):
        raise InputError(
            f"y: row {unsound[0]} needs a time of 0 or more and an event of 0 or 1, got {table[unsound[0]]}."
        )
    return time, event
