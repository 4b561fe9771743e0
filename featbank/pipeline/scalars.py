"""The numbers and texts of a configuration: what can be computed with, written and printed."""

from __future__ import annotations

import math
import re
from typing import Any

from featbank.errors import ConfigError

# a line break and a tab are well in a command
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def check_scalars(node: Any, where: str = "") -> None:
    """Refuse what later steps could not compute with, write as JSON or print.

    Args:
        node: of a configuration, as plain values.
        where: it stands.

    Raises:
        ConfigError: a number that is not finite or has more than 64 bits, a text with control
            characters or half a surrogate pair, or a value or a name of another type.
    """
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str):
                raise ConfigError(where, expected="names that are texts", got=repr(key))
            _check_scalar(key, f"a name in {where}")
            check_scalars(value, f"{where}.{key}" if where else key)
    elif isinstance(node, list):
        for value in node:
            check_scalars(value, where)
    else:
        _check_scalar(node, where)


def _check_scalar(value: Any, where: str) -> None:
    if isinstance(value, str):
        if _UNPRINTABLE.search(value):
            raise ConfigError(where, expected="a text without control characters", got=repr(value))
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(where, expected="a finite number", got=value)
    elif isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ConfigError(where, expected="a number of at most 64 bits", got="a larger one")
    elif value is not None:
        raise ConfigError(where, expected="a number or a text", got=type(value).__name__)
