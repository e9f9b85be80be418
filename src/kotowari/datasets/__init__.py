"""The small data sets that the package carries, each with its origin and licence. Knows no torch."""

from kotowari.datasets.dataset import Dataset
from kotowari.datasets.packaged import load_reactome, load_tcga_colorectal

__all__ = ["Dataset", "load_reactome", "load_tcga_colorectal"]
