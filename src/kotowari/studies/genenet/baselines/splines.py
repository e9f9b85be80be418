"""Coefficients as splines of the modulator, chosen by a lasso."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LassoCV
from sklearn.model_selection import KFold

from kotowari.core.errors import ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.baselines.modulator_spline import ModulatorSpline
from kotowari.studies.genenet.baselines.pairs import FloatArray, gene_pairs, stack_of
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["spline_interaction_lasso"]

_MAX_STEPS = 20_000


def spline_interaction_lasso(
    X: pd.DataFrame,
    modulator: npt.ArrayLike,
    regulators: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    *,
    n_knots: int = 5,
    n_lambdas: int = 30,
    n_folds: int = 5,
    random_state: int = 0,
) -> NetworkStack:
    r"""Fit one lasso a target on the regulators and on their products with splines of the modulator.

    .. math:: t_a = s_0(m_a) + \sum_j \beta_j(m_a)\, r_{aj}, \quad
        \beta_j(m) = b_j + \sum_u c_{ju} s_u(m)

    The curve :math:`s_0` is not penalised: target and columns are freed of the splines of m first, which gives the same
    minimum. Columns then have standard deviation 1, and one lambda a target is chosen by cross-validation.

    Parameters
    ----------
    X
        Shape ``(sample, gene)``.
    modulator
        Shape ``(sample,)`` or ``(sample, modulator)``, finite.
    regulators, targets
        Gene names; None takes all columns. A gene is no regulator of itself.
    n_knots
        Knots of the cubic splines, 2 or more.
    n_lambdas, n_folds, random_state
        As in :func:`global_elastic_net`.

    Returns
    -------
    NetworkStack
        Coefficients on the raw scale. An edge whose spline was not chosen is constant.

    Raises
    ------
    InputError
        When a name is not in the table, a value is missing, or a gene is constant.
    ShapeError
        When the modulator does not fit the table.

    Source: Hastie and Tibshirani 1993, J. R. Stat. Soc. B 55:757-796 (varying coefficients); the lasso on products is
    what users try first, and has no paper.
    """
    pairs = gene_pairs("spline_interaction_lasso", X, regulators, targets)
    m = np.asarray(modulator, dtype=np.float64)
    if m.ndim not in (1, 2) or len(m) != len(X):
        raise ShapeError.mismatch("spline_interaction_lasso", "modulator", (len(X), "modulator if several"), m.shape)
    basis = ModulatorSpline(n_knots=n_knots).fit_transform(m.reshape(len(m), -1))
    curves = np.column_stack([np.ones(len(m)), basis])
    n_regulators, n_curves = pairs.x.shape[1], curves.shape[1]
    columns = _freed((pairs.x[:, :, None] * curves[:, None, :]).reshape(len(m), -1), basis)
    sd = columns.std(0)
    scaled, free_y = columns / np.where(sd > 0, sd, np.inf), _freed(pairs.y, basis)
    folds = KFold(n_folds, shuffle=True, random_state=derive_seed(random_state, "spline lasso"))
    weights = np.zeros((n_regulators, n_curves, pairs.y.shape[1]))
    for target in range(pairs.y.shape[1]):
        kept = np.repeat(~pairs.own[:, target], n_curves)
        model = LassoCV(eps=1e-2, alphas=n_lambdas, cv=folds, max_iter=_MAX_STEPS, fit_intercept=False)
        model.fit(scaled[:, kept], free_y[:, target])
        weights[:, :, target].reshape(-1)[kept] = model.coef_ / np.where(sd > 0, sd, np.inf)[kept]
    return stack_of(
        pairs,
        _networks(curves, weights),
        modulator=m,
        top=None,
        quantity="coefficient",
        description=f"Lasso on regulators times splines of the modulator with {n_knots} knots, {n_folds}-fold.",
        n_bound=int((weights != 0).any(1).sum()),
    )


def _freed(values: FloatArray, basis: FloatArray) -> FloatArray:
    """Return what is left of every column after least squares on the splines."""
    residual: FloatArray = values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
    return residual


def _networks(curves: FloatArray, weights: FloatArray) -> Iterator[FloatArray]:
    for row in curves:
        yield np.einsum("u,jut->jt", row, weights)
