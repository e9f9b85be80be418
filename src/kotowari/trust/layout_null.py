"""Enrichment of genes that were selected as a region of an image: what regions of the same shape would give."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csr_matrix

from kotowari.core.errors import InputError, ShapeError
from kotowari.trust.enrichment import measured_sets
from kotowari.trust.permutation import benjamini_hochberg

__all__ = ["layout_aware_p"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
_BLOCK = 256


def layout_aware_p(
    selected_pixels: npt.ArrayLike,
    genes: Sequence[str],
    pixels_of_genes: npt.ArrayLike,
    gene_sets: Mapping[str, Collection[str]],
    *,
    n_draws: int = 199,
    smallest: int = 5,
    largest: int = 500,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Hold each set against regions of the same shape elsewhere on the same layout.

    Neighbours in the image are selected together and often belong to one set, so that counting genes one by one finds
    too much. Here the selected mask is moved as a whole: flipped, turned by quarters where the frame is square, and
    shifted on a torus over the rectangle that the genes occupy. A moved mask may lie on more or fewer genes; it takes
    as many as were selected, in the order of the signed distance to its border (ties at random), which widens or
    narrows it a little. The null hypothesis is that the mask could lie anywhere. Where set and region seldom
    meet, equal counts are frequent and p is on the safe side.

    Parameters
    ----------
    selected_pixels
        Boolean mask of the frame, shape ``(height, width)``; a gene counts as selected when its pixel is.
    genes
        Names of the measured genes.
    pixels_of_genes
        Row and column of each gene, from 0, shape ``(gene, 2)``.
    gene_sets
        Name of a set to its genes.
    n_draws
        Moved masks; the smallest p is ``1 / (n_draws + 1)``.
    smallest, largest
        Sets with fewer or more measured genes are not tested.
    rng
        Moves the mask; one generator in one state gives one table.

    Returns
    -------
    DataFrame
        ``set``, ``k`` (selected genes of the set), ``size``, ``expected`` (mean of k over the moved masks), ``p``,
        ``q`` (Benjamini and Hochberg); smallest p first.

    Source: our own construction, after the torus shifts of spatial statistics (Lotwick and Silverman 1982, J. R. Stat.
    Soc. B 44:406-413).
    """
    mask, places = np.asarray(selected_pixels), np.asarray(pixels_of_genes, dtype=np.intp)
    if places.shape != (len(genes), 2):
        raise ShapeError.mismatch("layout_aware_p", "pixels_of_genes", (len(genes), 2), places.shape)
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise InputError(f"layout_aware_p: selected_pixels must be a boolean (height, width), got {mask.dtype}.")
    if (places < 0).any() or (places >= mask.shape).any():
        raise InputError(f"layout_aware_p: a gene lies outside the frame of {mask.shape[0]} x {mask.shape[1]} pixels.")
    sets = measured_sets(gene_sets, genes, smallest=smallest, largest=largest)
    membership = _membership(sets, genes)
    selected = mask[places[:, 0], places[:, 1]]
    k = membership @ selected.astype(np.float64)
    exceeding, total = np.zeros(len(sets)), np.zeros(len(sets))
    corner, far = places.min(0), places.max(0) + 1
    distance = _torus_distance(mask[corner[0] : far[0], corner[1] : far[1]])
    for begin in range(0, n_draws, _BLOCK):
        moved = _moved_selections(distance, places - corner, int(selected.sum()), min(_BLOCK, n_draws - begin), rng)
        counts = membership @ moved.T
        exceeding += (counts >= k[:, None]).sum(1)
        total += counts.sum(1)
    p = (1 + exceeding) / (1 + n_draws)
    table = pd.DataFrame(
        {
            "set": list(sets),
            "k": k.astype(np.int64),
            "size": np.array([len(members) for members in sets.values()]),
            "expected": total / n_draws,
            "p": p,
            "q": benjamini_hochberg(p),
        }
    )
    return table.sort_values(["p", "set"], kind="stable", ignore_index=True)


def _membership(sets: Mapping[str, set[str]], genes: Sequence[str]) -> csr_matrix:
    number = {gene: k for k, gene in enumerate(genes)}
    columns = [sorted(number[gene] for gene in members) for members in sets.values()]
    ends = np.cumsum([0, *(len(row) for row in columns)])
    flat = np.concatenate(columns)
    return csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(sets), len(genes)))


def _torus_distance(mask: npt.NDArray[np.bool_]) -> FloatArray:
    """Signed distance to the border of the mask, negative inside, as if the frame met itself at its edges."""
    height, width = mask.shape
    tiled = np.tile(mask, (3, 3))
    outside, inside = (
        distance_transform_edt(part) if part.any() and not part.all() else part.astype(np.float64)
        for part in (~tiled, tiled)
    )
    signed: FloatArray = (outside - inside)[height : 2 * height, width : 2 * width]
    return signed


def _moved_selections(
    distance: FloatArray, places: IndexArray, n_selected: int, n_draws: int, rng: np.random.Generator
) -> FloatArray:
    """Return which genes the moved masks take, ones and zeros of shape ``(draw, gene)``."""
    shape = np.array(distance.shape)
    turned = (rng.random((n_draws, 1, 1)) < 0.5) & (shape[0] == shape[1])
    signs = rng.choice([-1, 1], size=(n_draws, 1, 2))
    shifts = rng.integers(0, shape, size=(n_draws, 2))[:, None]
    seen = (signs * np.where(turned, places[:, ::-1], places) + shifts) % shape
    # squared distances are whole numbers, so this noise only orders equal ones
    key = distance[seen[..., 0], seen[..., 1]] + rng.random((n_draws, len(places))) * 1e-6
    taken = np.zeros(key.shape)
    np.put_along_axis(taken, np.argsort(key, axis=1)[:, :n_selected], 1.0, axis=1)
    return taken
