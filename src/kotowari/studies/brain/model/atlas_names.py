"""Names of the labels of an atlas, from a table or from the plain lists that atlases come with."""

from pathlib import Path

from kotowari.core.errors import InputError
from kotowari.formats.delimited import DelimitedRows, plain_suffix
from kotowari.formats.text import opened_text

__all__ = ["read_label_names"]

_NUMBERS = ("label", "index", "number", "roi", "value")
_NAMES = ("name", "region", "structure", "label_name")


def read_label_names(path: Path) -> dict[int, str]:
    """Return label and name.

    Parameters
    ----------
    path
        A csv or tsv file with a column of labels (``label``, or ``index``) and one of names (``name``, or ``region``),
        others being passed over; or a txt file with a label and a name in each line, as MRIcron and FreeSurfer write
        it, where lines that begin with ``#`` are passed over, and so are the numbers behind a name.

    Raises
    ------
    InputError
        When the file cannot be read, a label is no whole number, or a label stands twice.
    """
    path = Path(path)
    names: dict[int, str] = {}
    pairs = _from_lines(path) if plain_suffix(path) == ".txt" else _from_table(path)
    for line, number, name in pairs:
        if not number.isascii() or not number.isdigit():
            raise InputError(f"{path}: line {line}: {number!r} is no label. Labels are whole numbers.")
        if int(number) in names:
            raise InputError(f"{path}: label {int(number)} stands twice, again in line {line}. Keep one name each.")
        names[int(number)] = name
    if not names:
        raise InputError(f"{path}: names no label.")
    return names


def _from_table(path: Path) -> list[tuple[int, str, str]]:
    rows = DelimitedRows(path, index=False)
    lowered = [column.strip().lower() for column in rows.columns]
    number = next((lowered.index(word) for word in _NUMBERS if word in lowered), None)
    name = next((lowered.index(word) for word in _NAMES if word in lowered), None)
    if number is None or name is None:
        raise InputError(f"{path}: needs a column label and a column name. There are: {', '.join(rows.columns)}.")
    return [(line, cells[number].strip(), cells[name].strip()) for line, _, cells in rows.cells()]


def _from_lines(path: Path) -> list[tuple[int, str, str]]:
    pairs = []
    with opened_text(path) as file:
        for line, text in enumerate(file, start=1):
            words = text.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) < 2:
                raise InputError(f"{path}: line {line} holds {text.strip()!r}, where a label and a name are needed.")
            end = max(i for i, word in enumerate(words) if i < 2 or not word.isdigit())
            pairs.append((line, words[0], " ".join(words[1 : end + 1])))
    return pairs
