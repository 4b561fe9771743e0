"""Resolution of the names in a function: the brain, modules of Python, functions, constants."""

from __future__ import annotations

import ast
import builtins
import dis
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from inspect import getattr_static
from types import CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any, TypeGuard

from featbank.errors import LIBRARY_ERRORS
from featbank.recipes.fingerprinting.installed import package_of
from featbank.recipes.fingerprinting.uses import Root

_GLOBAL_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_PASSED = (ModuleType, SimpleNamespace, dict)
_CODE = (ModuleType, FunctionType, type)
_INNER = {"hparams": Root.HPARAMS, "modules": Root.MODULES}


def closure_of(function: FunctionType) -> dict[str, Any]:
    """Return what a function's closure holds, by name; not what is not assigned yet."""
    found = {}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        try:
            found[name] = cell.cell_contents
        except ValueError:  # empty
            continue
    return found


def _loaded_globals(code: CodeType) -> Iterator[str]:
    for one in dis.get_instructions(code):
        if one.opname in _GLOBAL_LOADS and isinstance(one.argval, str):
            yield one.argval
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _loaded_globals(one)


def is_of_package(found: Any) -> bool:
    """Return whether something is a module of an installed package, or of Python."""
    is_module = isinstance(found, ModuleType)
    return is_module and package_of(found.__name__, getattr(found, "__file__", None)) is not None


def _is_get(node: ast.expr) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and node.attr == "get"


class Scope:
    """The names in a function, and the objects that they stand for.

    Args:
        function: it, with its globals and its closure.
        roots: what its parameters stand for.
        objects: the roots themselves, by `id`, which a closure or a global may hold, too.
        owner: of whose attributes some may be roots, too.
    """

    def __init__(
        self,
        function: FunctionType,
        roots: Mapping[str, Root],
        objects: Mapping[int, Root],
        owner: object,
    ) -> None:
        self._owner_classes = type(owner).__mro__[:-1]
        held = getattr(owner, "__dict__", {})
        self._inner = {name: objects[id(one)] for name, one in held.items() if id(one) in objects}
        self._inner |= _INNER
        self._package = function.__globals__.get("__package__")
        self.objects: dict[str, Any] = {}
        for name in set(_loaded_globals(function.__code__)):
            if name in function.__globals__:
                self.objects[name] = function.__globals__[name]
            elif hasattr(builtins, name):
                self.objects[name] = getattr(builtins, name)
        closure = closure_of(function)
        self.objects |= closure
        self.roots = {
            name: objects[id(one)] for name, one in self.objects.items() if id(one) in objects
        } | dict(roots)

    def bind_import(self, node: ast.Import | ast.ImportFrom) -> None:
        """Give the names of an import within the function what they will stand for."""
        # which the function may expect, or never come to
        with suppress(ImportError, OSError, *LIBRARY_ERRORS):
            if isinstance(node, ast.Import):
                for one in node.names:
                    module = importlib.import_module(one.name)
                    top = sys.modules[one.name.partition(".")[0]]
                    self.objects[one.asname or top.__name__] = module if one.asname else top
                return
            name = "." * node.level + (node.module or "")
            module = importlib.import_module(name, self._package)
            for one in node.names:
                inner = sys.modules.get(f"{module.__name__}.{one.name}")
                found = vars(module).get(one.name, inner)
                if found is None and is_of_package(module):
                    found = module  # which makes it when it is asked for
                if found is not None:
                    self.objects[one.asname or one.name] = found

    @contextmanager
    def without(self, names: set[str]) -> Iterator[None]:
        """Let some names stand for nothing: the parameters of a function within the function."""
        roots = self.roots
        self.roots = {name: root for name, root in roots.items() if name not in names}
        yield
        self.roots = roots

    def root(self, node: ast.expr) -> Root | None:
        """Return the root that an expression stands for."""
        if isinstance(node, ast.Name):
            return self.roots.get(node.id)
        if isinstance(node, ast.Attribute) and self.root(node.value) is Root.OWNER:
            return Root.OWNER if node.attr == "__class__" else self._inner.get(node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            first = self.root(node.args[0]) if node.args else None
            if node.func.id == "super" and Root.OWNER in self.roots.values():
                return Root.SUPER
            if node.func.id == "type" and len(node.args) == 1 and first is Root.OWNER:
                return Root.OWNER
            if node.func.id == "getattr" and len(node.args) > 1 and first is Root.OWNER:
                name = node.args[1]
                return self._inner.get(name.value) if isinstance(name, ast.Constant) else None
        return None

    def bind_aliases(self, definition: ast.AST) -> None:
        """Give the names that a function assigns roots to what they stand for.

        Before anything is read: a function within it may come first.
        """
        num_known = -1
        while num_known < len(self.roots):
            num_known = len(self.roots)
            for node in ast.walk(definition):
                if isinstance(node, ast.Assign) and (root := self.root(node.value)) is not None:
                    names = [one.id for one in node.targets if isinstance(one, ast.Name)]
                    self.roots |= dict.fromkeys(names, root)

    def object(self, node: ast.expr) -> tuple[str, Any] | None:
        """Return what names lead to through modules, namespaces and dicts, and their text."""
        if isinstance(node, ast.Name) and isinstance(self.objects.get(node.id), _PASSED):
            return node.id, self.objects[node.id]
        if isinstance(node, ast.Attribute) and (outer := self.object(node.value)):
            text, base = outer
            if isinstance(base, ModuleType):
                inner = sys.modules.get(f"{base.__name__}.{node.attr}")
                found = vars(base).get(node.attr, inner)
                if not isinstance(found, _CODE) and package_of(base.__name__) and found is not None:
                    found = base  # its own constants count by its version, `os.environ` not at all
                return (f"{text}.{node.attr}", found) if found is not None else None
            if isinstance(base, SimpleNamespace) and node.attr in vars(base):
                return f"{text}.{node.attr}", vars(base)[node.attr]
        if isinstance(node, ast.Subscript):
            entries = self.entries(node.value, node.slice)
        else:
            entries = self.taken(node)
        return next(iter(entries.items()), None) if entries else None

    def taken(self, node: ast.expr) -> dict[str, Any] | None:
        """Return what the `get` of a dict takes, as `entries` does."""
        if isinstance(node, ast.Call) and _is_get(node.func) and node.args:
            return self.entries(node.func.value, node.args[0])
        return None

    def entries(self, node: ast.expr, name: ast.expr) -> dict[str, Any] | None:
        """Return the entry of a name, and its text, in the dict that an expression stands for.

        Returns:
            No entry where there is none; None where it is no such dict, or no constant name.
        """
        outer = self.object(node)
        if outer is None or not isinstance(outer[1], dict) or not isinstance(name, ast.Constant):
            return None
        text, base = outer
        return {f"{text}[{name.value!r}]": base[name.value]} if name.value in base else {}

    def place(self, node: ast.expr) -> str | None:
        """Return the text of what outlives the function: an attribute of a root, a global."""
        if isinstance(node, ast.Name):
            return node.id if node.id in self.objects else None
        if not isinstance(node, ast.Attribute):
            return None
        if (root := self.root(node.value)) is not None:
            return f"{root.value}.{node.attr}"
        outer = self.place(node.value)
        if isinstance(node.value, ast.Name):
            found = self.objects.get(node.value.id)
            if isinstance(found, type) and found in self._owner_classes:
                return f"self.{node.attr}"
        return f"{outer}.{node.attr}" if outer is not None else None

    def function(self, node: ast.expr) -> FunctionType | None:
        """Return the function that an expression stands for, by its name or by its class."""
        found = None
        if isinstance(node, ast.Name):
            found = self.objects.get(node.id)
        elif isinstance(node, ast.Attribute):
            base = self.object(node.value)
            kind = base[1] if base else None
            if isinstance(node.value, ast.Name):
                kind = self.objects.get(node.value.id)
            found = getattr_static(kind, node.attr, None) if isinstance(kind, type) else None
        return found if isinstance(found, FunctionType) else None

    def asked(self, node: ast.expr) -> Root | None:
        """Return the root whose `get` an expression is."""
        root = self.root(node.value) if _is_get(node) else None
        return root if root is Root.HPARAMS or root is Root.MODULES else None

    def is_of_modules(self, node: ast.expr) -> bool:
        """Return whether an expression is one of `self.modules`."""
        if not isinstance(node, ast.Attribute | ast.Subscript):
            return False
        return self.root(node.value) is Root.MODULES

    def is_chain(self, node: ast.expr) -> bool:
        """Return whether an expression is a name with attributes."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name)
