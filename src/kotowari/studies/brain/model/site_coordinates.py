"""Features in as many numbers as a site effect has, and what of them is the site's."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError

__all__ = ["SiteCoordinates"]

FloatArray = npt.NDArray[np.float64]


@dataclass(eq=False)
class SiteCoordinates:
    r"""Weighted projection onto footprints, and the linear model of what is found there.

    .. math:: q = P f, \quad P = (A V^{-1} A^\top)^{-1} A V^{-1}, \quad
        q_{ij} = \alpha + x_{ij} \beta + \theta_i + \varepsilon_{ij}

    Made by :meth:`fitted`; :meth:`learn` then sets the model.

    Parameters
    ----------
    projection
        P, shape ``(coordinate, feature)``.
    level
        :math:`\alpha`, of the reference site with covariates at 0, shape ``(coordinate,)``.
    coef
        :math:`\beta`, shape ``(term, coordinate)``.
    covariance
        Of :math:`\varepsilon`, shape ``(coordinate, coordinate)``.
    n_reference
        Subjects of the reference site.
    """

    projection: FloatArray
    level: FloatArray
    coef: FloatArray
    covariance: FloatArray
    n_reference: int

    @classmethod
    def fitted(
        cls,
        footprints: FloatArray,
        features: npt.NDArray[np.float32],
        is_reference: npt.NDArray[np.bool_],
        terms: FloatArray,
    ) -> Self:
        """Weigh features by their spread at the reference site, covariates taken out, and return the projection.

        Raises
        ------
        DesignError
            When no feature varies there, or a footprint is nothing but others' sum.
        """
        own = features[is_reference].astype(np.float64)
        design = np.column_stack([np.ones(len(own)), terms[is_reference]])
        residuals = own - design @ (np.linalg.pinv(design) @ own)
        variance = (residuals**2).mean(0)
        varies = variance > 1e-6 * variance.max()
        if not varies.any():
            raise DesignError("SiteAdapter: no feature varies between the reference's subjects. Bring more of them.")
        root = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
        flat = footprints.reshape(len(footprints), -1) * root
        if np.linalg.matrix_rank(flat) < len(flat):
            raise DesignError(
                "SiteAdapter: gain, bias and blur leave footprints in the features that cannot be told apart. Lower "
                "bias_degree, or use an encoder with more features."
            )
        # rounded as it is saved, so that a loaded adapter gives the same bytes
        projection = (np.linalg.pinv(flat.T) * root).astype(np.float32).astype(np.float64)
        n_terms = len(footprints)
        return cls(projection, np.zeros(n_terms), np.zeros((terms.shape[1], n_terms)), np.eye(n_terms), 0)

    def learn(
        self,
        features: npt.NDArray[np.float32],
        labels: npt.NDArray[np.str_],
        others: list[str],
        terms: FloatArray,
        reference: str,
    ) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Tell sites from covariates by least squares; return the numbers of the others, and their covariance.

        Raises
        ------
        DesignError
            When a covariate follows from the site, or subjects are too few.
        """
        columns = [np.ones(len(labels)), *(labels == name for name in others)]
        design = np.column_stack([*columns, terms]).astype(np.float64)
        spread = np.abs(design).max(0)
        scaled = design / np.where(spread > 0, spread, 1.0)
        centred = scaled - np.where(np.arange(design.shape[1]) > len(others), scaled.mean(0), 0.0)
        freedom = len(design) - design.shape[1]
        if np.linalg.matrix_rank(centred) < design.shape[1]:
            raise DesignError(
                "SiteAdapter: a covariate cannot be told from the sites or from the others. Drop the one that does not "
                "vary within sites."
            )
        if freedom < 2 * len(self.level):
            raise DesignError(
                f"SiteAdapter: {len(design)} subjects are too few for {len(self.level)} numbers a site beside the "
                "covariates. Lower bias_degree, or bring more subjects."
            )
        values = features.astype(np.float64) @ self.projection.T
        inverse = np.linalg.pinv(design)
        coef = inverse @ values
        residuals = values - design @ coef
        self.level, self.coef = coef[0], coef[1 + len(others) :]
        self.covariance = residuals.T @ residuals / freedom
        self.n_reference = int((labels == reference).sum())
        own_share = (inverse**2).sum(1)
        return {name: (coef[1 + k], self.covariance * own_share[1 + k]) for k, name in enumerate(others)}

    def of_new(self, features: npt.NDArray[np.float32], terms: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return numbers of another site and their covariance, with level and covariates' effects of training."""
        apart = features.astype(np.float64) @ self.projection.T - self.level - terms @ self.coef
        return apart.mean(0), self.covariance * (1 / len(apart) + 1 / self.n_reference)
