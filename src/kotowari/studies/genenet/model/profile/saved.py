"""A profiler in a folder, at every stage: its task, the blocks that are there, and all blocks. Nothing is unpickled.

One layout serves a fit that writes as it goes, numbered blocks for other machines, and a saved profiler:

* ``task.npz``: what the fits need, as arrays;
* ``profile.json``: options, names, kernels, the plan of blocks; written last, and names the digest of the task;
* ``block-00000.npz`` and so on: the networks of a block of targets.
"""

from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from kotowari.core.checks import few
from kotowari.core.errors import InputError, RunFolderError
from kotowari.core.files import read_json, write_bytes, write_json
from kotowari.core.jobs import Arrays, load_arrays, pack_arrays
from kotowari.studies.genenet.model.profile.blocks import block_path, task_key
from kotowari.studies.genenet.model.profile.paths import Search
from kotowari.studies.genenet.model.profile.preparation import PreparedProfile
from kotowari.studies.genenet.model.profile.task import Block, ProfileTask
from kotowari.studies.genenet.model.profile.weights import GaussianKernel, Kernel, NeighbourKernel

__all__ = ["missing_blocks", "read_profile", "read_task", "record_node_gap", "require_blocks", "write_profile"]

_TASK, _FACTS = "task.npz", "profile.json"
_KIND, _SCHEMA = "NetworkProfiler", 1
_OF_THE_MACHINE = {"folder", "cluster", "n_jobs", "verbose"}  # the result does not depend on them
_NAMES = ("samples", "regulators", "targets", "genes")
_ARRAYS = ("values", "regulators", "targets", "modulator", "places", "factors")
_COUNTS = ("max_rounds", "bic", "tol", "max_steps")


def write_profile(prepared: PreparedProfile, options: Mapping[str, Any], folder: Path) -> None:
    """Write what blocks are fitted from, or see that the folder holds just this already.

    Parameters
    ----------
    prepared
        What is written.
    options
        Of the profiler; those that the result does not depend on are left out.
    folder
        Made when it is not there.

    Raises
    ------
    RunFolderError
        When the folder holds other networks or other things, or cannot be written.
    """
    facts, path = _facts(prepared, options), folder / _FACTS
    if path.is_file():
        _require_same(folder, _read_facts(path), facts)
    elif folder.is_dir() and any(p.name != _TASK and not p.name.startswith(".") for p in folder.iterdir()):
        raise RunFolderError(f"{folder} is not empty, and holds no networks. Choose another folder.")
    if not (path.is_file() and (folder / _TASK).is_file()):
        write_bytes(folder / _TASK, pack_arrays(_arrays(prepared)))
        write_json(path, facts)


def record_node_gap(folder: Path, gap: float) -> None:
    """Add to a folder how far its interpolated networks are from solved ones."""
    write_json(folder / _FACTS, _read_facts(folder / _FACTS) | {"node_gap": gap})


def read_profile(folder: Path) -> tuple[PreparedProfile, dict[str, Any], float | None]:
    """Return what a folder was prepared for, the options of its profiler, and the gap of its nodes, if known.

    Raises
    ------
    InputError
        When a file is missing, damaged, or of another kind.
    """
    facts, path = _read_facts(folder / _FACTS), folder / _TASK
    try:
        arrays = load_arrays(path)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: is missing or damaged ({error}). Copy the folder again, or prepare anew.") from error
    task, plan = _task(facts, arrays)
    if facts["key"] != task_key(task, plan):
        raise InputError(f"{path}: does not belong to the {_FACTS} beside it. Copy or save both again.")
    options = {name: _tupled(value) for name, value in facts["options"].items()}
    if options["penalty_factors"] is not None:
        options["penalty_factors"] = arrays["factors"]
    prepared = PreparedProfile(
        task,
        plan,
        arrays["effective_samples"],
        arrays.get("bandwidth_errors"),
        options["n_nodes"] is not None,
        named=facts["named"],
        **{name: tuple(facts[name]) for name in _NAMES},
    )
    return prepared, options, facts.get("node_gap")


def read_task(folder: Path) -> tuple[ProfileTask, list[Block]]:
    """Return what the blocks of a folder are fitted from.

    Raises
    ------
    InputError
        When a file is missing, damaged, or of another kind.
    RunFolderError
        When another version of this package wrote it.
    """
    _require_version(folder, _read_facts(folder / _FACTS))
    prepared, _, _ = read_profile(folder)
    return prepared.task, prepared.plan


def missing_blocks(folder: Path | str) -> list[int]:
    """Return the numbers of the blocks that a prepared folder still lacks.

    Raises
    ------
    InputError
        When the folder holds no task.
    """
    n_blocks = len(_read_facts(Path(folder) / _FACTS)["blocks"])
    return [number for number in range(n_blocks) if not block_path(Path(folder), number).is_file()]


def require_blocks(folder: Path) -> None:
    """Raise :class:`RunFolderError` that names the blocks still missing, and how to make them."""
    if missing := missing_blocks(folder):
        raise RunFolderError(
            f"{folder}: {len(missing)} blocks are missing ({few(missing, 10)}). Make each of them "
            f"by `kotowari block {folder} NUMBER`."
        )


def _facts(prepared: PreparedProfile, options: Mapping[str, Any]) -> dict[str, Any]:
    task, plan = prepared.task, prepared.plan
    kept = {name: _plain(value) for name, value in options.items() if name not in _OF_THE_MACHINE}
    return {
        "kind": _KIND,
        "schema": _SCHEMA,
        "version": metadata.version("kotowari"),
        "key": task_key(task, plan),
        "options": kept | {"penalty_factors": None if options["penalty_factors"] is None else _TASK},
        "search": {"criterion": task.criterion, "pooling": task.pooling}
        | {name: _plain(getattr(task.search, name)) for name in _COUNTS},
        "blocks": [{"n_targets": len(block.targets), "kernel": _kernel_facts(block.kernel)} for block in plan],
        **{name: list(getattr(prepared, name)) for name in _NAMES},
        "named": prepared.named,
    }


def _arrays(prepared: PreparedProfile) -> Arrays:
    task = prepared.task
    arrays: Arrays = {name: getattr(task, name) for name in _ARRAYS}
    arrays |= {"ratios": task.search.ratios, "ridges": task.search.ridges}
    arrays |= {"order": np.concatenate([block.targets for block in prepared.plan])}
    arrays |= {"effective_samples": prepared.effective_samples}
    if task.folds is not None:
        arrays["folds"] = task.folds
    if prepared.bandwidth_errors is not None:
        arrays["bandwidth_errors"] = prepared.bandwidth_errors
    return arrays


def _task(facts: Mapping[str, Any], arrays: Arrays) -> tuple[ProfileTask, list[Block]]:
    told = facts["search"]
    search = Search(arrays["ratios"], arrays["ridges"], *(told[name] for name in _COUNTS))
    parts = {name: arrays[name] for name in _ARRAYS}
    task = ProfileTask(
        **parts, search=search, criterion=told["criterion"], folds=arrays.get("folds"), pooling=told.get("pooling", 0.0)
    )
    ends = np.cumsum([block["n_targets"] for block in facts["blocks"]])
    targets = np.split(arrays["order"], ends[:-1])
    return task, [Block(_kernel(block["kernel"]), own) for block, own in zip(facts["blocks"], targets, strict=True)]


def _kernel_facts(kernel: Any) -> dict[str, Any]:
    kind = "knn" if isinstance(kernel, NeighbourKernel) else "gaussian"
    return {"kind": kind} | {name: _plain(value) for name, value in asdict(kernel).items()}


def _kernel(told: Mapping[str, Any]) -> Kernel:
    if told["kind"] == "knn":
        return NeighbourKernel(told["n_neighbours"], tuple(told["scale"]))
    return GaussianKernel(tuple(told["bandwidth"]))


def _require_same(folder: Path, found: dict[str, Any], facts: dict[str, Any]) -> None:
    known = {name: value for name, value in found.items() if name != "node_gap"}
    if known == facts:
        return
    if known | {"version": facts["version"]} == facts:
        _require_version(folder, found)
    raise RunFolderError(f"{folder} holds networks of other data or options. Choose another folder, or empty it.")


def _require_version(folder: Path, facts: Mapping[str, Any]) -> None:
    version = metadata.version("kotowari")
    if facts["version"] != version:
        raise RunFolderError(
            f"{folder} was begun by kotowari {facts['version']}, and this is {version}. Fit all blocks with one "
            "version, or choose another folder."
        )


def _read_facts(path: Path) -> dict[str, Any]:
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("kind") != _KIND or facts.get("schema") != _SCHEMA:
        raise InputError(f"{path}: is no {_KIND} that this version reads.")
    return facts


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(entry) for entry in value] if isinstance(value, (tuple, list, np.ndarray)) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(entry) for entry in value) if isinstance(value, list) else value
