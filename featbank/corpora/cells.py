"""Reading of tables in TSV, CSV or JSON lines: cells by column name, a row at a time."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from featbank.base.failures import Failure, brief
from featbank.corpora.base import bad_row
from featbank.errors import ConfigError, CorpusError
from featbank.files.json_files import parse_json
from featbank.files.opening import (
    MAX_LINE,
    NotAFileError,
    TooLargeError,
    bounded_lines,
)
from featbank.files.remote import AnyPath, open_any

_KINDS = (".tsv", ".csv", ".jsonl")
_NO_UTF8 = re.compile("[\udc80-\udcff]")  # how Python keeps bytes that are none
_SWALLOWED = ("unexpected end of data", "field larger than field limit")
_MAX_COLUMNS = 10_000


Cells = tuple[str, list[str] | Mapping[str, Any]]
"""One row of a table: the table and line, for messages; and its values in the order of the columns,
or of JSON lines by name, of any kind, and none where a column is absent or null."""


class Table:
    """A table, to be read once: `.tsv` (no quoting), `.csv` (quoted as RFC 4180 says), `.jsonl`.

    Each may be compressed by gzip (`.tsv.gz`). Memory holds one row.

    Args:
        path: of the table.
        root: of the corpus, for messages.

    Raises:
        ConfigError: another suffix.
    """

    def __init__(self, path: AnyPath, root: AnyPath) -> None:
        self.name = _name(path, root)
        self._path, self._root = path, root
        self._kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
        if self._kind not in _KINDS:
            raise ConfigError(
                "corpus.table",
                expected="a .tsv, .csv or .jsonl file, or one of these with .gz behind",
                got=repr(self.name),
            )
        self.is_json = self._kind == ".jsonl"
        self.columns: dict[str, None] = {}
        """The names of the columns that were met, in order; but of JSON lines, all at once."""

    def read(self) -> Iterator[Cells | Failure]:
        """Yield each row that is not blank, or the failure of one that is malformed.

        Raises:
            CorpusError: the table is unreadable, its header is malformed, or where its rows begin
                and end cannot be told.
        """
        with open_table(self._path, self._root) as lines:
            if self.is_json:
                yield from self._read_json(lines)
                return
            read = _split_tabs if self._kind == ".tsv" else _split_quoted
            rows = read(lines, self.name)
            where, columns = next(rows, ("", []))
            if isinstance(columns, CorpusError):
                raise columns
            self._check_header(columns)
            self.columns = dict.fromkeys(columns)
            for where, cells in rows:
                yield _named(columns, cells, where)

    def _check_header(self, columns: Sequence[str]) -> None:
        if repeated := sorted(name for name, times in Counter(columns).items() if times > 1):
            raise CorpusError(
                f"header of {self.name}",
                expected="each column once",
                got=brief(", ".join(repeated)),
            )
        check_utf8("".join(columns), f"header of {self.name}")

    def _read_json(self, lines: Iterator[tuple[int, str]]) -> Iterator[Cells | Failure]:
        for number, line in lines:
            if not line.strip():
                continue
            where = f"{self.name}:{number}"
            try:
                check_utf8(line, where)
                row = parse_json(line, where, CorpusError, nan=True)
            except CorpusError as error:
                yield bad_row(error, where)
                continue
            if len(self.columns) < _MAX_COLUMNS:
                self.columns |= dict.fromkeys(row)
            yield where, {key: value for key, value in row.items() if value is not None}


@contextmanager
def open_table(path: AnyPath, root: AnyPath) -> Iterator[Iterator[tuple[int, str]]]:
    """Open a text of a corpus and give its lines with their ends, each with its number from 1.

    A byte order mark is dropped; bytes that are not UTF-8 are kept as half surrogate pairs.

    Raises:
        CorpusError: it is missing, no regular file, unreadable or damaged, or a line is endless.
    """
    where = f"table {_name(path, root)} in {root}"
    try:
        with open_any(path) as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield _numbered(io.BufferedReader(unpacked))
            else:
                yield _numbered(file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(where, expected="a whole gzip file", got=error) from error
    except (
        FileNotFoundError, NotADirectoryError, PermissionError, NotAFileError, TooLargeError,
    ) as error:  # fmt: skip
        raise CorpusError(where, expected="a readable file", got=error.strerror) from error


def _numbered(file: Any) -> Iterator[tuple[int, str]]:
    number = 0
    for data in bounded_lines(file):
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


def _split_tabs(
    lines: Iterator[tuple[int, str]], name: str
) -> Iterator[tuple[str, list[str] | CorpusError]]:
    for number, line in lines:
        if text := line.rstrip("\r\n"):
            yield f"{name}:{number}", text.split("\t")


def _split_quoted(
    lines: Iterator[tuple[int, str]], name: str
) -> Iterator[tuple[str, list[str] | CorpusError]]:
    """Give the cells of each row, under the number of its last line."""
    reader = csv.reader((line for _, line in lines), strict=True)
    usual = csv.field_size_limit(MAX_LINE)
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


def _named(columns: Sequence[str], cells: list[str] | CorpusError, where: str) -> Cells | Failure:
    try:
        if isinstance(cells, CorpusError):
            raise cells
        if len(cells) != len(columns):
            raise CorpusError(
                where, expected=f"{len(columns)} cells: {', '.join(columns)}", got=len(cells)
            )
        if not (text := "".join(cells)).isascii():
            check_utf8(text, where)
    except CorpusError as error:
        return bad_row(error, where)
    return where, cells


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


def _name(path: AnyPath, root: AnyPath) -> str:
    return os.path.relpath(path, root) if path.is_relative_to(root) else str(path)
