"""Formats by their names, with options as they are typed, and the packages that they import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

from featbank.base.nearest import did_you_mean
from featbank.errors import ConfigError
from featbank.export import EXPORTS
from featbank.export.base import Export


def find_export(name: str) -> type[Export]:
    """Return the class of a format.

    Raises:
        ConfigError: there is none of that name.
    """
    names = sorted({one.name for one in EXPORTS.components()})
    if name not in names:
        raise ConfigError(
            f"export format {name!r}",
            expected=f"one of {', '.join(names)}",
            got="a name that nothing is registered under",
            hint=did_you_mean(name, names),
        )
    found: type[Export] = EXPORTS.find(name).load()
    return found


def prepared(to: str | Export, options: Mapping[str, Any]) -> tuple[Export, str]:
    """Return a format that is given by its name, or as it is, and its name; its packages loaded.

    Raises:
        ConfigError: there is none of that name, a package is missing, or an option is unknown.
    """
    if isinstance(to, Export):
        name = EXPORTS.name_of(type(to)) or type(to).__name__
        _load_packages(name, type(to))
        return to, name
    kind = find_export(to)
    _load_packages(to, kind)
    try:
        return kind(**options), to
    except TypeError as error:
        raise ConfigError(
            f"options of export to {to}", expected="those of the format", got=str(error)
        ) from error


_PARSERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "bool": ("true or false", {"true": True, "false": False}.__getitem__),
    "int": ("a whole number", int),
    "str": ("a text", str),
}


def parse_options(name: str, export: type[Export], given: dict[str, str]) -> Export:
    """Make a format with options as they are typed: `{"deduplicate": "true"}`.

    Raises:
        ConfigError: an option is unknown, or its value is of another type.
    """
    known = {one.name: str(one.type) for one in fields(export)}
    values: dict[str, Any] = {}
    for option, text in given.items():
        if option not in known:
            raise ConfigError(
                f"option {option} of export to {name}",
                expected=", ".join(known) or "none: the format has no options",
                got="an option it has not",
                hint=did_you_mean(option, known),
            )
        kind, parse = _PARSERS[known[option]]
        try:
            values[option] = parse(text)
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"option {option} of export to {name}", expected=kind, got=repr(text)
            ) from error
    return export(**values)


def _load_packages(name: str, export: type[Export]) -> None:
    """Import the packages of a format.

    Raises:
        ConfigError: one is not installed; it names the extra.
    """
    for package in export.packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ConfigError.of_absent(
                f"export to {name}", package, export.extra, error
            ) from error
