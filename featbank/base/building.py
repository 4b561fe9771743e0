"""Construction of the objects that a configuration describes: all is checked, then built."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from inspect import Parameter
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import numpy as np

from featbank.base.components import MADE_WITH, Component, ComponentConfig
from featbank.base.nearest import did_you_mean
from featbank.base.parameters import annotated_parameters, bind
from featbank.base.trusted import locate_class
from featbank.errors import ConfigError

Built = TypeVar("Built")

_PLAIN = (bool, int, float, str, type(None))
_CONTAINERS: dict[type, str] = {Sequence: "a list: [value]", Mapping: "a mapping: {name: value}"}
# what torch says of them
_TOO_LARGE = re.compile("allocate memory|overflow|invalid size")


def build(
    config: ComponentConfig | Mapping[str, Any],
    trusted_modules: Sequence[str] = (),
    kind: type[Any] = object,
) -> Any:
    """Build the object that `config` describes: a component, or `_target_` and its arguments.

    An argument whose annotation is a class may have a `_target_` of its own, and so may each of a
    list. All are checked before the first is built, for building one may already write.

    Args:
        config: of the object.
        trusted_modules: packages beside featbank that a `_target_` may name.
        kind: what the object must be: a base class, or a protocol that `isinstance` can check.

    Raises:
        ConfigError: no `_target_`, an untrusted one, one of another kind, or arguments that the
            class does not take.
    """
    component = config if isinstance(config, ComponentConfig) else ComponentConfig.of(config)
    return _plan(component, trusted_modules, (kind,))()


def _plan(
    component: ComponentConfig, trusted_modules: Sequence[str], kinds: Sequence[type]
) -> Callable[[], Any]:
    """Check what a configuration chooses, and return what builds it."""
    found = locate_class(component.target, trusted_modules, kinds)
    given = {name: _plain(value) for name, value in component.arguments.items()}
    parameters = check_names(found, given, component.target)
    inner = {
        name: _plan_argument(
            value,
            _classes(parameters[name].annotation),
            trusted_modules,
            f"{component.target}: {name}",
        )
        for name, value in given.items()
    }

    def make() -> Any:
        arguments = {name: one() for name, one in inner.items()}
        made: Any = construct(found, arguments, component.target)
        if not isinstance(made, tuple(kinds)):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise ConfigError(f"_target_ {component.target!r}", expected=names, got=found.__name__)
        if not isinstance(made, Component):
            with suppress(AttributeError, TypeError):  # a class of slots has room for nothing else
                object.__setattr__(made, MADE_WITH, bind(found, (), arguments))
        return made

    return make


def _plain(value: Any) -> Any:
    """Return a value with the numbers of Python in the place of NumPy's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _plan_argument(
    value: Any, kinds: Sequence[type], trusted_modules: Sequence[str], where: str
) -> Callable[[], Any]:
    if kinds and isinstance(value, Mapping) and "_target_" in value:
        return _plan(ComponentConfig.of(value), trusted_modules, kinds)
    if kinds and isinstance(value, list):
        each = [_plan_argument(one, kinds, trusted_modules, where) for one in value]
        return lambda: [one() for one in each]
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            if "_target_" in one:
                raise ConfigError(
                    where, expected="values", got=f"_target_ {one['_target_']!r}, where none goes"
                )
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
    return lambda: value


def _classes(annotation: Any) -> list[type]:
    """Return the classes of an annotation whose objects a configuration may describe."""
    if inner := get_args(annotation):
        return [found for one in inner for found in _classes(one)]
    is_ours = isinstance(annotation, type) and annotation.__module__ != "builtins"
    return [annotation] if is_ours and not issubclass(annotation, os.PathLike) else []


def check_names(found: type, arguments: Collection[str], where: str) -> Mapping[str, Parameter]:
    """Return the parameters of a class by name, if `arguments` are among them.

    Raises:
        ConfigError: one is not, or one that has no default is not given.
    """
    parameters = annotated_parameters(found)
    for name in arguments:
        if name not in parameters:
            raise ConfigError(
                f"{where}: {name}",
                expected=f"one of {', '.join(parameters)}" if parameters else "no option",
                got="an option that there is not",
                hint=did_you_mean(str(name), parameters),
            )
    required = [name for name, one in parameters.items() if one.default is Parameter.empty]
    if missing := [name for name in required if name not in arguments]:
        raise ConfigError(where, expected=f"a value for {', '.join(missing)}", got="none")
    return parameters


def construct(found: type[Built], arguments: Mapping[str, Any], where: str) -> Built:
    """Call a class with arguments that a configuration gives.

    Args:
        found: the class.
        arguments: by name.
        where: the arguments' place in the configuration, for errors.

    Raises:
        ConfigError: an argument is unknown, missing, of another type than its annotation says, or
            refused by the class.
    """
    parameters = check_names(found, arguments, where)
    for name, value in arguments.items():
        check_type(value, parameters[name].annotation, f"{where}: {name}")
        # a text would pass for a list of its letters
        _check_container(value, parameters[name].annotation, Sequence, f"{where}: {name}")
    try:
        return found(**arguments)
    except (ArithmeticError, AttributeError, MemoryError, TypeError, ValueError) as error:
        for name, value in arguments.items():  # now, for a class may have said it in its own words
            _check_container(value, parameters[name].annotation, Mapping, f"{where}: {name}")
        if isinstance(error, AttributeError):  # a fault of the class: its traceback is wanted
            raise
        raise ConfigError(where, got=str(error) or type(error).__name__) from error
    except RuntimeError as error:
        if not _TOO_LARGE.search(str(error)):
            raise
        raise ConfigError(
            where, expected="numbers of which arrays can be made", got=str(error).splitlines()[0]
        ) from error


def check_type(value: object, annotation: Any, where: str) -> None:
    """Refuse a configuration value of another plain type: `no` is a text, not false.

    Annotations other than bool, int, float, str, None and unions of them are not looked at.

    Raises:
        ConfigError: the types differ.
    """
    options = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    if not all(option in _PLAIN for option in options):
        return
    accepted = {*options, *([int] if float in options else [])}
    if type(value) not in accepted:
        names = " or ".join("null" if one is type(None) else one.__name__ for one in options)
        raise ConfigError(where, expected=names, got=f"{type(value).__name__} {value!r}")


def _check_container(value: object, annotation: Any, container: type, where: str) -> None:
    """Refuse a value that is no list, or no mapping, where an annotation names that container."""
    options = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    origins = {get_origin(one) for one in options}
    if type(value) in options or container not in origins:
        return
    if any(one in origins and isinstance(value, one) for one in _CONTAINERS if one != container):
        return  # a list, where a list or a mapping is meant
    if not isinstance(value, container) or isinstance(value, str):
        raise ConfigError(where, expected=_CONTAINERS[container], got=repr(value))
