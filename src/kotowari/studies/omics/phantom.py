"""Simulated tables with planted truth, and effects planted into the user's own table."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.datasets.packaged import load_tcga_colorectal

__all__ = ["ModuleImplant", "Phantom", "Truth", "implant_module", "planted_table"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Truth = Literal["modules", "scattered", "mixed"]

_N_CLASSES, _N_TYPES = 10, 5
_TYPE_GROUPS, _SIGN_GROUPS, _GROUP_GENES = 4, 2, 10
_HOME_GENES: dict[str, int] = {"modules": 10, "mixed": 5, "scattered": 0}
_PLACES: dict[str, str] = {
    "modules": "each group in one correlated module",
    "mixed": "each group half in one module and half scattered",
    "scattered": "each group scattered over ten modules",
}
_MOST_MODULES, _MODULE_GENES = 100, 20
_NOISE, _PLANTED_LOADING = 0.7, 0.5
_TYPE_LEVELS = (-1.0, -0.5, 0.0, 0.5, 1.0)
_TYPE_SD = (0.3, 1.3)
_SIGN_SD = 1.5
_HEAVY_GENES, _POOR_SAMPLES, _POOR_NOISE = 0.1, 0.03, 1.5
_LIBRARY_SHIFT, _LIBRARY_SCALE = 0.3, 0.05


@dataclass(frozen=True)
class Phantom:
    """A table of which it is known what matters.

    Attributes
    ----------
    X
        Shape ``(sample, gene)``, float32, in units of the marginals; columns ``G00000``, ``G00001``, ...
    y
        Class of each sample, 0 to 9: twice the type (0 to 4) plus the bit (0 or 1).
    modules
        One row a gene: ``gene``, ``module`` (number of the correlated module that it belongs to) and ``kind``
        (``"null"``, ``"marginal"`` or ``"interaction"``).
    marginal, interaction
        Shape ``(gene,)``: genes that tell the type, each by itself; genes that tell the bit, only together.
    nuisance
        Library size of each sample, standard normal, shape ``(sample,)``. It has to do with no label.
    description
        What was planted, in a sentence.
    """

    X: pd.DataFrame
    y: IntArray
    modules: pd.DataFrame
    marginal: BoolArray
    interaction: BoolArray
    nuisance: FloatArray
    description: str

    @property
    def planted(self) -> BoolArray:
        """Genes that matter in any way."""
        return self.marginal | self.interaction

    @property
    def types(self) -> IntArray:
        """Type of each sample, 0 to 4."""
        return self.y // 2

    @property
    def bits(self) -> IntArray:
        """Bit of each sample, 0 or 1."""
        return self.y % 2


def planted_table(
    *,
    n_samples: int = 500,
    n_genes: int = 6000,
    effect: float = 1.0,
    random_state: int,
    marginals: pd.DataFrame | npt.ArrayLike | None = None,
    truth: Truth = "modules",
) -> Phantom:
    r"""Simulate expression of ten classes, five types times two bits, with 60 genes that matter.

    The background is :math:`z_{ig} = l_g a_{i m(g)} + 0.7\,\varepsilon_{ig}` with activities a of up to 100 modules and
    loadings l of 0.3 to 1. A tenth of the genes has noise with the tails of Student's t at 3 degrees of freedom, and
    3 % of the samples have 1.5 times the noise. Added are

    * 40 marginal genes in 4 groups: the types stand at -1, -0.5, 0, 0.5 and 1 times a shift of 0.3 to 1.3 standard
      deviations of the gene, in an order that each group has for itself;
    * 20 interaction genes in 2 groups (exclusive or): every sample moves each group up or down by 1.5 standard
      deviations. Either sign is independent of the class; their product is the bit.

    Library size then shifts (by 0.3) and stretches (by 5 %) all genes of a sample, and the ranks of each gene are given
    the values of a real gene drawn at random, floor and tails included.

    Parameters
    ----------
    n_samples
        20 or more; classes differ by one sample at most.
    n_genes
        400 or more. Modules hold 20 genes or more.
    effect
        Factor of all planted shifts, 0 or more; 0 plants nothing and the truth is empty. One seed gives the same
        background, labels and places at every effect.
    random_state
        Seed.
    marginals
        Table ``(sample, gene)`` whose columns lend their distributions, finite; None takes the packaged colorectal
        tumours.
    truth
        ``"modules"``: each group lies in one correlated module. ``"scattered"``: its genes come from ten other modules.
        ``"mixed"``: half of it lies in a module, half is scattered.

    Raises
    ------
    InputError
        When an option is out of range.

    Locked by baselines, at the default sizes and effect 1, measured over seeds 0 to 2 and in each shape of truth; the
    last three learned from 400 samples:

    * univariate F: average precision 0.96 to 1.00 on the marginal genes (prevalence 0.007), 0.002 to 0.004 on the
      interaction genes (prevalence 0.003, chance);
    * multinomial logistic regression of the types (chance 0.20): accuracy 0.29 to 0.40 with L2 (C = 0.01),
      0.57 to 0.86 with the elastic net on the 1,000 genes of largest F;
    * random forest and gradient boosting (LightGBM) of the classes: the bit is guessed (accuracy 0.36 to 0.55), and
      importance and TreeSHAP find the interaction genes with an average precision of 0.003 to 0.004, chance;
    * MLP (128 units, 30 epochs in batches of 32) with integrated gradients: 0.85 to 0.96 on the marginal genes, 0.003
      to 0.005 on the interaction genes.

    Source: our own design. Quantile mapping keeps the ranks, and with them rank correlations and effects.

    Examples
    --------
    >>> phantom = planted_table(n_samples=40, n_genes=400, random_state=0)
    >>> phantom.X.shape, int(phantom.marginal.sum()), int(phantom.interaction.sum())
    ((40, 400), 40, 20)
    """
    _require_options(n_samples, n_genes, effect, truth)
    streams = {
        name: np.random.default_rng(derive_seed(random_state, "phantom", name))
        for name in ("background", "labels", "places", "effects", "library", "marginals")
    }
    y = streams["labels"].permutation(np.arange(n_samples, dtype=np.int64) % _N_CLASSES)
    n_modules = min(_MOST_MODULES, n_genes // _MODULE_GENES)
    member = streams["places"].permutation(np.arange(n_genes) % n_modules)
    groups = _groups(member, _HOME_GENES[truth], streams["places"])
    values, sd = _background(n_samples, member, np.concatenate(groups), streams["background"])
    _add_effects(values, groups, sd * effect, y, streams["effects"])
    library = streams["library"].normal(size=n_samples)
    values = values * (1 + _LIBRARY_SCALE * library[:, None]) + _LIBRARY_SHIFT * library[:, None]
    values = _with_marginals(values, _lenders(marginals), streams["marginals"])
    kind = np.full(n_genes, "null", dtype=object)
    if effect > 0:
        kind[np.concatenate(groups[:_TYPE_GROUPS])] = "marginal"
        kind[np.concatenate(groups[_TYPE_GROUPS:])] = "interaction"
    genes = [f"G{number:05d}" for number in range(n_genes)]
    return Phantom(
        X=pd.DataFrame(values.astype(np.float32), columns=genes),
        y=y,
        modules=pd.DataFrame({"gene": genes, "module": member, "kind": kind}),
        marginal=kind == "marginal",
        interaction=kind == "interaction",
        nuisance=library,
        description=_description(effect, truth),
    )


def implant_module(
    X: pd.DataFrame, positive: npt.ArrayLike, *, genes: int = 20, shift_sd: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, BoolArray]:
    r"""Shift one correlated module of the user's own table in the positive samples.

    .. math:: x'_{ig} = x_{ig} + d \, s_g \quad \text{for positive } i \text{ and } g \text{ in the module}

    with the shift d and the standard deviation s of the gene over all samples. The module is a gene drawn at random and
    the genes most positively correlated with it; genes without variation are never chosen.

    Parameters
    ----------
    X
        Shape ``(sample, gene)``, numbers; NaN stays NaN. Left as it was.
    positive
        Shape ``(sample,)``, booleans: who gets the effect. Use labels made for the implant, not the user's own: an
        effect of theirs would be found as well, and the limit would look better than it is.
    genes
        Size of the module, 1 or more.
    shift_sd
        Shift in standard deviations of each gene, 0 or more.
    rng
        Chooses the module; the size of the shift does not change the choice.

    Returns
    -------
    DataFrame, array
        The table with the effect, and the truth, shape ``(gene,)``.

    Raises
    ------
    ShapeError
        When ``positive`` does not fit the table.
    InputError
        When nobody or everybody is positive, or an option is out of range.
    DesignError
        When fewer genes than ``genes`` vary.

    Examples
    --------
    >>> table = pd.DataFrame(np.random.default_rng(0).normal(size=(10, 5)))
    >>> _, truth = implant_module(table, [True, False] * 5, genes=2, shift_sd=1.0, rng=np.random.default_rng(0))
    >>> int(truth.sum())
    2
    """
    moved = np.asarray(positive)
    if moved.shape != (len(X),):
        raise ShapeError.mismatch("implant_module", "positive", (len(X),), moved.shape)
    if moved.dtype != np.bool_ or moved.all() or not moved.any():
        raise InputError("implant_module: positive must be boolean and true for some samples, not for all.")
    if genes < 1 or not shift_sd >= 0:
        raise InputError(f"implant_module: needs genes >= 1 and shift_sd >= 0, got {genes} and {shift_sd}.")
    values = X.to_numpy(dtype=np.float64, copy=True)
    sd = np.nanstd(values, axis=0)
    varying = np.flatnonzero(sd > 0)
    if len(varying) < genes:
        raise DesignError(f"implant_module: {len(varying)} genes vary, fewer than the {genes} to plant. Plant fewer.")
    module = varying[_correlated_module(values[:, varying] / sd[varying], genes, rng)]
    values[np.ix_(moved, module)] += shift_sd * sd[module]
    truth = np.zeros(X.shape[1], dtype=np.bool_)
    truth[module] = True
    kept = np.result_type(*X.dtypes.to_numpy(), np.float32)
    return pd.DataFrame(values.astype(kept), index=X.index, columns=X.columns), truth


@dataclass(frozen=True)
class ModuleImplant:
    """Effects in the user's own table, as :func:`kotowari.trust.run_implants` plants them.

    The question that this answers: how far must a module of this many genes be shifted between two groups of these
    sizes, for the pipeline to find it amid the variation that these very samples have? The two groups are drawn at
    random anew for each repeat, so the user's own labels and whatever follows them count as variation, not as effect.
    It does not answer how much of the user's own effect was missed, nor what confounding would do to it.

    Parameters
    ----------
    X
        Shape ``(sample, gene)``.
    genes
        Size of the module, 1 or more.
    share
        Share of the samples in the positive group, above 0 and below 1; take that of the user's smaller class to speak
        of groups of such sizes.
    groups
        Owner of each sample, shape ``(sample,)``; samples of one owner share a label. None: each its own.
    """

    X: pd.DataFrame
    genes: int = 20
    share: float = 0.5
    groups: npt.NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"ModuleImplant: share must lie between 0 and 1, got {self.share}.")
        if self.groups is not None and len(self.groups) != len(self.X):
            raise ShapeError.mismatch("ModuleImplant", "groups", (len(self.X),), np.shape(self.groups))

    def __call__(self, grade: float, rng: np.random.Generator) -> tuple[tuple[pd.DataFrame, BoolArray], BoolArray]:
        """Return the table with the effect and its two-group label, and the planted genes.

        Parameters
        ----------
        grade
            Shift in standard deviations of each gene.
        rng
            One state of it gives the same two groups and the same module at every grade.
        """
        owners = np.arange(len(self.X)) if self.groups is None else pd.factorize(self.groups)[0]
        n_owners = int(owners.max()) + 1
        n_positive = min(max(1, round(self.share * n_owners)), n_owners - 1)
        positive = (rng.permutation(n_owners) < n_positive)[owners]
        table, truth = implant_module(self.X, positive, genes=self.genes, shift_sd=grade, rng=rng)
        return (table, positive), truth


def _require_options(n_samples: int, n_genes: int, effect: float, truth: str) -> None:
    if n_samples < 2 * _N_CLASSES or n_genes < 20 * _MODULE_GENES:
        raise InputError(f"planted_table: needs 20 samples and 400 genes or more, got {n_samples} and {n_genes}.")
    if not 0 <= effect < np.inf:
        raise InputError(f"planted_table: effect must be 0 or more, got {effect}.")
    if truth not in get_args(Truth):
        raise InputError(f"planted_table: truth must be one of {', '.join(get_args(Truth))}, got {truth!r}.")


def _groups(member: IntArray, n_home: int, rng: np.random.Generator) -> list[IntArray]:
    """Draw the genes of each group: ``n_home`` from its own module, the others each from another module."""
    homes = rng.permutation(member.max() + 1)[: _TYPE_GROUPS + _SIGN_GROUPS]
    free = ~np.isin(member, homes)
    groups = []
    for home in homes:
        own = rng.permutation(np.flatnonzero(member == home))[:n_home]
        candidates = rng.permutation(np.flatnonzero(free))
        _, first = np.unique(member[candidates], return_index=True)
        others = candidates[rng.permutation(first)[: _GROUP_GENES - n_home]]
        free[others] = False
        groups.append(np.concatenate([own, others]))
    return groups


def _background(
    n_samples: int, member: IntArray, planted: IntArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return correlated values without any effect, and the standard deviation of each gene within a class."""
    n_genes = len(member)
    loading = rng.uniform(0.3, 1.0, n_genes)
    loading[planted] = _PLANTED_LOADING  # one for all, so that only the shift decides how hard a gene is to find
    noise = rng.normal(size=(n_samples, n_genes))
    heavy = rng.random(n_genes) < _HEAVY_GENES
    noise[:, heavy] = rng.standard_t(3, size=(n_samples, int(heavy.sum()))) / np.sqrt(3)
    noise *= np.where(rng.random(n_samples) < _POOR_SAMPLES, _POOR_NOISE, 1.0)[:, None]
    activity = rng.normal(size=(n_samples, int(member.max()) + 1))
    return activity[:, member] * loading + _NOISE * noise, np.sqrt(loading**2 + _NOISE**2)


def _add_effects(
    values: FloatArray, groups: list[IntArray], unit: FloatArray, y: IntArray, rng: np.random.Generator
) -> None:
    """Add to ``values``, in place, what tells types and bits; ``unit`` is the size of one standard deviation."""
    types, bits = y // 2, y % 2
    for genes in groups[:_TYPE_GROUPS]:
        level = rng.permutation(_TYPE_LEVELS)[types]
        values[:, genes] += level[:, None] * rng.uniform(*_TYPE_SD, len(genes)) * unit[genes]
    first = np.where(rng.permutation(len(y)) % 2 == 1, 1.0, -1.0)
    for genes, sign in zip(groups[_TYPE_GROUPS:], (first, np.where(bits == 1, first, -first)), strict=True):
        values[:, genes] += _SIGN_SD * sign[:, None] * unit[genes]


def _lenders(marginals: pd.DataFrame | npt.ArrayLike | None) -> FloatArray:
    """Return the sorted columns of the table that lends its distributions, those that vary."""
    table = np.asarray(load_tcga_colorectal().X if marginals is None else marginals, dtype=np.float64)
    if table.ndim != 2 or len(table) < 2 or not np.isfinite(table).all():
        raise InputError("planted_table: marginals must be a finite table of two samples or more.")
    ordered = np.sort(table, axis=0)
    varying = ordered[:, ordered[0] < ordered[-1]]
    if varying.shape[1] == 0:
        raise InputError("planted_table: no column of marginals varies.")
    return varying


def _with_marginals(values: FloatArray, lenders: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Give the k-th smallest value of each gene the k-th quantile of a lender, linear between order statistics."""
    n, (n_lent, n_lenders) = len(values), lenders.shape
    place = np.clip((np.arange(n) + 0.5) / n * n_lent - 0.5, 0, n_lent - 1)
    below = np.minimum(place.astype(np.intp), n_lent - 2)
    part = (place - below)[:, None]
    chosen = rng.integers(0, n_lenders, values.shape[1])
    quantiles = lenders[below][:, chosen] * (1 - part) + lenders[below + 1][:, chosen] * part
    ranks = np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0, kind="stable")
    return np.take_along_axis(quantiles, ranks, axis=0)


def _description(effect: float, truth: str) -> str:
    if effect == 0:
        return "Simulated expression with real marginals, in which no gene has to do with the classes."
    return (
        f"Simulated expression with real marginals and effect {effect:g}: 40 genes tell five types, each by itself; 20 "
        f"genes tell a bit, only as the product of two groups; {_PLACES[truth]}."
    )


def _correlated_module(scaled: FloatArray, genes: int, rng: np.random.Generator) -> IntArray:
    """Draw one column, and return it with those most positively correlated; a missing value counts as the mean."""
    centred = np.nan_to_num(scaled - np.nanmean(scaled, axis=0), nan=0.0)
    seed = int(rng.integers(centred.shape[1]))
    correlation = centred.T @ centred[:, seed]
    correlation[seed] = np.inf
    return np.argsort(-correlation, kind="stable")[:genes]
