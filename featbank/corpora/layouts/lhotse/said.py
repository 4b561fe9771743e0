"""Read the values in a line of lhotse's manifests, each of which may be anything."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from featbank.base.failures import brief
from featbank.errors import CorpusError

Said = Mapping[str, Any]
"""A recording, a supervision or a cut, as a line of a manifest has it."""

_LONGEST_S = 1e9  # thirty years: what is more is no time in a recording


def value_at(said: Any, steps: Sequence[str], where: str, *, may_lack: bool = False) -> str:
    """Return the text that a JSON value holds under keys and indexes: `custom`, `texts`, `0`.

    Args:
        said: the value.
        steps: keys and indexes.
        where: it stands, for messages.
        may_lack: whether a way that leads nowhere means an empty text.

    Raises:
        CorpusError: the way leads nowhere, or to no text.
    """
    for step in steps:
        if isinstance(said, Mapping) and step in said:
            said = said[step]
        elif isinstance(said, list) and step.isdecimal() and int(step) < len(said):
            said = said[int(step)]
        elif may_lack:
            return ""
        else:
            raise CorpusError(where, expected=".".join(steps), got=f"no {step}")
    return text_of(said, where)


def mapping_of(value: Any, where: str) -> Said:
    """Return a JSON object.

    Raises:
        CorpusError: it is none.
    """
    if isinstance(value, dict):
        return value
    raise CorpusError(where, expected="a JSON object", got=brief(json.dumps(value)))


def list_of(value: Any, where: str) -> list[Any]:
    """Return a JSON list.

    Raises:
        CorpusError: it is none.
    """
    if isinstance(value, list):
        return value
    raise CorpusError(where, expected="a JSON list", got=brief(json.dumps(value)))


def text_of(value: Any, where: str) -> str:
    """Return a text, or a whole number as one; empty for null.

    Raises:
        CorpusError: it is neither.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise CorpusError(where, expected="a text", got=brief(json.dumps(value)))


def seconds_of(said: Said, key: str, where: str) -> float:
    """Return a time in seconds, which may be below 0.

    Raises:
        CorpusError: it is no finite number, or larger than any recording.
    """
    value: Any = said.get(key)
    if type(value) in (int, float) and math.isfinite(value) and abs(value) <= _LONGEST_S:
        return float(value)
    raise CorpusError(f"{key} in {where}", expected="seconds", got=brief(json.dumps(value)))


def channels_of(value: Any, where: str) -> list[int]:
    """Return numbers of channels, of which there may be one; none means all.

    Raises:
        CorpusError: they are none.
    """
    found = [] if value is None else value if isinstance(value, list) else [value]
    if all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in found):
        return found
    raise CorpusError(
        f"channels in {where}", expected="numbers from 0", got=brief(json.dumps(value))
    )
