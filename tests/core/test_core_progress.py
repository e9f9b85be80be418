"""A long job says where it stands, in lines or in a bar, or keeps silent."""

import io
import sys
from types import SimpleNamespace

import pytest

from kotowari.core import progress as module
from kotowari.core.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_lines_stand_at_the_start_every_20_seconds_and_at_the_end(capsys, clock):
    with Progress().bar("Fitting", 4) as advance:
        clock.now += 19.0
        advance()
        clock.now += 11.0
        advance()
        clock.now += 100.0
        advance()
        clock.now += 10.0
        advance()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Fitting ...",
        "Fitting: 2 of 4, about 30 s left",
        "Fitting: 3 of 4, about 43 s left",
        "Fitting: done in 2 min 20 s",
    ]


def test_units_may_be_counted_by_the_handful_or_not_at_all(capsys, clock):
    with Progress().bar("Null", 10) as advance:
        clock.now += 60.0
        advance(0)
        advance(5)
        advance(5)
    assert capsys.readouterr().err.splitlines() == [
        "Null ...",
        "Null: 5 of 10, about 1 min 0 s left",
        "Null: done in 1 min 0 s",
    ]


def test_a_job_that_fails_does_not_say_that_it_is_done(capsys):
    def stopped():
        with Progress().bar("Fitting", 2) as advance:
            advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert capsys.readouterr().err == "Fitting ...\n"


def test_hidden_progress_prints_nothing(capsys):
    progress = Progress(shown=False)
    with progress.bar("Fitting", 2) as advance:
        advance()
        advance(1)
    progress.say("Done.")
    assert capsys.readouterr() == ("", "")


def test_a_sentence_goes_to_the_stream_of_errors(capsys):
    Progress().say("Reading the table.")
    assert capsys.readouterr() == ("", "Reading the table.\n")


def test_a_terminal_shows_a_bar_with_counts(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress().bar("Fitting", 3) as advance:
        advance()
        advance(2)
    assert "Fitting" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
