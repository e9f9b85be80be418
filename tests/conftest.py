"""One thread a process, draws that repeat, and field data only where they are at hand."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# two test processes share two cores; torch and numpy read this when they are loaded, which is later
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

_NO_DATA = "KOTOWARI_DATA is not set, so the field data are not at hand"

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("desk", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_collection_modifyitems(items):
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
