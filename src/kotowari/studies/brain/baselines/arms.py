"""The rows that stand beside every figure, ready for the same folds."""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from kotowari.studies.brain.baselines.average_pooling import AveragePooling
from kotowari.studies.brain.baselines.principal_components import PrincipalComponents
from kotowari.studies.brain.baselines.smoothed_voxels import SmoothedVoxels
from kotowari.studies.brain.model.covariate_design import CovariateDesign
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import Arm

__all__ = ["COVARIATES_ONLY", "covariates_arm", "table_arms", "volume_arms"]

COVARIATES_ONLY = "covariates only"


def covariates_arm(model: LatentRegression, covariates: pd.DataFrame) -> Arm:
    """Return ridge on the covariates alone (age, sex, total volume): what is to be had without any brain.

    Parameters
    ----------
    model
        Whose options are taken; it harmonises nothing and removes nothing here.
    covariates
        A row a subject. Where the target is among them, leave it out.
    """
    alone = clone(model).set_params(features=CovariateDesign(), harmoniser=None, nuisance="none", method="ridge")
    return Arm(alone, covariates, "comparator")


def table_arms(model: LatentRegression, X: Any, covariates: pd.DataFrame | None = None) -> dict[str, Arm]:
    """Return the baselines of a table of regions: all features, their components, covariates only.

    Parameters
    ----------
    model
        Its harmonising, nuisances and choice of penalty are taken by all.
    X
        Shape ``(subject, region)``.
    covariates
        A row a subject; None leaves that row out.
    """
    components = clone(model).set_params(features=PrincipalComponents(), scale=False)
    arms = {"regions": Arm(model, X, "comparator"), "components of regions": Arm(components, X, "comparator")}
    if covariates is not None:
        arms[COVARIATES_ONLY] = covariates_arm(model, covariates)
    return arms


def volume_arms(
    model: LatentRegression,
    volumes: Any,
    covariates: pd.DataFrame | None = None,
    *,
    mask: npt.ArrayLike | None = None,
    voxel_mm: float | tuple[float, float, float],
    n_blocks: Sequence[int] = (1, 2, 3),
    smoothing_mm: Sequence[float] = (0.0, 8.0, 12.0),
) -> dict[str, Arm]:
    """Return the baselines of volumes: pooling by powers of two, smoothed voxels, all components, covariates only.

    Pooling and smoothing look at one volume at a time and learn nothing, so they are done once, here; components are
    found inside each fold.

    Parameters
    ----------
    model
        Its harmonising, nuisances and choice of penalty are taken by all.
    volumes
        Shape ``(subject, x, y, z)``, indexed by row.
    covariates
        A row a subject; None leaves that row out.
    mask, voxel_mm
        As in :class:`SmoothedVoxels`.
    n_blocks
        Depths of the encoders that pooling stands against.
    smoothing_mm
        Full widths at half maximum.
    """
    arms: dict[str, Arm] = {}
    for depth in n_blocks:
        pooled = AveragePooling(depth, mask=mask).fit(volumes[:1]).transform(volumes)
        arms[f"average pooling by {1 << depth}"] = Arm(model, pooled, "trivial null")
    for width in smoothing_mm:
        smoothed = SmoothedVoxels(width, voxel_mm=voxel_mm, mask=mask).fit(volumes[:1]).transform(volumes)
        arms[f"voxels, {width:g} mm"] = Arm(model, smoothed, "comparator")
    plain = SmoothedVoxels(0.0, voxel_mm=voxel_mm, mask=mask).fit(volumes[:1]).transform(volumes)
    components = clone(model).set_params(features=PrincipalComponents(), scale=False)
    arms["principal components, n - 1"] = Arm(components, plain, "comparator")
    if covariates is not None:
        arms[COVARIATES_ONLY] = covariates_arm(model, covariates)
    return arms
