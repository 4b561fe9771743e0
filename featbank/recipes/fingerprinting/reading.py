"""Reader of a function's syntax tree, which collects what the function uses."""

from __future__ import annotations

import ast
import builtins
from typing import Any

from featbank.recipes.fingerprinting.scope import Scope, is_of_package
from featbank.recipes.fingerprinting.uses import Root, Uses

# of a container: called for no result, they only write
_WRITING = frozenset({"append", "appendleft", "extend", "add", "update", "insert", "discard"})
_ASKING = frozenset({"getattr", "hasattr", "setattr"})
_DYNAMIC = frozenset({"eval", "exec", "globals", "__import__", "locals", "compile"})


def read_uses(definition: ast.AST, scope: Scope) -> Uses:
    """Return what a function uses.

    Args:
        definition: its syntax tree.
        scope: what its names stand for.
    """
    reader = _Reader(scope)
    reader.read(definition)
    return reader.uses


class _Reader(ast.NodeVisitor):
    def __init__(self, scope: Scope) -> None:
        self.uses = Uses()
        self._scope = scope

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
        if (root := self._scope.roots.get(node.id)) is not None:
            self._whole(root, node)
        elif node.id in self._scope.objects:
            self._known(node.id, self._scope.objects[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.uses.names.add(node.attr)
        if (root := self._scope.root(node)) is not None:
            self._whole(root, node)
        elif node.attr == "training" and self._scope.is_of_modules(node.value):
            pass  # it is in evaluation mode, whatever it is
        elif (base := self._scope.root(node.value)) is not None:
            if isinstance(node.ctx, ast.Load):
                self.uses.attributes.add((base, node.attr))
            else:
                self._write(node)
        elif (found := self._scope.object(node)) is not None:
            self._known(*found)
        else:
            self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        root = self._scope.root(node.value)
        if root is Root.HPARAMS or root is Root.MODULES:
            self._ask(root, node.slice, node)
        elif isinstance(node.ctx, ast.Load) and (found := self._scope.object(node)) is not None:
            self._known(*found)
        elif isinstance(node.ctx, ast.Load) or not self._scope.is_chain(node.value):
            self.visit(node.value)
        else:
            self._write(node)
        self.visit(node.slice)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.uses.names.add(node.value)

    def visit_Call(self, node: ast.Call) -> None:  # noqa: C901
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        first = self._scope.root(node.args[0]) if node.args else None
        arguments: list[ast.expr] = [*node.args, *(one.value for one in node.keywords)]
        if name == "setattr" and first is not None and isinstance(node.args[1], ast.Constant):
            self.uses.written.add(f"{first.value}.{node.args[1].value!s}")
            arguments = arguments[1:]
        elif name in _ASKING and len(node.args) > 1:
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
        elif name in _DYNAMIC and self._scope.objects.get(name) is getattr(builtins, name, None):
            self.uses.dynamic[f"{name}()"] = ast.unparse(node)
        elif (entries := self._scope.taken(node)) is not None:
            for text, found in entries.items():
                self._known(text, found)
            for one in arguments[1:]:
                self.visit(one)
            return
        elif (root := self._scope.asked(node.func)) is not None and node.args:
            self._ask(root, node.args[0], node)
            for one in arguments[1:]:
                self.visit(one)
            return
        elif first is Root.OWNER and (function := self._scope.function(node.func)) is not None:
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
        root = self._scope.root(last)
        if root is not None and isinstance(node.ops[-1], ast.In | ast.NotIn):
            self._ask(root, node.left, node)
            self.visit(node.left)
        elif (
            len(node.ops) == 1
            and isinstance(node.ops[0], ast.In | ast.NotIn)
            and ((entries := self._scope.entries(last, node.left)) is not None)
        ):
            for text, found in entries.items():
                self._known(text, found)
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
            and self._scope.is_chain(call.func.value)
        ):
            self.uses.names.add(call.func.attr)
            self._write(call.func.value)
            for one in (*call.args, *(one.value for one in call.keywords)):
                self.visit(one)
        else:
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        root = self._scope.root(node.value)
        # an alias is known already
        if root is None or not all(isinstance(one, ast.Name) for one in node.targets):
            self.generic_visit(node)

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        self.uses.written.update(node.names)

    visit_Nonlocal = visit_Global  # noqa: N815

    def _write(self, target: ast.expr) -> None:
        while isinstance(target, ast.Subscript):
            self.uses.written |= set(self._scope.entries(target.value, target.slice) or ())
            target = target.value
        if (place := self._scope.place(target)) is not None:
            self.uses.written.add(place)

    # what defines names

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        for one in getattr(node, "decorator_list", []):
            self.visit(one)
        for one in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(one)
        inner = [node.args.vararg, node.args.kwarg, *node.args.posonlyargs, *node.args.args]
        with self._scope.without({one.arg for one in (*inner, *node.args.kwonlyargs) if one}):
            for one in node.body if isinstance(node.body, list) else [node.body]:
                self.visit(one)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815
    visit_Lambda = visit_FunctionDef  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        self.visit(node.target)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self._scope.bind_import(node)

    visit_ImportFrom = visit_Import  # noqa: N815

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
        known = self._scope.object(node.args[0])
        if known is not None and is_of_package(known[1]):
            return  # it counts by its version, and the name by the value that it has
        if known is not None:
            self.uses.dynamic[known[0]] = ast.unparse(node)
        self.uses.any_name = True
