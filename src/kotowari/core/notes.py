"""Warnings as a user of the command line reads them: one plain line each, once."""

import os
import sys
import warnings
from typing import TextIO

__all__ = ["print_warnings_plainly"]

_ASKED = "KOTOWARI_PLAIN_WARNINGS"


def print_warnings_plainly(*, always: bool = True) -> None:
    """Print what the package warns of as ``kotowari: note: ...`` on stderr, each sentence once a process.

    Processes that this one starts do the same when they call this function with ``always=False``, which does nothing
    in a process whose parent did not ask. Warnings of other kinds than :class:`UserWarning` are printed as ever.
    """
    if always:
        os.environ[_ASKED] = "1"
    if os.environ.get(_ASKED) != "1" or getattr(warnings.showwarning, "plain", False):
        return
    usual, said = warnings.showwarning, set[str]()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, UserWarning):
            usual(message, category, filename, lineno, file, line)
        elif str(message) not in said:
            said.add(str(message))
            sys.stderr.write(f"kotowari: note: {message}\n")

    show.plain = True  # type: ignore[attr-defined]  # a mark on a function
    warnings.showwarning = show
