"""The templates of pages, and what they show of texts, numbers and sizes."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from featbank.base.amounts import format_duration, percent
from featbank.base.visible import visible
from featbank.report.words import counted, format_number, format_size


def environment() -> Environment:
    """Return the environment of all templates: texts are escaped, and absent names are errors."""
    made = Environment(
        loader=PackageLoader("featbank.report"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "breakable": _breakable,
        "count": counted,
        "size": format_size,
        "number": format_number,
        "percent": percent,
        "duration": format_duration,
    }
    return made


def _shown(value: Any) -> Any:
    """Return what a template shows of a value: drawings as they are, of texts all that is there."""
    return visible(value) if type(value) is str else value


def _breakable(path: str) -> Markup:
    """Return a path that a narrow column breaks behind its slashes, and not within a name."""
    return escape(visible(path)).replace("/", Markup("/<wbr>"))
