"""How the pages are built: `make docs`. Nothing is fetched, neither here nor by a reader's browser."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy.typing as npt
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

from kotowari.core.options import Options

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "kotowari"
author = "The kotowari developers"
copyright = author
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "api_pages",
    "measured",
    "study_options",
]
exclude_patterns = ["_build", "gallery/**/*.ipynb", "gallery/*.md5", "gallery/sg_execution_times.rst"]
default_role = "code"
html_math_renderer = "mathml"

html_theme = "pydata_sphinx_theme"
html_title = "kotowari"
html_static_path = ["_static"]
html_css_files = ["kotowari.css"]
html_show_sourcelink = False
html_sidebars = {page: [] for page in ("index", "mathematics", "trust", "measured", "house", "studies/*")}
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "friendly",
    "pygments_dark_style": "github-dark",
}

api_packages = [
    f"kotowari.{room}"
    for room in (
        "core",
        "formats",
        "datasets",
        "solvers",
        "operators",
        "networks",
        "priors",
        "priors.functional",
        "simulators",
        "unrolled",
        "training",
        "explain",
        "trust",
        "report",
        "studies",
        "studies.angiography",
        "studies.brain",
        "studies.cytology",
        "studies.genenet",
        "studies.genenet.baselines",
        "studies.omics",
        "testing",
    )
]
autosummary_generate = False
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"conftest\.py",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

_ARRAY_LIKE = stringify_annotation(npt.ArrayLike, "smart")
_DTYPE = r"~?(?:numpy\.)?dtype\[([^][]*(?:\[[^][]*\])?)\]"
_ARRAY = re.compile(r"~?(?:numpy\.)?ndarray\[tuple\[~?(?:typing\.)?Any, \.\.\.\], " + _DTYPE + r"\]")


def _short_signature(*given: Any) -> tuple[str, str | None] | None:
    """Write ``ArrayLike`` and ``NDArray`` where their long types stand; options of a study have a page of their own."""
    part, (signature, returned) = given[3], given[-2:]
    if isinstance(part, type) and issubclass(part, Options):
        return "(**options)", None
    return None if signature is None else (_short(signature), returned and _short(returned))


def _short(types: str) -> str:
    return _ARRAY.sub(r"NDArray[\1]", types.replace(_ARRAY_LIKE, "ArrayLike"))


def setup(app: Sphinx) -> None:
    """Hang in the shortening of signatures."""
    app.connect("autodoc-process-signature", _short_signature)
