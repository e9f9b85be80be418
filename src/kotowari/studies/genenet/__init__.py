"""A gene network for every sample along a modulator, and the edges that decide; tested for circular reasoning.

Three lines do what the command line does:

>>> from kotowari.studies import genenet  # doctest: +SKIP
>>> folder = genenet.run(genenet.Config.demo())  # doctest: +SKIP
>>> genenet.apply(folder, "new_samples.csv", out="networks")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from kotowari.core.face import StudyPackage

if TYPE_CHECKING:
    from kotowari.studies.genenet.adjustment import CovariateAdjustment
    from kotowari.studies.genenet.changing_coefficients import VaryingEdges, varying_edges
    from kotowari.studies.genenet.config import Config
    from kotowari.studies.genenet.edge_implant import EdgeImplant
    from kotowari.studies.genenet.edge_scoring import EdgeScores, edge_scores
    from kotowari.studies.genenet.gene_permutation import EdgePermutation, edge_permutation
    from kotowari.studies.genenet.guard import PredictionVerdict, judge_prediction, permute_within_bins
    from kotowari.studies.genenet.model.edges.bootstrap import EdgeIntervals, bootstrap_edges
    from kotowari.studies.genenet.model.edges.selection_frequency import SelectionFrequency, selection_frequency
    from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
    from kotowari.studies.genenet.model.profile.signature import SignatureScore
    from kotowari.studies.genenet.model.stack.regulator_ranking import rank_regulators
    from kotowari.studies.genenet.model.stack.stack import NetworkStack
    from kotowari.studies.genenet.model.trip.contributions import EdgeContributions
    from kotowari.studies.genenet.model.trip.knock_out import KnockOut, knock_out
    from kotowari.studies.genenet.model.trip.permutation import EdgeNull, permutation_p_values
    from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
    from kotowari.studies.genenet.model.trip.trip import (
        TensorReconstructionClassifier,
        TensorReconstructionCox,
        TensorReconstructionRegressor,
    )
    from kotowari.studies.genenet.phantom import NetworkPhantom, simulate_networks
    from kotowari.studies.genenet.phantom_modules import ModulePhantom, planted_modules

NAME = "genenet"
SUMMARY = "a gene network for every sample along a modulator; the edges that change and that predict"

_HOMES = {
    "Config": "config",
    "CovariateAdjustment": "adjustment",
    "EdgeContributions": "model.trip.contributions",
    "EdgeImplant": "edge_implant",
    "EdgeIntervals": "model.edges.bootstrap",
    "EdgeNull": "model.trip.permutation",
    "EdgePermutation": "gene_permutation",
    "EdgeScores": "edge_scoring",
    "KnockOut": "model.trip.knock_out",
    "ModulePhantom": "phantom_modules",
    "NetworkPhantom": "phantom",
    "NetworkProfiler": "model.profile.profiler",
    "NetworkStack": "model.stack.stack",
    "PredictionVerdict": "guard",
    "SelectionFrequency": "model.edges.selection_frequency",
    "SignatureScore": "model.profile.signature",
    "SparseNetworks": "model.trip.sparse_networks",
    "TensorReconstructionClassifier": "model.trip.trip",
    "TensorReconstructionCox": "model.trip.trip",
    "TensorReconstructionRegressor": "model.trip.trip",
    "VaryingEdges": "changing_coefficients",
    "bootstrap_edges": "model.edges.bootstrap",
    "edge_permutation": "gene_permutation",
    "edge_scores": "edge_scoring",
    "judge_prediction": "guard",
    "knock_out": "model.trip.knock_out",
    "permutation_p_values": "model.trip.permutation",
    "permute_within_bins": "guard",
    "planted_modules": "phantom_modules",
    "rank_regulators": "model.stack.regulator_ranking",
    "selection_frequency": "model.edges.selection_frequency",
    "simulate_networks": "phantom",
    "varying_edges": "changing_coefficients",
}
__all__ = [
    "NAME",
    "SUMMARY",
    "Config",
    "CovariateAdjustment",
    "EdgeContributions",
    "EdgeImplant",
    "EdgeIntervals",
    "EdgeNull",
    "EdgePermutation",
    "EdgeScores",
    "KnockOut",
    "ModulePhantom",
    "NetworkPhantom",
    "NetworkProfiler",
    "NetworkStack",
    "PredictionVerdict",
    "SelectionFrequency",
    "SignatureScore",
    "SparseNetworks",
    "TensorReconstructionClassifier",
    "TensorReconstructionCox",
    "TensorReconstructionRegressor",
    "VaryingEdges",
    "apply",
    "bootstrap_edges",
    "demo",
    "edge_permutation",
    "edge_scores",
    "judge_prediction",
    "knock_out",
    "open_job",
    "permutation_p_values",
    "permute_within_bins",
    "planted_modules",
    "rank_regulators",
    "run",
    "selection_frequency",
    "simulate_networks",
    "stages",
    "varying_edges",
]

_PACKAGE = StudyPackage(__name__, _HOMES)
run, demo, apply = _PACKAGE.run, _PACKAGE.demo, _PACKAGE.apply
stages, open_job = _PACKAGE.stages, _PACKAGE.open_job
__getattr__ = _PACKAGE.load  # lazy: `kotowari init` must not wait for torch


def __dir__() -> list[str]:
    return __all__
