"""Digests of Python sources by their syntax trees: no comment, docstring or layout counts.

The digest of a source is the same under Python 3.11, 3.12 and 3.13, whose own renderings of a tree
(`ast.dump`, `ast.unparse`) and whose tokens are not.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable

_SPELLING = frozenset({"kind"})
"""Fields that say how something is written: the `u` of a string."""

_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {}


def source_digest(source: bytes, *, without_table: bool = False) -> str:
    r"""Return the SHA-256 of the syntax tree of a source, in hexadecimal.

    Args:
        source: of a module.
        without_table: leave out what a `Registry` is given as its table.

    >>> source_digest(b"x = 1") == source_digest(b"'''Doc.'''\nx = (1)  # one")
    True
    >>> source_digest(b"x = 1") == source_digest(b"x = 1.0")
    False
    >>> source_digest(b"__version__ = '1'") == source_digest(b"__version__ = '2'")
    True

    Raises:
        SyntaxError: it is no Python.
        ValueError: it holds a null byte.
    """
    tree = ast.parse(source)
    if without_table:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Registry":
                node.keywords = [one for one in node.keywords if one.arg != "table"]
    return tree_digest(tree)


def tree_digest(tree: ast.AST) -> str:
    """Return the SHA-256 of a syntax tree, in hexadecimal; see `source_digest`."""
    parts: list[str] = []
    _walk(tree, parts.append)
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _walk(node: ast.AST, add: Callable[[str], None]) -> None:
    """Give the texts of a node: `Name(ctx=Load()id='x')`.

    What is absent has no text, for a later Python has fields that an earlier one lacks.
    """
    add(type(node).__name__)
    add("(")
    for field in _fields(type(node)):
        value = getattr(node, field, None)
        if isinstance(value, list):
            value = [one for one in value if not _says_nothing(one, node)]
        if value is None or value == []:
            continue
        add(f"{field}=")
        if isinstance(value, list):
            add("[")
            for one in value:
                _value(one, add)
            add("]")
        else:
            _value(value, add)
    add(")")


def _value(value: object, add: Callable[[str], None]) -> None:
    if isinstance(value, ast.AST):
        _walk(value, add)
    else:
        # in ASCII, for `repr` escapes by the Unicode tables of its Python
        add(f"{value!a},")


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(sorted(set(kind._fields) - _SPELLING))
    return _FIELDS[kind]


def _says_nothing(node: object, around: ast.AST) -> bool:
    """Return whether a node is a bare string, or the empty text that 3.12 ends a format with.

    Nor does the version of a package say what its code does: a release runs no stage again.
    """
    if isinstance(around, ast.JoinedStr):
        return isinstance(node, ast.Constant) and node.value == ""
    if isinstance(around, ast.Module) and isinstance(node, ast.Assign):
        return [getattr(target, "id", "") for target in node.targets] == ["__version__"]
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
