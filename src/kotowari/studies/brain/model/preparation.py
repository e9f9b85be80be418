"""From volumes or tables to coordinates, all of it learned from the training rows and none of it from a target."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from kotowari.core.errors import InputError
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.coordinates import GramCoordinates
from kotowari.studies.brain.model.nuisance import NuisanceRegression
from kotowari.studies.brain.model.subjects import Subjects

__all__ = ["Preparation"]

FloatArray = npt.NDArray[np.float64]


class Preparation:
    """Features, harmonised, freed of covariates, scaled, and turned onto their axes: in this order.

    Parameters
    ----------
    features
        Unfitted transformer from what is measured to ``(subject, feature)``; None takes features as they come.
    harmoniser
        Unfitted :class:`ComBat`, which preserves the covariates; None leaves sites as they are.
    residualise
        Regress the covariates out of the features.
    scale
        Bring every feature to unit variance.

    Attributes
    ----------
    axes
        :class:`GramCoordinates` of the training rows; None after :meth:`forget`.
    centre, deviation
        What prepared features are moved and divided by, shape ``(feature,)``.
    """

    def __init__(self, features: Any, harmoniser: ComBat | None, *, residualise: bool, scale: bool) -> None:
        self.features = None if features is None else clone(features)
        self.harmoniser: ComBat | None = None if harmoniser is None else clone(harmoniser)
        self.residualise, self.scale = residualise, scale
        self.nuisance: NuisanceRegression | None = None
        self.axes: GramCoordinates | None = None

    def fit(self, X: Any, subjects: Subjects) -> FloatArray:
        """Learn from the training rows and return their coordinates, ``(subject, coordinate)``.

        Raises
        ------
        InputError
            When features are not finite, or harmonising lacks sites.
        DesignError
            When the design allows no harmonising, or too many covariates are to be removed.
        """
        if self.features is not None:
            self.features.fit(X)
        values = self._measured(X)
        if self.harmoniser is not None:
            values = self.harmoniser.fit_transform(values, self._sites(subjects), subjects.covariates)
        if self.residualise and subjects.covariates is not None:
            self.nuisance = NuisanceRegression().fit(values, subjects.covariates)
            values = self.nuisance.transform(values, subjects.covariates)
        self.centre: FloatArray = values.mean(0)
        deviation = values.std(0) if self.scale else np.ones(values.shape[1])
        # what rounding leaves of a constant feature must not be blown up
        varies = deviation > 1e-10 * (np.abs(self.centre) + np.finfo(np.float64).tiny)
        self.deviation: FloatArray = np.where(varies, deviation, np.inf)
        self.axes = GramCoordinates().fit((values - self.centre) / self.deviation)
        return self.axes.coordinates

    def transform(self, X: Any, subjects: Subjects) -> FloatArray:
        """Return prepared features of other rows, ``(subject, feature)``."""
        values = self._measured(X)
        if self.harmoniser is not None:
            values = self.harmoniser.transform(values, self._sites(subjects), subjects.covariates)
        if self.nuisance is not None:
            if subjects.covariates is None:
                raise InputError("The model was fitted with covariates. Give them for these subjects too.")
            values = self.nuisance.transform(values, subjects.covariates)
        return (values - self.centre) / self.deviation

    def adapt(self, X: Any, site: str, subjects: Subjects) -> None:
        """Learn a new site's shift and spread from some of its rows; see :meth:`ComBat.adapt`."""
        if self.harmoniser is None:
            raise InputError("There is no harmonising to adapt. Give the model a harmoniser.")
        self.harmoniser.adapt(self._measured(X), site, subjects.covariates)

    def forget(self) -> Self:
        """Drop the training rows, which prediction does not need."""
        self.axes = None
        return self

    def _measured(self, X: Any) -> FloatArray:
        values = X if self.features is None else self.features.transform(X)
        values = np.asarray(values, dtype=np.float64)
        values = values.reshape(len(values), -1)
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise InputError(f"Feature {column} of row {row} is NaN or infinite. Leave the subject out, or fill it in.")
        return values

    @staticmethod
    def _sites(subjects: Subjects) -> npt.NDArray[np.str_]:
        if subjects.sites is None:
            raise InputError("Harmonising needs the site of every subject. Give sites, or leave the harmoniser out.")
        return subjects.sites
