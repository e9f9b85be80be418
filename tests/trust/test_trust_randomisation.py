"""Fresh weights change a true map, and a map of the input's own edges is found out."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from kotowari.core import CapabilityError, InputError, ShapeError, Verdict
from kotowari.trust import cascading_copies, randomisation_check, randomised_copy, similarity


def small_net():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(64, 2)
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
        net[1].running_mean.add_(3.0)
    return net


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_layer_is_drawn_anew_and_the_original_untouched():
    net = small_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.random.get_rng_state()
    copy = randomised_copy(net, generator=generator())
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    for name, value in copy.named_parameters():
        assert not torch.allclose(value, before[name]), name
    assert torch.equal(copy[1].weight, torch.ones(4))
    assert torch.equal(copy[1].running_mean, torch.zeros(4))


def test_equal_generators_give_equal_copies():
    net = small_net()
    one, same, other = (randomised_copy(net, generator=generator(seed))[0].weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_depth_counts_from_the_output():
    net = small_net()
    copy = randomised_copy(net, generator=generator(), depth=1)
    assert not torch.equal(copy[5].weight, net[5].weight)
    assert torch.equal(copy[3].weight, net[3].weight)
    assert torch.equal(randomised_copy(net, generator=generator(), depth=0)[5].weight, net[5].weight)


def test_cascade_renews_one_more_layer_each_time():
    net = small_net()
    copies = list(cascading_copies(net, generator=generator()))
    assert [name for name, _ in copies] == ["5", "3", "1", "0"]
    renewed = [
        sum(not torch.equal(a, b) for a, b in zip(copy.parameters(), net.parameters(), strict=True))
        for _, copy in copies
    ]
    assert renewed == [2, 4, 6, 8]
    assert torch.equal(copies[0][1][5].weight, copies[3][1][5].weight)


def test_a_layer_that_cannot_be_drawn_anew_is_named():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(3))

    with pytest.raises(CapabilityError, match=r"1 \(Scale\) owns parameters"):
        randomised_copy(nn.Sequential(nn.Linear(2, 3), Scale()), generator=generator())


def test_attention_layers_are_drawn_anew():
    net = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    copy = randomised_copy(net, generator=generator())
    assert not torch.equal(copy.self_attn.in_proj_weight, net.self_attn.in_proj_weight)


def test_similarity_agrees_with_scipy_and_ignores_signs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 8, 10))
    assert similarity(a, b).spearman == pytest.approx(spearmanr(np.abs(a), np.abs(b), axis=None).statistic)
    assert similarity(a, -a).spearman == 1.0
    assert similarity(a, -a).top_overlap == 1.0
    assert similarity(np.zeros(9), np.arange(9.0)).spearman == 0.0


def trained_maps(n_seeds, rng):
    """Attributions of linear models, each fitted to its own sample of one truth."""
    weights = np.zeros(100)
    weights[:30] = rng.normal(size=30) * 3
    maps = []
    for _ in range(n_seeds):
        X = rng.normal(size=(300, 100))
        y = X @ weights + rng.normal(size=300)
        maps.append(np.linalg.lstsq(X, y, rcond=None)[0])
    return np.array(maps)


def test_a_correct_linear_attribution_passes():
    rng = np.random.default_rng(1)
    check = randomisation_check(trained_maps(6, rng), rng.normal(size=(6, 100)))
    assert check.verdict is Verdict.PASS
    assert check.value < check.threshold


def test_a_map_of_the_inputs_edges_fails():
    image = np.random.default_rng(2).normal(size=(20, 20)).cumsum(0).cumsum(1)
    edges = np.hypot(*np.gradient(image))
    fake = np.repeat(edges[None], 6, axis=0)
    check = randomisation_check(fake, fake)
    assert check.verdict is Verdict.FAIL
    assert "not distinguishable from an untrained network" in check.sentence


def test_edges_with_a_little_noise_fail_too():
    rng = np.random.default_rng(3)
    edges = np.abs(rng.normal(size=200).cumsum())
    passed = [
        randomisation_check(*(edges + 0.1 * rng.normal(size=(2, 6, 200)))).verdict is Verdict.PASS for _ in range(100)
    ]
    assert np.mean(passed) <= 0.02


def test_few_seeds_give_figures_but_no_verdict():
    rng = np.random.default_rng(4)
    check = randomisation_check(trained_maps(3, rng), rng.normal(size=(3, 100)))
    assert check.verdict is Verdict.NOT_APPLICABLE
    assert "five are needed" in check.sentence
    alone = randomisation_check(trained_maps(1, rng), rng.normal(size=(6, 100)))
    assert alone.verdict is Verdict.NOT_APPLICABLE


def test_maps_with_nan_are_refused():
    with pytest.raises(InputError, match="not finite"):
        randomisation_check(np.full((5, 4), np.nan), np.zeros((5, 4)))


def test_maps_of_other_parts_are_refused():
    with pytest.raises(ShapeError, match="random_maps"):
        randomisation_check(np.zeros((5, 4)), np.zeros((5, 3)))
    with pytest.raises(ShapeError, match="2 or more"):
        randomisation_check(np.zeros((5, 1)), np.zeros((5, 1)))
