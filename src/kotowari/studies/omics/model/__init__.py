"""Estimators of the omics study: the layout, and classifier and regressor on its images."""

from kotowari.studies.omics.model.estimators import DeepInsightClassifier, DeepInsightRegressor
from kotowari.studies.omics.model.transformer import DeepInsightTransformer

__all__ = ["DeepInsightClassifier", "DeepInsightRegressor", "DeepInsightTransformer"]
