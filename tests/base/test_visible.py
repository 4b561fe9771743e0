from __future__ import annotations

import io
import logging

import pytest

from featbank.base.visible import log_visibly, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é ʃ 日本 \u200c\u200d\u00a0\n\t", "plain é ʃ 日本 \u200c\u200d\u00a0\n\t"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\x7f\0", r"a\rb\x7f\x00"),
        ("\u202egpj.exe\u2066x\u2069", r"\u202egpj.exe\u2066x\u2069"),
        ("a\u200b\ufeff\u2028b", r"a\u200b\ufeff\u2028b"),
        ("caf\udce9", r"caf\udce9"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_is_not_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_logs_show_what_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(stream)])
    log_visibly()
    log_visibly()
    logging.getLogger("featbank.x").error("%s: %d of\n  %s", "a\x1b[2J", 3, "\u202eb")
    assert stream.getvalue() == "a\\x1b[2J: 3 of\n  \\u202eb\n"
