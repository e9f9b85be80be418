"""The pictures of the omics study, drawn from what the run folder holds."""

from kotowari.studies.omics.figures.gallery import draw

__all__ = ["draw"]
