"""Digests of code: a function and all that it calls in code that is not installed."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import torch

from featbank.files.provenance import digest
from featbank.recipes.fingerprinting.classes import Classes
from featbank.recipes.fingerprinting.installed import package_of
from featbank.recipes.fingerprinting.reading import read_uses
from featbank.recipes.fingerprinting.scope import Scope, closure_of
from featbank.recipes.fingerprinting.sources import NoSourceError, find_definition
from featbank.recipes.fingerprinting.syntax import syntax_digest
from featbank.recipes.fingerprinting.uses import Root, Uses
from featbank.recipes.fingerprinting.walk import Walk

if TYPE_CHECKING:
    from featbank.recipes.fingerprinting.values import Values

# what counts by its source, or its package's version
_BY_ITSELF = (FunctionType, BuiltinFunctionType, type, functools._lru_cache_wrapper)
_PLAIN = (type(None), bool, int, float, str, tuple, torch.nn.Module, torch.Tensor)


@dataclass(frozen=True, slots=True)
class _Method:
    """A function, and the class that defines it where it is a method of the recipe's own."""

    function: FunctionType
    defined_in: type | None = None
    is_owners: bool = False


class Code:
    """Follows calls, and encodes functions and classes.

    Args:
        walk: collects the parts.
        owner: the brain, whose methods count by what they use of it.
        roots: objects that stand for a root, by `id`.
        read_root: told what is used of a root, and by which function of which class.
    """

    def __init__(
        self,
        walk: Walk,
        owner: object,
        roots: dict[int, Root],
        read_root: Callable[[Root, str, type | None], None],
    ) -> None:
        self._walk = walk
        self._owner = owner
        self._roots = roots
        self._read_root = read_root
        self._main_file = ""
        self._queue: deque[_Method] = deque()
        self._labels: dict[int, str] = {}
        self._taken: set[str] = set()
        self._followed: list[FunctionType] = []  # kept, so that no id is used again
        self.classes = Classes(walk, owner, self._follow_member)
        self._values: Values

    def start(self, function: Callable[..., Any], *, is_owners: bool) -> None:
        """Follow the function that computes the features."""
        self._main_file = getattr(getattr(function, "__code__", None), "co_filename", "")
        self.follow(function, is_owners=is_owners)

    def run(self) -> None:
        """Follow all calls that are queued, until there are no new ones."""
        while self._queue or self.classes.add_members():
            if self._queue:
                self._process(self._queue.popleft())

    @property
    def values(self) -> Values:
        """Encodes what functions and classes hold; set once, by what makes both."""
        return self._values

    @values.setter
    def values(self, values: Values) -> None:
        self._values = self.classes.values = values

    # functions

    def follow(
        self, function: Any, *, is_owners: bool = False, defined_in: type | None = None
    ) -> str:
        """Count the source of a function and of what it calls; return how it is called."""
        if isinstance(function, staticmethod | classmethod):
            is_owners = is_owners and isinstance(function, classmethod)
            function = function.__func__
        if isinstance(function, property):
            inner = [function.fget]
        elif isinstance(function, functools.cached_property):
            inner = [function.func]
        elif isinstance(function, functools._lru_cache_wrapper):
            inner = [function.__wrapped__]
        elif isinstance(function, FunctionType):
            return self._follow(function, is_owners, defined_in)
        else:
            return self._native(function)
        for one in inner:
            self.follow(one, is_owners=is_owners, defined_in=defined_in)
        return type(function).__name__

    def _follow_member(self, member: Any, kind: type) -> None:
        self.follow(member, defined_in=kind)

    def _follow(self, function: FunctionType, is_owners: bool, defined_in: type | None) -> str:
        is_owners = is_owners or self._is_method_of_owner(function)
        if id(function) not in self._labels:
            self._labels[id(function)] = self._label(function)
            self._followed.append(function)
            self._queue.append(_Method(function, defined_in, is_owners))
        return self._labels[id(function)]

    def _is_method_of_owner(self, function: FunctionType) -> bool:
        name = function.__qualname__
        return any(
            name == f"{base.__qualname__}.{function.__name__}"
            and base.__module__ == function.__module__
            and isinstance(base.__dict__.get(function.__name__), FunctionType | property)
            for base in type(self._owner).__mro__
        )

    def _label(self, function: FunctionType) -> str:
        file = function.__code__.co_filename
        name = function.__qualname__.rpartition("<locals>.")[2]
        if not self._taken:
            name = function.__name__  # the first one is what computes
        elif file != self._main_file:
            name = f"{Path(file).stem}.{name}"
        label, number = name, 1
        while label in self._taken:
            number += 1
            label = f"{name} ({number})"
        self._taken.add(label)
        return label

    def _native(self, function: Any) -> str:
        module = getattr(function, "__module__", None) or type(function).__module__
        name = getattr(function, "__qualname__", type(function).__name__)
        if package := package_of(module):
            self._walk.count_package(package)
        else:
            self._walk.refuse(f"source of {name}", "compiled code has no source")
        return f"native {name}"

    def _process(self, method: _Method) -> None:
        function = method.function
        label = self._labels[id(function)]
        what = f"source of {label}"
        if self._walk.stands_for(what):
            return
        code = function.__code__
        if package := package_of(function.__module__, code.co_filename):
            self._walk.count_package(package)
            self._inside_installed(function, label)
            return
        try:
            definition = find_definition(code, function.__globals__)
        except NoSourceError as error:
            self._walk.refuse(what, str(error))
            return
        defaults = [function.__defaults__, function.__kwdefaults__]
        encoded = self.values.encode(defaults, f"defaults of {label}")
        self._walk.parts[what] = digest([syntax_digest(definition), encoded])
        first = code.co_varnames[:1] if method.is_owners and code.co_argcount else ()
        roots = dict.fromkeys(first, Root.OWNER)
        scope = Scope(function, roots, self._roots, self._owner)
        scope.bind_aliases(definition)
        self._use(read_uses(definition, scope), method, label)
        if isinstance(inner := getattr(function, "__wrapped__", None), FunctionType):
            self.follow(inner, is_owners=method.is_owners)

    def _inside_installed(self, function: FunctionType, label: str) -> None:
        """Follow what a package's decorator, or another of its functions, was given."""
        held = dict(closure_of(function))
        held |= {"__wrapped__": getattr(function, "__wrapped__", None)}
        for name, one in sorted(held.items()):
            # the table of `functools.singledispatch`
            table = dict(one).values() if isinstance(one, dict | MappingProxyType) else ()
            for value in (one, *table):
                if callable(value) or (isinstance(value, _PLAIN) and value is one):
                    what = f"{name} of {label}"
                    encoded = self.values.encode(value, what)
                    holds = callable(value) or isinstance(value, torch.Tensor)
                    if holds and not isinstance(value, _BY_ITSELF):
                        self._walk.parts[what] = encoded  # such as a module: what it holds

    def _use(self, uses: Uses, method: _Method, label: str) -> None:
        self.classes.names |= uses.names
        self.classes.any_name |= uses.any_name
        self._walk.written |= uses.written
        for root, name in sorted(uses.attributes, key=lambda use: (use[0].value, use[1])):
            self._read_root(root, name, method.defined_in or self._class_of(method.function))
        for root, text in uses.whole.items():
            self._read_whole(root, text)
        for function, text in uses.handed:
            if self._is_method_of_owner(function):
                self.follow(function, is_owners=True)
            else:
                self._read_whole(Root.OWNER, text)
                self.follow(function)
        for text, call in uses.dynamic.items():
            self._walk.refuse(f"{text} of {label}", f"{call} takes names that are not written down")
        closure = closure_of(method.function)
        prefix = ""
        if method.function.__code__.co_filename != self._main_file:
            prefix = f"{Path(method.function.__code__.co_filename).stem}."
        for text, found in sorted(uses.known.items()):
            is_closure = text.partition(".")[0] in closure
            what = f"{text} of {label}" if is_closure else f"{prefix}{text}"
            self._use_object(found, what, text)

    def _read_whole(self, root: Root, text: str) -> None:
        if root is Root.MODULES:
            self._read_root(root, "", None)
        else:
            name = "self" if root is Root.SUPER else root.value
            self._walk.refuse(name, f"{text} may use anything of it")

    def _class_of(self, function: FunctionType) -> type | None:
        """Return the class of the owner that defines a method, for what `super()` means in it."""
        cell = closure_of(function).get("__class__")
        return cell if isinstance(cell, type) else None

    def _use_object(self, found: Any, what: str, text: str) -> None:
        if isinstance(found, ModuleType):
            if package := package_of(found.__name__, getattr(found, "__file__", None)):
                self._walk.count_package(package)
            elif package_of(found.__name__) is None:
                self._walk.refuse(what, "a Python module is handed on whole")
        elif isinstance(found, type):
            # by its class, a method reads a constant or calls another; the owner is made already
            self.classes.encode(found, what, made=not isinstance(self._owner, found))
        elif isinstance(found, FunctionType):
            if not self._walk.stands_for(what):
                self.follow(found)
        else:
            encoded = self.values.encode(found, what)
            if not encoded.startswith("function native ") and encoded != "neutral":
                self._walk.put(what, text, found, encoded)

    def encode(self, value: Any, where: str) -> str:
        """Return the encoding of a function or class that is a value, and count its code."""
        if isinstance(value, type):
            return self.classes.encode(value, where, made=True)
        if isinstance(value, FunctionType) and self._walk.stands_for(where):
            return "named"
        return f"function {self.follow(value)}"


def bound(value: Any) -> tuple[Any, object | None]:
    """Return a function and what it is bound to."""
    return (value.__func__, value.__self__) if isinstance(value, MethodType) else (value, None)
