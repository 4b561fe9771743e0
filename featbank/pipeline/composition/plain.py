"""Conversion of a composed configuration to plain, resolved values, as JSON takes them."""

from __future__ import annotations

import math
import re
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

from featbank.errors import ConfigError
from featbank.pipeline.faults import Fault

# a line break and a tab are well in a command
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NEEDED = re.compile("Interpolation key '([^']+)'")


def as_typed(text: str) -> object:
    """Return the value that a text on the command line of a stage is read as.

    >>> as_typed("fbank"), as_typed("103_1240"), as_typed("null")
    ('fbank', 1031240, None)
    """
    return OverridesParser.create().parse_override(f"key={text}").value()


def plain_values(config: DictConfig) -> tuple[dict[str, object], list[Fault]]:
    """Return the values of a configuration, and its faults.

    In place of a value that JSON does not have, or that cannot be resolved, stands None.
    """
    faults: list[Fault] = []
    return _mapping(config, "", faults), faults


def _mapping(node: DictConfig, where: str, faults: list[Fault]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key in node:
        if not isinstance(key, str):
            faults.append(_fault(where, "names that are texts", repr(key)))
        elif _UNPRINTABLE.search(key):
            told = f"a name in {where}" if where else "a name"
            faults.append(_fault(told, "a text without control characters", repr(key)))
        else:
            found[key] = _value(node, key, f"{where}.{key}" if where else key, faults)
    return found


def _value(node: Any, key: str | int, where: str, faults: list[Fault]) -> Any:
    try:
        value = node[key]
    except OmegaConfBaseException as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        needed = _NEEDED.match(said)
        told = ConfigError(where, expected="a value", got=said)
        faults.append(Fault(place=where, error=told, needs=needed[1] if needed else ""))
        return None
    if isinstance(value, DictConfig):
        return _mapping(value, where, faults)
    if isinstance(value, ListConfig):
        return [_value(value, index, f"{where}.{index}", faults) for index in range(len(value))]
    if (wrong := _wrong(value)) is not None:
        faults.append(_fault(where, *wrong))
        return None
    return value


def _wrong(value: object) -> tuple[str, str] | None:
    """Say what is expected in place of a value, and what there is; None if it is fine."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        if _UNPRINTABLE.search(value):
            return "a text without control characters", repr(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            return "a finite number", str(value)
    elif isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            return "a number of at most 64 bits", "a larger one"
    else:
        return "a number or a text", type(value).__name__
    return None


def _fault(where: str, expected: str, got: str) -> Fault:
    return Fault(place=where, error=ConfigError(where, expected=expected, got=got))
