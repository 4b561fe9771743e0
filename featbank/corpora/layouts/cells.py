"""Reading of tables in TSV, CSV or JSON: cells by column name, a row at a time."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from featbank.base.failures import Failure, brief
from featbank.corpora.base import CorpusRow, bad_row
from featbank.corpora.layouts.json_items import JsonText, without
from featbank.corpora.layouts.packed import PACKED, open_packed, shown
from featbank.corpora.paths import AudioPaths
from featbank.errors import ConfigError, CorpusError
from featbank.files.json_files import parse_json
from featbank.files.opening import MAX_LINE, bounded_lines
from featbank.files.remote import AnyPath

_KINDS = (".tsv", ".csv", ".jsonl", ".json")
_NO_UTF8 = re.compile("[\udc80-\udcff]")  # how Python keeps bytes that are none
_SWALLOWED = ("unexpected end of data", "field larger than field limit")
_MAX_COLUMNS = 10_000
_MAX_ROW = 256 << 20  # bytes, where what is ignored may be of any length
_LIST = re.compile(rb"\s*\[")
_OBJECT_ALONE = re.compile(rb"\s*\{[ \t]*\r?\n")  # a line that no JSON line is


Cells = tuple[str, list[str] | Mapping[str, Any]]
"""One row of a table: the table and line, for messages; and its values in the order of the columns,
or of JSON by name, of any kind, and none where a column is absent or null."""

_JsonRow = tuple[str, str, str | None]  # place, JSON, and the JSON of the name that it has


class Table:
    """A table, to be read once: `.tsv` (no quoting), `.csv` (quoted as RFC 4180 says) or JSON.

    JSON is lines of objects (`.jsonl` or `.json`), or in a `.json` one list of objects, or one
    object of objects that is written on several lines, whose names are the column `id`. Each may be
    compressed (`.tsv.gz`, `.tsv.zst`). Memory holds one row.

    Args:
        path: of the table.
        root: of the corpus, for messages.
        header: the columns of a table that does not begin with them; none reads them there.
        separator: between cells, in a file of any name; it has no quoting. Empty goes by the name.
        ignores: tells of a column whether nothing is to look at its cells; None ignores none.

    Raises:
        ConfigError: another suffix.
    """

    def __init__(
        self,
        path: AnyPath,
        root: AnyPath,
        *,
        header: Sequence[str] = (),
        separator: str = "",
        ignores: Callable[[str], bool] | None = None,
    ) -> None:
        self.name = shown(path, root)
        self._path, self._root = path, root
        self._header, self._separator, self._ignores = tuple(header), separator, ignores
        self._kind = path.with_suffix("").suffix if path.suffix in PACKED else path.suffix
        if self._kind not in _KINDS and not separator:
            raise ConfigError(
                "corpus.table",
                expected=f"a {', '.join(_KINDS[:-1])} or {_KINDS[-1]} file, or one of these with "
                ".gz or .zst behind",
                got=repr(self.name),
                hint="corpus.separator takes a text of any name",
            )
        self._max_row = MAX_LINE if ignores is None else _MAX_ROW
        self.is_json = self._kind in (".jsonl", ".json") and not separator
        self.columns: dict[str, int] = {}
        """The names of the columns that were met, with their places; but of JSON, all at 0."""

    def read(self) -> Iterator[Cells | Failure]:
        """Yield each row that is not blank, or the failure of one that is malformed.

        Raises:
            CorpusError: the table is unreadable, its header is malformed, or where its rows begin
                and end cannot be told.
        """
        with open_packed(self._path, self._root) as file:
            lines = _numbered(file, self._max_row)
            if not self.is_json:
                yield from self._read_cells(lines)
            elif self._kind == ".jsonl":
                yield from self._read_json(self._lines(lines))
            else:
                yield from self._read_any_json(file, lines)

    def _read_cells(self, lines: Iterator[tuple[int, str]]) -> Iterator[Cells | Failure]:
        if self._kind == ".csv" and not self._separator:
            rows = _split_quoted(lines, self.name, self._max_row)
        else:
            rows = _split(lines, self.name, self._separator or "\t")
        columns: list[str] | CorpusError = list(self._header)
        if not columns:
            _, columns = next(rows, ("", []))
        if isinstance(columns, CorpusError):
            raise columns
        is_ignored = self._ignores or (lambda _: False)
        ignored = [is_ignored(column) for column in columns]
        self._check_header(
            [one for one, ignores in zip(columns, ignored, strict=True) if not ignores]
        )
        for place, column in enumerate(columns):
            self.columns.setdefault(column, place)
        for where, cells in rows:
            yield _named(columns, ignored, cells, where)

    def _check_header(self, columns: Sequence[str]) -> None:
        if repeated := sorted(name for name, times in Counter(columns).items() if times > 1):
            raise CorpusError(
                f"header of {self.name}",
                expected="each column once",
                got=brief(", ".join(repeated)),
            )
        check_utf8("".join(columns), f"header of {self.name}")

    def _read_any_json(
        self, file: io.BufferedReader, lines: Iterator[tuple[int, str]]
    ) -> Iterator[Cells | Failure]:
        begin = file.peek(4096)[:4096].removeprefix(codecs.BOM_UTF8)
        whole = JsonText(file, self.name)
        if _LIST.match(begin):
            rows = ((f"{self.name}[{at}]", text, None) for at, text in enumerate(whole.items()))
            yield from self._read_json(rows)
        elif _OBJECT_ALONE.match(begin):
            yield from self._read_json(self._by_name(whole))
        else:
            yield from self._read_json(self._lines(lines))
            return
        whole.check_end()

    def _lines(self, lines: Iterator[tuple[int, str]]) -> Iterator[_JsonRow]:
        return ((f"{self.name}:{number}", line, None) for number, line in lines if line.strip())

    def _by_name(self, whole: JsonText) -> Iterator[_JsonRow]:
        for name, text in whole.members():
            where = f"{self.name}[{brief(name)}]"
            if not text.startswith("{"):
                raise CorpusError(
                    where,
                    expected="an object for each utterance, or one in each line",
                    got=brief(text[:200]),
                )
            yield where, text, name

    def _read_json(self, texts: Iterator[_JsonRow]) -> Iterator[Cells | Failure]:
        for where, text, name in texts:
            try:
                row = self._parse(text, where)
                if name is not None:
                    row.setdefault("id", parse_json(name, where, CorpusError, kind=str))
            except CorpusError as error:
                yield bad_row(error, where)
                continue
            if len(self.columns) < _MAX_COLUMNS:
                self.columns |= dict.fromkeys(row, 0)
            yield where, {key: value for key, value in row.items() if value is not None}

    def _parse(self, text: str, where: str) -> dict[str, Any]:
        if self._ignores is None:
            _check_length(text, where)
            return parse_row(text, where)
        if len(text) <= MAX_LINE:
            with suppress(CorpusError):
                return parse_row(text, where)
        rest = without(text, self._ignores, where)
        _check_length(rest, where)
        return parse_row(rest, where)


def parse_row(text: str, where: str) -> dict[str, Any]:
    """Read the JSON of one row, of which numbers may be NaN.

    Raises:
        CorpusError: it is no object, or not UTF-8; see `parse_json`.
    """
    check_utf8(text, where)
    row: dict[str, Any] = parse_json(text, where, CorpusError, nan=True)
    return row


@contextmanager
def open_table(path: AnyPath, root: AnyPath) -> Iterator[Iterator[tuple[int, str]]]:
    """Open a text of a corpus and give its lines with their ends, each with its number from 1.

    A byte order mark is dropped; bytes that are not UTF-8 are kept as half surrogate pairs.

    Raises:
        CorpusError: it is missing, no regular file, unreadable or damaged, or a line is endless.
    """
    with open_packed(path, root) as file:
        yield _numbered(file)


def text_lines(path: AnyPath, root: AnyPath) -> Iterator[tuple[str, str]]:
    """Give the lines of a text of a corpus that are not blank, each behind its place: `a.txt:12`.

    Raises:
        CorpusError: as of `open_table`.
    """
    name = shown(path, root)
    with open_table(path, root) as lines:
        for number, line in lines:
            if line.strip():
                yield f"{name}:{number}", line


def text_rows(
    path: AnyPath, root: AnyPath, paths: AudioPaths, read: Callable[[str, str], CorpusRow]
) -> Iterator[CorpusRow | Failure]:
    """Give the utterances of a text with one a line, or the failure of a line.

    Args:
        path: of the text.
        root: of the corpus.
        paths: that check the links to the audio.
        read: makes a row of a line, in UTF-8, and its place; a CorpusError is the line's failure.

    Raises:
        CorpusError: as of `open_table`, or a link leads where none may.
    """
    for where, line in text_lines(path, root):
        try:
            check_utf8(line, where)
            row = read(line, where)
        except CorpusError as error:
            yield bad_row(error, where)
        else:
            paths.check_links(row.audio, where)
            yield row


def _numbered(file: io.BufferedReader, max_bytes: int = MAX_LINE) -> Iterator[tuple[int, str]]:
    number = 0
    for data in bounded_lines(file, max_bytes):
        line = data.decode(errors="surrogateescape")
        if not number:
            line = line.removeprefix("\ufeff")
        if "\r" not in line[:-2]:
            number += 1
            yield number, line
            continue
        for one in io.StringIO(line, newline=""):  # old ends of lines are ends, too
            number += 1
            yield number, one


def _split(
    lines: Iterator[tuple[int, str]], name: str, separator: str
) -> Iterator[tuple[str, list[str] | CorpusError]]:
    for number, line in lines:
        if text := line.rstrip("\r\n"):
            yield f"{name}:{number}", text.split(separator)


def _split_quoted(
    lines: Iterator[tuple[int, str]], name: str, max_cell: int
) -> Iterator[tuple[str, list[str] | CorpusError]]:
    """Give the cells of each row, under the number of its last line."""
    reader = csv.reader((line for _, line in lines), strict=True)
    usual = csv.field_size_limit(max_cell)
    try:
        while True:
            first = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                last = reader.line_num
                where = f"{name}:{last}" if first == last else f"{name}:{first}-{last}"
                fault = CorpusError(where, expected="a row of a table", got=str(error))
                if any(text in str(error) for text in _SWALLOWED):
                    raise fault from error  # it took the rows behind it for its own
                yield where, fault
                continue
            if cells is None:
                return
            if cells:
                yield f"{name}:{reader.line_num}", cells
    finally:
        csv.field_size_limit(usual)


def _named(
    columns: Sequence[str],
    ignored: Sequence[bool],
    cells: list[str] | CorpusError,
    where: str,
) -> Cells | Failure:
    try:
        if isinstance(cells, CorpusError):
            raise cells
        if len(cells) != len(columns):
            raise CorpusError(
                where, expected=f"{len(columns)} cells: {brief(', '.join(columns))}", got=len(cells)
            )
        text = "".join(cells)
        if not text.isascii() or len(text) > MAX_LINE:
            used = (cell for cell, is_ignored in zip(cells, ignored, strict=True) if not is_ignored)
            _check_length(text := "".join(used), where)
            check_utf8(text, where)
    except CorpusError as error:
        return bad_row(error, where)
    return where, cells


def _check_length(text: str, where: str) -> None:
    if len(text) > MAX_LINE:
        raise CorpusError(where, expected=f"a row of {MAX_LINE} letters at most", got=len(text))


def check_utf8(text: str, where: str) -> None:
    """Refuse a text of `open_table` that has bytes which are not UTF-8.

    Raises:
        CorpusError: it has.
    """
    if not text.isascii() and (found := _NO_UTF8.search(text)):
        raise CorpusError(
            where,
            expected="UTF-8",
            got=f"byte 0x{ord(found[0]) - 0xDC00:02x}",
            hint="convert it with iconv",
        )
