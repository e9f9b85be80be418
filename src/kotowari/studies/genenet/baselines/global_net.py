"""One elastic net for all samples: what is left when nothing varies."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import ElasticNetCV
from sklearn.model_selection import KFold

from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.baselines.pairs import gene_pairs
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["global_elastic_net"]

_MAX_STEPS = 20_000


def global_elastic_net(
    X: pd.DataFrame,
    regulators: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    *,
    modulator: npt.ArrayLike | None = None,
    l1_ratio: float = 0.9,
    n_lambdas: int = 30,
    n_folds: int = 5,
    random_state: int = 0,
) -> NetworkStack:
    r"""Fit one elastic net a target, and give every sample the same network.

    .. math:: \min_b \frac{1}{2n} \|t - b_0 - R b\|^2 + \lambda \Big(\rho \|b\|_1 + \frac{1 - \rho}{2} \|b\|^2\Big)

    on standardised regulators, lambda by cross-validation for each target; coefficients are brought back to the raw
    scale. Edges are those with a coefficient other than 0.

    Parameters
    ----------
    X
        Shape ``(sample, gene)``.
    regulators, targets
        Gene names; None takes all columns. A gene is no regulator of itself.
    modulator
        Handed on to the stack; not used.
    l1_ratio
        Rho, above 0 and at most 1.
    n_lambdas
        Length of the path, from the largest lambda down to its hundredth.
    n_folds
        Inner folds, 2 or more.
    random_state
        Seed of the folds.

    Raises
    ------
    InputError
        When a name is not in the table, a value is missing, or a gene is constant.

    Source: Zou and Hastie 2005, J. R. Stat. Soc. B 67:301-320; scikit-learn's solver.
    """
    pairs = gene_pairs("global_elastic_net", X, regulators, targets)
    n, (n_regulators, n_targets) = len(X), pairs.own.shape
    mean, sd = pairs.x.mean(0), pairs.x.std(0)
    scaled = (pairs.x - mean) / sd
    folds = KFold(n_folds, shuffle=True, random_state=derive_seed(random_state, "global elastic net"))
    network, intercepts = np.zeros((n_regulators, n_targets)), np.zeros(n_targets)
    for target in range(n_targets):
        others = np.flatnonzero(~pairs.own[:, target])
        model = ElasticNetCV(l1_ratio=l1_ratio, eps=1e-2, alphas=n_lambdas, cv=folds, max_iter=_MAX_STEPS)
        model.fit(scaled[:, others], pairs.y[:, target])
        network[others, target] = model.coef_ / sd[others]
        intercepts[target] = model.intercept_ - mean @ network[:, target]
    regulator, edge_target = np.nonzero(network)
    return NetworkStack.from_arrays(
        np.repeat(np.arange(n), len(regulator)),
        np.tile(regulator, n),
        np.tile(edge_target, n),
        np.tile(network[regulator, edge_target], n),
        samples=pairs.samples,
        regulators=pairs.regulators,
        targets=pairs.targets,
        modulator=modulator,
        intercepts=np.tile(intercepts, (n, 1)),
        description=f"One elastic net of {n} samples for all, lambda by {n_folds}-fold cross-validation.",
    )
