"""Dataclasses out of the JSON objects that `asdict` made of them, each field of its own type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


def record(kind: type[Record], value: Any, where: str = "") -> Record:
    """Build a dataclass, and those in its fields, from plain JSON values.

    Args:
        kind: the dataclass. Its fields are plain types, literals, dataclasses, unions of one of
            these with None, and tuples and mappings of them.
        value: an object with its fields; those with a default may lack.
        where: it stands in what was read.

    Raises:
        ValueError: a field lacks, is unknown or of another type, or the class refuses it.
    """
    place = f"{where}: " if where else ""
    if not isinstance(value, dict):
        raise ValueError(f"{place}no items by name but {type(value).__name__}")
    described: Any = kind  # a class is hashable, which mypy doubts of a type variable
    hints = _hints(described)
    if unknown := sorted(set(value) - set(hints)):
        raise ValueError(f"{place}unknown {', '.join(unknown)[:200]}")
    if missing := [name for name in _required(described) if name not in value]:
        raise ValueError(f"{place}no {', '.join(missing)}")
    steps = f"{where}." if where else ""
    given = {name: _value(hints[name], one, f"{steps}{name}") for name, one in value.items()}
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"{place}{error}") from error


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    known = get_type_hints(kind)
    return {field.name: known[field.name] for field in fields(kind)}


@cache
def _required(kind: Any) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    )


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if hint in (Any, object):
        return value
    if origin is UnionType:
        options = [one for one in inner if one is not type(None)]
        if value is None and len(options) < len(inner):
            return None
        [hint] = options
        return _value(hint, value, where)
    if is_dataclass(hint):
        return record(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], one, where) for one in value)
    if origin is Mapping and isinstance(value, dict):
        return {key: _value(inner[1], one, f"{where}.{key}") for key, one in value.items()}
    if origin is Literal and value in inner:
        return value
    if type(value) is hint or (hint is float and type(value) is int):
        return value
    raise ValueError(f"{where}: no {_told(hint)} but {value!r}"[:200])


def _told(hint: Any) -> str:
    named = {tuple: "list", Mapping: "items by name", Literal: "word of a closed set"}
    return named.get(get_origin(hint), getattr(hint, "__name__", str(hint)))
