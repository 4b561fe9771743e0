"""Reading JSON that anybody may have written, with one closed error for all that can be wrong.

Beside what is no JSON, this refuses what Python's parser lets through and later trips over:
numbers that are not finite or have more than 64 bits, keys that occur twice, half surrogate pairs,
and nesting that only recursion could follow.
"""

from __future__ import annotations

import math
from collections import Counter
from json import JSONDecoder
from pathlib import Path
from typing import Any

from featbank.errors import FeatbankError
from featbank.files.opening import read_regular

MAX_BYTES = 16 << 20
"""Of a JSON file, where its reader says nothing else."""

_MAX_DEPTH = 64
_SAFE_DIGITS = 18  # any number of these has less than 64 bits
_MAX_DIGITS = 20  # of the largest number of 64 bits, or its sign and one less
_KINDS: dict[type, str] = {dict: "a JSON object", list: "a JSON list", str: "a JSON text"}


def read_json(
    path: str | Path,
    *,
    what: str,
    error: type[FeatbankError],
    hint: str = "",
    max_bytes: int = MAX_BYTES,
) -> dict[str, Any]:
    """Read a file that is one JSON object.

    Args:
        path: of a regular file.
        what: it is, for errors: `corpus summary`.
        error: to raise.
        hint: what to do next.
        max_bytes: that it may hold.

    Raises:
        FeatbankError: as `error`; it is missing, no file, too large, or no such object.
    """
    where = f"{what} {path}"
    try:
        data = read_regular(path, max_bytes)
    except FileNotFoundError as wrong:
        raise error(where, expected="a file", got="nothing there", hint=hint) from wrong
    except OSError as wrong:
        raise error(where, expected="a file", got=wrong.strerror, hint=hint) from wrong
    found: dict[str, Any] = parse_json(data, where, error, hint=hint)
    return found


def parse_json(
    data: bytes | str,
    where: str,
    error: type[FeatbankError],
    *,
    kind: type = dict,
    hint: str = "",
    surrogates: bool = False,
    nan: bool = False,
) -> Any:
    """Parse a JSON text, which costs little more than `json.loads`.

    Args:
        data: the text; as bytes, in UTF-8.
        where: it stands, for errors.
        error: to raise.
        kind: of the whole: dict, list or str.
        hint: what to do next.
        surrogates: whether texts may have half surrogate pairs, as names of files may.
        nan: whether NaN and Infinity may stand for numbers, for the caller to refuse or to ignore.

    Raises:
        FeatbankError: as `error`; it is no JSON, of another kind, or holds what this refuses.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
        value = (_decode_nan if nan else _decode)(text)
        if not surrogates and ("\\" in text or isinstance(data, str)):
            _refuse_surrogates(value)
        if len(text) > 2 * _MAX_DEPTH and text.count("[") + text.count("{") > _MAX_DEPTH:
            _refuse_depth(value)
    except RecursionError as wrong:
        raise error(where, expected=_KINDS[kind], got="nesting without end", hint=hint) from wrong
    except ValueError as wrong:  # no JSON, no UTF-8, or what is refused
        raise error(where, expected=_KINDS[kind], got=wrong, hint=hint) from wrong
    if not isinstance(value, kind):
        raise error(where, expected=_KINDS[kind], got=type(value).__name__, hint=hint)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice[:40]!r} twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) <= _SAFE_DIGITS:
        return int(digits)
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    value = int(digits)
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(f"the number {digits}, of more than 64 bits")
    return value


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"a number that is not finite, {digits[:20]}")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"a number that is not finite, {name}")


_decode = JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_constant,
).decode
_decode_nan = JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_number).decode


def _refuse_surrogates(value: Any) -> None:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            one.encode()  # a UnicodeEncodeError is a ValueError
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list):
            waiting += one


def _refuse_depth(value: Any) -> None:
    depth, level = 0, [value]
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            raise ValueError(f"nesting over {_MAX_DEPTH} deep")
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [x for values in inner for x in values if isinstance(x, dict | list)]
