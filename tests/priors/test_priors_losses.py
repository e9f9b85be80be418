"""Every face of the loss is a function with its own gradient, but one; and no answer lies below the bound."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.outcome import Status
from kotowari.priors.loss_minimiser import minimise_low_rank_sparse
from kotowari.priors.loss_weights import Continuation, LearnedScales
from kotowari.priors.losses import LowRankSparseLoss

FACES = ("none", "eps", "moreau", "target", "prox-backward")
SHAPES = {"signals": (4, 1, 9), "images": (4, 1, 5, 6), "colour": (4, 3, 5, 6), "volumes": (3, 2, 3, 4, 3)}


def draw(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scene(n=8, side=12, channels=1, dtype=torch.float64):
    """A background of rank 2 with gains, and a dark block in another place of each image."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    gains = 0.7 + 0.2 * torch.rand(n, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    slopes = 0.2 * torch.rand(n, 1, 1, 1, generator=torch.Generator().manual_seed(2)) - 0.1
    background = (gains + slopes * (x + y)).expand(n, channels, side, side)
    foreground = torch.zeros(n, channels, side, side)
    for number in range(n):
        row, column = (3 * number) % (side - 3), (5 * number) % (side - 3)
        foreground[number, :, row : row + 3, column : column + 3] = -0.3
    return (background + foreground).to(dtype), foreground.to(dtype)


def by_hand(sparse, data, weight, tv_weight):
    """The loss in numpy, term by term."""
    d, s = data.numpy(), sparse.numpy()
    nuclear = np.linalg.svd((d - s).reshape(len(d), -1), compute_uv=False).sum()
    variation = sum(np.abs(np.diff(s, axis=axis)).sum() for axis in range(2, d.ndim))
    return nuclear + weight * np.sqrt((s**2).sum(1)).sum() + tv_weight * variation


def assert_gradient_is_of_the_value(loss, data, sparse):
    sparse = sparse.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, data), sparse, fast_mode=True)


def assert_never_below(bound, data, weight, tv_weight):
    """No foreground has a loss below the bound: none, all, drawn ones, and a good one."""
    good = minimise_low_rank_sparse(data, weight, tv_weight, tol=1e-3, max_steps=1000).sparse
    tried = [torch.zeros_like(data), data, good, *(good + 0.05 * draw(data.shape, seed) for seed in range(5))]
    least = min(by_hand(sparse, data, weight, tv_weight) for sparse in tried)
    assert bound <= least * (1 + 1e-9), f"a loss of {least:.6g} lies below the bound {bound:.6g}"


def robust_pca(matrix, weight, n_steps=500):
    """An inexact augmented Lagrangian method with a full SVD, slowly tightened; a second implementation."""
    y, mu = np.zeros_like(matrix), 1.25 / np.linalg.norm(matrix, 2)
    sparse = np.zeros_like(matrix)
    for _ in range(n_steps):
        u, s, v = np.linalg.svd(matrix - sparse + y / mu, full_matrices=False)
        low_rank = (u * np.maximum(s - 1 / mu, 0)) @ v
        rest = matrix - low_rank + y / mu
        sparse = np.sign(rest) * np.maximum(np.abs(rest) - weight / mu, 0)
        y += mu * (matrix - low_rank - sparse)
        mu *= 1.02
    return sparse


# ------------------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_loss_is_that_of_the_formula(shape):
    data, sparse = draw(shape), draw(shape, 1)
    loss = LowRankSparseLoss(0.3, 0.07, smooth="none")
    assert loss(sparse, data).item() == pytest.approx(by_hand(sparse, data, 0.3, 0.07), rel=1e-12)


def test_the_weight_is_that_of_the_longer_side_by_default():
    data, sparse = draw((4, 3, 5, 6)), draw((4, 3, 5, 6), 1)
    expected = by_hand(sparse, data, 30**-0.5, 5e-3)
    assert LowRankSparseLoss(smooth="none")(sparse, data).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("face", FACES)
def test_in_eval_mode_every_face_is_the_loss_itself(face):
    data, sparse = draw((4, 1, 5, 6)), draw((4, 1, 5, 6), 1)
    loss = LowRankSparseLoss(0.3, 0.07, smooth=face, factor=Continuation(0.1, 1.0)).eval()
    assert loss(sparse, data).item() == pytest.approx(by_hand(sparse, data, 0.3, 0.07), rel=1e-12)
    assert sum(loss.parts(sparse, data).values()).item() == pytest.approx(loss(sparse, data).item(), rel=1e-12)


def test_parts_bear_their_names():
    data = draw((4, 1, 5, 6))
    parts = LowRankSparseLoss(0.3, 0.07).parts(data, data)
    assert parts["nuclear"] == 0
    assert parts["sparse"].item() == pytest.approx(0.3 * data.abs().sum().item())
    flat = torch.ones_like(data)
    assert LowRankSparseLoss(0.3, 0.07).parts(flat, data)["tv"] == 0


@pytest.mark.parametrize("face", ["eps", "moreau"])
@pytest.mark.parametrize("amount", [1.0, 1e-2, 1e-4])
def test_a_smooth_face_lies_below_the_loss_and_comes_near_it(face, amount):
    data, sparse = draw((4, 2, 5, 6)), draw((4, 2, 5, 6), 1)
    whole = by_hand(sparse, data, 0.3, 0.07)
    smooth = LowRankSparseLoss(0.3, 0.07, smooth=face, amount=amount)(sparse, data).item()
    # each magnitude of a term of weight w is lowered by no more than w * (w * amount)
    room = amount * (4 + 0.3**2 * 4 * 30 + 0.07**2 * 2 * sparse.numel())
    assert 0 <= whole - smooth <= room


def test_the_order_of_the_images_does_not_matter():
    data, sparse = draw((5, 1, 4, 6)), draw((5, 1, 4, 6), 1)
    order = torch.tensor([3, 0, 4, 1, 2])
    loss = LowRankSparseLoss()
    torch.testing.assert_close(loss(sparse[order], data[order]), loss(sparse, data))


# --------------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("face", ["none", "eps", "moreau"])
def test_the_gradient_is_that_of_the_value(face, shape):
    assert_gradient_is_of_the_value(LowRankSparseLoss(0.3, 0.07, smooth=face), draw(shape), draw(shape, 1))


@pytest.mark.parametrize("face", ["eps", "moreau"])
def test_the_gradient_of_a_smooth_face_is_that_of_the_value_also_where_the_loss_has_kinks(face):
    data, _ = scene(4, 6)
    loss = LowRankSparseLoss(0.3, 0.07, smooth=face, amount=0.5)
    for sparse in (torch.zeros_like(data), data):
        assert_gradient_is_of_the_value(loss, data, sparse)


def test_prox_backward_is_caught_as_no_gradient_of_its_value():
    data = draw((4, 1, 5, 6))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        assert_gradient_is_of_the_value(LowRankSparseLoss(smooth="prox-backward"), data, draw(data.shape, 1))


def test_prox_backward_has_the_value_of_the_loss_and_the_gradient_of_the_envelope():
    data, sparse = draw((4, 1, 5, 6)), draw((4, 1, 5, 6), 1).requires_grad_()
    gradients = {}
    for face in ("none", "moreau", "prox-backward"):
        value = LowRankSparseLoss(0.3, 0.0, smooth=face)(sparse, data)
        gradients[face] = value.item(), torch.autograd.grad(value, sparse)[0]
    assert gradients["prox-backward"][0] == pytest.approx(gradients["none"][0], rel=1e-12)
    torch.testing.assert_close(gradients["prox-backward"][1], gradients["moreau"][1])
    # as published: clipped entries, and singular values cut at one
    u, s, v = torch.linalg.svd((data - sparse.detach()).flatten(1), full_matrices=False)
    published = sparse.detach().clamp(-0.3, 0.3) - ((u * s.clamp_max(1.0)) @ v).view_as(data)
    torch.testing.assert_close(gradients["prox-backward"][1], published)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("face", FACES)
def test_gradients_are_finite_at_nothing_at_all_and_on_constant_images(face, channels, dtype):
    data, _ = scene(4, 6, channels, dtype)
    constant = torch.full_like(data, 0.5)
    loss = LowRankSparseLoss(smooth=face)
    for images in (data, constant, torch.zeros_like(data)):
        for start in (torch.zeros_like(images), images, 0.5 * images):
            sparse = start.clone().requires_grad_()
            value = loss(sparse, images)
            value.backward()
            assert value.isfinite()
            assert sparse.grad.isfinite().all()


def test_the_output_of_a_network_in_half_precision_is_taken():
    data, sparse = draw((4, 1, 5, 6), dtype=torch.float32), draw((4, 1, 5, 6), 1).bfloat16().requires_grad_()
    value = LowRankSparseLoss()(sparse, data)
    value.backward()
    assert value.dtype == torch.float32
    assert sparse.grad.isfinite().all()


# ------------------------------------------------------------------------------------------------- target and optimum


def test_a_step_to_the_target_is_a_proximal_step_and_lowers_the_loss_every_time():
    data, _ = scene()
    loss, mu = LowRankSparseLoss(smooth="target", amount=2.0), 2.0
    sparse, values = 0.3 * draw(data.shape), []
    for _ in range(6):
        values.append(sum(loss.parts(sparse, data).values()).item())
        leaf = sparse.clone().requires_grad_()
        value = loss(leaf, data)
        value.backward()
        assert value.item() == pytest.approx(mu / 2 * leaf.grad.square().sum().item(), rel=1e-9)
        sparse = sparse - mu * leaf.grad
    assert all(after < before for before, after in pairwise(values))
    assert values[-1] < 1.05 * loss.optimum(data).objective


def test_a_step_twice_as_far_is_seen_not_to_be_the_proximal_point():
    data, _ = scene()
    near = 0.3 * draw(data.shape)
    found = minimise_low_rank_sparse(data, 0.1, 5e-3, near=near, mu=2.0, tol=1e-4, max_steps=5000)

    def value(sparse):
        return by_hand(sparse, data, 0.1, 5e-3) + (sparse - near).square().sum().item() / 4

    assert found.objective == pytest.approx(value(found.sparse), rel=1e-9)
    assert found.bound <= found.objective
    for other in (2 * found.sparse - near, near, found.sparse + 0.01 * draw(data.shape, 2)):
        assert value(other) > found.objective


def test_the_proximal_point_of_uncoupled_terms_is_soft_thresholding():
    """With one entry in each singular direction nothing is coupled: D is zero but for a diagonal."""
    data = torch.zeros(3, 1, 3, dtype=torch.float64)
    for place, value in enumerate((3.0, 2.0, 0.4)):
        data[place, 0, place] = value
    # per entry: min |d - s| + 0.25 |s| + (s - 0)^2 / 2 with d > 0 gives s = min(d, 0.75)
    found = minimise_low_rank_sparse(data, 0.25, 0.0, near=torch.zeros_like(data), mu=1.0, tol=1e-9, max_steps=20000)
    torch.testing.assert_close(found.sparse.diagonal(dim1=0, dim2=2)[0], torch.tensor([0.75, 0.75, 0.4]).double())


@pytest.mark.parametrize("tv_weight", [0.0, 5e-3])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_optimum_is_certified_by_a_bound_that_nothing_lies_below(channels, tv_weight):
    data, foreground = scene(channels=channels)
    loss = LowRankSparseLoss(tv_weight=tv_weight)
    best = loss.optimum(data)
    assert best.status is Status.CONVERGED
    assert 0 <= best.gap <= 1e-3
    weight = 144**-0.5
    assert best.objective == pytest.approx(by_hand(best.sparse, data, weight, tv_weight), rel=1e-9)
    assert_never_below(best.bound, data, weight, tv_weight)
    assert (best.sparse - foreground).norm() < 0.5 * foreground.norm()


def test_a_bound_that_ignores_the_constraint_of_the_dual_is_caught():
    data, _ = scene()
    with pytest.raises(AssertionError, match="lies below the bound"):
        assert_never_below(1.01 * minimise_low_rank_sparse(data, 0.1, 5e-3).objective, data, 0.1, 5e-3)


def test_the_optimum_without_total_variation_is_robust_pca():
    data, _ = scene()
    other = torch.from_numpy(robust_pca(data.flatten(1).numpy(), 1 / 12)).view_as(data)
    ours = LowRankSparseLoss(tv_weight=0.0).optimum(data, tol=1e-6, max_steps=20000)
    assert ours.objective == pytest.approx(by_hand(other, data, 1 / 12, 0.0), rel=1e-4)
    torch.testing.assert_close(ours.sparse, other, atol=1e-2, rtol=0)


def test_an_optimum_that_was_cut_short_says_so_and_keeps_a_true_bound():
    data, _ = scene()
    best = minimise_low_rank_sparse(data, 0.1, 5e-3, tol=1e-12, max_steps=10)
    assert best.status is Status.MAX_STEPS
    assert_never_below(best.bound, data, 0.1, 5e-3)


# ---------------------------------------------------------------------------------------------------------- weights


def test_an_amount_that_follows_the_training_goes_geometrically():
    data, sparse = draw((4, 1, 5, 6)), draw((4, 1, 5, 6), 1)
    loss = LowRankSparseLoss(smooth="moreau", amount=Continuation(1.0, 0.01), factor=Continuation(0.25, 1.0))
    for progress, amount, factor in ((0.0, 1.0, 0.25), (0.5, 0.1, 0.5), (1.0, 0.01, 1.0)):
        loss.at(progress)
        fixed = LowRankSparseLoss(smooth="moreau", amount=amount, factor=factor)
        torch.testing.assert_close(loss(sparse, data), fixed(sparse, data))


def fitted_scales(values, counts, pull, n_steps=400):
    scales = LearnedScales(len(values), pull=pull)
    optimiser = torch.optim.Adam(scales.parameters(), lr=0.01)
    for _ in range(n_steps):
        optimiser.zero_grad()
        (scales(values, counts) / counts.sum()).backward()
        optimiser.step()
    return scales


def test_without_a_pull_the_planted_scales_of_laplace_noise_are_learned():
    planted = torch.tensor([0.05, 2.0])
    draws = torch.distributions.Laplace(0.0, 1.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        noise = draws.sample((2, 20_000)) * planted[:, None]
    learned = fitted_scales(noise.abs().sum(1), torch.full((2,), 20_000.0), pull=0.0).weights
    torch.testing.assert_close(learned, 1 / planted, rtol=0.03, atol=0.0)  # standard error 1 / sqrt(20000)


def test_a_normaliser_that_counts_twice_is_seen_in_the_planted_scale():
    values, counts = torch.tensor([1000.0]), torch.tensor([20_000.0])
    right, wrong = (fitted_scales(values, c, pull=0.0).weights.item() for c in (counts, 2 * counts))
    assert right == pytest.approx(20.0, rel=0.01)
    assert wrong == pytest.approx(40.0, rel=0.01)


@pytest.mark.parametrize("value", [0.0, 1e-6, 1.0, 50.0])
@pytest.mark.parametrize("pull", [0.5, 1.0, 10.0])
def test_a_learned_weight_neither_collapses_nor_runs_off(value, pull):
    values, counts = torch.tensor([value]), torch.tensor([1.0])
    scales = fitted_scales(values, counts, pull)
    best = (1 + pull) / (value + pull)
    assert scales.best(values, counts).item() == pytest.approx(best, rel=1e-6)
    assert scales.weights.item() == pytest.approx(best, rel=0.02)
    assert 0 < scales.weights.item() <= (1 + 1 / pull) * 1.02


def test_learned_weights_of_the_loss_move_to_where_they_explain_a_foreground():
    data, foreground = scene()
    loss = LowRankSparseLoss(learned=True, smooth="none", pull=1.0)
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.01)
    for _ in range(300):
        optimiser.zero_grad()
        loss(foreground, data).backward()
        optimiser.step()
    plain = LowRankSparseLoss(smooth="none").parts(foreground, data)
    unit = sum(LowRankSparseLoss().parts(torch.zeros_like(data), data).values())
    values = torch.stack([plain["nuclear"], plain["sparse"] + plain["tv"]])
    expected = loss.scales.best(values, torch.stack([unit, unit]))
    torch.testing.assert_close(loss.scales.weights.detach().double(), expected, rtol=1e-2, atol=0.0)
    told = loss.parts(foreground, data)
    torch.testing.assert_close(told["nuclear"], plain["nuclear"])
    torch.testing.assert_close(told["sparse"] / plain["sparse"], expected[1] / expected[0], rtol=2e-2, atol=0.0)


# --------------------------------------------------------------------------------------------------- what is refused


def test_a_trivial_foreground_is_told():
    data, foreground = scene()
    loss = LowRankSparseLoss()
    with pytest.warns(UserWarning, match=r"the foreground is nothing of the data .* Take a smaller weight"):
        assert loss.share(torch.zeros_like(data), data) == 0.0
    with pytest.warns(UserWarning, match=r"the foreground is all of the data .* Take a larger weight"):
        assert loss.share(data, data) == pytest.approx(1.0)
    assert loss.share(foreground, data) == pytest.approx((foreground.norm() / data.norm()).item())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"weight": 0.0}, "weight must be above 0"),
        ({"tv_weight": -1.0}, "tv_weight must be 0 or more"),
        ({"smooth": "huber"}, "smooth must be one of none, eps, moreau, target, prox-backward"),
        ({"amount": 0.0}, "amount must be above 0"),
        ({"factor": -1.0}, "factor must be above 0"),
        ({"smooth": "target", "learned": True}, "a target holds the weights fixed"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(options, named):
    with pytest.raises(InputError, match=f"LowRankSparseLoss: {named}"):
        LowRankSparseLoss(**options)


def test_numbers_of_weights_out_of_range_are_refused():
    with pytest.raises(InputError, match="start and end must be above 0"):
        Continuation(0.0, 1.0)
    with pytest.raises(InputError, match="pull = -1"):
        LearnedScales(2, pull=-1.0)
    with pytest.raises(InputError, match="mu must be above 0"):
        minimise_low_rank_sparse(draw((2, 1, 3)), 0.1, 0.0, near=draw((2, 1, 3)), mu=0.0)


def test_shapes_that_do_not_fit_are_refused():
    loss = LowRankSparseLoss()
    with pytest.raises(ShapeError, match=r"sparse must have shape \(4, 1, 5, 6\), got \(4, 1, 5, 5\)"):
        loss(draw((4, 1, 5, 5)), draw((4, 1, 5, 6)))
    for shape in ((1, 1, 5, 6), (4, 6)):
        with pytest.raises(ShapeError, match=r"data must have shape \(2 or more, channel, \*space\)"):
            loss(draw(shape), draw(shape))


def test_scales_are_saved_with_the_loss():
    loss = LowRankSparseLoss(learned=True)
    nn.init.constant_(loss.scales.log_scale, 0.1)
    other = LowRankSparseLoss(learned=True)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.scales.weights, loss.scales.weights)
    assert list(LowRankSparseLoss().state_dict()) == []
