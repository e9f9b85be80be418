"""The pictures of the cytology study, drawn from what the run folder holds."""

from kotowari.studies.cytology.figures.gallery import draw

__all__ = ["draw"]
