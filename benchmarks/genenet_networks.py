"""Planted networks that vary along a modulator: ours beside comparators, and beside other packages where they are."""

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from harness import Figures, NotMeasured, peers
from kotowari.studies.genenet.baselines import (
    global_elastic_net,
    kernel_correlation,
    lioness,
    spline_interaction_lasso,
    ssn,
)
from kotowari.studies.genenet.edge_scoring import EdgeScores, edge_scores
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.model.stack.stack import NetworkStack
from kotowari.studies.genenet.phantom import NetworkPhantom, simulate_networks
from seeds import mean_with_interval

__all__ = ["planted_networks", "run_peers"]


def planted_networks(quick: bool) -> Figures:
    """Measure ``planted_edge_auroc``: edges found in four bins of the modulator, ours with its defaults.

    Five phantoms of 400 samples, 62 regulators and 20 targets; intervals over phantoms by Student's t.
    """
    n_seeds = 1 if quick else 5
    methods: dict[str, Callable[[NetworkPhantom], NetworkStack]] = {
        "": _profiled,
        "global_elastic_net": lambda p: global_elastic_net(p.X, p.regulators, p.targets, modulator=p.modulator),
        "lioness": lambda p: lioness(p.X, p.regulators, p.targets, modulator=p.modulator),
        "ssn": _against_half,
        "kernel_correlation": lambda p: kernel_correlation(p.X, p.modulator, p.regulators, p.targets),
        "spline_lasso": lambda p: spline_interaction_lasso(p.X, p.modulator, p.regulators, p.targets),
    }
    phantoms = [_phantom(seed, quick=quick) for seed in range(n_seeds)]
    figures: Figures = {}
    for name, method in methods.items():
        begin = time.process_time()
        scores = [_scored(method(phantom), phantom) for phantom in phantoms]
        figures |= _summary(name, scores)
        figures[f"planted_edge_{name or 'ours'}_cpu_s"] = (time.process_time() - begin) / n_seeds
    return figures | {"planted_edge_seeds": n_seeds, "planted_edge_chance_ap": scores[0].prevalence}


def run_peers(quick: bool) -> Figures:
    """Run the peers' script, and contextualized-ml on one planted phantom where it is installed.

    R's mgm (``tvmgm``) is on CRAN alone; where R finds it, nothing here runs it yet, and the notes say so.
    """
    figures: Figures = {}
    try:
        figures |= peers("genenet", quick=quick, rounds=1 if quick else 3)
    except NotMeasured as reason:
        figures["peers"] = str(reason)
    figures |= _contextualized(quick=quick)
    return figures


def _phantom(seed: int, *, quick: bool) -> NetworkPhantom:
    sizes: dict[str, int] = {"n_samples": 100, "n_regulators": 20, "n_targets": 4, "n_active": 2} if quick else {}
    return simulate_networks(**sizes, random_state=seed)


def _profiled(phantom: NetworkPhantom) -> NetworkStack:
    profiler = NetworkProfiler().fit(
        phantom.X, phantom.modulator, regulators=phantom.regulators, targets=phantom.targets
    )
    return profiler.networks()


def _against_half(phantom: NetworkPhantom) -> NetworkStack:
    """SSN needs a reference: every second sample along the modulator; the others get networks."""
    order = np.argsort(phantom.modulator, kind="stable")
    mine = np.sort(order[1::2])
    reference = phantom.X.iloc[np.sort(order[::2])]
    own, axis = phantom.X.iloc[mine], phantom.modulator[mine]
    return ssn(own, phantom.regulators, phantom.targets, reference=reference, modulator=axis)


def _scored(stack: NetworkStack, phantom: NetworkPhantom) -> EdgeScores:
    """Score a stack on its own samples."""
    truth = phantom.truth if stack.samples == phantom.truth.samples else phantom.truth.select(samples=stack.samples)
    return edge_scores(stack, truth, X=phantom.X)


def _summary(name: str, scores: list[EdgeScores]) -> Figures:
    suffix = f"_{name}" if name else ""
    figures = mean_with_interval(f"planted_edge_auroc{suffix}", np.array([score.auroc for score in scores]))
    figures |= mean_with_interval(f"planted_edge_ap{suffix}", np.array([score.average_precision for score in scores]))
    figures[f"planted_edge_auroc{suffix}_lowest"] = min(score.auroc for score in scores)
    figures[f"planted_edge_rmse{suffix}"] = float(np.mean([score.rmse for score in scores]))
    figures[f"planted_edge_rec_correlation{suffix}"] = float(np.mean([score.rec_correlation for score in scores]))
    return figures


# ------------------------------------------------------------------------------------------------------ other packages


def _contextualized(*, quick: bool) -> Figures:
    """Regress the targets on the regulators with coefficients that a network makes from the modulator.

    Its authors' defaults but for the batch (32 in place of 1) and a limit of epochs; of three penalties the one that
    finds the planted edges best is taken, which flatters it.
    """
    if find_spec("contextualized") is None:
        return {"not_measured_contextualized": "contextualized-ml is not installed."}
    phantom = _phantom(0, quick=quick)
    found = {penalty: _contextualized_scores(phantom, penalty, quick=quick) for penalty in (0.0, 1e-3, 1e-2)}
    best = max(found, key=lambda penalty: found[penalty][0].auroc)
    scores, seconds = found[best]
    mine = _scored(_profiled(phantom), phantom)
    return {
        "peers_contextualized_auroc": scores.auroc,
        "peers_contextualized_ap": scores.average_precision,
        "peers_contextualized_cpu_s": seconds,
        "peers_contextualized_penalty": best,
        "peers_beside_contextualized_auroc": mine.auroc,
        "peers_beside_contextualized_ap": mine.average_precision,
    }


def _contextualized_scores(phantom: NetworkPhantom, penalty: float, *, quick: bool) -> tuple[EdgeScores, float]:
    from contextualized.easy import ContextualizedRegressor

    # the relays are regulators and targets, so each target is regressed on the true regulators and relays but itself
    X = phantom.X[list(phantom.regulators)].to_numpy()
    X = (X - X.mean(0)) / X.std(0)
    context = phantom.modulator[:, None]
    dense = np.zeros((len(X), len(phantom.regulators), len(phantom.targets)))
    begin = time.process_time()
    with _silenced():
        Y = phantom.X[list(phantom.targets)].to_numpy()
        Y = (Y - Y.mean(0)) / Y.std(0)
        model: Any = ContextualizedRegressor(alpha=penalty, l1_ratio=1.0, mu_ratio=0.5, n_bootstraps=1)
        model.fit(context, X, Y, max_epochs=3 if quick else 100, train_batch_size=32, es_patience=5, learning_rate=1e-2)
        betas = np.asarray(model.predict_params(context)[0])
    seconds = time.process_time() - begin
    dense[:] = np.swapaxes(betas.reshape(len(X), len(phantom.targets), len(phantom.regulators)), 1, 2)
    own = np.array(phantom.regulators, dtype=object)[:, None] == np.array(phantom.targets, dtype=object)
    dense[:, own] = 0.0
    sample, regulator, target = np.nonzero(dense)
    stack = NetworkStack.from_arrays(
        sample,
        regulator,
        target,
        dense[sample, regulator, target],
        samples=phantom.truth.samples,
        regulators=phantom.regulators,
        targets=phantom.targets,
        modulator=phantom.modulator,
    )
    return _scored(stack, phantom), seconds


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep the tables and checkpoints of a training to a folder that goes away."""
    for name in ("lightning.pytorch", "pytorch_lightning", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    quiet = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(stack.enter_context(TemporaryDirectory())))
        stack.enter_context(contextlib.redirect_stdout(quiet))
        stack.enter_context(contextlib.redirect_stderr(quiet))
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        yield
