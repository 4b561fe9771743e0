"""What a configuration may name: classes to build, and folders to write."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import signature
from typing import Any

from featbank.errors import ConfigError

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


def locate_class(target: str, trusted_modules: Sequence[str] = ()) -> type:
    """Import the class that a dotted path names.

    The path and the module that really defines the class must both lie under `featbank` or one of
    `trusted_modules`: a path such as `featbank.audio.os.system` only looks like one of ours.

    Raises:
        ConfigError: the class lies elsewhere or does not exist.
    """
    trusted = ("featbank", *trusted_modules)
    module_name, _, name = target.rpartition(".")
    if not _under(module_name, trusted):
        raise ConfigError(
            f"_target_ {target!r}",
            expected=f"a class under {', '.join(trusted)}",
            got="another module",
            hint="name its package in trusted_modules if you trust its code",
        )
    try:
        found = getattr(import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"_target_ {target!r}", expected="a class", got=str(error)) from error
    if not isinstance(found, type) or not _under(found.__module__, trusted):
        raise ConfigError(
            f"_target_ {target!r}",
            expected=f"a class defined under {', '.join(trusted)}",
            got=f"{getattr(found, '__module__', 'a value')}.{name}",
        )
    return found


def build(config: Mapping[str, Any], trusted_modules: Sequence[str] = ()) -> Any:
    """Build the object that `config` describes: `_target_` is its class, the rest its arguments.

    Raises:
        ConfigError: no `_target_`, an untrusted one, or arguments that the class does not take.
    """
    arguments = dict(config)
    target = arguments.pop("_target_", None)
    if not isinstance(target, str):
        raise ConfigError("_target_", expected="the name of a class", got=repr(target))
    found = locate_class(target, trusted_modules)
    try:
        signature(found).bind(**arguments)
    except TypeError as error:
        expected = f"arguments {signature(found)}"
        raise ConfigError(
            f"configuration of {target}", expected=expected, got=str(error)
        ) from error
    return found(**arguments)


def _under(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)
