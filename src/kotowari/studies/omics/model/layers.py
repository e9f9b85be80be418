"""Which columns of a table are the same gene in another layer (expression, methylation, copy number)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few, require_unique
from kotowari.core.errors import InputError

__all__ = ["LayerColumns", "find_layers"]

_ONLY = "values"


class LayerColumns(NamedTuple):
    """Genes of one or several layers, and where each stands in the table.

    Attributes
    ----------
    names
        Names of the layers.
    genes
        Names of the genes.
    columns
        Shape ``(layer, gene)``: column numbers.
    """

    names: tuple[str, ...]
    genes: tuple[str, ...]
    columns: npt.NDArray[np.int64]


def find_layers(table: Any, names: Sequence[str], layers: Mapping[str, Sequence[str]] | None) -> LayerColumns:
    """Return the layers of a table.

    Parameters
    ----------
    table
        As the user gave it: pairs (layer, gene) in its columns name the layers, if ``layers`` does not.
    names
        Names of the columns, flat.
    layers
        Columns of each layer, gene by gene in the same order; the first layer's columns name the genes.

    Raises
    ------
    InputError
        When layers have other genes than the first, a column is missing, is listed twice, or belongs to no layer.
    """
    if layers is not None:
        return _from_mapping(names, layers)
    if isinstance(table, pd.DataFrame) and isinstance(table.columns, pd.MultiIndex):
        return _from_pairs(list(table.columns))
    return LayerColumns((_ONLY,), tuple(names), np.arange(len(names))[None])


def _from_pairs(pairs: list[tuple[Any, Any]]) -> LayerColumns:
    named = [(str(layer), str(gene)) for layer, gene in pairs]
    require_unique((f"{layer}:{gene}" for layer, gene in named), what="columns", where="X")
    place = {pair: number for number, pair in enumerate(named)}
    layers = tuple(dict.fromkeys(layer for layer, _ in named))
    genes = tuple(gene for layer, gene in named if layer == layers[0])
    for layer in layers:
        here = {gene for name, gene in named if name == layer}
        differing = sorted(here.symmetric_difference(genes))
        if differing:
            raise InputError(
                f"X: layers {layers[0]!r} and {layer!r} differ in {len(differing)} genes ({few(differing)}). "
                "Keep the genes that all layers have."
            )
    columns = np.array([[place[layer, gene] for gene in genes] for layer in layers])
    return LayerColumns(layers, genes, columns)


def _from_mapping(names: Sequence[str], layers: Mapping[str, Sequence[str]]) -> LayerColumns:
    listed = [str(column) for columns in layers.values() for column in columns]
    require_unique(listed, what="columns", where="layers")
    sizes = {name: len(columns) for name, columns in layers.items()}
    if not listed or len(set(sizes.values())) > 1:
        raise InputError(f"layers: every layer must list the same genes in the same order, got sizes {sizes}.")
    place = {name: number for number, name in enumerate(names)}
    absent = [column for column in listed if column not in place]
    if absent:
        raise InputError(f"layers: {len(absent)} columns are not in the table ({few(absent)}).")
    unused = sorted(set(names).difference(listed))
    if unused:
        raise InputError(f"layers: {len(unused)} columns of the table are in no layer ({few(unused)}). Drop them.")
    columns = np.array([[place[str(column)] for column in columns] for columns in layers.values()])
    return LayerColumns(tuple(map(str, layers)), tuple(names[column] for column in columns[0]), columns)
