"""The run folder: everything a job leaves behind, written so that a killed job can go on."""

import fcntl
import json
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Self

from kotowari.core.errors import InputError, RunFolderError
from kotowari.core.files import read_json, require_new_folder, write_json

__all__ = ["SCHEMA", "Metric", "RunFolder", "next_run_folder"]

SCHEMA = 1
_RECORDED_VERSIONS = ("kotowari", "torch", "numpy", "scipy", "scikit-learn", "pandas", "openTSNE", "gseapy", "optuna")

Role = Literal["ours", "comparator", "trivial null", "chance", "untrained"]


@dataclass(frozen=True)
class Metric:
    """One row of ``metrics.json``.

    Parameters
    ----------
    target, metric, model
        What was predicted, how it was scored, by which model.
    role
        Why the row stands in the table.
    value
        The score; None where it could not be computed.
    fold
        Number of the outer fold from 0, or None for a figure over all folds.
    low, high
        Ends of the 95 % interval.
    p
        Chance of a value at least as good without any relation between data and target.
    n
        Samples behind the value.
    n_null
        Refits behind p.
    """

    target: str
    metric: str
    model: str
    role: Role
    value: float | None
    fold: int | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int | None = None
    n_null: int | None = None


class RunFolder:
    """A folder with ``run.json`` at its heart.

    Parameters
    ----------
    path
        A folder made by :meth:`create`.

    Raises
    ------
    RunFolderError
        When ``path`` holds no run, or one of another schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not (self.path / "run.json").is_file():
            raise RunFolderError(f"{self.path}: is not a run folder (it has no run.json). Name the folder of a run.")
        self.record: dict[str, Any] = _read_record(self.path / "run.json")

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        study: str,
        config: Mapping[str, Any],
        seed: int,
        command: Sequence[str],
        stages: Sequence[str],
    ) -> Self:
        """Make a new run folder; a folder that already holds a run, or anything else, is refused."""
        path = Path(path)
        if (path / "run.json").exists():
            raise RunFolderError(
                f"{path}: holds a run already. Go on with it by `kotowari resume {path}`, or choose another folder."
            )
        record = {
            "schema": SCHEMA,
            "study": study,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": list(command),
            "config": dict(config),
            "seed": seed,
            "versions": _versions(),
            "inputs": [],
            "stages": [{"name": name, "state": "waiting", "seconds": None} for name in stages],
        }
        # a run that was refused at its first stage has left there what it had worked out
        require_new_folder(path, besides=("work",))
        write_json(path / "run.json", record)
        return cls(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one process; the system frees it when that process ends, however it ends.

        The record is read anew, since another process may have gone on with the run before the lock was had.
        """
        try:
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise RunFolderError(
                f"{self.path}: cannot be written ({error.strerror}). Free space, or give the rights back."
            ) from error
        with lock as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunFolderError(f"{self.path}: another process works on this run. Wait until it ends.") from error
            self.record = _read_record(self.path / "run.json")
            yield

    def stage_state(self, name: str) -> str:
        """Return ``waiting``, ``running`` or ``done``."""
        return str(self._stage(name)["state"])

    def mark_stage(self, name: str, state: str, seconds: float | None = None) -> None:
        """Record the state of a stage; ``run.json`` is written after everything the stage wrote."""
        self._stage(name).update(state=state, seconds=None if seconds is None else round(seconds, 2))
        self.event("stage", name=name, state=state)
        write_json(self.path / "run.json", self.record)

    def note_inputs(self, inputs: Sequence[Mapping[str, Any]]) -> None:
        """Keep the fingerprints of the inputs; later calls hold the inputs against them.

        Raises
        ------
        InputError
            When a file is not the one that the run began with.
        """
        known = _by_name(self.record["inputs"])
        for name, sums in _by_name(inputs).items():
            if any(now != before for now, before in zip(sums, known.get(name, []), strict=False)):
                raise InputError(
                    f"{name}: is not the file that this run began with (its content has changed). "
                    "Put the old file back, or start a new run."
                )
        self.record["inputs"] = [dict(entry) for entry in inputs]
        write_json(self.path / "run.json", self.record)

    def event(self, kind: str, **facts: Any) -> None:
        """Append one line to ``events.jsonl``."""
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "kind": kind, **facts}
        path = self.path / "events.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            raise RunFolderError(
                f"{path}: cannot be written ({error.strerror or error}). Free space or choose another folder."
            ) from error

    def write_metrics(self, stage: str, rows: Sequence[Metric]) -> None:
        """Replace the rows that ``stage`` wrote before, so that a repeated stage does not count twice."""
        kept = [row for row in self._metric_rows() if row["stage"] != stage]
        fresh = [{"stage": stage, **asdict(row)} for row in rows]
        write_json(self.path / "metrics.json", {"schema": SCHEMA, "rows": kept + fresh})

    def metrics(self, stage: str | None = None) -> list[Metric]:
        """Return all rows in the order in which their stages wrote them, or those of one stage."""
        rows = [row for row in self._metric_rows() if stage in {None, row["stage"]}]
        return [Metric(**{k: v for k, v in row.items() if k != "stage"}) for row in rows]

    def _metric_rows(self) -> list[dict[str, Any]]:
        path = self.path / "metrics.json"
        rows: list[dict[str, Any]] = read_json(path)["rows"] if path.exists() else []
        return rows

    def _stage(self, name: str) -> dict[str, Any]:
        for stage in self.record["stages"]:
            if stage["name"] == name:
                found: dict[str, Any] = stage
                return found
        raise RunFolderError(f"{self.path}: has no stage {name!r}.")


def next_run_folder(study: str, parent: Path = Path("runs")) -> Path:
    """Return ``runs/<study>-<n>`` with the first n from 1 that is free."""
    number = 1
    while (parent / f"{study}-{number}").exists():
        number += 1
    return parent / f"{study}-{number}"


def _read_record(path: Path) -> dict[str, Any]:
    record = read_json(path)
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise RunFolderError(f"{path}: schema {schema} cannot be read by this version, which knows schema {SCHEMA}.")
    found: dict[str, Any] = record
    return found


def _by_name(inputs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Fingerprints by file name, in order: files in two folders may share a name."""
    sums: dict[str, list[str]] = {}
    for entry in inputs:
        sums.setdefault(entry["name"], []).append(entry["sha256"])
    return sums


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in _RECORDED_VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions | {"byteorder": sys.byteorder}
