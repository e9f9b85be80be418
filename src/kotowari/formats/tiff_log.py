"""What tifffile only logs, told as an error: it reads a file with missing planes as if they were black."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kotowari.core.errors import InputError

__all__ = ["told_faults"]

_HARMLESS = ("TiffTag.fromfile",)  # an unreadable tag: pixels do not hang on it, or its lack is told elsewhere
_LOSSES = ("zeroed", "incompletely", "is missing", "out of range", "missing files")


@contextmanager
def told_faults(path: Path) -> Iterator[None]:
    """Raise :class:`InputError` when tifffile logs, within the block, that part of the file cannot be had.

    Other messages of tifffile are kept from stderr. The error of the block itself goes first.
    """
    logger = logging.getLogger("tifffile")
    heard = _Heard()
    spreads = logger.propagate
    logger.addHandler(heard)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(heard)
        logger.propagate = spreads
    if heard.faults:
        raise InputError(f"{path}: is cut short, damaged, or one of several files ({heard.faults[0]}). Fetch it again.")


class _Heard(logging.Handler):
    """Keeps what tells of lost planes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        lost = any(word in message for word in _LOSSES)
        grave = record.levelno >= logging.ERROR and not any(word in message for word in _HARMLESS)
        if lost or grave:
            self.faults.append(message.rpartition("> ")[2].rstrip("."))
