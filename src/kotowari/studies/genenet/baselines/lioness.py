"""LIONESS on Pearson correlation: what each sample adds to the network of all."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import DesignError
from kotowari.studies.genenet.baselines.pairs import FloatArray, GenePairs, gene_pairs, stack_of
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["lioness"]

_ALONE = 1e-10  # share of the variance that must be left when a sample is taken out


def lioness(
    X: pd.DataFrame,
    regulators: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    *,
    modulator: npt.ArrayLike | None = None,
    top: int | None = None,
) -> NetworkStack:
    r"""Estimate a network for every sample from the correlations with and without it.

    .. math:: e^{(q)} = n\, e^{(\mathrm{all})} - (n - 1)\, e^{(\mathrm{all} \setminus q)}

    The correlations without sample q come from those of all by a rank-one update, so that nothing is fitted n times:
    with columns z of mean 0 and length 1 and :math:`c = n / (n - 1)`,

    .. math:: e^{(\mathrm{all} \setminus q)}_{jk} =
        \frac{r_{jk} - c\, z_{qj} z_{qk}}{\sqrt{(1 - c\, z_{qj}^2)(1 - c\, z_{qk}^2)}}.

    Values are no correlations of one sample: they pass beyond -1 and 1, and depend on all other samples.

    Parameters
    ----------
    X
        Shape ``(sample, gene)``, four samples or more.
    regulators, targets
        Gene names; None takes all columns.
    modulator
        Handed on to the stack; not used.
    top
        Edges kept in each sample, those of largest absolute value; None keeps all.

    Returns
    -------
    NetworkStack
        Of the quantity ``"LIONESS correlation"``, without unit.

    Raises
    ------
    InputError
        When a name is not in the table, a value is missing, or a gene is constant.
    DesignError
        When a gene varies in one sample only, so that without it there is no correlation.

    Source: Kuijjer et al. 2019, iScience 14:226-240, eq. 7 (equal weights); the update is our own algebra.
    """
    pairs = gene_pairs("lioness", X, regulators, targets)
    return stack_of(
        pairs,
        _networks(pairs),
        modulator=modulator,
        top=top,
        quantity="LIONESS correlation",
        description=f"LIONESS on Pearson correlation of {len(X)} samples.",
    )


def _networks(pairs: GenePairs) -> Iterator[FloatArray]:
    x, y = _unit_columns(pairs.x), _unit_columns(pairs.y)
    n = len(x)
    c = n / (n - 1)
    left_x, left_y = 1 - c * x**2, 1 - c * y**2
    for names, left in ((pairs.regulators, left_x), (pairs.targets, left_y)):
        alone = [name for name, low in zip(names, left.min(0), strict=True) if low < _ALONE]
        if alone:
            raise DesignError(
                f"lioness: {len(alone)} genes vary in one sample only ({few(alone)}): without it they have no "
                "correlation. Drop them first."
            )
    whole = x.T @ y
    for row in range(n):
        without = (whole - c * np.outer(x[row], y[row])) / np.sqrt(np.outer(left_x[row], left_y[row]))
        yield n * whole - (n - 1) * without


def _unit_columns(values: FloatArray) -> FloatArray:
    centred = values - values.mean(0)
    scaled: FloatArray = centred / np.sqrt((centred**2).sum(0))
    return scaled
