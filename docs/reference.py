"""The pages of the API reference, one a public module, and which modules those are.

No list is kept by hand. A module is public if a page of the docs tells its readers to use it, or if
it is the face of a package that has a registry; and so are the errors, which any of them raises.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import featbank
from featbank.base.registry import Registry
from featbank.errors import ConfigError

_NAMED = re.compile(r"\bfeatbank(?:\.[a-z_0-9]+)+")
_ENTRY = "```{{eval-rst}}\n.. auto{kind}:: {name}\n{options}```\n"
_ABSENT = "*Not documented here, for what it needs is not installed: {why}*\n"


def public_modules(pages: Iterable[str]) -> dict[str, ModuleType | str]:
    """Find the modules that people import.

    Args:
        pages: texts of the docs.

    Returns:
        Each by its name, sorted: the module, or what it lacks where an extra is not installed.
    """
    below = {one.name for one in pkgutil.walk_packages(featbank.__path__, "featbank.")}
    faces = {
        name for name in below if name.count(".") == 1 and any(_registries(import_module(name)))
    }
    named = {name for page in pages for name in _NAMED.findall(page)} & below
    return {name: _imported(name) for name in sorted(faces | named | {"featbank.errors"})}


def reference_pages(modules: Mapping[str, ModuleType | str]) -> dict[str, str]:
    """Write the pages: the file name of each, and its Markdown with Sphinx's directives."""
    pages = {f"{name}.md": _page(name, module) for name, module in modules.items()}
    lines = [f"| [`{name}`]({name}.md) | {_summary(module)} |" for name, module in modules.items()]
    names = "\n".join(modules)
    pages["index.md"] = (
        "# API reference\n\nThe classes and functions that people use, by the module they are "
        "imported from, as their docstrings\nhave them. What is not here may change without a "
        "word.\n\n| module | what it has |\n| --- | --- |\n"
        + "\n".join(lines)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    )
    return pages


def public_names(module: ModuleType) -> list[str]:
    """List the classes and functions that a module offers, by the names they have there."""
    names = list(getattr(module, "__all__", ()))
    for registry in _registries(module):
        names += [
            place.rpartition(":")[2] for place in (registry.contract, *registry.table.values())
        ]
    if not names:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]
    values = {name: getattr(module, name) for name in dict.fromkeys(names)}
    return [name for name, value in values.items() if _kind(value)]


def _page(name: str, module: ModuleType | str) -> str:
    heading = f"# {name}\n\n"
    if isinstance(module, str):
        return heading + _ABSENT.format(why=module)
    values = {one: getattr(module, one) for one in public_names(module)}
    entries = [
        _ENTRY.format(
            kind=_kind(value), name=f"{name}.{one}", options=_members(value, set(values.values()))
        )
        for one, value in values.items()
    ]
    return heading + inspect.cleandoc(module.__doc__ or "") + "\n\n" + "\n".join(entries)


def _kind(value: Any) -> str:
    """Say which directive documents it; nothing for what is neither class nor function."""
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if inspect.isfunction(value) else ""


def _members(value: Any, documented: set[Any]) -> str:
    """Choose the members of a class: of what it inherits, those that no entry beside it has."""
    if not inspect.isclass(value):
        return ""
    above = {name for one in value.__mro__[1:] if one in documented for name in vars(one)}
    ours = [one for one in value.__mro__ if one.__module__.partition(".")[0] == "featbank"]
    names = dict.fromkeys(name for one in ours for name in vars(one) if not name.startswith("_"))
    # of a named tuple, whose docstring tells them
    fields = getattr(value, "_fields", ()) if issubclass(value, tuple) else ()
    own = [name for name in names if name not in above]
    if not own:
        return ""
    # with what is inherited Sphinx adds all that is, so a built-in class has to end it
    options = [f":members: {', '.join(own)}", ":inherited-members: BaseException, dict, tuple"]
    options += [f":exclude-members: {', '.join(fields)}"] * bool(fields)
    return "".join(f"   {option}\n" for option in options)


def _summary(module: ModuleType | str) -> str:
    if isinstance(module, str):
        return module
    return inspect.cleandoc(module.__doc__ or "").partition("\n")[0]


def _registries(module: ModuleType) -> Iterator[Registry]:
    return (value for value in vars(module).values() if isinstance(value, Registry))


def _imported(name: str) -> ModuleType | str:
    try:
        module = import_module(name)
        public_names(module)  # which a registry imports
    except (ImportError, ConfigError) as error:
        return str(error)
    return module
