"""Where a result comes from: command, seed, versions, inputs, stages, settings."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kotowari.core.files import fingerprint
from kotowari.report.numerals import duration, size

__all__ = ["InputView", "Provenance", "StageView", "pending_stages", "provenance"]


@dataclass(frozen=True)
class InputView:
    """Fingerprint of one file that the run read, or of the splits that it made."""

    name: str
    size: str
    sha256: str


@dataclass(frozen=True)
class StageView:
    """One stage: its name, its state and how long it took."""

    name: str
    state: str
    time: str


@dataclass(frozen=True)
class Provenance:
    """What another person needs to get the same numbers.

    Parameters
    ----------
    command
        As it would be typed into a shell.
    config
        Every setting as YAML.
    total_time
        Of all finished stages.
    """

    command: str
    seed: str
    created: str
    versions: tuple[tuple[str, str], ...]
    inputs: tuple[InputView, ...]
    stages: tuple[StageView, ...]
    total_time: str
    config: str


def provenance(record: Mapping[str, Any], folder: Path) -> Provenance:
    """Tell the origin of a run from its ``run.json`` and, where there is one, its ``splits.json``."""
    inputs = list(record["inputs"])
    if (folder / "splits.json").is_file():
        inputs.append(fingerprint(folder / "splits.json"))
    seconds = [stage["seconds"] for stage in record["stages"] if stage["seconds"] is not None]
    return Provenance(
        command=shlex.join(record["command"]),
        seed=str(record["seed"]),
        created=str(record["created"]).replace("T", " ").replace("+00:00", " UTC"),
        versions=tuple((str(name), str(version)) for name, version in record["versions"].items()),
        inputs=tuple(InputView(str(i["name"]), size(int(i["bytes"])), str(i["sha256"])) for i in inputs),
        stages=tuple(StageView(s["name"], s["state"], duration(s["seconds"])) for s in record["stages"]),
        total_time=duration(sum(seconds)) if seconds else "",
        config=yaml.safe_dump(dict(record["config"]), sort_keys=False, allow_unicode=True, width=100),
    )


def pending_stages(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the stages that are not done; writing this page is one itself and does not count."""
    stages: Iterable[Mapping[str, Any]] = record["stages"]
    return tuple(str(s["name"]) for s in stages if s["state"] != "done" and s["name"] != "report")
