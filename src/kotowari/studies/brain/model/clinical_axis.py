"""Synthetic brains along a clinical variable: its direction among the features, decoded at both ends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.evidence import Check, Verdict
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.nuisance import NuisanceRegression

__all__ = ["ClinicalAxis", "clinical_axis"]

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]
_SCALES: dict[str, Callable[[FloatArray], FloatArray]] = {"none": np.positive, "log": np.log, "log1p": np.log1p}
_STAMP = "Synthetic: decoded from features; no subject looks like this."
_UNFAITHFUL = "Not faithful: encoded again, less than {threshold:.0%} of the change comes back."


@dataclass(frozen=True, eq=False)
class ClinicalAxis:
    """Two synthetic volumes that differ by a clinical variable, and how far they can be believed.

    Parameters
    ----------
    low, high
        Volumes decoded at the two ends, shape ``(x, y, z)``, 0 outside of the mask; in units of the volumes.
    difference
        ``high - low``.
    low_value, high_value
        What the regression says of the two ends, on the scale on which it learned.
    direction
        Change of the features with one unit of the score, shape ``(feature,)``.
    returned
        Share of the wanted change of the prediction that is there when the decoded volumes are encoded again; 1 is all.
    outside
        Share of the varying features that an end takes beyond what any subject of the fit has.
    decoder_error, mean_brain_error
        Mean absolute error of the decoder on its training subjects, and that of the mean brain, in units of the
        volumes.
    check
        Whether enough of the change returned.
    stamp
        What must stand beside every picture of these volumes.
    """

    low: Volume
    high: Volume
    difference: Volume
    low_value: float
    high_value: float
    direction: FloatArray
    returned: float
    outside: float
    decoder_error: float
    mean_brain_error: float
    check: Check
    stamp: str

    @property
    def faithful(self) -> bool:
        """Whether enough of the change returned."""
        return self.check.verdict is Verdict.PASS


def clinical_axis(
    encoder: Any,
    regression: LatentRegression,
    features: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    score: npt.ArrayLike | None = None,
    covariates: Any = None,
    shares: tuple[float, float] = (0.1, 0.9),
    threshold: float = 0.5,
) -> ClinicalAxis:
    r"""Decode both ends of the direction along which features go with a predicted target.

    .. math::
        a = \frac{\mathrm{cov}(z, \hat y \mid D)}{\mathrm{var}(\hat y \mid D)}, \quad
        z_\pm = \bar z + a\, \frac{q_\pm - \hat y(\bar z)}{w^\top a}

    with features z, score :math:`\hat y`, covariates D, weights w of the regression and quantiles :math:`q_\pm` of the
    target. The weights themselves are no direction: they also hold what cancels noise. The ends lie where the
    regression predicts the quantiles, which may be further out than any subject, since ridge shrinks; ``outside``
    tells. A decoder smooths: the difference shows what the decoder can draw of it, not its fine detail.

    Parameters
    ----------
    encoder
        Fitted :class:`ConvolutionalAutoencoder`.
    regression
        Fitted :class:`LatentRegression` of one number, on this encoder's features.
    features
        Of the subjects the regression learned from, after harmonising if there was any, ``(subject, feature)``.
    target
        Its values in them, shape ``(subject,)``.
    score
        Out-of-fold prediction of each of them, centred within its fold
        (:func:`kotowari.studies.brain.maps.patterns.centred_by_fold`); None takes the fitted score, which with more
        features than subjects leans towards the mass-univariate pattern.
    covariates
        D, a row each, as in the regression; None removes the mean only.
    shares
        Quantiles of the target at the two ends, rising, above 0 and below 1.
    threshold
        Least share of the change that must return, above 0.

    Raises
    ------
    InputError
        When an option is out of range, or a value is not finite.
    ShapeError
        When features, target and score do not fit.
    DesignError
        When the target or the score does not vary, or the direction does not raise the prediction.

    Source: Haufe et al. 2014, NeuroImage 87:96-110, eq. 6, for the direction. Scaling by quantiles and the check of
    what returns are ours.
    """
    check_is_fitted(regression)
    if not 0 < shares[0] < shares[1] < 1 or threshold <= 0:
        raise InputError(f"clinical_axis: shares must rise within 0 and 1, threshold lie above 0; got {shares}.")
    if regression.target != "number":
        raise InputError(f"clinical_axis: needs a regression of one number, got a target of kind {regression.target}.")
    values, truth = _checked(encoder, regression, features, target)
    direction = _direction(values, _score(values, regression, score), covariates)
    weights = regression.coef_
    gain = float(weights @ direction)
    if gain <= 0:
        raise DesignError(
            "clinical_axis: going along with the score does not raise the prediction, so there is no axis to decode. "
            "The score holds no signal, or belongs to other subjects."
        )
    wanted = np.quantile(_SCALES[regression.target_transform](truth), shares)
    if wanted[1] <= wanted[0]:
        raise DesignError(f"clinical_axis: {regression.name} does not vary between the quantiles {shares}.")
    middle = values.mean(0)
    ends = middle + (wanted - regression.intercept_)[:, None] / gain * direction
    low, high = encoder.inverse_transform(ends.astype(np.float32))
    back = np.asarray(encoder.transform(np.stack([low, high])), dtype=np.float64)
    returned = float(weights @ (back[1] - back[0]) / (wanted[1] - wanted[0]))
    check = Check.at_least(
        "synthetic volumes, encoded again",
        returned,
        threshold,
        f"{100 * returned:.0f} % of the wanted change of {regression.name} is there when the decoded volumes are "
        "encoded again.",
    )
    failed = check.verdict is Verdict.FAIL
    return ClinicalAxis(
        low=low,
        high=high,
        difference=high - low,
        low_value=float(wanted[0]),
        high_value=float(wanted[1]),
        direction=direction,
        returned=returned,
        outside=_outside(ends, values),
        decoder_error=float(np.mean(encoder.mae_)),
        mean_brain_error=float(encoder.mean_brain_mae_),
        check=check,
        stamp=_STAMP + (f" {_UNFAITHFUL.format(threshold=threshold)}" if failed else ""),
    )


def _direction(values: FloatArray, score: FloatArray, covariates: Any) -> FloatArray:
    apart, said = values - values.mean(0), score - score.mean()
    if covariates is not None:
        said = NuisanceRegression().fit(said[:, None], covariates).transform(said[:, None], covariates)[:, 0]
        said = said - said.mean()
    size = float(said @ said)
    if size <= 1e-10 * float(score @ score) or size == 0:
        raise DesignError(
            "clinical_axis: the score does not vary beside the covariates, so nothing goes along with it."
        )
    # what the projection has taken out of the score, its product with the features does not see either
    found: FloatArray = said @ apart / size
    return found


def _score(values: FloatArray, regression: LatentRegression, score: npt.ArrayLike | None) -> FloatArray:
    if score is None:
        fitted: FloatArray = values @ regression.coef_
        return fitted
    given = np.asarray(score, dtype=np.float64)
    if given.shape != (len(values),):
        raise ShapeError.mismatch("clinical_axis", "score", (len(values),), given.shape)
    if not np.isfinite(given).all():
        raise InputError(f"clinical_axis: the score of row {int((~np.isfinite(given)).argmax())} is not finite.")
    return given


def _checked(
    encoder: Any, regression: LatentRegression, features: npt.ArrayLike, target: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    values, truth = np.asarray(features, dtype=np.float64), np.asarray(target, dtype=np.float64)
    n_features = int(np.prod(encoder.feature_shape_))
    if values.ndim != 2 or values.shape[1] != n_features:
        raise ShapeError.mismatch("clinical_axis", "features", ("subject", n_features), values.shape)
    if truth.shape != (len(values),):
        raise ShapeError.mismatch("clinical_axis", "target", (len(values),), truth.shape)
    if regression.coef_.shape != (n_features,):
        raise ShapeError.mismatch("clinical_axis", "the regression's weights", (n_features,), regression.coef_.shape)
    if not (np.isfinite(values).all() and np.isfinite(truth).all()):
        raise InputError("clinical_axis: features and target must be finite. Leave out subjects without a value.")
    return values, truth


def _outside(ends: FloatArray, values: FloatArray) -> float:
    lowest, highest = values.min(0), values.max(0)
    varies = highest > lowest
    beyond = ((ends < lowest) | (ends > highest)).any(0)
    return float(beyond[varies].mean())
