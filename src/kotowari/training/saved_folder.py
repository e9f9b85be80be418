"""Fitted models in folders: JSON for words and options, safetensors for numbers. Nothing is unpickled."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from kotowari.core.errors import InputError
from kotowari.core.files import fingerprint, read_json, write_bytes, write_json

__all__ = ["plain", "read_arrays", "read_facts", "tupled", "write_arrays", "write_facts"]

_SCHEMA = 2


def write_facts(path: Path, kind: str, words: Mapping[str, Any], files: Iterable[str]) -> None:
    """Write the JSON of a saved model; it goes last, since it names the fingerprints of the other files.

    Parameters
    ----------
    path
        Of the JSON.
    kind
        Class of the model.
    words
        Plain words and finite numbers.
    files
        Files that belong to it, as seen from its folder; the JSON of a model inside of this one stands for all of it.

    Raises
    ------
    RunFolderError
        When the folder cannot be written.
    """
    kept = {name: fingerprint(path.parent / name) for name in files}
    facts = {"kind": kind, "schema": _SCHEMA, "files": kept, **words}
    write_json(path, facts | {"key": _key(facts)})


def read_facts(path: Path, kind: str) -> dict[str, Any]:
    """Read what :func:`write_facts` wrote, and see that JSON and files are as they were then.

    Raises
    ------
    InputError
        When something is missing, changed, or of another kind.
    """
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("kind") != kind or facts.get("schema") != _SCHEMA:
        raise InputError(f"{path}: is no saved {kind} that this version reads.")
    if facts.pop("key", None) != _key(facts):
        raise InputError(f"{path}: was changed after it was saved. Copy or save the folder again.")
    for name, written in facts["files"].items():
        if fingerprint(path.parent / name) != written:
            raise InputError(f"{path.parent / name}: does not belong to {path.name}. Copy or save the folder again.")
    return facts


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write named arrays of numbers to one safetensors file."""
    write_bytes(path, save({name: np.asarray(array, order="C") for name, array in arrays.items()}))


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what :func:`write_arrays` wrote, into memory.

    Raises
    ------
    InputError
        When the file is damaged.
    """
    try:
        return {name: np.array(array) for name, array in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: is damaged ({error}).") from error


def plain(value: Any) -> Any:
    """Return numbers of NumPy as Python's, and tuples and arrays as lists."""
    if isinstance(value, np.generic):
        return value.item()
    return [plain(entry) for entry in value] if isinstance(value, (tuple, list, np.ndarray)) else value


def tupled(value: Any) -> Any:
    """Return lists as tuples, as options have them."""
    return tuple(tupled(entry) for entry in value) if isinstance(value, list) else value


def _key(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
