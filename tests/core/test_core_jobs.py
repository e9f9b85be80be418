"""Results are kept as they come, and do not depend on who computed them, or when."""

import numpy as np
import pytest

from kotowari.core.jobs import map_jobs
from kotowari.core.seeds import derive_seed

JOBS = {f"fold-{k}": (k,) for k in range(5)}


def draw(k):
    """A strided view among its results: what a file gives back lies otherwise in memory."""
    numbers = np.random.default_rng(derive_seed(3, "draw", k)).normal(size=(50, 40)).astype(np.float32)
    return {"numbers": numbers, "view": numbers[::3, ::-2], "name": np.array(f"fold {k}"), "empty": np.zeros((0, 2))}


def draw_wrong(k):
    """Depends on what ran before it, which no job may."""
    draw_wrong.calls += 1
    return {"numbers": np.array([k + draw_wrong.calls])}


def silent(units=1):
    del units


def recording(function, log, broken=None):
    def run(k):
        if k == broken:
            raise MemoryError("killed")
        log.append(k)
        return function(k)

    return run


def assert_equal_results(ours, theirs):
    assert list(ours) == list(theirs)
    for key, arrays in ours.items():
        assert arrays.keys() == theirs[key].keys()
        for name, array in arrays.items():
            other = theirs[key][name]
            assert (array.dtype, array.shape, array.strides) == (other.dtype, other.shape, other.strides)
            assert array.tobytes() == other.tobytes(), f"{key}: {name} differs"


def assert_a_stopped_batch_ends_like_an_unbroken_one(function, folder):
    unbroken = map_jobs(function, JOBS, shards=folder / "unbroken", workers=1, advance=silent)
    log = []
    with pytest.raises(MemoryError, match="killed"):
        map_jobs(recording(function, log, broken=3), JOBS, shards=folder / "stopped", workers=1, advance=silent)
    continued = map_jobs(recording(function, log), JOBS, shards=folder / "stopped", workers=1, advance=silent)
    assert log == [0, 1, 2, 3, 4], "a finished job ran again, or one was left out"
    assert_equal_results(unbroken, continued)


def test_results_come_by_key_in_the_order_of_the_jobs(tmp_path):
    results = map_jobs(draw, JOBS, shards=tmp_path, workers=1, advance=silent)
    assert list(results) == list(JOBS)
    for k, arrays in enumerate(results.values()):
        for name, array in draw(k).items():
            np.testing.assert_array_equal(arrays[name], array)


def test_every_result_is_kept_and_none_is_computed_again(tmp_path):
    log = []
    first = map_jobs(recording(draw, log), JOBS, shards=tmp_path, workers=1, advance=silent)
    again = map_jobs(recording(draw, log), JOBS, shards=tmp_path, workers=1, advance=silent)
    assert log == [0, 1, 2, 3, 4]
    assert_equal_results(first, again)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"fold-{k}.npz" for k in range(5)]


def test_a_stopped_batch_ends_like_an_unbroken_one(tmp_path):
    assert_a_stopped_batch_ends_like_an_unbroken_one(draw, tmp_path)


def test_jobs_that_lean_on_each_other_are_caught(tmp_path):
    draw_wrong.calls = 0
    with pytest.raises(AssertionError, match="numbers differs"):
        assert_a_stopped_batch_ends_like_an_unbroken_one(draw_wrong, tmp_path)


def test_one_worker_and_two_give_equal_results(tmp_path):
    alone = map_jobs(draw, JOBS, shards=tmp_path / "one", workers=1, advance=silent)
    shared = map_jobs(draw, JOBS, shards=tmp_path / "two", workers=2, advance=silent)
    assert_equal_results(alone, shared)


def test_progress_counts_kept_and_fresh_results(tmp_path):
    units = []
    map_jobs(draw, {"fold-1": (1,), "fold-4": (4,)}, shards=tmp_path, workers=1, advance=silent)
    map_jobs(draw, JOBS, shards=tmp_path, workers=1, advance=lambda n=1: units.append(n))
    assert units == [2, 1, 1, 1]


def test_no_jobs_give_no_results(tmp_path):
    assert map_jobs(draw, {}, shards=tmp_path, workers=2, advance=silent) == {}


def test_a_pickle_put_in_the_place_of_a_result_is_refused(tmp_path):
    np.savez(tmp_path / "fold-0.npz", numbers=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        map_jobs(draw, JOBS, shards=tmp_path, workers=1, advance=silent)


def test_a_result_that_only_a_pickle_could_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle=False"):
        map_jobs(lambda _k: {"x": np.array([{}], dtype=object)}, JOBS, shards=tmp_path, workers=1, advance=silent)
    assert list(tmp_path.iterdir()) == []
