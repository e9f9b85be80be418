"""The total variation prox: certified by a gap computed here anew, known answers, both paths, and its derivative."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.errors import ConvergenceError, InputError, ShapeError
from kotowari.core.outcome import Status
from kotowari.priors.functional import tv_iteration, tv_solve
from kotowari.priors.functional.tv_iteration import iterate_slices
from kotowari.priors.functional.tv_jacobian import descend_slices, jacobian_product
from kotowari.priors.functional.tv_prox import tv_prox, tv_prox_outcome
from kotowari.priors.functional.tv_slices import Differences

EPS = torch.finfo(torch.float64).eps


@pytest.fixture(params=["compiled", "torch"])
def path(request, monkeypatch):
    """Either of the two ways the same iteration runs."""
    if request.param == "torch":
        monkeypatch.setattr(tv_solve, "_has_numba", lambda: False)
    return request.param


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scene(*shape, seed=0):
    """Blocks with noise."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape)
    for _ in range(5):
        corner = [int(rng.integers(0, n)) for n in shape[1:]]
        image[(slice(None), *(slice(c, c + 1 + n // 2) for c, n in zip(corner, shape[1:], strict=True)))] += (
            rng.normal()
        )
    return torch.from_numpy(image + 0.1 * rng.normal(size=shape))


def edges(x, axes, weights):
    """Forward differences along ``axes``, stacked in front; written without the package."""
    pieces = []
    for axis, weight in zip(axes, weights, strict=True):
        piece = np.zeros_like(x)
        inner = [slice(None)] * x.ndim
        inner[axis] = slice(0, x.shape[axis] - 1)
        piece[tuple(inner)] = weight * np.diff(x, axis=axis)
        pieces.append(piece)
    return np.stack(pieces)


def objective(u, x, step, *, axes=(-2, -1), weights=None, isotropic=True):
    """Objective of one sample."""
    found = np.abs(edges(u, axes, weights or [1.0] * len(axes)))
    variation = np.sqrt((found**2).sum(0)).sum() if isotropic else found.sum()
    return step * variation + 0.5 * (np.abs(u - x) ** 2).sum()


def independent_gap(u, p, x, step, *, axes=(-2, -1), weights=None, isotropic=True):
    """Relative duality gap of one sample, and by how much the dual leaves its ball, relative."""
    weights = weights or [1.0] * len(axes)
    flow = np.zeros_like(x)
    for number, (axis, weight) in enumerate(zip(axes, weights, strict=True)):
        inner = np.take(p[number], range(x.shape[axis] - 1), axis=axis) * weight
        edge = np.zeros_like(np.take(x, [0], axis=axis))
        flow -= np.diff(np.concatenate([edge, inner, edge], axis=axis), axis=axis)
    dual = 0.5 * (np.abs(x) ** 2).sum() - 0.5 * (np.abs(x - flow) ** 2).sum()
    size = np.sqrt((np.abs(p) ** 2).sum(0)) if isotropic else np.abs(p)
    primal = objective(u, x, step, axes=axes, weights=weights, isotropic=isotropic)
    return (primal - dual) / dual, size.max() / step - 1


def wide(tensor):
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64).numpy()


# ------------------------------------------------------------------------------------------------- the certificate

SETTINGS = {
    "images": ((2, 9, 12), {}),
    "anisotropic": ((2, 9, 12), {"isotropic": False}),
    "weighted": ((2, 9, 12), {"weights": [0.3, 1.7]}),
    "columns first": ((2, 9, 12), {"axes": (-1, -2), "weights": [2.0, 1.0]}),
    "signals": ((3, 40), {"axes": (-1,)}),
    "along the second axis": ((2, 30, 3), {"axes": (1,)}),
    "volumes": ((2, 5, 6, 7), {"axes": (-3, -2, -1), "weights": [0.5, 1.0, 1.0]}),
    "volumes, anisotropic": ((1, 5, 6, 7), {"axes": (-3, -2, -1), "isotropic": False}),
    "channels": ((2, 3, 8, 9), {}),
    "an axis of one": ((2, 1, 12), {}),
    "four axes": ((1, 3, 3, 3, 4), {"axes": (1, 2, 3, 4)}),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize(("shape", "options"), SETTINGS.values(), ids=SETTINGS)
@pytest.mark.usefixtures("path")
def test_the_gap_computed_anew_is_as_small_as_promised(shape, options, dtype):
    x = scene(*shape) + 1j * scene(*shape, seed=1) if dtype.is_complex else scene(*shape)
    x = x.to(dtype)
    outcome = tv_prox_outcome(x, 0.1, gap=1e-5, **options)
    assert outcome.converged
    assert outcome.state.x.dtype == x.dtype
    assert torch.equal(outcome.state.x, tv_prox(x, 0.1, gap=1e-5, **options))
    for u, p, sample in zip(outcome.state.x, outcome.state.dual, x, strict=True):
        # the axes of a sample: one less in front
        own = {**options, "axes": tuple(a - 1 if a > 0 else a for a in options.get("axes", (-2, -1)))}
        gap, outside = independent_gap(wide(u), wide(p), wide(sample), 0.1, **own)
        assert -1e-6 <= gap <= 1.02e-5
        assert outside <= 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.usefixtures("path")
def test_the_gap_holds_where_single_precision_ends(dtype):
    x = scene(1, 24, 24).to(dtype)
    for gap in (1e-6, 1e-8):
        outcome = tv_prox_outcome(x, 0.2, gap=gap).or_raise()
        reached, _ = independent_gap(wide(outcome.state.x[0]), wide(outcome.state.dual[0]), wide(x[0]), 0.2)
        # the image and its dual are rounded once at the end
        assert reached <= gap + 4 * torch.finfo(dtype).eps
        assert float(outcome.state.gap) <= gap


def test_a_prox_off_by_five_percent_fails_the_gap():
    x = scene(1, 12, 12)
    state = tv_prox_outcome(x, 0.1, gap=1e-5).state
    off = x + 1.05 * (state.x - x)
    gap, _ = independent_gap(wide(off[0]), wide(state.dual[0]), wide(x[0]), 0.1)
    assert gap > 1e-4
    gap, outside = independent_gap(wide(state.x[0]), wide(1.05 * state.dual[0]), wide(x[0]), 0.1)
    assert outside > 0.04


def test_a_rule_that_stops_early_fails_the_gap(monkeypatch, path):
    if path == "torch":
        monkeypatch.setattr(tv_iteration, "relative", lambda distance, _: 0.01 * distance)
        x = scene(1, 12, 12)
        state = tv_prox_outcome(x, 0.1, gap=1e-5).state
    else:
        x = scene(1, 12, 12)
        state = tv_prox_outcome(x, 0.1, gap=1e-2).state
    gap, _ = independent_gap(wide(state.x[0]), wide(state.dual[0]), wide(x[0]), 0.1)
    assert gap > 1.02e-5


# --------------------------------------------------------------------------------------------------- known answers


@given(
    left=st.integers(1, 9),
    right=st.integers(1, 9),
    height=st.floats(-3.0, 3.0),
    step=st.floats(0.01, 5.0),
)
def test_two_levels_move_towards_each_other(left, right, height, step):
    x = torch.cat([torch.zeros(left), torch.full((right,), height)]).double()[None]
    sign, apart = np.sign(height), abs(height)
    low, high = step / left, apart - step / right
    if low >= high:
        low = high = apart * right / (left + right)
    expected = sign * torch.cat([torch.full((left,), low), torch.full((right,), high)]).double()[None]
    found = tv_prox(x, step, axes=(-1,), gap=1e-10)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * (1 + apart))


@pytest.mark.usefixtures("path")
def test_constant_images_step_zero_and_large_steps_are_exact():
    constant = torch.full((2, 5, 7), 1.7)
    assert torch.equal(tv_prox(constant, 3.0), constant)
    x = scene(2, 5, 7)
    assert torch.equal(tv_prox(x, 0.0), x)
    for step in (1e3, 1e30):
        torch.testing.assert_close(
            tv_prox(x, step), x.mean((1, 2), keepdim=True).expand_as(x), rtol=0, atol=8 * EPS * float(x.abs().max())
        )


def test_a_square_shrinks_by_its_perimeter_over_its_area():
    # anisotropic, a centred block: every side pays once a row or column it has
    x = torch.zeros(1, 9, 9, dtype=torch.float64)
    x[:, 3:6, 3:6] = 4.0
    found = tv_prox(x, 0.3, isotropic=False, gap=1e-12)
    assert abs(float(found[0, 4, 4]) - (4.0 - 0.3 * 12 / 9)) < 1e-5
    assert abs(float(found[0, 0, 0]) - 0.3 * 12 / 72) < 1e-5


def test_objectives_of_other_libraries_are_not_lower():
    pyproximal = pytest.importorskip("pyproximal")
    from skimage.restoration import denoise_tv_chambolle

    x = scene(1, 24, 24)
    image = wide(x[0])
    ours = objective(wide(tv_prox(x, 0.1, gap=1e-8)[0]), image, 0.1)
    chambolle = denoise_tv_chambolle(image, weight=0.1, eps=0, max_num_iter=2000)
    fgp = pyproximal.TV(dims=image.shape, sigma=0.1, niter=500, rtol=0).prox(image.ravel(), 1.0).reshape(image.shape)
    for theirs in (objective(chambolle, image, 0.1), objective(fgp, image, 0.1)):
        assert ours <= theirs * (1 + 2e-8)
        assert theirs <= ours * (1 + 1e-3)


@pytest.mark.usefixtures("path")
def test_scale_and_offset_pass_through():
    x = scene(1, 8, 8).float()
    plain = tv_prox(x, 0.1, gap=1e-6)
    for scale in (2.0**-90, 2.0**90):
        assert torch.equal(tv_prox(scale * x, scale * 0.1, gap=1e-6), scale * plain)
    torch.testing.assert_close(tv_prox(x + 1000.0, 0.1, gap=1e-6) - 1000.0, plain, rtol=0, atol=2e-3)
    nearly_constant = 1.0 + 1e-7 * x
    assert bool((tv_prox(nearly_constant, 0.1, gap=1e-6) == nearly_constant.mean()).all())


@pytest.mark.usefixtures("path")
def test_a_common_weight_of_the_axes_is_a_factor_of_the_step():
    x = scene(1, 8, 8)
    weighted, plain = tv_prox(x, 0.1, weights=(4.0, 4.0), gap=1e-9), tv_prox(x, 0.4, gap=1e-9)
    torch.testing.assert_close(weighted, plain, rtol=0, atol=1e-3)
    options = {"isotropic": False, "gap": 1e-8}
    signals, lines = tv_prox(x, 0.1, weights=(1e-9, 1.0), **options), tv_prox(x, 0.1, axes=(-1,), **options)
    torch.testing.assert_close(signals, lines, rtol=0, atol=1e-3)


@pytest.mark.usefixtures("path")
def test_a_phase_passes_through_the_complex_prox():
    x, turn = scene(1, 8, 8), torch.tensor(np.exp(0.7j))
    for isotropic in (True, False):
        real, turned = (tv_prox(z, 0.1, isotropic=isotropic, gap=1e-10) for z in (x, turn * x))
        torch.testing.assert_close(turned, turn * real, rtol=0, atol=1e-4)


# ----------------------------------------------------------------------------------------------- batches and paths


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128], ids=str)
@pytest.mark.usefixtures("path")
def test_samples_and_channels_do_not_depend_on_their_company(dtype):
    x = draw(3, 2, 7, 8, dtype=dtype)
    x[1] *= 5.0
    steps = torch.tensor([0.1, 0.7, 0.02])
    together = tv_prox(x, steps)
    for number, (sample, step) in enumerate(zip(x, steps, strict=True)):
        for channel, image in enumerate(sample):
            assert torch.equal(tv_prox(image[None], step)[0], together[number, channel])
    assert not torch.equal(tv_prox(x, 0.1)[1], together[1])


def test_a_step_for_each_sample_may_have_trailing_axes():
    x, steps = draw(2, 4, 5), torch.tensor([0.1, 0.5])
    assert torch.equal(tv_prox(x, steps), tv_prox(x, steps.reshape(2, 1, 1)))
    assert torch.equal(tv_prox(x, 0.5)[1], tv_prox(x, steps)[1])


@pytest.mark.usefixtures("path")
def test_no_call_leaves_a_trace():
    x = scene(1, 9, 9)
    first = tv_prox(x, 0.1)
    tv_prox(draw(1, 9, 9), 2.0)
    assert torch.equal(tv_prox(x, 0.1), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64], ids=str)
@pytest.mark.parametrize(("shape", "options"), SETTINGS.values(), ids=SETTINGS)
def test_compiled_and_torch_iterations_agree(shape, options, dtype, monkeypatch):
    x = draw(*shape, dtype=dtype)
    compiled = tv_prox_outcome(x, 0.3, gap=1e-4, **options)
    monkeypatch.setattr(tv_solve, "_has_numba", lambda: False)
    plain = tv_prox_outcome(x, 0.3, gap=1e-4, **options)
    assert compiled.n_steps == plain.n_steps
    bar = 500 * torch.finfo(dtype).eps
    torch.testing.assert_close(compiled.state.x, plain.state.x, rtol=0, atol=bar)
    torch.testing.assert_close(compiled.state.dual, plain.state.dual, rtol=0, atol=bar)
    torch.testing.assert_close(compiled.state.gap, plain.state.gap, rtol=1e-2, atol=bar)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1, 30, 70), (1, 2)),
        ((1, 3, 2500), (1, 2)),
        ((1, 4, 40, 41), (1, 2, 3)),
        ((1, 2100), (1,)),
        ((1, 3, 1024), (1, 2)),
    ],
)
def test_slices_and_strides_longer_than_a_block_agree_with_torch(shape, axes, monkeypatch):
    x = draw(*shape)
    compiled = tv_prox(x, 0.3, axes=axes, gap=1e-2)
    monkeypatch.setattr(tv_solve, "_has_numba", lambda: False)
    torch.testing.assert_close(compiled, tv_prox(x, 0.3, axes=axes, gap=1e-2), rtol=0, atol=1e-11)


@pytest.mark.usefixtures("path")
def test_what_a_dual_holds_beyond_the_edges_does_not_matter():
    x = scene(1, 8, 8)
    dual = tv_prox_outcome(x, 0.1).state.dual
    soiled = dual.clone()
    soiled[:, 0, -1], soiled[:, 1, :, -1] = 9.0, 9.0
    assert torch.equal(tv_prox(x, 0.1, gap=1e-6, dual=soiled), tv_prox(x, 0.1, gap=1e-6, dual=dual))


def test_a_dual_is_a_start():
    x = scene(2, 16, 16)
    cold = tv_prox_outcome(x, 0.1, gap=1e-6)
    warm = tv_prox_outcome(x, 0.1, gap=1e-6, dual=cold.state.dual)
    assert max(warm.n_steps) < max(cold.n_steps)
    torch.testing.assert_close(warm.state.x, cold.state.x, rtol=0, atol=1e-2)
    torch.testing.assert_close(tv_prox(x, 0.1, gap=1e-6, dual=cold.state.dual), warm.state.x, rtol=0, atol=0)


def test_importing_the_prox_does_not_load_numba():
    code = "import sys, kotowari.priors.total_variation; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.usefixtures("path")
def test_an_image_that_does_not_reach_its_gap_is_told():
    x = scene(3, 9, 9)
    x[1] = 2.0
    with pytest.raises(ConvergenceError, match=r"2 of 3 images stopped after 20 steps .* Raise max_steps"):
        tv_prox(x, 0.1, gap=1e-10, max_steps=20)
    outcome = tv_prox_outcome(x, 0.1, gap=1e-10, max_steps=20)
    assert outcome.statuses == (Status.MAX_STEPS, Status.CONVERGED, Status.MAX_STEPS)
    assert outcome.n_steps == (20, 0, 20)


@pytest.mark.usefixtures("path")
def test_what_is_not_finite_is_told_and_spoils_no_other_sample():
    x = scene(2, 9, 9)
    x[1, 4, 4] = torch.nan
    with pytest.raises(ConvergenceError, match="NaN"):
        tv_prox(x, 0.1)
    outcome = tv_prox_outcome(x, 0.1)
    assert outcome.statuses == (Status.CONVERGED, Status.NON_FINITE)
    assert torch.equal(outcome.state.x[0], tv_prox(x[:1], 0.1)[0])


@pytest.mark.parametrize(
    ("error", "options", "match"),
    [
        (ShapeError, {"axes": (0, 1)}, "the batch"),
        (ShapeError, {"axes": (-1, 2)}, "different axes"),
        (ShapeError, {"axes": (3,)}, "different axes"),
        (ShapeError, {"axes": ()}, "different axes"),
        (ShapeError, {"weights": (1.0,)}, "1 weights"),
        (InputError, {"weights": (1.0, 0.0)}, "above 0"),
        (InputError, {"gap": 0.0}, "gap must be above 0"),
        (InputError, {"gap": float("nan")}, "gap must be above 0"),
        (InputError, {"max_steps": 0}, "max_steps 1 or more"),
        (InputError, {"step": -1.0}, "0 or more"),
        (InputError, {"step": float("inf")}, "finite"),
        (ShapeError, {"step": torch.ones(3)}, "step must have shape"),
        (ShapeError, {"step": torch.ones(1, 2)}, "step must have shape"),
        (ShapeError, {"dual": torch.zeros(2, 4, 5)}, "dual"),
        (ShapeError, {"dual": torch.zeros(2, 2, 4, 5, dtype=torch.complex64)}, "dual"),
        (InputError, {"x": torch.zeros(2, 4, 5, dtype=torch.float16)}, "precision"),
        (InputError, {"x": torch.zeros(2, 4, 5, dtype=torch.int64)}, "precision"),
    ],
)
def test_what_does_not_fit_is_refused(error, options, match):
    given_options = {"x": torch.zeros(2, 4, 5), "step": 0.1, **options}
    with pytest.raises(error, match=match):
        tv_prox(given_options.pop("x"), given_options.pop("step"), **given_options)


# ------------------------------------------------------------------------------------------------------- derivative


def gradient(x, v, step=0.1, **options):
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(tv_prox(x, step, **options), x, v)
    return found


def jacobian(x, step, **options):
    """Dense Jacobian of one sample: a row for each upstream unit vector."""
    rows = torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape[1:])
    return gradient(x.expand_as(rows), rows, step, **options).flatten(1)


def region_averages(solution):
    """Matrix that averages over the connected regions of equal value."""
    image = solution.numpy()
    labels = np.arange(image.size).reshape(image.shape)
    for _ in range(image.size):
        for axis in range(image.ndim):
            for near, far in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
                here = tuple(near if a == axis else slice(None) for a in range(image.ndim))
                there = tuple(far if a == axis else slice(None) for a in range(image.ndim))
                same = np.abs(image[here] - image[there]) < 1e-5
                labels[here] = np.where(same, np.minimum(labels[here], labels[there]), labels[here])
    flat = labels.ravel()
    same = (flat[:, None] == flat[None]).astype(float)
    return torch.from_numpy(same / same.sum(1))


@pytest.mark.parametrize("shape", [(1, 24), (1, 6, 7)])
@pytest.mark.usefixtures("path")
def test_the_anisotropic_jacobian_averages_over_regions(shape):
    x, axes = scene(*shape, seed=3), tuple(range(1, len(shape)))
    options = {"axes": axes, "isotropic": False, "gap": 1e-12, "max_steps": 50_000}
    expected = region_averages(tv_prox(x, 0.2, **options)[0])
    found = jacobian(x, 0.2, **options)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(1.05 * found, expected, rtol=0, atol=1e-2)


@pytest.mark.usefixtures("path")
def test_the_isotropic_jacobian_is_that_of_central_differences():
    x, options = scene(1, 6, 6, seed=2), {"gap": 1e-11, "max_steps": 100_000}
    found, shift = jacobian(x, 0.2, **options), 1e-5
    moved = shift * torch.eye(36, dtype=x.dtype).reshape(36, 6, 6)
    expected = (tv_prox(x + moved, 0.2, **options) - tv_prox(x - moved, 0.2, **options)).reshape(36, 36) / (2 * shift)
    assert float((found - expected).norm() / expected.norm()) < 1e-3
    assert float((1.05 * found - expected).norm() / expected.norm()) > 1e-2
    torch.testing.assert_close(found, found.T, rtol=0, atol=1e-4)
    spectrum = torch.linalg.eigvalsh((found + found.T) / 2)
    assert float(spectrum.min()) > -1e-4
    assert float(spectrum.max()) < 1 + 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128], ids=str)
@pytest.mark.usefixtures("path")
def test_a_loose_gradient_is_near_a_tight_one_and_never_longer_than_what_came(dtype):
    x, v = scene(2, 2, 12, 12).to(dtype), draw(2, 2, 12, 12, dtype=dtype)
    loose, tight = gradient(x, v), gradient(x, v, gap=1e-10, max_steps=100_000)
    assert loose.dtype == dtype
    assert float((loose - tight).norm() / tight.norm()) < 0.05
    for upstream in (v, torch.ones_like(v), v.sgn(), x, x - tv_prox(x, 0.1)):
        ratio = gradient(x, upstream).flatten(1).norm(dim=1) / upstream.flatten(1).norm(dim=1)
        assert float(ratio.max()) <= 1 + 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize("max_steps", [1, 3, 1000])
@pytest.mark.usefixtures("path")
def test_a_product_stopped_early_is_not_longer_either(max_steps):
    y, v, differences = scene(4, 1, 10, 10), draw(4, 1, 10, 10), Differences((1.0, 2.0), True)
    dual = 0.05 * draw(4, 1, 2, 10, 10, seed=1)  # of no solution at all
    step = torch.tensor([1e-6, 0.1, 1.0, 1e6], dtype=torch.float64)
    product = jacobian_product(v, y, dual, step, differences, tol=1e-9, max_steps=max_steps)
    assert bool((product.flatten(1).norm(dim=1) <= v.flatten(1).norm(dim=1) * (1 + 2 * EPS)).all())


def test_the_linear_system_is_solved_alike_on_both_paths():
    kernels = pytest.importorskip("kotowari.priors.functional.tv_kernels")
    for isotropic in (True, False):
        differences = Differences((1.0, 0.5), isotropic)
        normal = differences.apply(draw(2, 2, 5, 6, seed=1))
        size = differences.magnitude(normal)
        normal = torch.where(size > 1.0, normal / size, 0.0)
        stiffness = draw(2, 1, 1 if isotropic else 2, 5, 6, seed=3).square()
        residual = differences.across(differences.apply(draw(2, 2, 5, 6)), normal)
        plain, compiled = (
            solve(residual, normal, stiffness, differences, 1e-10, 500)
            for solve in (descend_slices, kernels.descend_lines)
        )
        torch.testing.assert_close(compiled, plain, rtol=0, atol=1e-7)
        image = differences.across(differences.apply(differences.adjoint(plain)), normal) + stiffness * plain
        torch.testing.assert_close(image, residual, rtol=0, atol=1e-7)


@pytest.mark.usefixtures("path")
def test_the_gradient_of_the_step_is_its_slope():
    x, v, options = scene(2, 8, 8), draw(2, 8, 8), {"gap": 1e-11, "max_steps": 100_000}
    step = torch.tensor([0.1, 0.3], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad((tv_prox(x, step, **options) * v).sum(), step)
    ahead, behind = ((tv_prox(x, step.detach() + s, **options) * v).sum((1, 2)) for s in (1e-5, -1e-5))
    torch.testing.assert_close(found, (ahead - behind) / 2e-5, rtol=1e-3, atol=1e-4)
    scalar = torch.tensor(0.2, requires_grad=True)
    (total,) = torch.autograd.grad((tv_prox(x, scalar, **options) * v).sum(), scalar)
    ahead, behind = ((tv_prox(x, 0.2 + s, **options) * v).sum() for s in (1e-5, -1e-5))
    assert abs(float(total) - float(ahead - behind) / 2e-5) < 1e-2


def test_a_step_of_zero_has_the_slope_from_above():
    x, v = scene(1, 8, 8), draw(1, 8, 8)
    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    x.requires_grad_()
    image = tv_prox(x, step)
    to_x, to_step = torch.autograd.grad((image * v).sum(), (x, step))
    assert torch.equal(to_x, v)
    ahead = (tv_prox(x.detach(), 1e-6, gap=1e-12) * v).sum()
    assert abs(float(to_step) - float(ahead - (image.detach() * v).sum()) / 1e-6) < 1e-3 * abs(float(to_step))


def test_backward_is_defined_once_and_only_on_request():
    x = scene(1, 5, 5).requires_grad_()
    (first,) = torch.autograd.grad((tv_prox(x, 0.1) ** 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
    assert not tv_prox_outcome(x, 0.1).state.x.requires_grad


def test_the_torch_iteration_counts_the_steps_of_each_slice():
    y = torch.cat([scene(1, 9, 9), 0.01 * scene(1, 9, 9)])[:, None]
    start, step = torch.zeros(2, 1, 2, 9, 9, dtype=y.dtype), torch.full((2,), 0.1, dtype=torch.float64)
    stop = tv_iteration.Stop(1e-6, 2000, torch.zeros_like(step))
    found = iterate_slices(y, start, step, Differences((1.0, 1.0), True), stop)
    assert found.n_steps[0] != found.n_steps[1]
    assert bool((found.gap <= 1e-6).all())
