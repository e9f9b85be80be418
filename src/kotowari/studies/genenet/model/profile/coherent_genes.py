"""Genes of a signature that move together: a list from the literature seldom does so as a whole in other samples."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError

__all__ = ["CoherentGenes", "coherence_p", "coherent_genes"]

Floats = npt.NDArray[np.float64]

_CORE = 10
_LEAST_OTHERS = 100  # genes, so that a share of 1 % is a gene
_ROUNDING = 1e-12


class CoherentGenes(NamedTuple):
    """The largest coherent part of a set of genes.

    Attributes
    ----------
    members
        Shape ``(gene,)``, booleans: which genes of the set belong to it.
    centre
        Shape ``(sample,)``: the profile that they move with, mean 0 and variance 1.
    correlation
        The least correlation with the centre that a member has: what only ``share`` of the other genes reach.
    """

    members: npt.NDArray[np.bool_]
    centre: Floats
    correlation: float


def coherent_genes(genes: Floats, others: Floats, *, share: float = 0.05) -> CoherentGenes:
    """Return the largest part of a set of genes that moves with one profile, closer than most other genes do.

    Around every gene of the set stands a core, the ten genes of the set that correlate most with it. The mean profile
    of a core is a centre, and the genes of the set belong to it that correlate with it as much as the foremost
    ``share`` of the other genes; a gene of the core itself is held against the rest of the core. The centre with the
    most genes is taken, of equal ones that of higher correlation.

    Parameters
    ----------
    genes
        Shape ``(sample, gene)``: the set, each gene with mean 0 and variance 1; genes that fall are turned.
    others
        Shape ``(sample, other gene)``: 100 or more genes of the table that are not in the set, standardised alike.
    share
        Share of the other genes that may correlate as much with the centre as a member, above 0 and below 1. The
        smaller, the closer a member has to follow.

    Raises
    ------
    InputError
        When the share is out of range, or there are too few other genes to take it of.

    Source: after the extraction of expression modules of Niida et al. 2009, BMC Bioinformatics 10:71, by which
    Shimamura et al. 2011, PLoS ONE 6:e20804, chose the genes of their modulator. Written from its description and the
    options of its program (radius relative to all genes, a core of ten); the cores around every gene, and that no gene
    is held against itself, are our reading.
    """
    if not 0 < share < 1:
        raise InputError(f"coherent: a share of the other genes between 0 and 1, got {share}.")
    if others.shape[1] < _LEAST_OTHERS:
        raise InputError(
            f"coherent: {others.shape[1]} genes besides the signature; {_LEAST_OTHERS} or more tell what is close. "
            "Bring the whole table, or take all genes of the signature."
        )
    sums, inside = _sums_of_cores(genes)
    to_set = _correlations(sums, genes, inside)
    deviation = np.maximum(sums.std(0), _ROUNDING)
    radius = np.quantile(sums.T @ others / (len(genes) * deviation[:, None]), 1 - share, axis=1)
    members = to_set >= radius[:, None] - _ROUNDING
    closeness = np.where(members, to_set, 0.0).sum(1)
    best = int(np.lexsort((closeness, members.sum(1)))[-1])
    return CoherentGenes(np.asarray(members[best]), np.asarray(sums[:, best] / deviation[best]), float(radius[best]))


def coherence_p(
    genes: Floats, others: Floats, *, share: float = 0.05, n_draws: int = 99, rng: np.random.Generator
) -> float:
    r"""Return how often a random set of as many genes has a coherent part as large.

    .. math:: p = \frac{1 + \#\{b : n_b \ge n\}}{1 + B}

    The centre is searched for in every random set as in the set itself, so that the search is accounted for.

    Parameters
    ----------
    genes, others, share
        As in :func:`coherent_genes`; random sets are drawn from the others, which are the rest of the table each time.
    n_draws
        B, 1 or more.
    rng
        Draws the sets.

    Raises
    ------
    InputError
        As in :func:`coherent_genes`.
    """
    n_members = int(coherent_genes(genes, others, share=share).members.sum())
    n_genes = genes.shape[1]
    n_reached = 0
    for _ in range(n_draws):
        order = rng.permutation(others.shape[1])
        drawn, rest = others[:, order[:n_genes]], others[:, order[n_genes:]]
        n_reached += int(coherent_genes(drawn, rest, share=share).members.sum()) >= n_members
    return (1 + n_reached) / (1 + n_draws)


def _sums_of_cores(genes: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the sum over the core around every gene, ``(sample, gene)``, and who is in it, ``(core, gene)``."""
    n_genes = genes.shape[1]
    order = np.argsort(-(genes.T @ genes), axis=1, kind="stable")[:, : min(_CORE, n_genes)]
    inside = np.zeros((n_genes, n_genes), dtype=np.bool_)
    inside[np.arange(n_genes)[:, None], order] = True
    sums: Floats = genes @ inside.T.astype(np.float64)
    return sums, inside


def _correlations(sums: Floats, genes: Floats, inside: npt.NDArray[np.bool_]) -> Floats:
    """Return the correlation of every core with every gene of the set; a member is held against the rest of its core.

    Else a gene that follows nothing would belong to a core by being in it.
    """
    n_samples = len(genes)
    product, square = sums.T @ genes / n_samples, (sums**2).mean(0)[:, None]
    product, square = np.where(inside, product - 1.0, product), np.where(inside, square - 2 * product + 1.0, square)
    return np.asarray(product / np.sqrt(np.maximum(square, _ROUNDING)))
