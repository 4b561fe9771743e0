"""Import of the classes that a configuration names: only those of packages that are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from featbank.base.registry import registered_class
from featbank.errors import ConfigError


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


def _is_of_kind(found: type, kind: type) -> bool:
    try:
        return issubclass(found, kind)
    except TypeError:  # a protocol with properties, which a class may have on its objects alone
        names = [name for name in dir(kind) if not name.startswith("_")]
        methods = [name for name in names if callable(getattr(kind, name))]
        return all(callable(getattr(found, name, None)) for name in methods)


def _under(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)
