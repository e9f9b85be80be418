"""The pictures of the brain study, drawn from what the run folder holds."""

from kotowari.studies.brain.figures.gallery import draw

__all__ = ["draw"]
