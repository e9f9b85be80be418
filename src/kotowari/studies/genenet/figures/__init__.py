"""The pictures of the genenet study, drawn from what the run folder holds."""

from kotowari.studies.genenet.figures.gallery import draw

__all__ = ["draw"]
