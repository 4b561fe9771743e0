"""Escaping of control and invisible characters in texts that are shown to people."""

from __future__ import annotations

import logging
import re

# controls but line break and tab, marks that turn or hide text, line separators, half pairs
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    r"""Return `text` with invisible characters escaped; joiners, which some scripts need, are kept.

    >>> visible("a\x1b[2J\u202egpj.exe\nb")
    'a\\x1b[2J\\u202egpj.exe\nb'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def log_visibly() -> None:
    """Have the root logger's handlers escape invisible characters from now on."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, _Visibly) for one in handler.filters):
            handler.addFilter(_Visibly())


class _Visibly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = visible(record.getMessage()), ()
        return True
