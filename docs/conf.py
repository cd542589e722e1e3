"""Settings of the documentation site; `./v2g docs` builds it."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from v2g_nodes import __version__  # noqa: E402 - the path comes first

project = "v2g_nodes"
release = version = __version__
language = "en"
extensions = ["myst_parser", "mathml", "figures", "reference"]
exclude_patterns = ["_build", "_ext", "figures/*.py"]
root_doc = "index"
nitpicky = True
smartquotes = False  # two dashes begin an option

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_block"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = "v2g_nodes"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
