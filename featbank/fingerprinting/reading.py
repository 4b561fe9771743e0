"""What a function uses: names of globals, of closures, and of what its brain has."""

from __future__ import annotations

import ast
import builtins
import dis
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from inspect import getattr_static
from types import CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any


class Root(Enum):
    """What of a recipe a name may stand for; the value is how errors call it."""

    OWNER = "self"
    HPARAMS = "hparams"
    MODULES = "modules"
    SUPER = "super()"


@dataclass(slots=True)
class Uses:
    """What a function reads.

    Args:
        attributes: what it uses of a root, by its name.
        known: objects that it names, by the text of the name.
        whole: roots that it hands on whole, or asks for names that are not written down.
        dynamic: other places where what is used follows from values.
        handed: functions that the owner is given to, and the text of the call.
        names: of every attribute, and every text, that it holds.
        written: names of attributes, globals and closures that it writes, or adds to.
        any_name: whether it asks an object for a name that is not written down.
    """

    attributes: set[tuple[Root, str]] = field(default_factory=set)
    known: dict[str, Any] = field(default_factory=dict)
    whole: dict[Root, str] = field(default_factory=dict)
    dynamic: dict[str, str] = field(default_factory=dict)
    handed: list[tuple[FunctionType, str]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    any_name: bool = False


# of a container: called for no result, they only write
_WRITING = frozenset({"append", "appendleft", "extend", "add", "update", "insert", "discard"})
_ASKING = frozenset({"getattr", "hasattr", "setattr"})
_DYNAMIC = frozenset({"eval", "exec", "globals", "__import__", "locals", "compile"})
_GLOBAL_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_PASSED = (ModuleType, SimpleNamespace, dict)
_INNER = {"hparams": Root.HPARAMS, "modules": Root.MODULES}


def read_uses(
    definition: ast.AST,
    function: FunctionType,
    roots: Mapping[str, Root],
    objects: Mapping[int, Root],
) -> Uses:
    """Return what a function uses.

    Args:
        definition: its syntax tree.
        function: it, with its globals and its closure.
        roots: what its parameters stand for.
        objects: the roots themselves, by `id`, which a closure or a global may hold, too.
    """
    reader = _Reader(function, roots, objects)
    reader.read(definition)
    return reader.uses


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


class _Reader(ast.NodeVisitor):
    def __init__(
        self, function: FunctionType, roots: Mapping[str, Root], objects: Mapping[int, Root]
    ) -> None:
        self.uses = Uses()
        self._package = function.__globals__.get("__package__")
        self._objects: dict[str, Any] = {}
        for name in set(_loaded_globals(function.__code__)):
            if name in function.__globals__:
                self._objects[name] = function.__globals__[name]
            elif hasattr(builtins, name):
                self._objects[name] = getattr(builtins, name)
        closure = closure_of(function)
        self._objects |= {name: one for name, one in closure.items() if name != "__class__"}
        self._roots = {
            name: objects[id(one)] for name, one in self._objects.items() if id(one) in objects
        } | dict(roots)

    def read(self, definition: ast.AST) -> None:
        """Visit the body, and the decorators, of the function itself."""
        for decorator in getattr(definition, "decorator_list", []):
            self.visit(decorator)
        body = getattr(definition, "body", [])
        for node in body if isinstance(body, list) else [body]:
            self.visit(node)

    # what hands on, or asks

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            return
        if (root := self._roots.get(node.id)) is not None:
            self._whole(root, node)
        elif node.id in self._objects:
            self._known(node.id, self._objects[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.uses.names.add(node.attr)
        if (root := self._root(node)) is not None:
            self._whole(root, node)
        elif node.attr == "training" and self._is_of_modules(node.value):
            pass  # it is in evaluation mode, whatever it is
        elif (base := self._root(node.value)) is not None:
            if isinstance(node.ctx, ast.Load):
                self.uses.attributes.add((base, node.attr))
            else:
                self.uses.written.add(node.attr)
        elif (found := self._object(node)) is not None:
            self._known(*found)
        else:
            self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        root = self._root(node.value)
        if root is Root.HPARAMS or root is Root.MODULES:
            self._ask(root, node.slice, node)
        elif isinstance(node.ctx, ast.Load) and (found := self._object(node)) is not None:
            self._known(*found)
        elif isinstance(node.ctx, ast.Load) or not self._is_chain(node.value):
            self.visit(node.value)
        else:
            self._write(node.value)
        self.visit(node.slice)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.uses.names.add(node.value)

    def visit_Call(self, node: ast.Call) -> None:  # noqa: C901
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        first = self._root(node.args[0]) if node.args else None
        arguments: list[ast.expr] = [*node.args, *(one.value for one in node.keywords)]
        if name in _ASKING and len(node.args) > 1:
            if first is not None:
                self._ask(first, node.args[1], node)
                arguments = arguments[1:]
            elif not isinstance(node.args[1], ast.Constant):
                self._ask_anything(node)
        elif name == "isinstance" and first is not None:
            arguments = arguments[1:]
        elif name == "type" and first is Root.OWNER and len(node.args) == 1:
            self._whole(Root.OWNER, node)
            return
        elif name in _DYNAMIC and self._objects.get(name) is getattr(builtins, name, None):
            self.uses.dynamic[f"{name}()"] = ast.unparse(node)
        elif (root := self._asked(node.func)) is not None and node.args:
            self._ask(root, node.args[0], node)
            for one in arguments[1:]:
                self.visit(one)
            return
        elif first is Root.OWNER and (function := self._function(node.func)) is not None:
            # a method by its class, or what a decorator wraps, if it is the owner's
            self.uses.handed.append((function, ast.unparse(node)))
            for one in arguments[1:]:
                self.visit(one)
            return
        self.visit(node.func)
        for one in arguments:
            self.visit(one)

    def visit_Compare(self, node: ast.Compare) -> None:
        [*_, last] = node.comparators
        root = self._root(last)
        if root is not None and isinstance(node.ops[-1], ast.In | ast.NotIn):
            self._ask(root, node.left, node)
            self.visit(node.left)
        else:
            self.generic_visit(node)

    # what only writes

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._write(node.target)
        if isinstance(node.target, ast.Subscript):
            self.visit(node.target.slice)
        self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr in _WRITING
            and self._is_chain(call.func.value)
        ):
            self.uses.names.add(call.func.attr)
            self._write(call.func.value)
            for one in (*call.args, *(one.value for one in call.keywords)):
                self.visit(one)
        else:
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        root = self._root(node.value)
        if root is not None and all(isinstance(one, ast.Name) for one in node.targets):
            self._roots |= {one.id: root for one in node.targets if isinstance(one, ast.Name)}
        else:
            self.generic_visit(node)

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        self.uses.written.update(node.names)

    visit_Nonlocal = visit_Global  # noqa: N815

    def _write(self, target: ast.expr) -> None:
        while isinstance(target, ast.Subscript):
            target = target.value
        if isinstance(target, ast.Attribute):
            self.uses.written.add(target.attr)
        elif isinstance(target, ast.Name):
            self.uses.written.add(target.id)

    # what defines names

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        for one in getattr(node, "decorator_list", []):
            self.visit(one)
        for one in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(one)
        inner = [node.args.vararg, node.args.kwarg, *node.args.posonlyargs, *node.args.args]
        with self._without({one.arg for one in (*inner, *node.args.kwonlyargs) if one}):
            for one in node.body if isinstance(node.body, list) else [node.body]:
                self.visit(one)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815
    visit_Lambda = visit_FunctionDef  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        self.visit(node.target)

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            module = importlib.import_module(one.name)
            top = sys.modules[one.name.partition(".")[0]]
            self._objects[one.asname or top.__name__] = module if one.asname else top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        name = "." * node.level + (node.module or "")
        module = importlib.import_module(name, self._package)
        for one in node.names:
            found = vars(module).get(one.name)
            if found is None:
                found = sys.modules.get(f"{module.__name__}.{one.name}")
            if found is not None:
                self._objects[one.asname or one.name] = found

    @contextmanager
    def _without(self, names: set[str]) -> Iterator[None]:
        roots = self._roots
        self._roots = {name: root for name, root in roots.items() if name not in names}
        yield
        self._roots = roots

    # what an expression stands for

    def _root(self, node: ast.expr) -> Root | None:
        if isinstance(node, ast.Name):
            return self._roots.get(node.id)
        if isinstance(node, ast.Attribute) and self._root(node.value) is Root.OWNER:
            return Root.OWNER if node.attr == "__class__" else _INNER.get(node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            first = self._root(node.args[0]) if len(node.args) == 1 else None
            if node.func.id == "super" and Root.OWNER in self._roots.values():
                return Root.SUPER
            if node.func.id == "type" and first is Root.OWNER:
                return Root.OWNER
        return None

    def _object(self, node: ast.expr) -> tuple[str, Any] | None:
        """Return what names lead to through modules, namespaces and dicts, and their text."""
        if isinstance(node, ast.Name) and isinstance(self._objects.get(node.id), _PASSED):
            return node.id, self._objects[node.id]
        if isinstance(node, ast.Attribute) and (outer := self._object(node.value)):
            text, base = outer
            if isinstance(base, ModuleType):
                inner = sys.modules.get(f"{base.__name__}.{node.attr}")
                found = vars(base).get(node.attr, inner)
                return (f"{text}.{node.attr}", found) if found is not None else None
            if isinstance(base, SimpleNamespace) and node.attr in vars(base):
                return f"{text}.{node.attr}", vars(base)[node.attr]
        if isinstance(node, ast.Subscript) and (outer := self._object(node.value)):
            text, base = outer
            if isinstance(base, dict) and isinstance(node.slice, ast.Constant):
                name = node.slice.value
                return (f"{text}.{name!r}", base[name]) if name in base else None
        return None

    def _function(self, node: ast.expr) -> FunctionType | None:
        found = None
        if isinstance(node, ast.Name):
            found = self._objects.get(node.id)
        elif isinstance(node, ast.Attribute):
            base = self._object(node.value)
            kind = base[1] if base else None
            if isinstance(node.value, ast.Name):
                kind = self._objects.get(node.value.id)
            found = getattr_static(kind, node.attr, None) if isinstance(kind, type) else None
        return found if isinstance(found, FunctionType) else None

    def _asked(self, node: ast.expr) -> Root | None:
        """Return the root whose `get` an expression is."""
        is_get = isinstance(node, ast.Attribute) and node.attr == "get"
        root = self._root(node.value) if is_get and isinstance(node, ast.Attribute) else None
        return root if root is Root.HPARAMS or root is Root.MODULES else None

    def _is_of_modules(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Attribute | ast.Subscript):
            return False
        return self._root(node.value) is Root.MODULES

    def _is_chain(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name)

    def _known(self, text: str, found: Any) -> None:
        self.uses.known.setdefault(text, found)

    def _whole(self, root: Root, node: ast.AST) -> None:
        self.uses.whole.setdefault(root, ast.unparse(node))

    def _ask(self, root: Root, name: ast.expr, node: ast.AST) -> None:
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self.uses.attributes.add((root, name.value))
        else:
            self._whole(root, node)

    def _ask_anything(self, node: ast.Call) -> None:
        known = self._object(node.args[0])
        if known is not None:
            self.uses.dynamic[known[0]] = ast.unparse(node)
        self.uses.any_name = True
