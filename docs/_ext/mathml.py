"""Formulas as MathML, made while building: pages need no script and no network to show them."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

_BIG = re.compile(r"\\(big|Big|bigg|Bigg)\s*(\\?[()\[\]{}|])")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(tex2mathml(_sided(node.astext())))
    raise nodes.SkipNode


def _block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="formula">{tex2mathml(_sided(node.astext()), as_block=True)}</div>')
    raise nodes.SkipNode


def _sided(formula: str) -> str:
    """Say of every large bracket whether it opens or closes, and of dots where they stand: the converter must know."""
    formula = re.sub(r"\\dots\b", r"\\ldots", formula)
    return _BIG.sub(lambda found: f"\\{found[1]}{'r' if found[2][-1] in ')]}' else 'l'}{found[2]}", formula)
