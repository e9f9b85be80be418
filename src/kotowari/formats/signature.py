"""Signatures of genes as text: one gene a line, and whether it rises or falls with what is scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kotowari.core.checks import few
from kotowari.core.errors import InputError
from kotowari.formats.delimited import DelimitedRows

__all__ = ["GeneSignature", "read_signature"]


@dataclass(frozen=True)
class GeneSignature:
    """Genes that rise and genes that fall with a score.

    Parameters
    ----------
    up, down
        Names of genes, in order; none stands in both.
    references
        Gene to where its direction was shown; a gene may be left out.

    Examples
    --------
    >>> GeneSignature(("VIM",), ("CDH1",)).genes
    ('VIM', 'CDH1')
    """

    up: tuple[str, ...]
    down: tuple[str, ...]
    references: Mapping[str, str] = field(default_factory=dict)

    @property
    def genes(self) -> tuple[str, ...]:
        """All genes, those that rise first."""
        return (*self.up, *self.down)


def read_signature(path: Path) -> GeneSignature:
    """Read a signature from a csv file with the columns ``gene`` and ``direction``, and ``reference`` if there is one.

    Other columns are passed over, and so are spaces around cells.

    Raises
    ------
    InputError
        When the file cannot be read or lacks a column, a line names no gene or a direction other than up and down, a
        gene stands on two lines, or no gene goes up; the sentence names the line.
    """
    path = Path(path)
    rows = DelimitedRows(path, index=False)
    missing = [name for name in ("gene", "direction") if name not in rows.columns]
    if missing:
        raise InputError(
            f"{path}: has no column {' and no column '.join(missing)}. A signature needs the columns gene and "
            f"direction; there are: {few(rows.columns, 12)}."
        )
    lines: dict[str, int] = {}
    ways: dict[str, list[str]] = {"up": [], "down": []}
    references: dict[str, str] = {}
    for line, _, cells in rows.cells():
        values = dict(zip(rows.columns, (cell.strip() for cell in cells), strict=True))
        gene, way = values["gene"], values["direction"]
        if not gene:
            raise InputError(f"{path}: line {line} names no gene. Fill it in, or take the line out.")
        if way not in ways:
            raise InputError(
                f"{path}: line {line} gives {gene} the direction {way!r}, which is neither up nor down. Write up for "
                "genes that rise with the score (mesenchymal), down for those that fall (epithelial)."
            )
        if gene in lines:
            raise InputError(
                f"{path}: {gene} stands on line {lines[gene]} and on line {line}. Name each gene once; a file holds "
                "one signature."
            )
        lines[gene] = line
        ways[way].append(gene)
        if values.get("reference"):
            references[gene] = values["reference"]
    if not ways["up"]:
        raise InputError(f"{path}: no gene goes up. A score needs genes that rise with it; turn the directions round.")
    return GeneSignature(tuple(ways["up"]), tuple(ways["down"]), references)
