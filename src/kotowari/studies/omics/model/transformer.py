"""A table of genes drawn as images: scaled, laid out, one pixel a gene."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.formats.blocks import TableBlocks
from kotowari.formats.tables import require_numeric_table
from kotowari.studies.omics.model.assignment import assign_pixels
from kotowari.studies.omics.model.embedding import embed, given_places
from kotowari.studies.omics.model.frame import (
    Shape,
    collision_free_side,
    pixel_places,
    require_shape,
    spaced_shape,
)
from kotowari.studies.omics.model.images import ImageBatch, PixelMap, image_batches
from kotowari.studies.omics.model.intake import flat_columns, require_finite
from kotowari.studies.omics.model.layers import find_layers
from kotowari.studies.omics.model.neighbours import METRICS
from kotowari.studies.omics.model.saved import read_transformer, write_transformer
from kotowari.studies.omics.model.scaling import scaler_class

__all__ = ["DeepInsightTransformer"]

Table = npt.NDArray[np.floating[Any]]

_LARGEST_SPACED_SIDE = 224


class DeepInsightTransformer(TransformerMixin, BaseEstimator):
    """Turn a table of genes into images in which genes that behave alike stand together.

    Scaling, layout and frame are fitted on the rows given to ``fit`` alone. The table may hold several layers of the
    same genes (expression, methylation); each becomes a channel. Images are float32 in [0, 1], never rescaled one by
    one, so that they can be compared; pixels without a gene are 0.

    Parameters
    ----------
    scaling
        ``"norm1"`` (every gene to [0, 1]) or ``"norm2"`` (logarithm, one scale for a whole layer).
    layout
        ``"tsne"``, ``"pca"``, ``"kernel_pca"`` or ``"umap"``; not used where ``coordinates`` are given.
    metric
        Distance of genes for t-SNE and UMAP: ``"cosine"``, ``"correlation"`` or ``"euclidean"``.
    coordinates
        Places of the genes in the plane: a DataFrame by gene name, or an array of shape ``(gene, 2)``.
    shape
        Height and width in pixels; ``"auto"`` for the smallest square with 5 % of the pixels to spare; ``"spaced"``
        for DeepInsight's rule from the smallest distance of two genes, up to 224 pixels a side.
    assignment
        ``"bisect"`` (one pixel for every gene, shift proven within 1.1 times the least), ``"lsa"`` (least shift) or
        ``"bin"`` (genes share pixels, as in the paper).
    layers
        Columns of each layer, gene by gene in the same order; None for one layer, or for a DataFrame whose columns are
        pairs (layer, gene).
    layout_layer
        Name of the layer that the layout is made from; None joins the profiles of all layers.
    n_maps
        Number of maps of each sample, 1 or more; more than 1 only for t-SNE and UMAP. Map k uses the k-th metric
        from ``metric`` on, in a circle, and a seed of its own. Channels are ordered map by map, in each layer by
        layer: ``images.reshape(sample, n_maps, layer, height, width)``.
    blur
        Standard deviation of a Gaussian over the finished image, in pixels, 0 or more; beyond the frame lies 0.
    missing
        ``"refuse"`` NaN with row and column, or take it as ``"zero"`` after scaling. Infinite values are refused.
    output
        ``"images"``: shape ``(sample, channel, height, width)``; ``"table"``: the same, a row a sample.
    random_state
        Seed, 0 or more; or a RandomState; or None for a new layout each time.

    Attributes
    ----------
    shape_
        Height and width.
    maps_
        One :class:`PixelMap` for every map.
    pixels_, coordinates_, groups_
        Of the first map: pixels ``(gene, 2)``; places in pixels before assignment ``(gene, 2)``; number of the pixel of
        every gene ``(gene,)``, shared by genes in one pixel.
    shifts_
        Shape ``(map, 2)``: mean squared shift of a gene in squared pixels, and the least that any could have.
    genes_, layers_
        Names.
    columns_
        Shape ``(layer, gene)``: column of the table.
    scalers_
        One fitted scaler a layer; ``constant`` names genes that are 0 everywhere.
    n_features_in_, feature_names_in_
        As in scikit-learn; names ``"layer:gene"`` for columns that are pairs.

    Source: Sharma et al. 2019, Scientific Reports 9 (method); Sharma et al. 2023, Scientific Reports 13 (layers);
    MRep-DeepInsight, Scientific Reports 14 (several maps).
    """

    def __init__(
        self,
        *,
        scaling: Literal["norm1", "norm2"] = "norm2",
        layout: Literal["tsne", "pca", "kernel_pca", "umap"] = "tsne",
        metric: Literal["cosine", "correlation", "euclidean"] = "cosine",
        coordinates: Any = None,
        shape: Shape | Literal["auto", "spaced"] = "auto",
        assignment: Literal["bisect", "lsa", "bin"] = "bisect",
        layers: Mapping[str, Sequence[str]] | None = None,
        layout_layer: str | None = None,
        n_maps: int = 1,
        blur: float = 0.0,
        missing: Literal["refuse", "zero"] = "refuse",
        output: Literal["images", "table"] = "images",
        random_state: Any = 0,
    ) -> None:
        self.scaling = scaling
        self.layout = layout
        self.metric = metric
        self.coordinates = coordinates
        self.shape = shape
        self.assignment = assignment
        self.layers = layers
        self.layout_layer = layout_layer
        self.n_maps = n_maps
        self.blur = blur
        self.missing = missing
        self.output = output
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit scaling, layout and pixels on training rows.

        Parameters
        ----------
        X
            DataFrame or array of shape ``(sample, feature)``, 2 samples or more.
        y
            Not used.

        Raises
        ------
        InputError
            When a hyperparameter is not allowed, a value cannot be used, or the frame is too small for the genes.
        """
        del y
        self._require_options()
        values = self._checked(X, reset=True)
        self.layers_, self.genes_, self.columns_ = find_layers(X, self._names(), self.layers)
        self.scalers_ = tuple(scaler_class(self.scaling).fit(values[:, columns]) for columns in self.columns_)
        places = self._layouts(self._scaled(values))
        self.shape_ = self._frame(places[0])
        framed = [pixel_places(place, self.shape_) for place in places]
        assigned = [assign_pixels(place, self.shape_, assignment=self.assignment) for place in framed]
        self.maps_ = tuple(PixelMap(found.pixels, self.shape_) for found in assigned)
        self.shifts_ = np.array([(found.shift, found.bound) for found in assigned])
        self.coordinates_ = framed[0]
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Return images, ``(sample, feature) -> (sample, channel, height, width)``, or their rows as a table."""
        check_is_fitted(self)
        scaled = self._scaled(self._checked(X, reset=False))
        images = np.zeros((len(scaled[0]), self.n_channels_, *self.shape_), np.float32)
        for number, (pixel_map, layer) in enumerate((m, s) for m in self.maps_ for s in scaled):
            pixel_map.images(layer, out=images[:, number])
        if self.blur > 0:
            images = gaussian_filter(images, (0, 0, self.blur, self.blur), mode="constant")
        return images.reshape(len(images), -1) if self.output == "table" else images

    def batches(
        self, table: pd.DataFrame | Table | TableBlocks | Iterable[tuple[Sequence[str], Table]], *, size: int = 256
    ) -> Iterator[ImageBatch]:
        """Yield sample names and images batch by batch, so that neither table nor images need to fit into memory.

        Parameters
        ----------
        table
            A table; or blocks of rows, each with its sample names, with the features in the order of ``fit``.
        size
            Samples in a batch, 1 or more; the last batch of a block may be smaller.

        Raises
        ------
        InputError
            When a file's features are not those of ``fit`` in that order, or a value cannot be used.
        """
        check_is_fitted(self)
        if isinstance(table, TableBlocks) and list(table.names) != self._names():
            raise InputError(f"{table.path}: its features are not those of the fit, in that order. Select them first.")
        return image_batches(lambda rows: self.transform(self._named(rows)), table, size=size)

    def inverse_transform(self, X: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the table behind images, ``(sample, channel, height, width) -> (sample, feature)``, in its units.

        Exact up to single precision where a gene has a pixel of its own and its value lies in the training range; genes
        that share a pixel all get its mean; several maps are averaged.

        Raises
        ------
        InputError
            When the images are blurred.
        """
        check_is_fitted(self)
        if self.blur > 0:
            raise InputError(f"inverse_transform: a blur of {self.blur} pixels cannot be undone. Set blur=0.")
        images = np.asarray(X)
        images = images.reshape(-1, self.n_channels_, *self.shape_) if images.ndim == 2 else images
        self._require_frame(images, self.n_channels_)
        table = np.empty((len(images), self.n_features_in_))
        for layer, (scaler, columns) in enumerate(zip(self.scalers_, self.columns_, strict=True)):
            views = [
                pixel_map.table(images[:, number * len(self.layers_) + layer])
                for number, pixel_map in enumerate(self.maps_)
            ]
            table[:, columns] = scaler.unscale(np.mean(views, axis=0))
        return table

    def decode(self, relevance: npt.NDArray[Any], X: Any = None) -> npt.NDArray[np.float64]:
        """Return the relevance of every feature, from maps of the size of the images.

        A pixel's score is shared among its features: in proportion to their own scaled values where ``X`` is given and
        one of them is not 0, equally otherwise. Shares sum to the score, and scores of several maps are summed, so that
        a sample's features together have what its occupied pixels have.

        Parameters
        ----------
        relevance
            Shape ``(sample, channel, height, width)``: a score of each channel goes to the features of its layer. Or
            ``(sample, height, width)``, or one channel, as class activation maps come: features of all layers in a
            pixel share it; needs ``n_maps=1``.
        X
            The table, shape ``(sample, feature)``, in its own units.

        Returns
        -------
        ndarray
            Shape ``(sample, feature)``, in the order and with the sign of ``fit`` and ``relevance``.

        Raises
        ------
        ShapeError
            When the maps are of another size. Bring coarse ones to the frame first.
        """
        check_is_fitted(self)
        maps = np.asarray(relevance)
        maps = maps[:, None] if maps.ndim == 3 else maps
        joint = maps.ndim == 4 and maps.shape[1] == 1 and len(self.maps_) == 1
        self._require_frame(maps, 1 if joint else self.n_channels_)
        scaled = None if X is None else self._scaled(self._checked(X, reset=False))
        scores = np.zeros((len(maps), self.n_features_in_))
        if joint:
            everywhere = PixelMap(np.tile(self.pixels_, (len(self.layers_), 1)), self.shape_)
            scores[:, self.columns_.ravel()] = everywhere.share(
                maps[:, 0], None if scaled is None else np.hstack(scaled)
            )
            return scores
        for number, pixel_map in enumerate(self.maps_):
            for layer, columns in enumerate(self.columns_):
                weights = None if scaled is None else scaled[layer]
                scores[:, columns] += pixel_map.share(maps[:, number * len(self.layers_) + layer], weights)
        return scores

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return a name for every pixel of every channel, such as ``"pixel_12_40"``, after the layer and map if any."""
        check_is_fitted(self)
        self._require_same_names(input_features)
        maps = [f"map{number}_" if len(self.maps_) > 1 else "" for number in range(len(self.maps_))]
        layers = [f"{layer}_" if len(self.layers_) > 1 else "" for layer in self.layers_]
        height, width = self.shape_
        pixels = [f"pixel_{row}_{column}" for row in range(height) for column in range(width)]
        return np.array([f"{a}{b}{pixel}" for a in maps for b in layers for pixel in pixels], dtype=object)

    def save(self, folder: str | Path) -> None:
        """Write the fitted transformer into a folder as JSON and safetensors; :meth:`load` reads it back."""
        check_is_fitted(self)
        write_transformer(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; given coordinates come back as an array."""
        transformer = cls()
        read_transformer(transformer, Path(folder))
        return transformer

    @property
    def pixels_(self) -> npt.NDArray[np.int64]:
        """Row and column of every gene in the first map, shape ``(gene, 2)``."""
        return self.maps_[0].pixels

    @property
    def groups_(self) -> npt.NDArray[np.int64]:
        """Number of the pixel of every gene in the first map, shape ``(gene,)``; genes in one pixel share it."""
        return self.maps_[0].groups

    @property
    def n_channels_(self) -> int:
        """Number of channels: maps times layers."""
        return len(self.maps_) * len(self.layers_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.transformer_tags.preserves_dtype = []  # images are float32, whatever comes in
        return tags

    def _require_options(self) -> None:
        allowed = {"missing": ("refuse", "zero"), "output": ("images", "table")}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise InputError(f"{name} must be one of {', '.join(values)}, got {getattr(self, name)!r}.")
        if self.n_maps < 1 or self.blur < 0:
            raise InputError(f"n_maps must be 1 or more and blur 0 or more, got {self.n_maps} and {self.blur}.")
        if self.n_maps > 1 and (self.coordinates is not None or self.layout not in ("tsne", "umap")):
            raise InputError(
                f"n_maps={self.n_maps} would be equal maps: only t-SNE and UMAP differ by metric and seed."
            )

    def _checked(self, X: Any, *, reset: bool) -> Table:
        """Return the values, after the checks of scikit-learn and of this package."""
        flat, allow_missing = flat_columns(X), self.missing == "zero"
        if isinstance(flat, pd.DataFrame) and len(flat.columns):
            require_numeric_table(flat, where="X", allow_missing=allow_missing)
        floating = (np.float64, np.float32)
        values: Table = validate_data(
            self, flat, reset=reset, dtype=floating, ensure_all_finite=False, ensure_min_samples=2 if reset else 1
        )
        require_finite(values, self._names(), allow_missing=allow_missing)
        return values

    def _names(self) -> list[str]:
        named = getattr(self, "feature_names_in_", None)
        return [f"x{number}" for number in range(self.n_features_in_)] if named is None else [str(n) for n in named]

    def _named(self, rows: Any) -> Any:
        if isinstance(rows, pd.DataFrame) or not hasattr(self, "feature_names_in_"):
            return rows
        return pd.DataFrame(rows, columns=self.feature_names_in_, copy=False)

    def _scaled(self, values: Table) -> list[npt.NDArray[np.float32]]:
        """Return one array a layer, shape ``(sample, gene)``."""
        return [s.scale(values[:, columns]) for s, columns in zip(self.scalers_, self.columns_, strict=True)]

    def _layouts(self, scaled: list[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float64]]:
        """Return the places of the genes in every map."""
        if self.coordinates is not None:
            return [given_places(self.coordinates, self.genes_)]
        if self.layout_layer is not None and self.layout_layer not in self.layers_:
            raise InputError(f"layout_layer {self.layout_layer!r} is none of the layers: {', '.join(self.layers_)}.")
        chosen = scaled if self.layout_layer is None else [scaled[self.layers_.index(self.layout_layer)]]
        profiles = np.concatenate(chosen).T
        seed = self.random_state
        if not isinstance(seed, (int, np.integer)):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        return [self._embedded(profiles, int(seed), number) for number in range(self.n_maps)]

    def _embedded(self, profiles: Table, seed: int, number: int) -> npt.NDArray[np.float64]:
        if number == 0:
            return embed(profiles, layout=self.layout, metric=self.metric, random_state=seed)
        metric = METRICS[(METRICS.index(self.metric) + number) % len(METRICS)]
        return embed(profiles, layout=self.layout, metric=metric, random_state=derive_seed(seed, "map", number))

    def _frame(self, places: npt.NDArray[np.float64]) -> Shape:
        if isinstance(self.shape, str):
            if self.shape not in ("auto", "spaced"):
                raise InputError(f"shape must be 'auto', 'spaced' or height and width, got {self.shape!r}.")
            if self.shape == "spaced":
                return spaced_shape(places, limit=_LARGEST_SPACED_SIDE)
            return (collision_free_side(len(places)),) * 2
        return require_shape(self.shape)

    def _require_frame(self, images: npt.NDArray[Any], channels: int) -> None:
        if images.ndim != 4 or images.shape[1:] != (channels, *self.shape_):
            raise ShapeError.mismatch(type(self).__name__, "images", ("sample", channels, *self.shape_), images.shape)

    def _require_same_names(self, input_features: Any) -> None:
        if input_features is None:
            return
        if len(input_features) != self.n_features_in_:
            raise InputError(
                f"input_features should have length equal to number of features ({self.n_features_in_}), "
                f"got {len(input_features)}."
            )
        if hasattr(self, "feature_names_in_") and list(input_features) != list(self.feature_names_in_):
            raise InputError("input_features is not equal to feature_names_in_.")
