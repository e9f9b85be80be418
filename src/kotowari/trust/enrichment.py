"""Which gene sets hold more of the selected genes than chance gives, among the genes that were measured."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from kotowari.core.checks import few, require_unique
from kotowari.core.errors import InputError
from kotowari.trust.permutation import benjamini_hochberg

__all__ = ["measured_sets", "over_representation"]

GeneSets = Mapping[str, Collection[str]]


def over_representation(
    selected: Iterable[str],
    universe: Sequence[str],
    gene_sets: GeneSets,
    *,
    smallest: int = 5,
    largest: int = 500,
) -> pd.DataFrame:
    r"""Test each set by the upper tail of the hypergeometric distribution.

    .. math:: p = P(X \ge k), \quad X \sim \mathrm{Hypergeometric}(N, K, n)

    with N measured genes, K of them in the set, n selected and k selected ones in the set. It takes genes as drawn one
    by one; genes selected by neighbourhood in an image need :func:`layout_aware_p` beside it.

    Parameters
    ----------
    selected
        Names of the selected genes, each of them measured.
    universe
        Names of all measured genes, without repetition.
    gene_sets
        Name of a set to its genes.
    smallest, largest
        Sets with fewer or more measured genes are not tested.

    Returns
    -------
    DataFrame
        ``set``, ``k``, ``size`` (measured genes), ``expected`` (k by chance), ``p``, ``q`` (Benjamini and Hochberg),
        ``genes`` (selected genes of the set, joined by ``;``); smallest p first.

    Raises
    ------
    InputError
        When no gene of the sets was measured, no set has a fitting size, or a selected gene was not measured.
    """
    chosen = set(selected)
    strangers = sorted(chosen - set(universe))
    if strangers:
        raise InputError(f"over_representation: {len(strangers)} selected genes were not measured ({few(strangers)}).")
    sets = measured_sets(gene_sets, universe, smallest=smallest, largest=largest)
    hits = [sorted(chosen & genes) for genes in sets.values()]
    k, size = np.array([len(genes) for genes in hits]), np.array([len(genes) for genes in sets.values()])
    p = np.minimum(1.0, hypergeom.sf(k - 1, len(universe), size, len(chosen)))
    table = pd.DataFrame(
        {
            "set": list(sets),
            "k": k,
            "size": size,
            "expected": size * len(chosen) / len(universe),
            "p": p,
            "q": benjamini_hochberg(p),
            "genes": [";".join(genes) for genes in hits],
        }
    )
    return table.sort_values(["p", "set"], kind="stable", ignore_index=True)


def measured_sets(gene_sets: GeneSets, universe: Sequence[str], *, smallest: int, largest: int) -> dict[str, set[str]]:
    """Cut the sets down to the measured genes, and keep those of a fitting size, sorted by name.

    Raises
    ------
    InputError
        When no gene of the sets was measured, or no set has a fitting size.
    """
    require_unique(universe, what="gene names", where="the measured genes")
    if not gene_sets:
        raise InputError("There are no gene sets. Give a GMT file with one set a line.")
    measured = set(universe)
    cut = {name: measured & set(gene_sets[name]) for name in sorted(gene_sets)}
    most = max(len(genes) for genes in cut.values())
    if most == 0:
        theirs = sorted({gene for genes in gene_sets.values() for gene in genes})
        raise InputError(
            f"No gene of the sets was measured: the sets name {few(theirs, 3)}, the table {few(universe, 3)}. "
            "Use the same kind of names in both, such as gene symbols."
        )
    kept = {name: genes for name, genes in cut.items() if smallest <= len(genes) <= largest}
    if not kept:
        raise InputError(
            f"No gene set has {smallest} to {largest} measured genes; the largest has {most}. "
            "Change the limits, or take other sets."
        )
    return kept
