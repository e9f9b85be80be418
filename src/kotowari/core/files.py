"""Writing without loss: beside, synced, renamed. A reader sees the old file or the new one, never half of one."""

import hashlib
import json
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from kotowari.core.errors import InputError, RunFolderError

__all__ = ["fingerprint", "read_json", "require_new_folder", "write_bytes", "write_json", "write_text"]


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` in one step; parents are made.

    Raises
    ------
    RunFolderError
        When the folder cannot be written or the disk is full. The old file, if any, is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise RunFolderError(
            f"{path}: cannot be written ({error.strerror or error}). Free space or choose another folder; "
            "what stood there before is unharmed."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Replace the file at ``path`` by ``text`` (UTF-8) in one step."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace the file at ``path`` by ``value`` as JSON; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file, or say in one sentence why it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error}). It may have been edited or cut short.") from error


def require_new_folder(path: Path, *, besides: Collection[str] = ()) -> None:
    """Refuse a folder that holds anything, so that nothing of the user's is written over.

    Parameters
    ----------
    path
        A folder, or where one is to be.
    besides
        Names of entries that may be there.

    Raises
    ------
    InputError
        When the path is a file or a folder that is not empty.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file. Name a folder.")
    if path.is_dir() and any(entry.name not in besides for entry in path.iterdir()):
        raise InputError(f"{path}: holds files already, which might be written over. Name a new folder.")


def fingerprint(path: Path) -> dict[str, str | int]:
    """Return name, sha256 and size of a file, so that a result can be tied to its input without a copy of it."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    return {"name": path.name, "sha256": digest.hexdigest(), "bytes": size}
