"""A progress bar with an estimate, on stderr; plain lines where no terminal listens."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Advance", "Progress"]

_QUIET_SECONDS = 20.0


class Advance(Protocol):
    """What a job calls when a unit of work is done."""

    def __call__(self, units: int = 1) -> None:
        """Count ``units`` more as done."""


class Progress:
    """Shows where a long job stands.

    Parameters
    ----------
    shown
        False to print nothing, as tests and nested calls want.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self.shown = shown

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """Show one bar of ``total`` units while the block runs; yields the function that advances it."""
        if not self.shown:
            yield _ignore
        elif sys.stderr.isatty():
            with _rich_bar(title, total) as advance:
                yield advance
        else:
            yield _PlainLines(title, total)

    def say(self, sentence: str) -> None:
        """Print one line."""
        if self.shown:
            sys.stderr.write(f"{sentence}\n")


class _PlainLines:
    """A line at the start, one every 20 seconds, one at the end."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._begin = self._last = time.monotonic()
        sys.stderr.write(f"{title} ...\n")

    def __call__(self, units: int = 1) -> None:
        before, self._done = self._done, self._done + units
        now = time.monotonic()
        if before < self._total <= self._done:
            sys.stderr.write(f"{self._title}: done in {_clock(now - self._begin)}\n")
        if now - self._last < _QUIET_SECONDS or not 0 < self._done < self._total:
            return
        self._last = now
        left = (now - self._begin) / self._done * (self._total - self._done)
        sys.stderr.write(f"{self._title}: {self._done} of {self._total}, about {_clock(left)} left\n")


@contextmanager
def _rich_bar(title: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(title, total=total)

        def advance(units: int = 1) -> None:
            display.advance(task, units)

        yield advance


def _ignore(units: int = 1) -> None:
    del units


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
