"""A digest of syntax is the same under every Python that the project runs on."""

from __future__ import annotations

import ast

import pytest

from featbank.recipes.fingerprinting.syntax import syntax_digest

PROGRAM = '''
"""A docstring."""
from __future__ import annotations
import os.path as path, sys
from . import other as another


@another.decorated(1, key="x")
class Kind(other, metaclass=type, flag=True):
    """A docstring."""

    held: dict[str, int] = {"a": 1, **{}}
    __slots__ = ()

    async def method(self, a: int, /, b: str = "u", *rest, c=None, **more) -> None:
        async with self.lock as lock, lock:
            async for one in self:
                await one
        return [x async for x in self if x]

    @property
    def value(self):
        try:
            yield from (y for y in range(3) if y % 2)
        except* (KeyError, ValueError) as error:
            raise RuntimeError from error
        else:
            del self.held["a"][1:2, ::-1]
        finally:
            pass


def function(x, *, y=lambda a, *b: (a, b)):
    global COUNT
    COUNT += 1
    text = f"{x!r:>{y}} {x=} {'nested'}" "joined" rf"\\d{x}"
    match x:
        case {"a": [1, *rest], **others} if rest:
            return others
        case Kind(held=1) | None:
            return 1j
        case _:
            return b"bytes", 0x10, 1_000.5, ..., True, not x, -x, ~x
    while (n := x) and 0 < n <= 10 or n is not None:
        x, (y, *z) = z, (x, y)
        x: int = 3
        x @= {1, 2}
        break
    else:
        assert x, "why"
    return {k: v for k, v in {}.items()}, [*x, *y], x if y else z, text[0:1]
'''
# of Python 3.11, 3.12 and 3.13
DIGEST = "5c15b663bc710ce1842584e339c2383bfec45848e7362cb5a01823a7c9302487"


def test_the_digest_of_a_program_is_the_same_under_every_python() -> None:
    assert syntax_digest(ast.parse(PROGRAM)) == DIGEST


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 'a'", "x = b'a'"),
        ("f(a, b)", "f(b, a)"),
        ("f(a=1)", "f(b=1)"),
        ("f(*a)", "f(**a)"),
        ("def f(a, b=1): pass", "def f(a, *, b=1): pass"),
        ("def f(): return 1", "async def f(): return 1"),
        ("x[1:]", "x[:1]"),
        ("x.a", "x.b"),
        ("x += 1", "x -= 1"),
        ("x < y", "x <= y"),
        ("[a]", "(a,)"),
        ("f'{x}'", "f'{x!r}'"),
        ("class A(B): pass", "class A(C): pass"),
        ("x: int = 1", "x = 1"),
        ("import a", "import b"),
    ],
)
def test_what_does_something_else_has_another_digest(one: str, other: str) -> None:
    assert syntax_digest(ast.parse(one)) != syntax_digest(ast.parse(other))
