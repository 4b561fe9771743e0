"""Digests of code: a function and all that it calls in code that is not installed."""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import torch

from featbank.fingerprinting.installed import package_of
from featbank.fingerprinting.reading import Root, Uses, closure_of, read_uses
from featbank.fingerprinting.sources import NoSourceError, find_definition
from featbank.fingerprinting.syntax import syntax_digest
from featbank.fingerprinting.walk import Walk
from featbank.provenance import digest

if TYPE_CHECKING:
    from featbank.fingerprinting.values import Values

# of a class whose objects are there already: how they were made, shown and copied
_MAKING = frozenset({"__init__", "__new__", "__post_init__", "__init_subclass__", "__setstate__"})
_NEVER = frozenset(
    {"__repr__", "__str__", "__del__", "__reduce__", "__reduce_ex__", "__getstate__", "__doc__"}
    | {"__module__", "__qualname__", "__dict__", "__weakref__", "__annotations__", "__slots__"}
    | {"__firstlineno__", "__static_attributes__", "__annotate__", "__match_args__", "__hash__"}
    | {"__dataclass_params__", "__parameters__", "__orig_bases__", "__abstractmethods__"}
    | {"_abc_impl", "__annotations_cache__", "__annotate_func__"}
)
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
        self._classes: dict[type, set[str]] = {}
        self._made: set[type] = set()
        self._names: set[str] = set()
        self._any_name = False
        self.values: Values  # set once, by what makes both

    def start(self, function: Callable[..., Any], *, is_owners: bool) -> None:
        """Follow the function that computes the features."""
        self._main_file = getattr(getattr(function, "__code__", None), "co_filename", "")
        self.follow(function, is_owners=is_owners)

    def run(self) -> None:
        """Follow all that waits, until nothing is new."""
        while self._queue or self._add_members():
            if self._queue:
                self._process(self._queue.popleft())

    # functions

    def follow(
        self, function: Any, *, is_owners: bool = False, defined_in: type | None = None
    ) -> str:
        """Let the source of a function count, and of what it calls; return how it is called."""
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
        if package := package_of(module):
            self._walk.count_package(package)
        return f"native {getattr(function, '__qualname__', type(function).__name__)}"

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
        uses = read_uses(definition, function, dict.fromkeys(first, Root.OWNER), self._roots)
        self._use(uses, method, label)
        if isinstance(inner := getattr(function, "__wrapped__", None), FunctionType):
            self.follow(inner, is_owners=method.is_owners)

    def _inside_installed(self, function: FunctionType, label: str) -> None:
        """Follow what a package's decorator, or another of its functions, was given."""
        for name, one in sorted(closure_of(function).items()):
            if callable(one) or isinstance(one, _PLAIN):
                self.values.encode(one, f"{name} of {label}")

    def _use(self, uses: Uses, method: _Method, label: str) -> None:
        self._names |= uses.names
        self._any_name |= uses.any_name
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
            self._use_object(found, f"{text} of {label}" if is_closure else f"{prefix}{text}")

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

    def _use_object(self, found: Any, what: str) -> None:
        if isinstance(found, ModuleType):
            if package := package_of(found.__name__, getattr(found, "__file__", None)):
                self._walk.count_package(package)
            elif package_of(found.__name__) is None:
                self._walk.refuse(what, "a Python module is handed on whole")
        elif isinstance(found, type):
            self.encode_class(found, what, made=True)
        elif isinstance(found, FunctionType):
            if not self._walk.stands_for(what):
                self.follow(found)
        else:
            encoded = self.values.encode(found, what)
            if not encoded.startswith("function native ") and encoded != "neutral":
                self._walk.put(what, what.partition(" of ")[0].rpartition(".")[2], found, encoded)

    # classes

    def encode(self, value: Any, where: str) -> str:
        """Return what stands for a function or a class that is a value, and let its code count."""
        if isinstance(value, type):
            return self.encode_class(value, where, made=True)
        if isinstance(value, FunctionType) and self._walk.stands_for(where):
            return "named"
        return f"function {self.follow(value)}"

    def encode_class(self, kind: type, where: str, *, made: bool = False) -> str:
        """Return what stands for a class.

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
            else:
                tokens.append(name)
                self._classes.setdefault(base, set())
                self._made |= {base} if made else set()
        return digest(["class", tokens])

    def _add_members(self) -> bool:
        """Follow methods of classes that may be called now; return whether there are new ones."""
        before = len(self._queue)
        changed = False
        for kind, done in list(self._classes.items()):
            for name, member in sorted(vars(kind).items()):
                if name not in done and self._may_be_used(kind, name):
                    done.add(name)
                    changed = True
                    self._add_member(kind, name, member)
        return changed or len(self._queue) > before

    def _may_be_used(self, kind: type, name: str) -> bool:
        if name in _NEVER:
            return False
        if name in _MAKING:
            return kind in self._made
        if name in self._names or self._any_name or name == "forward":
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
            self.follow(member, defined_in=kind)
        elif name == "__dataclass_fields__":
            fields = [(one.name, one.default, one.default_factory) for one in member.values()]
            self._walk.parts[f"{kind.__name__}: fields"] = self.values.encode(fields, kind.__name__)
        elif not name.startswith("__") and not inspect.ismemberdescriptor(member):
            what = f"{kind.__qualname__.rpartition('<locals>.')[2]}.{name}"
            self._walk.put(what, name, member, self.values.encode(member, what))


def _overridable(kind: type) -> Iterator[type]:
    """Give the installed bases whose methods may call those of a class."""
    for base in kind.__mro__[1:-1]:
        if base is not torch.nn.Module and package_of(base.__module__):
            yield base


def _is_generated(member: Any) -> bool:
    """Return whether a library has written a method, as `dataclass` does."""
    function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
    return isinstance(function, FunctionType) and function.__code__.co_filename.startswith("<")


def bound(value: Any) -> tuple[Any, object | None]:
    """Return a function and what it is bound to."""
    return (value.__func__, value.__self__) if isinstance(value, MethodType) else (value, None)
