"""Sphinx's configuration of the site of docs; `python -m docs.build_site` uses it."""

import re
from typing import Any

import featbank

project = "featbank"
author = "the featbank authors"
version = release = featbank.__version__
root_doc = "docs/index"
exclude_patterns: list[str] = []

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# headings are reached as on a git host: `page.md#a-heading`
myst_heading_anchors = 4
# a word in single backticks is code, in docstrings as in Markdown
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_include_init_with_doc = False
autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# `tokens` in a type is a word, and more than one class has such an attribute
suppress_warnings = ["ref.python"]
python_use_unqualified_type_names = True
# the tree at the side has pages, not every method: each page would copy all of it
toc_object_entries = False
maximum_signature_line_length = 88
# program text is shown as it is; nothing guesses at languages
highlight_language = "none"

html_theme = "furo"
html_title = f"featbank {version}"
html_show_sphinx = False
html_copy_source = False
html_use_index = False
html_domain_indices = False
html_theme_options = {"navigation_with_keys": True}

# what a page shows is its own, and anyone may read it far from any network
html_static_path: list[str] = []

_PLAIN = re.compile(r"(`[^`]*`)|([*|])")


def _as_plain_text(
    _app: Any, what: str, _name: str, _value: Any, _o: Any, lines: list[str]
) -> None:
    """Keep stars and bars of docstrings what they are, for they mean no emphasis.

    Nor does what stands before a colon in the line on an attribute say its type.
    """
    if what in ("attribute", "data", "property") and lines:
        lines[0] = lines[0].replace(": ", " -- ")
    # what Python says of the constructor of any named tuple
    lines[:] = [line for line in lines if not line.startswith("Create new instance of ")]
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[number] = _PLAIN.sub(lambda found: found[1] or "\\" + found[2], line)


def setup(app: Any) -> None:
    """Have docstrings read as they are meant, before napoleon reads them."""
    app.connect("autodoc-process-docstring", _as_plain_text, priority=400)
