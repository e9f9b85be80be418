"""Estimators of the omics study: the layout, classifier and regressor on its images, and the selection of genes."""

from kotowari.studies.omics.model.estimators import DeepInsightClassifier, DeepInsightRegressor
from kotowari.studies.omics.model.selector import DeepFeatureSelector
from kotowari.studies.omics.model.transformer import DeepInsightTransformer

__all__ = ["DeepFeatureSelector", "DeepInsightClassifier", "DeepInsightRegressor", "DeepInsightTransformer"]
