"""One thread a process, draws that repeat, and field data only where they are at hand."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

# two test processes share two cores; torch, numpy and numba read this when they are loaded, which is later, and so do
# the processes that tests start: a benchmark that does not find one thread a library loads them all a second time
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

_NO_DATA = "KOTOWARI_DATA is not set, so the field data are not at hand"

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("desk", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_collection_modifyitems(items):
    # files with slow tests first, then the longest lists: the two processes then end at about the same time
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    n_tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -n_tests[item.path]))
    if os.environ.get("KOTOWARI_DATA"):
        return
    for item in items:
        if item.get_closest_marker("field_data"):
            item.add_marker(pytest.mark.skip(reason=_NO_DATA))


@pytest.fixture
def field_data():
    """Folder of the field data; for tests marked ``field_data``."""
    if not os.environ.get("KOTOWARI_DATA"):
        pytest.skip(_NO_DATA)
    return Path(os.environ["KOTOWARI_DATA"])


@pytest.fixture
def rng():
    """The same draws in every run."""
    import numpy as np  # tests of what is loaded, and of plain words, pay for no numpy

    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def ready(tmp_path_factory):
    """What runs code in processes of their own that need not load the large libraries first."""
    from ready_process import ReadyProcess  # most tests start nothing

    process = ReadyProcess(tmp_path_factory.mktemp("ready"))
    yield process
    process.close()


@pytest.fixture
def refused(monkeypatch, capsys):
    """Type words that are refused; returns the sentence."""
    from typed_words import typed  # most tests type nothing

    def refuse(*words, after_progress=False):
        code = typed(monkeypatch, *words)
        told = capsys.readouterr().err
        lines = told.splitlines()
        assert code == 1, told
        assert "Traceback" not in told
        assert [line.startswith("kotowari: ") for line in lines].count(True) == 1
        assert after_progress or len(lines) == 1, told
        assert lines[-1].startswith("kotowari: ")
        assert lines[-1].endswith((".", ".)"))
        return lines[-1].removeprefix("kotowari: ")

    return refuse
