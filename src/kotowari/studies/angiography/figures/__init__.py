"""The pictures of the angiography study, drawn from what the run folder holds."""

from kotowari.studies.angiography.figures.gallery import draw

__all__ = ["draw"]
