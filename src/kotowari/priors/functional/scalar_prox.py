r"""Penalties of one magnitude :math:`s \ge 0`: smooth neighbours and proximal maps, entry by entry.

Every ``shrink_...`` returns :math:`\arg\min_{z \ge 0} t\,\varphi(z) + \tfrac12 (z - s)^2` for magnitudes s of any shape
and a threshold t that is a number or broadcasts against them, and is differentiable in both. Where 0 and a positive
point are equally good, the positive one is returned.
"""

import math

import torch
from torch import Tensor

from kotowari.priors.weight import Weight

__all__ = ["charbonnier", "power", "shrink_block", "shrink_log", "shrink_power", "smooth_log", "smooth_power"]

_NEWTON_STEPS = 6  # from 1, to rounding in float64 for every power between 0 and 1


def charbonnier(magnitude: Tensor, eps: float) -> Tensor:
    r"""Return :math:`\sqrt{s^2 + \epsilon^2} - \epsilon`, without cancellation at small s."""
    root = torch.hypot(magnitude, torch.full_like(magnitude, eps))
    return magnitude * (magnitude / (root + eps))


def power(magnitude: Tensor, p: float) -> Tensor:
    r"""Return :math:`s^p` for p above 0; its gradient at 0 is 0, which is a limiting subgradient for p below 1."""
    if p >= 1:
        return magnitude**p
    positive = magnitude > 0
    return torch.where(positive, torch.where(positive, magnitude, 1.0) ** p, 0.0)


def smooth_power(magnitude: Tensor, p: float, eps: float) -> Tensor:
    r"""Return :math:`(s^2 + \epsilon^2)^{p/2} - \epsilon^p`, without cancellation at small s."""
    return float(eps**p) * torch.expm1(0.5 * p * torch.log1p((magnitude / eps).square()))


def smooth_log(magnitude: Tensor, scale: float, eps: float) -> Tensor:
    r"""Return :math:`\log(1 + r/e)` with :math:`r = \sqrt{s^2 + \epsilon^2} - \epsilon` and e = ``scale``."""
    return torch.log1p(charbonnier(magnitude, eps) / scale)


def shrink_block(norm: Tensor, threshold: Weight) -> Tensor:
    r"""Return the factor :math:`\max(1 - t/r, 0)` that the prox of a norm multiplies its block by.

    Parameters
    ----------
    norm
        The norm r of each block.
    threshold
        t of 0 or more.
    """
    alive = norm > threshold
    return torch.where(alive, 1.0 - threshold / torch.where(alive, norm, 1.0), 0.0)


def shrink_power(magnitude: Tensor, threshold: Weight, p: float) -> Tensor:
    r"""Prox of :math:`\varphi(z) = z^p` for p in (0, 1], or 2.

    For p below 1, a positive minimiser z fulfils :math:`z - s + t p z^{p-1} = 0` and beats 0 when
    :math:`z \ge \tfrac{2(1-p)}{2-p} s`. With :math:`v = z/s` and :math:`c = t s^{p-2}` the equation is
    :math:`v - 1 + c p v^{p-1} = 0`, convex in v, so Newton's method from v = 1 falls to its largest root, where the
    slope is at least :math:`1 - p/2`. For p = 1/2 the root has a closed form.

    Source: the closed form is that of Xu et al. 2012, IEEE Trans. Neural Netw. Learn. Syst. 23(7); the equation in v
    and its bounds are our own derivation.
    """
    if p == 1:
        return (magnitude - threshold).clamp_min(0.0)
    if p == 2:
        return magnitude / (1.0 + 2.0 * threshold)
    smallest = 2.0 * (1.0 - p) / (2.0 - p)
    most = (1.0 - smallest) * smallest ** (1.0 - p) / p
    alive = (magnitude > 0) & (threshold <= most * magnitude ** (2.0 - p))
    safe = torch.where(alive, magnitude, 1.0)
    ratio = torch.where(alive, (threshold / safe) * safe ** (p - 1.0), 0.0)  # in an order that does not overflow
    fraction = _half_root(ratio) if p == 0.5 else _power_root(ratio, p)
    return torch.where(alive, safe * fraction, 0.0)


def shrink_log(magnitude: Tensor, threshold: Weight, scale: float) -> Tensor:
    r"""Prox of :math:`\varphi(z) = \log(1 + z/e)`, e = ``scale`` above 0.

    The better of 0 and :math:`\tfrac12 (s - e + \sqrt{(s + e)^2 - 4t})`, the larger stationary point.
    """
    total, lead = magnitude + scale, magnitude - scale
    spread = 1.0 - 4.0 * threshold / total / total
    real = spread > 0
    root = total * torch.where(real, spread, 1.0).sqrt()
    # the same number twice: one form cancels where s is below e, the other where it is above
    below = 2.0 * (magnitude * scale - threshold) / (root + lead.abs())
    point = torch.where(real, torch.where(lead >= 0, 0.5 * (lead + root), below), 0.0).clamp_min(0.0)
    gain = point * (0.5 * point - magnitude) + threshold * torch.log1p(point / scale)
    return torch.where(gain <= 0, point, 0.0)


def _half_root(ratio: Tensor) -> Tensor:
    angle = torch.arccos(0.25 * 27.0**0.5 * ratio)
    return (2.0 / 3.0) * (1.0 + torch.cos(2.0 * math.pi / 3.0 - (2.0 / 3.0) * angle))


def _power_root(ratio: Tensor, p: float) -> Tensor:
    with torch.no_grad():
        root = torch.ones_like(ratio)
        for _ in range(_NEWTON_STEPS):
            root = _newton_step(root, ratio, p)
    return _newton_step(root, ratio, p)  # at the root, the derivative of one step is that of the root


def _newton_step(root: Tensor, ratio: Tensor, p: float) -> Tensor:
    pull = ratio * (p * root ** (p - 1.0))
    slope = 1.0 - (1.0 - p) * pull.detach() / root
    return root - (root - 1.0 + pull) / slope
