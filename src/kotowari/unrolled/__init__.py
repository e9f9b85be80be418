"""A solver's steps, and a filter's, as layers with learned parts."""

from kotowari.unrolled.assimilation import GaussianState
from kotowari.unrolled.constants import Constant
from kotowari.unrolled.denoiser import Denoiser
from kotowari.unrolled.fixed_point import FixedPoint
from kotowari.unrolled.four_d_var import FourDVar, FourDVarStep
from kotowari.unrolled.gradient_schemes import Fista, Ista
from kotowari.unrolled.guard import Drift, KnowledgeCost, KnowledgeGuard
from kotowari.unrolled.kalman import EnsembleKalmanStep, ExtendedKalmanStep, Filtered, KalmanFilter
from kotowari.unrolled.noise_levels import NoiseLevels
from kotowari.unrolled.normal_solve import solve_normal
from kotowari.unrolled.primal_dual_scheme import PrimalDual
from kotowari.unrolled.robust_pca_scheme import RobustPca
from kotowari.unrolled.scheme import LeastSquaresScheme, Scheme
from kotowari.unrolled.splitting_schemes import Admm, DouglasRachford, Hqs
from kotowari.unrolled.unrolled import Unrolled

__all__ = [
    "Admm",
    "Constant",
    "Denoiser",
    "DouglasRachford",
    "Drift",
    "EnsembleKalmanStep",
    "ExtendedKalmanStep",
    "Filtered",
    "Fista",
    "FixedPoint",
    "FourDVar",
    "FourDVarStep",
    "GaussianState",
    "Hqs",
    "Ista",
    "KalmanFilter",
    "KnowledgeCost",
    "KnowledgeGuard",
    "LeastSquaresScheme",
    "NoiseLevels",
    "PrimalDual",
    "RobustPca",
    "Scheme",
    "Unrolled",
    "solve_normal",
]
