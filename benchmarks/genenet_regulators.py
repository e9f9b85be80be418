"""Regulators of tumours against what is known of them, and what networks say of epithelial-mesenchymal transition.

Field data of KOTOWARI_DATA. What ranks regulators was settled before the answers were looked at: the mean absolute
regulatory effect. The other statistics stand beside it. The ranking by :func:`rank_regulators` was chosen later, on one
half of the targets, and is to be judged by the other half alone.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score

from field import tcga11
from harness import Figures, NotMeasured
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.baselines import global_elastic_net, kernel_correlation
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.model.profile.signature import SignatureScore
from kotowari.studies.genenet.model.stack.regulator_ranking import rank_regulators
from kotowari.studies.genenet.model.stack.stack import NetworkStack
from kotowari.trust.intervals import bootstrap_interval
from kotowari.trust.planted import precision_at

__all__ = ["Tumours", "tumour_regulators"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_EARLY = (5, 10, 25)
_DEFAULT_EARLY = 10
_LEAST_KNOWN = 3  # known factors of a target
_ENDLESS = 1e9  # bandwidth: all samples weigh the same
_ENET, _CORRELATION = "enet", "correlation"
_RANKED, _RANKED_EQUAL, _RANKED_ENET = "ranked", "ranked_equal", "ranked_enet"
_KEPT_ASIDE = ("", _RANKED, _RANKED_EQUAL, _RANKED_ENET, _ENET, _CORRELATION)

# CDH1 in DoRothEA (A to C), and single papers: TCF3 (Perez-Moreno 2001 J Biol Chem 276:27424), TCF4 (Sobrado 2009 J
# Cell Sci 122:1014), FOXA1, RUNX1 and SP1 (Liu 2005 Oncogene 24:8277), MYC (Batsche 1998 Mol Cell Biol 18:3647), LEF1
# (Jamora 2003 Nature 422:317), AR (Liu 2008 Mol Cell Biol 28:7096), EHF (Zhao 2017 Cancer Res 77:874)
_E_CADHERIN = "CDH1"
_BY_PAPERS = ("TCF3", "TCF4", "FOXA1", "RUNX1", "SP1", "MYC", "LEF1", "AR", "EHF")


@dataclass(frozen=True, eq=False)
class Tumours:
    """Tumours of eleven cancers, floored, and the signature of epithelial-mesenchymal transition.

    Attributes
    ----------
    X
        Expression, shape ``(sample, gene)``.
    cancer, patient
        Shape ``(sample,)``.
    up, down
        Measured mesenchymal and epithelial genes of the tumour signature.
    regulons
        DoRothEA: ``tf``, ``confidence``, ``target``; measured genes only, no gene on itself.
    factors
        Measured transcription factors.
    """

    X: pd.DataFrame
    cancer: npt.NDArray[Any]
    patient: npt.NDArray[Any]
    up: tuple[str, ...]
    down: tuple[str, ...]
    regulons: pd.DataFrame
    factors: tuple[str, ...]

    @classmethod
    def read(cls) -> "Tumours":
        """Read them, or say that they are not there."""
        if "KOTOWARI_DATA" not in os.environ:
            raise NotMeasured("no field data: KOTOWARI_DATA is not set.")
        folder = Path(os.environ["KOTOWARI_DATA"])
        X, cancer, patient = tcga11(folder)
        X = X.astype(np.float64)
        genes = set(X.columns)
        signature = pd.read_csv(folder / "omics" / "emt_signatures.csv", keep_default_na=False)
        signature = signature[(signature["signature"] == "KS_tumour") & signature["gene"].isin(genes)]
        regulons = pd.read_csv(folder / "omics" / "dorothea_abc.csv.gz")
        factors = tuple(sorted(set(regulons["tf"]) & genes))
        kept = regulons["tf"].isin(factors) & regulons["target"].isin(genes) & (regulons["tf"] != regulons["target"])
        sides = {side: tuple(sorted(set(rows["gene"]))) for side, rows in signature.groupby("direction")}
        return cls(X, cancer, patient, sides["mesenchymal"], sides["epithelial"], regulons[kept], factors)

    def without_cancer(self) -> pd.DataFrame:
        """Return the expression less the mean of its kind of cancer, gene by gene."""
        return self.X - self.X.groupby(self.cancer).transform("mean")


def tumour_regulators(quick: bool) -> Figures:
    """Measure ``regulator_early_precision`` beside the elastic net, and ``ecadherin_known_top25``.

    Networks of 391 tumours, the cancer's mean removed from every gene, along the first component of the signature
    without the genes that are targets or factors; 158 factors; all targets with three or more known factors of
    confidence A or B. Precision is that of the ten first factors of a target, mean over targets; intervals are
    bootstraps over targets. The null keeps how many targets a factor has and how many factors a target has, and
    shuffles who has whom.

    ``ranked`` is :func:`rank_regulators` on networks of a large quadratic part, ``ranked_equal`` the same with equal
    weights for all samples, ``ranked_enet`` the ranking of the elastic net's coefficients. Its options were chosen on
    half of the targets; keys with ``aside`` are of the other half, which was looked at once, and lack E-cadherin.
    """
    tumours = Tumours.read()
    X = tumours.without_cancer()
    sure = tumours.regulons[tumours.regulons["confidence"].isin(["A", "B"])]
    n_known = sure.groupby("target")["tf"].nunique()
    targets = sorted(n_known.index[n_known >= _LEAST_KNOWN])
    if quick:
        targets = sorted({*targets[:8], _E_CADHERIN})
    known = pd.crosstab(sure["target"], sure["tf"]).reindex(index=targets, columns=tumours.factors, fill_value=0) > 0
    named = {*targets, *tumours.factors}  # the modulator is not computed from what it is to order
    up, down = ([gene for gene in side if gene not in named] for side in (tumours.up, tumours.down))
    axis = SignatureScore(up, down).fit(X).transform(X)[:, 0]
    rankings = _rankings(X, axis, tumours.factors, targets, quick=quick)
    own = np.array(targets, dtype=object)[:, None] == np.array(tumours.factors, dtype=object)
    figures = _against_known(rankings, known.to_numpy(), own, quick=quick)
    figures |= _kept_aside(rankings, known.to_numpy(), own, _is_kept_aside(targets), quick=quick)
    figures |= _e_cadherin(rankings, tumours, targets)
    return figures | {"regulator_targets": len(targets), "regulator_factors": len(tumours.factors)}


def _rankings(
    X: pd.DataFrame, axis: Floats, factors: tuple[str, ...], targets: list[str], *, quick: bool
) -> dict[str, Floats]:
    """Return scores ``(target, factor)``: ours first, then its other statistics and the comparators."""
    nodes = 6 if quick else None
    profiler = NetworkProfiler(n_nodes=nodes).fit(X, axis, regulators=factors, targets=targets)
    stack = profiler.networks()
    effect = stack.regulatory_effect(X)
    standard = X[list(factors)].to_numpy()
    standard = (standard - standard.mean(0)) / standard.std(0)
    responses = X[targets].to_numpy()
    responses = (responses - responses.mean(0)) / responses.std(0)
    plain = global_elastic_net(X, factors, targets)
    options: Any = {"kernel": "knn", "effective_samples": 0.5, "max_rounds": 1, "n_nodes": nodes or 48}
    as_study = NetworkProfiler(**options).fit(X, axis, regulators=factors, targets=targets).networks()
    deviation = X[list(factors)].std().to_numpy()
    grouped: Any = {"ridges": (16.0,), "max_rounds": 1, "n_nodes": 6 if quick else 12}
    genes: Any = {"regulators": factors, "targets": targets}
    networks = NetworkProfiler(kernel="knn", effective_samples=0.25, **grouped).fit(X, axis, **genes).networks()
    one = NetworkProfiler(bandwidth=_ENDLESS, **grouped).fit(X, axis, **genes).networks()
    return {
        "": _mean_absolute(effect),
        "study_options": _mean_absolute(as_study.regulatory_effect(X)),
        "direct": _mean_absolute(stack.regulatory_effect(X, 1)),
        "change": _changes(effect, "percentile"),
        "range": _changes(effect, "range"),
        "coefficient": _mean_absolute(stack) * deviation,
        "selection": _selection(X, axis, factors, targets, n_pairs=1 if quick else 3),
        _RANKED: _ranked(networks, X),
        _RANKED_EQUAL: _ranked(one, X),
        _RANKED_ENET: _ranked(plain, X),
        _ENET: _mean_absolute(plain) * deviation,
        _CORRELATION: np.abs(responses.T @ standard) / len(X),
        "kernel_correlation": _mean_absolute(kernel_correlation(X, axis, factors, targets)),
    }


def _mean_absolute(stack: NetworkStack) -> Floats:
    """Return the mean absolute value over samples, shape ``(target, regulator)``."""
    mean = np.zeros((len(stack.targets), len(stack.regulators)))
    total = np.bincount(stack.entry_edge, np.abs(stack.entry_value), stack.n_edges)
    mean[stack.edge_target, stack.edge_regulator] = total / len(stack.samples)
    return mean


def _ranked(stack: NetworkStack, X: pd.DataFrame) -> Floats:
    table = rank_regulators(stack, X)
    scores = table.pivot_table(index="target", columns="regulator", values="score")
    return scores.reindex(index=stack.targets, columns=stack.regulators).fillna(0.0).to_numpy()


def _changes(effect: NetworkStack, kind: Any) -> Floats:
    table = effect.change_along_modulator(kind)
    place = {name: {gene: k for k, gene in enumerate(getattr(effect, name))} for name in ("targets", "regulators")}
    change = np.zeros((len(effect.targets), len(effect.regulators)))
    change[table["target"].map(place["targets"]), table["regulator"].map(place["regulators"])] = table["change"]
    return change


def _selection(X: pd.DataFrame, axis: Floats, factors: tuple[str, ...], targets: list[str], *, n_pairs: int) -> Floats:
    """Return how often an edge is chosen, over complementary halves and 24 nodes of the modulator."""
    total = np.zeros((len(targets), len(factors)))
    for pair in range(n_pairs):
        order = np.random.default_rng(derive_seed(0, "halves", pair)).permutation(len(X))
        for half in np.array_split(order, 2):
            rows = np.sort(half)
            profiler = NetworkProfiler(n_nodes=24).fit(X.iloc[rows], axis[rows], regulators=factors, targets=targets)
            stack = profiler.networks()
            count = np.bincount(stack.entry_edge, minlength=stack.n_edges) / len(rows)
            total[stack.edge_target, stack.edge_regulator] += count / (2 * n_pairs)
    return total


def _against_known(rankings: dict[str, Floats], known: Bools, own: Bools, *, quick: bool) -> Figures:
    figures: Figures = {}
    early = {name: _precisions(score, known, own, _DEFAULT_EARLY) for name, score in rankings.items()}
    for name, values in early.items():
        suffix = f"_{name}" if name else ""
        figures |= _interval(f"regulator_early_precision{suffix}", values, quick=quick)
        for k in _EARLY:
            precision = _precisions(rankings[name], known, own, k).mean()
            figures[f"regulator_precision_at_{k}{suffix}"] = float(precision)
        figures[f"regulator_ap_ratio{suffix}"] = _precision_ratio(rankings[name], known, own)
    for other in (_ENET, _CORRELATION, "kernel_correlation"):
        figures |= _interval(f"regulator_early_precision_less_{other}", early[""] - early[other], quick=quick)
    figures["regulator_early_precision_chance"] = float((known.sum(1) / (~own).sum(1)).mean())
    judged = {name: rankings[name] for name in ("", _RANKED, _ENET, _CORRELATION)}
    return figures | _degree_null(judged, known, own, n_draws=20 if quick else 999)


def _is_kept_aside(targets: list[str]) -> Bools:
    """Tell which targets had no part in choosing the ranking; E-cadherin, the example, is of neither half."""
    odd = [int(hashlib.sha256(gene.encode()).hexdigest(), 16) % 2 == 1 and gene != _E_CADHERIN for gene in targets]
    return np.array(odd)


def _kept_aside(rankings: dict[str, Floats], known: Bools, own: Bools, aside: Bools, *, quick: bool) -> Figures:
    """Hold the chosen ranking against the others on the targets that had no part in the choice."""
    known, own = known[aside], own[aside]
    scores = {name: rankings[name][aside] for name in _KEPT_ASIDE}
    early = {name: _precisions(score, known, own, _DEFAULT_EARLY) for name, score in scores.items()}
    figures: Figures = {"regulator_aside_targets": int(aside.sum())}
    for name, values in early.items():
        figures |= _interval(f"regulator_aside_precision{f'_{name}' if name else ''}", values, quick=quick)
        if name != _RANKED:
            key = f"regulator_aside_precision_{_RANKED}_less_{name or 'effect'}"
            figures |= _interval(key, early[_RANKED] - values, quick=quick)
    null = _degree_null({_RANKED: scores[_RANKED]}, known, own, n_draws=20 if quick else 999)
    return figures | {key.replace("regulator_", "regulator_aside_", 1): value for key, value in null.items()}


def _precisions(score: Floats, known: Bools, own: Bools, k: int) -> Floats:
    """Return the share of known factors among the k first of every target; ties count by their mean."""
    rows = zip(score, known, ~own, strict=True)
    return np.array([precision_at(k, values[kept], truth[kept]) for values, truth, kept in rows])


def _precision_ratio(score: Floats, known: Bools, own: Bools) -> float:
    """Return average precision over its chance level, mean over targets."""
    rows = zip(score, known, ~own, strict=True)
    ratios = [average_precision_score(truth[kept], values[kept]) / truth[kept].mean() for values, truth, kept in rows]
    return float(np.mean(ratios))


def _interval(key: str, values: Floats, *, quick: bool) -> Figures:
    found = bootstrap_interval(np.mean, values, n_draws=100 if quick else 2000, random_state=0)
    return {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}


def _degree_null(rankings: dict[str, Floats], known: Bools, own: Bools, *, n_draws: int) -> Figures:
    """Shuffle the known edges with all degrees kept, and score the same rankings against them."""
    shares = {
        name: np.array([_early_shares(values, kept) for values, kept in zip(score, ~own, strict=True)])
        for name, score in rankings.items()
    }
    draws: dict[str, list[float]] = {name: [] for name in shares}
    for table in _shuffled_tables(known, own, n_draws):
        for name, share in shares.items():
            draws[name].append(float((share * table).sum(1).mean()))
    figures: Figures = {}
    for name, share in shares.items():
        suffix, chance = f"_{name}" if name else "", np.array(draws[name])
        reached = int((chance >= (share * known).sum(1).mean()).sum())
        figures |= {
            f"regulator_null_mean{suffix}": float(chance.mean()),
            f"regulator_null_high{suffix}": float(np.quantile(chance, 0.95)),
            f"regulator_null_p{suffix}": (1 + reached) / (1 + n_draws),
        }
    return figures


def _early_shares(values: Floats, kept: Bools) -> Floats:
    """Return what a known factor adds to the precision: 1/k among the k first, less where tied at the border."""
    allowed = np.where(kept, values, -np.inf)
    border = np.partition(allowed, -_DEFAULT_EARLY)[-_DEFAULT_EARLY]
    above, tied = allowed > border, allowed == border
    share: Floats = above + tied * (_DEFAULT_EARLY - above.sum()) / tied.sum()
    return share / _DEFAULT_EARLY


def _shuffled_tables(known: Bools, own: Bools, n_draws: int) -> Any:
    """Yield tables of the same row and column sums: two edges change their factors, again and again."""
    rng, table = np.random.default_rng(0), known.copy()
    rows, columns = (place.copy() for place in np.nonzero(known))
    n_swaps = 10 * len(rows)  # of the first table, which must forget the truth; later ones follow from the one before
    for _ in range(n_draws):
        for a, b in rng.integers(len(rows), size=(n_swaps, 2)):
            ra, rb, ca, cb = rows[a], rows[b], columns[a], columns[b]
            if table[ra, cb] or table[rb, ca] or own[ra, cb] or own[rb, ca]:
                continue
            table[ra, ca] = table[rb, cb] = False
            table[ra, cb] = table[rb, ca] = True
            columns[a], columns[b] = cb, ca
        n_swaps = 3 * len(rows)
        yield table


def _e_cadherin(rankings: dict[str, Floats], tumours: Tumours, targets: list[str]) -> Figures:
    listed = set(tumours.regulons.loc[tumours.regulons["target"] == _E_CADHERIN, "tf"]) | set(_BY_PAPERS)
    factors = np.array(tumours.factors, dtype=object)
    known = np.isin(factors, list(listed))
    row = targets.index(_E_CADHERIN)
    figures: Figures = {"ecadherin_known": int(known.sum())}
    figures["ecadherin_expected_top25"] = 25 * float(known.sum()) / (len(factors) - (_E_CADHERIN in factors))
    for name, score in rankings.items():
        figures[f"ecadherin_known_top25{f'_{name}' if name else ''}"] = 25 * precision_at(25, score[row], known)
    order = np.argsort(-rankings[""][row], kind="stable")[:25]
    figures["ecadherin_top25"] = " ".join(f"{factors[k]}{'*' if known[k] else ''}" for k in order)
    return figures
