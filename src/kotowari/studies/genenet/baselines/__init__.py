"""What a user would take instead: networks from correlations, from one fit for all, or from splines."""

from kotowari.studies.genenet.baselines.global_net import global_elastic_net
from kotowari.studies.genenet.baselines.kernel_correlation import kernel_correlation
from kotowari.studies.genenet.baselines.lioness import lioness
from kotowari.studies.genenet.baselines.modulator_spline import ModulatorSpline
from kotowari.studies.genenet.baselines.splines import spline_interaction_lasso
from kotowari.studies.genenet.baselines.ssn import ssn, ssn_p

__all__ = [
    "ModulatorSpline",
    "global_elastic_net",
    "kernel_correlation",
    "lioness",
    "spline_interaction_lasso",
    "ssn",
    "ssn_p",
]
