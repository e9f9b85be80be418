"""Every example of the gallery runs without a warning, says something and draws something."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("plot_*.py"))
_RUN = """
import runpy, sys
import matplotlib.pyplot as plt
plt.switch_backend("Agg")
runpy.run_path(sys.argv[1], run_name="__main__")
sys.stderr.write(f"pictures {len(plt.get_fignums())}")
"""


@pytest.fixture
def run_example(ready):
    """Run an example in a process of its own; returns what it prints, and how many pictures it leaves."""

    def run(path):
        done = ready.run(_RUN, path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), int(done.stderr.rpartition("pictures ")[2])

    return run


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_speaks_and_draws(path, run_example):
    text, pictures = run_example(path)
    assert text
    assert pictures >= 1


def test_example_with_a_warning_is_caught(tmp_path, run_example):
    path = tmp_path / "plot_wrong.py"
    path.write_text("import warnings\nwarnings.warn('old', DeprecationWarning)\n")
    with pytest.raises(AssertionError, match="DeprecationWarning"):
        run_example(path)


def test_silent_example_is_seen_as_silent(tmp_path, run_example):
    path = tmp_path / "plot_silent.py"
    path.write_text("x = 1\n")
    assert run_example(path) == ("", 0)
