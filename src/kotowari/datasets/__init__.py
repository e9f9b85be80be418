"""The small data sets that the package carries, each with its origin and licence. Knows no torch."""

from kotowari.datasets.dataset import Dataset
from kotowari.datasets.factors import load_reactome_factors
from kotowari.datasets.packaged import load_emt_markers, load_reactome, load_tcga_colorectal

__all__ = ["Dataset", "load_emt_markers", "load_reactome", "load_reactome_factors", "load_tcga_colorectal"]
