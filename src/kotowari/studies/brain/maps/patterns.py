"""Which voxels go along with a prediction, once covariates are taken out of both."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError
from kotowari.studies.brain.model.autoencoder_input import as_source
from kotowari.studies.brain.model.covariate_design import CovariateDesign
from kotowari.studies.brain.model.regression_scores import HeldOut
from kotowari.studies.brain.model.subjects import Subjects

__all__ = ["Pattern", "centred_by_fold", "covariate_basis", "haufe_pattern"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
_CONSTANT = 1e-10  # share of a variable's sum of squares below which only rounding is left


class Pattern(NamedTuple):
    """How voxels go along with a prediction.

    Attributes
    ----------
    values
        Change of a voxel with one unit of the prediction, shape of the box; 0 outside of the mask.
    correlation
        Partial correlation of voxel and prediction, same shape.
    """

    values: FloatArray
    correlation: FloatArray


def haufe_pattern(X: Any, held_out: HeldOut, *, covariates: Any = None, mask: npt.ArrayLike | None = None) -> Pattern:
    r"""Return the activation pattern of a linear read-out, from predictions of subjects that were kept aside.

    .. math:: a_v = \frac{\mathrm{cov}(x_v, \hat y \mid D)}{\mathrm{var}(\hat y \mid D)}

    In-sample predictions of a regression with more features than subjects equal the target, and their pattern is the
    mass-univariate map in disguise; hence only held-out predictions are taken. They are centred within their fold, and
    averaged where repeated folds give a subject several. Volumes are read one at a time.

    Parameters
    ----------
    X
        Shape ``(subject, *box)``, or a store.
    held_out
        Predictions of rows of ``X``, from :func:`kotowari.studies.brain.model.regression_cv.cross_validated`.
    covariates
        D, regressed out of voxels and predictions: a row for each subject of ``X``; None removes the mean only.
    mask
        Voxels that count; None for the store's, or for all voxels of an array.

    Raises
    ------
    InputError
        When a prediction or voxel is not finite, or a covariate is missing.
    DesignError
        When nothing is left of the prediction, or there are too few subjects.

    Source: Haufe et al. 2014, NeuroImage 87:96-110, eq. 6 and section 2.2. Removal of covariates and centring by fold
    are ours.
    """
    source = as_source(X, mask)
    rows, said = centred_by_fold(held_out)
    basis = covariate_basis(covariates, rows, len(source.subjects))
    left = said - basis @ (basis.T @ said)
    if left @ left <= _CONSTANT * (held_out.prediction @ held_out.prediction) or len(rows) <= basis.shape[1] + 1:
        raise DesignError(
            "haufe_pattern: covariates leave nothing of the prediction, so no voxel can go along with it."
        )
    with_prediction, squares = np.zeros(source.mask.sum()), np.zeros(source.mask.sum())
    with_basis = np.zeros((basis.shape[1], len(squares)))
    for row, own, terms in zip(rows, left, basis, strict=True):
        voxels = source.volumes([int(row)])[0][source.mask].astype(np.float64)
        if not np.isfinite(voxels).all():
            raise InputError(f"{source.subjects[row]}: the volume holds NaN or infinite values in the mask.")
        # the projection that frees the prediction of covariates frees the product, too
        with_prediction += own * voxels
        squares += voxels**2
        with_basis += terms[:, None] * voxels
    spread = squares - (with_basis**2).sum(0)
    varies = spread > _CONSTANT * squares
    size = np.sqrt(np.where(varies, spread, np.inf) * (left @ left))
    values, correlation = np.zeros(source.mask.shape), np.zeros(source.mask.shape)
    values[source.mask] = np.where(varies, with_prediction, 0.0) / (left @ left)
    correlation[source.mask] = with_prediction / size
    return Pattern(values, correlation)


def centred_by_fold(held_out: HeldOut) -> tuple[IndexArray, FloatArray]:
    """Return rows, rising, and the mean of each row's predictions after centring them within their folds."""
    said = np.asarray(held_out.prediction, dtype=np.float64)
    if not np.isfinite(said).all():
        raise InputError(f"haufe_pattern: the prediction of row {held_out.rows[~np.isfinite(said)][0]} is not finite.")
    _, fold = np.unique(held_out.fold, return_inverse=True)
    centred = said - (np.bincount(fold, said) / np.bincount(fold))[fold]
    rows, place = np.unique(held_out.rows, return_inverse=True)
    mean: FloatArray = np.bincount(place, centred) / np.bincount(place)
    return rows, mean


def covariate_basis(covariates: Any, rows: IndexArray, n_subjects: int) -> FloatArray:
    """Return an orthonormal basis of constant and covariates at some rows, shape ``(row, term)``.

    Raises
    ------
    InputError
        When a covariate is missing or not finite.
    ShapeError
        When there is not a row a subject.
    """
    design = np.ones((len(rows), 1))
    if covariates is not None:
        table = Subjects.of(n_subjects, covariates=covariates).rows(rows).covariates
        terms = CovariateDesign().fit(table).transform(table, len(rows))
        spread = terms.std(0)
        design = np.column_stack([design, (terms - terms.mean(0)) / np.where(spread > 0, spread, 1.0)])
    left, sizes, _ = np.linalg.svd(design, full_matrices=False)
    basis: FloatArray = left[:, sizes > 1e-9 * sizes[0]]
    return basis
