"""Genes that the configuration names: signature, regulators, targets; what of them the table holds, and what not."""

from collections.abc import Sequence
from pathlib import Path

from kotowari.core.checks import few
from kotowari.core.errors import InputError
from kotowari.datasets.factors import load_reactome_factors
from kotowari.datasets.packaged import load_emt_markers
from kotowari.formats.signature import GeneSignature, read_signature
from kotowari.formats.text import opened_text
from kotowari.studies.genenet.config import Config

__all__ = ["named_regulators", "named_signature", "named_targets", "read_gene_names"]

Genes = tuple[str, ...]

_FEWEST_MARKERS = 3
_SHOWN = 10


def named_signature(genes: Sequence[str], constant: Sequence[str], config: Config) -> tuple[GeneSignature, list[str]]:
    """Return the part of the signature that can be scored, and which genes are absent; empty beside a column.

    Parameters
    ----------
    genes
        Genes of the table that vary.
    constant
        Genes of the table that do not.
    config
        ``modulator.column`` and ``modulator.signature``.

    Raises
    ------
    InputError
        When fewer than three genes can be scored, or none that goes up.
    """
    if config.modulator.column is not None:
        return GeneSignature((), ()), []
    named = config.modulator.signature
    whole = load_emt_markers() if isinstance(named, str) else read_signature(named)
    up, down = ([gene for gene in way if gene in set(genes)] for way in (whole.up, whole.down))
    if len(up) + len(down) < _FEWEST_MARKERS or not up:
        raise InputError(
            f"modulator.signature: {len(up) + len(down)} of its {len(whole.genes)} genes are in the table and vary, "
            f"{len(up)} of them go up. A score needs {_FEWEST_MARKERS} or more, and one that goes up. Check how the "
            "table names its genes, or name another signature."
        )
    return GeneSignature(tuple(up), tuple(down), whole.references), _absent(
        whole.genes, genes, constant, "genes of the signature"
    )


def named_regulators(genes: Sequence[str], constant: Sequence[str], config: Config) -> tuple[Genes, list[str]]:
    """Return the regulators that the table holds, and how many it does not; parameters as in :func:`named_signature`.

    Raises
    ------
    InputError
        When the file cannot be used, or the table holds none of the genes.
    """
    named = config.data.regulators
    packaged = isinstance(named, str)
    whole = load_reactome_factors() if isinstance(named, str) else read_gene_names(named)
    kept = _required(whole, genes, "data.regulators")
    if packaged:
        return kept, [f"{len(kept)} of the {len(whole)} transcription factors that Reactome names are regulators."]
    return kept, _absent(whole, genes, constant, "regulators")


def named_targets(genes: Sequence[str], constant: Sequence[str], config: Config) -> tuple[Genes | None, list[str]]:
    """Return the targets that the table holds, or None where the fold chooses them; see :func:`named_signature`.

    Raises
    ------
    InputError
        When the file cannot be used, the table holds none of the genes, or a named gene has one value in all samples.
    """
    named = config.data.targets
    if isinstance(named, str):
        if config.data.n_targets > len(genes):
            return None, [f"{config.data.n_targets} targets are asked for; the table has {len(genes)} genes that vary."]
        return None, []
    whole = read_gene_names(named)
    if still := [gene for gene in whole if gene in set(constant)]:
        raise InputError(
            f"data.targets: {few(still)} of {named.name} has one value in all samples, so there is nothing to explain. "
            "Take it out of the list."
        )
    return _required(whole, genes, "data.targets"), _absent(whole, genes, constant, "targets")


def read_gene_names(path: Path) -> Genes:
    """Read a text file of one gene a line; blank lines, spaces around names and repeated names are passed over.

    Raises
    ------
    InputError
        When the file cannot be read, holds no name, or a line holds several words or cells.
    """
    names: dict[str, None] = {}
    with opened_text(path) as file:
        for number, line in enumerate(file, start=1):
            name = line.strip()
            if len(name.replace(",", " ").replace(";", " ").split()) > 1:
                raise InputError(
                    f"{path}: line {number} holds more than one word ({name[:40]!r}). Give one gene a line."
                )
            if name:
                names[name] = None
    if not names:
        raise InputError(f"{path}: names no gene. Give one gene a line.")
    return tuple(names)


def _required(whole: Sequence[str], genes: Sequence[str], key: str) -> Genes:
    known = set(genes)
    kept = tuple(gene for gene in whole if gene in known)
    if not kept:
        raise InputError(
            f"{key}: none of the {len(whole)} genes ({few(whole)}) is in the table and varies; the table holds "
            f"{few(genes)}. Name them as the table does."
        )
    return kept


def _absent(whole: Sequence[str], genes: Sequence[str], constant: Sequence[str], what: str) -> list[str]:
    notes = []
    if still := [gene for gene in whole if gene in set(constant)]:
        notes.append(f"{len(still)} of {len(whole)} {what} have one value in all samples ({few(still, _SHOWN)}).")
    known = {*genes, *constant}
    if absent := [gene for gene in whole if gene not in known]:
        notes.append(f"{len(absent)} of {len(whole)} {what} are not in the table ({few(absent, _SHOWN)}).")
    return notes
