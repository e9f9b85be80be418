r"""Laws of priors and proximal maps as assertions, for the tests of those who write their own.

Every law takes ``x`` either as a tensor of shape ``(batch, ...)`` or as such a shape, for normal noise of ``dtype``.
"""

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from kotowari.core.errors import CapabilityError, InputError
from kotowari.priors.prior import Prior, ProximalPrior
from kotowari.solvers.inner_product import inner_product, length
from kotowari.testing.noise import noise, tolerance

__all__ = [
    "assert_batch_separable",
    "assert_firmly_nonexpansive",
    "assert_moreau_identity",
    "assert_prox",
    "assert_stateless",
]

_DISTANCES = (1.0, 0.1, 1e-2, 1e-3)  # of a rival point, in units of the norm of x


def assert_prox(
    prior: ProximalPrior,
    x: Tensor | Sequence[int],
    *,
    dtype: torch.dtype = torch.float64,
    rng: torch.Generator,
    steps: Sequence[float] = (0.1, 1.0, 10.0),
    accuracy: float = 0.0,
) -> None:
    r"""Check that :math:`u = \mathrm{prox}_{\tau g}(x)` minimises :math:`\tau g(u) + \tfrac12 \|u - x\|^2`.

    Every rival point z has to have an objective at least as large. For a convex prior it has to fulfil the stronger
    subgradient inequality :math:`\tau g(z) \ge \tau g(u) + \langle x - u, z - u\rangle`. Rivals at several distances
    lie in random, sparse and downhill directions, on the ray through u, towards x and towards other proximal points
    (which share the structure of u, so that no kink hides an error), or are u with entries set to 0 or to those of x. A
    prox that is 5 % off is found. An error whose effect is below rounding in ``dtype`` hides, so float64 judges best,
    above all where the prior is not convex: there the effect is the square of the error.

    Parameters
    ----------
    prior
        Has ``value`` and ``prox``; its ``convex`` decides which inequality holds.
    x
        Shape ``(batch, ...)``, or the tensor.
    dtype
        Of the noise, when x is a shape.
    rng
        Source of x and of the rivals.
    steps
        The :math:`\tau` to try, each above 0.
    accuracy
        How far above its minimum the prox may leave the objective, relative to :math:`\tau g(u) + \tfrac12\|x\|^2`: for
        a prior whose prox is an iteration with a stated gap. 0 for rounding alone.

    Raises
    ------
    AssertionError
        Says at which step which kind of rival does better, and by how much.
    """
    x = _drawn(x, dtype, rng)
    for step in steps:
        u = prior.prox(x, step)
        _require(u.shape == x.shape, f"{prior}: prox gave shape {tuple(u.shape)} for {tuple(x.shape)}")
        _require(u.dtype == x.dtype, f"{prior}: prox gave {u.dtype} for {x.dtype}")
        value = prior.value(u)
        _require(value.shape == x.shape[:1], f"{prior}: value has shape {tuple(value.shape)}, not the batch's")
        _require(bool(value.isfinite().all()), f"{prior}: the value at prox(x, {step:g}) is {value.tolist()}")
        for kind, z in _rivals(prior, x, u, step, rng):
            lead = _lead(prior, x, (u, value), z, step=step, accuracy=accuracy)
            _require(
                bool((lead >= 0).all()),
                f"{prior}: at step {step:g}, a rival of prox(x) {kind} does better by {-float(lead.min()):.2g} "
                "of the size of the terms",
            )


def assert_firmly_nonexpansive(
    mapping: ProximalPrior | Callable[[Tensor], Tensor],
    x: Tensor | Sequence[int],
    *,
    dtype: torch.dtype = torch.float64,
    rng: torch.Generator,
    step: float = 1.0,
    accuracy: float = 0.0,
) -> None:
    r"""Check :math:`\|Px - Py\|^2 \le \mathrm{Re}\langle Px - Py, x - y\rangle` for pairs near and far.

    That is what makes a map the prox of some convex prior, together with being a gradient.

    Parameters
    ----------
    mapping
        A prior, or a map of ``(batch, ...)`` to itself.
    x
        Shape ``(batch, ...)``, or the tensor.
    dtype
        Of the noise, when x is a shape.
    rng
        Source of x and of its partners.
    step
        At which the prox of a prior is taken, above 0.
    accuracy
        As in :func:`assert_prox`.

    Raises
    ------
    AssertionError
        Says by how much the inequality fails, and how far apart the pair was.
    """
    x = _drawn(x, dtype, rng)
    for distance in (10.0, *_DISTANCES):
        for direction in (noise(x.shape, x.dtype, rng), _sparse(x, rng), x, -x):
            y = x + direction * _column(distance * length(x) / _positive(length(direction)), x)
            px, py = (mapping.prox(z, step) if isinstance(mapping, ProximalPrior) else mapping(z) for z in (x, y))
            moved, apart = px - py, x - y
            excess = length(moved).square() - inner_product(moved, apart)
            size = (length(x) + length(y) + length(px) + length(py)) * (length(moved) + length(apart))
            bar = tolerance(x.dtype, x[0].numel()) + accuracy**0.5
            _require(
                bool((excess <= bar * size).all()),
                f"{mapping}: not firmly non-expansive for points {distance:g} |x| apart, "
                f"by {float((excess / _positive(size)).max()):.2g} of the size of the terms",
            )


def assert_moreau_identity(
    prior: ProximalPrior,
    x: Tensor | Sequence[int],
    *,
    dtype: torch.dtype = torch.float64,
    rng: torch.Generator,
    step: float = 1.0,
    conjugate: Callable[[Tensor], Tensor] | None = None,
    accuracy: float = 0.0,
) -> None:
    r"""Check :math:`x = u + \tau v` with u the prox of g at x and v that of :math:`g^*` at :math:`x/\tau`.

    That is :math:`u = \mathrm{prox}_{\tau g}(x)` and :math:`v = \mathrm{prox}_{g^*/\tau}(x/\tau)`. Checked too is what
    follows from it without use of the formula that ``conjugate_prox`` is made of: v is a subgradient at u, so
    :math:`\mathrm{prox}_{\sigma g}(u + \sigma v) = u` at every other step :math:`\sigma`, and
    :math:`g(u) + g^*(v) = \langle u, v\rangle`. Where the conjugate is not given, no point z may have a larger
    :math:`\langle z, v\rangle - g(z)` than u.

    Parameters
    ----------
    prior
        Convex.
    x
        Shape ``(batch, ...)``, or the tensor.
    dtype
        Of the noise, when x is a shape.
    rng
        Source of x and of the points z.
    step
        The step :math:`\tau`, above 0.
    conjugate
        :math:`g^*` of each sample, ``(batch, ...) -> (batch,)``, written independently of the prior.
    accuracy
        As in :func:`assert_prox`.

    Raises
    ------
    CapabilityError
        When the prior is not convex.
    AssertionError
        Says which of the identities fails, and by how much.
    """
    if not prior.convex:
        raise CapabilityError(f"{prior} is not convex, so Moreau's identity does not hold for it.")
    x = _drawn(x, dtype, rng)
    bar = tolerance(x.dtype, x[0].numel()) + (4 * accuracy) ** 0.5
    u, v = prior.prox(x, step), prior.conjugate_prox(x / step, 1.0 / step)
    gap = _largest(length(x - u - step * v) / _positive(length(x) + length(u)))
    _require(gap <= bar, f"{prior}: x - prox(x) - step * conjugate_prox(x / step) is {gap:.2g} of the size of x")
    for other in (0.3 * step, 3.0 * step):
        gap = _largest(
            length(prior.prox(u + other * v, other) - u) / _positive(length(x) + length(u) + other * length(v))
        )
        _require(gap <= bar, f"{prior}: at another step, prox(u + step * v) and u are {gap:.2g} of the size of x apart")
    value = prior.value(u)
    if conjugate is not None:
        product, dual = inner_product(u, v), conjugate(v)
        size = length(u) * length(v) + value.abs() + dual.abs()
        gap = _largest((value + dual - product).abs() / _positive(size))
        _require(gap <= bar, f"{prior}: g(u) + g*(v) and <u, v> differ by {gap:.2g}")
        return
    for kind, z in _rivals(prior, x, u, step, rng):
        lead = _lead(prior, x, (u, value), z, step=step, accuracy=accuracy)
        _require(bool((lead >= 0).all()), f"{prior}: a point {kind} has a larger <z, v> - g(z) than u")


def assert_stateless(
    prior: Prior,
    x: Tensor | Sequence[int],
    *,
    dtype: torch.dtype = torch.float64,
    rng: torch.Generator,
    step: float = 1.0,
) -> None:
    """Check that value, smooth value and prox give the same bits whatever was called before, and leave x as it was.

    Raises
    ------
    AssertionError
        Says which result depends on the history, or that the input was changed.
    """
    x = _drawn(x, dtype, rng)
    kept, other = x.clone(), noise(x.shape, x.dtype, rng)
    untouched = copy.deepcopy(prior)
    first = _results(prior, x, step)
    _results(prior, other, 3.0 * step)
    _results(prior, 0.5 * x, step)
    for which, again in (("after other calls", _results(prior, x, step)), ("of a copy", _results(untouched, x, step))):
        for name, result in again.items():
            _require(torch.equal(result, first[name]), f"{prior}: {name} {which} differs from the first time")
    _require(torch.equal(x, kept), f"{prior}: the input was changed in place")


def assert_batch_separable(
    prior: Prior,
    x: Tensor | Sequence[int],
    *,
    dtype: torch.dtype = torch.float64,
    rng: torch.Generator,
    accuracy: float = 0.0,
) -> None:
    """Check that each sample of a batch, with a step of its own, gets what it gets alone.

    Parameters
    ----------
    prior
        Without parts that belong to one sample of the batch, such as a centre of shape ``(batch, ...)``.
    x
        Two samples or more, or their shape.
    dtype
        Of the noise, when x is a shape.
    rng
        Source of x.
    accuracy
        As in :func:`assert_prox`.

    Raises
    ------
    InputError
        When there is one sample only.
    AssertionError
        Says which result depends on the other samples.
    """
    x = _drawn(x, dtype, rng)
    if len(x) < 2:
        raise InputError("assert_batch_separable: x must hold two samples or more.")
    bar = tolerance(x.dtype, x[0].numel()) + (4 * accuracy) ** 0.5
    steps = torch.linspace(0.3, 2.0, len(x), dtype=x.real.dtype, device=x.device)
    together = _results(prior, x, steps)
    for number in range(len(x)):
        alone = _results(prior, x[number : number + 1], steps[number : number + 1])
        for name, result in alone.items():
            ours = together[name][number : number + 1]
            same = torch.equal(ours, result) or bool((ours - result).norm() <= bar * (x[number].norm() + result.norm()))
            _require(same, f"{prior}: {name} of sample {number} depends on the other samples, or on their steps")


def _results(prior: Prior, x: Tensor, step: float | Tensor) -> dict[str, Tensor]:
    results = {"value": prior.value(x), "smooth value": prior.smooth_value(x, 0.1)}
    if isinstance(prior, ProximalPrior):
        results["prox"] = prior.prox(x, step)
    return {name: result.detach().clone() for name, result in results.items()}


def _lead(prior: Prior, x: Tensor, found: tuple[Tensor, Tensor], z: Tensor, *, step: float, accuracy: float) -> Tensor:
    """Return how far the prox u, found with its value, leads a rival z in each sample; relative, with slack."""
    u, gu = found
    gz = prior.value(z)
    growth, toward = step * (gz - gu), inner_product(x - u, z - u)
    lead = growth - toward if prior.convex else growth - toward + 0.5 * length(z - u).square()
    size = step * (gu.abs() + gz.abs()) + (length(x) + length(u)) * (length(x) + length(u) + length(z))
    size = _positive(torch.where(gz.isinf(), 1.0, size))
    lead = torch.where(gz == torch.inf, 1.0, lead)
    excess = accuracy * (step * gu.abs() + 0.5 * length(x).square())
    slack = excess + (2 * excess).sqrt() * length(z - u)  # a gap of that size leaves u so far from the minimiser
    return (lead + slack) / size + tolerance(x.dtype, x[0].numel())


def _rivals(
    prior: ProximalPrior, x: Tensor, u: Tensor, step: float, rng: torch.Generator
) -> Iterator[tuple[str, Tensor]]:
    size = length(x)
    proximal = [prior.prox(x, factor * step) for factor in (0.5, 0.9, 1.1, 2.0)]
    downhill = _downhill(prior, x, u, step)
    proximal += [
        prior.prox(x + noise(x.shape, x.dtype, rng) * _column(distance * size, x), step) for distance in (1, 0.1)
    ]
    for distance in _DISTANCES:
        for kind, direction in (
            ("in a random direction", noise(x.shape, x.dtype, rng)),
            ("in a sparse direction", _sparse(x, rng)),
            ("downhill", downhill),
            ("downhill among the entries that are not zero", downhill * (u != 0)),
            ("towards x", x - u),
            ("on the ray through it", u),
        ):
            change = direction * _column(distance * size / _positive(length(direction)), x)
            yield kind, u + change
            yield kind, u - change
        for point in proximal:
            yield "towards another proximal point", u + distance * (point - u)
    kept = torch.rand(x.shape, generator=rng, device=rng.device) < 0.7
    yield "with entries set to zero", torch.where(kept, u, 0)
    yield "with entries of x", torch.where(kept, u, x)
    yield "at x", x
    yield "at zero", torch.zeros_like(x)


def _downhill(prior: Prior, x: Tensor, u: Tensor, step: float) -> Tensor:
    """Return the steepest descent of the objective at u, or of the distance alone where the value has no gradient."""
    with torch.enable_grad():
        variable = u.detach().clone().requires_grad_()
        value = prior.value(variable).sum()
        slope = torch.autograd.grad(value, variable)[0] if value.requires_grad else torch.zeros_like(u)
    descent = x - u - step * slope
    return torch.where(descent.isfinite(), descent, 0)


def _sparse(x: Tensor, rng: torch.Generator) -> Tensor:
    """Return noise in one entry of ten, one at least."""
    draw = torch.rand((len(x), x[0].numel()), generator=rng, device=rng.device)
    chosen = draw <= draw.kthvalue(max(1, x[0].numel() // 10), dim=1, keepdim=True).values
    return noise(x.shape, x.dtype, rng) * chosen.reshape(x.shape)


def _drawn(x: Tensor | Sequence[int], dtype: torch.dtype, rng: torch.Generator) -> Tensor:
    return x if isinstance(x, Tensor) else noise(x, dtype, rng)


def _column(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.reshape(-1, *[1] * (like.ndim - 1))


def _positive(numbers: Tensor) -> Tensor:
    return torch.where(numbers > 0, numbers, 1.0)


def _largest(numbers: Tensor) -> float:
    return float(numbers.max())


def _require(fulfilled: bool, sentence: str) -> None:
    if not fulfilled:
        raise AssertionError(sentence)
