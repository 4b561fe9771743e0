"""Components: replaceable parts of a pipeline that a configuration chooses, each with an identity.

A component's identity is its registered name, its version and the arguments that decide its values,
as they were bound: no import path, no key that somebody typed or left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any, ClassVar, Self

import numpy as np

from featbank.base.parameters import bind
from featbank.base.registry import Registry
from featbank.errors import ConfigError

# what a class body says of itself, whatever it says of the component
_SAYS_NOTHING = frozenset(
    [
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__parameters__",
        "__orig_bases__",
        "__firstlineno__",
        "__static_attributes__",
        "__abstractmethods__",
        "_abc_impl",
    ]
)


@dataclass(frozen=True, slots=True)
class ComponentConfig:
    """Configuration of a component: its class and its arguments.

    Args:
        target: the path of its class.
        arguments: of the class by name; an argument that is a component itself is a mapping with a
            `_target_`.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Read a mapping with a `_target_`.

        Raises:
            ConfigError: it has none.
        """
        target = config.get("_target_")
        if not isinstance(target, str):
            raise ConfigError("_target_", expected="the name of a class", got=repr(target))
        return cls(target, {name: value for name, value in config.items() if name != "_target_"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Identity of a component: name, version, arguments, weights; equal ones give equal values.

    Args:
        name: its registered name; of a class that has none, its import path.
        version: of its class.
        arguments: those that decide its values, as JSON values.
        weights: digest of what it has learned; empty for nothing.
    """

    name: str
    version: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, as headers state it and fingerprints digest it."""
        return {
            "name": self.name,
            "version": self.version,
            "arguments": dict(self.arguments),
            **({"weights": self.weights} if self.weights else {}),
        }


class Component:
    """Base class of replaceable components: they have a version and record their arguments.

    A component of a subclass with an empty body is one of its base: that is how a class keeps an
    old name.
    """

    version: ClassVar[int]
    """Bumped by whoever changes the values that equal arguments give."""

    registry: ClassVar[Registry | None] = None
    """That its class is registered in, if it is."""

    changes_nothing: ClassVar[frozenset[str]] = frozenset()
    """Names of its arguments that decide no value; what a base declares holds as well."""

    _bound: Mapping[str, Any]

    def __new__(cls, *arguments: Any, **settings: Any) -> Self:
        """Make an object that knows its arguments, defaults included."""
        made = super().__new__(cls)
        object.__setattr__(made, "_bound", bind(cls, arguments, settings))
        return made

    def __init__(self) -> None:
        pass  # without it, arguments that no constructor takes would pass

    def deciding(self, output: str | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Return the arguments that decide its values, each in its normal form.

        Of a dataclass these are its fields, as its constructor left them: one that stands for
        another value is resolved there. Any other class resolves its own by overriding this.

        Args:
            output: the one of its outputs that is asked for; None for all.
        """
        inert = {name for base in type(self).__mro__ for name in _declared(base)}
        # not an InitVar, under whose name the class has its default
        resolved = {one.name for one in fields(self)} if is_dataclass(self) else ()
        return {
            name: getattr(self, name) if name in resolved else value
            for name, value in self._bound.items()
            if name not in inert
        }

    def identity(self, output: str | None = None) -> Identity:
        """Return the identity of the component, or of one of its outputs.

        Raises:
            ConfigError: its class has no version, or an argument is of a kind that nothing is known
                of.
        """
        kind = original(type(self))
        where = f"{kind.__module__}.{kind.__qualname__}"
        version = getattr(kind, "version", None)
        if type(version) is not int:
            raise ConfigError(f"{where}: version", expected="a whole number", got=repr(version))
        return Identity(
            name=(self.registry.name_of(kind) if self.registry else None) or where,
            version=version,
            arguments={
                name: meaning(value, f"{where}: {name}")
                for name, value in self.deciding(output).items()
            },
        )


def original(kind: type) -> type:
    """Return the class that another one merely renames: its base, if its own body is empty."""
    while len(kind.__bases__) == 1 and not set(vars(kind)) - _SAYS_NOTHING:
        [base] = kind.__bases__
        if not issubclass(base, Component) or base is Component:
            break
        kind = base
    return kind


def meaning(value: Any, where: str) -> Any:
    """Return the normal form of an argument as JSON: equal numbers alike, lists and tuples too.

    >>> meaning((1, 2.0, {"b": np.float32(0.5), "a": None}), "")
    [1, 2, {'b': 0.5, 'a': None}]

    Raises:
        ConfigError: it is an object of a kind whose values cannot be told.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Component):
        return value.identity().to_json()
    if value is None or isinstance(value, str | bool):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        return {_key(key): meaning(one, f"{where}: {key}") for key, one in value.items()}
    if isinstance(value, Set):
        return sorted((meaning(one, where) for one in value), key=repr)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence):
        return [meaning(one, where) for one in value]
    return _of_object(value, where)


def _of_object(value: Any, where: str) -> Any:
    kind = value if isinstance(value, type) else type(value)
    path = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, type):
        return path
    if isinstance(value, Enum):
        return meaning(value.value, where)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    known: Mapping[str, Any] | None
    if is_dataclass(value):
        known = {one.name: getattr(value, one.name) for one in fields(value) if one.init}
    else:
        known = getattr(value, MADE_WITH, None)
    if known is None:
        raise ConfigError(
            where,
            expected="plain values, a component, a dataclass, or what a _target_ builds",
            got=f"an object of {path}",
            hint="make its class a featbank.base.components.Component, so that it can be told from "
            "others",
        )
    arguments = {name: meaning(one, f"{where}: {name}") for name, one in known.items()}
    return Identity(name=path, version=getattr(kind, "version", 0), arguments=arguments).to_json()


MADE_WITH = "_featbank_made_with"
"""Attribute in which `featbank.base.building.build` notes arguments of what is no `Component`."""


def _declared(base: type) -> frozenset[str]:
    declared: frozenset[str] = vars(base).get("changes_nothing", frozenset())
    return declared


def _number(value: float) -> Any:
    if isinstance(value, int) or value.is_integer():
        return int(value)
    return value if isfinite(value) else str(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else f"{type(key).__name__} {key}"
