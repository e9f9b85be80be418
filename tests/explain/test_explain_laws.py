"""Laws that every explanation keeps: no trace, no rescaling, no dependence on blocks, no deafness to the weights."""

import pytest
import torch
from torch import nn
from toy_networks import make_images, make_network

from kotowari import explain
from kotowari.explain import (
    class_activation_map,
    grad_cam,
    grad_cam_plus_plus,
    gradient_times_input,
    integrated_gradients,
    layer_cam,
    occlusion,
    region_map,
    saliency,
    smooth_grad,
    target_scores,
)

REGIONS = torch.arange(48).reshape(8, 6) // 12
TARGETS = torch.tensor([0, 1, 2, 0, 1, 2, 1])


def smoothed(model, x, target, batch_size=64):
    rng = torch.Generator().manual_seed(5)
    return smooth_grad(model, x, target, noise=0.1, n_draws=3, rng=rng, batch_size=batch_size)


def integrated(model, x, target, batch_size=64):
    return integrated_gradients(model, x, target, max_points=32, batch_size=batch_size).values


def occluded(model, x, target, batch_size=64):
    return region_map(occlusion(model, x, target, REGIONS, batch_size=batch_size), REGIONS)


def at_last_layer(method):
    def explained(model, x, target, batch_size=64):
        return method(model, model.body, x, target, batch_size=batch_size)

    return explained


CASES = {
    "class_activation_map": class_activation_map,
    "grad_cam": at_last_layer(grad_cam),
    "grad_cam_plus_plus": at_last_layer(grad_cam_plus_plus),
    "gradient_times_input": gradient_times_input,
    "integrated_gradients": integrated,
    "layer_cam": at_last_layer(layer_cam),
    "occlusion": lambda *args, **options: occlusion(*args, REGIONS, **options).effects,
    "region_map": occluded,
    "saliency": saliency,
    "smooth_grad": smoothed,
    "target_scores": target_scores,
}
EXPLAINS_NO_MODEL = {"Attribution", "RegionEffects", "completeness_gap", "read_at", "recorded_output", "upsample"}
every_explanation = pytest.mark.parametrize("method", CASES.values(), ids=CASES)
both_heads = pytest.mark.parametrize("head", ["average", "located"])


def test_every_public_explanation_has_a_case():
    assert set(explain.__all__) == set(CASES) | EXPLAINS_NO_MODEL


# ---------------------------------------------------------------- no trace


def snapshot(model, x):
    return {
        "input": (x.clone(), x.requires_grad, x._version),
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()] + [x.grad],
        "flags": [p.requires_grad for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._backward_hooks) for module in model.modules()],
        "random numbers": torch.get_rng_state(),
    }


def same(left, right):
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(same(*pair) for pair in zip(left, right, strict=True))
    return left == right


def assert_no_trace(method, model, x):
    first, *_, last = model.parameters()
    first.requires_grad_(False)
    last.grad = torch.ones_like(last)
    before = snapshot(model, x)
    with pytest.raises(ZeroDivisionError) if isinstance(model.head, Crashing) else torch.enable_grad():
        method(model, x, TARGETS)
    after = snapshot(model, x)
    changed = [name for name in before if not same(before[name], after[name])]
    assert not changed, f"changed: {', '.join(changed)}"


class Crashing(nn.Module):
    """Fails after the body has run."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, _features):
        raise ZeroDivisionError

    class_maps = forward


@every_explanation
@both_heads
def test_an_explanation_leaves_no_trace(method, head):
    assert_no_trace(method, make_network(head), make_images().requires_grad_())


@every_explanation
def test_a_crash_in_the_network_leaves_no_trace(method):
    model = make_network()
    model.head = Crashing()
    assert_no_trace(method, model, make_images())


@every_explanation
def test_a_first_step_in_place_does_not_reach_the_input(method):
    model = make_network()
    model.body.insert(0, nn.ReLU(inplace=True))
    assert_no_trace(method, model, make_images())


def backward_into_the_weights(model, x, target):
    model(x.clone())[torch.arange(len(x)), target].sum().backward()


def evaluation_mode_for_good(model, _x, _target):
    model.eval()


def training_statistics(model, x, _target):
    with torch.no_grad():
        model(x)


def hook_for_good(model, _x, _target):
    model.body.register_forward_hook(lambda *_: None)


def writing_into_the_input(_model, x, _target):
    with torch.no_grad():
        x.mul_(2)


@pytest.mark.parametrize(
    ("method", "trace"),
    [
        (backward_into_the_weights, "gradients"),
        (evaluation_mode_for_good, "modes"),
        (training_statistics, "state"),
        (hook_for_good, "hooks"),
        (writing_into_the_input, "input"),
    ],
)
def test_a_trace_is_caught(method, trace):
    with pytest.raises(AssertionError, match=trace):
        assert_no_trace(method, make_network(), make_images())


# ---------------------------------------------------------------- raw, one sample at a time


def assert_blind_to_blocks(method, model):
    x = make_images()
    whole = method(model, x, TARGETS, batch_size=7)
    for batch_size in (1, 3):
        gap = (method(model, x, TARGETS, batch_size=batch_size) - whole).abs().max() / whole.abs().max()
        assert gap <= 1e-12, f"blocks of {batch_size} change the map by {gap:.2g}"


def scaled_to_its_block(model, x, target, batch_size):
    parts = [saliency(model, *part) for part in zip(x.split(batch_size), target.split(batch_size), strict=True)]
    return torch.cat([part / part.abs().max() for part in parts])


@every_explanation
@both_heads
def test_streaming_equals_not_streaming(method, head):
    assert_blind_to_blocks(method, make_network(head))


def test_a_map_scaled_to_its_block_is_caught():
    with pytest.raises(AssertionError, match="change the map"):
        assert_blind_to_blocks(scaled_to_its_block, make_network())


def assert_raw(method, model):
    before = method(model, make_images(), TARGETS)
    with torch.no_grad():
        model.head.linear.weight *= 2
        model.head.linear.bias *= 2
    torch.testing.assert_close(method(model, make_images(), TARGETS), 2 * before)


def scaled_to_one(model, x, target):
    values = gradient_times_input(model, x, target)
    return values / values.abs().amax((1, 2, 3), keepdim=True)


# Grad-CAM++ is not proportional to the score: the score stands in the divisor of its weights too.
@pytest.mark.parametrize("method", [CASES[name] for name in CASES if name != "grad_cam_plus_plus"])
def test_twice_the_score_has_twice_the_map(method):
    assert_raw(method, make_network())


def test_a_map_scaled_to_one_is_caught():
    with pytest.raises(AssertionError, match="not close"):
        assert_raw(scaled_to_one, make_network())


# ---------------------------------------------------------------- heard from the weights


def assert_hears_the_weights(method, head):
    x = make_images()
    first, second = (method(make_network(head, seed), x, TARGETS) for seed in (0, 1))
    change = (first - second).norm() / first.norm()
    assert change > 0.3, f"other weights change the map by {change:.2g} only"


def edges_of_the_input(_model, x, _target):
    return x.diff(dim=-1)


@every_explanation
@both_heads
def test_randomising_the_network_changes_the_map(method, head):
    assert_hears_the_weights(method, head)


def test_an_edge_map_of_the_input_is_caught():
    with pytest.raises(AssertionError, match="other weights change the map by 0 only"):
        assert_hears_the_weights(edges_of_the_input, "average")


# ---------------------------------------------------------------- forms of the input


@every_explanation
def test_float32_and_float64_agree(method):
    double = method(make_network(), make_images(), TARGETS)
    single = method(make_network(dtype=torch.float32), make_images(dtype=torch.float32), TARGETS)
    assert double.dtype == torch.float64
    assert single.dtype == torch.float32
    assert (single - double).abs().max() <= 1e-4 * double.abs().max()


@every_explanation
def test_channels_last_images_have_the_same_map(method):
    x = make_images()
    model = make_network()
    plain = method(model, x, TARGETS)
    torch.testing.assert_close(method(model, x.to(memory_format=torch.channels_last), TARGETS), plain)
    last = make_network().to(memory_format=torch.channels_last)
    torch.testing.assert_close(method(last, x.to(memory_format=torch.channels_last), TARGETS), plain)


@every_explanation
def test_a_caller_without_gradients_gets_the_same_map(method):
    model, x = make_network(), make_images()
    plain = method(model, x, TARGETS)
    with torch.no_grad():
        assert torch.equal(method(model, x, TARGETS), plain)
    with torch.inference_mode():
        assert torch.equal(method(model, x.clone(), TARGETS.clone()), plain)
    assert not plain.requires_grad


@every_explanation
def test_a_frozen_network_has_the_same_map(method):
    model, x = make_network(), make_images()
    plain = method(model, x, TARGETS)
    torch.testing.assert_close(method(model.requires_grad_(False), x, TARGETS), plain)


@every_explanation
def test_one_target_for_all_is_the_same_target_for_each(method):
    model, x = make_network(), make_images()
    assert torch.equal(method(model, x, 2), method(model, x, torch.full((7,), 2)))
