"""What weights, steps and constants a prior takes, what it refuses, and how weights are learned."""

import pytest
import torch
from priors_cases import numbers
from torch.nn.utils.parametrize import register_parametrization

from kotowari.core.errors import InputError, ShapeError
from kotowari.priors.groups import GroupL2, LabelledGroupL2, overlapping_group_l2
from kotowari.priors.quadratic import L2, SquaredL2
from kotowari.priors.sparsity import L1, Huber, LogSum, Lp
from kotowari.priors.spectral import LogDet, Nuclear, SchattenP, WeightedNuclear
from kotowari.testing.gradient import assert_gradient
from kotowari.testing.noise import noise


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, dtype=torch.float64, seed=0):
    return noise(shape, dtype, generator(seed))


@pytest.mark.parametrize(
    "prior", [L1(0.3), Lp(0.5, 0.3), GroupL2(-1, 0.3), LabelledGroupL2(torch.tensor([0, 1, 0]), 0.3)], ids=str
)
def test_weights_add_up_to_a_gradient_of_their_own(prior):
    x = 2.0 + numbers(2, 4, 3)
    for kind in ("value", "loss", "prox", "moreau"):
        weight = torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        learned = type(prior)(*_arguments(prior), weight)
        calls = {
            "value": lambda p=learned: p.value(x).sum(),
            "loss": lambda p=learned: p.loss(x, "eps", 0.1),
            "prox": lambda p=learned: (p.prox(x, 0.5) * draw(2, 4, 3)).sum(),
            "moreau": lambda p=learned: p.moreau(x, 0.5).sum(),
        }
        (gradient,) = torch.autograd.grad(calls[kind](), weight)
        with torch.no_grad():
            weight += 1e-6
            above = calls[kind]()
            weight -= 2e-6
            below = calls[kind]()
        assert float(gradient) == pytest.approx(float(above - below) / 2e-6, rel=1e-6, abs=1e-8), kind


def _arguments(prior):
    if isinstance(prior, Lp):
        return (prior.p,)
    if isinstance(prior, GroupL2):
        return (prior.dims,)
    return (prior.labels,) if isinstance(prior, LabelledGroupL2) else ()


@pytest.mark.parametrize(
    "make",
    [Nuclear, L2, lambda w: SchattenP(0.5, w), lambda w: LogDet(0.1, w), SquaredL2],
    ids=["Nuclear", "L2", "SchattenP", "LogDet", "SquaredL2"],
)
def test_the_weight_of_a_whole_sample_is_learned_too(make):
    x, w = draw(2, 3, 4), torch.tensor(0.3, dtype=torch.float64)

    def prox(weight):
        prior = make(0.0)
        prior.weight = weight
        return prior.prox(x, 0.5)

    assert_gradient(prox, w.reshape(()), rng=generator())
    learned = make(torch.nn.Parameter(w))
    (gradient,) = torch.autograd.grad(learned.loss(x), learned.weight)
    torch.testing.assert_close(gradient, make(1.0).loss(x))


def test_results_keep_the_dtype_of_the_input_whatever_that_of_weights_and_steps():
    x = draw(3, 4, 5, dtype=torch.float32)
    step = torch.ones(3, dtype=torch.float64)
    for prior in (
        L1(numbers(5)),
        Huber(0.1, numbers(5)),
        Lp(0.5, numbers(5)),
        GroupL2(-1, numbers(4, 1)),
        LabelledGroupL2(torch.tensor([0, 1, 0, 1, 1]), numbers(2)),
        SquaredL2(numbers(5), numbers(5)),
        L2(numbers()),
        Nuclear(numbers()),
        SchattenP(0.5, numbers()),
        WeightedNuclear(torch.arange(4.0, dtype=torch.float64)),
    ):
        assert prior.prox(x, step).dtype == prior.value(x).dtype == prior.smooth_value(x, 0.1).dtype == x.dtype


def test_a_tensor_weight_is_a_buffer_and_a_parameter_stays_one():
    assert dict(L1(torch.ones(3)).named_buffers()).keys() == {"weight"}
    assert dict(L1(torch.nn.Parameter(torch.ones(3))).named_parameters()).keys() == {"weight"}
    assert L1(torch.ones(3)).to(torch.float64).weight.dtype == torch.float64


def test_a_learned_weight_can_be_kept_positive_by_a_parametrisation():
    prior = L1(torch.nn.Parameter(torch.tensor(0.5)))
    register_parametrization(prior, "weight", Exponential())
    optimiser = torch.optim.SGD(prior.parameters(), lr=10.0)
    for _ in range(5):
        optimiser.zero_grad()
        prior.loss(torch.ones(2, 3)).backward()
        optimiser.step()
    assert 0 < prior.weight.item() < 0.5


class Exponential(torch.nn.Module):
    def forward(self, logarithm):
        return logarithm.exp()

    def right_inverse(self, weight):
        return weight.log()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: L1(-1.0), "L1: weight must be finite and 0 or more, got -1"),
        (lambda: L1(torch.tensor([1.0, float("nan")])), "finite and 0 or more, got a tensor of shape"),
        (lambda: L2(torch.ones(3)), "one finite number"),
        (lambda: Huber(0.0), "delta must be above 0"),
        (lambda: Lp(1.0), "between 0 and 1"),
        (lambda: LogSum(0.0), "eps must be above 0"),
        (lambda: LogDet(-1.0), "eps must be above 0"),
        (lambda: SchattenP(1.5), "at most 1, or 2"),
        (lambda: WeightedNuclear(torch.ones(2, 2)), "stand in one row"),
        (lambda: GroupL2(()), "dims must name"),
        (lambda: GroupL2((1, 0)), "other than the batch"),
        (lambda: LabelledGroupL2(torch.tensor([0.0, 1.0])), "integers of 0 or more"),
        (lambda: LabelledGroupL2(torch.tensor([0, -1])), "integers of 0 or more"),
        (lambda: overlapping_group_l2([[0, 0]], (3,)), "group 0 is empty or holds an entry twice"),
    ],
)
def test_bad_constants_are_refused_in_a_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("prior", "shape", "sentence"),
    [
        (L1(torch.ones(3)), (2, 4), "does not broadcast against one sample"),
        (L1(torch.ones(2, 4)), (2, 4), "does not broadcast against one sample"),
        (SquaredL2(1.0, torch.ones(3)), (2, 4), "centre of shape"),
        (GroupL2(2), (2, 4), "lacks these axes"),
        (GroupL2((1, -1)), (2, 4), "lacks these axes"),
        (LabelledGroupL2(torch.tensor([0, 1])), (2, 4), "input must have shape"),
        (Nuclear(), (2, 4), "row, column"),
        (SchattenP(0.5), (2, 4), "row, column"),
    ],
    ids=str,
)
def test_an_input_that_does_not_fit_is_refused_in_a_sentence(prior, shape, sentence):
    with pytest.raises(ShapeError, match=sentence):
        prior.value(torch.ones(shape))


@pytest.mark.parametrize(
    "prior",
    [
        L2(),
        GroupL2(1),
        LabelledGroupL2(torch.tensor([0, 1, 0, 1])),
        Nuclear(),
        SchattenP(0.5),
        WeightedNuclear(torch.ones(3)),
    ],
    ids=str,
)
def test_a_step_for_each_entry_fits_no_norm(prior):
    with pytest.raises(ShapeError, match=r"step|threshold"):
        prior.prox(draw(2, 3, 4), torch.ones(2, 3, 4))


def test_a_step_for_each_entry_fits_a_separable_prior():
    steps = numbers(2, 3)
    x = draw(2, 3)
    torch.testing.assert_close(L1(0.5).prox(x, steps)[1, 2], L1(0.5).prox(x[1:, 2:], steps[1, 2].item())[0, 0])


def test_steps_of_another_batch_are_refused():
    with pytest.raises(ShapeError, match=r"step must have shape"):
        L1().prox(draw(2, 3), torch.ones(3))


def test_a_complex_centre_does_not_fit_a_real_input():
    with pytest.raises(InputError, match="centre is complex"):
        SquaredL2(1.0, torch.ones(3, dtype=torch.complex64)).value(torch.ones(2, 3))
