from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from featbank.errors import ConfigError
from featbank.pipeline.scalars import check_scalars


def test_what_json_and_a_terminal_take_passes() -> None:
    check_scalars({"a": [1, -2.5, True, None, "é", "two\n\tlines"], "b": {"c": (1 << 63) - 1}})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "a.b: expected a finite number, got nan"),
        (float("inf"), "a.b: expected a finite number, got inf"),
        (10**400, "a.b: expected a number of at most 64 bits"),
        ("\x1b[2J", "a.b: expected a text without control characters, got '\\\\x1b"),
        ("a\0b", "a.b: expected a text without control characters"),
        ("\x9b31m", "a.b: expected a text without control characters"),
        ("\ud800", "a.b: expected a text without control characters"),
        (Path("x"), "a.b: expected a number or a text, got PosixPath"),
        (b"x", "a.b: expected a number or a text, got bytes"),
        ([{"c": [1e999]}], "a.b.c: expected a finite number"),
        ({1: "x"}, "a.b: expected names that are texts, got 1"),
        ({"c\0": 1}, "a name in a.b: expected a text without"),
    ],
)
def test_what_they_do_not_take_is_named(value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_scalars({"a": {"b": value}})
