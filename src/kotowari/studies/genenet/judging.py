"""The tests of a run: networks against one network, predictions against the modulator alone, edges against chance."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import DesignError
from kotowari.core.evidence import Check, Evidence, Verdict
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Progress
from kotowari.studies.genenet.chance import coefficients_against_constant, may_permute_genes
from kotowari.studies.genenet.edge_implant import EdgeImplant, PlantedEdges
from kotowari.studies.genenet.fitting import contributions_of, effect_changes
from kotowari.studies.genenet.guard import PredictionVerdict
from kotowari.studies.genenet.job import OURS, SUBSPACE, GenenetJob
from kotowari.studies.genenet.model.trip.knock_out import knock_out
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.studies.genenet.preparation import columns_of
from kotowari.studies.genenet.reasons import CONTRIBUTIONS, EDGES, half_samples
from kotowari.training.devices import one_thread
from kotowari.trust.comparators import paired_scores
from kotowari.trust.completeness import completeness_check
from kotowari.trust.folds import Fold
from kotowari.trust.implants import detection_limit, run_implants
from kotowari.trust.permutation import permutation_p
from kotowari.trust.stability import stability_check

__all__ = ["CHANGING", "judge", "verdict_arrays"]

CHANGING = "changing"

_LEVEL = 0.05
_FOUND_SHARE = 0.5  # of the planted edges among the selected ones
_RANDOM_SETS = 99
_STABLE = 0.75
_MOST_DRAWN = 2_000_000  # possible edges on the curve of stability


def judge(job: GenenetJob, progress: Progress) -> None:
    """Run every test, and write the evidence with its verdicts."""
    checks = [_gain_check(job), *_stability(job), _edge_chance(job), _changing(job)]
    if job.config.trust.implant_repeats:
        checks.append(_implants(job, progress))
    _edge_evidence(job, checks).save(job.path / "evidence", EDGES)
    if job.predicts:
        checks = [_guard_check(job), _chance_check(job), _subspace_check(job), _completeness(job)]
        checks.append(_knock_out(job, progress))
        _prediction_evidence(job, checks).save(job.path / "evidence", CONTRIBUTIONS)


def verdict_arrays(verdict: PredictionVerdict, model: str) -> Arrays:
    """Return the verdict on one model as arrays: whether it predicts, the sentence, and the bound it rests on."""
    return {
        "predicts": np.array(verdict.predicts[model]),
        "sentence": np.array(verdict.sentences[model]),
        "lowest": np.array(verdict.lowest[model]),
        "metric": np.array(verdict.metric),
        "beyond": np.array(verdict.beyond[model]),
    }


def _gain_check(job: GenenetJob) -> Check:
    value, low, high = (float(end) for end in job.kept("targets")["gain"])
    words = "better than" if low > 0 else "not measurably better than"
    return Check.at_least(
        "one network for all",
        low,
        0.0,
        f"Networks along the modulator foretell the held-out expression of the targets {words} one network for all "
        f"samples: R2 {value:+.3f} (95 % interval {low:+.3f} to {high:+.3f}). Their intercepts follow the modulator "
        "too, so this alone does not show that coefficients change.",
    )


def _stability(job: GenenetJob) -> list[Check]:
    halves = half_samples(job, Progress(shown=False))
    if halves is None:
        return [Check.not_applicable("stability", "No half samples were asked for, so stability is not known.")]
    stability = halves.stability()
    bounds = halves.false_selections(_STABLE)
    if halves.n_possible <= _MOST_DRAWN:
        never = np.zeros(halves.n_possible - len(halves.frequency))
        frequency = np.concatenate([halves.frequency, never])
        job.keep("halves", {"frequency": frequency, "n_selections": np.array(2 * halves.n_pairs)})
    job.keep("stability", {"stability": np.array([stability.index, stability.low, stability.high])})
    bound = Check(
        "false selections",
        bounds.worst_case,
        None,
        Verdict.NOT_APPLICABLE,
        f"Selected: {halves.rule}. {bounds.sentence('edges')}",
    )
    return [stability_check(stability), bound]


def _edge_chance(job: GenenetJob) -> Check:
    if not may_permute_genes(job):
        reason = (
            "No networks of permuted genes were asked for"
            if job.config.trust.n_edge_permutations == 0
            else "Owners have several samples, which are not exchangeable gene by gene"
        )
        return Check.not_applicable("edges against chance", f"{reason}, so chance is not known for edges.")
    table = pd.read_csv(job.path / "tables" / "edges.csv")
    smallest = float(table["p"].min()) if len(table) else np.nan
    n_found = int((table["p"] <= _LEVEL).sum())
    words = {0: "No effect varies", 1: "1 effect varies"}.get(n_found, f"{n_found} effects vary")
    return Check.at_most(
        "edges against chance",
        smallest,
        _LEVEL,
        f"{words} over the samples more than any edge of permuted genes does (family-wise p <= {_LEVEL}; smallest "
        f"p = {smallest:.2g} from {job.config.trust.n_edge_permutations} refits at most).",
    )


def _changing(job: GenenetJob) -> Check:
    """Hold the largest change of a coefficient against networks in which none changes."""
    name = "coefficients that change"
    found = coefficients_against_constant(job, Progress(shown=False))
    if isinstance(found, str):
        return Check.not_applicable(name, found)
    smallest = float(found.p.min(initial=1.0))
    n_found = int((found.p <= _LEVEL).sum())
    words = {0: "No coefficient changes", 1: "1 coefficient changes"}.get(n_found, f"{n_found} coefficients change")
    verdict = (
        f"{words} along {job.modulator_name} more than any does where all are constant (family-wise p <= {_LEVEL}; "
        f"smallest p = {smallest:.2g})."
    )
    job.keep(CHANGING, {"verdict": np.array(verdict)})
    return Check.at_most(name, smallest, _LEVEL, f"{verdict} {found.sentence()}")


def _guard_check(job: GenenetJob) -> Check:
    kept = job.kept("verdict")
    lowest = float(kept["lowest"])
    return Check(
        "circularity",
        lowest if np.isfinite(lowest) else None,
        0.0,
        Verdict.PASS if bool(kept["predicts"]) else Verdict.FAIL,
        str(kept["sentence"]),
    )


def _chance_check(job: GenenetJob) -> Check:
    (row,) = (row for row in job.folder.metrics() if row.role == "ours" and _is_main(job, row.target, row.metric))
    if row.p is None or row.value is None:
        return Check.not_applicable("chance", "No refits on permuted responses were asked for; chance is not known.")
    words = "better than" if row.p <= _LEVEL else "not distinguishable from"
    sentence = (
        f"The {row.metric} of {row.value:.3f} is {words} {row.n_null} full refits on permuted responses "
        f"(p = {row.p:.2g})."
    )
    return Check.at_most("chance", row.p, _LEVEL, sentence)


def _is_main(job: GenenetJob, target: str, metric: str) -> bool:
    return target == job.response_name and metric == job.main_metric


def _subspace_check(job: GenenetJob) -> Check:
    """Hold the trained directions against those that saw no response."""
    parts = job.parts("subspace")
    gain = paired_scores(
        job.y,
        job.out_of_fold(job.fit_parts(), job.first_folds),
        job.out_of_fold(parts, job.first_folds),
        metric=job.main_metric,
        groups=job.samples.groups,
        random_state=job.seed("subspace check"),
    )
    words = "helps" if gain.low > 0 else "does not measurably help"
    return Check.at_least(
        "untrained directions",
        gain.low,
        0.0,
        f"Learning the directions from the response {words}: {job.main_metric} {gain.value:+.3f} over the same head on "
        f"directions of largest variance (95 % interval {gain.low:+.3f} to {gain.high:+.3f}).",
    )


def _completeness(job: GenenetJob) -> Check:
    return completeness_check(job.kept(CONTRIBUTIONS)["gap"])


def _knock_out(job: GenenetJob, progress: Progress) -> Check:
    trust = job.config.trust
    jobs = {
        f"fold-{k}": (job.trip(k), job.effects(k), job.y, fold, job.samples.groups, (trust.n_top, job.seed("knock", k)))
        for k, fold in enumerate(job.first_folds)
    }
    parts = job.run(progress, "Edges taken away", "knock-out", knock_out_fold, jobs)
    found = [part for part in parts.values() if part["random"].size]
    if len(found) < len(parts):
        return Check.not_applicable(
            "knock-out",
            f"The {trust.n_top} strongest edges hold more than half of all variation, so no other edges of equal norm "
            "are there to compare with. Lower trust.n_top.",
        )
    drop = float(np.mean([part["drop"] for part in found]))
    random = np.mean([part["random"] for part in found], axis=0)
    p = permutation_p(drop, random)
    job.keep("knock", {"knock_drop": np.array(drop), "knock_random": random, "knock_n": np.array(trust.n_top)})
    words = "costs more than" if p <= _LEVEL else "costs no more than"
    return Check.at_most(
        "knock-out",
        p,
        _LEVEL,
        f"Taking the {trust.n_top} strongest edges from held-out samples {words} taking random edges of equal norm: "
        f"score {-drop:+.3f} against {-float(random.mean()):+.3f} (p = {p:.2g}).",
    )


def knock_out_fold(
    estimator: Any,
    effects: SparseNetworks,
    y: npt.NDArray[Any],
    fold: Fold,
    groups: npt.NDArray[Any],
    draws: tuple[int, int],
) -> Arrays:
    """Fit on the training rows, rank edges there, and take the first ones from the rows kept aside.

    ``draws``: how many edges are taken, and the seed of the random ones.
    """
    n_top, seed = draws
    with one_thread():
        estimator.fit(effects[fold.train], y[fold.train], groups=groups[fold.train])
        importance = contributions_of(estimator, effects[fold.train])["importance"]
        if len(importance) < 2:  # no other edge to compare with
            return {"drop": np.array(np.nan), "random": np.empty(0)}
        try:
            found = knock_out(
                estimator,
                effects[fold.test],
                y[fold.test],
                importance,
                n_edges=min(n_top, len(importance) // 2),
                n_random=_RANDOM_SETS,
                random_state=seed,
            )
        except DesignError:  # no other edges have an equal norm
            return {"drop": np.array(np.nan), "random": np.empty(0)}
    return {"drop": np.array(found.drop), "random": found.random_drops}


def _implants(job: GenenetJob, progress: Progress) -> Check:
    """Plant graded edges into the table and see which are found."""
    trust = job.config.trust
    n_edges = min(trust.implant_edges, len(_plantable(job)) // 2)
    if not n_edges:
        return Check.not_applicable("detection limit", "One target is too few to plant an edge beside others.")
    plant = EdgeImplant(
        job.X, columns_of(job.axis)[:, 0], job.whole.regulators, _plantable(job), n_edges=n_edges, shape="switch"
    )
    with progress.bar("Edges planted into the table", len(trust.implant_strengths) * trust.implant_repeats) as advance:
        try:
            shares = run_implants(
                plant,
                FindPlanted(job),
                trust.implant_strengths,
                n_repeats=trust.implant_repeats,
                random_state=job.seed("implants"),
                shards=job.shards("implants"),
                workers=job.config.workers,
                advance=advance,
                cluster=job.cluster,
            )
        except DesignError as error:  # every regulator goes along with every target
            return Check.not_applicable("detection limit", str(error))
    limit = detection_limit(trust.implant_strengths, shares >= _FOUND_SHARE)
    job.keep("implants", limit.arrays())
    return limit.check(
        limit.sentence(
            f"these {len(job.X)} samples",
            "edges that are switched on along the modulator and move their target by {grade} sd",
        )
        + f" Found means: half of {n_edges} planted edges among the {trust.n_top} that change most.",
    )


def _plantable(job: GenenetJob) -> tuple[str, ...]:
    """Return targets that the modulator was not computed from."""
    signature = {*job.samples.signature_up, *job.samples.signature_down}
    return tuple(gene for gene in job.whole.targets if gene not in signature)


class FindPlanted:
    """Refit all networks, rank edges by their change, and see which planted ones are among the first."""

    def __init__(self, job: GenenetJob) -> None:
        self.profiler = job.fresh_profiler()
        self.axis, self.path_length = job.axis, job.config.network.path_length
        self.genes = {"regulators": job.whole.regulators, "targets": job.whole.targets}
        self.n_top = job.config.trust.n_top

    def __call__(self, X: pd.DataFrame, truth: PlantedEdges) -> float:
        """Return the share of the planted edges that are found."""
        stack = self.profiler.fit(X, self.axis, **self.genes).networks()
        first = effect_changes(stack, X, self.path_length).head(self.n_top)
        found = set(zip(first["regulator"], first["target"], strict=True))
        planted = list(zip(truth.regulators, truth.targets, strict=True))
        return float(np.mean([pair in found for pair in planted]))


def _edge_evidence(job: GenenetJob, checks: Iterable[Check]) -> Evidence:
    table = pd.read_csv(job.path / "tables" / "edges.csv")
    return Evidence(
        target=f"networks along {job.modulator_name}",
        parts={
            "name": _arrows(table),
            "score": table["change"].to_numpy(np.float64),
            "sign": np.sign(table["mean coefficient"].to_numpy()).astype(np.int64),
            "stability": table["frequency"].to_numpy(np.float64),
            "p": table["p"].to_numpy(np.float64),
            "q": table["q"].to_numpy(np.float64),
            "group": table["target"].to_numpy(str),
            "n_null": np.full(len(table), job.config.trust.n_edge_permutations if may_permute_genes(job) else 0),
        },
        method="change of the regulatory effect, 5th to 95th percentile of the samples, in sd of the target",
        checks=tuple(checks),
        reference="a regulator at its mean",
        derived_from=("table", job.modulator_name),
    )


def _prediction_evidence(job: GenenetJob, checks: Iterable[Check]) -> Evidence:
    kept = job.kept(CONTRIBUTIONS)
    return Evidence(
        target=job.response_name,
        parts={
            "name": _arrows(pd.DataFrame({"regulator": kept["regulator"], "target": kept["target"]})),
            "score": kept["importance"],
            "p": kept["p"],
            "q": kept["q"],
            "group": kept["target"],
            "n_null": np.full(len(kept["importance"]), job.config.trust.n_permutations),
        },
        method=f"share of each edge in the held-out predictions of {OURS}; {SUBSPACE} stands beside",
        checks=tuple(checks),
        reference="the mean network of the training samples",
        derived_from=("networks", job.modulator_name, job.response_name),
    )


def _arrows(table: pd.DataFrame) -> npt.NDArray[np.str_]:
    return np.array([f"{a} -> {b}" for a, b in zip(table["regulator"], table["target"], strict=True)], dtype=str)
