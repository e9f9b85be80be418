"""Whether a map depends on what the network learned, or an untrained one would draw it too."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, t

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.core.evidence import Check, Verdict

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Similarity", "cascading_copies", "randomisation_check", "randomised_copy", "similarity"]

FloatArray = npt.NDArray[np.float64]
_NAME = "model randomisation"
_SEEDS_NEEDED = 5


@dataclass(frozen=True)
class Similarity:
    """How alike two maps are.

    Parameters
    ----------
    spearman
        Rank correlation of the absolute values, -1 to 1; 0 when a map is constant.
    top_overlap
        Share of the strongest parts that both maps name, 0 to 1.
    """

    spearman: float
    top_overlap: float


def randomised_copy(
    module: "nn.Module", *, generator: "torch.Generator", depth: int | Literal["all"] = "all"
) -> "nn.Module":
    """Return a copy with fresh weights; ``module`` and the global random state stay as they were.

    Every layer that owns parameters is drawn anew by its own ``reset_parameters``, norm layers and their running
    figures too. Registration order is taken as the order from input to output.

    Parameters
    ----------
    module
        Any network.
    generator
        Seeds the fresh weights.
    depth
        How many layers to renew, counted from the output; ``"all"`` for every layer.

    Raises
    ------
    CapabilityError
        When a layer owns parameters but cannot reset them.

    Source: Adebayo et al. 2018, NeurIPS (model parameter randomisation test).
    """
    copy = deepcopy(module)
    names = _layers_with_parameters(copy)
    chosen = names if depth == "all" else names[len(names) - min(depth, len(names)) :]
    _reset(copy, chosen, generator)
    return copy


def cascading_copies(module: "nn.Module", *, generator: "torch.Generator") -> Iterator[tuple[str, "nn.Module"]]:
    """Yield copies with one more fresh layer each, from the output down, with the name of the layer renewed last."""
    copy = deepcopy(module)
    for name in reversed(_layers_with_parameters(copy)):
        _reset(copy, [name], generator)
        yield name, deepcopy(copy)


def similarity(a: npt.ArrayLike, b: npt.ArrayLike, *, top_share: float = 0.05) -> Similarity:
    """Compare two maps by rank and by their strongest parts; signs do not count.

    Parameters
    ----------
    a, b
        Arrays of one shape.
    top_share
        Share of the parts that counts as strongest, above 0 and at most 1.

    Examples
    --------
    >>> similarity([1.0, 2.0, -3.0], [10.0, 20.0, 30.0]).spearman
    1.0
    """
    maps = _flat_maps(np.stack([np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)]))
    top = max(1, round(top_share * maps.shape[1]))
    first, second = (set(np.argsort(-row, kind="stable")[:top].tolist()) for row in maps)
    return Similarity(float(_rank_correlation(maps, maps)[0, 1]), len(first & second) / top)


def randomisation_check(trained_maps: npt.ArrayLike, random_maps: npt.ArrayLike, *, level: float = 0.95) -> Check:
    """Pass when trained networks agree more with each other than with networks of random weights.

    Agreement is the Spearman correlation of absolute maps, averaged over pairs; its interval is a jackknife over seeds
    (t quantiles), since pairs that share a seed are not independent. The upper end of trained against random must lie
    below the lower end of trained against trained.

    Parameters
    ----------
    trained_maps, random_maps
        Shape ``(seed, ...)``: one map a trained or random network, same inputs, same parts. Five seeds or more give an
        interval; with fewer the figures are told and no verdict is given.
    level
        Of the intervals, above 0 and below 1.

    Source: Adebayo et al. 2018, NeurIPS; the comparison with trained pairs and the interval are our own.
    """
    trained, random = _flat_maps(trained_maps), _flat_maps(random_maps)
    if trained.shape[1] != random.shape[1]:
        raise ShapeError.mismatch("randomisation_check", "random_maps", ("seed", trained.shape[1]), random.shape)
    n_trained, n_random = len(trained), len(random)
    across = _rank_correlation(trained, random)
    if n_trained < 2:
        return Check.not_applicable(
            _NAME,
            f"One trained network only: its map agrees with those of random networks at {across.mean():.2f}, but there "
            "is no second trained map to compare with.",
        )
    among = _rank_correlation(trained, trained)
    own, other = _mean_of_pairs(among), float(across.mean())
    if min(n_trained, n_random) < _SEEDS_NEEDED:
        return Check.not_applicable(
            _NAME,
            f"Maps of trained networks agree at {own:.2f} with each other and at {other:.2f} with random networks; "
            f"{n_trained} trained and {n_random} random seeds are too few for an interval (five are needed), so this "
            "is no verdict.",
        )
    own_low = own - _pair_error(among, level)
    other_high = other + _cross_error(across, level)
    passed = other_high < own_low
    tail = "the map depends on what was learned" if passed else "not distinguishable from an untrained network"
    return Check(
        _NAME,
        other_high,
        own_low,
        Verdict.PASS if passed else Verdict.FAIL,
        f"Maps of {n_trained} trained networks agree at {own:.2f} with each other (interval from {own_low:.2f}) and at "
        f"{other:.2f} with {n_random} random networks (interval to {other_high:.2f}): {tail}.",
    )


def _layers_with_parameters(module: "nn.Module") -> list[str]:
    return [name for name, layer in module.named_modules() if any(True for _ in layer.parameters(recurse=False))]


def _reset(module: "nn.Module", names: list[str], generator: "torch.Generator") -> None:
    import torch

    layers = dict(module.named_modules())
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device=generator.device).item())
    devices = sorted({p.device.index or 0 for p in module.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        for name in names:
            layer = layers[name]
            # attention layers of torch keep the method private
            reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
            if not callable(reset):
                raise CapabilityError(
                    f"{name or 'the network'} ({type(layer).__name__}) owns parameters but has no reset_parameters, so "
                    "it cannot be drawn anew. Give it that method."
                )
            reset()


def _flat_maps(maps: npt.ArrayLike) -> FloatArray:
    array = np.abs(np.asarray(maps, dtype=np.float64))
    if array.ndim < 2 or not len(array) or array[0].size < 2:
        raise ShapeError.mismatch("randomisation", "maps", ("seed", "part, 2 or more"), array.shape)
    if not np.isfinite(array).all():
        raise InputError("randomisation: a map holds values that are not finite.")
    flat: FloatArray = array.reshape(len(array), -1)
    return flat


def _rank_correlation(a: FloatArray, b: FloatArray) -> FloatArray:
    def standard(maps: FloatArray) -> FloatArray:
        ranks = rankdata(maps, axis=1)
        ranks -= ranks.mean(1, keepdims=True)
        norm = np.linalg.norm(ranks, axis=1, keepdims=True)
        return np.asarray(ranks / np.where(norm > 0, norm, 1.0))

    return np.clip(standard(a) @ standard(b).T, -1.0, 1.0).round(12)


def _mean_of_pairs(among: FloatArray) -> float:
    return float(among[np.triu_indices(len(among), 1)].mean())


def _pair_error(among: FloatArray, level: float) -> float:
    n = len(among)
    kept = [np.delete(np.arange(n), left_out) for left_out in range(n)]
    means = np.array([_mean_of_pairs(among[np.ix_(rows, rows)]) for rows in kept])
    variance = (n - 1) / n * ((means - means.mean()) ** 2).sum()
    return float(t.ppf((1 + level) / 2, n - 1) * np.sqrt(variance))


def _cross_error(across: FloatArray, level: float) -> float:
    rows, columns = across.mean(1), across.mean(0)
    variance = rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns)
    return float(t.ppf((1 + level) / 2, min(across.shape) - 1) * np.sqrt(variance))
