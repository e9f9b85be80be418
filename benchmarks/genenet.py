"""The figures of the genenet study beside those of its comparators and peers; README.md names every key."""

import sys
import warnings
from functools import partial

import genenet_jobs as jobs
import genenet_networks as networks
import genenet_solver as solver
import genenet_trip as trip
from genenet_changing import changing_coefficients
from genenet_defaults import option_scores
from genenet_emt import emt_prediction
from genenet_pooling import pooling_gain
from genenet_regulators import tumour_regulators
from harness import Figure, Part, run

FIGURES = (
    Figure("enet_vs_loop", "one penalty, scikit-learn's loop", at_least=100, beside="enet_vs_multitarget"),
    Figure("enet_vs_multitarget", "the same, all targets on one Gram matrix", at_least=8, beside="enet_vs_shared_gram"),
    Figure("enet_max_gap", "relative duality gap, all fits", at_most=1e-6),
    Figure("path_vs_sklearn", "30 penalties, enet_path", at_least=32, beside="path_vs_shared_gram"),
    Figure("path_vs_glmnet", "30 penalties, R's glmnet", at_least=30),
    Figure("weak_vs_loop", "weak penalty, scikit-learn's loop", at_least=23, beside="weak_vs_multitarget"),
    Figure("job2011_minutes", "the job of 2011, two cores", at_most=45, beside="job2011_nodes_minutes"),
    Figure("job2011_peak_gb", "its memory, GB", at_most=6),
    Figure("genome_hours", "13,508 targets, projected, two cores", beside="genome_workers_for_one_hour"),
    Figure("genome_gb", "its networks on disk, GB", beside="genome_peak_gb"),
    Figure("dask_speedup", "two workers against one", at_least=1.7),
    Figure("dask_kill_equal", "a worker killed midway: same bytes", at_least=1),
    Figure(
        "planted_edge_auroc", "planted varying edges", at_least=0.95, beside="planted_edge_auroc_global_elastic_net"
    ),
    Figure(
        "regulator_early_precision",
        "known among the 10 first",
        above="regulator_early_precision_enet",
        beside="regulator_early_precision_enet",
    ),
    Figure("regulator_early_precision_less_enet", "ours less the elastic net"),
    Figure(
        "regulator_aside_precision_ranked_less_enet_low",
        "ranking chosen on others, less it, low end",
        above=0.0,
        beside="regulator_aside_precision_ranked_less_ranked_equal",
    ),
    Figure("regulator_null_p", "against regulons of equal degrees", at_most=0.05, beside="regulator_null_mean"),
    Figure("ecadherin_known_top25", "E-cadherin, known among 25", at_least=7, beside="ecadherin_known_top25_enet"),
    Figure("defaults_r2_study", "held-out targets, the study's options", beside="defaults_r2_one_network"),
    Figure(
        "pooling_colorectal_gain_low", "less one network, low end", above=0.0, beside="pooling_colorectal_gain_shuffled"
    ),
    Figure("pooling_tumours_gain_low", "the same, 391 tumours", above=0.0, beside="pooling_tumours_gain_shuffled"),
    Figure("changing_rejected", "all coefficients constant: some p <= 0.05", at_most=0.09),
    Figure("changing_found", "changing coefficients found", beside="changing_found_constant"),
    Figure("emt_predicts", "the guard lets 'predicts' pass", beside="emt_r2_spline"),
    Figure("emt_r2", "transition score from networks", beside="emt_r2_genes"),
    Figure("trip_r2", "planted modules, R2", above="trip_r2_kernel_ridge", beside="trip_r2_kernel_ridge"),
    Figure("trip_r2_share", "the same, of what can be had", beside="trip_r2_hosvd"),
    Figure("trip_r2_share_low", "its lower bound", at_least=0.8, beside="trip_r2_pls_mlp"),
    Figure("trip_edge_ap", "edges that decide", at_least=0.85, beside="trip_edge_ap_ridge"),
    Figure("trip_edge_auroc", "the same", at_least=0.99),
    Figure("contribution_gap", "sum of contributions, largest relative gap", at_most=1e-4),
    Figure("null_ks_p", "p values uniform under the null", above=0.01),
)

PARTS = (
    Part("solver", ("enet_vs_loop", "enet_vs_multitarget", "enet_max_gap"), solver.fits),
    Part("paths", ("path_vs_sklearn", "path_vs_glmnet"), solver.paths),
    Part("weak", ("weak_vs_loop",), solver.weak_fits),
    Part("planted", ("planted_edge_auroc",), networks.planted_networks),
    Part("null", ("null_ks_p",), trip.null_p_values),
    Part(
        "regulators",
        ("regulator_early_precision", "regulator_early_precision_enet", "ecadherin_known_top25"),
        tumour_regulators,
    ),
    Part("emt", ("emt_r2", "emt_predicts"), emt_prediction),
    Part("defaults", ("defaults_r2_study",), option_scores),
    Part("pooling", ("pooling_colorectal_gain", "pooling_tumours_gain"), pooling_gain),
    Part("changing", ("changing_rejected", "changing_found"), changing_coefficients),
    Part("job2011", ("job2011_minutes", "job2011_peak_gb"), jobs.job_2011),
    Part("dask", ("dask_speedup", "dask_kill_equal"), jobs.many_machines),
    Part(
        "trip",
        ("trip_r2", "trip_r2_kernel_ridge", "trip_edge_ap", "trip_edge_auroc", "contribution_gap"),
        trip.planted_response,
    ),
    Part("genome", ("genome_hours", "genome_gb", "genome_workers_for_one_hour"), jobs.whole_genome),
    Part("peers", ("peers",), networks.run_peers),
)

main = partial(run, "genenet", FIGURES, PARTS, ("distributed", "celer", "skglm", "contextualized-ml"))

if __name__ == "__main__":
    # single samples at the ends of a modulator get no network; that is no news in every fold
    warnings.filterwarnings("ignore", message="NetworkProfiler: .* too few neighbours")
    warnings.filterwarnings("ignore", message="lbfgs failed to converge")  # of a comparator; 500 steps are its limit
    sys.exit(main())
