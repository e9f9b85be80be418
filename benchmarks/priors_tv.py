"""The total variation prox beside scikit-image, PyProximal and deepinv, and its backward beside unrolled iterations.

Every library runs the fewest iterations that reach the asked relative duality gap, found to within an eighth and judged
against one dual bound in double precision; then all run once a round, and a ratio is the median over the rounds of CPU
times of one thread.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from harness import Figures, slug
from kotowari.priors.functional.tv_prox import tv_prox, tv_prox_outcome

__all__ = ["backward", "denoising"]

Image = npt.NDArray[np.float64]
Denoiser = Callable[[int], Any]  # takes the number of iterations

_WEIGHT = 0.1
_LOOSE, _TIGHT = 1.5e-4, 3e-5
_MOST_ITERATIONS = 3200


def denoising(quick: bool) -> Figures:
    """Measure ``tv_vs_skimage``, ``tv_vs_pyproximal`` (gap 1.5e-4) and ``tv_vs_deepinv`` (gap 3e-5), 512 x 512 pixels.

    scikit-image and PyProximal work in double precision, deepinv and ours in single.
    """
    image = _noisy_image(96 if quick else 512)
    bound = _dual_bound(image)
    single = torch.from_numpy(image).float()[None]
    figures: Figures = {}
    for gap, makers in (
        (_LOOSE, {"skimage": _scikit_image, "pyproximal": _pyproximal}),
        (_TIGHT, {"deepinv": _deepinv}),
    ):
        ours = _ours(single, gap)
        figures[f"tv_gap_reached_{slug(str(gap))}"] = _relative_gap(ours(), image, bound)
        for name, make in makers.items():
            figures |= _beside(name, make, image, bound, ours, gap=gap, rounds=1 if quick else 3)
    return figures


def backward(quick: bool) -> Figures:
    """Measure ``tv_backward_speedup`` and ``tv_backward_norm_ratio`` on 64 x 64 pixels in double precision.

    The speed-up is the median ratio of the CPU times of forward and backward, the other one through 1,000 steps of
    projected gradient on the dual; ``tv_backward_alone_speedup`` leaves forward out on both sides. The norm ratio is
    the largest of several incoming vectors.
    """
    side, n_steps, rounds = (24, 50, 1) if quick else (64, 1000, 7)
    image = torch.from_numpy(_noisy_image(side))[None]
    generator = torch.Generator().manual_seed(0)
    vectors = [torch.randn(image.shape, generator=generator, dtype=image.dtype) for _ in range(5)]
    vectors += [vectors[0].sign(), torch.ones_like(image), image, image - tv_prox(image, _WEIGHT)]
    ours, unrolled = [], []
    for number in range(rounds + 1):
        ours.append(_backward_seconds(image, vectors[0], lambda x: tv_prox(x, _WEIGHT)))
        unrolled.append(_backward_seconds(image, vectors[0], lambda x: _projected_gradient(x, n_steps)))
        if number == 0:
            ours.clear(), unrolled.clear()  # the first round compiles
    alone = [theirs[0] / mine[0] for mine, theirs in zip(ours, unrolled, strict=True)]
    whole = [sum(theirs) / sum(mine) for mine, theirs in zip(ours, unrolled, strict=True)]
    return {
        "tv_backward_speedup": statistics.median(whole),
        "tv_backward_alone_speedup": statistics.median(alone),
        "tv_backward_cpu_s": statistics.median(back for back, _ in ours),
        "tv_backward_unrolled_cpu_s": statistics.median(back for back, _ in unrolled),
        "tv_backward_norm_ratio": max(float(_gradient(image, v).norm() / v.norm()) for v in vectors),
        "tv_backward_error": _backward_error(image, vectors[0]),
    }


# ------------------------------------------------------------------------------------------------------ side by side


def _beside(
    name: str,
    make: Callable[[Image], Denoiser],
    image: Image,
    bound: float,
    ours: Callable[[], Tensor],
    *,
    gap: float,
    rounds: int,
) -> Figures:
    try:
        peer = make(image)
    except ImportError as error:
        return {f"tv_vs_{name}": None, f"not_measured_tv_vs_{name}": f"it cannot be imported: {error}"}
    n = _fewest_iterations(peer, image, bound, gap)
    if n is None:
        reason = f"{_MOST_ITERATIONS} iterations do not reach a gap of {gap:g}"
        return {f"tv_vs_{name}": None, f"not_measured_tv_vs_{name}": reason}
    times = [(_cpu_seconds(ours), _cpu_seconds(lambda: peer(n))) for _ in range(rounds)]
    return {
        f"tv_vs_{name}": statistics.median(theirs / mine for mine, theirs in times),
        f"tv_{name}_iterations": n,
        f"tv_{name}_cpu_s": statistics.median(theirs for _, theirs in times),
        f"tv_beside_{name}_cpu_s": statistics.median(mine for mine, _ in times),
    }


def _fewest_iterations(peer: Denoiser, image: Image, bound: float, gap: float) -> int | None:
    n, low = 25, 0
    while _relative_gap(peer(n), image, bound) > gap:
        if n >= _MOST_ITERATIONS:
            return None
        n, low = 2 * n, n
    for _ in range(2 if low else 0):
        middle = (low + n) // 2
        low, n = (low, middle) if _relative_gap(peer(middle), image, bound) <= gap else (middle, n)
    return n


def _ours(single: Tensor, gap: float) -> Callable[[], Tensor]:
    def run() -> Tensor:
        return tv_prox(single, _WEIGHT, gap=gap)

    run()  # compiles
    return run


def _scikit_image(image: Image) -> Denoiser:
    from skimage.restoration import denoise_tv_chambolle

    return lambda n: denoise_tv_chambolle(image, weight=_WEIGHT, eps=0, max_num_iter=n)


def _pyproximal(image: Image) -> Denoiser:
    from pyproximal import TV

    return lambda n: TV(dims=image.shape, sigma=_WEIGHT, niter=n, rtol=0).prox(image.ravel(), 1.0)


def _deepinv(image: Image) -> Denoiser:
    if importlib.util.find_spec("torchvision") is None:
        sys.meta_path.insert(0, _EmptyTorchvision())
    from deepinv.models import TVDenoiser

    single = torch.from_numpy(image).float()[None, None]

    @torch.no_grad()
    def run(n: int) -> Tensor:
        denoised: Tensor = TVDenoiser(n_it_max=n, crit=0.0)(single, ths=_WEIGHT)  # a new one: it keeps a warm start
        return denoised

    return run


class _EmptyTorchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Empty modules in place of torchvision, which deepinv asks for when imported and its denoiser does not use."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for torchvision and what lies in it."""
        del path, target
        ours = fullname.partition(".")[0] == "torchvision"
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if ours else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return a module in which every public name is an empty class."""
        return _EmptyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty."""


class _EmptyModule(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"BILINEAR": 1, "NEAREST": 0})


# --------------------------------------------------------------------------------------------------- image and gaps


def _noisy_image(side: int) -> Image:
    """Discs, bars and a ramp, with noise of deviation 0.1; the same numbers as in the peers' script."""
    rng = np.random.default_rng(0)
    v, u = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
    image = 0.3 * u + 0.1 * np.sin(9 * v * u)
    for _ in range(14):
        cx, cy, r, level = rng.random(), rng.random(), rng.uniform(0.03, 0.2), rng.uniform(-0.4, 0.6)
        image[(u - cx) ** 2 + (v - cy) ** 2 < r * r] += level
    image[:, side // 3 : side // 3 + side // 32] += 0.4
    return np.asarray(image + 0.1 * rng.standard_normal(image.shape))


def _objective(x: Image, image: Image) -> float:
    squared = np.zeros_like(x)
    squared[:-1] += np.diff(x, axis=0) ** 2
    squared[:, :-1] += np.diff(x, axis=1) ** 2
    return float(0.5 * ((x - image) ** 2).sum() + _WEIGHT * np.sqrt(squared).sum())


def _dual_bound(image: Image) -> float:
    """Return the dual value of a solution solved to a gap of 1e-7."""
    state = tv_prox_outcome(torch.from_numpy(image)[None], _WEIGHT, gap=1e-7).or_raise().state
    return _objective(state.x[0].numpy(), image) / (1 + float(state.gap[0]))


def _relative_gap(x: Any, image: Image, bound: float) -> float:
    return _objective(np.asarray(x, dtype=np.float64).reshape(image.shape), image) / bound - 1


def _cpu_seconds(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


# ------------------------------------------------------------------------------------------------------- derivatives


def _projected_gradient(x: Tensor, n_steps: int) -> Tensor:
    """Return the prox by plain steps on the dual, which autograd can follow."""
    p = x.new_zeros(2, *x.shape)
    for _ in range(n_steps):
        p = p + _differences(x - _adjoint(p)) / 8
        p = p / (p.square().sum(0).clamp_min(1e-30).sqrt() / _WEIGHT).clamp_min(1)
    return x - _adjoint(p)


def _differences(x: Tensor) -> Tensor:
    rows = torch.nn.functional.pad(x.diff(dim=-2), (0, 0, 0, 1))
    return torch.stack([rows, torch.nn.functional.pad(x.diff(dim=-1), (0, 1))])


def _adjoint(p: Tensor) -> Tensor:
    rows = torch.nn.functional.pad(p[0, :, :-1], (0, 0, 1, 1)).diff(dim=-2)
    return -rows - torch.nn.functional.pad(p[1, :, :, :-1], (1, 1)).diff(dim=-1)


def _backward_seconds(image: Tensor, v: Tensor, prox: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """Return the CPU times of backward and of forward."""
    x = image.clone().requires_grad_()
    begin = time.process_time()
    y = prox(x)
    middle = time.process_time()
    y.backward(v)
    return time.process_time() - middle, middle - begin


def _gradient(image: Tensor, v: Tensor) -> Tensor:
    x = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(tv_prox(x, _WEIGHT), x, v)
    return gradient


def _backward_error(image: Tensor, v: Tensor) -> float:
    """Return the relative distance of our gradient from central differences of a far more accurate prox."""
    shift = 1e-5
    ahead, behind = (tv_prox(image + s * v, _WEIGHT, gap=1e-11, max_steps=100_000) for s in (shift, -shift))
    reference = (ahead - behind) / (2 * shift)
    return float((_gradient(image, v) - reference).norm() / reference.norm())
