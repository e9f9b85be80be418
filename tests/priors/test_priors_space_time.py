"""A run split into background, sparse part and residual, against a slow solver that shares no code with it."""

from dataclasses import dataclass

import numpy as np
import pytest

from kotowari.core.errors import CapabilityError, DesignError, InputError, ShapeError
from kotowari.core.outcome import Status
from kotowari.priors.run_rows import RunRows
from kotowari.priors.space_time import estimate_noise, separate_run

NOISE = 0.02
WEIGHTS = {"weight": 0.8, "tv_weight": 0.02, "time_weight": 0.6, "group_weight": 0.3}


@dataclass
class Slow:
    """Dense ADMM on L, S and the differences of S; every array and operator is a plain matrix."""

    frames: np.ndarray
    field: np.ndarray
    weight: float
    tv_weight: float
    time_weight: float
    group_weight: float
    noise: float = NOISE
    positive: bool = True
    low_rank: bool = True

    def __post_init__(self):
        self.data = self.frames[:, self.field]
        n_frames, n_pixels = self.data.shape
        size = max(n_frames, n_pixels)
        self.bar = self.weight / size**0.5
        self.group = self.group_weight * self.bar * n_frames**0.5
        self.residual = (2 * size) ** 0.5 * self.noise
        self.differences = self._differences()

    def _differences(self):
        """Rows of weighted differences between neighbours that both lie in the field."""
        number = np.full(self.frames.shape, -1)
        number[:, self.field] = np.arange(self.data.size).reshape(self.data.shape)
        rows = []
        for axis, weight in ((0, self.tv_weight * self.time_weight), (1, self.tv_weight), (2, self.tv_weight)):
            here = np.take(number, range(number.shape[axis] - 1), axis).ravel()
            ahead = np.take(number, range(1, number.shape[axis]), axis).ravel()
            both = (here >= 0) & (ahead >= 0)
            block = np.zeros((both.sum(), self.data.size))
            block[np.arange(len(block)), here[both]] = -weight
            block[np.arange(len(block)), ahead[both]] = weight
            rows.append(block)
        return np.concatenate(rows)

    def shrink(self, x, step):
        x = np.sign(x) * np.maximum(np.abs(x) - step * self.bar, 0)
        x = np.maximum(x, 0) if self.positive else x
        length = np.linalg.norm(x, axis=0)
        return x * np.maximum(1 - step * self.group / np.maximum(length, 1e-300), 0)

    def objective(self, low, sparse):
        return (
            np.linalg.norm(low, "nuc")
            + self.bar * np.abs(sparse).sum()
            + self.group * np.linalg.norm(sparse, axis=0).sum()
            + np.abs(self.differences @ sparse.ravel()).sum()
            + 0.5 * ((self.data - low - sparse) ** 2).sum() / self.residual
        )

    def solve(self, n_steps=2500, step=4.0):
        n, push = self.data.size, 1.0 / self.residual
        scale = np.abs(self.differences).max()
        rows = self.differences / scale
        normal = np.linalg.inv(
            (push + 1 / step) * np.eye(n) + rows.T @ rows / step - push**2 / (push + 1 / step) * np.eye(n)
        )
        low, sparse, edges = np.zeros(n), np.zeros(n), np.zeros(len(rows))
        duals = [np.zeros(n), np.zeros(n), np.zeros(len(rows))]
        data = self.data.ravel() * push
        for _ in range(n_steps):
            right_low = data + (low - duals[0]) / step
            right = data + (sparse - duals[1] + rows.T @ (edges - duals[2])) / step
            s = normal @ (right - push / (push + 1 / step) * right_low)
            free = (right_low - push * s) / (push + 1 / step)
            low = self._threshold((free + duals[0]).reshape(self.data.shape), step).ravel()
            sparse = self.shrink((s + duals[1]).reshape(self.data.shape), step).ravel()
            ahead = rows @ s
            edges = np.sign(ahead + duals[2]) * np.maximum(np.abs(ahead + duals[2]) - step * scale, 0)
            for dual, new, old in zip(duals, (free, s, ahead), (low, sparse, edges), strict=True):
                dual += new - old
        return low.reshape(self.data.shape), sparse.reshape(self.data.shape)

    def _threshold(self, matrix, step):
        if not self.low_rank:
            return 0 * matrix
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        return (left * np.maximum(values - step, 0)) @ right


@pytest.fixture(scope="module")
def run():
    """Two moving modes, a square that comes and goes, noise; a corner lies outside the field."""
    rng = np.random.default_rng(0)
    t, y, x = np.mgrid[:7, :8, :9]
    frames = 1.0 + 0.3 * np.sin(t) * np.cos(x / 3) + 0.2 * np.cos(0.7 * t) * y / 8
    frames[3:6, 2:5, 3:6] += 0.7
    frames += NOISE * rng.standard_normal(frames.shape)
    field = np.ones((8, 9), bool)
    field[:3, :2] = False
    frames[:, ~field] = np.nan
    return frames, field


@pytest.fixture(scope="module")
def found(run):
    return separate_run(*run, **WEIGHTS, noise=NOISE, tol=1e-7, max_steps=20_000, keep_duals=True)


@pytest.fixture(scope="module")
def slow(run):
    problem = Slow(*run, **WEIGHTS)
    return problem, *problem.solve()


def test_the_split_is_that_of_a_dense_solver(found, run, slow):
    problem, low, sparse = slow
    best = problem.objective(low, sparse)
    assert found.status is Status.CONVERGED
    assert found.objective == pytest.approx(best, rel=1e-6)
    assert found.objective * (1 - found.gap) <= best * (1 + 1e-9)
    ours = problem.objective(found.background[:, run[1]], found.sparse[:, run[1]])
    assert found.objective == pytest.approx(ours, rel=1e-9)
    # the objective grows at least by the square of the distance over 2 mu, so a gap of 1e-7 allows 1e-3
    assert np.abs(found.sparse[:, run[1]] - sparse).max() < 2e-3 * sparse.max()


@pytest.mark.parametrize(
    "wrong",
    [{"positive": False}, {"tv_weight": 0.01}, {"time_weight": 0.3}, {"group_weight": 0.0}, {"noise": 1.2 * NOISE}],
    ids=["no sign", "half the variation", "half of it in time", "no groups", "another noise"],
)
def test_another_problem_has_another_solution(found, run, wrong):
    problem = Slow(*run, **(WEIGHTS | wrong))
    _, sparse = problem.solve(500)
    assert np.abs(found.sparse[:, run[1]] - sparse).max() > 1e-2 * sparse.max()


def test_variation_l1_and_sign_together_are_variation_then_a_threshold(run):
    frames, field = run
    settings = {"time_weight": 1.0, "group_weight": 0.0, "low_rank": False}
    both = Slow(frames - 1, field, weight=1.0, tv_weight=0.1, **settings)
    alone = Slow(frames - 1, field, weight=1e-12, tv_weight=0.1, positive=False, **settings)
    _, together = both.solve(1000)
    _, varied = alone.solve(1000)
    lowered = np.maximum(varied - both.residual * both.bar, 0)
    np.testing.assert_allclose(together, lowered, atol=1e-6)
    assert np.abs(np.maximum(varied, 0) - together).max() > 0.01


def test_layers_add_up_and_end_at_the_field(found, run):
    frames, field = run
    inside = np.where(field, frames, 0)
    np.testing.assert_allclose(found.background + found.sparse + found.residual, inside, atol=1e-12)
    assert found.sparse.min() == 0
    assert not np.abs(found.sparse[:, ~field]).any()
    assert not np.abs(found.background[:, ~field]).any()
    np.testing.assert_allclose(found.time.T @ found.time, np.eye(found.time.shape[1]), atol=1e-9)


def test_shares_of_the_priors_are_the_residual(found, run):
    frames, field = run
    shares = found.prior_shares()
    np.testing.assert_allclose(sum(shares), found.residual, atol=1e-12)
    problem = Slow(frames, field, **WEIGHTS)
    bar = problem.residual * problem.bar
    taken = found.sparse > 0
    np.testing.assert_allclose(shares.sparse[taken], bar, rtol=1e-6)
    assert shares.sparse.max() < bar * (1 + 1e-6)
    assert np.abs(shares.space.sum((1, 2))).max() < 1e-9  # what one pixel loses its neighbours gain
    assert np.abs(shares.time.sum(0)).max() < 1e-9
    middle = found.prior_shares(2, 5)
    np.testing.assert_array_equal(middle.space, shares.space[:, 2:5])


def test_shares_ask_for_the_duals(run):
    with pytest.raises(CapabilityError, match="keep_duals=True"):
        separate_run(*run, noise=NOISE, max_steps=2).prior_shares()


def test_units_do_not_matter(found, run):
    frames, field = run
    other = separate_run(8 * frames, field, **WEIGHTS, noise=8 * NOISE, tol=1e-7, max_steps=20_000)
    np.testing.assert_allclose(other.sparse, 8 * found.sparse, atol=1e-9)


def test_order_of_frames_matters_to_variation_in_time_alone(run, rng):
    frames, field = run
    order = rng.permutation(len(frames))
    for time_weight, same in ((0.0, True), (1.0, False)):
        settings = {"tv_weight": 0.02, "time_weight": time_weight, "noise": NOISE, "tol": 1e-6, "max_steps": 5000}
        sparse = separate_run(frames, field, **settings).sparse
        mixed = separate_run(frames[order], field, **settings).sparse
        assert np.allclose(mixed, sparse[order], atol=2e-2 * sparse.max()) is same


@pytest.fixture(scope="module")
def large():
    """A run that is halved once, in single precision."""
    rng = np.random.default_rng(1)
    t, _, x = np.mgrid[:6, :97, :101]
    frames = 1 + 0.3 * np.sin(t + x / 40) + 0.02 * rng.standard_normal(t.shape)
    frames[2:5, 30:36, 20:80] += 0.4
    return frames.astype(np.float32)


def test_threads_do_not_change_a_byte(large):
    one, two = (separate_run(large, noise=0.02, n_threads=n) for n in (1, 2))
    assert one.sparse.tobytes() == two.sparse.tobytes()
    assert one.space.tobytes() == two.space.tobytes()
    assert one.trace == two.trace


def test_half_the_resolution_is_a_start_and_not_another_problem(large, monkeypatch):
    started = separate_run(large, noise=0.02, tol=1e-4, max_steps=1000)
    monkeypatch.setattr("kotowari.priors.space_time._COARSEST", 10**6)
    cold = separate_run(large, noise=0.02, tol=1e-4, max_steps=1000)
    assert started.objective == pytest.approx(cold.objective, rel=1e-4)
    assert started.trace[0][2] < cold.trace[0][2]
    assert np.linalg.norm(started.sparse - cold.sparse) < 0.05 * np.linalg.norm(cold.sparse)


def test_integers_hold_the_split_as_well(large):
    exact = separate_run(large, noise=0.02, tol=1e-3)
    compact = separate_run(large, noise=0.02, tol=1e-3, compact=True)
    assert compact.stored.dtype == np.uint16
    assert compact.status is Status.CONVERGED
    assert compact.objective == pytest.approx(exact.objective, rel=1e-3)
    assert np.abs(compact.sparse - exact.sparse).max() < 0.03


def test_a_mapped_file_of_grey_levels_is_its_attenuation(large, tmp_path):
    levels = -np.log((np.arange(256) + 1) / 256)
    grey = np.clip(255 * np.exp(-large), 0, 255).astype(np.uint8)
    grey.tofile(tmp_path / "run.raw")
    mapped = np.memmap(tmp_path / "run.raw", np.uint8, "r", shape=grey.shape)
    of_file = separate_run(RunRows.of_levels(mapped, levels), noise=0.02, max_steps=20)
    of_array = separate_run(levels[grey].astype(np.float32), noise=0.02, max_steps=20)
    assert of_file.sparse.tobytes() == of_array.sparse.tobytes()


def test_a_vessel_that_stays_is_sparse_by_default_and_background_at_the_textbook_weight():
    rng = np.random.default_rng(2)
    frames = 1 + 0.01 * rng.standard_normal((60, 56, 56))
    frames[15:45, 10:13, 4:28] += 0.3
    ours = separate_run(frames, noise=0.01).sparse[40, 11, 6:26].mean()
    textbook = separate_run(frames, noise=0.01, weight=1.0).sparse[40, 11, 6:26].mean()
    assert ours > 0.2
    assert textbook < 0.1


def test_noise_is_found_beside_edges(rng):
    frames = 0.05 * rng.standard_normal((10, 60, 60))
    frames[:, 20:40, 20:40] += 3.0
    assert estimate_noise(frames) == pytest.approx(0.05, rel=0.1)
    assert estimate_noise(np.ones((3, 2, 2))) > 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"weight": 0.0}, InputError, "must be above 0"),
        ({"tv_weight": -1.0}, InputError, "tv_weight must be 0 or more"),
        ({"noise": 0.0}, InputError, "must be above 0"),
        ({"max_steps": 0}, InputError, "1 or more"),
        ({"field": np.ones((3, 3), bool)}, ShapeError, "field must have shape"),
        ({"field": np.zeros((8, 9), bool)}, DesignError, "no pixel lies in the field"),
        ({"field": np.ones((8, 9), bool)}, InputError, "NaN or infinite"),
    ],
)
def test_bad_input_gets_one_clear_sentence(run, options, error, words):
    with pytest.raises(error, match=words):
        separate_run(run[0], **({"field": run[1], "noise": NOISE} | options))


def test_one_frame_and_wrong_rows_are_refused():
    with pytest.raises(DesignError, match="one frame"):
        separate_run(np.ones((1, 8, 8)))
    with pytest.raises(ShapeError, match="a run"):
        separate_run(np.ones((8, 8)))
    with pytest.raises(ShapeError, match="rows 0 to"):
        separate_run(RunRows((2, 8, 8), lambda _begin, _end: np.ones((2, 1, 1))), noise=0.1)
    with pytest.raises(InputError, match="levels"):
        RunRows.of_levels(np.ones((2, 8, 8), np.uint8), np.ones(4))
    with pytest.raises(InputError, match="uint8 or uint16"):
        RunRows.of_levels(np.ones((2, 8, 8)), np.ones(256))


def test_a_run_of_one_value_has_no_sparse_part():
    found = separate_run(np.ones((4, 12, 12), np.float32), noise=1e-3)
    assert not found.sparse.any()
    assert separate_run(np.zeros((4, 12, 12), np.float32)).status is Status.CONVERGED
