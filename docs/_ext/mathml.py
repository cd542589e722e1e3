"""Mathematics as MathML, by docutils' own converter: shown by every current browser, nothing to download."""

from __future__ import annotations

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

# LaTeX that docutils' converter does not know or reads wrongly, and what it reads right
REPLACED = tuple((re.compile(pattern), words) for pattern, words in (
    (r"\\(big|Big)([(\[])", r"\\\1l\2"), (r"\\(big|Big)([)\]])", r"\\\1r\2"), (r"\\dots(?![a-z])", r"\\ldots"),
    (r"\\(t?frac)\s*(\d)\s*(\d)", r"\\\1{\2}{\3}"),
))  # fmt: skip
# the index would go below the accent
ACCENTED = re.compile(r"\\(overline|underline|bar|hat|tilde)\s*(\{[^{}]*\}|\w)\s*_")
LOGGER = logging.getLogger(__name__)


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """A formula within a line."""
    self.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """A formula on lines of its own; narrow windows scroll it."""
    self.body.append(f'<div class="formula">{_mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def _mathml(node: nodes.Element, as_block: bool) -> str:
    text = node.astext()
    if ACCENTED.search(text):
        LOGGER.warning("formula %r: an index behind an accent, allowed is one inside it", text, location=node)
    for pattern, words in REPLACED:
        text = pattern.sub(words, text)
    try:
        return str(tex2mathml(text, as_block=as_block))
    except MathError as error:
        LOGGER.warning("formula %r: %s", node.astext(), error, location=node)
        return ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
