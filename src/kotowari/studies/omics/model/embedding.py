"""A place in the plane for every gene, so that genes that behave alike stand together."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few, require_unique
from kotowari.core.errors import InputError, MissingExtraError
from kotowari.studies.omics.model.kernel import gaussian_components
from kotowari.studies.omics.model.neighbours import METRICS, gene_distances, gene_vectors, nearest_neighbours
from kotowari.studies.omics.model.repulsion import TreeGradient

__all__ = ["LAYOUTS", "affinities", "embed", "given_places", "kl_divergence"]

LAYOUTS = ("tsne", "pca", "kernel_pca", "umap")

_PERPLEXITY = 30.0
_FEWEST = 5


class _Phase(NamedTuple):
    """Part of the descent: its steps, the exaggeration, and the learning rate as a share of the points."""

    steps: int
    exaggeration: float
    rate: float


# Short, mild exaggeration; then half of the usual rate, which the last phase lowers to settle what still trembles.
_DESCENT = (_Phase(100, 4.0, 1 / 4), _Phase(500, 1.0, 1 / 2), _Phase(100, 1.0, 1 / 6))
_SMALLEST_RATE = 50.0


def embed(
    profiles: npt.NDArray[Any], *, layout: str = "tsne", metric: str = "cosine", random_state: int = 0
) -> npt.NDArray[np.float64]:
    """Return coordinates of genes in the plane, in units of the method.

    Genes whose profile is constant say nothing about their likeness to others: all of them stand in the lowest corner
    of the box of the others, where maps are empty. Fewer than 5 other genes have no neighbourhoods and are laid out by
    their principal components, whatever the method. Training samples only, or the layout has seen the test.

    Parameters
    ----------
    profiles
        Shape ``(gene, sample)``, finite, scaled; 2 samples or more.
    layout
        ``"tsne"``, ``"pca"``, ``"kernel_pca"`` (Gaussian, width 5 times the mean distance of nearest neighbours) or
        ``"umap"`` (umap-learn must be installed).
    metric
        ``"cosine"``, ``"correlation"`` or ``"euclidean"``; principal components do not use it.
    random_state
        0 or more.

    Returns
    -------
    ndarray
        Shape ``(gene, 2)``.

    Raises
    ------
    InputError
        When the layout or the metric is unknown.
    MissingExtraError
        When a layout's library is not installed.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}.")
    if metric not in METRICS:
        raise InputError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}.")
    varying = np.ptp(profiles, axis=1) > 0
    places = np.zeros((len(profiles), 2))
    if varying.any():
        chosen = _METHODS[layout] if varying.sum() >= _FEWEST else _METHODS["pca"]
        places[varying] = chosen(profiles[varying], metric, random_state)
        places[~varying] = places[varying].min(0)
    return places


def given_places(coordinates: Any, genes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the user's own coordinates in the order of ``genes``.

    Parameters
    ----------
    coordinates
        A DataFrame with gene names in its index and two columns, genes beyond ``genes`` allowed; or an array of shape
        ``(gene, 2)`` in the order of ``genes``.
    genes
        Gene names.

    Raises
    ------
    InputError
        When a gene has no place or two, a place is not finite, or the shape is another.
    """
    if isinstance(coordinates, pd.DataFrame):
        require_unique(coordinates.index, what="genes", where="coordinates")
        absent = [name for name in genes if name not in coordinates.index]
        if absent:
            raise InputError(f"coordinates: {len(absent)} genes have no place ({few(absent)}). Add a row for each.")
        coordinates = coordinates.loc[list(genes)].to_numpy()
    places = np.array(coordinates, dtype=np.float64)
    if places.shape != (len(genes), 2):
        raise InputError(f"coordinates must have shape ({len(genes)}, 2), one row a gene, got {places.shape}.")
    lost = [name for name, place in zip(genes, places, strict=True) if not np.isfinite(place).all()]
    if lost:
        raise InputError(f"coordinates: {len(lost)} genes have a place that is not finite ({few(lost)}). Correct it.")
    return places


def affinities(profiles: npt.NDArray[Any], *, metric: str = "cosine") -> Any:
    """Return the joint probabilities of t-SNE, sparse.

    Perplexity 30, or a third of the other genes where these are fewer; neighbours are exact, three times the
    perplexity and one.

    Parameters
    ----------
    profiles
        Shape ``(gene, sample)``, 3 genes or more, none constant.
    metric
        As in :func:`embed`; the Gaussian takes the square of this distance, as scikit-learn and openTSNE do.

    Returns
    -------
    csr_matrix
        Shape ``(gene, gene)``, symmetric, sums to 1.
    """
    return _joint_probabilities(gene_vectors(profiles, metric), metric)


def kl_divergence(joint: Any, places: npt.ArrayLike) -> float:
    """Return the Kullback-Leibler divergence of a map from its joint probabilities, exactly, over all pairs.

    Parameters
    ----------
    joint
        Sparse joint probabilities, shape ``(point, point)``; scaled to sum to 1.
    places
        Shape ``(point, 2)``.
    """
    map_places = np.asarray(places, dtype=np.float64)
    pairs = joint.tocoo()
    normaliser = -float(len(map_places))
    for begin in range(0, len(map_places), 256):
        gaps = map_places[begin : begin + 256, None] - map_places[None]
        normaliser += float((1 / (1 + np.einsum("ijk,ijk->ij", gaps, gaps))).sum())
    present = pairs.data > 0
    share = pairs.data[present] / pairs.data.sum()
    gaps = map_places[pairs.row[present]] - map_places[pairs.col[present]]
    return float((share * (np.log(share * normaliser) + np.log1p((gaps**2).sum(1)))).sum())


def _joint_probabilities(vectors: npt.NDArray[np.float32], metric: str) -> Any:
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    others = len(vectors) - 1
    perplexity = min(_PERPLEXITY, others / 3)
    indices, squared = nearest_neighbours(vectors, min(others, int(3 * perplexity) + 1))
    index = PrecomputedNeighbors(indices, gene_distances(squared, metric))
    return PerplexityBasedNN(perplexity=perplexity, knn_index=index, n_jobs=1).P


def _tsne(profiles: npt.NDArray[Any], metric: str, random_state: int) -> npt.NDArray[np.float64]:
    """Descend openTSNE's way, with exact neighbours and our own compiled gradient.

    Source: van der Maaten and Hinton 2008, JMLR 9; learning rates after Belkina et al. 2019, Nature Communications 10.
    The phases are our own; they reach the divergence of 1,000 usual steps.
    """
    from openTSNE import TSNEEmbedding, initialization
    from openTSNE.affinity import PrecomputedAffinities

    vectors = gene_vectors(profiles, metric)
    joint = _joint_probabilities(vectors, metric).astype(np.float32)
    places = TSNEEmbedding(
        initialization.pca(vectors, random_state=random_state),
        PrecomputedAffinities(joint, normalize=False),
        negative_gradient_method=TreeGradient(len(vectors)),
        n_jobs=1,
    )
    for phase in _DESCENT:
        rate = max(_SMALLEST_RATE, phase.rate * len(vectors))
        places.optimize(phase.steps, exaggeration=phase.exaggeration, learning_rate=rate, momentum=0.8, inplace=True)
    return np.array(places, dtype=np.float64)


def _pca(profiles: npt.NDArray[Any], metric: str, random_state: int) -> npt.NDArray[np.float64]:
    del metric
    from sklearn.decomposition import PCA

    rows = np.array(profiles, dtype=np.float64)
    found = min(2, *rows.shape)
    places = np.zeros((len(rows), 2))
    if len(rows) > 1:
        places[:, :found] = PCA(found, random_state=random_state).fit_transform(rows)
    return places


def _kernel_pca(profiles: npt.NDArray[Any], metric: str, random_state: int) -> npt.NDArray[np.float64]:
    del metric
    vectors = gene_vectors(profiles, "euclidean")
    _, squared = nearest_neighbours(vectors, 1)
    width = 5 * float(np.sqrt(squared).mean())
    if width == 0:  # every gene has a twin: the next scale there is
        width = 5 * float(np.linalg.norm(vectors, axis=1).mean())
    return gaussian_components(vectors, width=width, random_state=random_state)


def _umap(profiles: npt.NDArray[Any], metric: str, random_state: int) -> npt.NDArray[np.float64]:
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingExtraError(
            "layout='umap' needs umap-learn, which is not installed. Install it: pip install umap-learn"
        ) from error
    neighbours = min(15, len(profiles) - 1)
    model = UMAP(n_neighbors=neighbours, metric=metric, random_state=random_state, n_jobs=1)
    return np.asarray(model.fit_transform(np.asarray(profiles)), dtype=np.float64)


_Method = Callable[[npt.NDArray[Any], str, int], npt.NDArray[np.float64]]
_METHODS: dict[str, _Method] = {"tsne": _tsne, "pca": _pca, "kernel_pca": _kernel_pca, "umap": _umap}
