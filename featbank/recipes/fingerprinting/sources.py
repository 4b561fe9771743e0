"""Source of running code, used only if compiling it gives what runs."""

from __future__ import annotations

import ast
import linecache
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

from featbank.recipes.fingerprinting.syntax import syntax_digest

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_STRING = "<string>"
_PYTEST = "@pytest_ar"  # in the globals of a module whose asserts pytest has rewritten


class NoSourceError(Exception):
    """The source of some code is missing; the message says why."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file of source, compiled: its code objects by qualified name, and its tree."""

    tree: ast.Module
    codes: Mapping[str, list[CodeType]] = field(default_factory=dict)


def find_definition(code: CodeType, module_globals: Mapping[str, Any]) -> Definition:
    """Return the syntax tree of a function that is running.

    Args:
        code: of the function.
        module_globals: its `__globals__`.

    Raises:
        NoSourceError: there is no text, it was edited since it was imported, or it is not known
            which of several lambdas of a line this is.
    """
    file = _read(code.co_filename, _PYTEST in module_globals)
    same = [one for one in file.codes.get(code.co_qualname, []) if equal_code(one, code)]
    if not same and code.co_filename == _STRING:  # another text than that of `python -c`
        raise NoSourceError(f"there is no source: {_STRING}")
    if not same:
        raise NoSourceError(
            f"{code.co_filename} says something else now than when it was imported; "
            "restart the process"
        )
    found = [node for one in same for node in _definitions(file.tree, one)]
    if len({syntax_digest(node) for node in found}) != 1:
        raise NoSourceError(
            f"which of several functions of line {code.co_firstlineno} of {code.co_filename} "
            "this is, nobody can tell; give each a line of its own"
        )
    return found[0]


def equal_code(one: CodeType, other: CodeType) -> bool:
    """Return whether two code objects do the same, wherever in a file they stand."""
    return _essence(one) == _essence(other)


def _essence(code: CodeType) -> tuple[object, ...]:
    return (
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        code.co_exceptiontable,
        tuple(map(_constant, code.co_consts)),
    )


def _constant(value: object) -> object:
    """Return a constant so that 1, 1.0 and True differ, and code is compared by what it does."""
    if isinstance(value, CodeType):
        return _essence(value)
    if isinstance(value, tuple):
        return tuple(map(_constant, value))
    if isinstance(value, frozenset):
        return frozenset(map(_constant, value))
    return type(value).__name__, repr(value)


def _read(name: str, asserts_rewritten: bool) -> _File:
    text = _text(name)
    if text is None:
        raise NoSourceError(f"there is no source: {name}")
    try:
        return _compile(name, text, asserts_rewritten)
    except (SyntaxError, ValueError) as error:
        raise NoSourceError(f"{name} cannot be compiled any more: {error}") from error


def _text(name: str) -> str | None:
    """Return the text of a file as it is now; of a notebook's cell, or `python -c`, as it was run.

    Other texts without a file (`exec`) may have the name of the last, and then do not compile to
    what runs.
    """
    if Path(name).is_file():
        try:
            with tokenize.open(name) as file:
                return file.read()
        except (OSError, SyntaxError, UnicodeDecodeError) as error:
            raise NoSourceError(f"{name} cannot be read: {error}") from error
    if name == _STRING and "-c" in sys.orig_argv[:-1]:
        return sys.orig_argv[sys.orig_argv.index("-c") + 1]
    return "".join(linecache.getlines(name)) or None


@lru_cache(maxsize=64)
def _compile(name: str, text: str, asserts_rewritten: bool) -> _File:
    tree = ast.parse(text, name)
    compiled = ast.parse(text, name)
    if asserts_rewritten and (pytest := sys.modules.get("_pytest.assertion.rewrite")):
        pytest.rewrite_asserts(compiled, text.encode())
    codes: dict[str, list[CodeType]] = {}
    for one in _codes(compile(compiled, name, "exec", dont_inherit=True)):
        codes.setdefault(one.co_qualname, []).append(one)
    return _File(tree, codes)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def _definitions(tree: ast.Module, code: CodeType) -> Sequence[Definition]:
    """Return the nodes that may have given a code object: of lambdas, the innermost of its line."""
    if code.co_name != "<lambda>":
        return [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name == code.co_name
            and min([node.lineno, *(one.lineno for one in node.decorator_list)])
            == code.co_firstlineno
        ]
    # the first instruction, and in old versions the last, have no place of their own
    places = [place for place in code.co_positions() if None not in place and any(place[2:])]
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda)
        and node.lineno == code.co_firstlineno
        and all(_covers(node.body, place) for place in places)
    ]
    if places:
        return found[-1:]  # the walk gives the outer one first
    # a constant's instruction may have none; and Python may have been told to keep none at all
    constant = [
        node
        for node in found
        if isinstance(node.body, ast.Constant)
        and _constant(node.body.value) in map(_constant, code.co_consts)
    ]
    return constant or found


def _covers(body: ast.expr, place: tuple[int | None, ...]) -> bool:
    first, last, start, end = (number or 0 for number in place)
    ends = (body.end_lineno or 0, body.end_col_offset or 0)
    return (body.lineno, body.col_offset) <= (first, start) and (last, end) <= ends
