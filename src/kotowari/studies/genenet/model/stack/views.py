"""Tables and pictures of a stack of networks: hubs, change over the samples, enrichment, one graph."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError
from kotowari.formats.graph import Graph
from kotowari.formats.memory import require_bytes
from kotowari.studies.genenet.model.stack.arrays import StackArrays
from kotowari.trust.enrichment import over_representation

__all__ = ["Kind", "Side", "edge_change", "edge_frame", "gene_enrichment", "hub_table", "network_graph"]

FloatArray = npt.NDArray[np.float64]
Kind = Literal["percentile", "range"]
Side = Literal["regulators", "targets"]

_FRAME_ROW_BYTES = 8 + 4 + 4 + 4  # three categories and a value
_ENDS: dict[str, tuple[float, float]] = {"percentile": (0.05, 0.95), "range": (0.0, 1.0)}


def edge_frame(stack: StackArrays, *, limit_gb: float | None = None) -> pd.DataFrame:
    """Return all entries as a table; see :meth:`NetworkStack.to_frame`."""
    require_bytes(
        stack.n_entries * _FRAME_ROW_BYTES,
        what=f"The {stack.n_entries} edges of all samples as one table",
        remedy="Name samples, regulators or targets",
        limit_gb=limit_gb,
    )
    columns: dict[str, Any] = {
        "sample": _categories(np.repeat(np.arange(len(stack.samples)), np.diff(stack.starts)), stack.samples),
        "regulator": _categories(stack.edge_regulator[stack.entry_edge], stack.regulators),
        "target": _categories(stack.edge_target[stack.entry_edge], stack.targets),
    }
    return pd.DataFrame(columns | {stack.quantity: stack.entry_value})


def hub_table(stack: StackArrays) -> pd.DataFrame:
    """Rank genes by the edges that they have, as regulators and as targets.

    Returns
    -------
    DataFrame
        ``gene``, ``side`` (``"regulators"`` or ``"targets"``), ``n_partners`` (genes that it is joined to in any
        sample), ``mean_edges`` (edges a sample), ``mean_strength`` (sum of absolute values a sample, in units of the
        values, which differ between genes of different scale); most edges first. Genes without an edge are left out.
    """
    n_entries = np.bincount(stack.entry_edge, minlength=stack.n_edges)
    strength = np.bincount(stack.entry_edge, np.abs(stack.entry_value), stack.n_edges)
    tables = []
    for side in get_args(Side):
        names = getattr(stack, side)
        gene = stack.edge_regulator if side == "regulators" else stack.edge_target
        counted = {
            "n_partners": np.bincount(gene, minlength=len(names)),
            "mean_edges": np.bincount(gene, n_entries, len(names)) / len(stack.samples),
            "mean_strength": np.bincount(gene, strength, len(names)) / len(stack.samples),
        }
        table = pd.DataFrame({"gene": names, "side": side, **counted})
        tables.append(table[table["n_partners"] > 0].sort_values(["mean_edges", "gene"], ascending=[False, True]))
    return pd.concat(tables, ignore_index=True)


def edge_change(stack: StackArrays, kind: Kind = "percentile") -> pd.DataFrame:
    r"""Rank edges by how much they change over the samples.

    .. math:: \mathrm{REC}_{jk} = \mathrm{high}_a\, \mathrm{RE}_{jka} - \mathrm{low}_a\, \mathrm{RE}_{jka}

    with the 95th and the 5th percentile over samples, or with the largest and the smallest value, which one outlying
    sample settles. A sample without the edge counts as 0, one without a fitted network does not count. Of the samples,
    not of positions on the modulator: where few samples lie, little is seen.

    Parameters
    ----------
    stack
        Regulatory effects, or coefficients.
    kind
        ``"percentile"`` or ``"range"``.

    Returns
    -------
    DataFrame
        ``regulator``, ``target``, ``low``, ``high``, ``change``, ``share`` (of the fitted samples that have the edge);
        largest change first.

    Source: Shimamura et al. 2011, PLoS ONE 6:e20804 (regulatory effect change: max less min); percentiles by us.
    """
    if kind not in _ENDS:
        raise InputError(f"change_along_modulator: kind must be one of {', '.join(_ENDS)}, got {kind!r}.")
    columns, n_fitted = stack.values.tocsc(), stack.n_fitted()
    low, high = np.zeros(stack.n_edges), np.zeros(stack.n_edges)
    ends = np.searchsorted(stack.edge_target, np.arange(len(stack.targets) + 1))
    for target in np.flatnonzero(np.diff(ends)):
        edges = slice(ends[target], ends[target + 1])
        block = columns[:, edges].toarray()
        known = block if stack.fitted is None else block[stack.fitted[:, target]]
        low[edges], high[edges] = np.quantile(known, _ENDS[kind], axis=0)
    table = pd.DataFrame(
        {
            "regulator": stack.edge_names("regulators"),
            "target": stack.edge_names("targets"),
            "low": low,
            "high": high,
            "change": high - low,
            "share": np.bincount(stack.entry_edge, minlength=stack.n_edges) / n_fitted[stack.edge_target],
        }
    )
    return table.sort_values("change", ascending=False, kind="stable", ignore_index=True)


def gene_enrichment(
    stack: StackArrays,
    sets: Mapping[str, Collection[str]],
    side: Side,
    *,
    sample: str | None = None,
    top: int | None = None,
    smallest: int = 5,
    largest: int = 500,
) -> pd.DataFrame:
    """Test which gene sets hold more of the connected genes than chance gives (Fisher's exact test, one-sided).

    The background are the genes of that side that went into the networks, not the genome.

    Parameters
    ----------
    stack
        The networks.
    sets
        Name of a set to its genes.
    side
        ``"regulators"`` or ``"targets"``.
    sample
        Take the network of this sample; None takes all samples together.
    top
        The selected genes are this many with the most edges (ties by strength, then name); None selects every gene
        with an edge, which for all samples together may be every gene and then tells nothing.
    smallest, largest
        Sets with fewer or more genes of that side are not tested.

    Returns
    -------
    DataFrame
        As :func:`kotowari.trust.over_representation` gives it: ``set``, ``k``, ``size``, ``expected``, ``p``, ``q``,
        ``genes``.

    Raises
    ------
    InputError
        When the side or sample is not there, ``top`` is below 1, or no set fits.
    """
    if side not in get_args(Side) or (top is not None and top < 1):
        raise InputError(f"enrichment: needs side regulators or targets and top of 1 or more, got {side!r} and {top}.")
    rows = stack.positions("samples", None if sample is None else [sample])
    part = stack.values[rows]
    gene = (stack.edge_regulator if side == "regulators" else stack.edge_target)[part.indices]
    names = np.array(getattr(stack, side), dtype=object)
    n_edges = np.bincount(gene, minlength=len(names))
    strength = np.bincount(gene, np.abs(part.data), len(names))
    order = np.lexsort((names.astype(str), -strength, -n_edges))[:top]
    return over_representation(names[order[n_edges[order] > 0]], list(names), sets, smallest=smallest, largest=largest)


def network_graph(stack: StackArrays, sample: str | None = None, *, top: int | None = None) -> Graph:
    """Return one sample's network, or the union of all, as a graph with names; see :meth:`NetworkStack.to_graph`."""
    if top is not None and top < 1:
        raise InputError(f"A graph of the networks: top must be 1 or more, got {top}.")
    edge, columns, attributes = _union_edges(stack) if sample is None else _sample_edges(stack, sample)
    if top is not None and top < len(edge):
        leading = next(iter(columns.values()))
        kept = np.sort(np.argsort(-np.abs(leading), kind="stable")[:top])
        edge, columns = edge[kept], {name: values[kept] for name, values in columns.items()}
    source, target = stack.edge_names("regulators")[edge], stack.edge_names("targets")[edge]
    place = {name: k for k, name in enumerate(dict.fromkeys([*source, *target]))}
    start = np.array([place[name] for name in source], dtype=np.intp)
    end = np.array([place[name] for name in target], dtype=np.intp)
    known = {side: set(getattr(stack, side)) for side in get_args(Side)}
    node_columns: dict[str, Any] = {
        "is_regulator": np.array([name in known["regulators"] for name in place], dtype=np.bool_),
        "is_target": np.array([name in known["targets"] for name in place], dtype=np.bool_),
        "n_targets": np.bincount(start, minlength=len(place)),
        "n_regulators": np.bincount(end, minlength=len(place)),
    }
    attributes |= {"quantity": stack.quantity, "description": stack.description}
    return Graph(tuple(place), start, end, node_columns, columns, attributes)


def _sample_edges(stack: StackArrays, sample: str) -> tuple[npt.NDArray[Any], dict[str, Any], dict[str, Any]]:
    row = int(stack.positions("samples", [sample])[0])
    entries = slice(stack.starts[row], stack.starts[row + 1])
    value = stack.entry_value[entries]
    held = {} if stack.modulator is None else _numbered("modulator", np.atleast_1d(stack.modulator[row]))
    columns = {stack.quantity: value, "sign": np.sign(value).astype(np.int64)}
    return stack.entry_edge[entries], columns, {"sample": sample, **held}


def _union_edges(stack: StackArrays) -> tuple[npt.NDArray[Any], dict[str, Any], dict[str, Any]]:
    n_fitted = stack.n_fitted()[stack.edge_target]
    by_edge = stack.values.tocsc()
    n_entries, starts = np.diff(by_edge.indptr), by_edge.indptr[:-1]
    empty = not stack.n_edges  # reduceat needs one column; every edge has an entry
    low, high = (np.zeros(0) if empty else best.reduceat(by_edge.data, starts) for best in (np.minimum, np.maximum))
    everywhere = n_entries == n_fitted
    columns = {
        "mean": np.bincount(stack.entry_edge, stack.entry_value, stack.n_edges) / n_fitted,
        "share": n_entries / n_fitted,
        "lowest": np.where(everywhere, low, np.minimum(low, 0.0)),
        "highest": np.where(everywhere, high, np.maximum(high, 0.0)),
    }
    return np.arange(stack.n_edges), columns, {"n_samples": len(stack.samples)}


def _categories(codes: npt.NDArray[Any], names: Sequence[str]) -> Any:
    return pd.Categorical.from_codes(codes, categories=pd.Index(names))


def _numbered(name: str, values: FloatArray) -> dict[str, float]:
    """Name one value plainly, and several with their numbers."""
    many = len(values) > 1
    return {f"{name}_{k}" if many else name: float(value) for k, value in enumerate(values)}
