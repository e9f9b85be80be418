"""What a user types, as a test types it."""

import sys

from kotowari.cli.main import main

# in a process of its own, that can be killed: sys.executable -c KOTOWARI WORDS
KOTOWARI = (
    "import sys; from kotowari.cli.main import main; sys.argv = ['kotowari', *sys.argv[1:]]; raise SystemExit(main())"
)


def typed(monkeypatch, *words):
    """Do what typing ``kotowari WORDS`` does; returns the exit code. Warnings stay those of the test's own process."""
    monkeypatch.setattr("kotowari.cli.main.print_warnings_plainly", lambda: None)
    monkeypatch.setattr(sys, "argv", ["kotowari", *(str(word) for word in words)])
    return main()
