"""Sample-specific networks (SSN): how one more sample moves the correlations of a reference group."""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import iti0k0
from scipy.stats import norm

from kotowari.core.errors import InputError
from kotowari.studies.genenet.baselines.pairs import FloatArray, GenePairs, gene_pairs, stack_of
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["Null", "ssn", "ssn_p"]

Null = Literal["normal", "product"]


def ssn(
    X: pd.DataFrame,
    regulators: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    *,
    reference: pd.DataFrame,
    modulator: npt.ArrayLike | None = None,
    p: float | None = None,
    top: int | None = None,
    null: Null = "normal",
) -> NetworkStack:
    r"""Estimate a network for every sample by adding it to a reference group.

    .. math:: z_{jk} = \frac{r^{(n+1)}_{jk} - r^{(n)}_{jk}}{(1 - (r^{(n)}_{jk})^2) / (n - 1)}

    with the correlation r in the n reference samples, and after the sample was added to them (a rank-one update).

    Parameters
    ----------
    X
        Samples that get a network, shape ``(sample, gene)``; one or more.
    regulators, targets
        Gene names; None takes all columns of ``X``.
    reference
        Reference samples, such as normal tissue, with the same genes. None of them may stand in ``X``: a sample that is
        there already would be added twice, and moves little.
    modulator
        Handed on to the stack; not used.
    p
        Keep the edges with a p value at or below it, above 0 and at most 1; None keeps all.
    top
        Of these, keep this many of largest absolute value in each sample; None keeps all.
    null
        Where p comes from, see :func:`ssn_p`.

    Returns
    -------
    NetworkStack
        Of the quantity ``"SSN z"``, without unit.

    Raises
    ------
    InputError
        When a name is not in a table, a value is missing, a gene is constant in the reference, a sample stands in both
        tables, or an option is out of range.

    Source: Liu et al. 2016, Nucleic Acids Res. 44:e164, eqs. 1-2.
    """
    if p is not None and not 0 < p <= 1:
        raise InputError(f"ssn: p must be above 0 and at most 1, got {p}.")
    if null not in get_args(Null):
        raise InputError(f"ssn: null must be one of {', '.join(get_args(Null))}, got {null!r}.")
    if shared := len(set(map(str, X.index)) & set(map(str, reference.index))):
        raise InputError(f"ssn: {shared} samples stand in the reference too. Keep them on one side.")
    pairs = gene_pairs("ssn", X, regulators, targets, varying=False)
    known = gene_pairs("ssn (reference)", reference, pairs.regulators, pairs.targets)
    cut = "" if p is None else f" Edges with p <= {p:g} ({null} null)."
    return stack_of(
        pairs,
        _networks(pairs, known, p, null),
        modulator=modulator,
        top=top,
        quantity="SSN z",
        description=f"SSN against {len(reference)} reference samples.{cut}",
    )


def ssn_p(z: npt.ArrayLike, null: Null = "normal") -> FloatArray:
    r"""Return two-sided p values of SSN's z, by the normal distribution or by the one that z really has.

    The method as published takes z as standard normal. Its standard deviation is 1, but its tails are heavier: for
    Gaussian genes and a large reference, whatever their correlation, z is distributed as the product of two independent
    standard normals (whiten the pair: :math:`xy - r (x^2 + y^2) / 2 = (1 - r^2)(a^2 - b^2) / 2`), hence

    .. math:: p = 1 - \frac{2}{\pi} \int_0^{|z|} K_0(u)\, du.

    At a normal p of 0.01 this is 0.032. ``"product"`` is our own derivation; it loses its digits below about 1e-15.

    Parameters
    ----------
    z
        Any shape.
    null
        ``"normal"`` or ``"product"``.

    Examples
    --------
    >>> ssn_p([2.576], "normal").round(3).item(), ssn_p([2.576], "product").round(3).item()
    (0.01, 0.032)
    """
    size = np.abs(np.asarray(z, dtype=np.float64))
    tail = 2 * norm.sf(size) if null == "normal" else 1 - 2 / np.pi * iti0k0(size)[1]
    p: FloatArray = np.clip(tail, 0.0, 1.0)
    return p


def _networks(pairs: GenePairs, known: GenePairs, p: float | None, null: Null) -> Iterator[FloatArray]:
    n = len(known.samples)
    (x, extra_x), (y, extra_y) = (_scaled(old, new) for old, new in ((known.x, pairs.x), (known.y, pairs.y)))
    before = x.T @ y
    spread = (1 - np.minimum(before**2, 1.0)) / (n - 1)
    c = n / (n + 1)
    for own_x, own_y in zip(extra_x, extra_y, strict=True):
        after = before + c * np.outer(own_x, own_y)
        after /= np.sqrt(np.outer(1 + c * own_x**2, 1 + c * own_y**2))
        z = np.divide(after - before, spread, out=np.zeros_like(before), where=spread > 0)
        yield z if p is None else np.where(ssn_p(z, null) <= p, z, 0.0)


def _scaled(reference: FloatArray, samples: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bring the reference to mean 0 and columns of length 1, and the samples to the same centre and unit."""
    mean = reference.mean(0)
    length = np.sqrt(((reference - mean) ** 2).sum(0))
    return (reference - mean) / length, (samples - mean) / length
