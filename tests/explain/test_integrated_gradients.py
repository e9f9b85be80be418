"""Integrated gradients: complete, streamed, doubled only as far as needed."""

import captum.attr
import pytest
import torch
from torch import nn
from toy_networks import make_images, make_network, make_relu_network, make_tanh_network

from kotowari.core.errors import InputError, ShapeError
from kotowari.explain import completeness_gap, gradient_times_input, integrated_gradients, target_scores

TARGETS = torch.tensor([0, 1, 2, 0, 1, 2, 1])


class BatchSizes(nn.Module):
    """Notes how many inputs the model inside sees at once."""

    def __init__(self, model):
        super().__init__()
        self.model, self.seen = model, []

    def forward(self, x):
        self.seen.append(len(x))
        return self.model(x)


def test_tanh_is_complete_where_gradient_times_input_is_not():
    model, x = make_tanh_network(), make_images()[:, 0, 0]
    found = integrated_gradients(model, x, TARGETS)
    change = target_scores(model, x, TARGETS) - target_scores(model, torch.zeros_like(x), TARGETS)
    assert found.gap.max() < 1e-3
    torch.testing.assert_close(completeness_gap(found.values, change), found.gap)
    assert completeness_gap(gradient_times_input(model, x, TARGETS), change).min() > 1e-2


def test_a_linear_model_is_exact_with_the_first_points():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(96, 3)).double(), make_images()
    found = integrated_gradients(model, x, TARGETS, min_points=1)
    torch.testing.assert_close(found.values, gradient_times_input(model, x, TARGETS))
    assert found.gap.max() < 1e-12
    assert found.n_points.tolist() == [1] * 7


def test_relu_without_bias_is_gradient_times_input():
    model, x = make_relu_network().double(), make_images()
    found = integrated_gradients(model, x, TARGETS)
    torch.testing.assert_close(found.values, gradient_times_input(model, x, TARGETS))
    assert found.n_points.tolist() == [16] * 7


def test_a_cube_has_its_closed_form():
    class Cube(nn.Module):
        def forward(self, x):
            return (x**3).sum(1)

    x, start = torch.tensor([[2.0, -1.0]]).double(), torch.tensor([1.0, 1.0]).double()
    found = integrated_gradients(Cube(), x, 0, reference=start, tol=1e-6)
    torch.testing.assert_close(found.values, torch.tensor([[7.0, -2.0]]).double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("reference", [None, torch.full((2, 8, 6), 0.3).double(), make_images().roll(1, 0)])
def test_the_values_agree_with_captum(reference):
    model, x = make_network().eval(), make_images()
    found = integrated_gradients(model, x, TARGETS, reference=reference, min_points=32, max_points=32)
    start = torch.zeros_like(x) if reference is None else reference.expand_as(x)
    oracle = captum.attr.IntegratedGradients(model).attribute(
        x, start, target=TARGETS, n_steps=32, method="riemann_middle"
    )
    torch.testing.assert_close(found.values, oracle.detach())


def test_points_are_doubled_for_the_samples_that_need_it_and_for_no_others():
    model = BatchSizes(make_tanh_network())
    x = make_images()[:, 0, 0]
    x[0] *= 1e-3  # nearly linear so close to the reference
    found = integrated_gradients(model, x, 0, min_points=1, tol=1e-4)
    assert found.n_points[0] == 1
    assert found.n_points[1:].min() > 1
    assert {int(n) for n in found.n_points} <= {1, 2, 4, 8, 16, 32, 64, 128, 256}
    assert found.gap.max() < 1e-4


def test_points_stop_at_the_limit_and_the_gap_is_told():
    found = integrated_gradients(make_tanh_network(), make_images()[:, 0, 0], 0, min_points=3, max_points=11, tol=1e-12)
    assert found.n_points.tolist() == [6] * 7
    assert found.gap.min() > 1e-12


def test_a_network_that_gives_nan_is_told_by_its_gap():
    class Rooted(nn.Module):
        def forward(self, x):
            return x.flatten(1).sum(1).sqrt()

    found = integrated_gradients(Rooted(), torch.tensor([[1.0], [-1.0]]), 0)
    assert found.gap.isnan().tolist() == [False, True]
    assert found.n_points[1] == 256


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_model_never_sees_more_than_one_block(batch_size):
    model = BatchSizes(make_network())
    x = make_images()
    few = integrated_gradients(model, x, TARGETS, min_points=16, max_points=16, batch_size=batch_size)
    peak = max(model.seen)
    model.seen.clear()
    many = integrated_gradients(model, x, TARGETS, min_points=256, max_points=256, batch_size=batch_size)
    assert max(model.seen) == peak == min(batch_size, len(x))
    assert few.n_points.max() < many.n_points.min()


def test_expanding_the_path_into_one_batch_is_caught():
    model, x = BatchSizes(make_network().eval()), make_images()
    captum.attr.IntegratedGradients(model).attribute(x, target=TARGETS, n_steps=32)
    assert max(model.seen) > len(x)


def test_the_largest_tensor_does_not_grow_with_the_points():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for one in out if isinstance(out, (tuple, list)) else [out]:
                if isinstance(one, torch.Tensor):
                    self.size = max(self.size, one.untyped_storage().nbytes())
            return out

    sizes = []
    for n_points in (16, 128):
        with Largest() as largest:
            integrated_gradients(make_network(), make_images(), TARGETS, min_points=n_points, max_points=n_points)
        sizes.append(largest.size)
    assert sizes[0] == sizes[1]


def test_the_reference_itself_has_no_relevance():
    x = make_images()
    found = integrated_gradients(make_network(), x, TARGETS, reference=x)
    assert not found.values.any()
    assert not found.gap.any()


def test_a_reference_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"reference must have shape \(2, 8, 6\), got \(8, 6\)"):
        integrated_gradients(make_network(), make_images(), 0, reference=torch.zeros(8, 6))
    with pytest.raises(InputError, match="reference: holds NaN"):
        integrated_gradients(make_network(), make_images(), 0, reference=torch.full((2, 8, 6), torch.nan))


@pytest.mark.parametrize("options", [{"tol": 0.0}, {"min_points": 0}, {"min_points": 32, "max_points": 16}])
def test_impossible_options_are_refused(options):
    with pytest.raises(InputError, match="needs tol > 0 and 1 <= min_points <= max_points"):
        integrated_gradients(make_network(), make_images(), 0, **options)
