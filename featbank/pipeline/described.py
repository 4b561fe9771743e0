"""Description of a schema for people: the type, the unit and the help of each key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from featbank.pipeline.schema import KNOB, PLACE, TOLD, UNIT

_TYPES = {
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "null": "null",
    "array": "a list",
    "object": "values by name",
}


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return the validator of a schema's class."""
    return TypeAdapter(kind)


@dataclass(frozen=True, slots=True)
class Described:
    """A place in a schema: a key, an entry of a list, or the whole.

    Args:
        node: of the JSON schema.
        shared: what nodes refer to, by name.
    """

    node: Mapping[str, Any]
    shared: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, kind: Any) -> Described:
        """Return the whole of a schema."""
        node = _json_schema(kind)
        return cls(node, node.get("$defs", {}))

    @property
    def told(self) -> str:
        """What is expected: the type, its limits and the unit."""
        return _told(self.node, self.shared)

    @property
    def help(self) -> str:
        """Help text of the key."""
        said = self.node if "description" in self.node else _resolved(self.node, self.shared)
        return str(said.get("description", "")).partition("\n")[0]

    @property
    def is_knob(self) -> bool:
        """Whether it changes no byte of an output."""
        return bool(self.node.get(KNOB))

    @property
    def is_place(self) -> bool:
        """Whether it says what is read or written."""
        return bool(self.node.get(PLACE))

    @property
    def is_open(self) -> bool:
        """Whether it may have more keys than the schema names."""
        return any(one.get("additionalProperties") is True for one in self._options())

    @property
    def keys(self) -> Sequence[str]:
        """Keys that the schema names."""
        return [key for one in self._options() for key in one.get("properties", ())]

    def at(self, steps: Sequence[str | int]) -> Described | None:
        """Return the description at a path below; None where the schema says nothing of it."""
        found: Described | None = self
        for step in steps:
            found = found and found._step(step)
        return found

    def walk(self, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Described]]:
        """Yield every key, at any depth, with the path to it."""
        for key in self.keys:
            if (inner := self._step(key)) is not None:
                yield (*before, key), inner
                yield from inner.walk((*before, key))

    def _step(self, step: str | int) -> Described | None:
        for one in self._options():
            inner = one.get("items")
            if isinstance(step, str):
                # where keys are anybody's, one schema is of all their values
                inner = one.get("properties", {}).get(step, one.get("additionalProperties"))
            if isinstance(inner, Mapping):
                return Described(inner, self.shared)
        return None

    def _options(self) -> Iterator[Mapping[str, Any]]:
        """Give what it can be, where it can be several things."""
        for one in self.node.get("anyOf", [self.node]):
            yield _resolved(one, self.shared)


@cache
def _json_schema(kind: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = adapter(kind).json_schema()
    return found


def _resolved(
    node: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any]:
    if "$ref" in node:
        return shared[node["$ref"].rpartition("/")[2]]
    return node


def _told(node: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]]) -> str:
    unit = f" ({node[UNIT]})" if UNIT in node else ""
    if TOLD in node:
        return f"{node[TOLD]}{unit}"
    if "anyOf" in node:
        return " or ".join(
            _told(one, shared) + (unit if one.get("type") != "null" else "")
            for one in node["anyOf"]
        )
    node = _resolved(node, shared)
    if "enum" in node or "const" in node:
        return " or ".join(str(one) for one in node.get("enum", [node.get("const")]))
    if node.get("format") == "path":
        return "a path"
    return f"{_TYPES[node['type']]}{_limits(node)}{unit}"


def _limits(node: Mapping[str, Any]) -> str:
    least, over, most, below = (
        _number(node[key]) if key in node else None
        for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    )
    high = (most and f"to {most}") or (below and f"to below {below}")
    if least is not None:
        return f" from {least} {high}" if high else f", {least} or more"
    if over is not None:
        return f" over {over}" + (f" {high.replace('to', 'up to', 1)}" if high else "")
    return f" up {high}" if high else ""


def _number(limit: float) -> str:
    return str(int(limit)) if limit == int(limit) else str(limit)
