"""Ridge over a whole grid of penalties from one decomposition, with exact errors of rows left out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError

__all__ = ["RidgeFit", "RidgePath"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class RidgeFit:
    """Ridge of several targets, each with the penalty that fits it.

    Parameters
    ----------
    coef
        Shape ``(coordinate, target)``.
    intercept, weight
        Intercept and penalty, shape ``(target,)``.
    error
        Mean squared error of left-out rows (or the criterion) by penalty, shape ``(weight, target)``.
    """

    coef: FloatArray
    intercept: FloatArray
    weight: FloatArray
    error: FloatArray


class RidgePath:
    r"""Ridge with an intercept for many penalties and targets.

    .. math:: \min_{b, \beta} \|y - b - C\beta\|^2 + \lambda \|\beta\|^2

    The error of rows F when they are left out follows from the fit on all rows,

    .. math:: e_F = (I - H_{FF})^{-1} (y - H y)_F, \quad
        H = \tfrac{1}{n} 1 1^\top + U \,\mathrm{diag}\Big(\frac{s}{s + \lambda}\Big)\, U^\top

    exactly, whatever the size of F, so that leaving one subject, one family or one fold out costs no refit.

    Parameters
    ----------
    coordinates
        Shape ``(subject, coordinate)``: centred, columns orthogonal, such as those of
        :class:`kotowari.studies.brain.model.coordinates.GramCoordinates`.
    eigenvalues
        Their squared lengths, all above 0.
    blocks
        Number of the block of each row that is left out as a whole; None leaves out single rows.

    Source: Golub, Heath and Wahba 1979, Technometrics 21:215-223 (generalised cross-validation); the identity for
    blocks is the usual one for least squares.
    """

    def __init__(
        self, coordinates: FloatArray, eigenvalues: FloatArray, *, blocks: npt.ArrayLike | None = None
    ) -> None:
        self.coordinates, self.eigenvalues = coordinates, eigenvalues
        self._axes = coordinates / np.sqrt(eigenvalues)
        self._blocks: list[IndexArray] | None = None
        if blocks is not None:
            _, numbers = np.unique(np.asarray(blocks), return_inverse=True)
            if int(numbers.max()) + 1 < len(numbers):
                self._blocks = [np.flatnonzero(numbers == k) for k in range(int(numbers.max()) + 1)]
            if numbers.max() == 0:
                raise InputError("RidgePath: all rows are one block, which cannot be both learned and left out.")

    def default_weights(self, n_weights: int = 25) -> FloatArray:
        """Return penalties from 1e-4 to 1e4 times the squared length of a mean row."""
        grid: FloatArray = self.eigenvalues.sum() / len(self.coordinates) * np.logspace(-4, 4, n_weights)
        return grid

    def left_out_residuals(self, Y: FloatArray, weight: float) -> FloatArray:
        """Return targets less their prediction without their own block, ``(subject, target)``."""
        return self._left_out(Y - Y.mean(0), self._axes.T @ Y, weight)

    def _left_out(self, centred: FloatArray, projected: FloatArray, weight: float) -> FloatArray:
        shrink = self.eigenvalues / (self.eigenvalues + weight)
        residuals: FloatArray = centred - self._axes @ (shrink[:, None] * projected)
        n = len(centred)
        if self._blocks is None:
            own = 1 / n + (self._axes**2) @ shrink
            single: FloatArray = residuals / (1 - own)[:, None]
            return single
        left_out: FloatArray = residuals.copy()
        for rows in self._blocks:
            hat = 1 / n + (self._axes[rows] * shrink) @ self._axes[rows].T
            left_out[rows] = np.linalg.solve(np.eye(len(rows)) - hat, residuals[rows])
        return left_out

    def fit(
        self,
        Y: FloatArray,
        *,
        weights: npt.ArrayLike | None = None,
        criterion: Literal["left out", "generalised"] = "left out",
    ) -> RidgeFit:
        """Choose a penalty for each target and fit it.

        Parameters
        ----------
        Y
            Shape ``(subject, target)``.
        weights
            Penalties above 0, rising; None for :meth:`default_weights`.
        criterion
            ``"left out"``: mean squared error of left-out blocks; ``"generalised"``: generalised cross-validation,
            which knows no blocks. Of equal errors the larger penalty is taken.

        Raises
        ------
        InputError
            When a penalty is not above 0.
        """
        grid = self.default_weights() if weights is None else np.sort(np.asarray(weights, dtype=np.float64))
        if grid.ndim != 1 or not len(grid) or not (grid > 0).all():
            raise InputError("RidgePath: penalties must be above 0. Leave them out for a grid that suits the features.")
        measure = self._generalised if criterion == "generalised" else self._left_out
        centred, projected = Y - Y.mean(0), self._axes.T @ Y
        error = np.stack([(measure(centred, projected, weight) ** 2).mean(0) for weight in grid])
        best = len(grid) - 1 - error[::-1].argmin(0)
        chosen = grid[best]
        coef = np.sqrt(self.eigenvalues)[:, None] * projected / (self.eigenvalues[:, None] + chosen)
        return RidgeFit(coef, Y.mean(0), chosen, error)

    def _generalised(self, centred: FloatArray, projected: FloatArray, weight: float) -> FloatArray:
        """Return residuals that, squared and averaged, are the criterion."""
        shrink = self.eigenvalues / (self.eigenvalues + weight)
        residuals: FloatArray = centred - self._axes @ (shrink[:, None] * projected)
        freedom = len(centred) - 1 - shrink.sum()
        scaled: FloatArray = residuals * (len(centred) / freedom)
        return scaled
