"""Reading of JSON texts of any length, value by value: memory holds one value."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import IO

from featbank.base.failures import brief
from featbank.errors import CorpusError

MAX_VALUE = 256 << 20
"""Characters of one value, such as a recording with all its segments."""

_CHUNK = 1 << 20
_SPACE = " \t\r\n"
_NEAR = 16  # characters before an end that a cut number, word or escape reaches back

# only where a value ends is asked here: a float takes any number of digits
_find_end = json.JSONDecoder(parse_int=float).raw_decode


class JsonText:
    """A JSON text in an open file, whose values are given as texts, one after the other.

    Bytes that are not UTF-8 become half surrogate pairs, as in `open_table`.

    Args:
        file: that holds it.
        where: it stands, for errors.
    """

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._file, self._where = file, where
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape")
        self._text, self._at = "", 0
        self._is_all = False

    def items(self) -> Iterator[str]:
        """Give the text of each item of a list.

        Raises:
            CorpusError: it is none, or is damaged, or an item is too long.
        """
        self._skip("[")
        is_first = True
        while self._goes_on("]", is_first=is_first):
            yield self._value()
            is_first = False
        self._skip("]")

    def members(self) -> Iterator[tuple[str, str]]:
        """Give the name of each member of an object, as JSON, and its text.

        Raises:
            CorpusError: it is none, or is damaged, or a member is too long.
        """
        for name in self._names():
            yield name, self._value()

    def items_of(self, name: str) -> Iterator[str]:
        """Give the text of each item of the list that is the member `name` of an object.

        Raises:
            CorpusError: it has no such list, or is damaged, or a value is too long.
        """
        is_found = False
        for quoted in self._names():
            if json.loads(quoted) == name:
                is_found = True
                yield from self.items()
            else:
                self._value()
        if not is_found:
            raise CorpusError(self._where, expected=f"a list {name!r} in the object", got="none")

    def check_end(self) -> None:
        """Refuse a text that goes on behind what was read.

        Raises:
            CorpusError: it does.
        """
        if self._next():
            self._refuse("the end of the file")

    def _names(self) -> Iterator[str]:
        """Give the name of each member of an object; the caller then takes its value."""
        self._skip("{")
        is_first = True
        while self._goes_on("}", is_first=is_first):
            if self._next() != '"':
                self._refuse("a name in quotes")
            name = self._value()
            self._skip(":")
            yield name
            is_first = False
        self._skip("}")

    def _goes_on(self, end: str, *, is_first: bool) -> bool:
        if self._next() == end:
            return False
        if not is_first:
            self._skip(",")
        return True

    def _next(self) -> str:
        """Return the next character that is no white space, and stay there; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if self._is_all:
                return ""
            self._read_on()

    def _skip(self, character: str) -> None:
        if self._next() != character:
            self._refuse(repr(character))
        self._at += 1

    def _value(self) -> str:
        """Return the text of the next value, and go on behind it."""
        self._next()
        while True:
            try:
                _, end = _find_end(self._text, self._at)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or (
                    error.pos > len(self._text) - _NEAR
                )
                if self._is_all or not is_cut:
                    self._at = error.pos
                    self._refuse("a JSON value")
            except RecursionError as error:
                raise CorpusError(
                    self._where, expected="a JSON value", got="nesting without end"
                ) from error
            else:
                if end < len(self._text) or self._is_all:  # a number may go on
                    text = self._text[self._at : end]
                    self._at = end
                    return text
            if len(self._text) - self._at > MAX_VALUE:
                raise CorpusError(
                    self._where,
                    expected=f"values of {MAX_VALUE} characters at most",
                    got=f"a longer one: {brief(self._text[self._at : self._at + 300])}",
                )
            self._read_on()

    def _read_on(self) -> None:
        """Read as much again as is not used yet, so that a long value is not tried too often."""
        rest = self._text[self._at :]
        data = self._file.read(max(_CHUNK, len(rest)))
        self._is_all = not data
        self._text, self._at = rest + self._decoder.decode(data, final=not data), 0

    def _refuse(self, expected: str) -> None:
        rest = self._text[self._at : self._at + 60]
        raise CorpusError(
            f"JSON in {self._where}",
            expected=expected,
            got=brief(repr(rest)) if rest else "the end of the file",
        )


def without(text: str, ignores: Callable[[str], bool], where: str) -> str:
    """Return the text of a JSON object without some of its members, whatever these hold.

    >>> without('{"a": 1, "b": [NaN, {"c": 2, "c": 3}]}', {"b"}.__contains__, "")
    '{"a": 1}'

    Args:
        text: of the object.
        ignores: tells of a name whether to leave it out.
        where: it stands, for errors.

    Raises:
        CorpusError: it is no object.
    """
    whole = JsonText(BytesIO(text.encode(errors="surrogateescape")), where)
    kept = [f"{name}: {one}" for name, one in whole.members() if not ignores(json.loads(name))]
    whole.check_end()
    return "{" + ", ".join(kept) + "}"
