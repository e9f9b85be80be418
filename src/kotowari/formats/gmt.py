"""Gene sets as text (.gmt, plain or gzipped): one set a line, name, description, genes, parted by tabs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kotowari.core.checks import require_unique
from kotowari.core.errors import InputError
from kotowari.formats.text import opened_text, write_encoded

__all__ = ["GeneSets", "read_gmt", "write_gmt"]


@dataclass(frozen=True)
class GeneSets(Mapping[str, tuple[str, ...]]):
    """Named sets of genes, in order; itself a mapping from name to genes.

    Parameters
    ----------
    sets
        Name to genes, each gene once.
    descriptions
        Name to a word on the set, often its source; a name may be left out.

    Examples
    --------
    >>> sets = GeneSets({"MISMATCH_REPAIR": ("MLH1", "MSH2")}, {"MISMATCH_REPAIR": "by hand"})
    >>> sets["MISMATCH_REPAIR"], sets.descriptions["MISMATCH_REPAIR"], len(sets)
    (('MLH1', 'MSH2'), 'by hand', 1)
    """

    sets: Mapping[str, tuple[str, ...]]
    descriptions: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self.sets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sets)

    def __len__(self) -> int:
        return len(self.sets)


def read_gmt(path: Path) -> GeneSets:
    """Return the gene sets of a file, in its order.

    Spaces and double quotes around fields, repeated genes, empty fields and blank lines are passed over.

    Raises
    ------
    InputError
        When the file cannot be read, holds no set, has a line without name, description and a gene, or names a set
        twice.
    """
    path = Path(path)
    names: list[str] = []
    genes: list[tuple[str, ...]] = []
    descriptions: list[str] = []
    for number, fields in _lines(path):
        found = tuple(dict.fromkeys(field for field in fields[2:] if field))
        if not found or not fields[0]:
            raise InputError(
                f"{path}: line {number} is no gene set. A line needs a name, a description and at least one gene, "
                "parted by tabs."
            )
        names.append(fields[0])
        descriptions.append(fields[1])
        genes.append(found)
    if not names:
        raise InputError(f"{path}: is empty. A gmt file needs at least one gene set.")
    require_unique(names, what="gene sets", where=str(path))
    return GeneSets(dict(zip(names, genes, strict=True)), dict(zip(names, descriptions, strict=True)))


def write_gmt(path: Path, sets: Mapping[str, Sequence[str]]) -> None:
    """Replace the file at ``path`` by gene sets in one step; descriptions are written where ``sets`` has them.

    Raises
    ------
    InputError
        When a set is empty, or a name would not come back as it is: empty, with a tab, a line end, or spaces or quotes
        around it.
    """
    descriptions = sets.descriptions if isinstance(sets, GeneSets) else {}
    lines = []
    for name, genes in sets.items():
        if not genes:
            raise InputError(f"{path}: gene set {name!r} is empty. Leave it out.")
        fields = [name, descriptions.get(name, ""), *genes]
        for field_ in (name, *genes):
            if not field_ or _clean(field_) != field_:
                raise InputError(f"{path}: {field_!r} in gene set {name!r} cannot be written as a name. Rename it.")
        if any(mark in "".join(fields) for mark in "\t\r\n"):
            raise InputError(f"{path}: gene set {name!r} has a tab or a line end in it. Take it out.")
        lines.append("\t".join(fields))
    write_encoded(Path(path), "\n".join(lines) + "\n")


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    with opened_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, [_clean(field) for field in line.rstrip("\r\n").split("\t")]


def _clean(field: str) -> str:
    field = field.strip()
    return field[1:-1].strip() if len(field) > 1 and field[0] == field[-1] == '"' else field
