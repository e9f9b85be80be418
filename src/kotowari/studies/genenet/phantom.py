"""Simulated expression with planted networks that vary over a modulator."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["NetworkPhantom", "Shape", "edge_curve", "simulate_networks"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Shape = Literal["constant", "switch", "fade", "bump", "flip"]

_EPITHELIAL_SHARE, _MODES = 0.6, ((-0.6, 0.45), (0.9, 0.5))
_MODULE_SIZE, _MODULE_LOADING, _OWN_SD = 10, 0.75, 0.65
_NUISANCE_LOADING, _DRIFT = 0.5, 0.8
_SIZES = (0.5, 1.0)
_FEWEST = {"n_samples": 40, "n_regulators": 10, "n_targets": 2, "n_active": 1, "n_relays": 0}


@dataclass(frozen=True)
class NetworkPhantom:
    """A table of which every sample's network is known.

    Attributes
    ----------
    X
        Shape ``(sample, gene)``, columns ``R000``, ``R001``, ... (regulators) and ``T000``, ... (targets).
    modulator
        Shape ``(sample,)``, 0 to 1, with two modes.
    regulators, targets
        Gene names; a relay is both.
    truth
        The planted coefficients of every sample, units of target per unit of regulator.
    nuisance
        Factor that moves regulators and targets alike and is no edge, standard normal, shape ``(sample,)``.
    shapes
        One row a planted edge: ``regulator``, ``target``, ``shape``, ``size`` (largest absolute coefficient, signed).
    description
        What was planted, in a sentence.
    """

    X: pd.DataFrame
    modulator: FloatArray
    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    truth: NetworkStack
    nuisance: FloatArray
    shapes: pd.DataFrame
    description: str


def simulate_networks(
    *,
    n_samples: int = 400,
    n_regulators: int = 60,
    n_targets: int = 20,
    n_active: int = 5,
    n_relays: int = 2,
    effect: float = 1.0,
    noise: float = 0.5,
    random_state: int,
) -> NetworkPhantom:
    r"""Simulate targets whose coefficients change smoothly along a bimodal modulator.

    .. math:: t_{ak} = \sum_j \beta_{jk}(m_a)\, r_{aj} + 0.5\, c_k z_a + \varepsilon_{ak}

    Regulators lie in modules of ten (correlation about 0.5 within one), are moved by a nuisance factor z that moves the
    targets too, and a third of the modules drifts along the modulator. Each target has ``n_active`` edges from
    different modules, :math:`\beta(m) = b\, s(m)` with b of either sign and 0.5 to 1 in size, and s one of five shapes
    (:func:`edge_curve`): constant, switched on, faded out, on in the middle, and turning its sign. Relays are targets
    that regulate the later targets, each in the place of one of their regulators. The noise has ``noise`` times the
    standard deviation of the signal.

    Parameters
    ----------
    n_samples, n_regulators, n_targets, n_active, n_relays
        At least 40, 10, 2, 1 and 0; fewer edges a target than modules, and fewer relays than targets.
    effect
        Factor of all coefficients, 0 or more; 0 plants nothing, and the truth has no edge.
    noise
        Above 0.
    random_state
        Seed; one seed gives the same background and places at every effect.

    Raises
    ------
    InputError
        When an option is out of range.

    Locked by named baselines at the default sizes and effect 1: area under the ROC curve and average precision of
    :func:`edge_scores` (four bins, prevalence 0.061 to 0.068), measured over seeds 0 to 4:

    * one elastic net for all samples: 0.87 to 0.93 and 0.63 to 0.76;
    * kernel-weighted correlation: 0.75 to 0.83 and 0.39 to 0.48;
    * LIONESS: 0.58 to 0.61 and 0.09 to 0.11; SSN, half of the samples as reference: 0.50 to 0.51 and 0.07 to 0.08;
    * what can be had: kernel-weighted elastic nets (scikit-learn, 24 nodes, one penalty for all) 0.98 to 0.99 and 0.92
      to 0.97; the lasso on splines times regulators 1.00 and 0.98 (seeds 0 and 1).

    Source: our own design; the bimodal modulator follows the mixture of epithelial and mesenchymal lines in Shimamura
    et al. 2011, PLoS ONE 6:e20804, in kind, not in its figures.

    Examples
    --------
    >>> phantom = simulate_networks(n_samples=40, n_regulators=20, n_targets=3, n_active=2, n_relays=1, random_state=0)
    >>> phantom.X.shape, len(phantom.regulators), phantom.truth.n_edges
    ((40, 23), 21, 6)
    """
    sizes = {
        "n_samples": n_samples,
        "n_regulators": n_regulators,
        "n_targets": n_targets,
        "n_active": n_active,
        "n_relays": n_relays,
    }
    _require_options(sizes, effect, noise)
    streams = {
        name: np.random.default_rng(derive_seed(random_state, "network phantom", name))
        for name in ("modulator", "background", "edges", "noise")
    }
    modulator = _modulator(n_samples, streams["modulator"])
    nuisance = streams["background"].normal(size=n_samples)
    genes, module = _regulators(modulator, nuisance, n_regulators, streams["background"])
    edges: list[_Edges] = []
    for target in range(n_targets):
        edges.append(_edges(modulator, module, n_active, target, effect, streams["edges"]))
        if target >= n_relays > 0:
            edges[-1].active[-1] = n_regulators + target % n_relays
        signal = (genes[:, edges[-1].active] * edges[-1].beta).sum(1)
        loading, error = _NUISANCE_LOADING * streams["noise"].normal(), streams["noise"].normal(size=n_samples)
        unit = max(float(signal.std()), _SIZES[0])
        genes = np.column_stack([genes, signal + loading * nuisance + noise * unit * error])
    names = [f"R{k:03d}" for k in range(n_regulators)] + [f"T{k:03d}" for k in range(n_targets)]
    truth = _truth(edges, modulator, names, n_regulators, n_relays)
    return NetworkPhantom(
        X=pd.DataFrame(genes, index=list(truth.samples), columns=names),
        modulator=modulator,
        regulators=truth.regulators,
        targets=truth.targets,
        truth=truth,
        nuisance=nuisance,
        shapes=_shapes(edges, names, n_regulators),
        description=_description(sizes, effect),
    )


def edge_curve(shape: Shape, modulator: npt.ArrayLike) -> FloatArray:
    """Return the course of a planted edge over a modulator from 0 to 1: smooth, at most 1 in size.

    ``"constant"`` is 1; ``"switch"`` is 0 up to 0.4 and 1 from 0.65; ``"fade"`` is 1 less that; ``"bump"`` is on
    between 0.2 and 0.7; ``"flip"`` goes from 1 (up to 0.3) to -1 (from 0.7).
    """
    m = np.asarray(modulator, dtype=np.float64)
    if shape not in get_args(Shape):
        raise InputError(f"edge_curve: shape must be one of {', '.join(get_args(Shape))}, got {shape!r}.")
    match shape:
        case "constant":
            return np.ones_like(m)
        case "switch":
            return _smooth_step((m - 0.4) / 0.25)
        case "fade":
            return 1 - _smooth_step((m - 0.4) / 0.25)
        case "bump":
            return _smooth_step((m - 0.2) / 0.15) * _smooth_step((0.7 - m) / 0.15)
        case _:
            return 1 - 2 * _smooth_step((m - 0.3) / 0.4)


class _Edges(NamedTuple):
    """The edges of one target: positions of the regulators, courses, sizes, coefficients ``(sample, edge)``."""

    active: IndexArray
    shapes: list[Shape]
    size: FloatArray
    beta: FloatArray


def _require_options(sizes: dict[str, int], effect: float, noise: float) -> None:
    for name, value in sizes.items():
        if value < _FEWEST[name]:
            raise InputError(f"simulate_networks: {name} must be {_FEWEST[name]} or more, got {value}.")
    n_modules = sizes["n_regulators"] // _MODULE_SIZE
    if sizes["n_active"] > n_modules:
        raise InputError(
            f"simulate_networks: {sizes['n_active']} edges a target need as many modules of {_MODULE_SIZE} regulators; "
            f"there are {n_modules}. Raise n_regulators, or lower n_active."
        )
    if sizes["n_relays"] >= sizes["n_targets"]:
        raise InputError("simulate_networks: relays are targets; there must be fewer of them than targets.")
    if not 0 <= effect < np.inf or not 0 < noise < np.inf:
        raise InputError(f"simulate_networks: needs effect >= 0 and noise > 0, got {effect} and {noise}.")


def _modulator(n: int, rng: np.random.Generator) -> FloatArray:
    (low, low_sd), (high, high_sd) = _MODES
    m = np.where(rng.random(n) < _EPITHELIAL_SHARE, rng.normal(low, low_sd, n), rng.normal(high, high_sd, n))
    scaled: FloatArray = (m - m.min()) / np.ptp(m)
    return scaled


def _regulators(
    modulator: FloatArray, nuisance: FloatArray, n: int, rng: np.random.Generator
) -> tuple[FloatArray, IndexArray]:
    """Return the regulators, ``(sample, regulator)``, and the module of each."""
    n_modules = n // _MODULE_SIZE
    module = rng.permutation(np.arange(n) % n_modules)
    activity = rng.normal(size=(len(modulator), n_modules))
    activity[:, : n_modules // 3] += 2 * _DRIFT * (modulator[:, None] - modulator.mean()) / modulator.std()
    loading = _NUISANCE_LOADING * rng.uniform(0.5, 1.0, n)
    own = _OWN_SD * rng.normal(size=(len(modulator), n))
    return _MODULE_LOADING * activity[:, module] + loading * nuisance[:, None] + own, module


def _edges(
    modulator: FloatArray, module: IndexArray, n_active: int, target: int, effect: float, rng: np.random.Generator
) -> _Edges:
    """Draw one regulator from each of several modules, and a course of the coefficient for each."""
    homes = rng.permutation(module.max() + 1)[:n_active]
    active = np.array([rng.choice(np.flatnonzero(module == home)) for home in homes])
    kinds = get_args(Shape)
    shapes = [kinds[(target + k) % len(kinds)] for k in range(n_active)]
    size = effect * rng.uniform(*_SIZES, n_active) * rng.choice([-1.0, 1.0], n_active)
    beta = np.column_stack([b * edge_curve(shape, modulator) for b, shape in zip(size, shapes, strict=True)])
    return _Edges(active, shapes, size, beta)


def _truth(
    edges: list[_Edges], modulator: FloatArray, names: list[str], n_regulators: int, n_relays: int
) -> NetworkStack:
    n_samples, n_active = edges[0].beta.shape
    regulator = np.repeat(np.concatenate([own.active for own in edges]), n_samples)
    return NetworkStack.from_arrays(
        np.tile(np.arange(n_samples), n_active * len(edges)),
        regulator,
        np.repeat(np.arange(len(edges)), n_active * n_samples),
        np.concatenate([own.beta.T.ravel() for own in edges]),
        samples=[f"S{k:04d}" for k in range(n_samples)],
        regulators=names[: n_regulators + n_relays],
        targets=names[n_regulators:],
        modulator=modulator,
        description="Planted coefficients.",
    )


def _shapes(edges: list[_Edges], names: list[str], n_regulators: int) -> pd.DataFrame:
    rows = [
        (names[gene], names[n_regulators + target], shape, size)
        for target, own in enumerate(edges)
        for gene, shape, size in zip(own.active, own.shapes, own.size, strict=True)
    ]
    return pd.DataFrame(rows, columns=["regulator", "target", "shape", "size"])


def _smooth_step(x: FloatArray) -> FloatArray:
    """0 below 0, 1 above 1, with a continuous first derivative."""
    part: FloatArray = np.clip(x, 0.0, 1.0)
    return part * part * (3 - 2 * part)


def _description(sizes: dict[str, int], effect: float) -> str:
    if effect == 0:
        return "Simulated expression in which no target depends on a regulator."
    return (
        f"Simulated expression of {sizes['n_samples']} samples: {sizes['n_targets']} targets with {sizes['n_active']} "
        f"edges each from {sizes['n_regulators']} regulators in correlated modules, varying along a bimodal modulator; "
        f"{sizes['n_relays']} targets regulate others."
    )
