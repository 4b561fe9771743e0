"""Digests of syntax trees: what a piece of code says, however it is laid out.

`ast.dump`, `ast.unparse` and tokens differ between Python 3.11, 3.12 and 3.13; this walk does not.
Only the standard library is imported, so that any interpreter can be held against another.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator

# of some versions alone, or without a meaning when the code runs
_SKIPPED = frozenset({"type_params", "kind", "type_ignores", "type_comment"})
# of parameters and results: nothing looks at them
_ANNOTATIONS = frozenset({(ast.arg, "annotation"), (ast.FunctionDef, "returns")}) | frozenset(
    {(ast.AsyncFunctionDef, "returns")}
)


def syntax_digest(node: ast.AST) -> str:
    r"""Return the digest of a syntax tree: without places, comments, docstrings and annotations.

    >>> def of(text): return syntax_digest(ast.parse(text))
    >>> of("def f(x: int): 'Say.'; return x+1") == of("def f(x):\n  # more\n  return (x + 1)")
    True
    >>> of("x = 1") == of("x = 1.0")
    False
    """
    state = hashlib.sha256()
    for text in _spell(node):
        state.update(text.encode("utf-8", "surrogatepass"))
        state.update(b"\0")
    return state.hexdigest()


def _spell(value: object) -> Iterator[str]:
    if isinstance(value, ast.JoinedStr):
        # Python 3.12 ends a format in an empty text
        yield "(JoinedStr"
        yield from _spell([one for one in value.values if not _is_empty_text(one)])
        yield ")"
    elif isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name, inner in ast.iter_fields(value):
            if name in _SKIPPED or (type(value), name) in _ANNOTATIONS or inner in (None, []):
                continue
            spelled = list(_spell(inner))
            if spelled != ["[", "]"]:
                yield f".{name}"
                yield from spelled
        yield ")"
    elif isinstance(value, list):
        yield "["
        for one in value:
            if not _is_bare_string(one):
                yield from _spell(one)
        yield "]"
    else:
        yield f"{type(value).__name__} {value!r}"


def _is_empty_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""


def _is_bare_string(node: object) -> bool:
    """Return whether a statement is a text that nothing reads, such as a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
