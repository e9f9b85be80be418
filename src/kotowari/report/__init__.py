"""A run folder in, one self-contained HTML page out. Knows the core floor only."""

from kotowari.report.assembly import write

__all__ = ["write"]
