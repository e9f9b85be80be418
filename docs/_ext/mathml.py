"""Formulas as MathML, made while building: pages need no script and no network to show them."""

import re
from html import unescape
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_SPACE = f"{{{_NAMESPACE}}}"
ElementTree.register_namespace("", _NAMESPACE)
_ENTITY = re.compile(r"&(?!lt;|gt;|amp;|quot;|#)\w+;")  # names that HTML knows and XML does not
_SHORT_FRACTION = re.compile(r"\\([tdc]?frac)(\d)(\d)")  # the converter would take both digits for the numerator
_BIG_SLASH = re.compile(r"\\[Bb]igg?(?=\s*/)")
_BIG = re.compile(r"\\(big|Big|bigg|Bigg)\s*(\\?[()\[\]{}|])")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(_mathml(node.astext()))
    raise nodes.SkipNode


def _block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="formula">{_mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def _mathml(formula: str, *, as_block: bool = False) -> str:
    """Convert a formula, and put the index of an accented letter beside it: the converter puts it underneath."""
    markup = _ENTITY.sub(lambda found: unescape(found[0]), tex2mathml(_sided(formula), as_block=as_block))
    markup = markup.replace("\u02c9", "\u00af")  # a bar as wide as a letter: the short one is hardly seen
    tree = ElementTree.fromstring(markup)  # noqa: S314  (made here)
    for part in tree.iter(f"{_SPACE}munderover"):
        letter, index, accent = part
        if accent.tag == f"{_SPACE}mo" and accent.get("stretchy") == "false":
            part.tag, part[:] = f"{_SPACE}msub", [ElementTree.Element(f"{_SPACE}mover"), index]
            part[0].extend([letter, accent])
    return ElementTree.tostring(tree, encoding="unicode")


def _sided(formula: str) -> str:
    """Say of every large bracket whether it opens or closes, and of dots where they stand: the converter must know.

    A large slash is neither, and is set in its own size.
    """
    formula = _BIG_SLASH.sub("", re.sub(r"\\dots\b", r"\\ldots", formula))
    formula = _SHORT_FRACTION.sub(r"\\\1{\2}{\3}", formula)
    return _BIG.sub(lambda found: f"\\{found[1]}{'r' if found[2][-1] in ')]}' else 'l'}{found[2]}", formula)
