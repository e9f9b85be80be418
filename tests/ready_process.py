"""Processes that start at once: forked, each for itself, from one that has loaded the large libraries and no more."""

import subprocess
import sys
from typing import NamedTuple

# Loading these takes most of the time of a short process; the package itself is loaded by each process anew.
_LIBRARIES = (
    "anndata, lightning_fabric, matplotlib.pyplot, nibabel, numba, optuna, pandas, pydantic, safetensors.torch, "
    "scipy.stats, skimage.measure, sklearn.ensemble, sklearn.linear_model, torch"
)
_SERVER = f"""
import gc, os, signal, sys, warnings
import {_LIBRARIES}
gc.freeze()  # else each process looks through all that is loaded as it ends
for line in sys.stdin:
    folder, warned, *words = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if child == 0:
        signal.alarm(300)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT), number)
        if warned == "default":
            warnings.simplefilter("default")
        sys.argv = ["-c", *words]
        with open(os.path.join(folder, "code")) as file:
            code = file.read()
        exec(compile(code, "<string>", "exec"), {{"__name__": "__main__"}})
        break  # and ends as any process does
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Done(NamedTuple):
    """What :func:`subprocess.run` would return of it."""

    returncode: int
    stdout: str
    stderr: str


class ReadyProcess:
    """Runs code as ``python -W error -c CODE WORDS`` does, one process each; one that hangs is ended after 300 s.

    The files that hand over code and output lie in ``folder``.
    """

    def __init__(self, folder):
        self._folder, self._n_runs = folder, 0
        command = [sys.executable, "-W", "error", "-c", _SERVER]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, code, *words, warned="error"):
        """Run code to its end, as a process of its own; with ``warned="default"`` a warning is no error there."""
        self._n_runs += 1
        folder = self._folder / str(self._n_runs)
        folder.mkdir()
        (folder / "code").write_text(code)
        self._server.stdin.write("\t".join([str(folder), warned, *(str(word) for word in words)]) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, "the process that others are forked from has ended"
        return Done(int(answer), *((folder / name).read_text() for name in ("out", "err")))

    def close(self):
        """End the process that others are forked from."""
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()
