"""Numbered blocks of networks, for schedulers that Dask does not know."""

from kotowari.studies.genenet.cluster.numbered import array_index, fit_numbered_block, missing_blocks

__all__ = ["array_index", "fit_numbered_block", "missing_blocks"]
