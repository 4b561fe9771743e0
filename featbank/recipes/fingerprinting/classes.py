"""Digests of classes: their bases, and the methods and constants that may be used."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch

from featbank.files.provenance import digest
from featbank.recipes.fingerprinting.installed import package_of
from featbank.recipes.fingerprinting.walk import Walk

if TYPE_CHECKING:
    from featbank.recipes.fingerprinting.values import Values

# of a class whose objects are there already: how they were made, shown and copied
_MAKING = frozenset({"__init__", "__new__", "__post_init__", "__init_subclass__", "__setstate__"})
_NEVER = frozenset(
    {"__repr__", "__str__", "__del__", "__reduce__", "__reduce_ex__", "__getstate__", "__doc__"}
    | {"__module__", "__qualname__", "__dict__", "__weakref__", "__annotations__", "__slots__"}
    | {"__firstlineno__", "__static_attributes__", "__annotate__", "__match_args__", "__hash__"}
    | {"__dataclass_params__", "__parameters__", "__orig_bases__", "__abstractmethods__"}
    | {"_abc_impl", "__annotations_cache__", "__annotate_func__"}
)


class Classes:
    """Encodes classes, by those of their members that may be used.

    Args:
        walk: collects the parts.
        owner: the brain, of whose classes only what it uses counts.
        follow: told each method, and the class that defines it.
    """

    def __init__(self, walk: Walk, owner: object, follow: Callable[[Any, type], object]) -> None:
        self.names: set[str] = set()  # of attributes, in all the code so far
        self.any_name = False
        self.values: Values  # set once, by what makes both
        self._walk = walk
        self._owner = owner
        self._follow = follow
        self._classes: dict[type, set[str]] = {}
        self._made: set[type] = set()
        self._installed: set[type] = set()

    def encode(self, kind: type, where: str, *, made: bool = False) -> str:
        """Return the encoding of a class.

        Its methods count where they may be called: under a name that some code has, by Python
        itself, or by an installed class that they override.

        Args:
            kind: the class.
            where: it was met.
            made: whether it may be called, too; else only objects of it are used.
        """
        if self._walk.stands_for(where):
            return "named"
        tokens = []
        for base in kind.__mro__[:-1]:
            name = base.__qualname__.rpartition("<locals>.")[2]
            if package := package_of(base.__module__):
                self._walk.count_package(package)
                tokens.append(f"{package}:{name}")
                self._follow_patched(base)
            else:
                tokens.append(name)
                self._classes.setdefault(base, set())
                self._made |= {base} if made else set()
        return digest(["class", tokens])

    def _follow_patched(self, kind: type) -> None:
        """Let methods count that the user has put into a class of a package."""
        if kind in self._installed:
            return
        self._installed.add(kind)
        for name, member in sorted(vars(kind).items()):
            if not isinstance(member, FunctionType) or _is_generated(member):
                continue
            if package_of(member.__module__, member.__code__.co_filename) is None:
                what = f"{kind.__name__}.{name}"
                self._walk.parts[what] = self.values.encode(member, what)

    def add_members(self) -> bool:
        """Let members count that may be used now; return whether there are new ones."""
        changed = False
        for kind, done in list(self._classes.items()):
            for name, member in sorted(vars(kind).items()):
                if name not in done and self._may_be_used(kind, name):
                    done.add(name)
                    changed = True
                    self._add_member(kind, name, member)
        return changed

    def _may_be_used(self, kind: type, name: str) -> bool:
        if name in _NEVER or (issubclass(kind, enum.Enum) and name.startswith("_")):
            return False
        if name in _MAKING:
            return kind in self._made
        if name in self.names or self.any_name or name == "forward":
            return True
        if name.startswith("__") and name.endswith("__"):
            return True
        if isinstance(self._owner, kind):
            return False  # what computes goes by the names it uses
        return any(name in vars(base) for base in _overridable(kind))

    def _add_member(self, kind: type, name: str, member: Any) -> None:
        called = isinstance(member, FunctionType | staticmethod | classmethod | property)
        called = called or isinstance(member, functools.cached_property)
        if (is_dataclass(kind) or issubclass(kind, tuple)) and _is_generated(member):
            return  # of fields that count themselves
        if called:
            self._follow(member, kind)
        elif isinstance(member, enum.Enum):
            what = f"{kind.__qualname__.rpartition('<locals>.')[2]}.{name}"
            self._walk.parts[what] = self.values.encode(member.value, what)
        elif name == "__dataclass_fields__":
            fields = [(one.name, one.default, one.default_factory) for one in member.values()]
            self._walk.parts[f"{kind.__name__}: fields"] = self.values.encode(fields, kind.__name__)
        elif not name.startswith("__") and not inspect.ismemberdescriptor(member):
            what = f"{kind.__qualname__.rpartition('<locals>.')[2]}.{name}"
            place = f"self.{name}" if isinstance(self._owner, kind) else what
            self._walk.put(what, place, member, self.values.encode(member, what))


def _overridable(kind: type) -> Iterator[type]:
    """Give the installed bases whose methods may call those of a class."""
    for base in kind.__mro__[1:-1]:
        if base is not torch.nn.Module and package_of(base.__module__):
            yield base


def _is_generated(member: Any) -> bool:
    """Return whether a library has written a method, as `dataclass` does."""
    function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
    return isinstance(function, FunctionType) and function.__code__.co_filename.startswith("<")
