"""A gene network for every sample, held sparse, and what a user asks of it."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from kotowari.core.errors import InputError
from kotowari.formats.cytoscape import write_cytoscape
from kotowari.formats.graph import Graph
from kotowari.formats.graphml import write_graphml
from kotowari.formats.memory import require_bytes
from kotowari.studies.genenet.model.stack.arrays import (
    StackArrays,
    checked_axes,
    checked_fitted,
    checked_intercepts,
    checked_modulator,
    sparse_layout,
)
from kotowari.studies.genenet.model.stack.difference import edge_difference
from kotowari.studies.genenet.model.stack.effects import path_effects
from kotowari.studies.genenet.model.stack.files import read_stack, write_stack, write_stack_h5ad
from kotowari.studies.genenet.model.stack.views import (
    Kind,
    Side,
    edge_change,
    edge_frame,
    gene_enrichment,
    hub_table,
    network_graph,
)

__all__ = ["EdgeList", "NetworkStack"]


class EdgeList(NamedTuple):
    """All edges that any sample has, and what each sample gives them.

    Attributes
    ----------
    regulator, target
        Shape ``(edge,)``, int32: positions in ``stack.regulators`` and ``stack.targets``.
    values
        Sparse, shape ``(sample, edge)``, float32; 0 where a sample does not have the edge.
    """

    regulator: npt.NDArray[np.int32]
    target: npt.NDArray[np.int32]
    values: sparse.csr_array


class NetworkStack(StackArrays):
    """Regulator-to-target networks of all samples, sparse and unchangeable.

    Values are on the raw scale: units of the target per unit of the regulator, so that samples can be compared. An
    entry takes 8 bytes, an edge 8 more. Nothing here makes a dense array of all samples, regulators and targets unless
    :meth:`to_dense` is asked, and it refuses above a limit. Made by :meth:`from_arrays`, :meth:`join` or :meth:`load`;
    the attributes are those of :class:`StackArrays`.

    Examples
    --------
    >>> names = {"samples": ["S1", "S2"], "regulators": ["ZEB1"], "targets": ["CDH1", "VIM"]}
    >>> stack = NetworkStack.from_arrays([0, 1], [0, 0], [0, 1], [-0.5, 0.25], modulator=[0.1, 0.9], **names)
    >>> stack.to_frame("S2").drop(columns="sample").to_dict("records")
    [{'regulator': 'ZEB1', 'target': 'VIM', 'coefficient': 0.25}]
    """

    @classmethod
    def from_arrays(
        cls,
        sample: npt.ArrayLike,
        regulator: npt.ArrayLike,
        target: npt.ArrayLike,
        coefficient: npt.ArrayLike,
        *,
        samples: Sequence[str],
        regulators: Sequence[str],
        targets: Sequence[str],
        modulator: npt.ArrayLike | None,
        intercepts: npt.ArrayLike | None = None,
        fitted: npt.ArrayLike | None = None,
        quantity: str = "coefficient",
        description: str = "",
    ) -> Self:
        """Make a stack from one entry an edge and sample, in any order.

        About 60 bytes an entry are needed on the way; blocks of targets joined by :meth:`join` need less at a time.

        Parameters
        ----------
        sample, regulator, target
            Shape ``(entry,)``, integers: positions in the names.
        coefficient
            Shape ``(entry,)``, finite; kept as float32. An entry of 0 is no edge and is left out.
        samples, regulators, targets
            Names, each once. A gene may be regulator and target.
        modulator
            Shape ``(sample,)`` or ``(sample, modulator)``; None where the networks know of none.
        intercepts
            Shape ``(sample, target)``, finite where fitted.
        fitted
            Shape ``(sample, target)``, booleans: False where no network could be estimated. None: all could.
        quantity, description
            What the values are, and how the networks were made.

        Raises
        ------
        InputError
            When an edge stands twice in a sample, a position is out of range, a value is not finite, or an edge stands
            where no network was fitted.
        ShapeError
            When arrays do not fit each other.
        """
        axes = checked_axes(samples, regulators, targets)
        shape = (len(axes[0]), len(axes[1]), len(axes[2]))
        layout: dict[str, Any] = sparse_layout(sample, regulator, target, coefficient, shape)
        known = checked_fitted(fitted, (shape[0], shape[2]))
        offsets = checked_intercepts(intercepts, (shape[0], shape[2]), known)
        if known is not None:
            row = np.repeat(np.arange(shape[0]), np.diff(layout["starts"]))
            if not known[row, layout["edge_target"][layout["entry_edge"]]].all():
                raise InputError("NetworkStack: an edge stands where no network was fitted. Leave it out, or mark it.")
        means = checked_modulator(modulator, shape[0])
        return cls(
            *axes,
            means,
            **layout,
            intercepts=offsets,
            fitted=known,
            quantity=quantity,
            description=description,
        )

    @classmethod
    def join(cls, blocks: Sequence["NetworkStack"]) -> Self:
        """Put stacks of the same samples and regulators, but other targets, side by side.

        Raises
        ------
        InputError
            When there is no block, samples, regulators, modulator or quantity differ, or a target stands in two blocks.
        """
        if not blocks:
            raise InputError("NetworkStack.join: there are no blocks.")
        first = blocks[0]
        for block in blocks[1:]:
            same = block.samples == first.samples and block.regulators == first.regulators
            if not same or block.quantity != first.quantity or not _equal(block.modulator, first.modulator):
                raise InputError("NetworkStack.join: the blocks differ in samples, regulators, modulator or quantity.")
        axes = checked_axes(first.samples, first.regulators, [name for block in blocks for name in block.targets])
        matrix = sparse.hstack([block.values for block in blocks], format="csr")
        offsets = np.cumsum([0, *(len(block.targets) for block in blocks[:-1])])
        shifted = [block.edge_target + np.int32(shift) for block, shift in zip(blocks, offsets, strict=True)]
        shape = (len(first.samples), len(axes[2]))
        return cls(
            *axes,
            first.modulator,
            edge_regulator=np.concatenate([block.edge_regulator for block in blocks]),
            edge_target=np.concatenate(shifted),
            starts=matrix.indptr.astype(np.int64),
            entry_edge=matrix.indices.astype(np.int32, copy=False),
            entry_value=matrix.data,
            intercepts=_joined([block.intercepts for block in blocks], shape, blocks),
            fitted=_joined([block.fitted for block in blocks], shape, blocks),
            quantity=first.quantity,
            description=first.description,
        )

    def select(self, *, samples: Any = None, regulators: Any = None, targets: Any = None) -> Self:
        """Return the networks of some samples, regulators and targets, by name; None keeps all.

        Raises
        ------
        InputError
            When a name is not there, stands twice, or nothing is asked for.
        """
        rows = self.positions("samples", samples)
        sides = {"regulators": self.positions("regulators", regulators), "targets": self.positions("targets", targets)}
        new = {side: np.full(len(getattr(self, side)), -1, dtype=np.int64) for side in sides}
        for side, chosen in sides.items():
            new[side][chosen] = np.arange(len(chosen))
        regulator, target = new["regulators"][self.edge_regulator], new["targets"][self.edge_target]
        part = self.values[rows].tocoo()
        edge = part.coords[1]
        kept = (regulator[edge] >= 0) & (target[edge] >= 0)
        grid = np.ix_(rows, sides["targets"])
        return type(self).from_arrays(
            part.coords[0][kept],
            regulator[edge[kept]],
            target[edge[kept]],
            part.data[kept],
            samples=[self.samples[row] for row in rows],
            regulators=[self.regulators[k] for k in sides["regulators"]],
            targets=[self.targets[k] for k in sides["targets"]],
            modulator=None if self.modulator is None else self.modulator[rows],
            intercepts=None if self.intercepts is None else self.intercepts[grid],
            fitted=None if self.fitted is None else self.fitted[grid],
            quantity=self.quantity,
            description=self.description,
        )

    def network(self, sample: str) -> sparse.csr_array:
        """Return the network of one sample, sparse, shape ``(regulator, target)``, float32."""
        row = int(self.positions("samples", [sample])[0])
        entries = slice(self.starts[row], self.starts[row + 1])
        edge = self.entry_edge[entries]
        ends = (self.edge_regulator[edge], self.edge_target[edge])
        shape = (len(self.regulators), len(self.targets))
        return sparse.coo_array((self.entry_value[entries], ends), shape=shape).tocsr()

    def edge_list(self) -> EdgeList:
        """Return the union of all edges with the values of every sample: the input of tensor models."""
        return EdgeList(self.edge_regulator, self.edge_target, self.values)

    def to_dense(self, *, limit_gb: float = 1.0) -> npt.NDArray[np.float32]:
        """Return all networks as one array ``(sample, regulator, target)``, unless it is too large.

        Raises
        ------
        InputError
            When it would exceed ``limit_gb`` (units of 10^9 bytes).
        """
        shape = (len(self.samples), len(self.regulators), len(self.targets))
        require_bytes(
            4 * int(np.prod(shape, dtype=np.int64)),
            what="All networks as one dense array",
            remedy="Work on edge_list() or select() fewer samples and genes",
            limit_gb=limit_gb,
        )
        dense = np.zeros(shape, dtype=np.float32)
        row = np.repeat(np.arange(shape[0]), np.diff(self.starts))
        dense[row, self.edge_regulator[self.entry_edge], self.edge_target[self.entry_edge]] = self.entry_value
        return dense

    def to_frame(
        self, samples: Any = None, regulators: Any = None, targets: Any = None, *, limit_gb: float | None = None
    ) -> pd.DataFrame:
        """Return the edges as a table with ``sample``, ``regulator``, ``target`` and the quantity, a row an entry.

        Parameters
        ----------
        samples, regulators, targets
            Names to keep; None keeps all.
        limit_gb
            Largest size in units of 10^9 bytes; None stands for half of this machine's memory.

        Raises
        ------
        InputError
            When a name is not there, or the table would be too large.
        """
        if not samples is regulators is targets is None:
            return self.select(samples=samples, regulators=regulators, targets=targets).to_frame(limit_gb=limit_gb)
        return edge_frame(self, limit_gb=limit_gb)

    def to_graph(self, sample: str | None = None, *, top: int | None = None) -> Graph:
        """Return one sample's network, or the union of all with mean, share and extremes of each edge.

        Parameters
        ----------
        sample
            A name; None takes the union.
        top
            Keep this many edges of the largest absolute value (mean, in a union); None keeps all.
        """
        return network_graph(self, sample, top=top)

    def to_graphml(self, path: Path, sample: str | None = None, *, top: int | None = None) -> None:
        """Write :meth:`to_graph` as GraphML."""
        write_graphml(Path(path), self.to_graph(sample, top=top))

    def to_cytoscape(self, path: Path, sample: str | None = None, *, top: int | None = None) -> None:
        """Write :meth:`to_graph` as Cytoscape JSON (``.cyjs``)."""
        write_cytoscape(Path(path), self.to_graph(sample, top=top), name=sample or "union of all samples")

    def to_h5ad(self, path: Path) -> None:
        """Write samples x edges as h5ad, sparse, the modulator in ``obs``, the ends of every edge in ``var``."""
        write_stack_h5ad(self, Path(path))

    def save(self, folder: Path) -> None:
        """Write the stack into a folder: arrays as npz, names as JSON, nothing pickled."""
        write_stack(self, Path(folder))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            When a file is missing, damaged, or of another kind.
        """
        return cls(**read_stack(Path(folder)))

    def difference(
        self,
        group_a: Any,
        group_b: Any,
        *,
        test: Literal["welch", "permutation"] = "welch",
        n_permutations: int = 999,
        random_state: int = 0,
    ) -> pd.DataFrame:
        """Compare the edges of two groups of samples; see :func:`edge_difference`."""
        return edge_difference(
            self, group_a, group_b, test=test, n_permutations=n_permutations, random_state=random_state
        )

    def hubs(self) -> pd.DataFrame:
        """Rank genes by the edges that they have; see :func:`hub_table`."""
        return hub_table(self)

    def regulatory_effect(
        self,
        X: Any,
        max_length: int = 2,
        *,
        centred: bool = True,
        targets: Any = None,
        limit_gb: float | None = None,
    ) -> Self:
        """Return what every regulator does to every target in every sample; see :func:`path_effects`."""
        entries = path_effects(self, X, max_length, centred=centred, targets=targets, limit_gb=limit_gb)
        chosen = self.positions("targets", targets)
        return type(self).from_arrays(
            *entries,
            samples=self.samples,
            regulators=self.regulators,
            targets=[self.targets[k] for k in chosen],
            modulator=self.modulator,
            fitted=None if self.fitted is None else self.fitted[:, chosen],
            quantity="regulatory effect",
            description=f"Effects over paths of length {max_length} or less. {self.description}".strip(),
        )

    def change_along_modulator(self, kind: Kind = "percentile") -> pd.DataFrame:
        """Rank edges by how much they change over the samples; see :func:`edge_change`."""
        return edge_change(self, kind)

    def enrichment(
        self,
        sets: Mapping[str, Collection[str]],
        side: Side = "regulators",
        *,
        sample: str | None = None,
        top: int | None = None,
        smallest: int = 5,
        largest: int = 500,
    ) -> pd.DataFrame:
        """Test which gene sets the hubs belong to; see :func:`gene_enrichment`."""
        return gene_enrichment(self, sets, side, sample=sample, top=top, smallest=smallest, largest=largest)


def _joined(
    parts: Sequence[npt.NDArray[Any] | None], shape: tuple[int, int], blocks: Sequence[NetworkStack]
) -> npt.NDArray[Any] | None:
    """Put blocks of columns side by side; a block without its own is all True (a mask) or makes the whole None."""
    held = [part for part in parts if part is not None]
    if not held or (len(held) < len(parts) and held[0].dtype != np.bool_):
        return None
    full = [
        np.ones((shape[0], len(block.targets)), dtype=np.bool_) if part is None else part
        for part, block in zip(parts, blocks, strict=True)
    ]
    return np.concatenate(full, axis=1)


def _equal(a: npt.NDArray[Any] | None, b: npt.NDArray[Any] | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))
