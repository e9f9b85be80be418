"""Tests of results and of their reasons: folds, comparators, chance, stability, implants, enrichment, leakage."""

from kotowari.trust.comparators import (
    OutOfFold,
    chance_rows,
    cross_validate,
    cross_validate_inputs,
    fit_predict,
    paired_scores,
    point_scores,
    score_table,
)
from kotowari.trust.completeness import completeness_check
from kotowari.trust.enrichment import over_representation
from kotowari.trust.faithfulness import FaithfulnessResult, deletion_insertion, faithfulness_check
from kotowari.trust.folds import Fold, duplicated_rows, grouped_folds, hold_out, splits_from_json, splits_to_json
from kotowari.trust.gsea import preranked_gsea
from kotowari.trust.implants import DetectionLimit, detection_limit, run_implants
from kotowari.trust.intervals import Interval, bootstrap_interval, not_inferior, paired_difference
from kotowari.trust.layout_null import layout_aware_p
from kotowari.trust.leakage import confounding_check, require_blind, require_distinct_rows, require_not_derived_from
from kotowari.trust.permutation import (
    QValues,
    SequentialP,
    benjamini_hochberg,
    max_t_p,
    permutation_p,
    permuted,
    pooled_p,
    q_values,
    sequential_p,
    smallest_p,
    smallest_p_sentence,
)
from kotowari.trust.planted import planted_scores
from kotowari.trust.randomisation import (
    Similarity,
    cascading_copies,
    randomisation_check,
    randomised_copy,
    similarity,
)
from kotowari.trust.stability import (
    Stability,
    group_level,
    jaccard_mean,
    pfer_bound,
    selection_frequency,
    selection_stability,
    stability_check,
)

__all__ = [
    "DetectionLimit",
    "FaithfulnessResult",
    "Fold",
    "Interval",
    "OutOfFold",
    "QValues",
    "SequentialP",
    "Similarity",
    "Stability",
    "benjamini_hochberg",
    "bootstrap_interval",
    "cascading_copies",
    "chance_rows",
    "completeness_check",
    "confounding_check",
    "cross_validate",
    "cross_validate_inputs",
    "deletion_insertion",
    "detection_limit",
    "duplicated_rows",
    "faithfulness_check",
    "fit_predict",
    "group_level",
    "grouped_folds",
    "hold_out",
    "jaccard_mean",
    "layout_aware_p",
    "max_t_p",
    "not_inferior",
    "over_representation",
    "paired_difference",
    "paired_scores",
    "permutation_p",
    "permuted",
    "pfer_bound",
    "planted_scores",
    "point_scores",
    "pooled_p",
    "preranked_gsea",
    "q_values",
    "randomisation_check",
    "randomised_copy",
    "require_blind",
    "require_distinct_rows",
    "require_not_derived_from",
    "run_implants",
    "score_table",
    "selection_frequency",
    "selection_stability",
    "sequential_p",
    "similarity",
    "smallest_p",
    "smallest_p_sentence",
    "splits_from_json",
    "splits_to_json",
    "stability_check",
]
