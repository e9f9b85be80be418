"""The studies, by name; each is loaded when asked for."""

from importlib import import_module
from typing import Any

from kotowari.core.errors import InputError

__all__ = ["STUDIES", "study_named"]

STUDIES = {
    "angiography": "kotowari.studies.angiography",
    "brain": "kotowari.studies.brain",
    "cytology": "kotowari.studies.cytology",
    "genenet": "kotowari.studies.genenet",
    "omics": "kotowari.studies.omics",
}


def study_named(name: str) -> Any:
    """Return the package of a study, which has the shape of :class:`kotowari.core.study.StudyFace`."""
    if name not in STUDIES:
        raise InputError(f"There is no study {name!r}. There are: {', '.join(STUDIES)}.")
    return import_module(STUDIES[name])
