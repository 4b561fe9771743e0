"""Licences and languages in the words that hubs and JSON-LD know them by."""

from __future__ import annotations

import re

_CREATIVE_COMMONS = re.compile(r"cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[1-4]\.[05]")
_OTHERS = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "bsd-3-clause": "BSD-3-Clause",
    "gpl-3.0": "GPL-3.0-only",
    "odbl": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
    "cdla-permissive-2.0": "CDLA-Permissive-2.0",
}
_LANGUAGE = re.compile(r"([a-z]{2,3})(?:[-_].*)?")


def hub_license(text: str) -> str:
    """Return a licence as the Hugging Face hub names it; empty where it has no name there.

    >>> hub_license("CC BY-SA 4.0"), hub_license("cc0-1.0"), hub_license("Apache 2.0")
    ('cc-by-sa-4.0', 'cc0-1.0', 'apache-2.0')
    >>> hub_license("ask the speakers")
    ''
    """
    name = re.sub(r"[\s_]+", "-", text.strip().lower())
    return name if _CREATIVE_COMMONS.fullmatch(name) or name in _OTHERS else ""


def license_url(text: str) -> str:
    """Return the address of a licence's text at SPDX, or the text as it is.

    >>> license_url("CC BY 4.0"), license_url("ask the speakers")
    ('https://spdx.org/licenses/CC-BY-4.0', 'ask the speakers')
    """
    name = hub_license(text)
    return f"https://spdx.org/licenses/{_OTHERS.get(name, name.upper())}" if name else text


def language_code(text: str) -> str:
    """Return the ISO 639 code that a language's name begins with; empty where it has none.

    >>> language_code("en-GB"), language_code("English")
    ('en', '')
    """
    found = _LANGUAGE.fullmatch(text.strip().lower())
    return found[1] if found else ""
