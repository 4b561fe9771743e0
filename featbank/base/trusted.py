"""Import and construction of the classes that a configuration names; checks of folder names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from inspect import Parameter
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import numpy as np

from featbank.base.components import MADE_WITH, Component, ComponentConfig
from featbank.base.nearest import did_you_mean
from featbank.base.parameters import annotated_parameters, bind
from featbank.base.registry import registered_class
from featbank.errors import ConfigError

Built = TypeVar("Built")

_PLAIN = (bool, int, float, str, type(None))
_CONTAINERS: dict[type, str] = {Sequence: "a list: [value]", Mapping: "a mapping: {name: value}"}
# what torch says of them
_TOO_LARGE = re.compile("allocate memory|overflow|invalid size")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_name(name: object, where: str) -> str:
    """Return a name that becomes a folder, if it stays below the folder it is meant for.

    Raises:
        ConfigError: it does not.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            where,
            expected="letters, digits, '.', '_' and '-', a letter or digit first",
            got=repr(name),
        )
    return name


def check_modules(names: object) -> None:
    """Refuse `trusted_modules` that is no list of package names.

    Raises:
        ConfigError: it is none.
    """
    fine = isinstance(names, list) and all(
        isinstance(name, str) and all(part.isidentifier() for part in name.split("."))
        for name in names
    )
    if not fine:
        raise ConfigError("trusted_modules", expected="a list: [yourpackage]", got=repr(names))


def locate_class(
    target: str, trusted_modules: Sequence[str] = (), kinds: Sequence[type] = (object,)
) -> type:
    """Import the class that a dotted path names.

    The path and the module that really defines the class must both lie under `featbank` or one of
    `trusted_modules`: a path such as `featbank.audio.os.system` only looks like one of ours. Or the
    class is one that an installed package registers: then it alone of the package is trusted.

    Args:
        target: the path.
        trusted_modules: packages beside featbank whose classes may be named.
        kinds: of which the class must be one: base classes, or protocols.

    Raises:
        ConfigError: the class lies elsewhere, does not exist or is of another kind.
    """
    check_modules([*trusted_modules])
    trusted = ("featbank", *trusted_modules)
    if _under(target.rpartition(".")[0], trusted):
        found = _import_class(target, trusted)
    elif (registered := registered_class(target)) is not None:
        found = registered
    else:
        raise ConfigError(
            f"_target_ {target!r}",
            expected=f"a class under {', '.join(trusted)}",
            got="another module",
            hint="name its package in trusted_modules if you trust its code",
        )
    if not any(_is_of_kind(found, kind) for kind in kinds):
        raise ConfigError(
            f"_target_ {target!r}",
            expected=" or ".join(f"a class of {kind.__name__}" for kind in kinds),
            got=found.__name__,
        )
    return found


def _import_class(target: str, trusted: Sequence[str]) -> type:
    """Import a class by a path under a trusted package, if one defines it.

    Raises:
        ConfigError: there is none, or it is defined elsewhere and not registered.
    """
    module_name, _, name = target.rpartition(".")
    try:
        found = _moved(module_name, name) or getattr(import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:  # ValueError: half a surrogate pair
        raise ConfigError(f"_target_ {target!r}", expected="a class", got=str(error)) from error
    if not isinstance(found, type) or not _under(found.__module__, trusted):
        raise ConfigError(
            f"_target_ {target!r}",
            expected=f"a class defined under {', '.join(trusted)}",
            got=f"{getattr(found, '__module__', 'a value')}.{name}",
        )
    return found


def _moved(module_name: str, name: str) -> Any:
    """Return a class of ours that its package offers, where the module that held it is no more.

    `featbank.features.kaldi.Fbank` is one: a module may move, and a definition goes on.
    """
    package, _, rest = module_name.partition(".")
    if package != "featbank" or _is_there(module_name):
        return None
    while rest := rest.rpartition(".")[0]:
        if _is_there(f"featbank.{rest}"):
            return getattr(import_module(f"featbank.{rest}"), name, None)
    return None


def _is_there(module_name: str) -> bool:
    try:
        return find_spec(module_name) is not None
    except (ImportError, ValueError):  # of a package that is none; half a surrogate pair
        return False


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


def _is_of_kind(found: type, kind: type) -> bool:
    try:
        return issubclass(found, kind)
    except TypeError:  # a protocol with properties, which a class may have on its objects alone
        names = [name for name in dir(kind) if not name.startswith("_")]
        methods = [name for name in names if callable(getattr(kind, name))]
        return all(callable(getattr(found, name, None)) for name in methods)


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


def _under(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)
