"""Tables as they are written: TSV, CSV or JSON lines in, named cells out."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featbank.errors import ConfigError, CorpusError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """One row of a table.

    Args:
        where: the table and line, for messages.
        values: text by column name; a JSON null or an absent key is no cell.
    """

    where: str
    values: dict[str, str]


def read_cells(path: Path, root: Path) -> tuple[list[str], list[Cells]]:
    """Read a table by its suffix: `.tsv` (no quoting), `.csv` (quoted as RFC 4180 says), `.jsonl`.

    Returns:
        The column names in order, and the rows.

    Raises:
        ConfigError: another suffix.
        CorpusError: the table is unreadable, or a row of it is malformed.
    """
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    if path.suffix == ".jsonl":
        rows = list(_json_rows(read_text(path, root), name))
        return list(dict.fromkeys(column for row in rows for column in row.values)), rows
    if path.suffix == ".tsv":
        lines = csv.reader(_stream(path, root), delimiter="\t", quoting=csv.QUOTE_NONE)
    elif path.suffix == ".csv":
        lines = csv.reader(_stream(path, root), strict=True)
    else:
        raise ConfigError("corpus.table", expected="a .tsv, .csv or .jsonl file", got=repr(name))
    header, *rest = _numbered(lines, name) or [(1, [])]
    columns = header[1]
    if repeated := sorted({column for column in columns if columns.count(column) > 1}):
        raise CorpusError(f"header of {name}", expected="each column once", got=", ".join(repeated))
    return columns, [_cells(columns, line, f"{name}:{number}") for number, line in rest]


def read_text(path: Path, root: Path) -> str:
    """Read a UTF-8 table of a corpus; a byte order mark is dropped.

    Raises:
        CorpusError: it is missing, a folder, unreadable or not UTF-8.
    """
    name = os.path.relpath(path, root)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise CorpusError(
            f"table {name} in {root}", expected="a readable file", got=error.strerror
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise CorpusError(
            f"table {name} in {root}, line {line}",
            expected="UTF-8",
            got=f"byte 0x{error.object[error.start]:02x}",
            hint="convert it with iconv",
        ) from error


def _stream(path: Path, root: Path) -> io.StringIO:
    return io.StringIO(read_text(path, root), newline="")


def _numbered(reader: Any, name: str) -> list[tuple[int, list[str]]]:
    """Read all lines that are not blank, each with the number of its last line in the file."""
    try:
        return [(reader.line_num, line) for line in reader if line]
    except csv.Error as error:
        raise CorpusError(
            f"{name}:{reader.line_num}", expected="a row of a table", got=str(error)
        ) from error


def _cells(columns: Sequence[str], line: Sequence[str], where: str) -> Cells:
    if len(line) != len(columns):
        raise CorpusError(
            where, expected=f"{len(columns)} cells: {', '.join(columns)}", got=len(line)
        )
    return Cells(where=where, values=dict(zip(columns, line, strict=True)))


def _json_rows(text: str, name: str) -> Iterator[Cells]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise CorpusError(where, expected="a JSON object", got=str(error)) from error
        if not isinstance(row, dict):
            raise CorpusError(where, expected="a JSON object", got=type(row).__name__)
        yield Cells(
            where=where,
            values={
                key: _json_text(value, f"{key} in {where}")
                for key, value in row.items()
                if value is not None
            },
        )


def _json_text(value: Any, where: str) -> str:
    if isinstance(value, bool | list | dict):
        raise CorpusError(where, expected="text or a number", got=json.dumps(value))
    text = str(value)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise CorpusError(where, expected="Unicode text", got="a lone surrogate")
    return text
