"""What a user would take instead of images: comparators, their reasons, and the study's matched trivial null."""

from kotowari.studies.omics.baselines.models import SettledLogistic, boosting_library, comparators
from kotowari.studies.omics.baselines.perceptron import PerceptronClassifier, PerceptronRegressor
from kotowari.studies.omics.baselines.pixels import permuted_pixels, published_rule_selection
from kotowari.studies.omics.baselines.scores import mlp_integrated_gradients, tree_shap_scores, univariate_scores

__all__ = [
    "PerceptronClassifier",
    "PerceptronRegressor",
    "SettledLogistic",
    "boosting_library",
    "comparators",
    "mlp_integrated_gradients",
    "permuted_pixels",
    "published_rule_selection",
    "tree_shap_scores",
    "univariate_scores",
]
