"""Digests of sources: equal under every Python, whatever is written beside the code."""

from __future__ import annotations

import ast

import pytest

from featbank.pipeline.code_syntax import source_digest, tree_digest

SOURCE = b'''
"""A module."""
from __future__ import annotations
import os.path as where

class One(dict[str, int], metaclass=type):
    """A class."""

    size: int = -1_000
    "what it is"

    @property
    async def two(self, a, /, b=None, *rest, c: float = 1e-5, **more) -> bytes:
        async with self as one, one:
            return await one[1:, ...] or b"\\xff"

def three(x):
    "A function."
    global SEEN
    for SEEN, *_ in sorted(x, key=lambda y: y and -y or 3j):
        if not (n := len(x)) < SEEN <= 1:
            del x[SEEN], n
            continue
    else:
        x += [*x, {**x, None: {1, True}}, f"{x!r:>{SEEN}} {x=:}" "and\\N{SNOWMAN}"]
    try:
        yield from (z @ 2 for z in x if z is not None)
    except* (OSError, ValueError) as error:
        raise error from None
    finally:
        match x:
            case {"a": [int(real=1), *_], **rest} | (None as rest):
                pass
            case _ if True:
                nonlocal_ = u"u"
'''


def test_the_digest_of_a_source_is_the_same_under_every_python() -> None:
    # as Python 3.11, 3.12 and 3.13 give it
    assert (
        source_digest(SOURCE) == "399b8263aa0a77114dc59d08b68add8a55df4d1d1888754208a855fe02467819"
    )


def test_what_a_later_python_adds_to_a_tree_counts_only_where_it_says_something() -> None:
    tree = ast.parse(SOURCE)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.type_params = []  # type: ignore[attr-defined]
        if isinstance(node, ast.Constant):
            node.kind = "u" if node.kind is None and isinstance(node.value, str) else None
    assert tree_digest(tree) == source_digest(SOURCE)


@pytest.mark.parametrize(
    "source",
    [
        b"# a comment\ndef f(x):\n    'Doc.'\n    return x + 1  # why\n",
        b"def f(\n    x,\n):\n\n\n    return (x + 1)\n'''An afterthought.'''",
        b"# -*- coding: latin-1 -*-\n# \xe9\ndef f(x): return x + 0x1",
    ],
)
def test_comments_docstrings_and_layout_do_not_count(source: bytes) -> None:
    assert source_digest(source) == source_digest(b"def f(x):\n    return x + 1\n")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"x = 1", b"x = True"),
        (b"x = 1", b"x = 1.0"),
        (b"x = '1'", b"x = b'1'"),
        (b"x = None", b"x = ..."),
        (b"x = [1], 2", b"x = [1, 2]"),
        (b"x = 'a', 'b'", b"x = 'ab'"),
        (b"f(1, x=2)", b"f(2, x=1)"),
        (b"a = 1; b = 2", b"b = 2; a = 1"),
        (b"def f(*, x=None): pass", b"def f(*, x): pass"),
        (b"x = {**y}", b"x = {None: y}"),
        (b"x = '\xc3\xa9'", b"x = 'e\xcc\x81'"),
        (b"x = y", b"x = 'y'"),
        (b"print('x')", b"print(x)"),
    ],
)
def test_what_is_computed_counts(one: bytes, other: bytes) -> None:
    assert source_digest(one) != source_digest(other)
