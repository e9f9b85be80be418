"""A stack of networks on disk: a folder of npz and JSON, and samples x edges as h5ad."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError, RunFolderError
from kotowari.core.files import fingerprint, read_json, write_json
from kotowari.studies.genenet.model.stack.arrays import StackArrays

__all__ = ["read_stack", "write_stack", "write_stack_h5ad"]

_ARRAYS, _FACTS, _KIND = "networks.npz", "networks.json", "NetworkStack"
_AXES = ("samples", "regulators", "targets")
_WORDS = ("quantity", "description")
_ALWAYS = ("edge_regulator", "edge_target", "starts", "entry_edge", "entry_value")
_SOMETIMES = ("modulator", "intercepts", "fitted")


def write_stack(stack: StackArrays, folder: Path) -> None:
    """Write the arrays, then the names with the fingerprint of the arrays, each in one step.

    Raises
    ------
    RunFolderError
        When the folder cannot be written.
    """
    held = {name: getattr(stack, name) for name in (*_ALWAYS, *_SOMETIMES)}
    with _replaced(folder / _ARRAYS) as file:
        np.savez(file, allow_pickle=False, **{name: array for name, array in held.items() if array is not None})
    facts = {"kind": _KIND, "schema": 1, "arrays": fingerprint(folder / _ARRAYS)}
    facts |= {name: list(getattr(stack, name)) for name in _AXES} | {name: getattr(stack, name) for name in _WORDS}
    write_json(folder / _FACTS, facts)


def read_stack(folder: Path) -> dict[str, Any]:
    """Return the fields of :class:`StackArrays` by name.

    Raises
    ------
    InputError
        When a file is missing, damaged, or of another kind.
    """
    facts = read_json(folder / _FACTS)
    if not isinstance(facts, dict) or facts.get("kind") != _KIND or facts.get("schema") != 1:
        raise InputError(f"{folder / _FACTS}: is no saved {_KIND} that this version reads.")
    if fingerprint(folder / _ARRAYS) != facts.get("arrays"):
        raise InputError(f"{folder / _ARRAYS}: does not belong to the {_FACTS} beside it. Copy or save both again.")
    try:
        with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
            fields = {name: arrays[name] for name in arrays.files}
        fields |= {name: tuple(facts[name]) for name in _AXES} | {name: facts[name] for name in _WORDS}
        missing = [name for name in _ALWAYS if name not in fields]
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{folder / _FACTS}: is damaged ({type(error).__name__}: {error}).") from error
    if missing:
        raise InputError(f"{folder / _ARRAYS}: is damaged (it has no {missing[0]}).")
    return dict.fromkeys(_SOMETIMES) | fields


def write_stack_h5ad(stack: StackArrays, path: Path) -> None:
    """Write samples x edges, sparse; see :meth:`NetworkStack.to_h5ad`.

    ``obs`` holds ``modulator`` (numbered if several), ``var`` holds ``regulator`` and ``target``, ``uns`` the quantity
    and the description; where networks are missing, ``obsm["fitted"]`` tells for which targets (``uns["targets"]``).

    Raises
    ------
    MissingExtraError
        When anndata is not installed.
    RunFolderError
        When the file cannot be written.
    """
    h5py = require_extra("h5py", extra="omics", by=f"Writing {path.name}")
    anndata = require_extra("anndata", extra="omics", by=f"Writing {path.name}")
    elements = require_extra("anndata.io", extra="omics", by=f"Writing {path.name}")
    obs = pd.DataFrame(index=list(stack.samples))
    if stack.modulator is not None:
        several = stack.modulator.reshape(len(obs), -1)
        for k in range(several.shape[1]):
            obs["modulator" if several.shape[1] == 1 else f"modulator_{k}"] = several[:, k]
    ends = {side[:-1]: stack.edge_names(side) for side in ("regulators", "targets")}
    var = pd.DataFrame(ends, index=ends["regulator"] + " -> " + ends["target"])
    table = anndata.AnnData(stack.values, obs=obs, var=var)
    table.uns |= {name: getattr(stack, name) for name in _WORDS}
    if stack.fitted is not None:
        table.obsm["fitted"] = stack.fitted
        table.uns["targets"] = np.array(stack.targets, dtype=object)
    with _replaced(path) as place, h5py.File(place, "w") as file:
        elements.write_elem(file, "/", table)


@contextmanager
def _replaced(path: Path) -> Iterator[BinaryIO]:
    """Yield a file beside ``path`` that takes its place when all is written; large files need no copy in memory."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise RunFolderError(
            f"{path}: cannot be written ({error.strerror or error}). Free space or choose another folder; "
            "what stood there before is unharmed."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
