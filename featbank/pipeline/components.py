"""Arguments of the components of a configuration, held against their classes; none is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from inspect import Parameter
from typing import Any

from featbank.base.nearest import did_you_mean
from featbank.base.parameters import annotated_parameters
from featbank.base.trusted import locate_class
from featbank.errors import ConfigError
from featbank.pipeline.faults import Origin
from featbank.pipeline.schema import ComponentOption

_NAMED = 12


def component_faults(
    config: object, origin: Origin, trusted_modules: Sequence[str]
) -> Iterator[ConfigError]:
    """Yield the arguments of components that their classes do not take, or lack.

    Args:
        config: of a stage, validated.
        origin: of its values.
        trusted_modules: packages beside featbank whose classes may be named.
    """
    for place, arguments in _components(config, ""):
        yield from _faults(arguments, place, origin, trusted_modules)


def _components(node: object, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the components of a configuration behind their keys: feature.extractor."""
    if isinstance(node, ComponentOption):
        yield place, node.arguments
    elif isinstance(node, list | tuple):
        for number, one in enumerate(node):
            yield from _components(one, f"{place}.{number}")
    elif is_dataclass(node):
        for one in fields(node):
            yield from _components(getattr(node, one.name), f"{place}.{one.name}".lstrip("."))


def _faults(
    arguments: Mapping[str, Any], place: str, origin: Origin, trusted_modules: Sequence[str]
) -> Iterator[ConfigError]:
    file = origin.file(place)
    try:
        found = locate_class(str(arguments["_target_"]), trusted_modules)
    except ConfigError as error:
        what = f"{place} in {file}: {error.what}"
        yield ConfigError(what, expected=error.expected, got=error.got, hint=error.hint)
        return
    parameters = annotated_parameters(found)
    given = {name: value for name, value in arguments.items() if name != "_target_"}
    for name in given.keys() - parameters.keys():
        free = [one for one in parameters if one not in given]
        more = ", ..." if len(parameters) > _NAMED else ""
        yield ConfigError(
            f"{place}.{name}",
            expected=f"a key of {found.__name__}",
            got=f"one in {file} that nothing reads",
            hint=did_you_mean(name, free, f"it reads {', '.join([*parameters][:_NAMED])}{more}"),
        )
    needed = [name for name, one in parameters.items() if one.default is Parameter.empty]
    if lacking := [name for name in needed if name not in given]:
        yield ConfigError(
            place, expected=f"a value for {', '.join(lacking)}", got=f"none in {file}"
        )
    for name, value in given.items():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Mapping) and "_target_" in inner:
                yield from _faults(inner, f"{place}.{name}", origin, trusted_modules)
