"""Preranked gene set enrichment, offline and seeded."""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError
from kotowari.trust.enrichment import measured_sets
from kotowari.trust.permutation import benjamini_hochberg

__all__ = ["preranked_gsea"]

FloatArray = npt.NDArray[np.float64]


def preranked_gsea(
    scores: Mapping[str, float] | pd.Series,
    gene_sets: Mapping[str, Collection[str]],
    *,
    n_permutations: int = 1000,
    smallest: int = 5,
    largest: int = 500,
    random_state: int,
) -> pd.DataFrame:
    """Ask whether the genes of a set crowd at one end of the ranking (running sum, weight ``|score|``).

    Null by permuted genes, which takes genes as independent. Equal scores are ordered by name. gseapy does the running
    sum; a p of 0 is raised to ``1 / (n_permutations + 1)``, and q is by Benjamini and Hochberg, not gseapy's own.

    Parameters
    ----------
    scores
        Gene to signed or unsigned score, finite and not all equal.
    gene_sets
        Name of a set to its genes.
    n_permutations
        1,000 for a report.
    smallest, largest
        Sets with fewer or more ranked genes are not tested.
    random_state
        Seed; equal seeds give equal tables.

    Returns
    -------
    DataFrame
        ``set``, ``es``, ``nes``, ``p``, ``q``, ``leading_edge`` (genes joined by ``;``); smallest p first.

    Source: Subramanian et al. 2005, PNAS 102:15545-15550.
    """
    ranked = pd.Series(scores, dtype=np.float64)
    if not np.isfinite(ranked).all() or ranked.nunique() < 2:
        raise InputError("preranked_gsea: the scores must be finite and not all equal.")
    sets = measured_sets(gene_sets, [str(gene) for gene in ranked.index], smallest=smallest, largest=largest)
    ranked.index = ranked.index.astype(str)
    ranked = ranked.sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    # numbers in place of names: gseapy changes the case of some names, and orders ties as it likes
    number = {gene: f"G{k}" for k, gene in enumerate(ranked.index)}
    genes = {code: gene for gene, code in number.items()}
    gseapy = require_extra("gseapy", extra="omics", by="preranked_gsea")
    outcome = gseapy.prerank(
        rnk=pd.DataFrame({"gene": list(genes), "score": _strictly_falling(ranked.to_numpy())}),
        gene_sets={f"S{k}": sorted(number[gene] for gene in members) for k, members in enumerate(sets.values())},
        outdir=None,
        no_plot=True,
        min_size=1,
        max_size=len(ranked),
        permutation_num=n_permutations,
        weight=1.0,
        ascending=False,
        threads=1,
        seed=random_state,
        verbose=False,
    ).res2d
    names = list(sets)
    p = np.maximum(outcome["NOM p-val"].to_numpy(dtype=np.float64), 1 / (n_permutations + 1))
    table = pd.DataFrame(
        {
            "set": [names[int(code[1:])] for code in outcome["Term"]],
            "es": outcome["ES"].to_numpy(dtype=np.float64),
            "nes": outcome["NES"].to_numpy(dtype=np.float64),
            "p": p,
            "q": benjamini_hochberg(p),
            "leading_edge": [
                ";".join(genes[code] for code in edge.split(";") if code) for edge in outcome["Lead_genes"]
            ],
        }
    )
    return table.sort_values(["p", "set"], kind="stable", ignore_index=True)


def _strictly_falling(scores: FloatArray) -> FloatArray:
    """Part equal scores by the last digit of a float, so that their order stands."""
    parted = scores.copy()
    for k in range(1, len(parted)):
        if parted[k] >= parted[k - 1]:
            parted[k] = np.nextafter(parted[k - 1], -np.inf)
    return parted
