"""What a user types, as a test types it."""

import sys

from kotowari.cli.main import main

# in a process of its own, that can be killed: sys.executable -c KOTOWARI WORDS
KOTOWARI = (
    "import sys; from kotowari.cli.main import main; sys.argv = ['kotowari', *sys.argv[1:]]; raise SystemExit(main())"
)


def killed_after(file, preparation=""):
    """Code of ``kotowari WORDS``: once a file of this name is written, it dies as if the system had killed it."""
    return f"""
import os, signal
from kotowari.core import jobs
{preparation}
write = jobs.write_bytes
def write_and_die(path, content):
    write(path, content)
    if path.name == {file!r}:
        os.kill(os.getpid(), signal.SIGKILL)
jobs.write_bytes = write_and_die
{KOTOWARI}
"""


def typed(monkeypatch, *words):
    """Do what typing ``kotowari WORDS`` does; returns the exit code. Warnings stay those of the test's own process."""
    monkeypatch.setattr("kotowari.cli.main.print_warnings_plainly", lambda: None)
    monkeypatch.setattr(sys, "argv", ["kotowari", *(str(word) for word in words)])
    return main()
