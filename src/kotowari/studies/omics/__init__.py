"""Tables of genes seen as images, classified; the genes and pathways that decide, and the tests of both.

Three lines do what the command line does:

>>> from kotowari.studies import omics  # doctest: +SKIP
>>> folder = omics.run(omics.Config.demo())  # doctest: +SKIP
>>> omics.apply(folder, "new_samples.csv", out="predictions")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from kotowari.core.face import StudyPackage

if TYPE_CHECKING:
    from kotowari.studies.omics.config import Config
    from kotowari.studies.omics.model.estimators import DeepInsightClassifier, DeepInsightRegressor
    from kotowari.studies.omics.model.selector import DeepFeatureSelector
    from kotowari.studies.omics.model.transformer import DeepInsightTransformer

NAME = "omics"
SUMMARY = "tables of genes drawn as images and classified; the genes and pathways that decide"

_HOMES = {
    "Config": "config",
    "DeepFeatureSelector": "model.selector",
    "DeepInsightClassifier": "model.estimators",
    "DeepInsightRegressor": "model.estimators",
    "DeepInsightTransformer": "model.transformer",
}
__all__ = [
    "NAME",
    "SUMMARY",
    "Config",
    "DeepFeatureSelector",
    "DeepInsightClassifier",
    "DeepInsightRegressor",
    "DeepInsightTransformer",
    "apply",
    "demo",
    "open_job",
    "run",
    "stages",
]

_PACKAGE = StudyPackage(__name__, _HOMES)
run, demo, apply = _PACKAGE.run, _PACKAGE.demo, _PACKAGE.apply
stages, open_job = _PACKAGE.stages, _PACKAGE.open_job
__getattr__ = _PACKAGE.load  # lazy: `kotowari init` must not wait for torch


def __dir__() -> list[str]:
    return __all__
