"""File formats: bytes on one side, arrays with names and units on the other. Knows no torch."""

from kotowari.formats.bids import BidsFile, index_bids, read_participants
from kotowari.formats.blocks import TableBlocks, estimate_bytes, require_fits_memory
from kotowari.formats.coco import CocoInstances, read_coco, write_coco
from kotowari.formats.cytoscape import read_cytoscape, write_cytoscape
from kotowari.formats.dicom import XrayFrames, read_xray
from kotowari.formats.gmt import GeneSets, read_gmt, write_gmt
from kotowari.formats.graph import Graph
from kotowari.formats.graphml import read_graphml, write_graphml
from kotowari.formats.h5ad import read_h5ad, write_h5ad
from kotowari.formats.image import Pages, n_pages, read_page, read_pages
from kotowari.formats.label_image import read_labels, write_label_png, write_label_tiff
from kotowari.formats.nifti import NiftiHeader, read_nifti, read_nifti_header, write_nifti
from kotowari.formats.png import encode_png, read_png, write_png
from kotowari.formats.rows import require_names
from kotowari.formats.signature import GeneSignature, read_signature
from kotowari.formats.tables import read_annotations, read_table, require_numeric_table, write_table
from kotowari.formats.video import read_frames, write_mp4, write_png_sequence
from kotowari.formats.xray_write import write_xray

__all__ = [
    "BidsFile",
    "CocoInstances",
    "GeneSets",
    "GeneSignature",
    "Graph",
    "NiftiHeader",
    "Pages",
    "TableBlocks",
    "XrayFrames",
    "encode_png",
    "estimate_bytes",
    "index_bids",
    "n_pages",
    "read_annotations",
    "read_coco",
    "read_cytoscape",
    "read_frames",
    "read_gmt",
    "read_graphml",
    "read_h5ad",
    "read_labels",
    "read_nifti",
    "read_nifti_header",
    "read_page",
    "read_pages",
    "read_participants",
    "read_png",
    "read_signature",
    "read_table",
    "read_xray",
    "require_fits_memory",
    "require_names",
    "require_numeric_table",
    "write_coco",
    "write_cytoscape",
    "write_gmt",
    "write_graphml",
    "write_h5ad",
    "write_label_png",
    "write_label_tiff",
    "write_mp4",
    "write_nifti",
    "write_png",
    "write_png_sequence",
    "write_table",
    "write_xray",
]
