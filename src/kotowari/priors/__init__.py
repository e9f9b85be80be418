"""What is known about an unknown, as a penalty: value, proximal map, loss; and problems made of several of them."""

from kotowari.priors.affine import AffineSet
from kotowari.priors.balls import L1Ball, L2Ball, NuclearBall
from kotowari.priors.frame_shifts import find_shifts, shifted_back
from kotowari.priors.groups import GroupL2, LabelledGroupL2, SparseGroupL2, overlapping_group_l2
from kotowari.priors.indicators import Box, Indicator, NonNegative, Simplex
from kotowari.priors.infimal_sum import InfimalSum, Split
from kotowari.priors.loss_weights import Continuation, LearnedScales
from kotowari.priors.losses import LowRankSparseLoss
from kotowari.priors.low_rank_sparse import LowRankPlusSparse, background_basis, project_out
from kotowari.priors.prior import Composed, ComposedTight, Prior, ProximalPrior, Scaled, Summed, WeightedPrior
from kotowari.priors.problem import HasGradient, Problem, Solution, Term
from kotowari.priors.quadratic import L2, SquaredL2
from kotowari.priors.robust_pca import LowRankSparse, robust_pca
from kotowari.priors.run_background import RunBackground
from kotowari.priors.run_layers import PriorShares, RunLayers
from kotowari.priors.run_rows import RunRows
from kotowari.priors.space_time import estimate_noise, separate_run
from kotowari.priors.sparsity import L1, Huber, LogSum, Lp
from kotowari.priors.spectral import LogDet, Nuclear, SchattenP, WeightedNuclear
from kotowari.priors.total_variation import TotalVariation

__all__ = [
    "L1",
    "L2",
    "AffineSet",
    "Box",
    "Composed",
    "ComposedTight",
    "Continuation",
    "GroupL2",
    "HasGradient",
    "Huber",
    "Indicator",
    "InfimalSum",
    "L1Ball",
    "L2Ball",
    "LabelledGroupL2",
    "LearnedScales",
    "LogDet",
    "LogSum",
    "LowRankPlusSparse",
    "LowRankSparse",
    "LowRankSparseLoss",
    "Lp",
    "NonNegative",
    "Nuclear",
    "NuclearBall",
    "Prior",
    "PriorShares",
    "Problem",
    "ProximalPrior",
    "RunBackground",
    "RunLayers",
    "RunRows",
    "Scaled",
    "SchattenP",
    "Simplex",
    "Solution",
    "SparseGroupL2",
    "Split",
    "SquaredL2",
    "Summed",
    "Term",
    "TotalVariation",
    "WeightedNuclear",
    "WeightedPrior",
    "background_basis",
    "estimate_noise",
    "find_shifts",
    "overlapping_group_l2",
    "project_out",
    "robust_pca",
    "separate_run",
    "shifted_back",
]
