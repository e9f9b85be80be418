"""Every part of a run draws from a seed of its own."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.seeds import derive_seed

SEEDS = st.integers(0, 2**63)
PATHS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\x1f"), max_size=6) | st.integers(0, 999), max_size=4
)


@given(SEEDS, PATHS)
def test_a_seed_is_one_that_every_library_takes(seed, path):
    assert 0 <= derive_seed(seed, *path) < 2**31


@given(SEEDS, PATHS)
def test_a_name_longer_than_the_path_gives_another_seed(seed, path):
    assert derive_seed(seed, *path) != derive_seed(seed, *path, "fold")


def test_names_do_not_run_together():
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")
    assert derive_seed(1, 23) != derive_seed(12, 3)


def test_seeds_of_many_parts_differ_and_fill_their_range():
    seeds = np.array([derive_seed(seed, "null", k) for seed in range(20) for k in range(100)])
    assert len(np.unique(seeds)) == len(seeds)
    counts = np.bincount(seeds >> 27, minlength=16)  # 16 equal parts of the range
    assert ((counts - 125) ** 2 / 125).sum() < 37.7  # chi-square with 15 degrees of freedom, p = 0.001


def test_a_seed_is_the_same_in_every_process_and_release():
    code = "from kotowari.core.seeds import derive_seed; print(derive_seed(0, 'null', 17, 'fold', 2))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) == derive_seed(0, "null", 17, "fold", 2) == 1736328896
