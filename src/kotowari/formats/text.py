"""Text files, plain or gzipped: UTF-8 in, UTF-8 out, and one clear sentence where that fails."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from kotowari.core.errors import InputError
from kotowari.core.files import write_bytes

__all__ = ["opened_text", "write_encoded"]


@contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """Open a text file for reading; a name ending in ``.gz`` is unpacked on the way.

    A byte order mark is skipped, and line ends are handed on as they stand in the file.

    Raises
    ------
    InputError
        When the file is not there, cannot be read, is damaged, or is not UTF-8; also while reading on.
    """
    try:
        with _open(path) as file:
            yield file
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text (it holds the byte 0x{error.object[error.start]:02x} where none can stand). "
            "Save it again with the encoding UTF-8."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: is not a whole gzip file ({error}). Fetch or pack it again.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error


def write_encoded(path: Path, text: str) -> None:
    """Replace the file at ``path`` by ``text`` in one step; gzipped, and with no date in it, where the name says so."""
    content = text.encode()
    write_bytes(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open("r", encoding="utf-8-sig", newline="")
