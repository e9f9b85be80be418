"""The regressions behind the controls of a map: of shuffled targets, and of an untrained encoder."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from kotowari.core.errors import InputError
from kotowari.studies.brain.maps.brain_score import BrainScore
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import model_for
from kotowari.studies.brain.model.regression_permutation import Scheme, permuted_outcomes
from kotowari.studies.brain.model.regression_targets import Target
from kotowari.studies.brain.model.subjects import Subjects

__all__ = ["fitted_regression", "shuffled_regressions", "untrained_score"]

FloatArray = npt.NDArray[np.float64]


def fitted_regression(
    model: LatentRegression, features: npt.NDArray[Any], target: Target, subjects: Subjects
) -> LatentRegression:
    """Fit a fresh copy of a regression on the subjects that count.

    Parameters
    ----------
    model
        Fitted or not; left as it was.
    features
        Of all rows of the table, ``(subject, feature)``.
    target, subjects
        What is learned, and what is known of all rows beside.
    """
    (fitted,) = _fitted(model, features, target, [target.values], subjects)
    return fitted


def shuffled_regressions(
    model: LatentRegression,
    features: npt.NDArray[Any],
    target: Target,
    subjects: Subjects,
    *,
    n_draws: int = 20,
    blocks: npt.ArrayLike | None = None,
    scheme: Scheme = "residuals",
    random_state: int,
) -> list[LatentRegression]:
    """Refit a regression on shuffled targets, the choice of the penalty included; the encoder has seen no target.

    Parameters
    ----------
    model, features, target, subjects
        As in :func:`fitted_regression`.
    n_draws
        20 just reach p = 0.05.
    blocks, scheme, random_state
        As in :func:`kotowari.studies.brain.model.regression_permutation.permutation_test`.
    """
    if n_draws < 1:
        raise InputError(f"shuffled_regressions: n_draws must be 1 or more, got {n_draws}.")
    outcomes: Sequence[FloatArray] = permuted_outcomes(
        target, range(1, n_draws + 1), subjects, blocks=blocks, scheme=scheme, random_state=random_state
    )
    return _fitted(model, features, target, outcomes, subjects)


def untrained_score(
    encoder: ConvolutionalAutoencoder, model: LatentRegression, X: Any, target: Target, subjects: Subjects
) -> BrainScore:
    """Fit the same regression on the features of the encoder as it was before training, and return what it explains.

    Parameters
    ----------
    encoder
        Fitted.
    model, target, subjects
        As in :func:`fitted_regression`.
    X
        Volumes of all rows of the table, as the encoder takes them; those that count are read.
    """
    untrained = encoder.untrained()
    there = untrained.transform(X, rows=target.rows)
    features = np.zeros((len(target.values), there.shape[1]), np.float32)
    features[target.rows] = there
    return BrainScore(untrained, [fitted_regression(model, features, target, subjects)])


def _fitted(
    model: LatentRegression,
    features: npt.NDArray[Any],
    target: Target,
    outcomes: Sequence[FloatArray],
    subjects: Subjects,
) -> list[LatentRegression]:
    rows, there = target.rows, subjects.rows(target.rows)
    fresh: LatentRegression = model_for(clone(model).set_params(features=None), target)
    own = [values[rows] for values in outcomes]
    return fresh.fit_each(features[rows], own, sites=there.sites, covariates=there.covariates, groups=there.groups)
